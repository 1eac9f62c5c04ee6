//! What the fuzz targets do with their input, as plain functions: an ordinary test replays the corpus
//! through them.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use posgate::base::document::Severity;
use posgate::config::{self, ConfigError};
use posgate::inspect;
use posgate::iso8583::import::{Source, import};
use posgate::iso8583::{
    DeclineCode, DecodeError, Dialect, Envelope, FieldSet, Index, Message, Rewrite, Scanner,
    answer, rewrite,
};
use posgate::wire::{FrameCodec, Scan, scan};
use tokio_util::codec::Decoder;

/// Decodes `data` as a message of each shipped dialect.
pub(crate) fn message(data: &[u8]) {
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).expect("shipped");
        exercise(&dialect, data);
    }
}

/// Splits `data` into frames, whole and byte by byte, by each shipped dialect's framing.
pub(crate) fn frame(data: &[u8]) {
    const FRAME_BYTES_MAX: usize = 512;
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).expect("shipped");
        match scan(dialect.framing(), data, FRAME_BYTES_MAX) {
            Ok(Scan::Frame { start, end }) => {
                assert!(start <= end && end <= data.len());
                assert!(end - start <= FRAME_BYTES_MAX);
            }
            Ok(Scan::Need(bytes)) => assert!(bytes > data.len()),
            Err(error) => assert!(!error.label().is_empty()),
        }
        let whole = frames(&dialect, FRAME_BYTES_MAX, [data]);
        let bytewise = frames(&dialect, FRAME_BYTES_MAX, data.chunks(1));
        assert_eq!(whole, bytewise);
    }
}

/// Reads `data` as a jPOS packager.
pub(crate) fn import_jpos(data: &[u8]) {
    imported(Source::Jpos, data);
}

/// Reads `data` as a moov-io specification.
pub(crate) fn import_moov(data: &[u8]) {
    imported(Source::Moov, data);
}

