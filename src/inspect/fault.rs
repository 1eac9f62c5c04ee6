//! Why a message does not decode: the other ways in which it might be meant are tried, and those that work are
//! the likely causes.

use std::borrow::Cow;

use crate::base::Counted;
use crate::iso8583::{
    DecodeError, Dialect, Field, FieldType, Index, LengthEncoding, LengthPlace, Message, Scope,
    Variation, Writing,
};

use super::element::Reveal;
use super::find::{Guess, Layout, PrefixFault, SOUND, attempt, likely};
use super::window;

/// Most causes that are told.
const CAUSES_MAX: usize = 3;

/// Longest length prefix that is tried.
const PREFIX_BYTES_MAX: usize = 6;

/// Most bytes before a message that are tried to be left out.
const LEAD_BYTES_MAX: usize = 32;

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What decoding says.
    pub what: String,
    /// Where it stands in the bytes that were given; `None` when it does not stand there.
    pub at: Option<usize>,
    /// The bytes around that place, with a caret below it; lines.
    pub window: Vec<String>,
    /// What may have led to it, likeliest first.
    pub causes: Vec<Cause>,
    /// Fields that were read where by the likeliest cause something stands that nobody may see.
    pub doubtful: Vec<u8>,
}

/// What may have led to a broken message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// What would make it right, where a dialect file could say it.
    pub remedy: Option<String>,
    /// Whether the whole message decodes so; else it only gets further.
    pub sound: bool,
}

/// Explains why a guess is not sound; `None` when it is.
#[must_use]
pub fn explain(guess: &Guess, reveal: Reveal) -> Option<Fault> {
    if guess.is_sound() {
        return None;
    }
    let mut search = Search {
        guess,
        found: Vec::new(),
        reached: guess
            .error
            .map_or(guess.frame.len(), |error| error.offset()),
        sense: sense(guess).saturating_sub(20).max(-60),
        value_only: value_only(guess),
    };
    search.everything();
    let (what, frame_offset) = told(guess);
    let at = guess.input_offset(frame_offset);
    let best = search.best();
    // What decodes in a way that has a name is known from there; what else, nobody knows.
    let trusted = search.value_only || best.is_some_and(|best| best.rank <= Rank::Named);
    let shade = window::shade(guess, best, trusted, reveal);
    let window = match at {
        Some(at) => window::lines(&guess.input, &shade, at),
        None => Vec::new(),
    };
    let doubtful = if trusted {
        window::shaded_fields(guess, &shade)
    } else {
        window::card_fields(guess)
    };
    Some(Fault {
        what,
        at,
        window,
        causes: search.causes(),
        doubtful,
    })
}

/// What is wrong with a guess, in one line.
#[must_use]
pub fn what(guess: &Guess) -> String {
    told(guess).0
}

/// The same, with its offset in the frame.
fn told(guess: &Guess) -> (String, usize) {
    if let Some(error) = guess.error {
        let at = match (error, bitmap_fault(guess)) {
            (DecodeError::Bitmap { .. }, BitmapFault::NotHex(at)) => at,
            (_, BitmapFault::CutOff | BitmapFault::NotHex(_) | BitmapFault::Further) => {
                error.offset()
            }
        };
        return (of_error(guess, &error), at);
    }
    let bytes = guess.frame.len();
    match guess.prefix {
        Some(PrefixFault::CutOff { missing }) => {
            let announced = bytes.saturating_add(missing);
            let what = announces(announced, bytes);
            (what, bytes)
        }
        Some(PrefixFault::LeftOver { bytes: left }) => {
            let follow = bytes.saturating_add(left);
            let what = announces(bytes, follow);
            (what, bytes)
        }
        Some(PrefixFault::Unusable) | None => ("the length prefix is no length".to_owned(), 0),
    }
}

fn announces(announced: usize, there: usize) -> String {
    format!(
        "the length prefix announces {}, {there} {}",
        Counted(announced, "byte"),
        if there == 1 { "follows" } else { "follow" }
    )
}

/// What makes a bitmap unusable.
enum BitmapFault {
    CutOff,
    /// At that offset in the frame.
    NotHex(usize),
    Further,
}

fn bitmap_fault(guess: &Guess) -> BitmapFault {
    let Some((at, width, binary)) = guess.dialect.bitmap_place() else {
        return BitmapFault::Further;
    };
    let bytes = guess.frame.get(at..).unwrap_or_default();
    let hex = bytes.iter().take(width.saturating_mul(2));
    let wrong = hex.clone().position(|byte| !byte.is_ascii_hexdigit());
    match wrong {
        Some(wrong) if !binary && wrong < width => BitmapFault::NotHex(at.saturating_add(wrong)),
        Some(_) | None if bytes.len() < width => BitmapFault::CutOff,
        Some(_) | None => BitmapFault::Further,
    }
}

