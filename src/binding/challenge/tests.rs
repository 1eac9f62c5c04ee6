//! Challenges against the rules of their codes.

use proptest::prelude::*;

use super::*;

const RIGHT: CodeHash = CodeHash([7; 32]);
const WRONG: CodeHash = CodeHash([8; 32]);
const START: Timestamp = Timestamp(1_795_305_600_000_000);

fn at(seconds: u64) -> Timestamp {
    later(START, Duration::from_secs(seconds))
}

fn sent() -> Challenge {
    Challenge {
        state: ChallengeState::Sent,
        code: RIGHT,
        expires_at: at(300),
        tries: 0,
    }
}

#[test]
fn a_code_is_good_once_and_until_its_time_is_over() {
    let (used, verdict) = sent().check(at(300), &RIGHT);
    assert_eq!(verdict, Verdict::Approved);
    assert_eq!(used.check(at(300), &RIGHT).1, Verdict::Used);
    let late = Timestamp(at(300).0 + 1_000_000);
    let (over, verdict) = sent().check(late, &RIGHT);
    assert_eq!(verdict, Verdict::Expired);
    assert_eq!(over.check(at(1), &RIGHT).1, Verdict::Expired);
}

#[test]
fn the_fifth_wrong_code_is_the_last() {
    let mut now = sent();
    for left in [4, 3, 2, 1] {
        let (after, verdict) = now.check(at(1), &WRONG);
        assert_eq!(verdict, Verdict::Wrong { left });
        now = after;
    }
    let (after, verdict) = now.check(at(1), &WRONG);
    assert_eq!(verdict, Verdict::Exhausted);
    assert_eq!(after.check(at(1), &RIGHT).1, Verdict::Used);
}

#[test]
fn an_old_code_is_void_after_a_newer_one() {
    assert_eq!(sent().superseded().check(at(1), &RIGHT).1, Verdict::Used);
    let approved = sent().check(at(1), &RIGHT).0;
    assert_eq!(approved.superseded().state, ChallengeState::Approved);
    assert!(approved.cancel().is_err());
}

#[test]
fn what_is_not_delivered_is_no_attempt_and_a_late_report_changes_nothing() {
    let failed = sent().reported(Delivery::Failed);
    assert_eq!(
        (failed.state, failed.tries),
        (ChallengeState::Undelivered, 0)
    );
    let approved = sent().check(at(1), &RIGHT).0;
    assert_eq!(
        approved.reported(Delivery::Failed).state,
        ChallengeState::Approved
    );
    let arrived = sent().reported(Delivery::Delivered);
    assert_eq!(
        arrived.reported(Delivery::Sent).state,
        ChallengeState::Delivered
    );
}

#[test]
fn codes_are_six_digits_and_equally_likely() {
    assert_eq!(Code::from_random(42).unwrap().expose(), "000042");
    assert_eq!(Code::from_random(4_294_000_000), None);
    assert_eq!(Code::from_random(3_999_999).unwrap().expose(), "999999");
    assert_eq!(Code::parse("12 34 56").unwrap().expose(), "123456");
    for bad in ["12345", "1234567", "12345x", "", "１２３４５６"] {
        assert!(Code::parse(bad).is_err(), "{bad}");
    }
    let shown = format!("{:?} {:?}", Code::parse("123456").unwrap(), RIGHT);
    assert!(!shown.contains("1234") && !shown.contains('7'), "{shown}");
}

fn sends(at: &[Timestamp]) -> [Sends<'_>; 1] {
    let spaced = true;
    [Sends { at, spaced }]
}

#[test]
fn sends_are_a_minute_apart_five_an_hour_and_ten_a_day() {
    assert_eq!(may_send(at(0), &sends(&[])), Ok(()));
    let refused = may_send(at(59), &sends(&[at(0)])).unwrap_err();
    assert!(refused.to_string().ends_with("in 1 s"), "{refused}");
    assert_eq!(may_send(at(60), &sends(&[at(0)])), Ok(()));
    let five: Vec<_> = (0..5).map(|n| at(n * 61)).collect();
    let refused = may_send(at(400), &sends(&five)).unwrap_err();
    assert!(refused.to_string().ends_with("in 3200 s"), "{refused}");
    assert_eq!(may_send(at(3_600), &sends(&five)), Ok(()));
    let ten: Vec<_> = (0..10).map(|n| at(n * 3_000)).collect();
    assert!(may_send(at(40_000), &sends(&ten)).is_err());
    assert_eq!(may_send(at(86_400), &sends(&ten)), Ok(()));
}

#[test]
fn ten_failures_in_a_day_lock_a_contact_for_a_day() {
    let nine: Vec<_> = (0..9).map(at).collect();
    assert_eq!(may_check(at(10), &nine), Ok(()));
    let ten: Vec<_> = (0..10).map(at).collect();
    assert!(matches!(
        may_check(at(10), &ten),
        Err(Refusal::Locked { .. })
    ));
    assert!(may_check(at(86_408), &ten).is_err());
    assert_eq!(may_check(at(86_409), &ten), Ok(()));
    let slow: Vec<_> = (0..99).map(|n| at(n * 9_600)).collect();
    assert_eq!(may_check(at(99 * 9_600), &slow), Ok(()));
    let hundred: Vec<_> = (0..100).map(|n| at(n * 9_600)).collect();
    assert!(may_check(at(100 * 9_600), &hundred).is_err());
}

proptest! {
    /// A contact that always asks as soon as it may never gets more than the limits allow.
    #[test]
    fn no_pattern_of_asking_passes_the_limits(
        waits in proptest::collection::vec(1_u64..4_000, 1..200)
    ) {
        let (mut now, mut sent): (u64, Vec<Timestamp>) = (0, Vec::new());
        for wait in waits {
            now += wait;
            match may_send(at(now), &sends(&sent)) {
                Ok(()) => sent.push(at(now)),
                Err(Refusal::Throttled { until, .. }) => {
                    prop_assert!(until > at(now));
                    // What is promised holds, when nothing is sent in between.
                    let before = Timestamp(until.0 - 1);
                    prop_assert!(may_send(before, &sends(&sent)).is_err());
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
        for (first, second) in sent.iter().zip(sent.iter().skip(1)) {
            prop_assert!(second.0 - first.0 >= 60_000_000);
        }
        for run in sent.windows(SENDS_AN_HOUR + 1) {
            prop_assert!(run[SENDS_AN_HOUR].0 - run[0].0 >= 3_600_000_000);
        }
        for run in sent.windows(SENDS_A_DAY + 1) {
            prop_assert!(run[SENDS_A_DAY].0 - run[0].0 >= 86_400_000_000);
        }
    }
}
