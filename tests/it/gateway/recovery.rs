//! What a process leaves open when it ends at once, the next one takes up: from a copy of the store made
//! at that moment, as a crash would leave it.

use posgate::store::OutcomeKind;
use posgate::switch::StanPolicy;

use super::fixture::{ISO, Setup, Stored, UNIONPAY, World, counting_link, eventually, journal_of};
use super::wire::{SILENCE, Seen, Wire};
use posgate::store::Record;

fn setup(dialect: &'static str, stan: StanPolicy) -> Setup {
    Setup {
        stan,
        timeout: SILENCE,
        ..Setup::speaking(dialect)
    }
}

/// A second gateway on what the first would leave if it ended now.
async fn after_crash(world: &World, setup: Setup) -> (World, Wire) {
    let stored = world.crashed();
    let world = Setup {
        stored: Some(stored),
        ..setup
    };
    world.start_with_link().await
}

async fn nothing_is_owed(world: &World) {
    eventually("nothing is owed", || world.running.switch.owed() == 0).await;
}

fn outcomes(stored: &Stored) -> Vec<OutcomeKind> {
    journal_of(stored.path())
        .iter()
        .filter_map(|record| match record {
            Record::Outcome(outcome) => Some(outcome.kind),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn an_intent_without_an_outcome_is_reversed_as_if_nobody_had_crashed() {
    for dialect in [UNIONPAY, ISO] {
        for policy in [StanPolicy::Pass, StanPolicy::Own] {
            let world = setup(dialect, policy).start().await;
            let mut link = counting_link(&world).await;
            let mut till = world.till(1).await;
            let (sale, _) = till.sell(&mut link, 601, "00").await;
            for draft in [till.who.sale(602, 1_000), till.who.void(603, 601, 1_000)] {
                till.send(&draft).await;
                let request = link.next().await;
                let (after, mut link_after) = after_crash(&world, setup(dialect, policy)).await;
                let taken_up = link_after.next().await;
                // The living gateway reverses it too, for its silence.
                let reversal = link.next().await;
                assert_eq!(taken_up, reversal, "{dialect} {policy:?}");
                assert_eq!(taken_up.text(11), request.text(11));
                assert_ne!(taken_up.text(11), sale.text(11));
                link_after.send(&taken_up.answered("00")).await;
                nothing_is_owed(&after).await;
                let stored = after.stop(link_after).await;
                let ends = outcomes(&stored);
                assert!(ends.ends_with(&[OutcomeKind::ReversalOwed, OutcomeKind::Reversed]));
                link.send(&reversal.answered("00")).await;
                till.next().await;
            }
            nothing_is_owed(&world).await;
            world.stop(till).await;
        }
    }
}

#[tokio::test]
async fn a_reversal_owed_at_the_crash_is_sent_with_its_reason_and_a_terminals_own_is_one_with_it() {
    for dialect in [UNIONPAY, ISO] {
        let world = setup(dialect, StanPolicy::Pass).start().await;
        let mut link = world.link().await;
        let mut till = world.till(1).await;
        let (sale, _) = till.sell(&mut link, 601, "00").await;
        assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
        let first = link.next().await;
        let (after, mut link) = after_crash(&world, setup(dialect, StanPolicy::Pass)).await;
        let again = link.next().await;
        assert_eq!(again.mti, first.mti);
        for de in [3, 4, 11, 39, 41, 42] {
            assert_eq!(again.text(de), first.text(de), "DE{de}");
        }
        assert_eq!(again.text(11), sale.text(11));
        let mut till = after.till(1).await;
        assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
        link.send(&again.answered("00")).await;
        nothing_is_owed(&after).await;
        assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
        assert_eq!(
            after.reversals("owed"),
            1,
            "by the first gateway of that name"
        );
        let (next, _) = till.sell(&mut link, 602, "00").await;
        assert_eq!(next.mti, "0200");
        after.stop(till).await;
        drop(world);
    }
}

#[tokio::test]
async fn an_answer_outlives_the_process_and_so_do_duplicates() {
    for dialect in [UNIONPAY, ISO] {
        let (world, mut link) = setup(dialect, StanPolicy::Pass).start_with_link().await;
        let mut till = world.till(1).await;
        let (_, approved) = till.sell(&mut link, 601, "00").await;
        let (_, declined) = till.sell(&mut link, 602, "51").await;
        let (after, mut link) = after_crash(&world, setup(dialect, StanPolicy::Pass)).await;
        let mut till = after.till(1).await;
        for (stan, first) in [(601, &approved), (602, &declined), (601, &approved)] {
            let again = till.ask(&till.who.sale(stan, 1_000)).await;
            for de in [3, 4, 11, 37, 39, 41, 42] {
                assert_eq!(again.text(de), first.text(de), "{dialect} {stan} DE{de}");
            }
            assert_eq!(till.code(&till.who.sale(stan, 1_001)).await, "94");
        }
        // New ones pass, with a higher number and with a lower one that was not used.
        for stan in [604, 603, 500] {
            let (request, _) = till.sell(&mut link, stan, "00").await;
            assert_eq!(request.text(11), format!("{stan:06}"));
        }
        after.stop(till).await;
        drop(world);
    }
}

#[tokio::test]
async fn numbers_older_than_the_lane_remembers_are_still_known() {
    let (world, mut link) = setup(UNIONPAY, StanPolicy::Pass).start_with_link().await;
    let mut till = world.till(1).await;
    let (_, first) = till.sell(&mut link, 601, "00").await;
    for stan in 602..615 {
        till.sell(&mut link, stan, "00").await;
    }
    assert_eq!(till.code(&till.who.sale(601, 1_001)).await, "94");
    let again = till.ask(&till.who.sale(601, 1_000)).await;
    assert_eq!((again.code(), again.text(37)), ("00", first.text(37)));
    till.hears_nothing().await;
    world.stop(till).await;
}

#[tokio::test]
async fn a_reversal_that_came_first_keeps_its_original_out_also_after_a_crash() {
    for (dialect, unknown) in [(UNIONPAY, "00"), (ISO, "25")] {
        let (world, _link) = setup(dialect, StanPolicy::Pass).start_with_link().await;
        let mut till = world.till(1).await;
        assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, unknown);
        let (after, mut link) = after_crash(&world, setup(dialect, StanPolicy::Pass)).await;
        let mut till = after.till(1).await;
        assert_eq!(till.code(&till.who.sale(601, 1_000)).await, "12");
        let (request, _) = till.sell(&mut link, 602, "00").await;
        assert_eq!(request.text(11), "000602", "the original was not forwarded");
        after.stop(till).await;
        drop(world);
    }
}

/// What a repeat says that its original said too.
fn same_request(repeat: &Seen, first: &Seen) {
    for de in [2, 3, 4, 11, 41, 42, 49] {
        assert_eq!(repeat.text(de), first.text(de), "DE{de}");
    }
}

#[tokio::test]
async fn a_refund_nobody_answered_is_repeated_until_it_is_and_never_reversed() {
    for (dialect, repeated, silence) in [(UNIONPAY, "0220", "98"), (ISO, "0221", "91")] {
        let (world, mut link) = setup(dialect, StanPolicy::Pass).start_with_link().await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 601, "00").await;
        let refund = till.who.refund(602, 601, 400);
        till.send(&refund).await;
        let first = link.next().await;
        assert_eq!(first.mti, "0220");
        assert_eq!(till.next().await.code(), silence);
        let again = link.next().await;
        assert_eq!(again.mti, repeated);
        same_request(&again, &first);
        // The terminal's repeat is not a second refund.
        assert_eq!(till.code(&refund).await, silence);
        // Nor does a crash make it one.
        let (after, mut link_after) = after_crash(&world, setup(dialect, StanPolicy::Pass)).await;
        let taken_up = link_after.next().await;
        assert_eq!(taken_up.mti, repeated);
        same_request(&taken_up, &first);
        assert!(!taken_up.has(35) && !taken_up.has(52), "no track, no PIN");
        let mut till_after = after.till(1).await;
        assert_eq!(till_after.code(&refund).await, silence);
        link_after.send(&taken_up.answered("00")).await;
        nothing_is_owed(&after).await;
        let answer = till_after.ask(&refund).await;
        assert_eq!((answer.code(), answer.text(37)), ("00", "R00000000602"));
        till_after.hears_nothing().await;
        let stored = after.stop((till_after, link_after)).await;
        let ends = outcomes(&stored);
        assert!(ends.ends_with(&[OutcomeKind::RepeatOwed, OutcomeKind::Approved]));
        link.send(&again.answered("00")).await;
        nothing_is_owed(&world).await;
        let answer = till.ask(&refund).await;
        assert_eq!((answer.code(), answer.text(37)), ("00", "R00000000602"));
        world.stop(till).await;
    }
}

#[tokio::test]
async fn no_such_original_proves_nothing_while_the_original_may_still_arrive() {
    let (world, mut link) = setup(UNIONPAY, StanPolicy::Pass).start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(601, 1_000)).await;
    let sale = link.next().await;
    assert_eq!(till.next().await.code(), "98");
    let reversal = link.next().await;
    link.send(&reversal.answered("25")).await;
    // It comes again, until the answer cannot be a late one to a time when the original was still under way.
    let mut repeats = 0;
    loop {
        tokio::select! {
            again = link.next() => {
                assert_eq!(again, reversal);
                repeats += 1;
                link.send(&again.answered("25")).await;
            }
            () = nothing_is_owed(&world) => break,
        }
    }
    assert!(repeats >= 2, "{repeats}");
    // The original was on its way all the time.
    link.send(&sale.answered("00")).await;
    let third = link.next().await;
    assert_eq!((third.mti.as_str(), third.text(11)), ("0400", "000601"));
    link.send(&third.answered("00")).await;
    nothing_is_owed(&world).await;
    // Another late answer changes nothing.
    link.send(&sale.answered("00")).await;
    let (request, _) = till.sell(&mut link, 602, "00").await;
    assert_eq!(request.text(11), "000602");
    let stored = world.stop(till).await;
    use OutcomeKind::{Approved, ReversalOwed, Reversed};
    assert_eq!(
        outcomes(&stored),
        [ReversalOwed, Reversed, ReversalOwed, Reversed, Approved]
    );
}

