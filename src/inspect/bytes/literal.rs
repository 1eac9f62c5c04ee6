//! Bytes as programs write them: arrays and strings of C, Python, Java, Rust, JavaScript, and what `xxd -i` makes.

use super::{BytesError, hex};

/// The bytes of an array or a string of a program; `None` when the text is none.
///
/// # Errors
/// A string without escapes is not hexadecimal digits, or too few of them.
pub(super) fn literal(text: &str) -> Result<Option<Vec<u8>>, BytesError> {
    let text = text.trim();
    if let Some(bytes) = array(text) {
        return Ok(Some(bytes));
    }
    match string(text) {
        Some(Text::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Text::Digits(digits)) => hex(&digits).map(Some),
        None => Ok(None),
    }
}

/// Numbers between braces or brackets, at least two: the name of a dialect in brackets is none.
fn array(text: &str) -> Option<Vec<u8>> {
    let (open, close) = if text.contains('{') {
        ('{', '}')
    } else {
        ('[', ']')
    };
    let (before, rest) = text.split_once(open)?;
    let (body, _length) = rest.split_once(close)?;
    if !is_declaration(before) {
        return None;
    }
    let items = body.trim().trim_end_matches(',').split(',');
    let bytes: Option<Vec<u8>> = items.map(|item| number(item.trim())).collect();
    bytes.filter(|bytes| bytes.len() > 1)
}

/// One byte of an array: `0x9A`, `154`, `-102`, `0x9Au8`, `(byte) 0x9A`, `'A'`.
fn number(item: &str) -> Option<u8> {
    let item = item.strip_prefix("(byte)").map_or(item, str::trim_start);
    if let Some(inner) = item.strip_prefix('\'') {
        let inner = inner.strip_suffix('\'')?;
        return match escaped(inner) {
            Some((byte, "")) => Some(byte),
            _ => None,
        };
    }
    let item = item.strip_suffix("u8").unwrap_or(item);
    let item = item.trim_end_matches(['u', 'U']);
    if let Some(digits) = item.strip_prefix("0x").or_else(|| item.strip_prefix("0X")) {
        return u8::from_str_radix(digits, 16).ok();
    }
    if item.starts_with('-') {
        // A byte with a sign, as Java and C have it.
        return item.parse::<i8>().ok().map(i8::cast_unsigned);
    }
    // With a leading zero it would be octal in some of them.
    if item.len() > 1 && item.starts_with('0') {
        return None;
    }
    item.parse().ok()
}

enum Text {
    Bytes(Vec<u8>),
    /// Without escapes: hexadecimal digits.
    Digits(String),
}

/// Strings in quotes, one behind the other.
fn string(text: &str) -> Option<Text> {
    let at = text.find(['"', '\''])?;
    let (before, mut rest) = text.split_at_checked(at)?;
    if !is_declaration(before) {
        return None;
    }
    // Python and Rust tell bytes from text; text without escapes is digits.
    let of_bytes = before.ends_with('b');
    let (mut out, mut any_escape) = (Vec::new(), false);
    while let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        rest = rest.get(1..)?;
        while !rest.starts_with(quote) {
            any_escape |= rest.starts_with('\\');
            let (byte, behind) = escaped(rest)?;
            out.push(byte);
            rest = behind;
        }
        // Between two of them, and behind the last: blanks, what joins them, the end of the statement.
        let joined = |c: char| c.is_whitespace() || matches!(c, '+' | '\\' | ')' | ';' | ',');
        let behind = rest.get(1..)?.trim_start_matches(joined);
        rest = behind
            .strip_prefix('b')
            .filter(|b| b.starts_with(quote))
            .unwrap_or(behind);
    }
    if !rest.is_empty() || out.is_empty() {
        return None;
    }
    if any_escape || of_bytes {
        return Some(Text::Bytes(out));
    }
    String::from_utf8(out).ok().map(Text::Digits)
}

