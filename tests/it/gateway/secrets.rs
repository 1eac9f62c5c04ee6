//! What is on the disk afterwards: intents before outcomes, and nothing secret.

use posgate::iso8583::{Dialect, Exposure, Field, FieldType, Item, ItemValue};
use posgate::store::{OutcomeKind, Record};
use posgate::switch::StanPolicy;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::admin::Api;
use super::fixture::{
    ISO, PAN, PIN_BLOCK, SHOP, Setup, TRACK2, UNIONPAY, Who, World, eventually, journal_of,
};
use super::serving::Place;
use super::wire::{Draft, SILENCE, Wire};

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
            timeout: SILENCE,
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

/// A value for a field or part, found nowhere else, as long as it may be; and what of it must not be found.
fn marked(kind: FieldType, number: u8, max: usize) -> Vec<u8> {
    // A row without a repetition, another one for each number.
    let steps = std::iter::successors(Some(u64::from(number) + 11), |last| {
        Some(last.wrapping_mul(6_364_136_223_846_793_005) % 1_000_000_007 + 3)
    });
    let character = |step: u64| match kind {
        FieldType::Numeric | FieldType::Track => b'0' + (step % 10) as u8,
        FieldType::Alphanumeric | FieldType::Text => b'A' + (step % 26) as u8,
        FieldType::Binary => 0x80 | (step % 128) as u8,
    };
    steps.map(character).take(max.min(24)).collect()
}

fn hidden(field: &Field) -> bool {
    field.exposure != Exposure::Open && field.number > 2
}

/// A sale in any dialect that is served, with a marked value in everything that nobody may see; and the marks.
fn everything_marked(dialect: &Dialect, stan: u32) -> (Draft, BTreeMap<String, Vec<u8>>) {
    let row = dialect
        .request("sale")
        .or_else(|| dialect.request("authorisation"))
        .unwrap();
    let mti = row.mtis[0].to_string();
    let name = dialect.name();
    let mut draft = if dialect.roles().time == dialect.roles().date {
        let own = Draft::new(&mti).set(11, format!("{stan:06}"));
        own.set(12, "261122181500").set(24, "200").set(32, "100001")
    } else {
        let known = if name == UNIONPAY { UNIONPAY } else { ISO };
        Who::numbered(1, known).sale(stan, 1_000).retyped(&mti)
    };
    draft = draft.set(2, PAN).set(3, "000000").set(4, "000000001000");
    draft = draft.set(41, "T0000001").set(42, SHOP);
    for de in row.required.iter() {
        if draft.has(de) {
            continue;
        }
        let field = dialect.field(de).unwrap();
        let filler = if field.kind == FieldType::Binary {
            0
        } else {
            b'1'
        };
        draft = draft.set(de, vec![filler; field.max.min(12).into()]);
    }
    let mut marks = BTreeMap::new();
    for field in dialect.fields() {
        let (de, forbidden) = (field.number, row.forbidden.contains(field.number));
        if forbidden || de > 128 {
            draft = draft.without(de);
        } else if hidden(field) {
            let mut mark = marked(field.kind, de, field.max.into());
            if !field.variable {
                mark.resize(
                    field.max.into(),
                    if field.kind == FieldType::Binary {
                        0xE7
                    } else {
                        b'7'
                    },
                );
            }
            draft = draft.set(de, &mark);
            marks.insert(format!("DE{de}"), mark);
        }
        let Some(layout) = dialect
            .layout(de)
            .filter(|_| field.exposure == Exposure::Open)
        else {
            continue;
        };
        let secret = layout
            .rules
            .iter()
            .filter(|rule| rule.exposure != Exposure::Open);
        let items: Vec<_> = secret
            .map(|rule| {
                let mark = marked(rule.kind, 200, 18);
                marks.insert(format!("DE{de}.{}", rule.tag), mark.clone());
                let value = ItemValue::Value(mark);
                Item {
                    tag: rule.tag,
                    value,
                }
            })
            .collect();
        if !items.is_empty() {
            draft = draft.set(de, layout.write(&items).unwrap());
        }
    }
    (draft, marks)
}

/// In whatever form: as it is, packed, or in hexadecimal.
fn forms(mark: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        mark.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ];
    if mark.iter().all(u8::is_ascii_digit) {
        let digits = str::from_utf8(mark).unwrap();
        forms.extend([packed(digits, 0), packed(digits, 1)]);
    }
    forms
}

fn assert_unmarked(place: &str, bytes: &[u8], marks: &BTreeMap<String, Vec<u8>>) {
    for (name, mark) in marks {
        // Three bytes may stand anywhere by chance.
        for form in forms(mark).into_iter().filter(|form| form.len() >= 4) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{name} in {place}");
        }
    }
}

async fn linked(world: &World) -> Wire {
    let mut link = world.unanswered_link().await;
    let sign_on = link.next().await;
    let code = world.dialect.accepted(sign_on.mti()).to_string();
    link.send(&sign_on.answered(code.trim())).await;
    let up = || world.running.switch.groups_up().0 == 1;
    eventually("the link is up", up).await;
    link
}

