//! The reference message read by code that knows its layout: what the codec, which reads its layout from a file, is
//! held against. It does the same work: message type, bitmap bit by bit, length prefixes, bounds, the place of every
//! field, and, asked to, the characters of every value, eight at a time.

const HIGH: u64 = 0x8080_8080_8080_8080;
const LOW7: u64 = !HIGH;

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks what is outside a range of ASCII characters.
const fn outside(word: u64, lowest: u8, highest: u8) -> u64 {
    let low = word & LOW7;
    let below = !low.wrapping_add(every(0x80 - lowest));
    let above = low.wrapping_add(every(0x7F - highest));
    (below | above | word) & HIGH
}

/// Marks what is outside a range, in a text of known or unknown length.
#[inline(always)]
fn text(text: &[u8], lowest: u8, highest: u8) -> u64 {
    let word = |bytes: &[u8; 8]| outside(u64::from_le_bytes(*bytes), lowest, highest);
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let inner = text.as_chunks::<8>().0.iter().skip(1);
        return inner.fold(word(first) | word(last), |found, each| found | word(each));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let both =
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        return outside(both, lowest, highest);
    }
    text.iter().fold(0, |found, byte| {
        found | u64::from(!(lowest..=highest).contains(byte))
    })
}

#[inline(always)]
fn digits(field: &[u8]) -> u64 {
    text(field, b'0', b'9')
}

#[inline(always)]
fn printable(field: &[u8]) -> u64 {
    text(field, b' ', b'~')
}

/// Printable ASCII, and all above it.
#[inline(always)]
fn characters(field: &[u8]) -> u64 {
    // The reference has ASCII only: what has a high bit is looked at again.
    match text(field, b' ', b'~') {
        0 => 0,
        _ => u64::from(field.iter().any(|byte| *byte < b' ' || *byte == 0x7F)),
    }
}

fn track(field: &[u8]) -> u64 {
    let equal = |word: u64, byte: u8| {
        let t = word ^ every(byte);
        !((t & LOW7).wrapping_add(LOW7) | t) & HIGH
    };
    let word = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        outside(word, b'0', b'9') & !(equal(word, b'=') | equal(word, b'D'))
    };
    match (field.first_chunk::<8>(), field.last_chunk::<8>()) {
        (Some(_), Some(last)) => {
            let all = field.as_chunks::<8>().0.iter();
            all.fold(word(last), |found, each| found | word(each))
        }
        (_, _) => u64::from(
            !field
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'=' | b'D')),
        ),
    }
}

fn hexadecimal(characters: &[u8; 16]) -> Option<u64> {
    let (high, low) = characters.split_at(8);
    Some(u64::from(half(high.try_into().ok()?)?) << 32 | u64::from(half(low.try_into().ok()?)?))
}

/// Eight hexadecimal digits.
const fn half(characters: [u8; 8]) -> Option<u32> {
    let word = u64::from_be_bytes(characters);
    let letter = (word >> 6) & every(0x01);
    let nibble = (word & every(0x0F)).wrapping_add(letter.wrapping_mul(9));
    let upper = word & !(letter << 5);
    let again = every(b'0')
        .wrapping_add(nibble)
        .wrapping_add(letter.wrapping_mul(7));
    let above_nine = (nibble.wrapping_add(every(0x06)) >> 4) & every(0x01);
    if again != upper || above_nine != letter || nibble & every(0x10) != 0 {
        return None;
    }
    let pairs = (nibble | (nibble >> 4)) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | (pairs >> 8)) & 0x0000_FFFF_0000_FFFF;
    let [_, _, _, _, a, b, c, d] = (quads | (quads >> 16)).to_be_bytes();
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// Where fields lie: first byte and length of the content.
pub(crate) type Places = [(u16, u16); 65];

/// What fields that touch each other are looked at for in one go, length prefixes among them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Digits,
    Track,
    Printable,
    Characters,
    Hexadecimal,
}

/// Marks what does not belong in a run.
fn marks(run: Run, text: &[u8]) -> u64 {
    match run {
        Run::Digits => digits(text),
        Run::Track => track(text.get(2..).unwrap_or_default()),
        Run::Printable => printable(text),
        Run::Characters => characters(text),
        Run::Hexadecimal => u64::from(text.try_into().ok().and_then(hexadecimal).is_none()),
    }
}

/// Type and bitmap of a sound frame, whose fields' places are noted.
#[inline(never)]
pub(crate) fn scan<const VALUES: bool>(frame: &[u8], places: &mut Places) -> Option<(u32, u64)> {
    let mti = *frame.first_chunk::<4>()?;
    let mut found = digits(&mti);
    let bitmap = hexadecimal(frame.get(4..20)?.try_into().ok()?)?;
    if bitmap >> 63 != 0 {
        return None;
    }
    let mut at = 20;
    let (mut run, mut run_at) = (Run::Digits, at);
    let mut left = bitmap.reverse_bits();
    while left != 0 {
        let de = left.trailing_zeros() as usize + 1;
        left &= left - 1;
        let element = at;
        // The length of a field of at most `max`, whose prefix has two digits.
        let two = |at: &mut usize, max: u8| {
            let [tens, ones] = *frame.get(*at..)?.first_chunk()?;
            let (tens, ones) = (tens ^ b'0', ones ^ b'0');
            *at += 2;
            let len = tens.wrapping_mul(10).wrapping_add(ones);
            (tens <= 9 && ones <= 9 && len <= max).then_some(usize::from(len))
        };
        let (of, len) = match de {
            2 => (Run::Digits, two(&mut at, 19)?),
            3 | 11 | 12 => (Run::Digits, 6),
            4 => (Run::Digits, 12),
            7 => (Run::Digits, 10),
            13 | 14 | 18 => (Run::Digits, 4),
            22 => (Run::Digits, 3),
            25 => (Run::Digits, 2),
            32 => (Run::Digits, two(&mut at, 11)?),
            35 => (Run::Track, two(&mut at, 37)?),
            37 => (Run::Printable, 12),
            41 => (Run::Characters, 8),
            42 => (Run::Characters, 15),
            43 => (Run::Characters, 40),
            49 => (Run::Printable, 3),
            52 => (Run::Hexadecimal, 16),
            _ => return None,
        };
        if VALUES && of != run {
            found |= marks(run, frame.get(run_at..element)?);
            (run, run_at) = (of, element);
        }
        places[de] = (u16::try_from(at).ok()?, u16::try_from(len).ok()?);
        at += len;
    }
    if VALUES {
        found |= marks(run, frame.get(run_at..at)?);
    }
    (found == 0 && at == frame.len()).then_some((u32::from_be_bytes(mti), bitmap))
}
