//! What is kept, and what goes when it is old and done.

use std::time::Duration;

use posgate::store::sqlite::check;
use posgate::store::{OutcomeKind, Record};
use posgate::switch::StoreKeeping;

use super::fixture::{Setup, eventually, journal_of};
use super::wire::SILENCE;

#[tokio::test]
async fn what_is_done_goes_and_what_is_owed_stays() {
    let setup = Setup {
        timeout: SILENCE,
        ..Setup::new()
    };
    let (world, mut link) = setup.start_with_link().await;
    let mut till = world.till(1).await;
    for stan in 1..=20 {
        let (_, told) = till.sell(&mut link, stan, "00").await;
        assert_eq!(told.code(), "00");
    }
    // Nobody acknowledges the reversal of this one.
    till.send(&till.who.sale(21, 100)).await;
    link.next().await;
    assert_eq!(till.next().await.code(), "98");
    let stored = world.stop((link, till)).await;
    let before = journal_of(stored.path());
    let last_txn = before.iter().filter_map(Record::txn).max().unwrap();

    let again = Setup {
        keeping: StoreKeeping {
            reserve_bytes: 1 << 20,
            journal: Duration::ZERO,
            transactions: Duration::ZERO,
            ..StoreKeeping::default()
        },
        stored: Some(stored),
        ..Setup::new()
    };
    let world = again.start().await;
    let store = world.folder.path().join("store");
    eventually("old transactions are deleted", || {
        check(&store).transactions == 1
    })
    .await;
    let kept: Vec<_> = journal_of(world.folder.path());
    let of_owed = kept.iter().filter(|r| r.txn() == Some(last_txn)).count();
    assert!(of_owed >= 2, "{kept:?}");
    let others: Vec<_> = kept
        .iter()
        .filter_map(Record::txn)
        .filter(|txn| *txn != last_txn)
        .collect();
    assert_eq!(others, [], "{kept:?}");
    assert!(matches!(&kept[0], Record::Intent(intent) if intent.txn == last_txn));
    let owed = |r: &Record| matches!(r, Record::Outcome(o) if o.kind == OutcomeKind::ReversalOwed);
    assert!(kept.iter().any(owed));

    assert!(check(&store).is_sound());
    drop(world.stop(()).await);
}