#[tokio::test]
async fn nothing_that_a_dialect_hides_is_stored_shown_or_exported() {
    for name in Dialect::shipped_names() {
        if !Dialect::shipped(name).unwrap().serves() {
            continue;
        }
        let setup = Setup {
            timeout: SILENCE,
            stan: match name.ends_with("-style") {
                true => StanPolicy::Own,
                false => StanPolicy::Pass,
            },
            ..Setup::speaking(name)
        };
        let world = setup.start().await;
        let mut link = linked(&world).await;
        let api = Api::serve(&world);
        let mut till = world.connect().await;
        let mut stan = 7;
        let (_, marks) = everything_marked(&world.dialect, stan);
        assert!(marks.len() >= 2, "{name}: {marks:?}");
        // Own numbers are reserved soon after the link is up.
        let request = loop {
            stan += 1;
            assert!(stan < 1_000, "{name}: nothing is taken");
            till.send(&everything_marked(&world.dialect, stan).0).await;
            tokio::select! {
                request = link.next() => break request,
                told = till.next() => {
                    assert!(["96", "909"].contains(&told.code()), "{name}: {}", told.code());
                }
            }
        };
        let approved = world.dialect.accepted(request.mti()).to_string();
        let echoed = world.dialect.matched(request.mti()).iter();
        let answer = echoed
            .filter(|de| request.has(*de))
            .fold(request.answered(approved.trim()), |answer, de| {
                answer.set(de, request.raw(de))
            });
        link.send(&answer).await;
        assert_eq!(till.next().await.code(), approved.trim(), "{name}");
        let (sale, _) = everything_marked(&world.dialect, stan + 1);
        till.send(&sale).await;
        link.next().await;
        till.next().await;
        let reversal = link.next().await;
        assert!(world.running.switch.owed() > 0, "{name}: {reversal:?}");
        for path in ["/v1/transactions/1/evidence", "/v1/transactions/2/evidence"] {
            let (status, text) = api.get(path).await;
            assert_eq!(status, 200, "{name}: {text}");
            assert_unmarked(path, text.as_bytes(), &marks);
            assert!(text.contains("kept_for_reversal"));
        }
        let stored = world.stop((till, link)).await;
        for path in files(stored.path()) {
            let bytes = std::fs::read(&path).unwrap();
            assert_unmarked(&format!("{name}: {}", path.display()), &bytes, &marks);
        }
        for record in journal_of(stored.path()) {
            if let Record::Intent(intent) = record {
                assert_unmarked(name, &intent.reversal, &marks);
            }
        }
    }
}

/// The program itself, with a card number and a customer's code where a terminal may put them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_comes_back_in_a_repeat_after_a_crash_and_is_in_no_file_log_or_bundle() {
    const CARD: &str = "6228480402564890018";
    const CODE: &str = "626212345678901234";
    let place = Place::new().await;
    let config = place.path().join("posgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(
        "dialect = \"unionpay-pos\"\naddresses",
        "timeout = \"2s\"\ndialect = \"unionpay-pos\"\naddresses",
    );
    std::fs::write(&config, text + "[log]\nlevel = \"trace\"\n").unwrap();
    let (serving, mut link) = place.serve(&[]).await;
    let mut till = place.till(&serving, 1).await;
    let code_data = format!("A1022{CARD}abcA3018{CODE}");
    let sale = till.who.sale(1, 1_000).set(22, "031").set(59, &code_data);
    let request = loop {
        till.send(&sale).await;
        tokio::select! {
            request = link.next() => break request,
            told = till.next() => assert_eq!(told.code(), "91"),
        }
    };
    assert_eq!(request.text(59), code_data, "the host gets all of it");
    link.send(&request.answered("00")).await;
    assert_eq!(till.next().await.code(), "00");
    let (named, told) = (format!("0019{CARD}0"), format!("01 {CARD}"));
    let refund = till.who.refund(2, 1, 500).set(61, &named).set(63, &told);
    till.send(&refund).await;
    let request = link.next().await;
    assert_eq!((request.text(61), request.text(63)), (&*named, &*told));
    // Nobody answers, and the process is killed.
    let mut log = serving.killed();
    let (serving, mut link) = place.serve(&[]).await;
    let again = link.next().await;
    assert_eq!((again.mti.as_str(), again.text(11)), ("0220", "000002"));
    assert_eq!((again.text(61), again.text(63)), (&*named, &*told));
    link.send(&again.answered("00")).await;
    let marks: BTreeMap<_, _> = [("card", CARD), ("code", CODE)]
        .map(|(name, mark)| (name.to_owned(), mark.as_bytes().to_vec()))
        .into();
    for number in ["1", "2"] {
        let bundle = place.succeeds(&["transaction", "evidence", number]);
        assert_unmarked("the bundle", bundle.as_bytes(), &marks);
        assert!(bundle.contains("\"fields_sealed\": true"), "{bundle}");
    }
    for export in [
        &["transaction", "list", "-o", "csv"][..],
        &["settlement", "--date", "2026-01-01"],
    ] {
        let told = place.run(export);
        assert_unmarked("an export", &told.stdout, &marks);
    }
    log.extend(serving.killed());
    assert!(
        log.iter().any(|line| line.contains("posgate is serving")),
        "{log:?}"
    );
    assert_unmarked("the log", log.join("\n").as_bytes(), &marks);
    for path in files(place.path()) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert_unmarked(&path.display().to_string(), &bytes, &marks);
    }
}
