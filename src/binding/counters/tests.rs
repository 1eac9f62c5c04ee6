//! Counters, and whom they count for.

use super::*;
use crate::base::{Currency, TerminalId};
use crate::binding::limit::LimitKind;

const DAY: Day = Day(20_261_122);

fn key(terminal: &str) -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse(terminal).unwrap(),
    }
}

fn sale(terminal: &str, binding: u64, minor: u64) -> Counted {
    Counted {
        key: key(terminal),
        binding: BindingId(binding),
        account: AccountId(7),
        merchant: MerchantId::parse("M1").unwrap(),
        amount: Amount {
            minor,
            currency: Currency::CNY,
        },
        day: DAY,
    }
}

fn daily(scope: LimitScope, number: u64, most: u64, subjects: Vec<Subject>) -> LimitSet {
    LimitSet {
        name: CounterName { scope, number },
        limits: Limits {
            currency: Currency::CNY,
            day_amount: Some(most),
            ..Limits::NONE
        },
        subjects,
        accounts: vec![AccountId(7)],
    }
}

fn terminal(number: u64, most: u64) -> LimitSet {
    let subjects = vec![Subject::Binding(BindingId(number))];
    daily(LimitScope::Terminal, number, most, subjects)
}

fn account(most: u64) -> LimitSet {
    let subjects = vec![Subject::Account(AccountId(7))];
    daily(LimitScope::Account, 7, most, subjects)
}

fn fits(counters: &Counters, sale: Counted, txn: u64) -> Result<(), DeclineReason> {
    counters.reserve(&sale, TxnId(txn), Counts::IfItFits)
}

fn today(counters: &Counters, set: &LimitSet) -> u64 {
    counters.used(set.name, DAY).unwrap().1.today.minor
}

const OVER: Result<(), DeclineReason> = Err(DeclineReason::OverLimit(LimitKind::DayAmount));

#[test]
fn what_does_not_fit_one_counter_is_counted_by_none() {
    let counters = Counters::default();
    let (wide, narrow) = (terminal(1, 1_000), account(500));
    counters.set(&wide, TxnId(1));
    counters.set(&narrow, TxnId(1));
    assert_eq!(fits(&counters, sale("T1", 1, 501), 1), OVER);
    assert_eq!((today(&counters, &wide), today(&counters, &narrow)), (0, 0));
    assert_eq!(fits(&counters, sale("T1", 1, 500), 2), Ok(()));
    // Another terminal of the same account has nothing left.
    assert_eq!(fits(&counters, sale("T2", 2, 1), 3), OVER);
    // What happened offline is counted although it does not fit.
    let told = counters.reserve(&sale("T2", 2, 10), TxnId(4), Counts::Always);
    assert_eq!((told, today(&counters, &narrow)), (Ok(()), 510));
}

#[test]
fn of_two_that_race_one_gets_what_is_left() {
    let counters = Counters::default();
    let limit = account(1_000);
    counters.set(&limit, TxnId(1));
    let passed: usize = std::thread::scope(|scope| {
        let tills: Vec<_> = (0..8)
            .map(|number| {
                let counters = &counters;
                scope.spawn(move || {
                    let sale = sale("T1", number, 100);
                    (0..1_000)
                        .filter(|txn| fits(counters, sale, txn + 1).is_ok())
                        .count()
                })
            })
            .collect();
        tills.into_iter().map(|till| till.join().unwrap()).sum()
    });
    assert_eq!((passed, today(&counters, &limit)), (10, 1_000));
}

