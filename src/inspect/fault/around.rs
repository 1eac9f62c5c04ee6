//! What stands around a message: length prefixes, headers, bytes of which nothing is known.

use crate::base::Counted;
use crate::base::limits::FRAME_BYTES_MAX;
use crate::iso8583::{Framing, Index, LengthEncoding, LengthPlace};
use crate::wire::{Scan, scan};

use super::search::{Rank, Search, signed};
use crate::inspect::find::{Layout, PrefixFault};

/// How lengths are written, in words.
pub(in crate::inspect) const ENCODINGS: [(LengthEncoding, &str); 5] = [
    (LengthEncoding::Ascii, "ASCII digits"),
    (LengthEncoding::Binary, "binary"),
    (LengthEncoding::Packed, "packed digits"),
    (LengthEncoding::Ebcdic, "EBCDIC digits"),
    (LengthEncoding::Hex, "hexadecimal digits"),
];

/// Longest length prefix that is tried.
const PREFIX_BYTES_MAX: usize = 6;

/// Most bytes before a message that are tried to be left out.
const LEAD_BYTES_MAX: usize = 32;

/// What is told of a length prefix that is wrong, when it is not known how.
pub(super) const WRONG_PREFIX: &str =
    "the length prefix is wrong: what is there decodes to its end";

/// Begins a message on serial lines.
const STX: u8 = 0x02;

/// Ends it; a check byte may follow.
const ETX: u8 = 0x03;

