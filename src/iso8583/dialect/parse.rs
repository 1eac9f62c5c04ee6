//! Reads a dialect file as a whole: every mistake is reported, each with its place.

use crate::base::document::{Document, Problem, Problems, Section};

use super::fields;
use super::requests;
use super::settings;
use super::settlement;
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
    let forms = message.map(forms).unwrap_or_default();
    let table = fields::table(&root, forms);
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
        secondary_bitmap: forms.secondary_bitmap,
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

/// The `[message]` table: how things are written unless a field says otherwise.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent yes-or-no lines of a file"
)]
pub(super) struct Forms {
    pub(super) mti: MtiEncoding,
    pub(super) bitmap: BitmapEncoding,
    pub(super) secondary_bitmap: bool,
    /// Digits two a byte.
    pub(super) packed_digits: bool,
    /// Length prefixes two digits a byte.
    pub(super) packed_lengths: bool,
    /// Binary fields as hexadecimal digits.
    pub(super) hex_bytes: bool,
}

impl Default for Forms {
    fn default() -> Self {
        Self {
            mti: MtiEncoding::Ascii,
            bitmap: BitmapEncoding::Binary,
            secondary_bitmap: false,
            packed_digits: false,
            packed_lengths: false,
            hex_bytes: false,
        }
    }
}

const DIGITS: [(&str, bool); 2] = [("packed", true), ("ascii", false)];
const BYTES: [(&str, bool); 2] = [("hex", true), ("raw", false)];

fn forms(message: Section<'_, '_>) -> Forms {
    let usual = Forms::default();
    let forms = Forms {
        mti: message.choice(
            "mti",
            &[
                ("packed", MtiEncoding::Packed),
                ("ascii", MtiEncoding::Ascii),
            ],
            usual.mti,
        ),
        bitmap: message.choice(
            "bitmap",
            &[
                ("binary", BitmapEncoding::Binary),
                ("hex", BitmapEncoding::Hex),
            ],
            usual.bitmap,
        ),
        secondary_bitmap: message.flag("secondary_bitmap", usual.secondary_bitmap),
        packed_digits: message.choice("digits", &DIGITS, usual.packed_digits),
        packed_lengths: message.choice("lengths", &DIGITS, usual.packed_lengths),
        hex_bytes: message.choice("bytes", &BYTES, usual.hex_bytes),
    };
    message.finish();
    forms
}
