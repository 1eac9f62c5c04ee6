//! What is written is read again, and nothing else is.

use super::group::LAYOUT;
use super::*;
use crate::base::{AcquirerId, TerminalId};
use crate::base::{BatchLine, BatchResult, BatchTotals, LineCounts, LineVerdict, Sum};
use crate::store::batch::{BatchStep, Closed, Closing, Settled};

/// An intent with everything defaulted.
pub(crate) fn intent(txn: u64) -> Intent<'static> {
    Intent {
        txn: TxnId(txn),
        at: Timestamp(1_795_305_600_000_000 + txn),
        key: TerminalKey {
            acquirer: AcquirerId(0),
            terminal: TerminalId::parse("T0000001").unwrap(),
        },
        merchant: MerchantId::parse("104512541110001").unwrap(),
        binding: BindingId(1),
        version: 1,
        account: AccountId(1),
        held: false,
        kind: RequestType::NewMoney,
        fate: Fate::Reverse,
        sign: 1,
        mti: Mti::parse("0200").unwrap(),
        request: "sale".into(),
        dialect: "unionpay-pos".into(),
        batch: BatchNumber::FIRST,
        stan: Stan::new(u32::try_from(txn % 999_999).unwrap()).unwrap(),
        group: "bank".into(),
        upstream_stan: Stan::new(77).unwrap(),
        amount: Amount {
            minor: 1_050,
            currency: Currency::CNY,
        },
        pan: MaskedPan::of(b"6217000000000001"),
        pan_hash: [7; 16],
        sealed_pan: vec![9; 47].into(),
        content: 42,
        original: TxnId(3),
        reversal: b"\x03\x03\x00\x00\x00\x00".as_slice().into(),
        envelope: b"\x60\x00\x01\x00\x00\x60\x31\x00\x31\x11\x08"
            .as_slice()
            .into(),
    }
}

fn all_kinds() -> Vec<Record> {
    let key = intent(1).key;
    let (batch, at) = (BatchNumber::FIRST, Timestamp(5));
    let stan = Stan::new(9).unwrap();
    let mut records = vec![
        Record::Intent(Box::new(intent(1))),
        Record::Tombstone {
            key,
            binding: BindingId(3),
            batch,
            stan,
            at,
        },
        Record::SignedOn { key, batch, at },
        Record::SignedOff {
            key,
            batch: batch.next(),
            at,
        },
    ];
    records.push(Record::StanBlock {
        group: "bank".into(),
        date: 20_261_122,
        end: 20_001,
    });
    for verb in Verb::ALL {
        records.push(Record::Intervention(Intervention {
            txn: TxnId(1),
            at,
            verb,
            name: PersonName::parse("Li Wei").unwrap(),
            note: Note::parse("银行已确认冲正").unwrap(),
        }));
    }
    records.extend(batch_records(key, batch, at));
    for kind in OutcomeKind::ALL {
        let answer = Box::from(*b"\x27\x02\x0000");
        let outcome = Outcome {
            txn: TxnId(1),
            at,
            kind,
            code: *b"00",
            booked: 1_050,
            answer,
        };
        records.push(Record::Outcome(outcome));
    }
    records
}

/// One of each step of a batch.
fn batch_records(key: TerminalKey, batch: BatchNumber, at: Timestamp) -> Vec<Record> {
    let stan = Stan::new(9).unwrap();
    let sum = |count, minor| Sum { count, minor };
    let totals = BatchTotals {
        debit: sum(3, 30),
        credit: sum(1, 10),
    };
    let line = |n, verdict| {
        let line = BatchLine {
            stan: Stan::new(n).unwrap(),
            minor: 1_000,
            pan: MaskedPan::of(b"6217000000000001"),
        };
        (line, verdict)
    };
    let settled = Settled {
        stan,
        currency: Currency::CNY,
        ours: totals,
        claimed: vec![totals, BatchTotals::ZERO],
        result: BatchResult::Balanced,
    };
    let counts = LineCounts {
        equal: 1,
        different: 2,
        unknown: 3,
        missing: 4,
    };
    let ends = [
        Closing::Terminal {
            stan,
            announced: 6,
            counts,
        },
        Closing::Operator {
            by: "Li".into(),
            note: "printer broken".into(),
        },
    ];
    let lines = LineVerdict::ALL.map(|verdict| line(7, verdict)).to_vec();
    let mut steps = vec![BatchStep::Settled(settled), BatchStep::Uploaded(lines)];
    steps.extend(ends.map(|how| {
        BatchStep::Closed(Closed {
            next: batch.next(),
            how,
        })
    }));
    let record = |step| {
        Record::Batch(Box::new(BatchRecord {
            key,
            binding: BindingId(3),
            batch,
            at,
            step,
        }))
    };
    steps.into_iter().map(record).collect()
}

fn group_of(records: &[Record]) -> Vec<u8> {
    let mut group = Vec::new();
    begin_group(&mut group);
    for record in records {
        record.encode(&mut group);
    }
    end_group(&mut group);
    group
}

fn read(group: &[u8]) -> Result<Vec<Record>, RecordError> {
    let mut found = Vec::new();
    read_group(group, |record| found.push(record)).map(|()| found)
}

#[test]
fn every_kind_of_record_comes_back() {
    let records = all_kinds();
    assert_eq!(read(&group_of(&records)).unwrap(), records);
    assert_eq!(read(&group_of(&[])).unwrap(), []);
}

#[test]
fn a_changed_or_missing_byte_is_found() {
    let group = group_of(&all_kinds());
    for at in 0..group.len() {
        let mut bad = group.clone();
        bad[at] ^= 1;
        assert_eq!(read(&bad), Err(RecordError::Checksum), "byte {at}");
        assert!(read(&group[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_sound_checksum_over_nonsense_is_an_error_not_a_panic() {
    let mut bytes = fastrand::Rng::with_seed(8);
    for _ in 0..20_000 {
        let mut group = vec![LAYOUT];
        let len = bytes.usize(0..64);
        group.extend(std::iter::repeat_with(|| bytes.u8(0..10)).take(len));
        end_group(&mut group);
        let _unused: Result<Vec<Record>, RecordError> = read(&group);
    }
}

/// A journal outlives the program that wrote it: what stands in it as a number means the same for ever.
#[test]
fn numbers_in_a_journal_never_change() {
    let kinds = "echo sign-on sign-off download enquiry new-money completion void refund reversal qr-query advice \
                 settlement trailer code-entry";
    assert_eq!(KINDS.map(RequestType::name).join(" "), kinds);
    assert!(RequestType::ALL.iter().all(|kind| KINDS.contains(kind)));
    assert_eq!(FATES, [Fate::Reverse, Fate::Repeat, Fate::Expire]);
    let outcomes = "approved declined reversal-owed reversed expired repeat-owed parked closed";
    assert_eq!(OutcomeKind::ALL.map(OutcomeKind::name).join(" "), outcomes);
    assert_eq!(Verb::ALL.map(Verb::name).join(" "), "resend close");
    let results = BatchResult::ALL.map(|result| format!("{result:?}"));
    assert_eq!(results.join(" "), "Balanced NotBalanced Undecided");
    let verdicts = LineVerdict::ALL.map(|verdict| format!("{verdict:?}"));
    assert_eq!(verdicts.join(" "), "Equal Different Unknown");
}