#[test]
fn declined_reversed_and_voided_give_back_and_a_reversed_void_takes_again() {
    let counters = Counters::default();
    let limit = terminal(1, 1_000);
    counters.set(&limit, TxnId(1));
    let at = key("T1");
    let sold = sale("T1", 1, 600);
    fits(&counters, sold, 1).unwrap();
    counters.failed(Tally::Adds(sold));
    assert_eq!(today(&counters, &limit), 0);
    fits(&counters, sold, 2).unwrap();
    counters.approved(at, TxnId(2), Tally::Adds(sold), 600);
    let void = Tally::of(RequestType::Void, -1, sold, Some((TxnId(2), sold))).unwrap();
    // While the void is under way nothing is given back, and when it is declined nothing was.
    counters.failed(void);
    assert_eq!(today(&counters, &limit), 600);
    counters.approved(at, TxnId(3), void, 600);
    assert_eq!(today(&counters, &limit), 0);
    // It is taken back once: reversing it too gives back nothing more.
    assert_eq!(counters.recall(at, TxnId(2)), None);
    let undone = counters.recall(at, TxnId(3)).unwrap();
    counters.undone(undone);
    assert_eq!(today(&counters, &limit), 600);
    // Only once.
    assert_eq!(counters.recall(at, TxnId(3)), None);
    counters.undone(counters.recall(at, TxnId(2)).unwrap());
    assert_eq!(today(&counters, &limit), 0);
}

#[test]
fn a_part_that_was_not_approved_is_free_again() {
    let counters = Counters::default();
    let limit = terminal(1, 1_000);
    counters.set(&limit, TxnId(1));
    let sold = sale("T1", 1, 600);
    fits(&counters, sold, 1).unwrap();
    counters.approved(key("T1"), TxnId(1), Tally::Adds(sold), 250);
    let (_, used) = counters.used(limit.name, DAY).unwrap();
    assert_eq!((used.today.minor, used.today.count), (250, 1));
    let undone = counters.recall(key("T1"), TxnId(1)).unwrap();
    counters.undone(undone);
    let (_, used) = counters.used(limit.name, DAY).unwrap();
    assert_eq!((used.today.minor, used.today.count), (0, 0));
}

/// bindings test 10: the counters continue.
#[test]
fn t10_a_successor_shares_the_counter_of_whom_it_took_over_from() {
    let counters = Counters::default();
    let limit = terminal(1, 1_000);
    counters.set(&limit, TxnId(1));
    fits(&counters, sale("T1", 1, 900), 1).unwrap();
    let successor = LimitSet {
        subjects: vec![Subject::Binding(BindingId(2))],
        ..limit.clone()
    };
    counters.set(&successor, TxnId(9));
    assert_eq!(fits(&counters, sale("T2", 2, 101), 10), OVER);
    assert_eq!(fits(&counters, sale("T2", 2, 100), 11), Ok(()));
    assert_eq!(today(&counters, &limit), 1_000);
}

/// Whether a look is for this counter and for no other.
fn only_for(look: &PastLook, counters: &Counters, set: &LimitSet) -> bool {
    let counter = counters.counters.get(&set.name).unwrap();
    matches!(&look.counters[..], [only] if Arc::ptr_eq(only, &counter))
}

#[test]
fn the_past_is_told_once_and_only_to_whom_it_concerns() {
    let counters = Counters::default();
    let (first, second) = (terminal(1, 1_000), account(5_000));
    counters.set(&first, TxnId(10));
    let begun = counters.begin_past(DAY).unwrap();
    assert!(only_for(&begun, &counters, &first));
    counters.set(&second, TxnId(10));
    fits(&counters, sale("T1", 1, 50), 10).unwrap();
    let (before, own) = (sale("T1", 1, 300), sale("T1", 1, 50));
    // Two looks at once, each for its own counters.
    let rest = counters.begin_past(DAY).unwrap();
    assert!(only_for(&rest, &counters, &second));
    counters.tell_past(&begun, &before, TxnId(9));
    // It counted this one by itself.
    counters.tell_past(&begun, &own, TxnId(10));
    counters.end_past(begun, Told::Everything);
    assert_eq!(
        (today(&counters, &first), today(&counters, &second)),
        (350, 50)
    );
    // What could not be read to its end is told from its beginning.
    counters.tell_past(&rest, &before, TxnId(9));
    counters.end_past(rest, Told::NotEverything);
    let again = counters.begin_past(DAY).unwrap();
    assert!(only_for(&again, &counters, &second));
    counters.tell_past(&again, &before, TxnId(9));
    counters.end_past(again, Told::Everything);
    assert_eq!(
        (today(&counters, &first), today(&counters, &second)),
        (350, 350)
    );
    assert!(counters.begin_past(DAY).is_none());
}

