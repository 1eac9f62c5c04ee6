//! Replays the fuzz corpus through the bodies of the fuzz targets.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/bodies.rs"]
pub(crate) mod bodies;

fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        body(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "{target} has no corpus");
}

#[test]
fn frames_of_the_corpus_break_nothing() {
    replay("frame", bodies::frame);
}

#[test]
fn messages_of_the_corpus_break_nothing() {
    replay("message", bodies::message);
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
fn subfields_of_the_corpus_break_nothing() {
    replay("subfields", bodies::subfields);
}
