//! The book of what is owed, without a switch around it: what is sent when, and which answers are believed.

use super::*;
use crate::base::{AcquirerId, Stan};
use crate::store::Journal;
use crate::store::memory::MemoryJournal;

const PACE: Pace = Pace {
    timeout: Duration::from_secs(5),
    attempts_max: 3,
};

fn at(millis: u64) -> Moment {
    Moment(millis * 1_000)
}

fn terminal(name: &str) -> TerminalId {
    TerminalId::parse(name).unwrap()
}

fn key(n: u32) -> MatchKey {
    MatchKey::own(4, Stan::new(n).unwrap())
}

/// The reversal of transaction `txn`, doubtful for `doubtful` ms, whose answer is found under key `n`.
fn reversal(txn: u64, n: u32, doubtful: u64) -> Owed {
    Owed {
        txn: TxnId(txn),
        key: TerminalKey {
            acquirer: AcquirerId(0),
            terminal: terminal("T0000001"),
        },
        duty: Duty::Reversal {
            original: MatchKey::own(2, Stan::new(n).unwrap()),
            doubt: Doubt::until(at(doubtful)),
        },
        match_key: key(n),
        after: None,
    }
}

fn repeat(txn: u64, n: u32) -> Owed {
    Owed {
        duty: Duty::Repeat { asked: 100 },
        ..reversal(txn, n, 0)
    }
}

/// A frame that the journal made durable.
fn frame(text: &'static str) -> Durable<Bytes> {
    let (journal, mut writer) = Journal::by_hand(Box::new(MemoryJournal::default()));
    journal
        .append(Bytes::from_static(text.as_bytes()), |_nothing| {})
        .unwrap();
    writer.take();
    writer.write().unwrap();
    writer.effects().next().unwrap()
}

fn links(count: usize) -> Group {
    let group = Group::new(count, 10_000);
    (0..count).for_each(|at| group.link(at).unwrap().set_up());
    group
}

fn sent(links: &Group, link: usize) -> String {
    let mut out = Vec::new();
    links.link(link).unwrap().take_output(&mut out);
    String::from_utf8(out).unwrap()
}

fn tick(book: &OwedBook, links: &Group, now: u64) -> Round {
    book.tick(links, at(now), PACE, &|_frame| {
        Bytes::from_static(b"again ")
    })
}

fn answered(book: &OwedBook, n: u32, said: Said, now: u64) -> Answered {
    book.reversal_answered(&key(n), &|_, _| Ok(()), said, Some(*b"96"), at(now))
}

/// When something was sent and when it was given up, in ms, looking every 100 ms.
fn times(book: &OwedBook, links: &Group, until: u64) -> (Vec<u64>, Vec<(u64, Exhausted)>) {
    let (mut sends, mut given_up) = (Vec::new(), Vec::new());
    for now in (0..=until).step_by(100) {
        let round = tick(book, links, now);
        sends.extend((round.reversals + round.repeats > 0).then_some(now));
        given_up.extend(round.exhausted.into_iter().map(|ended| (now, ended)));
    }
    (sends, given_up)
}

#[test]
fn what_nobody_answers_is_sent_with_longer_waits_and_given_up_at_the_limit() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("first "), at(0));
    assert!(book.holds(TxnId(1)) && !book.holds(TxnId(2)));
    let (sends, given_up) = times(&book, &links, 30_000);
    // Five seconds for an answer, then a wait of 1, 2 and 4 seconds.
    assert_eq!(sends, [0, 6_000, 13_000]);
    let [(when, ended)] = given_up[..] else {
        panic!("{given_up:?}");
    };
    assert_eq!((when, ended.attempts, ended.refusal), (22_000, 3, None));
    assert_eq!(ended.owed.txn, TxnId(1));
    assert_eq!((book.len(), book.holds(TxnId(1))), (0, false));
    // From the second time on it says that it is a repeat.
    assert_eq!(sent(&links, 0), "first again again ");
}

