//! What the fuzz targets do with their input, as plain functions: an ordinary test replays the corpus
//! through them.
//!
//! Where dialects matter, the first byte of the input chooses one, so that an execution costs as much as one.
//! What an execution needs beside its input is made once.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use posgate::base::document::Severity;
use posgate::config::{self, ConfigError};
use posgate::inspect::bytes::Notation;
use posgate::inspect::json::MessageJson;
use posgate::inspect::{self, Description, Guess, Language, Reveal};
use posgate::iso8583::import::{Source, import};
use posgate::iso8583::{
    DeclineCode, DecodeError, Dialect, Envelope, Excerpt, FieldSet, Index, Layout, Message,
    Rewrite, Scanner, answer, rewrite,
};
use posgate::wire::{FrameCodec, Scan, scan};
use tokio_util::codec::Decoder;

/// Most bytes of a frame here: so few that a short stream has frames that are too long.
const FRAME_BYTES_MAX: usize = 200;

/// The first byte, which chooses one of several, and the rest.
fn chosen<'c, T>(all: &'c [T], data: &'c [u8]) -> Option<(&'c T, &'c [u8])> {
    let (choice, rest) = data.split_first()?;
    let at = usize::from(*choice).checked_rem(all.len())?;
    Some((all.get(at)?, rest))
}

/// The shipped dialects in the order of their names, which is that of the first byte; new ones come last.
pub(crate) fn dialects() -> &'static [Reading] {
    static ALL: OnceLock<Vec<Reading>> = OnceLock::new();
    ALL.get_or_init(|| {
        let names = Dialect::shipped_names().iter();
        let shipped = names.map(|name| Dialect::shipped(name).expect("shipped"));
        shipped.map(Reading::new).collect()
    })
}

/// Decodes `data` behind its first byte as a message of the dialect that the byte chooses.
pub(crate) fn message(data: &[u8]) {
    if let Some((reading, frame)) = chosen(dialects(), data) {
        reading.exercise(frame);
    }
}