/// An error without its offset, which counts from elsewhere, and with the name of the field.
fn of_error(guess: &Guess, error: &DecodeError) -> String {
    let named = |de: u8| match guess.dialect.field(de) {
        Some(field) => format!("DE{de} ({})", field.en),
        None => format!("DE{de}"),
    };
    match *error {
        DecodeError::FrameTooLong { .. } => error.to_string(),
        DecodeError::NoMti { needed, found } => {
            let there = if found == 1 { "is" } else { "are" };
            let found = Counted(found, "byte");
            format!("there {there} {found}, headers and message type take {needed}")
        }
        DecodeError::Mti { .. } => "the message type is not four digits".to_owned(),
        DecodeError::Bitmap { .. } => match bitmap_fault(guess) {
            BitmapFault::CutOff => "the bitmap is cut off".to_owned(),
            BitmapFault::NotHex(_) => "the bitmap holds what is no hexadecimal digit".to_owned(),
            BitmapFault::Further => {
                "the bitmap announces a further one, which the dialect does not have".to_owned()
            }
        },
        DecodeError::Undefined { field, .. } => {
            format!(
                "DE{field} is announced and not defined in {}",
                guess.dialect.name()
            )
        }
        DecodeError::Prefix { field, .. } => {
            format!("{} has no digits in its length prefix", named(field))
        }
        DecodeError::TooLong {
            field,
            declared,
            max,
            ..
        } => format!(
            "{} declares length {declared}, {max} is the most",
            named(field)
        ),
        DecodeError::Truncated {
            field,
            declared,
            remain,
            ..
        } => format!(
            "{} takes {}, {remain} {}",
            named(field),
            Counted(declared, "byte"),
            if remain == 1 { "remains" } else { "remain" }
        ),
        DecodeError::Character { field, .. } => {
            format!("{} holds a character that its type forbids", named(field))
        }
        DecodeError::Trailer { .. } => {
            format!(
                "what follows is not the trailer of {}",
                guess.dialect.name()
            )
        }
        DecodeError::LeftOver { bytes, .. } => {
            let follow = Counted(bytes, "byte").that("follows", "follow");
            format!("{follow} the last field")
        }
    }
}

/// Simple explanations come before far-fetched ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What stands around the message.
    Around,
    /// One thing that is written otherwise everywhere.
    Everywhere,
    /// A length that is wrong in a way that has a name.
    Named,
    /// What the error itself says.
    Itself,
    /// One thing about one field, or several everywhere.
    One,
    /// What makes it decode, and may be chance.
    Chance,
}

/// One way to take the message that was tried and worked, or got further.
pub(super) struct Found<'d> {
    cause: Cause,
    pub(super) rank: Rank,
    score: i32,
    pub(super) dialect: Cow<'d, Dialect>,
    pub(super) frame: Vec<u8>,
    /// Bytes of the input before those of `frame`, less those that were put into it in front.
    pub(super) shift: isize,
}

impl Clone for Found<'_> {
    fn clone(&self) -> Self {
        Self {
            cause: self.cause.clone(),
            rank: self.rank,
            score: self.score,
            dialect: self.dialect.clone(),
            frame: self.frame.clone(),
            shift: self.shift,
        }
    }
}

struct Search<'g> {
    guess: &'g Guess,
    found: Vec<Found<'g>>,
    /// How far the message was read.
    reached: usize,
    /// Points that what was read has for making sense, less some.
    sense: i32,
    /// Only the value of a field is wrong: what is around it decodes.
    value_only: bool,
}

impl<'g> Search<'g> {
    fn everything(&mut self) {
        self.prefixes();
        self.envelopes();
        self.twice();
        self.forms();
        self.fields();
        if !self.value_only {
            self.leads();
            self.lengths();
            self.bitmaps();
            if !self.any_sound() {
                self.flavours();
            }
        }
        self.plain();
    }

    fn any_sound(&self) -> bool {
        self.found.iter().any(|found| found.cause.sound)
    }

    /// Tries one way; keeps it when it works or gets clearly further.
    fn consider(
        &mut self,
        rank: Rank,
        dialect: Cow<'g, Dialect>,
        frame: Vec<u8>,
        shift: isize,
        text: String,
        remedy: Option<String>,
    ) {
        let (error, score) = attempt(&dialect, &frame);
        let sound = match error {
            None => true,
            // Some bytes further may be chance; half of what was left is not.
            Some(error) => {
                let left = frame.len().saturating_sub(self.reached);
                let further = error.offset().saturating_sub(self.reached);
                let structural = rank <= Rank::Everywhere;
                let better = score > self.guess.score.saturating_add(100);
                let far = self.reached > 0 && further >= 12 && further >= left / 2;
                if !structural || !better || !far {
                    return;
                }
                false
            }
        };
        // Well formed and less sensible than what was read before is no explanation.
        if sound && score < SOUND.saturating_add(self.sense) {
            return;
        }
        self.found.push(Found {
            cause: Cause {
                text,
                remedy,
                sound,
            },
            rank,
            score,
            dialect,
            frame,
            shift,
        });
    }

