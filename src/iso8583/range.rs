//! Checks characters against a range: sixteen at a time in a form that becomes a few vector instructions
//! where so many bytes can be read, else eight at a time.

use super::dialect::Kind;
use super::word::{HIGH, LOW7, every, padded, rest_bits};

/// How many characters the wide form looks at in one go.
const WIDTH: usize = 16;

/// A range of characters, never with the control character 0x7F.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The lowest character in every lane.
    lowest: [u8; WIDTH],
    /// Highest minus lowest in every lane.
    span: [u8; WIDTH],
    /// Reaches 0x80 from the lowest character upwards.
    from_lowest: u64,
    /// Reaches 0x80 above the highest ASCII character.
    above_highest: u64,
    /// The high bits where bytes above 0x7F are not allowed.
    ascii_only: u64,
}

/// The decimal digits.
pub(super) static DIGITS: Range = Range::new(b'0', b'9');
/// Printable ASCII characters.
static PRINTABLE: Range = Range::new(b' ', b'~');
/// Printable characters of whatever code.
static ANY_TEXT: Range = Range::new(b' ', 0xFF);

/// All ones in the first `len` lanes, for every length up to the width.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses what is out of bounds"
)]
static KEEP: [[u8; WIDTH]; WIDTH + 1] = {
    let mut keep = [[0; WIDTH]; WIDTH + 1];
    let mut len = 0;
    while len <= WIDTH {
        let mut lane = 0;
        while lane < len {
            keep[len][lane] = 0xFF;
            lane += 1;
        }
        len += 1;
    }
    keep
};

impl Range {
    const fn new(lowest: u8, highest: u8) -> Self {
        // `wide`: bytes above 0x7F are allowed, and of ASCII all but 0x7F.
        let wide = highest > 0x7F;
        let highest_ascii = if wide { 0x7E } else { highest };
        Self {
            lowest: [lowest; WIDTH],
            span: [highest.wrapping_sub(lowest); WIDTH],
            from_lowest: every(0x80_u8.wrapping_sub(lowest)),
            above_highest: every(0x7F_u8.wrapping_sub(highest_ascii)),
            ascii_only: if wide { 0 } else { HIGH },
        }
    }