/// Splits `data` behind its first byte into frames, whole and byte by byte, by the framing that the byte chooses.
pub(crate) fn frame(data: &[u8]) {
    let Some((Reading { dialect, .. }, stream)) = chosen(dialects(), data) else {
        return;
    };
    match scan(dialect.framing(), stream, FRAME_BYTES_MAX) {
        Ok(Scan::Frame { start, end }) => {
            assert!(start <= end && end <= stream.len());
            assert!(end - start <= FRAME_BYTES_MAX);
        }
        Ok(Scan::Need(bytes)) => assert!(bytes > stream.len()),
        Err(error) => assert!(!error.label().is_empty()),
    }
    let whole = frames(dialect, FRAME_BYTES_MAX, [stream]);
    let bytewise = frames(dialect, FRAME_BYTES_MAX, stream.chunks(1));
    assert_eq!(whole, bytewise);
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

/// A card number that is put into messages.
const PAN: &str = "6217009182736451825";

/// Takes `data` behind its first byte as somebody gave it to `posgate message decode`, in the dialect that the byte
/// chooses or in whichever fits best. A card number in the card's field of a sound message is not shown.
pub(crate) fn inspect(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    let all: Vec<_> = dialects().iter().map(|known| &known.dialect).collect();
    // One more than there are dialects: all of them.
    let choice = usize::from(*choice) % (all.len() + 1);
    let tried: Vec<_> = match all.get(choice) {
        Some(one) => vec![Arc::clone(one)],
        None => all.into_iter().cloned().collect(),
    };
    match inspect::bytes::readings(input) {
        Ok(readings) => {
            let mut guesses = inspect::guesses(&readings, &tried, None);
            inspect::reconsider(&mut guesses);
            let best = guesses.first().expect("there are readings and dialects");
            black_box(shown(best));
            if best.is_sound() {
                shows_no_card(best);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// All that is shown of a guess, masked, in both languages.
fn shown(guess: &Guess) -> String {
    let around = inspect::explain(guess, Reveal::Masked);
    assert_eq!(around.is_none(), guess.is_sound());
    let fault = around.or_else(|| inspect::explain_parts(guess, Reveal::Masked));
    let mut out = String::new();
    if let Some(fault) = &fault {
        assert!(!fault.what.is_empty() && fault.at.is_none_or(|at| at <= guess.input.len()));
        out = fault.window.join("\n");
    }
    let mut index = Index::new();
    let (Some(message), _) = guess.dialect.decode_partial(&guess.frame, &mut index) else {
        return out;
    };
    let mut description = inspect::describe(&message);
    description.hide_contested(guess);
    description.hide(&fault.map(|fault| fault.doubtful).unwrap_or_default());
    for language in [Language::En, Language::Zh] {
        out.push_str(&in_json(&description, Reveal::Masked, language));
    }
    out
}

fn in_json(description: &Description, reveal: Reveal, language: Language) -> String {
    let json = MessageJson {
        description,
        wire: &[],
        reveal,
        language,
    };
    serde_json::to_string(&json).expect("a description is written")
}

/// Puts a card number into a sound message and looks at it.
fn shows_no_card(guess: &Guess) {
    let dialect = &guess.dialect;
    let mut index = Index::new();
    let message = dialect.decode(&guess.frame, &mut index).expect("sound");
    let known = in_json(
        &inspect::describe(&message),
        Reveal::Everything,
        Language::En,
    );
    // What a field for everybody holds of it is not what this is about.
    if known.contains(PAN) {
        return;
    }
    let mut out = BytesMut::new();
    let mut writer = dialect.write(&mut out);
    writer.envelope_raw(message.envelope());
    writer.mti(message.mti());
    for field in dialect.fields() {
        if field.number == dialect.roles().pan {
            writer.text(field.number, PAN.as_bytes());
        } else if message.content_fields().contains(field.number) {
            writer.copy(&message, field.number);
        }
    }
    // It may be too long then.
    if writer.finish().is_err() {
        return;
    }
    let reading = inspect::bytes::Reading {
        notation: Notation::Hex,
        bytes: out.to_vec(),
    };
    let with_card = inspect::guesses(&[reading], std::slice::from_ref(dialect), Some(true));
    let with_card = with_card.first().expect("it has a length prefix");
    assert!(!shown(with_card).contains(PAN));
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

/// A dialect, and the scanners that read a fourth of its fields each.
pub(crate) struct Reading {
    dialect: Arc<Dialect>,
    scanners: [Scanner; 4],
}

impl Reading {
    pub(crate) fn new(dialect: Arc<Dialect>) -> Self {
        let scanners = [0, 1, 2, 3].map(|part| {
            let fields = dialect.fields().iter().map(|field| field.number);
            let wanted = fields.filter(|de| de % 4 == part);
            Scanner::new(Arc::clone(&dialect), wanted).expect("defined")
        });
        Self { dialect, scanners }
    }

    /// Decodes, asks the message (whole or not) for everything it has, answers it and sends it on.
    pub(crate) fn exercise(&self, frame: &[u8]) {
        let (mut index, mut other) = (Index::new(), Index::new());
        let whole = self.dialect.decode(frame, &mut index);
        structure_agrees(whole, self.dialect.decode_structure(frame, &mut other));
        for scanner in &self.scanners {
            scanner_agrees(whole, scanner.scan(frame, &mut other), scanner.fields());
        }
        let (message, error) = self.dialect.decode_partial(frame, &mut other);
        match (whole, message) {
            (Ok(whole), Some(message)) => {
                same_fields(&whole, &message, whole.fields());
                sent_on_unchanged(&whole);
            }
            (Ok(_), None) => panic!("sound, but nothing of it can be read"),
            (Err(_), _) => {}
        }
        assert_eq!(whole.err(), error, "both ways to read a frame agree");
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
}

/// Without a look at values the same fields lie in the same places, and the same breaks the structure.
fn structure_agrees(
    whole: Result<Message<'_>, DecodeError>,
    structure: Result<Message<'_>, DecodeError>,
) {
    match (whole, structure) {
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

/// A scanner of some fields finds what the full decode finds, and refuses what that refuses as far as it looks.
fn scanner_agrees(
    whole: Result<Message<'_>, DecodeError>,
    excerpt: Result<Excerpt<'_>, DecodeError>,
    wanted: FieldSet,
) {
    match (whole, excerpt) {
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

/// A field that divides.
pub(crate) struct Divided {
    dialect: Arc<Dialect>,
    field: u8,
}

impl Divided {
    fn layout(&self) -> &Layout {
        self.dialect.layout(self.field).expect("it divides")
    }
}

/// The fields of all shipped dialects that divide, in the order of the first byte.
pub(crate) fn divided() -> &'static [Divided] {
    static ALL: OnceLock<Vec<Divided>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        for Reading { dialect, .. } in dialects() {
            let numbers = dialect.fields().iter().map(|field| field.number);
            let dividing = numbers.filter(|de| dialect.layout(*de).is_some());
            all.extend(dividing.map(|field| Divided {
                dialect: Arc::clone(dialect),
                field,
            }));
        }
        // One byte chooses.
        assert!(all.len() <= 256);
        all
    })
}

/// Divides `data` behind its first byte by the layout that the byte chooses: reading ends, and what was read is
/// written to what reads the same.
pub(crate) fn subfields(data: &[u8]) {
    let Some((divided, value)) = chosen(divided(), data) else {
        return;
    };
    let layout = divided.layout();
    match layout.read(value) {
        Err(error) => {
            assert!(error.offset() <= value.len());
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