    /// The best way that works.
    fn best(&self) -> Option<&Found<'g>> {
        let decoded = |found: &&Found<'_>| found.cause.sound && !found.frame.is_empty();
        let sound = self.found.iter().filter(decoded);
        sound.min_by_key(|found| (found.rank, found.score.saturating_neg()))
    }

    fn causes(mut self) -> Vec<Cause> {
        self.found
            .sort_by_key(|found| (!found.cause.sound, found.rank, found.score.saturating_neg()));
        let any_sound = self.any_sound();
        let mut causes: Vec<Cause> = Vec::new();
        for found in self.found {
            let known = causes.iter().any(|cause| cause.text == found.cause.text);
            // What only gets further is worth a word when nothing works.
            let told = found.cause.sound || !any_sound;
            if !known && told && causes.len() < CAUSES_MAX {
                causes.push(found.cause);
            }
        }
        causes
    }

    fn dialect(&self) -> Cow<'g, Dialect> {
        Cow::Borrowed(&*self.guess.dialect)
    }

    fn behind(&self, bytes: usize) -> Vec<u8> {
        self.guess.input.get(bytes..).unwrap_or_default().to_vec()
    }

    /// Bytes of the input before the frame, as far as it is known.
    fn shift(&self) -> isize {
        match self.guess.frame_at {
            Some(at) => signed(at),
            None => signed(self.guess.input.len()).saturating_sub(signed(self.guess.frame.len())),
        }
    }

    /// Other length prefixes that tell the number of bytes that there are.
    fn prefixes(&mut self) {
        const ENCODINGS: [(LengthEncoding, &str); 5] = [
            (LengthEncoding::Ascii, "ASCII digits"),
            (LengthEncoding::Binary, "binary"),
            (LengthEncoding::Packed, "packed digits"),
            (LengthEncoding::Ebcdic, "EBCDIC digits"),
            (LengthEncoding::Hex, "hexadecimal digits"),
        ];
        let framing = self.guess.dialect.framing();
        if framing.length_place != LengthPlace::First {
            return;
        }
        let envelope = framing.envelope_bytes();
        for bytes in 1..=PREFIX_BYTES_MAX {
            for (encoding, words) in ENCODINGS {
                let prefix = self.guess.input.get(..bytes);
                let Some(announced) = prefix.and_then(|prefix| encoding.read(prefix)) else {
                    continue;
                };
                let rest = self.guess.input.len().saturating_sub(bytes);
                let own = framing.length_bytes == bytes && framing.length_encoding == encoding;
                let counts = if announced == rest {
                    "counts what follows it"
                } else if announced == rest.saturating_add(bytes) {
                    "counts itself too"
                } else if envelope > 0 && announced.saturating_add(envelope) == rest {
                    "leaves out TPDU and header"
                } else if envelope > 0 && announced == rest.saturating_add(envelope) {
                    "counts TPDU and header twice"
                } else {
                    continue;
                };
                // As the dialect says: nothing to tell.
                if own && framing.frame_bytes(announced) == Some(rest) {
                    continue;
                }
                let wide = Counted(bytes, "byte");
                let looks = match (own, encoding) {
                    (true, _) => format!("the length {counts}"),
                    (false, LengthEncoding::Binary) => {
                        format!("the length prefix looks like {wide}, binary, and {counts}")
                    }
                    (false, _) => {
                        format!("the length prefix looks like {wide} of {words} and {counts}")
                    }
                };
                let remedy = format!(
                    "in [framing]: length_bytes = {bytes}, length_encoding = \"{}\"",
                    encoding_word(encoding)
                );
                let remedy = (!own).then_some(remedy);
                let (dialect, frame) = (self.dialect(), self.behind(bytes));
                self.consider(
                    Rank::Around,
                    dialect,
                    frame,
                    signed(bytes),
                    looks.clone(),
                    remedy.clone(),
                );
                // And its headers are not there.
                for (what, frame) in self.headed(&self.behind(bytes)) {
                    let added = signed(frame.len()).saturating_sub(signed(rest));
                    let shift = signed(bytes).saturating_sub(added);
                    let text = format!("{looks}; {what}");
                    let dialect = self.dialect();
                    self.consider(Rank::Named, dialect, frame, shift, text, remedy.clone());
                }
            }
        }
    }

    /// The bytes with headers put in front or cut off.
    fn headed(&self, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let framing = self.guess.dialect.framing();
        let (tpdu, header) = (framing.tpdu.as_slice(), framing.header.as_slice());
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        if framing.length_place != LengthPlace::First {
            return all;
        }
        let mut put = |what: &str, parts: [&[u8]; 3]| all.push((what.to_owned(), parts.concat()));
        match (tpdu, header) {
            ([], []) => {
                for (what, cut) in [
                    ("a TPDU (5 bytes) stands before the message", 5),
                    ("TPDU and header (11 bytes) stand before the message", 11),
                ] {
                    put(what, [&[], &[], bytes.get(cut..).unwrap_or_default()]);
                }
            }
            ([], header) => put("the header is missing", [header, bytes, &[]]),
            (tpdu, []) => put("the TPDU is missing", [tpdu, bytes, &[]]),
            (tpdu, header) => {
                put("TPDU and header are missing", [tpdu, header, bytes]);
                put("the TPDU is missing", [tpdu, bytes, &[]]);
                let (front, rest) = bytes.split_at_checked(tpdu.len()).unwrap_or((bytes, &[]));
                put("the header is missing", [front, header, rest]);
            }
        }
        all
    }

    /// Headers that are missing or too many.
    fn envelopes(&mut self) {
        let own = self.guess.dialect.framing().prefix_bytes();
        let starts = match self.guess.layout {
            Layout::Framed => vec![self.guess.frame_at.unwrap_or(own)],
            // It may have a length prefix all the same.
            Layout::Bare | Layout::Headless => vec![0, own],
        };
        for start in starts {
            let bytes = self.behind(start);
            for (what, frame) in self.headed(&bytes) {
                let added = signed(frame.len()).saturating_sub(signed(bytes.len()));
                let dialect = self.dialect();
                self.consider(
                    Rank::Around,
                    dialect,
                    frame,
                    signed(start).saturating_sub(added),
                    what,
                    None,
                );
            }
        }
    }

    /// Bytes before the message of which nothing is known.
    fn leads(&mut self) {
        let start = self.guess.frame_at.unwrap_or(0);
        for lead in 1..=LEAD_BYTES_MAX {
            let from = start.saturating_add(lead);
            let stand = Counted(lead, "byte").that("stands", "stand");
            let text = format!("{stand} before the message that the dialect does not know");
            let (dialect, frame) = (self.dialect(), self.behind(from));
            self.consider(Rank::Chance, dialect, frame, signed(from), text, None);
        }
    }

    /// Hexadecimal digits of hexadecimal digits.
    fn twice(&mut self) {
        let text = str::from_utf8(&self.guess.input).ok();
        let Some(bytes) = text.and_then(|text| super::bytes::hex(text).ok()) else {
            return;
        };
        let prefix = self.guess.dialect.framing().prefix_bytes();
        for cut in [0, prefix] {
            let frame = bytes.get(cut..).unwrap_or_default().to_vec();
            let text = "the message was written in hexadecimal digits twice".to_owned();
            // No byte of it stands in the input as it is.
            let dialect = self.dialect();
            self.consider(Rank::Around, dialect, frame, isize::MAX, text, None);
        }
    }

    /// One thing that is written otherwise everywhere.
    fn forms(&mut self) {
        use Writing::{Ascii, Binary, Ebcdic, EbcdicHex, Hex, Packed};
        let all = Scope::All;
        let singles = [
            (
                Variation::Mti(Ascii),
                "the message type is in ASCII",
                "mti = \"ascii\"",
            ),
            (
                Variation::Mti(Packed),
                "the message type is packed",
                "mti = \"packed\"",
            ),
            (
                Variation::Mti(Ebcdic),
                "the message type is in EBCDIC",
                "mti = \"ebcdic\"",
            ),
            (
                Variation::Bitmap(Hex),
                "the bitmap is in hexadecimal digits, not binary",
                "bitmap = \"hex\"",
            ),
            (
                Variation::Bitmap(Binary),
                "the bitmap is binary, not in hexadecimal digits",
                "bitmap = \"binary\"",
            ),
            (
                Variation::Bitmap(EbcdicHex),
                "the bitmap is in EBCDIC hexadecimal digits",
                "bitmap = \"ebcdic-hex\"",
            ),
            (
                Variation::Bitmaps(2),
                "there is a second bitmap",
                "bitmaps = 2",
            ),
            (
                Variation::Digits(all, Ascii),
                "digits are in ASCII, not packed",
                "digits = \"ascii\"",
            ),
            (
                Variation::Digits(all, Packed),
                "digits are packed two a byte",
                "digits = \"packed\"",
            ),
            (
                Variation::Lengths(all, Ascii),
                "the length prefixes of fields are ASCII digits",
                "lengths = \"ascii\"",
            ),
            (
                Variation::Lengths(all, Packed),
                "the length prefixes of fields are packed digits",
                "lengths = \"packed\"",
            ),
            (
                Variation::Lengths(all, Binary),
                "the length prefixes of fields are binary",
                "lengths = \"binary\"",
            ),
            (
                Variation::Bytes(all, Hex),
                "binary fields are in hexadecimal digits",
                "bytes = \"hex\"",
            ),
            (
                Variation::Bytes(all, Binary),
                "binary fields are bytes as they are, not hexadecimal digits",
                "bytes = \"raw\"",
            ),
            (
                Variation::Pad(all),
                "odd nibbles are filled on the other side",
                "pad, for each field of packed digits",
            ),
        ];
        for (variation, text, remedy) in singles {
            let remedy = format!("in [message]: {remedy}");
            // One field with an odd nibble is told by itself.
            let pad = matches!(variation, Variation::Pad(_));
            let rank = if pad { Rank::Chance } else { Rank::Everywhere };
            self.vary(rank, &[variation], text.to_owned(), Some(remedy));
        }
        let ebcdic = [
            Variation::Mti(Ebcdic),
            Variation::Bitmap(EbcdicHex),
            Variation::Digits(all, Ebcdic),
            Variation::Lengths(all, Ebcdic),
            Variation::Text(all, Ebcdic),
            Variation::Bytes(all, EbcdicHex),
        ];
        let remedy = "in [message]: mti, digits, lengths and text = \"ebcdic\"";
        for (text, without) in [
            ("the message is in EBCDIC rather than ASCII", &[][..]),
            (
                "the message is in EBCDIC rather than ASCII, its bitmap is binary",
                &[1],
            ),
            (
                "the message is in EBCDIC rather than ASCII, its bitmap and binary fields are not",
                &[1, 5],
            ),
            (
                "the message is in EBCDIC rather than ASCII, its binary fields are not",
                &[5],
            ),
        ] {
            let kept: Vec<_> = ebcdic
                .into_iter()
                .enumerate()
                .filter(|(at, _)| !without.contains(at))
                .map(|(_, variation)| variation)
                .chain(without.iter().map(|at| match at {
                    1 => Variation::Bitmap(Binary),
                    _ => Variation::Bytes(all, Binary),
                }))
                .collect();
            self.vary(
                Rank::Everywhere,
                &kept,
                text.to_owned(),
                Some(remedy.to_owned()),
            );
        }
    }

    /// Tries the frame under another writing. Those of the variations that change nothing are left out.
    fn vary(&mut self, rank: Rank, variations: &[Variation], text: String, remedy: Option<String>) {
        let dialect = &*self.guess.dialect;
        let changing: Vec<_> = variations
            .iter()
            .copied()
            .filter(|variation| dialect.varied(&[*variation]).is_some())
            .collect();
        if changing.is_empty() {
            return;
        }
        let Some(varied) = dialect.varied(&changing) else {
            return;
        };
        let (frame, shift) = (self.guess.frame.clone(), self.shift());
        self.consider(rank, Cow::Owned(varied), frame, shift, text, remedy);
    }

    /// The fields that were read, and the one at which it broke.
    fn suspects(&self) -> Vec<u8> {
        let mut index = Index::new();
        let (message, error) = self
            .guess
            .dialect
            .decode_partial(&self.guess.frame, &mut index);
        let mut suspects: Vec<u8> = message
            .map(|message| message.content_fields().iter().collect())
            .unwrap_or_default();
        suspects.extend(error.and_then(|error| error.field()));
        suspects.sort_unstable();
        suspects.dedup();
        // The nearer to the break, the likelier.
        suspects.reverse();
        suspects
    }

    /// One field that is written otherwise.
    fn fields(&mut self) {
        use Writing::{Ascii, Binary, Hex, Packed};
        for de in self.suspects() {
            let field = Scope::Field(de);
            let tries = [
                (
                    Variation::Pad(field),
                    format!("DE{de}: the odd nibble is filled on the other side"),
                    "pad",
                ),
                (
                    Variation::Lengths(field, Ascii),
                    format!("DE{de}: its length prefix looks like ASCII digits"),
                    "lengths = \"ascii\"",
                ),
                (
                    Variation::Lengths(field, Packed),
                    format!("DE{de}: its length prefix looks like packed digits"),
                    "lengths = \"packed\"",
                ),
                (
                    Variation::Lengths(field, Binary),
                    format!("DE{de}: its length prefix is binary, not decimal"),
                    "lengths = \"binary\"",
                ),
                (
                    Variation::Digits(field, Ascii),
                    format!("DE{de}: its digits are in ASCII, not packed"),
                    "digits = \"ascii\"",
                ),
                (
                    Variation::Digits(field, Packed),
                    format!("DE{de}: its digits are packed two a byte"),
                    "digits = \"packed\"",
                ),
                (
                    Variation::Bytes(field, Hex),
                    format!("DE{de}: it is in hexadecimal digits, not binary"),
                    "bytes = \"hex\"",
                ),
                (
                    Variation::Bytes(field, Binary),
                    format!("DE{de}: it is binary, not in hexadecimal digits"),
                    "bytes = \"raw\"",
                ),
                (
                    Variation::LengthDigits(de, 2),
                    format!("DE{de}: it has a length prefix of 2 digits"),
                    "length = \"LL\"",
                ),
                (
                    Variation::LengthDigits(de, 3),
                    format!("DE{de}: it has a length prefix of 3 digits"),
                    "length = \"LLL\"",
                ),
                (
                    Variation::LengthDigits(de, 0),
                    format!("DE{de}: it has no length prefix and is always of its largest length"),
                    "length = \"fixed\"",
                ),
            ];
            for (variation, text, remedy) in tries {
                let remedy = format!("in [fields]: {de} = {{ …, {remedy} }}");
                self.vary(Rank::One, &[variation], text, Some(remedy));
            }
        }
    }

    /// One field whose length prefix is wrong.
    fn lengths(&mut self) {
        let guess = self.guess;
        let mut index = Index::new();
        let (message, error) = guess.dialect.decode_partial(&guess.frame, &mut index);
        let Some(message) = message else { return };
        let broken = error.and_then(|error| error.field());
        for de in self.suspects() {
            let Some(declared) = prefix_of(&message, de, error.as_ref()) else {
                continue;
            };
            let Some(field) = guess.dialect.field(de) else {
                continue;
            };
            // Behind the last field every length is right that takes all that is left.
            let last =
                broken == Some(de) && announced_behind(&guess.dialect, &guess.frame, de).is_none();
            let Declared { at, bytes, units } = declared;
            // Two digits a byte: more cannot be there.
            let most = u16::try_from(guess.frame.len().saturating_mul(2)).unwrap_or(LENGTH_MAX);
            for other in 0..=most.min(LENGTH_MAX) {
                if Some(other) == units {
                    continue;
                }
                let Some(prefix) = guess.dialect.length_prefix(de, other) else {
                    break;
                };
                let meant = units.and_then(|units| {
                    let own = u16::try_from(bytes).unwrap_or(u16::MAX);
                    meant(field, units, other, own)
                });
                if last && meant.is_none() && units.is_some() {
                    continue;
                }
                let mut frame = guess.frame.clone();
                let Some(slots) = frame.get_mut(at..at.saturating_add(bytes)) else {
                    break;
                };
                if slots.len() != prefix.len() {
                    break;
                }
                slots.copy_from_slice(&prefix);
                let (rank, text) = match (meant, units) {
                    (Some(meant), _) => (Rank::Named, meant),
                    (None, Some(units)) => (
                        Rank::Chance,
                        format!(
                            "DE{de}: its length says {units}; with {other} all that follows would decode"
                        ),
                    ),
                    (None, None) => (
                        Rank::Chance,
                        format!("DE{de}: with a length of {other} all that follows would decode"),
                    ),
                };
                // Of two that take the same bytes, the larger.
                let before = format!("DE{de}: ");
                let (dialect, shift) = (self.dialect(), self.shift());
                let count = self.found.len();
                self.consider(rank, dialect, frame, shift, text, None);
                if self.found.len() > count && rank == Rank::Chance {
                    let again = |found: &Found<'_>| {
                        found.rank == Rank::Chance && found.cause.text.starts_with(&before)
                    };
                    let newest = self.found.pop();
                    self.found.retain(|found| !again(found));
                    self.found.extend(newest);
                }
            }
        }
    }

    /// One bit of the bitmap too many or too few.
    fn bitmaps(&mut self) {
        let guess = self.guess;
        let Some(bitmap) = Bitmap::of(guess) else {
            return;
        };
        for de in 2..=bitmap.bits() {
            let announced = bitmap.announces(de);
            let known = guess.dialect.field(de).is_some();
            if !announced && !known {
                continue;
            }
            let Some(frame) = bitmap.flipped(de) else {
                continue;
            };
            let text = if announced {
                format!("the bitmap announces DE{de}, which is not there")
            } else {
                format!("DE{de} is there, though the bitmap does not announce it")
            };
            let (dialect, shift) = (self.dialect(), self.shift());
            self.consider(
                if announced && !known {
                    Rank::Named
                } else {
                    Rank::Chance
                },
                dialect,
                frame,
                shift,
                text,
                None,
            );
        }
    }

    /// Everything at once, in every combination: another network's message.
    fn flavours(&mut self) {
        use Writing::{Ascii, Binary, Ebcdic, EbcdicHex, Hex, Packed};
        let all = Scope::All;
        let mut best: Option<(i32, Vec<&str>, Found<'g>)> = None;
        for (mti, mti_word) in [
            (Packed, "mti = \"packed\""),
            (Ascii, "mti = \"ascii\""),
            (Ebcdic, "mti = \"ebcdic\""),
        ] {
            for (bitmap, bitmap_word) in [
                (Binary, "bitmap = \"binary\""),
                (Hex, "bitmap = \"hex\""),
                (EbcdicHex, "bitmap = \"ebcdic-hex\""),
            ] {
                for (digits, digits_word) in [
                    (Packed, "digits = \"packed\""),
                    (Ascii, "digits = \"ascii\""),
                ] {
                    for (lengths, lengths_word) in [
                        (Packed, "lengths = \"packed\""),
                        (Ascii, "lengths = \"ascii\""),
                        (Binary, "lengths = \"binary\""),
                    ] {
                        for (bytes, bytes_word) in
                            [(Binary, "bytes = \"raw\""), (Hex, "bytes = \"hex\"")]
                        {
                            let choices = [
                                (Variation::Mti(mti), mti_word),
                                (Variation::Bitmap(bitmap), bitmap_word),
                                (Variation::Digits(all, digits), digits_word),
                                (Variation::Lengths(all, lengths), lengths_word),
                                (Variation::Bytes(all, bytes), bytes_word),
                                (Variation::Bitmaps(2), "bitmaps = 2"),
                            ];
                            let dialect = &*self.guess.dialect;
                            let changing: Vec<_> = choices
                                .into_iter()
                                .filter(|(variation, _)| dialect.varied(&[*variation]).is_some())
                                .collect();
                            let variations: Vec<_> =
                                changing.iter().map(|(variation, _)| *variation).collect();
                            let Some(varied) = dialect.varied(&variations) else {
                                continue;
                            };
                            let (error, score) = attempt(&varied, &self.guess.frame);
                            let words: Vec<_> = changing.iter().map(|(_, word)| *word).collect();
                            let fewer = best.as_ref().is_none_or(|(known, others, _)| {
                                (words.len(), known) < (others.len(), &score)
                            });
                            if error.is_none() && score >= SOUND && fewer {
                                let found = Found {
                                    cause: Cause {
                                        text: "several things are written otherwise than the dialect says".to_owned(),
                                        remedy: Some(format!("in [message]: {}", words.join(", "))),
                                        sound: true,
                                    },
                                    rank: Rank::One,
                                    score,
                                    dialect: Cow::Owned(varied),
                                    frame: self.guess.frame.clone(),
                                    shift: self.shift(),
                                };
                                best = Some((score, words, found));
                            }
                        }
                    }
                }
            }
        }
        self.found.extend(best.map(|(_, _, found)| found));
    }

    /// What the error itself says.
    fn plain(&mut self) {
        let more = |missing: usize| {
            let missing = Counted(missing, "byte").that("is", "are");
            format!("cut off: {missing} missing")
        };
        let at_least = |missing: usize| format!("{}, or more", more(missing));
        let text = match (self.guess.prefix, self.guess.error) {
            (Some(PrefixFault::CutOff { missing }), _) => more(missing),
            (Some(PrefixFault::LeftOver { bytes }), None) => left_over(bytes),
            (
                _,
                Some(DecodeError::Truncated {
                    declared, remain, ..
                }),
            ) => at_least(declared.saturating_sub(remain)),
            (_, Some(DecodeError::NoMti { needed, found })) => {
                at_least(needed.saturating_sub(found))
            }
            (_, Some(DecodeError::LeftOver { bytes, .. })) => left_over(bytes),
            (_, Some(DecodeError::Character { field, .. })) if self.value_only => {
                format!("only the value of DE{field} is wrong: everything around it decodes")
            }
            (_, Some(_) | None) => return,
        };
        // A length prefix that is wrong says it too, one that is right the contrary.
        let framed = self.guess.layout == Layout::Framed && self.guess.prefix.is_none();
        let rank = match (self.guess.prefix, self.guess.error) {
            (Some(_), _) => Rank::Around,
            (None, Some(DecodeError::Character { .. })) => Rank::Chance,
            (None, Some(DecodeError::Truncated { .. })) if framed => Rank::Chance,
            (None, _) => Rank::Itself,
        };
        self.found.push(Found {
            cause: Cause {
                text,
                remedy: None,
                sound: true,
            },
            rank,
            score: 0,
            dialect: self.dialect(),
            frame: Vec::new(),
            shift: 0,
        });
    }
}