#[test]
fn a_repeat_is_always_the_same_and_ends_with_any_answer() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(repeat(1, 1), frame("ask "), at(0));
    let ends = |now| book.repeat_answered(&key(1), &|_, _| Ok(()), at(now));
    assert_eq!(ends(0).err(), Some(None), "it was not sent yet");
    let (sends, _) = times(&book, &links, 7_000);
    assert_eq!(sends, [0, 6_000]);
    assert_eq!(sent(&links, 0), "ask ask ");
    let differs = Mismatch::Differs(41);
    let foreign = book.repeat_answered(&key(1), &|_, _| Err(differs), at(7_000));
    assert_eq!(
        foreign.err(),
        Some(Some(differs)),
        "another terminal's answer"
    );
    assert_eq!(ends(7_000).map(|owed| owed.txn).ok(), Some(TxnId(1)));
    assert_eq!(book.len(), 0);
    book.begin(reversal(2, 2, 0), frame("undo "), at(0));
    assert_eq!(tick(&book, &links, 8_000).reversals, 1);
    let none = book.repeat_answered(&key(2), &|_, _| Ok(()), at(8_000));
    assert_eq!(none.err(), Some(None), "a reversal is no repeat");
}

#[test]
fn without_a_link_it_waits_and_that_counts_no_attempt() {
    let (book, links) = (OwedBook::default(), links(1));
    links.link(0).unwrap().set_down();
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    let (sends, given_up) = times(&book, &links, 60_000);
    assert!(sends.is_empty() && given_up.is_empty());
    links.link(0).unwrap().set_up();
    assert_eq!(tick(&book, &links, 60_200).reversals, 1);
}

#[test]
fn a_refusal_is_asked_again_and_told_in_the_end() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    assert!(matches!(
        answered(&book, 1, Said::No, 0),
        Answered::Stray(None)
    ));
    tick(&book, &links, 0);
    let Answered::Again(TxnId(1), 1) = answered(&book, 1, Said::No, 100) else {
        panic!("it stays on the book");
    };
    let (sends, given_up) = times(&book, &links, 30_000);
    assert_eq!(sends, [1_100, 8_100]);
    let [(_, ended)] = given_up[..] else {
        panic!("{given_up:?}");
    };
    assert_eq!((ended.attempts, ended.refusal), (3, Some(*b"96")));
}

#[test]
fn under_one_key_one_is_out_at_a_time() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("one "), at(0));
    book.begin(reversal(2, 1, 0), frame("two "), at(0));
    book.begin(reversal(1, 1, 0), frame("never "), at(0));
    assert_eq!((book.len(), tick(&book, &links, 0).reversals), (2, 1));
    // Whoever waits for the other's acknowledgement cannot be hurried.
    book.hurry(TxnId(2), at(100));
    assert_eq!(tick(&book, &links, 100).reversals, 0);
    let Answered::Done(owed) = answered(&book, 1, Said::Undone, 200) else {
        panic!("it is acknowledged");
    };
    assert_eq!(owed.txn, TxnId(1));
    assert_eq!(tick(&book, &links, 200).reversals, 1);
    assert_eq!(sent(&links, 0), "one two ");
}

#[test]
fn what_leaves_from_behind_another_lets_that_one_wait() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("one "), at(0));
    book.begin(reversal(2, 1, 0), frame("two "), at(0));
    tick(&book, &links, 0);
    // It is out until 5 s, and another leaves the book from behind it.
    assert!(book.lock().take_off(TxnId(2), at(100)).is_some());
    assert_eq!(book.lock().entries[&TxnId(1)].wake_at, at(5_000));
}

#[test]
fn who_has_left_the_book_is_not_found_by_its_original() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("one "), at(0));
    book.begin(reversal(2, 2, 0), frame("two "), at(0));
    tick(&book, &links, 0);
    answered(&book, 1, Said::Undone, 100);
    let kept: Vec<_> = book.lock().originals.values().copied().collect();
    assert_eq!(kept, [TxnId(2)]);
}

