//! How a message is written: type, bitmap, digits, lengths and text in another form, everywhere or in one field.

use std::borrow::Cow;

use crate::iso8583::{DecodeError, Index, Scope, Variation, Writing};

use super::Cause;
use super::bitmap::Bitmap;
use super::search::{Found, Rank, Search};
use crate::inspect::find::{SOUND, attempt};

impl<'g> Search<'g> {
    /// One thing that is written otherwise everywhere.
    pub(super) fn forms(&mut self) {
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
                "digits are in ASCII",
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
        // Without its first bit a further bitmap changes nothing.
        let further = Bitmap::of(self.guess).is_some_and(|bitmap| bitmap.announces(1));
        for (variation, text, remedy) in singles {
            if matches!(variation, Variation::Bitmaps(_)) && !further {
                continue;
            }
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

    /// A message type that is none, before a message that decodes.
    pub(super) fn message_types(&mut self) {
        let guess = self.guess;
        if !matches!(guess.error, Some(DecodeError::Mti { .. })) {
            return;
        }
        let types = guess.dialect.requests().iter().flat_map(|row| &row.mtis);
        for mti in types {
            if let Some(frame) = guess.dialect.retyped(&guess.frame, *mti) {
                let text =
                    "only the message type is wrong: everything behind it decodes".to_owned();
                let (dialect, shift) = (self.dialect(), self.shift());
                self.consider(Rank::Named, dialect, frame, shift, text, None);
            }
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
        let count = self.found.len();
        self.consider(rank, Cow::Owned(varied), frame, shift, text, remedy);
        let resized = changing
            .iter()
            .any(|variation| matches!(variation, Variation::Bytes(..)));
        if let Some(found) = self.found.get_mut(count) {
            found.resized = resized;
        }
    }

    /// The fields that were read, and the one at which it broke.
    pub(super) fn suspects(&self) -> Vec<u8> {
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
    pub(super) fn fields(&mut self) {
        use Writing::{Ascii, Binary, Hex, Packed};
        for de in self.suspects() {
            let field = Scope::Field(de);
            let roles = self.guess.dialect.roles();
            let card = de == roles.pan || de == roles.track2;
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
                    format!("DE{de}: its digits are in ASCII"),
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
                // No card number is always of its largest length.
                if card && matches!(variation, Variation::LengthDigits(_, 0)) {
                    continue;
                }
                let remedy = format!("in [fields]: {de} = {{ …, {remedy} }}");
                let count = self.found.len();
                self.vary(Rank::One, &[variation], text, Some(remedy));
                if let Some(found) = self.found.get_mut(count)
                    && matches!(variation, Variation::LengthDigits(_, 2 | 3))
                    && !is_full(found, de)
                {
                    found.rank = Rank::Chance;
                }
            }
        }
    }

    /// Everything at once, in every combination: another network's message.
    pub(super) fn flavours(&mut self) {
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
                                    resized: true,
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
}

/// Whether a field has all that it may hold: what is said of the length of one that the dialect has without a length
/// prefix may be chance else.
fn is_full(found: &Found<'_>, de: u8) -> bool {
    let mut index = Index::new();
    let (message, _) = found.dialect.decode_partial(&found.frame, &mut index);
    let units = message.and_then(|message| message.length(de));
    let field = found.dialect.field(de);
    let fixed = field.is_some_and(|field| !field.variable);
    !fixed || units == field.map(|field| usize::from(field.max))
}