/// Points that what was read has for making sense.
fn sense(guess: &Guess) -> i32 {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    message.map_or(0, |message| likely(&message))
}

/// Whether all is read but fields with characters that they must not hold.
fn value_only(guess: &Guess) -> bool {
    let Some(DecodeError::Character { .. }) = guess.error else {
        return false;
    };
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    let Some(message) = message else { return false };
    let last = message.content_fields().iter().last();
    let last = last.and_then(|de| message.element(de));
    let end = last.and_then(|element| {
        let at = offset_in(message.frame(), element)?;
        at.checked_add(element.len())
    });
    let broken = guess.error.and_then(|error| error.field());
    let last =
        broken.is_some_and(|de| announced_behind(&guess.dialect, &guess.frame, de).is_none());
    last || end == Some(guess.frame.len())
}

fn left_over(bytes: usize) -> String {
    let left = Counted(bytes, "byte").that("is", "are");
    format!("{left} left over behind the message")
}

/// Longest field whose length is tried.
const LENGTH_MAX: u16 = 999;

/// A length prefix in a frame.
struct Declared {
    at: usize,
    bytes: usize,
    /// What it says; `None` when it is no number.
    units: Option<u16>,
}

/// Where a field's length prefix stands and what it says; `None` for a fixed field.
fn prefix_of(message: &Message<'_>, de: u8, error: Option<&DecodeError>) -> Option<Declared> {
    let dialect = message.dialect();
    let bytes = dialect.length_prefix(de, 0)?.len();
    if let Some(element) = message.element(de) {
        let at = offset_in(message.frame(), element)?;
        let units = u16::try_from(message.length(de)?).ok();
        return Some(Declared { at, bytes, units });
    }
    let (at, units) = match *error? {
        DecodeError::Prefix { offset, .. } => (offset, None),
        DecodeError::TooLong {
            offset, declared, ..
        } => (offset, Some(declared)),
        DecodeError::Truncated { offset, .. } => {
            let at = offset.checked_sub(bytes)?;
            let prefix = message.frame().get(at..offset)?;
            let mut lengths = 0..=LENGTH_MAX;
            let units =
                lengths.find(|units| dialect.length_prefix(de, *units).as_deref() == Some(prefix));
            (at, units)
        }
        _ => return None,
    };
    Some(Declared { at, bytes, units })
}

