//! Voids and refunds find their originals, and may not undo more than there is.

use posgate::base::calendar::Civil;
use posgate::base::clock::{Clock as _, SystemClock};
use posgate::switch::StanPolicy;

use super::fixture::{ISO, PAN, Setup, Till, UNIONPAY, Who, World, counting_link, eventually};
use super::wire::{Draft, Wire};

/// A request that the upstream answers with that code; what the terminal hears.
async fn passed(till: &mut Till, link: &mut Wire, draft: &Draft, code: &str) -> String {
    till.send(draft).await;
    let request = link.next().await;
    link.send(&request.answered(code)).await;
    till.next().await.code().to_owned()
}

async fn worlds(each: impl AsyncFn(&World, &mut Wire, Till)) {
    for dialect in [UNIONPAY, ISO] {
        for stan in [StanPolicy::Pass, StanPolicy::Own] {
            let setup = Setup {
                stan,
                ..Setup::speaking(dialect)
            };
            let world = setup.start().await;
            let mut link = counting_link(&world).await;
            let till = world.till(1).await;
            each(&world, &mut link, till).await;
            world.stop(link).await;
        }
    }
}

#[tokio::test]
async fn a_sale_is_voided_once_and_whole() {
    worlds(async |world, link, mut till| {
        till.sell(link, 501, "00").await;
        let void = till.who.void(502, 501, 1_000);
        assert_eq!(till.code(&till.who.void(510, 501, 999)).await, "64");
        assert_eq!(till.code(&till.who.void(511, 499, 1_000)).await, "25");
        // A void that the host declines leaves the sale as it was.
        let declined = till.who.void(512, 501, 1_000);
        assert_eq!(passed(&mut till, link, &declined, "51").await, "51");
        assert_eq!(passed(&mut till, link, &void, "00").await, "00");
        // Repeated it gets its answer; another one finds nothing left.
        assert_eq!(till.code(&void).await, "00");
        assert_eq!(till.code(&till.who.void(503, 501, 1_000)).await, "12");
        // The void undone, the sale stands again.
        assert_eq!(till.code(&till.who.reversal(502, 1_000)).await, "00");
        let reversal = link.next().await;
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        let again = till.who.void(504, 501, 1_000);
        assert_eq!(passed(&mut till, link, &again, "00").await, "00");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_stand_is_not_voided() {
    worlds(async |world, link, mut till| {
        till.sell(link, 501, "51").await;
        assert_eq!(till.code(&till.who.void(502, 501, 1_000)).await, "12");
        till.sell(link, 503, "00").await;
        assert_eq!(till.code(&till.who.reversal(503, 1_000)).await, "00");
        let reversal = link.next().await;
        assert_eq!(till.code(&till.who.void(504, 503, 1_000)).await, "12");
        link.send(&reversal.answered("00")).await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        assert_eq!(till.code(&till.who.void(505, 503, 1_000)).await, "12");
        let (request, _) = till.sell(link, 506, "00").await;
        assert_eq!(request.mti, "0200");
    })
    .await;
}

#[tokio::test]
async fn refunds_together_do_not_exceed_their_sale() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 501, "00").await;
    let first = till.who.refund(502, 501, 600);
    assert_eq!(passed(&mut till, &mut link, &first, "00").await, "00");
    assert_eq!(till.code(&till.who.refund(503, 501, 401)).await, "64");
    assert_eq!(till.code(&till.who.void(504, 501, 1_000)).await, "12");
    // After a restart too.
    let stored = world.stop((till, link)).await;
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.refund(505, 501, 401)).await, "64");
    let second = till.who.refund(506, 501, 400);
    assert_eq!(passed(&mut till, &mut link, &second, "00").await, "00");
    assert_eq!(till.code(&till.who.refund(507, 501, 1)).await, "64");
    // Of a sale made elsewhere the host has to decide.
    let elsewhere = till.who.refund(508, 77, 1);
    assert_eq!(passed(&mut till, &mut link, &elsewhere, "51").await, "51");
    world.stop(till).await;
}

const OTHER_CARD: &str = "6228480402564890018";