#[tokio::test]
async fn what_is_never_answered_is_parked_and_stays_so_after_a_restart() {
    let setup = || Setup {
        timeout: SILENCE,
        attempts_max: 1,
        ..Setup::new()
    };
    let (world, mut link) = setup().start_with_link().await;
    let mut till = world.till(1).await;
    till.send(&till.who.sale(601, 1_000)).await;
    let sale = link.next().await;
    assert_eq!(till.next().await.code(), "98");
    assert_eq!(link.next().await.mti, "0400");
    nothing_is_owed(&world).await;
    assert_eq!(world.reversals("parked"), 1);
    let stored = world.stop((till, link)).await;
    assert_eq!(
        outcomes(&stored),
        [OutcomeKind::ReversalOwed, OutcomeKind::Parked]
    );
    let world = Setup {
        stored: Some(stored),
        ..setup()
    };
    let (world, mut link) = world.start_with_link().await;
    let mut till = world.till(1).await;
    // Nothing is sent by itself, nor for a repeat.
    assert_eq!(till.code(&till.who.sale(601, 1_000)).await, "12");
    link.send(&sale.answered("00")).await;
    let (request, _) = till.sell(&mut link, 602, "00").await;
    assert_eq!(request.text(11), "000602");
    // The terminal's own reversal is.
    assert_eq!(till.code(&till.who.reversal(601, 1_000)).await, "00");
    let reversal = link.next().await;
    assert_eq!(
        (reversal.mti.as_str(), reversal.text(11)),
        ("0400", "000601")
    );
    link.send(&reversal.answered("00")).await;
    nothing_is_owed(&world).await;
    let stored = world.stop(till).await;
    assert!(outcomes(&stored).ends_with(&[OutcomeKind::ReversalOwed, OutcomeKind::Reversed]));
}