/// The first byte of what stands in quotes, and what follows it. A character that is not ASCII is no byte.
fn escaped(text: &str) -> Option<(u8, &str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first != '\\' {
        let byte = u8::try_from(first).ok().filter(u8::is_ascii)?;
        return Some((byte, characters.as_str()));
    }
    let behind = characters.as_str();
    let letter = characters.next()?;
    let rest = characters.as_str();
    let byte = match letter {
        'x' => {
            let digits = rest.get(..2)?;
            return Some((u8::from_str_radix(digits, 16).ok()?, rest.get(2..)?));
        }
        '0'..='7' => {
            let digits = behind
                .bytes()
                .take(3)
                .take_while(|b| matches!(b, b'0'..=b'7'))
                .count();
            let (digits, rest) = behind.split_at_checked(digits)?;
            return Some((u8::from_str_radix(digits, 8).ok()?, rest));
        }
        'a' => 0x07,
        'b' => 0x08,
        't' => b'\t',
        'n' => b'\n',
        'v' => 0x0B,
        'f' => 0x0C,
        'r' => b'\r',
        'e' => 0x1B,
        '\\' | '\'' | '"' => u8::try_from(letter).ok()?,
        _ => return None,
    };
    Some((byte, rest))
}

/// What stands before an array or a string: a type, a name, a call, or nothing.
fn is_declaration(before: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || "_=[]():.*&;,<>!".contains(c);
    before.is_empty() || (before.len() < 200 && before.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MESSAGE, check};
    use super::*;

    #[test]
    fn arrays_of_programs_are_read() {
        let digits = |show: &dyn Fn(u8) -> String| MESSAGE.map(show).join(", ");
        let hex = digits(&|byte| format!("0x{byte:02x}"));
        check(&format!(
            "unsigned char m_bin[] = {{\n  {hex}\n}};\nunsigned int m_bin_len = 20;\n"
        ));
        check(&format!("static const uint8_t m[20] = {{ {hex}, }};"));
        check(&format!("let m = [{hex}];"));
        check(&format!("bytes([{hex}])"));
        check(
            &digits(&|byte| format!("0x{byte:X}"))
                .replace("0x0,", "0x00,")
                .replace("0x8,", "0x08,")
                .replace("0x1,", "0x01,"),
        );
        let signed = digits(&|byte| format!("(byte) 0x{byte:02X}"));
        check(&format!("byte[] m = new byte[] {{{signed}}};"));
        check(&format!("[{}]", digits(&|byte| byte.to_string())));
        check(&format!(
            "{{{}}}",
            digits(&|byte| byte.cast_signed().to_string())
        ));
        check(&format!("vec![{}]", digits(&|byte| format!("{byte}u8"))));
        assert_eq!(
            literal("{'A', '\\x80', '\\n', -128}"),
            Ok(Some(vec![0x41, 0x80, 0x0A, 0x80]))
        );
        for none in [
            "",
            "{",
            "[]",
            "{1}",
            "{1, 256}",
            "{1, 07}",
            "{\"dialect\": \"x\"}",
            "0200[1,2",
            "€[1, 2]",
        ] {
            assert_eq!(literal(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn strings_of_programs_are_read() {
        check("b'\\x00\\x12`\\x00\\x01\\x00\\x00\\x08\\x00  \\x00\\x00\\x00\\x80\\x00\\x00123'");
        check(
            "msg = b\"\\x00\\x12`\\x00\\x01\\x00\\x00\\x08\\x00  \\x00\\x00\\x00\\x80\\x00\\x00\" \\\n  b\"123\"\n",
        );
        check(
            "const char m[] = \"\\0\\22`\\0\\1\\0\\0\\10\\0\"\n \"  \\0\\0\\0\\200\\0\\000\" \"123\";",
        );
        check("bytes.fromhex(\"0012600001000008 0020200000008000 00313233\")");
        check("'0012600001000008002020000000800000313233'");
        assert_eq!(literal("b'0800'"), Ok(Some(b"0800".to_vec())));
        assert_eq!(
            literal(r#"b"\t\r\n\\\"\'""#),
            Ok(Some(b"\t\r\n\\\"'".to_vec()))
        );
        for none in [
            "'",
            "b'\\x0'",
            "\"0800",
            "\"\\q\"",
            "\"\"",
            "b'0800' 5",
            "0800 'x",
            "'终'",
        ] {
            assert_eq!(literal(none), Ok(None), "{none}");
        }
        assert_eq!(
            literal("\"08G0\""),
            Err(BytesError::NotHex { line: 1, column: 3 })
        );
    }
}