/// What a wrong length may be, when the right one stands in a relation to it.
fn meant(field: &Field, units: u16, other: u16, prefix: u16) -> Option<String> {
    let de = field.number;
    let packed = |value: u16| {
        let tens = value.checked_div(10)?;
        Some(tens.wrapping_mul(16).wrapping_add(value % 10))
    };
    let binary = field.kind == FieldType::Binary;
    let digits = matches!(field.kind, FieldType::Numeric | FieldType::Track);
    let twice = units.wrapping_mul(2);
    if binary && units == other.wrapping_mul(2) {
        return Some(format!(
            "DE{de}: its length counts hexadecimal digits, not bytes"
        ));
    }
    if digits && units > 0 && (other == twice || other.wrapping_add(1) == twice) {
        return Some(format!("DE{de}: its length counts bytes, not digits"));
    }
    if units > 9 && packed(units) == Some(other) {
        return Some(format!("DE{de}: its length is binary, not decimal"));
    }
    if other > 0 && units == other.wrapping_add(prefix) {
        return Some(format!("DE{de}: its length counts itself too"));
    }
    None
}

/// The first field that the bitmap announces behind this one.
fn announced_behind(dialect: &Dialect, frame: &[u8], de: u8) -> Option<u8> {
    let bitmap = Bitmap::read(dialect, frame)?;
    (de.saturating_add(1)..=bitmap.bits()).find(|behind| *behind != 65 && bitmap.announces(*behind))
}