/// The same refund from six connections at once, each with a STAN of its own: all of them are looked up before any
/// of them is durable.
#[tokio::test]
async fn of_requests_that_come_together_only_one_follows_a_sale() {
    worlds(async |world, link, mut till| {
        if till.who.is_iso() {
            // Its refunds name no original.
            return;
        }
        for round in 0..20 {
            let sale = 1_000 + 10 * round;
            till.sell(link, sale, "00").await;
            let mut tills = Vec::new();
            for _ in 0..6 {
                tills.push(world.till(1).await);
            }
            for (n, till) in (1..).zip(&mut tills) {
                let refund = till.who.refund(sale + n, sale, 1_000);
                till.send(&refund).await;
            }
            let request = link.next().await;
            link.send(&request.answered("00")).await;
            let mut codes = Vec::new();
            for till in &mut tills {
                codes.push(till.next().await.code().to_owned());
            }
            // The terminal is busy where the one that was taken is not answered yet.
            codes.sort();
            assert_eq!(codes[0], "00");
            assert!(
                codes[1..].iter().all(|code| code == "64" || code == "09"),
                "{codes:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_void_and_a_reversal_that_come_together_undo_a_sale_once() {
    worlds(async |world, link, mut till| {
        for round in 0..10 {
            let sale = 2_000 + 10 * round;
            till.sell(link, sale, "00").await;
            // The void is on its way: the reversal gets no answer, and a terminal sends it again then.
            till.send(&till.who.void(sale + 1, sale, 1_000)).await;
            let void = link.next().await;
            let mut other = world.till(1).await;
            other.send(&other.who.reversal(sale, 1_000)).await;
            assert_eq!(other.wire.next_or_end().await, None);
            link.send(&void.answered("00")).await;
            assert_eq!(till.next().await.code(), "00");
            // What is voided needs no reversal any more.
            assert_eq!(till.code(&till.who.reversal(sale, 1_000)).await, "00");
        }
        assert_eq!(world.running.switch.owed(), 0);
        assert_eq!(world.reversals("owed"), 0);
    })
    .await;
}

/// The reversal is taken, and the void comes before the store can show it.
#[tokio::test]
async fn what_is_just_being_reversed_is_neither_voided_nor_refunded() {
    worlds(async |world, link, mut till| {
        for round in 0..20 {
            let sale = 3_000 + 10 * round;
            till.sell(link, sale, "00").await;
            let follows = if round % 2 == 0 || till.who.is_iso() {
                till.who.void(sale + 1, sale, 1_000)
            } else {
                till.who.refund(sale + 1, sale, 1_000)
            };
            // On one connection, so that they are taken in this order.
            till.send(&till.who.reversal(sale, 1_000)).await;
            till.send(&follows).await;
            let (one, two) = (till.next().await, till.next().await);
            let mut heard = [&one, &two].map(|answer| (answer.mti.as_str(), answer.code()));
            heard.sort();
            assert_eq!(heard[0].1, "12", "{heard:?}");
            assert_eq!(heard[1].1, "00", "{heard:?}");
            // One thing was sent upstream for it: the reversal.
            let reversal = link.next().await;
            link.send(&reversal.answered("00")).await;
            eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        }
        assert_eq!(world.reversals("owed"), 20);
    })
    .await;
}

#[tokio::test]
async fn a_sale_that_was_refunded_in_part_is_not_reversed_too() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 501, "00").await;
    let refund = till.who.refund(502, 501, 600);
    assert_eq!(passed(&mut till, &mut link, &refund, "00").await, "00");
    assert_eq!(till.code(&till.who.reversal(501, 1_000)).await, "12");
    // Nor is the refund, which stays: the terminal hears that, with a code at which it stops.
    let reversal = till.who.reversal(502, 600);
    assert_eq!(till.code(&reversal).await, "12");
    assert_eq!(world.running.switch.owed(), 0);
    let rest = till.who.refund(503, 501, 400);
    assert_eq!(passed(&mut till, &mut link, &rest, "00").await, "00");
    // After a restart it is the same.
    let stored = world.stop((till, link)).await;
    let setup = Setup {
        stored: Some(stored),
        ..Setup::new()
    };
    let (world, _link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.reversal(501, 1_000)).await, "12");
    assert_eq!(till.code(&reversal).await, "12");
    world.stop(till).await;
}

#[tokio::test]
async fn only_what_was_taken_from_that_card_in_that_currency_is_given_back() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let who = till.who.clone();
    till.sell(&mut link, 501, "00").await;
    let other_card = who.refund(502, 501, 600).set(2, OTHER_CARD).without(35);
    assert_eq!(till.code(&other_card).await, "25");
    let other_card = who.void(503, 501, 1_000).set(2, OTHER_CARD);
    assert_eq!(till.code(&other_card).await, "25");
    let dollars = who.refund(504, 501, 600).set(49, "840");
    assert_eq!(till.code(&dollars).await, "25");
    let refund = who.refund(505, 501, 600);
    assert_eq!(passed(&mut till, &mut link, &refund, "00").await, "00");
    assert_eq!(till.code(&who.refund(506, 505, 600)).await, "25");
    assert_eq!(till.code(&who.void(507, 505, 600)).await, "25");
    // A pre-authorisation took nothing: there is nothing to give back, and a sale cannot be completed.
    let reserved = pre_authorisation(&who, 510);
    assert_eq!(passed(&mut till, &mut link, &reserved, "00").await, "00");
    assert_eq!(till.code(&who.refund(511, 510, 1_000)).await, "25");
    assert_eq!(till.code(&who.void(512, 510, 1_000)).await, "25");
    till.sell(&mut link, 520, "00").await;
    let completion = who
        .sale(521, 1_000)
        .set(25, "06")
        .set(38, "A12345")
        .set(60, "20000001000500")
        .set(61, "000001000520");
    assert_eq!(till.code(&completion).await, "25");
    world.stop((till, link)).await;
}

