//! The case of unbinding, step by step and in any order of calls.

use proptest::prelude::*;

use super::*;
use crate::binding::documents::documents_of;

const NOW: Timestamp = Timestamp(1_795_305_600_000_000);
const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn claim() -> Claim {
    Claim {
        phone_tail: "8000".into(),
        serial: "SN1".into(),
        merchant: "104110041200001".into(),
        account_tail: "-001".into(),
    }
}

fn case() -> Unbinding {
    Unbinding::open(
        NOW,
        Channel::Online,
        UnbindReason::Closure,
        "shop closes",
        "Li Wei",
        MerchantKind::Individual,
        NOW,
    )
    .unwrap()
}

/// A case with everything but the last acknowledgement.
fn prepared() -> Unbinding {
    let mut case = case();
    case.confirm(&claim(), &claim()).unwrap();
    case.prove(Proof::Challenge(1)).unwrap();
    for kind in documents_of(case.merchant) {
        case.add_document(*kind, HASH, "Li Wei").unwrap();
        case.review(*kind, true, "Wang Fang").unwrap();
    }
    case.exported(export(7)).unwrap();
    case
}

/// What the merchant took along.
fn export(rows: u64) -> Export {
    let sha256 = HASH.into();
    Export { sha256, rows }
}

fn impact(unsettled: u64) -> Impact {
    Impact {
        outstanding: Outstanding {
            unsettled,
            ..Outstanding::default()
        },
        ..Impact::default()
    }
}

#[test]
fn a_case_goes_all_the_way() {
    let mut case = prepared();
    let report = impact(2);
    case.acknowledge(&report.hash(), report.clone()).unwrap();
    case.submit().unwrap();
    case.approve(&report, "Wang Fang").unwrap();
    case.start(NOW).unwrap();
    let left = Outstanding {
        unsettled: 1,
        ..Outstanding::default()
    };
    let refused = case.drained(&left, &export(7)).unwrap_err().to_string();
    assert!(refused.contains("not settled"), "{refused}");
    // It sold on until the drain began.
    let older = case.drained(&Outstanding::default(), &export(8));
    assert!(matches!(older, Err(Refusal::Changed { .. })));
    case.exported(export(8)).unwrap();
    case.drained(&Outstanding::default(), &export(8)).unwrap();
    case.wiped(WipeResult::Unreachable, &[]).unwrap();
    assert!(case.reported(" ").is_err());
    case.reported("N-1").unwrap();
    assert_eq!(case.stage, UnbindStage::Completed);
    assert!(case.cancel().is_err());
}

fn keys() -> Vec<KeyMark> {
    vec![KeyMark::new("tmk", "a1b2c3"), KeyMark::new("mac", "D4E5F6")]
}

fn said() -> KeysSaid {
    KeysSaid {
        keys: keys(),
        kept: Vec::new(),
    }
}

#[test]
fn maker_and_checker_are_two_persons_everywhere() {
    let mut case = prepared();
    case.acknowledge(&impact(0).hash(), impact(0)).unwrap();
    case.submit().unwrap();
    let same = |refused: Result<(), Refusal>| {
        assert!(matches!(refused, Err(Refusal::SamePerson { .. })));
    };
    same(case.approve(&impact(0), "li wei "));
    same(case.reject("Li Wei"));
    case.approve(&impact(0), "Wang Fang").unwrap();
    case.start(NOW).unwrap();
    let left = Outstanding::default();
    same(case.force(left, &export(7), ("Wang Fang", "wang fang"), "broken"));
    let two = ("Wang Fang", "Li Wei");
    assert!(case.force(left, &export(7), two, "").is_err());
    let older = case.force(left, &export(8), two, "broken");
    assert!(matches!(older, Err(Refusal::Changed { .. })));
    let mut counter = Unbinding {
        channel: Channel::Counter,
        stage: UnbindStage::Identity,
        ..self::case()
    };
    same(counter.prove(Proof::Counter {
        first: "A".into(),
        second: "a".into(),
    }));
    assert!(counter.prove(Proof::Challenge(1)).is_err());
    let mut documents = prepared();
    documents.documents = Documents::default();
    documents
        .add_document(DocumentKind::Identity, HASH, "Wang Fang")
        .unwrap();
    same(documents.review(DocumentKind::Identity, true, "Wang Fang"));
}

