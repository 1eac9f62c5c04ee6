//! Upstreams that answer in any order, twice, too late, wrongly, or not at all.

use super::fixture::{ISO, Setup, UNIONPAY, eventually, journal_of};
use super::wire::{SILENCE, Seen};
use posgate::store::{OutcomeKind, Record};

#[tokio::test]
async fn answers_may_come_in_any_order() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = Setup::speaking(dialect).start_with_link().await;
        let mut tills = Vec::new();
        let mut requests: Vec<Seen> = Vec::new();
        for number in 1..=4 {
            let mut till = world.till(number).await;
            // The same STAN everywhere: it is the terminal's own.
            till.send(&till.who.sale(7, 100 * u64::from(number))).await;
            requests.push(link.next().await);
            tills.push(till);
        }
        for at in [2, 0, 3, 1] {
            link.send(&requests[at].answered("00")).await;
            let answer = tills[at].next().await;
            assert_eq!(answer.text(41), tills[at].who.terminal);
            assert_eq!(answer.text(4), requests[at].text(4));
        }
        world.stop(tills).await;
    }
}

#[tokio::test]
async fn answers_that_fit_no_request_reach_nobody_and_harm_nothing() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let mut other = world.till(2).await;
    till.send(&till.who.sale(7, 100)).await;
    let request = link.next().await;
    other.send(&other.who.sale(8, 200)).await;
    let bystander = link.next().await;
    let misfits = [
        request.answered("00").set(41, "T0000003"),
        request.answered("00").set(4, "000000000101"),
        request.answered("00").set(42, "104110041299999"),
        request.answered("00").set(11, "000099"),
        request.answered("00").without(39),
        request.answered("00").without(11),
        request.answered("00").retyped("0110"),
    ];
    for misfit in &misfits {
        link.send(misfit).await;
    }
    let misfits = u64::try_from(misfits.len()).unwrap();
    eventually("they are counted", || {
        world.unmatched("unmatched") == misfits
    })
    .await;
    // Not a message at all, then one that ends early.
    link.send_bytes(&[0, 5, b'h', b'e', b'l', b'l', b'o']).await;
    let mut cut = request.answered("00").frame(&world.dialect);
    cut.truncate(cut.len() - 3);
    let len = u16::try_from(cut.len() - 2).unwrap();
    cut[..2].copy_from_slice(&len.to_be_bytes());
    link.send_bytes(&cut).await;
    eventually("they are counted", || world.unmatched("undecodable") == 2).await;
    till.hears_nothing().await;
    other.hears_nothing().await;
    // Both requests still get their own.
    link.send(&bystander.answered("51")).await;
    assert_eq!(other.next().await.code(), "51");
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    assert_eq!(
        world.metric("posgate_link_events_total", &[("event", "down")]),
        0
    );
    world.stop((till, other)).await;
}

#[tokio::test]
async fn a_second_answer_is_a_duplicate_and_goes_nowhere() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    let (request, answer) = till.sell(&mut link, 7, "00").await;
    assert_eq!(answer.code(), "00");
    link.send(&request.answered("51")).await;
    link.send(&request.answered("00")).await;
    eventually("both are counted", || world.unmatched("duplicate") == 2).await;
    till.hears_nothing().await;
    let (_, answer) = till.sell(&mut link, 8, "00").await;
    assert_eq!(answer.text(11), "000008");
    world.stop(till).await;
}

#[tokio::test]
async fn a_partial_approval_may_change_the_amount_and_books_it() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 500)).await;
    let request = link.next().await;
    link.send(&request.answered("10").set(4, "000000000300"))
        .await;
    let answer = till.next().await;
    assert_eq!((answer.code(), answer.text(4)), ("10", "000000000300"));
    let stored = world.stop(till).await;
    let booked = journal_of(stored.path())
        .into_iter()
        .find_map(|record| match record {
            Record::Outcome(outcome) => Some((outcome.kind, outcome.booked)),
            _ => None,
        });
    assert_eq!(booked, Some((OutcomeKind::Approved, 300)));
}

#[tokio::test]
async fn requests_on_a_lost_link_get_98_and_are_undone_on_the_next() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut tills = Vec::new();
    for number in 1..=2 {
        let mut till = world.till(number).await;
        till.send(&till.who.sale(7, 100)).await;
        assert_eq!(link.next().await.text(11), "000007");
        tills.push(till);
    }
    drop(link);
    for till in &mut tills {
        let answer = till.next().await;
        assert_eq!((answer.code(), answer.text(11)), ("98", "000007"));
        assert_eq!(answer.text(41), till.who.terminal);
    }
    assert_eq!(world.running.switch.owed(), 2);
    // It signs on again and undoes both.
    let mut link = world.link().await;
    let mut undone = Vec::new();
    for _ in 0..2 {
        let reversal = link.next().await;
        assert_eq!((reversal.mti.as_str(), reversal.code()), ("0400", "98"));
        link.send(&reversal.answered("00")).await;
        undone.push(reversal.text(41).to_owned());
    }
    undone.sort_unstable();
    assert_eq!(undone, ["T0000001", "T0000002"]);
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
    let (_, answer) = tills[0].sell(&mut link, 8, "00").await;
    assert_eq!(answer.code(), "00");
    world.stop(tills).await;
}

#[tokio::test]
async fn a_refused_or_unanswered_sign_on_is_tried_again() {
    let setup = Setup {
        answer_timeout: SILENCE,
        ..Setup::new()
    };
    let world = setup.start().await;
    let mut refusing = world.unanswered_link().await;
    let sign_on = refusing.next().await;
    refusing.send(&sign_on.answered("96")).await;
    refusing.ends().await;
    let mut silent = world.unanswered_link().await;
    assert_eq!(silent.next().await.mti, "0800");
    silent.ends().await;
    let mut link = world.link().await;
    let (_, answer) = world.till(1).await.sell(&mut link, 1, "00").await;
    assert_eq!(answer.code(), "00");
    world.stop(()).await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_on_costs_the_link_and_no_more() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(7, 100)).await;
    link.next().await;
    link.send_bytes(&[0xFF; 64]).await;
    assert_eq!(till.next().await.code(), "98");
    link.ends().await;
    let mut link = world.link().await;
    assert_eq!(link.next().await.mti, "0400");
    world.stop(till).await;
}

#[tokio::test]
async fn line_tests_of_the_upstream_are_answered() {
    let (world, mut link) = Setup::new().start_with_link().await;
    let echo = super::fixture::Who::numbered(1, UNIONPAY).echo(4_242);
    link.send(&echo).await;
    let answer = link.next().await;
    assert_eq!((answer.mti.as_str(), answer.code()), ("0830", "00"));
    assert_eq!(answer.text(11), "004242");
    world.stop(()).await;
}
