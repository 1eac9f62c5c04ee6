//! Hex dumps, whose lines begin with offsets.

use super::{BytesError, Digits};

/// Bytes on one line of a hex dump, unless its own offsets say otherwise.
const DUMP_LINE_BYTES: usize = 16;

/// A line of a dump: the offset it begins with, and the rest.
struct DumpLine<'t> {
    number: usize,
    /// Digits of the offset.
    digits: usize,
    offset: usize,
    /// A colon behind the offset leaves no doubt.
    colon: bool,
    rest: &'t str,
}

/// A hex dump; `None` when the text is none.
pub(super) fn dump(text: &str) -> Result<Option<Vec<u8>>, BytesError> {
    let usual = dump_in(text, 16);
    if let Ok(Some(_)) = usual {
        return usual;
    }
    // `od` counts in octal or decimal unless it is told otherwise.
    let others = [8, 10].map(|radix| dump_in(text, radix));
    let other = others.into_iter().find(|read| matches!(read, Ok(Some(_))));
    other.unwrap_or(usual)
}

/// Digits of an offset of `od` that is not hexadecimal.
const OD_DIGITS: usize = 7;

/// A dump whose offsets count in that base.
fn dump_in(text: &str, radix: u32) -> Result<Option<Vec<u8>>, BytesError> {
    let mut lines = Vec::new();
    let mut star = None;
    for (at, line) in text.lines().enumerate() {
        let number = at.saturating_add(1);
        match line.trim() {
            "" => {}
            "*" => star = Some(number),
            _ => match dump_line(number, line, radix) {
                Some(line) => lines.push(line),
                None => return Ok(None),
            },
        }
    }
    let Some(first) = lines.first() else {
        return Ok(None);
    };
    if !is_dump(&lines) {
        return Ok(None);
    }
    if let Some(line) = star {
        return Err(BytesError::LeftOut { line });
    }
    let begin = first.offset;
    // `hexdump` without an option, alone with offsets of seven digits: words of two bytes, the lower one first.
    let words = |line: &DumpLine<'_>| line.rest.split_whitespace().all(|word| word.len() == 4);
    let swapped = radix == 16
        && lines
            .iter()
            .all(|line| line.digits == OD_DIGITS && !line.colon && words(line));
    let mut out = Vec::new();
    let next = lines.iter().skip(1).map(Some).chain([None]);
    for (line, next) in lines.iter().zip(next) {
        let counted = begin.saturating_add(out.len());
        if line.offset != counted {
            return Err(BytesError::Offset {
                line: line.number,
                said: line.offset,
                counted,
            });
        }
        let bytes = next.map(|next| next.offset.saturating_sub(line.offset));
        // `od` writes nothing behind the bytes: digits that are more belong to another base.
        let digits: usize = line.rest.split_whitespace().map(str::len).sum();
        if radix != 16 && bytes.is_some_and(|bytes| digits != bytes.saturating_mul(2)) {
            return Ok(None);
        }
        if swapped {
            swapped_bytes(line, bytes, &mut out);
        } else {
            dump_bytes(line, bytes, &mut out);
        }
    }
    Ok((!out.is_empty()).then_some(out))
}

fn dump_line(number: usize, line: &str, radix: u32) -> Option<DumpLine<'_>> {
    let line = line.trim_start();
    let line = line.strip_prefix("0x").unwrap_or(line);
    let digits = line.chars().take_while(char::is_ascii_hexdigit).count();
    let (offset, rest) = line.split_at_checked(digits)?;
    let (colon, rest) = match rest.strip_prefix([':', '|']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let apart = rest.is_empty() || rest.starts_with([' ', '\t']);
    let wide = match radix {
        16 => (4..=8).contains(&digits),
        _ => digits == OD_DIGITS,
    };
    if !wide || !apart {
        return None;
    }
    Some(DumpLine {
        number,
        digits,
        offset: usize::from_str_radix(offset, radix).ok()?,
        colon,
        rest,
    })
}

