//! What must be undone: owed by silence, asked for by the terminal, met by both, of originals unknown.

use posgate::store::Record;

use super::fixture::{GROUP_TPDU, ISO, PAN, Setup, UNIONPAY, World, eventually, journal_of};
use super::wire::{SILENCE, Seen, Wire};

/// A deadline that the test lets pass.
fn impatient(dialect: &'static str) -> Setup {
    Setup {
        timeout: SILENCE,
        ..Setup::speaking(dialect)
    }
}

async fn nothing_owed(world: &World) {
    let switch = &world.running.switch;
    eventually("nothing is owed", || switch.owed() == 0).await;
}

fn assert_undoes(reversal: &Seen, sale: &Seen) {
    for de in [2, 3, 4, 11, 25, 41, 42, 49] {
        assert_eq!(reversal.text(de), sale.text(de), "DE{de}");
    }
    assert_eq!(reversal.text(2), PAN);
    for de in [26, 35, 36, 45, 52, 53, 55, 64, 128] {
        assert!(!reversal.has(de), "DE{de} of the original in {reversal:?}");
    }
}

#[tokio::test]
async fn silence_is_answered_98_and_undone_until_acknowledged() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    let sale = link.next().await;
    let answer = till.next().await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0210", "98"));
    assert_eq!(
        (answer.text(11), answer.text(4)),
        ("000007", "000000000100")
    );
    let reversal = link.next().await;
    assert_eq!((reversal.mti.as_str(), reversal.code()), ("0400", "98"));
    assert_eq!(reversal.envelope[..5], GROUP_TPDU);
    assert_eq!(reversal.text(60), sale.text(60));
    assert_undoes(&reversal, &sale);
    // Nobody acknowledges it: it comes again, the same.
    assert_eq!(link.next().await, reversal);
    link.send(&reversal.answered("96")).await;
    assert_eq!(link.next().await, reversal);
    // An approval that comes now is nothing to the terminal.
    link.send(&sale.answered("00")).await;
    eventually("it is late", || world.unmatched("late") == 1).await;
    till.hears_nothing().await;
    link.send(&reversal.answered("00")).await;
    nothing_owed(&world).await;
    link.send(&reversal.answered("00")).await;
    eventually("it is a duplicate", || world.unmatched("duplicate") == 1).await;
    assert_eq!(
        (world.reversals("owed"), world.reversals("acknowledged")),
        (1, 1)
    );
    assert_eq!(world.reversals("sent"), 3);
    let (_, answer) = till.sell(&mut link, 8, "00").await;
    assert_eq!(answer.code(), "00");
    world.stop(till).await;
}

#[tokio::test]
async fn iso_reversals_name_the_original_and_say_when_they_are_repeats() {
    let (world, mut link) = impatient(ISO).start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    let sale = link.next().await;
    assert_eq!(till.next().await.code(), "91");
    let reversal = link.next().await;
    assert_eq!((reversal.mti.as_str(), reversal.code()), ("0420", "68"));
    assert_eq!(
        reversal.text(90),
        format!("{:0<42}", "02000000071122101500")
    );
    assert_undoes(&reversal, &sale);
    let again = link.next().await;
    assert_eq!(again.mti, "0421");
    assert_undoes(&again, &sale);
    link.send(&again.answered("00")).await;
    nothing_owed(&world).await;
    world.stop(till).await;
}

/// The next thing the upstream hears of is a sale: no reversal is on its way.
async fn hears_a_sale_next(world: &World, link: &mut Wire, number: u32, stan: u32) {
    let mut till = world.till(number).await;
    let (request, _) = till.sell(link, stan, "00").await;
    assert_eq!(
        (request.mti.as_str(), request.text(11)),
        ("0200", &*format!("{stan:06}"))
    );
}

#[tokio::test]
async fn a_terminals_reversal_meets_the_gateways_without_a_second_one() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = impatient(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        till.send(&till.who.sale(7, 100)).await;
        link.next().await;
        till.next().await;
        let reversal = link.next().await;
        // While it is out, and after it was acknowledged.
        assert_eq!(till.code(&till.who.reversal(7, 100)).await, "00");
        link.send(&reversal.answered("00")).await;
        nothing_owed(&world).await;
        assert_eq!(till.code(&till.who.reversal(7, 100)).await, "00");
        hears_a_sale_next(&world, &mut link, 2, 8).await;
        assert_eq!(world.reversals("owed"), 1);
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_reversal_overtakes_its_original_in_flight() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        till.send(&till.who.sale(7, 100)).await;
        let sale = link.next().await;
        let answer = till.ask(&till.who.reversal(7, 100)).await;
        assert_eq!((answer.code(), answer.text(4)), ("00", "000000000100"));
        let reversal = link.next().await;
        assert_eq!(reversal.text(11), "000007", "the original's STAN");
        assert!(!reversal.has(64));
        link.send(&sale.answered("00")).await;
        eventually("it is late", || world.unmatched("late") == 1).await;
        till.hears_nothing().await;
        link.send(&reversal.answered("00")).await;
        nothing_owed(&world).await;
        assert_eq!(world.running.switch.in_flight(), 0);
        world.stop(till).await;
    }
}

