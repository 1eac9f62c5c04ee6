//! Reads a dialect file as a whole: every mistake is reported, each with its place.

use crate::base::document::{Document, Problem, Problems, Section};

use super::fields;
use super::requests;
use super::settings;
use super::settlement;
use super::subfields;
use super::{BitmapEncoding, Dialect, MtiEncoding};

/// Reads `text`, which the user knows as `file`.
pub(super) fn dialect(file: &str, text: &str) -> Result<Dialect, Vec<Problem>> {
    let problems = Problems::new(file, text);
    let read = {
        let document = Document::parse(&problems, text);
        root(document.root(&problems))
    };
    let refused = problems.any_errors();
    let found = problems.into_vec();
    match read {
        Some(mut dialect) if !refused => {
            dialect.warnings = found;
            Ok(dialect)
        }
        Some(_) | None => Err(found),
    }
}

/// `None` only when something was missing that has no default; that is then among the problems.
fn root(root: Section<'_, '_>) -> Option<Dialect> {
    let name = root.required_text("name", "my-network");
    let title = root.required_text("title", "what this dialect is, in one line");
    let framing = settings::framing(&root);
    let message = root.section("message");
    if message.is_none() {
        root.error(
            "message is missing; write for example `[message]` and under it `mti = \"ascii\"`",
        );
    }
    let forms = message.map_or(Forms::PLAIN, forms);
    let table = fields::table(&root, forms);
    let layouts = subfields::layouts(&root, &table);
    let roles = fields::roles(&root, &table);
    let reversal = settings::reversal(&root, &table);
    let repeats = settings::repeats(&root);
    let (rows, answer_echo) = requests::rows(&root, &table);
    let settlement = settlement::rules(&root, &table, rows.requests());
    let codes = settings::codes(&root, reversal.as_ref());
    let network = settings::network(&root, &table);
    root.finish();
    let envelope = framing.as_ref().map(super::Framing::envelope_bytes);
    Some(Dialect {
        name: name?.value.to_owned(),
        title: title?.value.to_owned(),
        framing: framing?,
        envelope_bytes: u16::try_from(envelope?).ok()?,
        mti: forms.mti,
        bitmap: forms.bitmap,
        bitmaps: forms.bitmaps,
        layouts,
        table,
        roles,
        rows,
        answer_echo,
        codes,
        reversal: reversal?,
        repeats,
        settlement,
        network,
        warnings: Vec::new(),
    })
}

/// Which characters text and digits are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    Ebcdic,
}

/// How digits are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigitsForm {
    /// Two a byte.
    Packed,
    Characters(Charset),
}

/// How length prefixes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthsForm {
    /// Two digits a byte.
    Packed,
    Characters(Charset),
    /// One byte for `L` and `LL`, two for more.
    Binary,
}

/// How binary fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BytesForm {
    Raw,
    /// Two hexadecimal digits a byte.
    Hex(Charset),
}

/// The `[message]` table: how things are written unless a field says otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms {
    pub(super) mti: MtiEncoding,
    pub(super) bitmap: BitmapEncoding,
    /// Most bitmaps of a message, 1 to 3.
    pub(super) bitmaps: u8,
    pub(super) digits: DigitsForm,
    pub(super) lengths: LengthsForm,
    pub(super) text: Charset,
    pub(super) bytes: BytesForm,
}

impl Forms {
    /// As plain as it goes: what a value looks like when its field is already read.
    pub(super) const PLAIN: Self = Self {
        mti: MtiEncoding::Ascii,
        bitmap: BitmapEncoding::Binary,
        bitmaps: 1,
        digits: DigitsForm::Characters(Charset::Ascii),
        lengths: LengthsForm::Characters(Charset::Ascii),
        text: Charset::Ascii,
        bytes: BytesForm::Raw,
    };

    /// Reads `digits`, `lengths`, `text` and `bytes` of a table.
    pub(super) fn over(self, section: &Section<'_, '_>) -> Self {
        Self {
            digits: section.choice("digits", &DIGITS, self.digits),
            lengths: section.choice("lengths", &LENGTHS, self.lengths),
            text: section.choice("text", &TEXT, self.text),
            bytes: section.choice("bytes", &BYTES, self.bytes),
            ..self
        }
    }
}

const TEXT: [(&str, Charset); 2] = [("ascii", Charset::Ascii), ("ebcdic", Charset::Ebcdic)];
const DIGITS: [(&str, DigitsForm); 3] = [
    ("packed", DigitsForm::Packed),
    ("ascii", DigitsForm::Characters(Charset::Ascii)),
    ("ebcdic", DigitsForm::Characters(Charset::Ebcdic)),
];
const LENGTHS: [(&str, LengthsForm); 4] = [
    ("packed", LengthsForm::Packed),
    ("ascii", LengthsForm::Characters(Charset::Ascii)),
    ("ebcdic", LengthsForm::Characters(Charset::Ebcdic)),
    ("binary", LengthsForm::Binary),
];
const BYTES: [(&str, BytesForm); 3] = [
    ("raw", BytesForm::Raw),
    ("hex", BytesForm::Hex(Charset::Ascii)),
    ("ebcdic-hex", BytesForm::Hex(Charset::Ebcdic)),
];
const MTIS: [(&str, MtiEncoding); 3] = [
    ("packed", MtiEncoding::Packed),
    ("ascii", MtiEncoding::Ascii),
    ("ebcdic", MtiEncoding::Ebcdic),
];
const BITMAPS: [(&str, BitmapEncoding); 3] = [
    ("binary", BitmapEncoding::Binary),
    ("hex", BitmapEncoding::Hex),
    ("ebcdic-hex", BitmapEncoding::EbcdicHex),
];

fn forms(message: Section<'_, '_>) -> Forms {
    let usual = Forms::PLAIN;
    let bitmaps = message.integer("bitmaps", 1..=3);
    let forms = Forms {
        mti: message.choice("mti", &MTIS, usual.mti),
        bitmap: message.choice("bitmap", &BITMAPS, usual.bitmap),
        bitmaps: bitmaps
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(usual.bitmaps),
        ..usual.over(&message)
    };
    message.finish();
    forms
}