/// What comes out of an import is a dialect file without a mistake.
fn imported(source: Source, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match import(source, "f", &text, "other") {
        Ok(imported) => {
            let dialect = Dialect::parse("dialect.toml", &imported.text);
            let dialect = dialect.unwrap_or_else(|found| panic!("{found:#?}\n{}", imported.text));
            assert_eq!(dialect.fields().len(), imported.fields);
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// Reads `data` as the configuration file of a folder that is not there: what is refused has its mistakes in
/// the file, what is taken has warnings at most.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A line feed ends a line; what stands behind the last one is a line as well.
    let lines = text.split('\n').count();
    let found = match config::parse("f", &text, Path::new("/nowhere")) {
        Ok(config) => {
            let mut severities = config.warnings.iter().map(|problem| problem.severity);
            assert!(severities.all(|severity| severity == Severity::Warning));
            config.warnings
        }
        Err(ConfigError::Problems(found)) => {
            let mut severities = found.iter().map(|problem| problem.severity);
            assert!(severities.any(|severity| severity == Severity::Error));
            found
        }
        Err(ConfigError::Read { .. }) => panic!("a text was given"),
    };
    for problem in found {
        assert!(problem.file == "f" && (1..=lines).contains(&problem.line));
        assert!((1..=text.len() + 1).contains(&problem.column));
        assert!(!problem.message.is_empty());
    }
}

/// Writes `data`, a message in JSON, in each shipped dialect; what was written decodes.
pub(crate) fn json(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else {
        return;
    };
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).expect("shipped");
        let mut out = BytesMut::new();
        match inspect::json::encode(&dialect, &value, &mut out) {
            Ok(()) => {
                let mut index = Index::new();
                let frame = &out[dialect.framing().prefix_bytes()..];
                let message = dialect.decode(frame, &mut index);
                black_box(inspect::describe(
                    &message.expect("what was written decodes"),
                ));
            }
            Err(error) => {
                assert!(out.is_empty());
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// All frames of a stream that comes in pieces, up to the first error.
fn frames<'a>(
    dialect: &Arc<Dialect>,
    frame_bytes_max: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<bytes::Bytes> {
    let mut codec = FrameCodec::new(Arc::clone(dialect), frame_bytes_max);
    let mut buf = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buf) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// Decodes, asks the message (whole or not) for everything it has, answers it and sends it on.
pub(crate) fn exercise(dialect: &Arc<Dialect>, frame: &[u8]) {
    let mut index = Index::new();
    structure_agrees(dialect, frame);
    for part in 0..4 {
        scanner_agrees(dialect, frame, part);
    }
    let sound = dialect.decode(frame, &mut index).is_ok_and(|message| {
        read_all(&message);
        sent_on_unchanged(&message);
        true
    });
    let (message, error) = dialect.decode_partial(frame, &mut index);
    assert_eq!(sound, error.is_none(), "both ways to read a frame agree");
    if let Some(error) = error {
        assert!(error.offset() <= frame.len());
        assert!(!error.label().is_empty());
        assert!(!error.to_string().is_empty());
    }
    if let Some(message) = message {
        read_all(&message);
        answered(&message);
    }
}

/// Without a look at values the same fields lie in the same places, and the same breaks the structure.
fn structure_agrees(dialect: &Dialect, frame: &[u8]) {
    let (mut whole, mut bare) = (Index::new(), Index::new());
    let structure = dialect.decode_structure(frame, &mut bare);
    match (dialect.decode(frame, &mut whole), structure) {
        (Ok(message), Ok(structure)) => same_fields(&message, &structure, message.fields()),
        (Err(error), Err(found)) => {
            let value = matches!(error, DecodeError::Character { .. });
            assert!(value && found.offset() > error.offset() || found == error);
        }
        (Err(error), Ok(structure)) => {
            assert!(matches!(error, DecodeError::Character { .. }));
            read_all(&structure);
        }
        (Ok(_), Err(error)) => panic!("sound, but {error}"),
    }
}

/// A scanner of one field in four finds what the full decode finds, and refuses what that refuses as far as it
/// looks.
fn scanner_agrees(dialect: &Arc<Dialect>, frame: &[u8], part: u8) {
    let wanted = dialect.fields().iter().map(|field| field.number);
    let wanted: FieldSet = wanted.filter(|de| de % 4 == part).collect();
    let scanner = Scanner::new(Arc::clone(dialect), wanted.iter()).expect("defined");
    let (mut whole, mut some) = (Index::new(), Index::new());
    match (
        dialect.decode(frame, &mut whole),
        scanner.scan(frame, &mut some),
    ) {
        (Ok(message), Ok(found)) => {
            assert_eq!(found.mti(), message.mti());
            assert_eq!(found.fields(), message.fields().intersection(wanted));
            for de in found.fields().iter() {
                assert_eq!(found.field(de), message.field(de));
                assert_eq!(found.length(de), message.length(de));
                assert_eq!(found.value(de), message.value(de));
            }
        }
        (Err(error), Err(found)) => {
            let unseen = error.field().is_some_and(|de| !wanted.contains(de));
            assert!(found == error || unseen && found.offset() > error.offset());
        }
        (Err(error), Ok(found)) => match error {
            DecodeError::Trailer { .. } | DecodeError::LeftOver { .. } => {}
            DecodeError::Character { field, .. } if !wanted.contains(field) => {}
            other => {
                let behind = other
                    .field()
                    .expect("a field that the scanner did not reach");
                assert!(found.fields().iter().all(|de| de < behind));
            }
        },
        (Ok(_), Err(error)) => panic!("sound, but {error}"),
    }
}

fn same_fields(one: &Message<'_>, other: &Message<'_>, fields: FieldSet) {
    assert_eq!((one.mti(), one.fields()), (other.mti(), other.fields()));
    for de in fields.iter() {
        assert_eq!(one.element(de), other.element(de));
        assert_eq!(one.length(de), other.length(de));
    }
}

/// Divides `data` by every layout of every shipped dialect: reading ends, and what was read is written to what
/// reads the same.
pub(crate) fn subfields(data: &[u8]) {
    for name in Dialect::shipped_names() {
        let dialect = Dialect::shipped(name).expect("shipped");
        for layout in dialect
            .fields()
            .iter()
            .filter_map(|field| dialect.layout(field.number))
        {
            match layout.read(data) {
                Err(error) => {
                    assert!(error.offset() <= data.len());
                    assert!(!error.label().is_empty());
                    assert!(!error.to_string().is_empty());
                }
                Ok(items) => {
                    let written = layout.write(&items).expect("what was read can be written");
                    let again = layout.read(&written).expect("what was written can be read");
                    assert_eq!(again, items);
                }
            }
        }
    }
}

fn read_all(message: &Message<'_>) {
    for de in message.content_fields().iter() {
        let value = message.value(de).expect("present");
        assert!(value.len() <= 2 * message.frame().len());
        if let Some(layout) = message.dialect().layout(de) {
            for part in layout.parts(&value).flatten() {
                assert!(part.offset() + part.content().len() <= value.len());
                black_box((part.value(), part.parts().map(Iterator::count)));
            }
        }
    }
    black_box((message.misshapen(), message.broken_part()));
    for de in message.fields().iter() {
        assert!(message.field(de).is_some());
        let element = message.element(de).expect("present");
        assert!(element.ends_with(message.field(de).expect("present")));
        black_box((message.digits(de), message.number(de), message.block(de)));
        for part in 1..=8 {
            black_box(message.sub(de, part));
        }
    }
    black_box((message.stan(), message.terminal(), message.merchant()));
    black_box((message.amount(), message.batch(), message.pan()));
    black_box((
        message.response_code(),
        message.rrn(),
        message.approval_code(),
    ));
    black_box((
        message.processing_code(),
        message.original(),
        message.match_key(),
    ));
    let row = message.dialect().classify(message);
    black_box(row.map(|row| row.misshapen(message)));
    assert!(message.mac_input().len() <= message.frame().len());
}

/// Sent on without a change it is the same, but for the case of hexadecimal digits in bitmaps.
fn sent_on_unchanged(message: &Message<'_>) {
    let how = Rewrite {
        envelope: Envelope::Raw(message.envelope()),
        drop: FieldSet::EMPTY,
        set: &[],
    };
    let mut out = BytesMut::new();
    rewrite(message, &how, &mut out).expect("a decoded message can be written");
    let prefix = message.dialect().framing().prefix_bytes();
    let framing = message.dialect().framing();
    if let Some(place) = &framing.header_length {
        // How long it is, is told anew; what came may have told otherwise.
        let told = framing.header_at() + place.start..framing.header_at() + place.end;
        out[prefix..][told.clone()].copy_from_slice(&message.frame()[told]);
    }
    assert!(out[prefix..].eq_ignore_ascii_case(message.frame()));
}

/// An answer can be made to whatever had a message type, and it decodes.
fn answered(message: &Message<'_>) {
    let dialect = message.dialect();
    if !dialect.serves() {
        return;
    }
    let mut out = BytesMut::new();
    let row = dialect.classify(message);
    let code = dialect.decline(DeclineCode::Format);
    answer(message, row, code, &[], &mut out).expect("an answer can be made");
    let mut index = Index::new();
    let prefix = dialect.framing().prefix_bytes();
    let answer = dialect
        .decode(&out[prefix..], &mut index)
        .expect("our own answer is sound");
    assert_eq!(answer.response_code(), Some(code));
}