#[test]
fn a_report_that_became_worse_goes_back_to_the_merchant() {
    let mut case = prepared();
    assert!(matches!(case.submit(), Err(Refusal::Missing { .. })));
    let stale = impact(1).hash();
    assert!(matches!(
        case.acknowledge(&stale, impact(2)),
        Err(Refusal::Changed { .. })
    ));
    case.acknowledge(&impact(2).hash(), impact(2)).unwrap();
    case.submit().unwrap();
    let refused = case.approve(&impact(3), "Wang Fang");
    assert!(matches!(refused, Err(Refusal::Changed { .. })));
    assert_eq!(
        (case.stage, &case.acknowledged),
        (UnbindStage::Documents, &None)
    );
    case.acknowledge(&impact(3).hash(), impact(3)).unwrap();
    case.submit().unwrap();
    case.approve(&impact(1), "Wang Fang").unwrap();
}

#[test]
fn a_wrong_claim_is_refused_without_saying_what_is_wrong() {
    let mut told = Vec::new();
    for wrong in [
        Claim {
            phone_tail: "8001".into(),
            ..claim()
        },
        Claim {
            serial: "SN2".into(),
            ..claim()
        },
    ] {
        let mut case = case();
        told.push(case.confirm(&wrong, &claim()).unwrap_err().to_string());
        assert_eq!(case.stage, UnbindStage::Draft);
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn time_ends_what_nobody_finished_and_nothing_that_drains() {
    let mut case = case();
    let month = Timestamp(NOW.0 + CASE_DAYS * 86_400_000_000);
    assert!(matches!(case.expire(NOW), Err(Refusal::Early { .. })));
    case.expire(month).unwrap();
    assert!(case.stage.is_over());
    let mut draining = Unbinding {
        stage: UnbindStage::Draining,
        ..prepared()
    };
    assert!(draining.expire(month).is_err());
    assert!(draining.cancel().unwrap(), "the binding has to go back");
}

proptest! {
    /// Whatever is called in whatever order: nothing drains that was not proven, acknowledged, exported,
    /// reviewed and approved by a second person, and nothing changes once it is over.
    #[test]
    fn no_order_of_calls_skips_a_guard(calls in proptest::collection::vec((0_u8..14, any::<bool>()), 0..80)) {
        let mut case = case();
        for (call, other) in calls {
            let before = case.clone();
            let by = if other { "Wang Fang" } else { "Li Wei" };
            let current = impact(u64::from(other));
            let done = match call {
                0 => case.confirm(&claim(), &claim()),
                1 => case.prove(Proof::Challenge(1)),
                2 => documents_of(case.merchant).iter().try_for_each(|kind| case.add_document(*kind, HASH, by)),
                3 => documents_of(case.merchant).iter().try_for_each(|kind| case.review(*kind, true, by)),
                4 => case.acknowledge(&current.hash(), current.clone()),
                5 => case.exported(export(u64::from(other))),
                6 => case.submit(),
                7 => case.approve(&current, by),
                8 => case.start(NOW),
                9 => case.drained(&Outstanding::default(), &export(u64::from(other))),
                10 => case.wiped(WipeResult::Done, &keys()),
                13 => case.keys_destroyed(NOW, &keys(), &said(), by),
                11 => case.reported("N-1"),
                _ => case.cancel().map(|_| ()),
            };
            if before.stage.is_over() {
                prop_assert!(done.is_err());
                prop_assert_eq!(&before, &case);
            }
            if matches!(case.stage, UnbindStage::Reporting | UnbindStage::Completed) {
                prop_assert!(case.end.keys.is_some());
            }
            if matches!(case.stage, UnbindStage::Draining | UnbindStage::Wiping | UnbindStage::Reporting | UnbindStage::Completed) {
                prop_assert!(case.proof.is_some() && case.export.is_some() && case.acknowledged.is_some());
                prop_assert_eq!(case.checker.as_deref(), Some("Wang Fang"));
                prop_assert_eq!(case.documents.missing(case.merchant).count(), 0);
                prop_assert!(case.documents.iter().all(|d| d.reviewed_by.as_ref() != Some(&d.added_by)));
            }
        }
    }
}
