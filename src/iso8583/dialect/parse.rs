//! Reads a dialect file as a whole: every mistake is reported, each with its place.

use std::ops::Range;

use crate::base::document::{Ancestor, Document, Problem, Problems, Section, Severity};
use crate::base::limits;

use super::code_entry;
use super::device;
use super::fields;
use super::means;
use super::requests;
use super::roles;
use super::settings;
use super::settlement;
use super::staff_refund;
use super::subfields;
use super::table::Pad;
use super::{BitmapEncoding, Dialect, MtiEncoding, ThirdBitmap};

/// A dialect file that another builds on: its name for people, and its text.
pub(super) type Parent = (String, String);

/// Reads `text`, which the user knows as `file`. `find` gives the file of a dialect by its name.
pub(super) fn dialect(
    file: &str,
    text: &str,
    find: &dyn Fn(&str) -> Option<Parent>,
) -> Result<Dialect, Vec<Problem>> {
    let (read, problems) = read(file, text, find);
    let refused = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    match read {
        Some(mut dialect) if !refused => {
            dialect.warnings = problems;
            Ok(dialect)
        }
        Some(_) | None => Err(problems),
    }
}

fn read(
    file: &str,
    text: &str,
    find: &dyn Fn(&str) -> Option<Parent>,
) -> (Option<Dialect>, Vec<Problem>) {
    let (parents, fault) = match parents(file, text, find) {
        Ok(parents) => (parents, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let ancestors: Vec<_> = parents
        .iter()
        .map(|(file, text)| Ancestor { file, text })
        .collect();
    let problems = Problems::new(file, text);
    if fault.is_some() {
        problems.stands_alone();
    }
    let read = {
        let document = Document::parse_over(&problems, text, &ancestors);
        root(document.root(&problems))
    };
    if problems.only_elsewhere()
        && let Some((file, text)) = parents.first()
        && dialect(file, text, find).is_err()
    {
        problems.no_change_of_its_own();
    }
    let mut found = problems.into_vec();
    if let Some(fault) = fault {
        let before = |other: &Problem| {
            other.file == file && (other.line, other.column) < (fault.line, fault.column)
        };
        let at = if fault.file == file {
            found.partition_point(before)
        } else {
            0
        };
        // What is no text is told by whoever asks for one.
        if found
            .get(at)
            .is_none_or(|known| (known.line, known.column) != (fault.line, fault.column))
        {
            found.insert(at, fault);
        }
    }
    (read, found)
}

/// Every key that reading the file asks for, with the path of its table.
pub(super) fn keys(
    file: &str,
    text: &str,
    find: &dyn Fn(&str) -> Option<Parent>,
) -> Vec<(String, &'static str)> {
    let parents = parents(file, text, find).unwrap_or_default();
    let ancestors: Vec<_> = parents
        .iter()
        .map(|(file, text)| Ancestor { file, text })
        .collect();
    let problems = Problems::new(file, text);
    let document = Document::parse_over(&problems, text, &ancestors);
    root(document.root(&problems));
    problems.asked()
}

/// What a file builds on, the nearest first.
fn parents(
    file: &str,
    text: &str,
    find: &dyn Fn(&str) -> Option<Parent>,
) -> Result<Vec<Parent>, Problem> {
    let mut parents: Vec<Parent> = Vec::new();
    let mut names: Vec<String> = own_name(file, text).into_iter().collect();
    loop {
        let (file, text) = parents
            .last()
            .map_or((file, text), |(file, text)| (file, text));
        // Of this document only the one line is read; its mistakes are reported when it is read as a whole.
        let problems = Problems::new(file, text);
        let found = {
            let document = Document::parse(&problems, text);
            let root = document.root(&problems);
            let extends = root.text("extends");
            let found = extends.map(|name| (name.value.to_owned(), name.span));
            found.ok_or_else(|| root.has("extends").then(|| root.span_of("extends")))
        };
        let refused = |span: &Range<usize>, message: String| {
            let problems = Problems::new(file, text);
            problems.error(span, message);
            problems.into_vec().into_iter().next()
        };
        let (name, span) = match found {
            Ok(found) => found,
            Err(None) => return Ok(parents),
            Err(Some(span)) => {
                let message = "extends must be the name of a dialect in quotes".to_owned();
                return refused(&span, message).map_or(Ok(parents), Err);
            }
        };
        let wrong = if names.contains(&name) {
            let way: Vec<_> = names.iter().map(String::as_str).collect();
            Some(format!(
                "extends: \"{name}\" builds on itself ({} -> {name})",
                way.join(" -> ")
            ))
        } else if parents.len() >= limits::EXTENDS_MAX {
            Some(format!(
                "extends: more than {} files on each other",
                limits::EXTENDS_MAX
            ))
        } else {
            None
        };
        let parent = find(&name);
        let unknown = || {
            format!(
                "extends: there is no dialect \"{name}\"; shipped are {}",
                Dialect::shipped_names().join(", ")
            )
        };
        match (wrong, parent) {
            (None, Some(parent)) => {
                names.push(name);
                parents.push(parent);
            }
            (wrong, _) => {
                let Some(problem) = refused(&span, wrong.unwrap_or_else(unknown)) else {
                    return Ok(parents);
                };
                return Err(problem);
            }
        }
    }
}

/// The name that a file gives itself.
pub(super) fn own_name(file: &str, text: &str) -> Option<String> {
    let problems = Problems::new(file, text);
    let document = Document::parse(&problems, text);
    let name = document.root(&problems).text("name");
    name.map(|name| name.value.to_owned())
}

/// Whether a name can stand in a path and on a command line as it is.
fn is_plain(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `None` only when something was missing that has no default; that is then among the problems.
fn root(root: Section<'_, '_>) -> Option<Dialect> {
    let name = root.required_name("name", "my-network");
    if let Some(name) = &name
        && !is_plain(name.value)
    {
        root.problems().error(
            &name.span,
            "name is what settings, commands and folders call the dialect: at most 64 letters, digits, `-`, `_` and \
             `.`, a letter or a digit first; write for example `name = \"my-network\"`",
        );
    }
    let title = root.required_name("title", "what this dialect is, in one line");
    // Both were followed before the files were laid over each other.
    let (_extends, _removed) = (root.text("extends"), root.texts("remove"));
    if root.has("remove") && !root.has("extends") {
        root.problems().error(
            &root.span_of("remove"),
            "remove leaves out something that is inherited, and nothing is; write for example \
             `extends = \"iso8583-1987-ascii\"`, or take `remove` out",
        );
    }
    let framing = settings::framing(&root);
    let message = root.section("message");
    if message.is_none() {
        root.absent(
            "message",
            "message is missing; write for example `[message]` and under it `mti = \"ascii\"`",
        );
    }
    let no_table = message.is_none() && root.has("message");
    let before = root.problems().errors();
    let forms = message.map_or(Forms::UNKNOWN, forms);
    if no_table || root.problems().errors() > before {
        // How a field is written may be what is broken there.
        root.problems().shake_definitions();
    }
    let table = fields::table(&root, forms);
    if let Some(framing) = &framing {
        settings::room(&root, framing, &table);
    }
    let layouts = subfields::layouts(&root, &table);
    // Without requests a dialect decodes and encodes only, and needs nothing of what follows.
    let serves = serves(&root);
    let roles = roles::roles(&root, &table, serves);
    roles::exposures(&root, &table, &roles, serves);
    let reversal = settings::reversal(&root, &table, serves);
    let repeats = settings::repeats(&root);
    let (rows, answer_echo) = requests::rows(&root, &table);
    let (messages, matching) = requests::messages(&root, &table, &roles, rows.requests());
    let settlement = settlement::rules(&root, &table, rows.requests());
    let device = device::rules(&root, &layouts);
    let means = means::rules(&root, &table, &layouts);
    let code_entry = code_entry::rules(&root, &table, rows.requests());
    let staff_refund = staff_refund::rules(&root, &table);
    let codes = settings::codes(&root, &table, reversal.as_ref(), serves);
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
        third: forms.third,
        layouts,
        table,
        roles,
        rows,
        messages,
        matching,
        answer_echo,
        codes,
        reversal: reversal?,
        repeats,
        settlement,
        code_entry,
        staff_refund,
        device,
        means,
        network,
        warnings: Vec::new(),
    })
}

/// Whether the dialect has requests. What only such a dialect uses must not stand alone.
fn serves(root: &Section<'_, '_>) -> bool {
    let serves = root.has("request");
    let only = [
        "defaults",
        "reversal",
        "repeats",
        "settlement",
        "code_entry",
        "staff_refund",
        "device",
        "means",
        "declines",
        "network",
    ];
    if let Some(key) = only.into_iter().find(|key| root.has(key))
        && !serves
    {
        let message = format!(
            "[{key}] stands without a [[request]]; write for example `[[request]]` and under it `name = \"sale\"`, or take [{key}] out: a dialect without requests decodes only"
        );
        root.problems().error(&root.span_of(key), message);
    }
    serves
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
    pub(super) third: ThirdBitmap,
    pub(super) digits: DigitsForm,
    pub(super) lengths: LengthsForm,
    pub(super) text: Charset,
    pub(super) bytes: BytesForm,
    /// The side of an odd nibble.
    pub(super) pad: Pad,
}

impl Forms {
    /// As plain as it goes: what a value looks like when its field is already read.
    pub(super) const PLAIN: Self = Self {
        mti: MtiEncoding::Ascii,
        bitmap: BitmapEncoding::Binary,
        bitmaps: 1,
        third: ThirdBitmap::None,
        digits: DigitsForm::Characters(Charset::Ascii),
        lengths: LengthsForm::Characters(Charset::Ascii),
        text: Charset::Ascii,
        bytes: BytesForm::Raw,
        pad: Pad::Right,
    };

    /// Where the table is not there, which is told: whatever a field says may be.
    const UNKNOWN: Self = Self {
        bitmaps: 3,
        ..Self::PLAIN
    };

    /// Reads `digits`, `lengths`, `text`, `bytes` and `pad` of a table.
    pub(super) fn over(self, section: &Section<'_, '_>) -> Self {
        Self {
            digits: section.choice("digits", &DIGITS, self.digits),
            lengths: section.choice("lengths", &LENGTHS, self.lengths),
            text: section.choice("text", &TEXT, self.text),
            bytes: section.choice("bytes", &BYTES, self.bytes),
            pad: section.choice("pad", &PADS, self.pad),
            ..self
        }
    }
}

const PADS: [(&str, Pad); 2] = [("left", Pad::Left), ("right", Pad::Right)];
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
const THIRD: [(&str, ThirdBitmap); 2] = [
    ("after-second", ThirdBitmap::AfterSecond),
    ("in-place", ThirdBitmap::InPlace),
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
    let place = message.choice("third_bitmap", &THIRD, ThirdBitmap::AfterSecond);
    let third = if bitmaps == Some(3) {
        place
    } else {
        ThirdBitmap::None
    };
    let told = bitmaps.is_some() || !message.has("bitmaps");
    if told && third == ThirdBitmap::None && message.has("third_bitmap") {
        message.problems().error(
            &message.span_of("third_bitmap"),
            "message.third_bitmap says where a third bitmap stands; write `bitmaps = 3` too",
        );
    }
    let forms = Forms {
        third,
        mti: message.choice("mti", &MTIS, usual.mti),
        bitmap: message.choice("bitmap", &BITMAPS, usual.bitmap),
        bitmaps: match bitmaps.and_then(|n| u8::try_from(n).ok()) {
            Some(bitmaps) => bitmaps,
            // Wrong, which is told: no field is to blame for it.
            None if message.has("bitmaps") || message.problems().is_alone() => {
                Forms::UNKNOWN.bitmaps
            }
            None => usual.bitmaps,
        },
        ..usual.over(&message)
    };
    message.finish();
    forms
}