#[test]
fn who_is_waited_for_is_sent_at_once_unless_it_is_out() {
    let (book, links) = (OwedBook::default(), links(1));
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    tick(&book, &links, 0);
    book.hurry(TxnId(1), at(1_000));
    assert_eq!(tick(&book, &links, 1_000).reversals, 0, "it is out");
    tick(&book, &links, 5_000);
    book.hurry(TxnId(1), at(5_100));
    assert_eq!(tick(&book, &links, 5_100).reversals, 1);
}

/// Asks every time it is sent, and says when the answer "no such original" was believed.
fn believed(book: &OwedBook, links: &Group, from: u64) -> Option<u64> {
    let pace = Pace {
        attempts_max: 100,
        ..PACE
    };
    (from..from + 120_000).step_by(100).find(|&now| {
        let round = book.tick(links, at(now), pace, &|frame| frame);
        round.reversals > 0 && matches!(answered(book, 1, Said::NoOriginal, now), Answered::Done(_))
    })
}

#[test]
fn no_such_original_is_believed_when_it_cannot_be_behind_and_no_late_answer_can_say_it() {
    let links = links(1);
    let book = OwedBook::default();
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    assert_eq!(believed(&book, &links, 0), Some(0));
    // Doubtful for 5 s: sent at 0, 1 and 3 s. Answers to that may come 15 s later, up to 18 s. Sent again at 7, 15
    // and 31 s.
    let book = OwedBook::default();
    book.begin(reversal(1, 1, 5_000), frame("undo "), at(0));
    assert_eq!(believed(&book, &links, 0), Some(31_000));
}

#[test]
fn an_original_that_was_approved_is_there_whatever_is_said() {
    let links = links(1);
    let original = MatchKey::own(2, Stan::FIRST);
    let book = OwedBook::default();
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    assert!(book.found_after_all(&original, None).is_none());
    assert_eq!(believed(&book, &links, 0), None);

    // Its approval comes after its reversal has ended.
    let book = OwedBook::default();
    book.begin(reversal(1, 1, 0), frame("undo "), at(0));
    assert_eq!(believed(&book, &links, 0), Some(0));
    let other = terminal("T0000002");
    assert!(book.found_after_all(&original, Some(other)).is_none());
    let (owed, frame) = book.found_after_all(&original, None).unwrap();
    assert_eq!((owed.txn, &frame[..]), (TxnId(1), &b"undo "[..]));
    assert!(book.found_after_all(&original, None).is_none(), "once");
}

#[test]
fn reversals_that_ended_without_an_original_are_remembered_but_not_without_end() {
    let (book, links) = (OwedBook::default(), links(1));
    let many = u32::try_from(UNFOUND_REMEMBERED).unwrap() + 1;
    for n in 1..=many {
        book.begin(reversal(n.into(), n, 0), frame("undo "), at(0));
        tick(&book, &links, 0);
        sent(&links, 0);
        answered(&book, n, Said::NoOriginal, 0);
    }
    let found = |n: u32| book.found_after_all(&MatchKey::own(2, Stan::new(n).unwrap()), None);
    assert!(found(1).is_none());
    assert!(found(2).is_some() && found(many).is_some());
    // What was taken out is not counted among those that are remembered, the others are.
    for n in many + 1..=many + 3 {
        book.begin(reversal(n.into(), n, 0), frame("undo "), at(0));
        tick(&book, &links, 0);
        sent(&links, 0);
        answered(&book, n, Said::NoOriginal, 0);
    }
    assert!(found(3).is_none() && found(4).is_some());
}

#[test]
fn what_falls_with_its_link_makes_room_for_others() {
    let (book, links) = (OwedBook::default(), links(2));
    let most = u32::try_from(IN_FLIGHT_MAX).unwrap();
    for n in 1..=most + 1 {
        book.begin(reversal(n.into(), n, 0), frame("undo "), at(0));
    }
    assert_eq!(tick(&book, &links, 0).reversals, u64::from(most));
    assert_eq!(tick(&book, &links, 10).reversals, 0);
    for link in 0..2 {
        book.link_lost(link, at(20), at(20));
    }
    assert_eq!(tick(&book, &links, 60_000).reversals, u64::from(most));
}