/// Whether lines that could begin with an offset do: colons say so, or offsets that begin at zero and rise
/// by a line's bytes, or the one line of a short dump with a gap behind its zero.
fn is_dump(lines: &[DumpLine<'_>]) -> bool {
    if lines.iter().all(|line| line.colon) {
        return true;
    }
    match lines {
        [] => false,
        [only] => only.offset == 0 && only.rest.starts_with("  "),
        [first, rest @ ..] => {
            let mut last = first.offset;
            first.offset == 0
                && rest.iter().all(|line| {
                    let step = line.offset.saturating_sub(last);
                    last = line.offset;
                    (1..=64).contains(&step)
                })
        }
    }
}

/// The bytes of one line, `bytes` of them when the next line's offset tells how many. Behind them may stand
/// the same as characters, which may look like digits too.
fn dump_bytes(line: &DumpLine<'_>, bytes: Option<usize>, out: &mut Vec<u8>) {
    let most = bytes.unwrap_or(DUMP_LINE_BYTES);
    let mut taken = 0_usize;
    let mut gap = 0_usize;
    for word in line.rest.trim_start().split([' ', '\t']) {
        if word.is_empty() {
            gap = gap.saturating_add(1);
            continue;
        }
        // A gap ends the last line, but for the one that some put in the middle.
        let middle = taken == DUMP_LINE_BYTES / 2 && gap == 1;
        let ended = bytes.is_none() && taken > 0 && gap > 0 && !middle;
        let hex = word.len().is_multiple_of(2) && word.bytes().all(|b| b.is_ascii_hexdigit());
        if ended || !hex || taken >= most {
            return;
        }
        gap = 0;
        let mut digits = Digits::default();
        for digit in word.chars().filter_map(|c| c.to_digit(16)) {
            digits.push(u8::try_from(digit).unwrap_or_default());
        }
        taken = taken.saturating_add(digits.bytes.len());
        out.append(&mut digits.bytes);
    }
}

/// The bytes of a line of words, each with its lower byte first. The last word may be half.
fn swapped_bytes(line: &DumpLine<'_>, bytes: Option<usize>, out: &mut Vec<u8>) {
    let words = line.rest.split_whitespace();
    let words = words.filter_map(|word| u16::from_str_radix(word, 16).ok());
    let all = words.flat_map(u16::to_le_bytes);
    out.extend(all.take(bytes.unwrap_or(DUMP_LINE_BYTES)));
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::super::tests::check;

    #[test]
    fn dumps_are_read_by_their_offsets() {
        check(
            "00000000: 0012 6000 0100 0008 0020 2000 0000 8000  ..`...... ......\n\
             00000010: 0031 3233                                .123\n",
        );
        check(
            "00000000  00 12 60 00 01 00 00 08  00 20 20 00 00 00 80 00  |..`......  .....|\n\
             00000010  00 31 32 33                                       |.123|\n\
             00000014\n",
        );
        check(
            "0000   00 12 60 00 01 00 00 08 00 20 20 00 00 00 80 00   ..`......  .....\n\
             0010   00 31 32 33                                       0123\n",
        );
        check(
            "\t0x0000:  0012 6000 0100 0008 0020 2000 0000 8000  ..`.............\n\
             \t0x0010:  0031 3233                                3132\n",
        );
        check(
            "000000 00 12 60 00 01 00 00 08 00 20 20 00 00 00 80 00\n000010 00 31 32 33\n000014\n",
        );
        check("0000000 1200 0060 0001 0800 2000 0020 0000 0080\n0000010 3100 3332\n0000014\n");
        // od counts in octal, with -A d in decimal.
        for (second, end) in [("0000020", "0000024"), ("0000016", "0000020")] {
            check(&format!(
                "0000000 00 12 60 00 01 00 00 08 00 20 20 00 00 00 80 00\n{second} 00 31 32 33\n{end}\n",
            ));
        }
    }

    #[test]
    fn groups_of_four_digits_are_no_offsets() {
        assert_eq!(hex("0200 7024\n0680 20C0\n").map(|b| b.len()), Ok(8));
        assert_eq!(hex("0000 0001").map(|b| b.len()), Ok(4));
        assert_eq!(hex("0012 6000\n0100 0008\n").map(|b| b.len()), Ok(8));
    }
}