    /// What a kind of field allows, where that is a range.
    pub(super) const fn of(kind: Kind) -> Option<&'static Self> {
        match kind {
            Kind::Digits => Some(&DIGITS),
            Kind::Text => Some(&ANY_TEXT),
            Kind::Alphanumeric => Some(&PRINTABLE),
            Kind::Undefined
            | Kind::PackedDigits
            | Kind::PackedTrack
            | Kind::Track
            | Kind::Bytes
            | Kind::Hex
            | Kind::EbcdicDigits
            | Kind::EbcdicTrack
            | Kind::EbcdicAlphanumeric
            | Kind::EbcdicText
            | Kind::EbcdicHex => None,
        }
    }

    /// Marks whatever is outside in the first `len` bytes of `ahead`; 0 when nothing is.
    #[inline(always)]
    pub(super) fn marks(&self, ahead: &[u8], len: usize) -> u128 {
        match (ahead.first_chunk(), KEEP.get(len)) {
            (Some(characters), Some(keep)) => self.wide(*characters) & u128::from_le_bytes(*keep),
            (_, _) => self.elsewhere(ahead, len),
        }
    }

    /// Whether all characters are in the range.
    #[inline(always)]
    pub(super) fn allows(&self, text: &[u8]) -> bool {
        if text.len() > WIDTH {
            self.long(text) == 0
        } else {
            self.short(text) == 0
        }
    }

    /// The end of a frame, and what is longer than the wide form.
    #[cold]
    #[inline(never)]
    fn elsewhere(&self, ahead: &[u8], len: usize) -> u128 {
        let text = ahead.get(..len).unwrap_or_default();
        if len > WIDTH {
            self.long(text)
        } else {
            self.short(text).into()
        }
    }

    /// A mark in every lane that is outside the range, or 0x7F.
    #[inline(always)]
    fn wide(&self, characters: [u8; WIDTH]) -> u128 {
        // All by value: compilers then need not ask whether the arrays overlap.
        let (mut marks, span) = (characters, self.span);
        for (mark, lowest) in marks.iter_mut().zip(self.lowest) {
            *mark = mark.wrapping_sub(lowest);
        }
        for (mark, span) in marks.iter_mut().zip(span) {
            *mark = mark.saturating_sub(span);
        }
        for (mark, character) in marks.iter_mut().zip(characters) {
            *mark |= 1_u8.saturating_sub(character ^ 0x7F);
        }
        u128::from_le_bytes(marks)
    }

    /// More than sixteen characters.
    fn long(&self, text: &[u8]) -> u128 {
        all_wide(text, |characters| self.wide(characters))
    }

    /// Up to sixteen characters as two words that overlap, or as one word.
    #[inline(always)]
    fn short(&self, text: &[u8]) -> u64 {
        match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => {
                self.word(u64::from_le_bytes(*first)) | self.word(u64::from_le_bytes(*last))
            }
            (_, _) => {
                // Fewer than eight: the marks of the padding fall out at the high end.
                let marks = self.word(u64::from_le_bytes(padded(text)));
                marks.checked_shl(rest_bits(text.len())).unwrap_or(0)
            }
        }
    }

    /// Marks bytes outside, each in its own high bit.
    #[inline(always)]
    const fn word(&self, word: u64) -> u64 {
        let low = word & LOW7;
        // 0x7F + 0x7F < 0x100: no byte carries into the next.
        let outside = !low.wrapping_add(self.from_lowest) | low.wrapping_add(self.above_highest);
        ((outside & !word) | (word & self.ascii_only)) & HIGH
    }
}

/// Runs `wide` over a text of at least sixteen characters: the last sixteen overlap those before.
#[inline(always)]
fn all_wide(text: &[u8], wide: impl Fn([u8; WIDTH]) -> u128) -> u128 {
    let mut found = text.last_chunk().map_or(u128::MAX, |last| wide(*last));
    let mut rest = text;
    while let Some((characters, tail)) = rest.split_first_chunk() {
        found |= wide(*characters);
        rest = tail;
    }
    found
}

/// Marks what a track of at least sixteen characters may not hold: anything but digits and the separator,
/// which is written `=` or `D`.
pub(super) fn track(text: &[u8]) -> u128 {
    all_wide(text, |characters| {
        let mut allowed = [0; WIDTH];
        for (allowed, character) in allowed.iter_mut().zip(characters) {
            let separator = 1_u8.saturating_sub(character ^ b'=');
            let letter = 1_u8.saturating_sub(character ^ b'D');
            *allowed = 0_u8.wrapping_sub(separator | letter);
        }
        DIGITS.wide(characters) & !u128::from_le_bytes(allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_look_gives_the_same() {
        for range in [&DIGITS, &PRINTABLE, &ANY_TEXT] {
            for len in (0..=18).chain([31, 32, 33]) {
                for at in 0..len {
                    for byte in 0..=255 {
                        let mut text = vec![b'5'; len];
                        text[at] = byte;
                        let expect = byte >= range.lowest[0]
                            && byte - range.lowest[0] <= range.span[0]
                            && byte != 0x7F;
                        assert_eq!(range.allows(&text), expect, "{len} {at} {byte:02X}");
                        assert_eq!(
                            range.marks(&text, len) == 0,
                            expect,
                            "{len} {at} {byte:02X}"
                        );
                        text.extend([0; WIDTH]);
                        assert_eq!(
                            range.marks(&text, len) == 0,
                            expect,
                            "{len} {at} {byte:02X}"
                        );
                    }
                }
            }
        }
    }
}
