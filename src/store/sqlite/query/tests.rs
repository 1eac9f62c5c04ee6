//! Questions to a store whose journal a test wrote.

use super::*;
use crate::base::{
    AcquirerId, BatchNumber, BatchResult, BatchTotals, MerchantId, Stan, TerminalId,
};
use crate::store::batch::{BatchRecord, BatchStep, Closed, Closing, Settled};
use crate::store::projection::project_round;
use crate::store::read_model::{BindingReader, TESTS_LOOKED_AT};
use crate::store::record::tests::intent;
use crate::store::record::{self, Intent};
use crate::store::{JournalStore, Outcome, OutcomeKind, ReadModel, Record, Registry};

/// A store whose journal holds these groups, projected.
struct World {
    place: tempfile::TempDir,
}

impl World {
    fn of(groups: &[Vec<Record>]) -> Self {
        let world = Self {
            place: tempfile::tempdir().unwrap(),
        };
        let mut journal = world.folder().journal().unwrap();
        for records in groups {
            let mut group = Vec::new();
            record::begin_group(&mut group);
            records.iter().for_each(|r| r.encode(&mut group));
            record::end_group(&mut group);
            journal.append(&group, 1).unwrap();
            // A round for each group: what comes later changes rows that are there already.
            world.project();
        }
        world
    }

    fn folder(&self) -> SqliteFolder {
        SqliteFolder::open(self.place.path()).unwrap()
    }

    fn project(&self) {
        let mut journal = self.folder().journal().unwrap();
        let mut model = self.folder().read_model().unwrap();
        while project_round(&mut journal, &mut model).unwrap() > 0 {}
    }

    fn reader(&self) -> SqliteReader {
        self.folder().reader().unwrap()
    }

    fn found(&self, query: &Query) -> Vec<u64> {
        let page = self.reader().page(query, None, 1_000).unwrap();
        page.rows.into_iter().map(|row| row.txn.0).collect()
    }
}

fn accepted(intent: Intent<'static>) -> Record {
    Record::Intent(Box::new(intent))
}

fn ended(txn: u64, kind: OutcomeKind, rrn: Option<&[u8]>) -> Record {
    let mut answer = Vec::new();
    if let Some(rrn) = rrn {
        crate::store::projection::keep_element(&mut answer, 37, rrn);
    }
    Record::Outcome(Outcome {
        txn: TxnId(txn),
        at: Timestamp(9),
        kind,
        code: *b"00",
        booked: 1_050,
        answer: answer.into(),
    })
}

/// Six sales, each differing from the first in one thing, and how they ended.
fn six() -> World {
    let mut all: Vec<_> = (1..=6).map(intent).collect();
    all[1].key.terminal = TerminalId::parse("T2").unwrap();
    all[2].merchant = MerchantId::parse("M3").unwrap();
    all[3].account = AccountId(4);
    all[4].amount.minor = 5_000;
    all[4].batch = BatchNumber::FIRST.next();
    all[5].key.acquirer = AcquirerId(6);
    all[5].request = "refund".into();
    World::of(&[
        all.into_iter().map(accepted).collect(),
        vec![
            ended(1, OutcomeKind::Approved, Some(b"R00000000001")),
            ended(2, OutcomeKind::Declined, None),
            ended(3, OutcomeKind::Approved, Some(b"R00000000003")),
            ended(3, OutcomeKind::ReversalOwed, None),
            ended(4, OutcomeKind::Expired, None),
        ],
    ])
}

#[test]
fn every_filter_finds_what_fits_and_nothing_else() {
    let world = six();
    let check = |set: &dyn Fn(&mut Query), expect: &[u64]| {
        let mut query = Query::default();
        set(&mut query);
        assert_eq!(world.found(&query), expect, "{query:?}");
    };
    check(&|_| {}, &[6, 5, 4, 3, 2, 1]);
    check(&|q| q.acquirer = Some(AcquirerId(6)), &[6]);
    check(&|q| q.terminal = TerminalId::parse("T2").ok(), &[2]);
    check(&|q| q.merchant = MerchantId::parse("M3").ok(), &[3]);
    check(&|q| q.account = Some(AccountId(4)), &[4]);
    check(&|q| q.batch = Some(BatchNumber::FIRST.next()), &[5]);
    check(&|q| q.stan = Stan::new(2), &[2]);
    check(&|q| q.request = Some("refund".into()), &[6]);
    check(&|q| q.amount_min = Some(5_000), &[5]);
    check(&|q| q.amount_max = Some(4_999), &[6, 4, 3, 2, 1]);
    let time = |txn| Some(intent(txn).at);
    check(&|q| q.from = time(5), &[6, 5]);
    check(&|q| q.to = time(3), &[2, 1]);
    check(&|q| q.state = Some(QueryState::Open), &[6, 5]);
    let is = |kind| move |q: &mut Query| q.state = Some(QueryState::Ended(kind));
    check(&is(OutcomeKind::Approved), &[1]);
    check(&is(OutcomeKind::ReversalOwed), &[3]);
    check(&is(OutcomeKind::Reversed), &[]);
    // The reversal brings no reference of its own; the approval's still finds it.
    check(&|q| q.rrn = Some("R00000000003".into()), &[3]);
    let both = |q: &mut Query| {
        q.state = Some(QueryState::Ended(OutcomeKind::Approved));
        q.terminal = TerminalId::parse("T2").ok();
    };
    check(&both, &[]);
}