#[test]
fn a_limit_in_another_currency_begins_anew_and_a_look_that_began_before_does_not_count() {
    let counters = Counters::default();
    let yuan = terminal(1, 1_000);
    counters.set(&yuan, TxnId(10));
    let before = counters.begin_past(DAY).unwrap();
    let dollars = LimitSet {
        limits: Limits {
            currency: Currency::from_slice(b"840").unwrap(),
            ..yuan.limits
        },
        ..yuan
    };
    counters.set(&dollars, TxnId(10));
    let mut sold = sale("T1", 1, 300);
    counters.tell_past(&before, &sold, TxnId(9));
    counters.end_past(before, Told::Everything);
    assert_eq!(today(&counters, &dollars), 0);
    sold.amount.currency = dollars.limits.currency;
    let look = counters.begin_past(DAY).unwrap();
    counters.tell_past(&look, &sold, TxnId(9));
    counters.end_past(look, Told::Everything);
    assert_eq!(today(&counters, &dollars), 300);
}

#[test]
fn who_shared_a_counter_may_get_its_own_again() {
    let counters = Counters::default();
    let first = terminal(1, 1_000);
    let both = LimitSet {
        subjects: vec![
            Subject::Binding(BindingId(1)),
            Subject::Binding(BindingId(2)),
        ],
        ..first.clone()
    };
    counters.set(&both, TxnId(1));
    fits(&counters, sale("T2", 2, 300), 1).unwrap();
    assert_eq!(today(&counters, &first), 300);
    let own = terminal(2, 1_000);
    counters.set(&own, TxnId(2));
    fits(&counters, sale("T2", 2, 200), 2).unwrap();
    assert_eq!(
        (today(&counters, &first), today(&counters, &own)),
        (300, 200)
    );
}

#[test]
fn a_kind_of_which_nobody_has_a_limit_is_not_looked_for_and_found_when_it_has_one() {
    let counters = Counters::default();
    let (own, shared) = (terminal(1, 1_000), account(5_000));
    assert!(!counters.any());
    counters.set(&own, TxnId(1));
    assert!(counters.any());
    fits(&counters, sale("T1", 1, 300), 1).unwrap();
    counters.set(&shared, TxnId(2));
    fits(&counters, sale("T1", 1, 200), 2).unwrap();
    assert_eq!(
        (today(&counters, &own), today(&counters, &shared)),
        (500, 200)
    );
    let shop = Subject::Merchant(AcquirerId(1), MerchantId::parse("M1").unwrap());
    let shop = daily(LimitScope::Merchant, 3, 100, vec![shop]);
    counters.set(&shop, TxnId(3));
    assert_eq!(fits(&counters, sale("T1", 1, 101), 3), OVER);
}

#[test]
fn only_as_many_are_remembered_as_a_lane_remembers() {
    let counters = Counters::default();
    counters.set(&terminal(1, 1_000), TxnId(1));
    for txn in 0..=RECENT as u64 {
        counters.remember(key("T1"), TxnId(txn), Tally::Adds(sale("T1", 1, 1)));
    }
    assert_eq!(counters.recall(key("T1"), TxnId(0)), None);
    assert!(counters.recall(key("T1"), TxnId(1)).is_some());
    assert!(counters.recall(key("T1"), TxnId(RECENT as u64)).is_some());
    assert_eq!(counters.recall(key("T2"), TxnId(1)), None);
}
