//! Checks characters against a range, eight at a time.

use super::dialect::Kind;
use super::word::{HIGH, LOW7, every, padded, rest_bits};

/// A range of characters, never with the control character 0x7F.
#[derive(Debug)]
pub(super) struct Range {
    lowest: u8,
    /// Reaches 0x80 from the lowest character upwards.
    from_lowest: u64,
    /// Reaches 0x80 above the highest ASCII character.
    above_highest: u64,
    /// Whether bytes above 0x7F are allowed as well.
    beyond_ascii: bool,
}

/// The decimal digits.
pub(super) static DIGITS: Range = Range::new(b'0', b'9', false);
/// Printable ASCII characters.
pub(super) static PRINTABLE: Range = Range::new(b' ', b'~', false);
/// Printable characters of whatever code.
pub(super) static TEXT: Range = Range::new(b' ', b'~', true);

/// Most characters that are looked at as two words.
pub(super) const SHORT_MAX: usize = 16;

impl Range {
    const fn new(lowest: u8, highest: u8, beyond_ascii: bool) -> Self {
        Self {
            lowest,
            from_lowest: every(0x80_u8.wrapping_sub(lowest)),
            above_highest: every(0x7F_u8.wrapping_sub(highest)),
            beyond_ascii,
        }
    }

    /// What a kind of field allows, where that is a range.
    pub(super) const fn of(kind: Kind) -> Option<&'static Self> {
        match kind {
            Kind::Digits => Some(&DIGITS),
            Kind::Text => Some(&TEXT),
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

    /// Whether all of the last `len` bytes of `upto` are in the range.
    #[inline(always)]
    pub(super) fn allows(&self, upto: &[u8], len: usize) -> bool {
        self.holds(upto, len) || (self.beyond_ascii && self.allows_all(upto, len))
    }

    /// Whether all of the last `len` bytes of `upto` are ASCII characters of the range.
    #[inline(always)]
    pub(super) fn holds(&self, upto: &[u8], len: usize) -> bool {
        let fill = every(self.lowest);
        words(upto, len, fill, |word| self.ascii(word)) & HIGH == 0
    }

    /// Like [`allows`](Self::allows), for a text with bytes above 0x7F.
    #[cold]
    #[inline(never)]
    fn allows_all(&self, upto: &[u8], len: usize) -> bool {
        words(upto, len, every(self.lowest), |word| self.exact(word)) & HIGH == 0
    }

    /// Copies a text into a slot of its length, and says whether all characters are in the range.
    #[inline(always)]
    pub(super) fn take(&self, text: &[u8], slot: &mut [u8]) -> bool {
        if text.len() > SHORT_MAX {
            slot.copy_from_slice(text);
            return self.allows(text, text.len());
        }
        self.take_short(text, slot)
    }

    /// The same for at most [`SHORT_MAX`] characters, without a loop.
    #[inline(always)]
    pub(super) fn take_short(&self, text: &[u8], slot: &mut [u8]) -> bool {
        // Two halves that overlap, as words where there are so many characters.
        if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            put_ends(slot, *first, *last);
            let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            return (self.exact(first) | self.exact(last)) & HIGH == 0;
        }
        if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            put_ends(slot, *first, *last);
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            return self.exact((u64::from(first) << 32) | u64::from(last)) & HIGH == 0;
        }
        // One to three: the first, the middle and the last are all of them.
        let middle = text.len() / 2;
        let (Some(first), Some(between), Some(last)) =
            (text.first(), text.get(middle), text.last())
        else {
            return true;
        };
        if let Some(to) = slot.get_mut(middle) {
            *to = *between;
        }
        put_ends(slot, [*first], [*last]);
        let [first, between, last] = [*first, *between, *last].map(u64::from);
        let fill = every(self.lowest) << 24;
        self.exact(fill | (last << 16) | (between << 8) | first) & HIGH == 0
    }

    /// Has no high bit exactly if all eight are ASCII characters of the range.
    #[inline(always)]
    const fn ascii(&self, word: u64) -> u64 {
        // 0x7F + 0x7F < 0x100: no byte carries into the next but one above 0x7F, which is marked by itself.
        word | !word.wrapping_add(self.from_lowest) | word.wrapping_add(self.above_highest)
    }

    /// Marks bytes outside, each in its own high bit.
    #[inline(always)]
    const fn exact(&self, word: u64) -> u64 {
        let low = word & LOW7;
        // 0x7F + 0x7F < 0x100: no byte carries into the next.
        let outside = !low.wrapping_add(self.from_lowest) | low.wrapping_add(self.above_highest);
        if self.beyond_ascii {
            outside & !word
        } else {
            outside | word
        }
    }
}

/// Joins what `marks` makes of the words in the last `len` bytes of `upto`. Fewer than eight are read together with
/// what stands before them, in whose place `fill` is put.
#[inline(always)]
pub(super) fn words(upto: &[u8], len: usize, fill: u64, marks: impl Fn(u64) -> u64) -> u64 {
    let last = u64::from_le_bytes(match upto.last_chunk() {
        Some(last) => *last,
        None => filled(upto),
    });
    if len < 8 {
        let keep = u64::MAX.checked_shl(rest_bits(len)).unwrap_or(0);
        return marks((last & keep) | (fill & !keep));
    }
    let text = upto
        .len()
        .checked_sub(len)
        .and_then(|from| upto.get(from..));
    let (pairs, rest) = text.unwrap_or_default().as_chunks::<16>();
    // The last eight overlap those before.
    let mut found = marks(last);
    if let Some(eight) = rest.first_chunk() {
        found |= marks(u64::from_le_bytes(*eight));
    }
    for pair in pairs {
        if let ([one, other], _) = pair.as_chunks() {
            found |= marks(u64::from_le_bytes(*one)) | marks(u64::from_le_bytes(*other));
        }
    }
    found
}

/// Fewer than eight bytes at the end of eight.
#[cold]
#[inline(never)]
fn filled(bytes: &[u8]) -> [u8; 8] {
    let missing = 8_usize.saturating_sub(bytes.len());
    let mut filled = padded(bytes);
    filled.rotate_right(missing);
    filled
}

/// Writes the first and the last bytes of a slot, which may overlap.
#[inline(always)]
pub(super) fn put_ends<const N: usize>(slot: &mut [u8], first: [u8; N], last: [u8; N]) {
    if let Some(to) = slot.first_chunk_mut() {
        *to = first;
    }
    if let Some(to) = slot.last_chunk_mut() {
        *to = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_look_gives_the_same() {
        let lengths = (0..=18_usize).chain([31, 32, 33]);
        for (range, most) in [(&DIGITS, b'9'), (&PRINTABLE, b'~'), (&TEXT, 0xFF)] {
            for len in lengths.clone() {
                for at in 0..len {
                    for byte in 0..=255 {
                        let mut text = vec![b'5'; len];
                        text[at] = byte;
                        let expect = (range.lowest..=most).contains(&byte) && byte != 0x7F;
                        let mut slot = vec![0; len];
                        assert_eq!(
                            range.take(&text, &mut slot),
                            expect,
                            "{len} {at} {byte:02X}"
                        );
                        assert_eq!(slot, text);
                        assert_eq!(range.allows(&text, len), expect, "{len} {at} {byte:02X}");
                        for before in [0, 0x7F, 0x80, 0xFF] {
                            let mut behind = vec![before; 9];
                            behind.extend_from_slice(&text);
                            assert_eq!(range.allows(&behind, len), expect, "{len} {at} {byte:02X}");
                        }
                    }
                }
            }
        }
    }
}