/// Where a piece of a frame begins in it.
pub(super) fn offset_in(frame: &[u8], piece: &[u8]) -> Option<usize> {
    piece.as_ptr().addr().checked_sub(frame.as_ptr().addr())
}

/// The bitmaps of a frame, to be changed.
pub(super) struct Bitmap<'f> {
    frame: &'f [u8],
    at: usize,
    /// Bytes as they are rather than hexadecimal digits.
    binary: bool,
    bytes: usize,
}

impl<'f> Bitmap<'f> {
    pub(super) fn of(guess: &'f Guess) -> Option<Self> {
        Self::read(&guess.dialect, &guess.frame)
    }

    fn read(dialect: &Dialect, frame: &'f [u8]) -> Option<Self> {
        let (at, width, binary) = dialect.bitmap_place()?;
        let first = *frame.get(at)?;
        let second = if binary {
            first & 0x80 != 0
        } else {
            char::from(first).to_digit(16)? >= 8
        };
        let bytes = if second { width.checked_mul(2)? } else { width };
        frame.get(at..at.checked_add(bytes)?)?;
        Some(Self {
            frame,
            at,
            binary,
            bytes,
        })
    }

    fn bits(&self) -> u8 {
        let width = if self.binary { 8 } else { 4 };
        u8::try_from(self.bytes.saturating_mul(width)).unwrap_or(128)
    }