fn pre_authorisation(who: &Who, stan: u32) -> Draft {
    who.sale(stan, 1_000)
        .retyped("0100")
        .set(3, "030000")
        .set(25, "06")
        .set(60, "10000001000500")
}

/// Month and day, as terminals here would write them.
fn today() -> String {
    let civil = Civil::utc(SystemClock::new().wall());
    format!("{:02}{:02}", civil.month, civil.day)
}

/// As UnionPay's terminals name it: refunds by reference number and date, what follows a pre-authorisation by
/// authorisation code, date and card, with zeros for batch and trace number.
#[tokio::test]
async fn originals_are_found_by_the_upstreams_own_numbers() {
    for date in [today(), "0000".to_owned()] {
        let (world, mut link) = Setup::new().start_with_link().await;
        let mut till = world.till(1).await;
        let who = till.who.clone();
        let zeros = format!("000000000000{date}");
        let (_, answer) = till.sell(&mut link, 501, "00").await;
        let rrn = answer.text(37).to_owned();
        let refund = |stan, minor| {
            let draft = who.refund(stan, 501, minor).set(61, &zeros);
            draft.set(37, &rrn)
        };
        assert_eq!(till.code(&refund(502, 1_001)).await, "64");
        assert_eq!(
            till.code(&refund(503, 600).set(2, OTHER_CARD).without(35))
                .await,
            "25"
        );
        assert_eq!(
            passed(&mut till, &mut link, &refund(504, 600), "00").await,
            "00"
        );
        // Another till of the shop, and what was refunded counts there.
        let mut other = world.till(2).await;
        let elsewhere = |stan, minor| {
            let draft = other.who.refund(stan, 501, minor).set(61, &zeros);
            draft.set(37, &rrn)
        };
        let (too_much, rest) = (elsewhere(601, 401), elsewhere(602, 400));
        assert_eq!(other.code(&too_much).await, "64");
        assert_eq!(passed(&mut other, &mut link, &rest, "00").await, "00");
        assert_eq!(till.code(&refund(505, 1)).await, "64");

        till.send(&pre_authorisation(&who, 510)).await;
        let request = link.next().await;
        link.send(&request.answered("00").set(38, "A12345")).await;
        assert_eq!(till.next().await.code(), "00");
        let by_code = |draft: Draft| draft.set(38, "A12345").set(61, &zeros);
        let completion = |stan, minor| {
            let sale = who.sale(stan, minor).set(25, "06");
            by_code(sale.set(60, "20000001000500"))
        };
        assert_eq!(till.code(&completion(511, 1_151)).await, "64");
        // With another card it is another transaction, of which the host has to decide.
        let other_card = completion(512, 1_150).set(2, OTHER_CARD).without(35);
        assert_eq!(passed(&mut till, &mut link, &other_card, "25").await, "25");
        assert_eq!(
            passed(&mut till, &mut link, &completion(513, 1_150), "00").await,
            "00"
        );
        assert_eq!(till.code(&completion(514, 1_000)).await, "12");
        let void = by_code(
            who.void(515, 510, 1_000)
                .retyped("0100")
                .set(25, "06")
                .set(60, "11000001000500")
                .without(37),
        );
        assert_eq!(till.code(&void).await, "12");
        // A void that names nothing undoes nothing.
        let nothing = who.void(516, 501, 1_000).set(61, &zeros).without(37);
        assert_eq!(till.code(&nothing.set(37, "000000000000")).await, "25");
        world.stop((till, other, link)).await;
    }
}

/// What a terminal's reversal says of amount and card does not count: what is undone is what was done.
#[tokio::test]
async fn a_reversal_undoes_its_original_as_it_was() {
    worlds(async |world, link, mut till| {
        let who = till.who.clone();
        let wrong = |of: u32| {
            let reversal = who.reversal(of, 1);
            reversal.set(2, OTHER_CARD)
        };
        let undone = async |link: &mut Wire, answer: String| {
            assert_eq!(answer, "00");
            let reversal = link.next().await;
            assert_eq!(reversal.text(4), "000000001000");
            assert_eq!(reversal.text(2), PAN);
            link.send(&reversal.answered("00")).await;
            eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        };
        // Approved; still in flight; approved, and forgotten by its lane.
        till.sell(link, 501, "00").await;
        let answer = till.code(&wrong(501)).await;
        undone(link, answer).await;
        till.send(&who.sale(502, 1_000)).await;
        link.next().await;
        let answer = world.till(1).await.code(&wrong(502)).await;
        undone(link, answer).await;
        for stan in 503..530 {
            till.sell(link, stan, "00").await;
        }
        let answer = till.code(&wrong(503)).await;
        undone(link, answer).await;
    })
    .await;
}