/// What waits for its turn is due before what is out has timed out, and must not keep it from being put back.
#[test]
fn what_is_never_answered_makes_room_for_others() {
    let (book, links) = (OwedBook::default(), links(1));
    let most = u32::try_from(IN_FLIGHT_MAX).unwrap();
    let all = most * 3 + 1;
    for n in 1..=all {
        book.begin(reversal(n.into(), n, 0), frame("undo "), at(0));
    }
    let (mut sent_again, mut given_up) = (0, Vec::new());
    for now in (0..=300_000).step_by(1_000) {
        let round = tick(&book, &links, now);
        assert!(round.reversals <= u64::from(most));
        sent_again += round.reversals;
        given_up.extend(round.exhausted);
        links.link(0).unwrap().take_output(&mut Vec::new());
    }
    assert_eq!(given_up.len(), usize::try_from(all).unwrap());
    assert!(
        given_up
            .iter()
            .all(|ended| ended.attempts == PACE.attempts_max)
    );
    assert_eq!(sent_again, u64::from(all * PACE.attempts_max));
    assert_eq!(book.len(), 0);
}

#[test]
fn it_follows_its_original_and_is_sent_elsewhere_when_that_link_falls() {
    let links = links(2);
    let book = OwedBook::default();
    let choice = links.choose().unwrap();
    let other = 1 - choice.link;
    let owed = Owed {
        after: Some(choice),
        ..reversal(1, 1, 0)
    };
    book.begin(owed, frame("undo "), at(0));
    tick(&book, &links, 0);
    assert_eq!(sent(&links, choice.link), "undo ");
    book.link_lost(other, at(100), at(50_000));
    assert_eq!(tick(&book, &links, 2_000).reversals, 0, "it is out");
    links.link(choice.link).unwrap().set_down();
    book.link_lost(choice.link, at(2_000), at(7_000));
    links.link(choice.link).unwrap().set_up();
    // What the fallen link carried may arrive until 7 s: what is sent at 3 and 5 s proves nothing, nor does an answer
    // until 20 s. Then it is sent at 9, 17 and 33 s.
    book.link_lost(choice.link, at(2_100), at(90_000));
    assert_eq!(believed(&book, &links, 2_200), Some(33_000));
    assert!(!sent(&links, other).is_empty());
}

#[test]
fn what_was_parked_goes_on_with_its_doubts() {
    let links = links(1);
    let choice = links.choose();
    let parked = Owed {
        after: choice,
        ..reversal(1, 1, 5_000)
    };
    let doubt_of = |owed: &Owed| match owed.duty {
        Duty::Reversal { doubt, .. } => doubt,
        Duty::Repeat { .. } => panic!("a reversal"),
    };
    let mut again = reversal(1, 1, 90_000);
    again.continue_from(&parked, &links, at(95_000));
    assert_eq!(doubt_of(&again), Doubt::until(at(5_000)));
    assert_eq!(again.after, choice);
    // The link of its original fell meanwhile, nobody knows when.
    links.link(0).unwrap().set_down();
    let mut again = reversal(1, 1, 90_000);
    again.continue_from(&parked, &links, at(95_000));
    assert_eq!(doubt_of(&again), Doubt::until(at(95_000)));
    assert_eq!(again.after, None);
    // The next time that is known.
    let mut third = reversal(1, 1, 190_000);
    third.continue_from(&again, &links, at(195_000));
    assert_eq!(doubt_of(&third), Doubt::until(at(95_000)));
    let mut other = repeat(1, 1);
    other.continue_from(&parked, &links, at(95_000));
    assert_eq!(other.duty, Duty::Repeat { asked: 100 });
}

#[test]
fn waits_grow_and_stop_growing() {
    let wait = |attempts: u32| {
        RETRY_MIN
            .saturating_mul(1 << attempts.saturating_sub(1).min(6))
            .min(RETRY_MAX)
            .as_secs()
    };
    assert_eq!([0, 1, 2, 3, 6, 7, 50].map(wait), [1, 1, 2, 4, 32, 60, 60]);
}
