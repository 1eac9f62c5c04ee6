//! Replays the sample messages of every shipped dialect.
//!
//! A file is one frame with its length prefix. `#` begins a comment, `'` a line of ASCII text, everything
//! else is hexadecimal. One comment says what to expect: `# expect: sale` names the request row (`answer`
//! for what is no request), `# expect: truncated DE35` the error.

use std::fs;
use std::path::{Path, PathBuf};

use posgate::iso8583::{Dialect, Index};
use posgate::wire::{Scan, scan};

struct Sample {
    file: PathBuf,
    expect: String,
    bytes: Vec<u8>,
}

fn sample(file: PathBuf) -> Sample {
    let text = fs::read_to_string(&file).unwrap();
    let mut bytes = Vec::new();
    let mut expect = None;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# expect: ") {
            expect = Some(words.to_owned());
        } else if let Some(ascii) = line.strip_prefix('\'') {
            bytes.extend_from_slice(ascii.as_bytes());
        } else if !line.starts_with('#') {
            let digits: Vec<u8> = line.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            bytes.extend(digits.chunks(2).map(pair));
        }
    }
    let expect = expect.unwrap_or_else(|| panic!("{} expects nothing", file.display()));
    Sample {
        file,
        expect,
        bytes,
    }
}

fn samples(dialect: &str) -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("protocols")
        .join(dialect)
        .join("messages");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.into_iter().map(sample).collect()
}

/// What the dialect says of a frame, in the words of the samples.
fn verdict(dialect: &Dialect, frame: &[u8]) -> String {
    let mut index = Index::new();
    match dialect.decode(frame, &mut index) {
        Err(error) => match error.field() {
            Some(de) => format!("{} DE{de}", error.label()),
            None => error.label().to_owned(),
        },
        Ok(message) if !message.mti().is_request() => "answer".to_owned(),
        Ok(message) => match dialect.classify(&message) {
            None => "unknown request".to_owned(),
            Some(row) => match row.missing(&message) {
                None => row.name.clone(),
                Some(de) => format!("{} without DE{de}", row.name),
            },
        },
    }
}

#[test]
fn sample_messages_are_what_they_say() {
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).unwrap();
        let samples = samples(name);
        assert!(samples.len() >= 8, "{name}");
        for sample in samples {
            let file = sample.file.display();
            let found = match scan(dialect.framing(), &sample.bytes, 4_096) {
                Ok(Scan::Frame { start, end }) => {
                    assert_eq!(end, sample.bytes.len(), "{file}");
                    verdict(&dialect, &sample.bytes[start..end])
                }
                Ok(Scan::Need(_)) => "incomplete frame".to_owned(),
                Err(error) => error.label().to_owned(),
            };
            assert_eq!(found, sample.expect, "{file}");
        }
    }
}
