//! Replays the fuzz corpus through the bodies of the fuzz targets.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/bodies.rs"]
pub(crate) mod bodies;

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(directory).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    assert!(!entries.is_empty(), "{target} has no corpus");
    entries
        .iter()
        .map(|entry| fs::read(entry).unwrap())
        .collect()
}

fn replay(target: &str, body: fn(&[u8])) {
    for input in corpus(target) {
        body(&input);
    }
}

/// Replays the corpus of a target whose inputs choose one of several by their first byte: each by all of them.
fn replay_by_all(target: &str, choices: usize, body: fn(&[u8])) {
    body(&[]);
    for mut input in corpus(target) {
        for choice in 0..choices {
            input[0] = choice.try_into().unwrap();
            body(&input);
        }
    }
}

#[test]
fn frames_of_the_corpus_break_nothing() {
    replay_by_all("frame", bodies::dialects().len(), bodies::frame);
}

#[test]
fn messages_of_the_corpus_break_nothing() {
    replay_by_all("message", bodies::dialects().len(), bodies::message);
}

#[test]
fn packagers_of_the_corpus_break_nothing() {
    replay("import_jpos", bodies::import_jpos);
}

#[test]
fn specifications_of_the_corpus_break_nothing() {
    replay("import_moov", bodies::import_moov);
}

#[test]
fn json_of_the_corpus_breaks_nothing() {
    replay("json", bodies::json);
}

#[test]
fn what_people_give_of_the_corpus_breaks_nothing() {
    replay_by_all("inspect", bodies::dialects().len() + 1, bodies::inspect);
}

#[test]
fn configurations_of_the_corpus_break_nothing() {
    replay("config", bodies::config);
}

#[test]
fn subfields_of_the_corpus_break_nothing() {
    replay_by_all("subfields", bodies::divided().len(), bodies::subfields);
}

/// Feeds a target its corpus with some bytes changed, cut out or repeated.
fn damage(target: &str, body: fn(&[u8])) {
    const TIMES: usize = 2_000;
    let whole = corpus(target);
    let mut random = fastrand::Rng::with_seed(8_583);
    for _ in 0..TIMES {
        let mut bytes = random.choice(&whole).unwrap().clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            let end = (at + random.usize(1..40)).min(bytes.len());
            match random.u8(..5) {
                0 => bytes[at] = random.u8(..),
                1 => {
                    bytes[at] = random
                        .choice(b"0123456789<>{}[]\"',:".iter().copied())
                        .unwrap();
                }
                2 if end < bytes.len() => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.truncate(end),
            }
        }
        body(&bytes);
    }
}

#[test]
fn damaged_files_of_other_programs_break_nothing() {
    damage("import_jpos", bodies::import_jpos);
    damage("import_moov", bodies::import_moov);
    damage("json", bodies::json);
}

#[test]
fn damaged_configurations_break_nothing() {
    damage("config", bodies::config);
}