#[tokio::test]
async fn an_approved_sale_is_undone_at_once_however_silent_the_upstream_is() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        let (sale, answer) = till.sell(&mut link, 7, "00").await;
        assert_eq!(answer.code(), "00");
        for _ in 0..3 {
            assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
        }
        let reversal = link.next().await;
        assert_eq!(reversal.text(11), sale.text(11));
        if dialect == UNIONPAY {
            assert_eq!(reversal.envelope[..5], GROUP_TPDU);
        }
        hears_a_sale_next(&world, &mut link, 2, 8).await;
        link.send(&reversal.answered("00")).await;
        nothing_owed(&world).await;
        assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
        // What was undone is not done again.
        assert_eq!(till.code(&till.who.sale(7, 1_000)).await, "12");
        hears_a_sale_next(&world, &mut link, 2, 9).await;
        world.stop(till).await;
    }
}

#[tokio::test]
async fn a_declined_sale_needs_no_undoing() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let (_, answer) = till.sell(&mut link, 7, "51").await;
    assert_eq!(answer.code(), "51");
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    hears_a_sale_next(&world, &mut link, 2, 8).await;
    assert_eq!(world.reversals("owed"), 0);
    world.stop(till).await;
}

#[tokio::test]
async fn an_original_that_comes_after_its_reversal_is_never_forwarded() {
    for (dialect, code) in [(UNIONPAY, "00"), (ISO, "25")] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut till = world.till(1).await;
        assert_eq!(till.code(&till.who.reversal(7, 100)).await, code);
        assert_eq!(till.code(&till.who.sale(7, 100)).await, "12");
        assert_eq!(till.code(&till.who.sale(7, 200)).await, "12");
        hears_a_sale_next(&world, &mut link, 2, 8).await;
        let stored = world.stop(till).await;
        let tombs = journal_of(stored.path())
            .iter()
            .filter(|record| matches!(record, Record::Tombstone { stan, .. } if stan.get() == 7))
            .count();
        assert_eq!(tombs, 1);
    }
}

#[tokio::test]
async fn a_reversal_without_a_link_is_answered_and_sent_when_there_is_one() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.sell(&mut link, 7, "00").await;
    drop(link);
    let down = || world.running.switch.groups_up().0 == 0;
    eventually("the link is down", down).await;
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    let mut link = world.link().await;
    let reversal = link.next().await;
    assert_eq!(
        (reversal.mti.as_str(), reversal.text(11)),
        ("0400", "000007")
    );
    link.send(&reversal.answered("00")).await;
    nothing_owed(&world).await;
    world.stop(till).await;
}

/// A terminal may number its batches from the same STAN: two reversals then look alike to the mux.
#[tokio::test]
async fn reversals_of_one_terminal_with_one_stan_are_both_acknowledged() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let mut till = world.till(1).await;
    let mut batches = Vec::new();
    for batch in 1..=2 {
        let sale = till.who.sale(7, 100);
        let sale = sale.set(60, format!("22{batch:06}000500"));
        till.send(&sale).await;
        assert_eq!(till.next().await.code(), "98");
    }
    while batches.len() < 2 {
        let seen = link.next().await;
        if seen.mti == "0400" {
            link.send(&seen.answered("00")).await;
            batches.push(seen.part(60, 2..8).to_owned());
        }
    }
    batches.sort_unstable();
    assert_eq!(batches, ["000001", "000002"]);
    nothing_owed(&world).await;
    world.stop(till).await;
}

#[tokio::test]
async fn what_is_repeated_or_expires_is_never_reversed() {
    let (world, mut link) = impatient(UNIONPAY).start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.balance(7)).await;
    let enquiry = link.next().await;
    assert_eq!(till.next().await.code(), "98");
    assert_eq!(world.running.switch.owed(), 0);
    link.send(&enquiry.answered("00")).await;
    eventually("it is late", || world.unmatched("late") == 1).await;
    hears_a_sale_next(&world, &mut link, 2, 8).await;
    world.stop(till).await;
}
