//! What is on the disk afterwards: intents before outcomes, and nothing secret.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use posgate::iso8583::Dialect;
use posgate::store::{OutcomeKind, Record};

use super::fixture::{ISO, PAN, PIN_BLOCK, Setup, TRACK2, UNIONPAY, Who, eventually, journal_of};

fn packed(digits: &str, shift: usize) -> Vec<u8> {
    let nibble = |c: u8| if c == b'=' { 0xD } else { c - b'0' };
    let nibbles: Vec<u8> = digits.bytes().skip(shift).map(nibble).collect();
    nibbles.chunks_exact(2).map(|p| p[0] << 4 | p[1]).collect()
}

/// Everything that must not be found, in the forms it may lie in.
fn marks() -> Vec<(String, Vec<u8>)> {
    let mut marks = vec![("PIN block".to_owned(), PIN_BLOCK.to_vec())];
    let hex: String = PIN_BLOCK.iter().map(|b| format!("{b:02X}")).collect();
    marks.push(("PIN block in letters".into(), hex.into_bytes()));
    let (_, discretionary) = TRACK2.split_once('=').unwrap();
    // Six and four digits of a card number may be seen; what lies between may not.
    for (name, digits) in [
        ("PAN", PAN),
        ("PAN's middle", PAN.get(6..15).unwrap()),
        ("track", discretionary),
    ] {
        marks.push((name.into(), digits.as_bytes().to_vec()));
        marks.push((format!("{name}, packed"), packed(digits, 0)));
        marks.push((
            format!("{name}, packed from the second digit"),
            packed(digits, 1),
        ));
    }
    marks
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

fn assert_nothing_secret(folder: &Path) {
    let mut bytes_read = 0;
    for path in files(folder) {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        bytes_read += bytes.len();
        for (name, mark) in marks() {
            let found = bytes.windows(mark.len()).any(|w| w == mark);
            assert!(!found, "{name} in {}", path.display());
        }
    }
    assert!(bytes_read > 1_000);
}

/// The search finds what it is for: everything it looks for is in a sale on the wire.
#[test]
fn a_sale_on_the_wire_holds_every_secret() {
    let frames = [UNIONPAY, ISO].map(|name| {
        let sale = Who::numbered(1, name).sale(1, 100);
        sale.frame(&Dialect::shipped(name).unwrap())
    });
    let found = |mark: &[u8]| {
        frames
            .iter()
            .any(|f| f.windows(mark.len()).any(|w| w == mark))
    };
    for kind in ["PIN block", "PAN", "track"] {
        let forms = marks()
            .into_iter()
            .filter(|(name, _)| name.starts_with(kind));
        let seen = forms.filter(|(_, mark)| found(mark)).count();
        assert!(seen >= 2, "{kind}: {seen}");
    }
}

#[tokio::test]
async fn intents_come_before_outcomes_and_no_card_data_is_on_the_disk() {
    for dialect in [UNIONPAY, ISO] {
        let setup = Setup {
            timeout: Duration::from_millis(300),
            ..Setup::speaking(dialect)
        };
        let (world, mut link) = setup.start_with_link().await;
        let mut till = world.till(1).await;
        till.sell(&mut link, 1, "00").await;
        till.sell(&mut link, 2, "51").await;
        till.send(&till.who.void(3, 1, 1_000)).await;
        let request = link.next().await;
        link.send(&request.answered("00")).await;
        till.next().await;
        // Silence, a reversal of its own, a reversal of nothing, an enquiry nobody answers.
        till.send(&till.who.sale(4, 1_000)).await;
        link.next().await;
        till.next().await;
        let owed = link.next().await;
        link.send(&owed.answered("00")).await;
        till.sell(&mut link, 5, "00").await;
        till.code(&till.who.reversal(5, 1_000)).await;
        let asked = link.next().await;
        link.send(&asked.answered("00")).await;
        till.code(&till.who.reversal(99, 1_000)).await;
        till.send(&till.who.balance(6)).await;
        link.next().await;
        till.next().await;
        eventually("nothing is owed", || world.running.switch.owed() == 0).await;
        assert_nothing_secret(world.folder.path());
        let stored = world.stop((till, link)).await;
        assert_nothing_secret(stored.path());
        assert_in_order(&journal_of(stored.path()));
    }
}

fn assert_in_order(records: &[Record]) {
    let (mut intents, mut ended) = (HashSet::new(), HashSet::new());
    let mut kinds = Vec::new();
    for record in records {
        match record {
            Record::Intent(intent) => {
                assert!(
                    intents.insert(intent.txn),
                    "two intents of {:?}",
                    intent.txn
                );
            }
            Record::Outcome(outcome) => {
                assert!(intents.contains(&outcome.txn), "{outcome:?} has no intent");
                ended.insert(outcome.txn);
                kinds.push(outcome.kind);
            }
            Record::Tombstone { .. }
            | Record::SignedOn { .. }
            | Record::SignedOff { .. }
            | Record::StanBlock { .. }
            | Record::Batch(_)
            | Record::Intervention(_) => {}
        }
    }
    use OutcomeKind::{Approved, Declined, Expired, ReversalOwed, Reversed};
    assert_eq!(intents, ended, "every intent has an outcome");
    let expected = [
        Approved,
        Declined,
        Approved,
        ReversalOwed,
        Reversed,
        Approved,
        ReversalOwed,
        Reversed,
        Expired,
    ];
    assert_eq!(kinds, expected);
}