    /// The fields it announces; the second bitmap is none.
    pub(super) fn announced(&self) -> Vec<u8> {
        let fields = (2..=self.bits()).filter(|de| *de != 65);
        fields.filter(|de| self.announces(*de)).collect()
    }

    /// Byte in the frame, and the bit in it, of a data element.
    fn place(&self, de: u8) -> Option<(usize, u32)> {
        let bit = usize::from(de.checked_sub(1)?);
        let width = if self.binary { 8 } else { 4 };
        let byte = self.at.checked_add(bit / width)?;
        let shift = u32::try_from(width.checked_sub(1)?.checked_sub(bit % width)?).ok()?;
        Some((byte, shift))
    }

    fn value(&self, byte: usize) -> Option<u32> {
        let byte = *self.frame.get(byte)?;
        if self.binary {
            Some(byte.into())
        } else {
            char::from(byte).to_digit(16)
        }
    }

    fn announces(&self, de: u8) -> bool {
        let bit = self
            .place(de)
            .and_then(|(byte, shift)| Some(self.value(byte)? >> shift & 1));
        bit == Some(1)
    }

    fn flipped(&self, de: u8) -> Option<Vec<u8>> {
        let (byte, shift) = self.place(de)?;
        let value = self.value(byte)? ^ (1 << shift);
        let mut frame = self.frame.to_vec();
        *frame.get_mut(byte)? = if self.binary {
            u8::try_from(value).ok()?
        } else {
            let digit = char::from_digit(value, 16)?.to_ascii_uppercase();
            u8::try_from(digit).ok()?
        };
        Some(frame)
    }
}

pub(super) fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

const fn encoding_word(encoding: LengthEncoding) -> &'static str {
    match encoding {
        LengthEncoding::Binary => "binary",
        LengthEncoding::Packed => "packed",
        LengthEncoding::Ascii => "ascii",
        LengthEncoding::Hex => "hex",
        LengthEncoding::Ebcdic => "ebcdic",
    }
}