/// Numbers that lie in many parts.
const FAR_APART: u64 = 7_000;

#[test]
fn a_time_is_found_in_whatever_parts_it_is_though_the_clock_was_set_back() {
    let at = |number: u64, at: u64| {
        accepted(Intent {
            at: Timestamp(at),
            ..intent(number * FAR_APART)
        })
    };
    let world = World::of(&[
        vec![at(1, 10), at(2, 20), at(3, 90), at(4, 30), at(5, 40)],
        vec![at(6, 50), at(7, 15), at(8, 60)],
    ]);
    let check = |from: u64, to: u64, expect: &[u64]| {
        let query = Query {
            from: Some(Timestamp(from)),
            to: Some(Timestamp(to)),
            ..Query::default()
        };
        let numbers: Vec<_> = expect.iter().map(|n| n * FAR_APART).collect();
        assert_eq!(world.found(&query), numbers, "{from} to {to}");
        for account in [None, Some(AccountId(1))] {
            let mut seen = Vec::new();
            let mut each = |row: TransactionRow| {
                seen.insert(0, row.txn.0);
                true
            };
            let times = Timestamp(from)..Timestamp(to);
            world
                .reader()
                .money_of(times, account, &[], &mut each)
                .unwrap();
            assert_eq!(seen, numbers, "{from} to {to}, {account:?}");
        }
    };
    check(0, 100, &[8, 7, 6, 5, 4, 3, 2, 1]);
    check(15, 31, &[7, 4, 2]);
    check(90, 91, &[3]);
    check(91, 99, &[]);
    check(60, 61, &[8]);
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap_while_more_is_accepted() {
    let groups = (1..=25).map(|n| accepted(intent(n * FAR_APART)));
    let world = World::of(&[groups.collect()]);
    let mut reader = world.reader();
    let (mut seen, mut after) = (Vec::new(), None);
    let mut more = 1_000_000;
    loop {
        let page = reader.page(&Query::default(), after, 10).unwrap();
        seen.extend(page.rows.iter().map(|row| row.txn.0));
        // A newer one comes between two pages.
        more += 1;
        let mut journal = world.folder().journal().unwrap();
        let mut group = Vec::new();
        record::begin_group(&mut group);
        accepted(intent(more)).encode(&mut group);
        record::end_group(&mut group);
        journal.append(&group, 1).unwrap();
        world.project();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all: Vec<_> = (1..=25).rev().map(|n| n * FAR_APART).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_question_looks_at_the_numbers_of_a_part_and_sorts_nothing() {
    let world = six();
    let reader = world.reader();
    let plan = |sql: &str, values: Vec<Value>| -> String {
        let mut explain = reader
            .db
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let rows = explain.query_map(params_from_iter(values), |row| row.get::<_, String>(3));
        rows.unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let (conditions, values) = conditions(&Query {
        account: Some(AccountId(1)),
        from: Some(Timestamp(1)),
        ..Query::default()
    });
    let by_number = "SEARCH txn USING INTEGER PRIMARY KEY";
    for sql in [all_of_part(&conditions), one_of_part(&conditions)] {
        let told = plan(&sql, values.clone());
        assert!(told.contains(by_number), "{told}");
        assert!(!told.contains("TEMP B-TREE"), "{told}");
    }
    let day = plan(&money_sql(ALL_OF_TIMES), vec![1.into(), 2.into()]);
    assert!(day.contains(by_number), "{day}");
    let one = plan(&money_sql(OF_ACCOUNT), vec![1.into(); 5]);
    assert!(one.contains(by_number), "{one}");
}

/// Transactions over several parts, of few terminals, accounts and merchants.
const MANY: u64 = 60_000;

fn of_many(txn: u64) -> Intent<'static> {
    let mut one = intent(txn);
    one.key.terminal = TerminalId::parse(&format!("T{}", txn % 701)).unwrap();
    one.merchant = MerchantId::parse(&format!("M{}", txn % 89)).unwrap();
    one.account = AccountId(u32::try_from(txn % 97).unwrap());
    one
}

fn reference(txn: u64) -> String {
    format!("R{:011}", txn / 2)
}

#[test]
fn what_is_posted_is_found_as_what_is_not_and_late_comers_too() {
    let answered = |txn| ended(txn, OutcomeKind::Approved, Some(reference(txn).as_bytes()));
    let round = |from: u64, to: u64| -> Vec<Record> {
        let all = (from..to).filter(|txn| txn % 10_000 != 5);
        all.flat_map(|txn| {
            let answer = (txn % 1_000 != 7).then(|| answered(txn));
            [Some(accepted(of_many(txn))), answer]
        })
        .flatten()
        .collect()
    };
    let mut groups: Vec<_> = (0..MANY / 10_000)
        .map(|n| round(n * 10_000 + 1, (n + 1) * 10_000 + 1))
        .collect();
    // Numbers and answers that come when their part is posted.
    groups.push((0..6).map(|n| accepted(of_many(n * 10_000 + 5))).collect());
    groups.push((0..MANY / 1_000).map(|n| answered(n * 1_000 + 7)).collect());
    let world = World::of(&groups);
    let posted: u64 = world
        .reader()
        .db
        .query_row("SELECT sum(posted) FROM span", [], |row| {
            row.get(0).map(from_sql)
        })
        .unwrap();
    assert_eq!(posted, (MANY - 8_192) >> PART_BITS);
    let newest = |fits: &dyn Fn(u64) -> bool| -> Vec<u64> {
        (1..=MANY)
            .rev()
            .filter(|txn| fits(*txn))
            .take(1_000)
            .collect()
    };
    let check = |set: &dyn Fn(&mut Query), fits: &dyn Fn(u64) -> bool| {
        let mut query = Query::default();
        set(&mut query);
        let expect = newest(fits);
        assert!(!expect.is_empty());
        assert_eq!(world.found(&query), expect, "{query:?}");
    };
    check(&|q| q.account = Some(AccountId(5)), &|txn| txn % 97 == 5);
    check(&|q| q.terminal = TerminalId::parse("T5").ok(), &|txn| {
        txn % 701 == 5
    });
    check(&|q| q.merchant = MerchantId::parse("M5").ok(), &|txn| {
        txn % 89 == 5
    });
    for txn in [5, 7, 10_005, 40_007, 50_005, 59_999] {
        let fits = |other: u64| other / 2 == txn / 2 && other % 10_000 != 5;
        check(&|q| q.rrn = Some(reference(txn)), &fits);
    }
    let mut seen = Vec::new();
    let mut each = |row: TransactionRow| {
        seen.push(row.txn.0);
        true
    };
    let ever = Timestamp(0)..Timestamp(u64::MAX >> 1);
    let only = Some(AccountId(5));
    world.reader().money_of(ever, only, &[], &mut each).unwrap();
    let expect: Vec<_> = (1..=MANY).filter(|txn| txn % 97 == 5).collect();
    assert_eq!(seen, expect);
}

#[test]
fn pages_by_account_follow_each_other_over_posted_parts() {
    let world = World::of(&[(1..=MANY).map(|txn| accepted(of_many(txn))).collect()]);
    let query = Query {
        account: Some(AccountId(3)),
        ..Query::default()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    let mut reader = world.reader();
    loop {
        let page = reader.page(&query, after, 100).unwrap();
        seen.extend(page.rows.iter().map(|row| row.txn.0));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expect: Vec<_> = (1..=MANY).rev().filter(|txn| txn % 97 == 3).collect();
    assert_eq!(seen, expect);
}

#[test]
fn looking_at_many_candidates_is_cut_off_too() {
    let world = World::of(&[(1..=MANY).map(|txn| accepted(intent(txn))).collect()]);
    let mut reader = world.reader();
    reader.steps_max = 0;
    let nobody = Query {
        account: Some(AccountId(1)),
        request: Some("nobody".into()),
        ..Query::default()
    };
    let refused = reader.page(&nobody, None, 10).unwrap_err();
    assert!(matches!(refused, QueryError::TooWide), "{refused:?}");
}

#[test]
fn a_question_that_looks_at_too_much_is_cut_off_and_the_next_one_is_not() {
    let world = World::of(&[(1..=20_000).map(|n| accepted(intent(n))).collect()]);
    let mut reader = world.reader();
    reader.steps_max = 0;
    let nobody = Query {
        request: Some("nobody".into()),
        ..Query::default()
    };
    let refused = reader.page(&nobody, None, 10).unwrap_err();
    assert!(matches!(refused, QueryError::TooWide), "{refused:?}");
    let page = reader.page(&Query::default(), None, 10).unwrap();
    assert_eq!(page.rows.len(), 10);
}

#[test]
fn every_journal_group_of_a_transaction_is_remembered() {
    let world = World::of(&[
        vec![accepted(intent(1)), accepted(intent(2))],
        vec![ended(1, OutcomeKind::Approved, None)],
        vec![ended(2, OutcomeKind::Declined, None)],
        vec![
            ended(1, OutcomeKind::ReversalOwed, None),
            ended(1, OutcomeKind::Reversed, None),
        ],
    ]);
    let groups = |txn| {
        let row = world.reader().transaction(TxnId(txn)).unwrap();
        row.unwrap().groups
    };
    assert_eq!((groups(1), groups(2)), (vec![1, 2, 4, 4], vec![1, 3]));
    assert_eq!(world.reader().transaction(TxnId(3)).unwrap(), None);
}

#[test]
fn a_reference_number_stays_though_a_reversal_comes_in_the_same_round() {
    let approved = ended(1, OutcomeKind::Approved, Some(b"R00000000001"));
    let owed = ended(1, OutcomeKind::ReversalOwed, None);
    let sale = || accepted(intent(1));
    for groups in [
        vec![vec![sale(), approved.clone(), owed.clone()]],
        vec![vec![sale()], vec![approved], vec![owed]],
    ] {
        let world = World::of(&groups);
        let by_number = Query {
            rrn: Some("R00000000001".into()),
            ..Query::default()
        };
        assert_eq!(world.found(&by_number), [1]);
    }
}

#[test]
fn a_file_of_the_first_schema_is_projected_anew() {
    let world = six();
    let path = world.place.path().join("readmodel.db");
    let before = world.found(&Query::default());
    std::fs::remove_file(&path).unwrap();
    // As the first schema left it: a row without the new columns, and everything counted as projected.
    let old = super::super::open(
        &path,
        super::super::StoreFile::ReadModel,
        super::super::Sync::Normal,
        &MIGRATIONS[..1],
    )
    .unwrap();
    old.execute_batch(
        "INSERT INTO txn(id, at, acquirer, terminal, merchant, binding, version, account, held, \
         request, sign, batch, stan, upstream, upstream_stan, amount, currency, pan) \
         VALUES (1, 1, 0, 'T', 'M', 1, 1, 1, 0, 'sale', 1, 1, 1, 'bank', 1, 1, '156', ''); \
         UPDATE mark SET sequence = 2;",
    )
    .unwrap();
    drop(old);
    assert!(matches!(
        world.folder().reader().unwrap_err(),
        StoreError::OlderSchema { found: 1, .. }
    ));
    assert_eq!(world.folder().read_model().unwrap().mark().unwrap(), 0);
    world.project();
    assert_eq!(world.found(&Query::default()), before);
}

#[test]
fn a_reader_cannot_write() {
    let world = six();
    assert!(world.reader().db.execute("DELETE FROM txn", []).is_err());
    let mut journal = world.folder().journal_reader().unwrap();
    assert_eq!(journal.last_sequence().unwrap(), 2);
    assert!(journal.append(b"x", 1).is_err());
    drop(world.folder().registry().unwrap());
    let mut registry = world.folder().registry_reader().unwrap();
    assert!(registry.acquirers().unwrap().is_empty());
    assert!(registry.acquirer("acme").is_err());
}

#[test]
fn what_expired_and_was_sent_again_is_told_once() {
    let numbered = |txn, stan, minor| {
        let mut one = intent(txn);
        one.stan = Stan::new(stan).unwrap();
        one.amount.minor = minor;
        accepted(one)
    };
    let world = World::of(&[vec![
        numbered(1, 7, 100),
        numbered(2, 7, 100),
        // The same number for another amount says nothing of the one before.
        numbered(3, 8, 100),
        numbered(4, 8, 200),
        ended(1, OutcomeKind::Expired, None),
        ended(2, OutcomeKind::Approved, None),
        ended(3, OutcomeKind::Expired, None),
        ended(4, OutcomeKind::Approved, None),
    ]]);
    let mut seen = Vec::new();
    let mut each = |row: TransactionRow| {
        seen.push(row.txn.0);
        true
    };
    let ever = Timestamp(0)..Timestamp(u64::MAX >> 1);
    world.reader().money_of(ever, None, &[], &mut each).unwrap();
    assert_eq!(seen, [2, 3, 4]);
}

#[test]
fn a_day_is_read_account_by_account_as_of_one_moment() {
    let world = six();
    let mut seen = Vec::new();
    let day = intent(1).at..intent(6).at;
    let mut each = |row: TransactionRow| {
        seen.push((row.account, row.txn.0));
        true
    };
    let mark = world.reader().money_of(day.clone(), None, &[], &mut each);
    assert_eq!(mark.unwrap(), 2);
    assert_eq!(seen, [(1, 1), (1, 2), (1, 3), (1, 5), (4, 4)]);
    let mut count = 0;
    let mut each = |_| {
        count += 1;
        true
    };
    let only = Some(AccountId(4));
    world.reader().money_of(day, only, &[], &mut each).unwrap();
    assert_eq!(count, 1);
}

fn intervened(txn: u64, at: u64, verb: Verb) -> Intervention {
    Intervention {
        txn: TxnId(txn),
        at: Timestamp(at),
        verb,
        name: PersonName::parse("Li Wei").unwrap(),
        note: Note::parse("ticket 88").unwrap(),
    }
}

#[test]
fn what_is_parked_is_found_oldest_first_and_what_people_did_with_it() {
    let mut all: Vec<_> = (1..=5).map(intent).collect();
    all[3].group = "other".into();
    let parked = |txn| ended(txn, OutcomeKind::Parked, None);
    let resent = intervened(2, 20, Verb::Resend);
    let closed = intervened(2, 30, Verb::Close);
    let world = World::of(&[
        all.into_iter().map(accepted).collect(),
        (1..=4).map(parked).collect(),
        vec![Record::Intervention(resent.clone())],
        vec![ended(2, OutcomeKind::ReversalOwed, None)],
        vec![parked(2)],
        vec![Record::Intervention(closed.clone())],
        vec![ended(2, OutcomeKind::Closed, None)],
    ]);
    let mut reader = world.reader();
    let mut found = |group, after, limit| {
        let (page, _) = reader.parked(group, after, limit).unwrap();
        let rows: Vec<_> = page.rows.into_iter().map(|row| row.txn.0).collect();
        (rows, page.next.map(|cursor| cursor.0.0))
    };
    assert_eq!(found(None, None, 10), (vec![1, 3, 4], None));
    assert_eq!(found(None, None, 2), (vec![1, 3], Some(3)));
    assert_eq!(found(None, Some(Cursor(TxnId(3))), 2), (vec![4], None));
    assert_eq!(found(Some("other"), None, 10), (vec![4], None));
    assert_eq!(reader.parked(None, None, 1).unwrap().1, 3);
    assert_eq!(reader.parked(Some("bank"), None, 1).unwrap().1, 2);
    assert_eq!(reader.interventions(TxnId(2)).unwrap(), [resent, closed]);
    assert_eq!(reader.interventions(TxnId(1)).unwrap(), []);
    // Evidence finds every record in its order.
    let row = reader.transaction(TxnId(2)).unwrap().unwrap();
    assert_eq!(row.groups, [1, 2, 3, 4, 5, 6, 7]);
    let mut at_start = Vec::new();
    let mut model = world.folder().read_model().unwrap();
    model.parked(&mut |row| at_start.push(row.txn.0)).unwrap();
    assert_eq!(at_start, [1, 3, 4]);
}

#[test]
fn what_hangs_on_a_binding_is_told_for_each_account_and_currency() {
    let mut all: Vec<_> = (1..=5).map(intent).collect();
    all[1].account = AccountId(2);
    all[2].amount.currency = Currency::from_slice(b"840").unwrap();
    all[3].sign = -1;
    // Another binding's.
    all[4].binding = BindingId(2);
    let ends = (1..=5).map(|txn| ended(txn, OutcomeKind::Approved, None));
    let world = World::of(&[all.into_iter().map(accepted).collect(), ends.collect()]);
    let hanging = world.reader().hanging_on(BindingId(1)).unwrap();
    assert_eq!(hanging.outstanding.unsettled, 4);
    let sums: Vec<_> = hanging
        .unsettled
        .iter()
        .map(|sum| (sum.account.0, &*sum.currency, sum.count, sum.amount))
        .collect();
    let expect = [(1, "156", 2, 0), (1, "840", 1, 1_050), (2, "156", 1, 1_050)];
    assert_eq!(sums, expect);
}

/// Whoever asks for an activation that is refused afterwards has not made the gateway read years of sales.
#[test]
fn what_a_device_has_shown_is_read_of_its_last_transactions_only() {
    let last = u64::from(TESTS_LOOKED_AT) + 1;
    let mut all: Vec<_> = (1..=last).map(intent).collect();
    all[6].kind = RequestType::Void;
    let ends = (1..=last).map(|txn| match txn {
        // One too many to be looked at.
        1 => ended(txn, OutcomeKind::Reversed, None),
        7 | 100 => ended(txn, OutcomeKind::Approved, None),
        _ => ended(txn, OutcomeKind::Declined, None),
    });
    let world = World::of(&[all.into_iter().map(accepted).collect(), ends.collect()]);
    let shown = world.reader().tests_of(BindingId(1)).unwrap();
    let expect = (Some(TxnId(100)), Some(TxnId(7)), None);
    assert_eq!((shown.approved, shown.voided, shown.reversed), expect);
    let mut read = Vec::new();
    let each = &mut |row: TransactionRow| read.push(row.txn.0);
    world
        .reader()
        .last_of_binding(BindingId(1), 2, each)
        .unwrap();
    assert_eq!(read, [last, last - 1]);
}

/// A terminal can neither settle what staff refunded for it nor prove by it that it got its last approval.
#[test]
fn what_staff_refund_does_not_hang_on_the_terminal() {
    let mut refund = intent(2);
    (refund.sign, refund.batch) = (-1, BatchNumber::STAFF);
    let both = [intent(1), refund.clone()];
    let ends = (1..=2).map(|txn| ended(txn, OutcomeKind::Approved, None));
    let world = World::of(&[both.into_iter().map(accepted).collect(), ends.collect()]);
    let left = world.reader().hanging_on(BindingId(1)).unwrap().outstanding;
    assert_eq!((left.unsettled, left.unproven), (1, 1), "the sale alone");
    let alone = vec![accepted(refund), ended(2, OutcomeKind::Approved, None)];
    let world = World::of(&[alone]);
    let mut reader = world.reader();
    let left = reader.hanging_on(BindingId(1)).unwrap().outstanding;
    assert!(left.is_empty(), "{left:?}");
    let traded = reader.approved_since(BindingId(1), Timestamp(0)).unwrap();
    assert!(!traded, "staff's work is no trade");
}

/// A batch may be ended by hand before its terminal compares anything: the next comparison proves as much.
#[test]
fn a_terminal_that_compares_any_batch_later_has_got_its_approval() {
    let sale = intent(1);
    let (key, next) = (sale.key, sale.batch.next());
    let unproven = |records: Vec<Record>| {
        let sold = vec![accepted(intent(1)), ended(1, OutcomeKind::Approved, None)];
        let world = World::of(&[sold, records]);
        let hanging = world.reader().hanging_on(BindingId(1)).unwrap();
        hanging.outstanding.unproven
    };
    let step = |batch, at, step| {
        Record::Batch(Box::new(BatchRecord {
            key,
            binding: BindingId(1),
            batch,
            at: Timestamp(at),
            step,
        }))
    };
    let closed = || {
        let how = Closing::Operator {
            by: "Li Wei".into(),
            note: "its last".into(),
        };
        step(
            BatchNumber::FIRST,
            10,
            BatchStep::Closed(Closed { next, how }),
        )
    };
    let settled = |batch, at| {
        let settled = Settled {
            stan: Stan::new(7).unwrap(),
            currency: Currency::CNY,
            ours: BatchTotals::default(),
            claimed: vec![BatchTotals::default()],
            result: BatchResult::Balanced,
        };
        step(batch, at, BatchStep::Settled(settled))
    };
    assert_eq!(unproven(Vec::new()), 1);
    assert_eq!(unproven(vec![settled(BatchNumber::FIRST, 10)]), 0);
    // It was answered at 9.
    assert_eq!(unproven(vec![settled(BatchNumber::FIRST, 8)]), 1);
    assert_eq!(unproven(vec![closed()]), 1, "a person proves nothing");
    assert_eq!(unproven(vec![closed(), settled(next, 11)]), 0);
}