impl Search<'_> {
    /// Other length prefixes that tell the number of bytes that there are.
    pub(super) fn prefixes(&mut self) {
        let framing = self.guess.dialect.framing();
        if framing.length_place != LengthPlace::First {
            return;
        }
        for bytes in 1..=PREFIX_BYTES_MAX {
            for (encoding, words) in ENCODINGS {
                let prefix = self.guess.input.get(..bytes);
                let Some(announced) = prefix.and_then(|prefix| encoding.read(prefix)) else {
                    continue;
                };
                let rest = self.guess.input.len().saturating_sub(bytes);
                let own = framing.length_bytes == bytes && framing.length_encoding == encoding;
                let Some(counts) = counts(announced, bytes, rest, framing) else {
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
                self.behind_prefix(bytes, &looks, remedy.as_ref());
            }
        }
        for bytes in [2, 4] {
            let Some(prefix) = self.guess.input.get(..bytes) else {
                break;
            };
            let announced = prefix.iter().rev().fold(0_usize, |number, byte| {
                number.wrapping_mul(256).wrapping_add((*byte).into())
            });
            let rest = self.guess.input.len().saturating_sub(bytes);
            if let Some(counts) = counts(announced, bytes, rest, framing) {
                let looks = format!(
                    "the length prefix looks like {bytes} bytes, binary with the lowest first, and {counts}"
                );
                self.behind_prefix(bytes, &looks, None);
            }
        }
        // A way that has a name says more.
        self.short_prefix();
    }

    /// A length prefix that announces less than the message is: with the bytes behind it the message is whole.
    fn short_prefix(&mut self) {
        let (Some(PrefixFault::LeftOver { .. }), Some(at), Some(_)) =
            (self.guess.prefix, self.guess.frame_at, self.guess.error)
        else {
            return;
        };
        let (dialect, frame) = (self.dialect(), self.behind(at));
        let text = WRONG_PREFIX.to_owned();
        self.consider(Rank::Around, dialect, frame, signed(at), text, None);
    }

    /// Takes what stands behind a prefix of so many bytes, with the headers that may be missing.
    fn behind_prefix(&mut self, bytes: usize, looks: &str, remedy: Option<&String>) {
        let (dialect, frame) = (self.dialect(), self.behind(bytes));
        let rest = frame.len();
        let remedy = remedy.cloned();
        self.consider(
            Rank::Around,
            dialect,
            frame,
            signed(bytes),
            looks.to_owned(),
            remedy.clone(),
        );
        for (what, frame) in self.headed(&self.behind(bytes)) {
            let added = signed(frame.len()).saturating_sub(signed(rest));
            let shift = signed(bytes).saturating_sub(added);
            let text = format!("{looks}; {what}");
            let dialect = self.dialect();
            self.consider(Rank::Named, dialect, frame, shift, text, remedy.clone());
        }
    }

    /// Between STX and ETX, as on serial lines, perhaps with a check byte behind.
    pub(super) fn control_characters(&mut self) {
        let framing = self.guess.dialect.framing();
        if framing.lead == [STX] || framing.length_place != LengthPlace::First {
            return;
        }
        let input = &self.guess.input;
        let (trailer, behind) = match input.as_slice() {
            [STX, .., ETX] => (1, "ETX behind it"),
            [STX, .., ETX, _check] => (2, "ETX and a check byte behind it"),
            _ => return,
        };
        let text = format!("STX stands before the message, {behind}");
        // A check byte is nothing that a dialect file can say.
        let remedy =
            (trailer == 1).then(|| "in [framing]: lead = \"02\", trailer = \"03\"".to_owned());
        let end = input.len().saturating_sub(trailer);
        for prefix in [0, framing.length_bytes] {
            let from = prefix.saturating_add(1);
            let frame = input.get(from..end).unwrap_or_default().to_vec();
            let (dialect, remedy) = (self.dialect(), remedy.clone());
            self.consider(
                Rank::Around,
                dialect,
                frame,
                signed(from),
                text.clone(),
                remedy,
            );
        }
    }

    /// Between the length prefix and the message: two zero bytes, as Visa's way of framing has them, or STX.
    pub(super) fn behind_length(&mut self) {
        let framing = self.guess.dialect.framing();
        if framing.length_place != LengthPlace::First || framing.length_bytes == 0 {
            return;
        }
        let own = framing.length_bytes;
        let input = &self.guess.input;
        let Some((prefix, rest)) = input.split_at_checked(own) else {
            return;
        };
        let (between, frame, text) = match rest {
            [0, 0, frame @ ..] => (
                2,
                frame,
                "two zero bytes stand between the length prefix and the message".to_owned(),
            ),
            [STX, frame @ .., ETX] => (1, frame, stx("ETX behind it")),
            [STX, frame @ .., ETX, _check] => (1, frame, stx("ETX and a check byte behind it")),
            _ => return,
        };
        // Whatever it counts of them: the message's length, or all that follows.
        let announced = framing.length_encoding.read(prefix);
        let all = frame.len()..=input.len();
        if !announced.is_some_and(|announced| all.contains(&announced)) {
            return;
        }
        let frame = frame.to_vec();
        let shift = signed(own.saturating_add(between));
        let dialect = self.dialect();
        self.consider(Rank::Around, dialect, frame, shift, text, None);
    }

    /// The bytes with headers put in front or cut off.
    fn headed(&self, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let framing = self.guess.dialect.framing();
        let (tpdu, header) = (framing.tpdu.as_slice(), framing.header.as_slice());
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        if framing.length_place != LengthPlace::First {
            return all;
        }
        let mut put = |what: &str, parts: [&[u8]; 3]| {
            let mut frame = parts.concat();
            // The dialect's own header is that of no message.
            if what.contains("missing") {
                framing.tell_length(&mut frame);
            }
            all.push((what.to_owned(), frame));
        };
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
    pub(super) fn envelopes(&mut self) {
        for start in self.starts() {
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

    /// Several whole frames, one behind the other.
    pub(super) fn frames(&mut self) {
        let Some(PrefixFault::LeftOver { .. }) = self.guess.prefix else {
            return;
        };
        let framing = self.guess.dialect.framing();
        let mut rest = self.guess.input.as_slice();
        let mut count = 0_usize;
        while !rest.is_empty() {
            let Ok(Scan::Frame { start, end }) = scan(framing, rest, FRAME_BYTES_MAX) else {
                return;
            };
            let frame = rest.get(start..end).unwrap_or_default();
            let mut index = Index::new();
            if self
                .guess
                .dialect
                .decode_structure(frame, &mut index)
                .is_err()
            {
                return;
            }
            count = count.saturating_add(1);
            rest = rest.get(end..).unwrap_or_default();
        }
        let text = format!(
            "{} stand one behind the other, each with its length prefix: this is the first of them",
            Counted(count, "message")
        );
        self.tell(Rank::Whole, text);
    }

    /// Bytes behind the TPDU or behind the header of which nothing is known.
    pub(super) fn between(&mut self) {
        let framing = self.guess.dialect.framing();
        let (tpdu, envelope) = (framing.tpdu.len(), framing.envelope_bytes());
        let behind_tpdu = (tpdu > 0 && tpdu < envelope).then_some((tpdu, "TPDU and header"));
        let behind_both = (envelope > 0).then_some((envelope, "the headers and the message type"));
        for start in self.starts() {
            for (at, place) in [behind_tpdu, behind_both].into_iter().flatten() {
                let bytes = self.behind(start);
                let (front, rest) = bytes.split_at_checked(at).unwrap_or((&bytes, &[]));
                for extra in 1..=LEAD_BYTES_MAX.min(rest.len()) {
                    let frame = [front, rest.get(extra..).unwrap_or_default()].concat();
                    let stand = Counted(extra, "byte").that("stands", "stand");
                    let text = format!("{stand} between {place} that the dialect does not know");
                    let shift = signed(start.saturating_add(extra));
                    let dialect = self.dialect();
                    self.consider(Rank::Chance, dialect, frame, shift, text, None);
                }
            }
        }
    }

    /// Where the headers may begin.
    fn starts(&self) -> Vec<usize> {
        let own = self.guess.dialect.framing().prefix_bytes();
        match self.guess.layout {
            Layout::Framed => vec![self.guess.frame_at.unwrap_or(own)],
            // It may have a length prefix all the same.
            Layout::Bare | Layout::Headless => vec![0, own],
        }
    }

    /// Bytes before the message of which nothing is known.
    pub(super) fn leads(&mut self) {
        let start = self.guess.frame_at.unwrap_or(0);
        for lead in 1..=LEAD_BYTES_MAX {
            let from = start.saturating_add(lead);
            let stand = Counted(lead, "byte").that("stands", "stand");
            let text = format!("{stand} before the message that the dialect does not know");
            let (dialect, frame) = (self.dialect(), self.behind(from));
            self.consider(Rank::Chance, dialect, frame, signed(from), text, None);
        }
    }
}

fn stx(behind: &str) -> String {
    format!("STX stands between the length prefix and the message, {behind}")
}

pub(in crate::inspect) const fn encoding_word(encoding: LengthEncoding) -> &'static str {
    match encoding {
        LengthEncoding::Binary => "binary",
        LengthEncoding::Packed => "packed",
        LengthEncoding::Ascii => "ascii",
        LengthEncoding::Hex => "hex",
        LengthEncoding::Ebcdic => "ebcdic",
    }
}

/// What a length counts, when there are so many bytes behind it.
fn counts(announced: usize, bytes: usize, rest: usize, framing: &Framing) -> Option<&'static str> {
    let (envelope, tpdu) = (framing.envelope_bytes(), framing.tpdu.len());
    let header = envelope.saturating_sub(tpdu);
    if announced == rest {
        Some("counts what follows it")
    } else if announced == rest.saturating_add(bytes) {
        Some("counts itself too")
    } else if envelope > 0 && announced.saturating_add(envelope) == rest {
        Some("leaves out TPDU and header")
    } else if envelope > 0 && announced == rest.saturating_add(envelope) {
        Some("counts TPDU and header twice")
    } else if tpdu > 0 && announced.saturating_add(tpdu) == rest {
        Some("leaves out the TPDU")
    } else if header > 0 && announced.saturating_add(header) == rest {
        Some("leaves out the header")
    } else {
        None
    }
}
