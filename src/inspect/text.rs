//! Characters above ASCII: what Chinese terminals and hosts send is GBK.

use encoding_rs::GBK;

/// The text that bytes stand for: ASCII, or GBK. `None` when they are neither, hold a control character, or
/// would not come back the same.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<String> {
    let text = match str::from_utf8(bytes) {
        Ok(ascii) if ascii.is_ascii() => ascii.to_owned(),
        Ok(_) | Err(_) => {
            let text = GBK.decode_without_bom_handling_and_without_replacement(bytes)?;
            let (again, _, lossy) = GBK.encode(&text);
            if lossy || again != bytes {
                return None;
            }
            text.into_owned()
        }
    };
    text.chars().all(|c| !c.is_control()).then_some(text)
}

/// The bytes of a text; `None` when it holds a character that GBK does not have.
#[must_use]
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let (bytes, _, lossy) = GBK.encode(text);
    (!lossy).then(|| bytes.into_owned())
}

/// Bytes as text to be looked at: what is no text is written `\x1B`.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    decode(bytes).unwrap_or_else(|| {
        let one = |byte: &u8| match byte {
            0x20..=0x7E => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02X}"),
        };
        bytes.iter().map(one).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_the_same_or_is_none() {
        let check = |bytes: &[u8], expect: Option<&str>| {
            let text = decode(bytes);
            assert_eq!(text.as_deref(), expect, "{bytes:02X?}");
            if let Some(text) = text {
                assert_eq!(encode(&text).as_deref(), Some(bytes));
            }
        };
        check(b"SHOP 1", Some("SHOP 1"));
        check(b"", Some(""));
        check(&[0xD6, 0xD0, 0xB9, 0xFA], Some("中国"));
        check(&[b'A', 0xFF], None);
        check(&[0xD6], None);
        check(b"\x1b[2J", None);
        assert_eq!(shown(&[b'A', 0xFF, 0x1B]), "A\\xFF\\x1B");
        assert_eq!(encode("\u{1F600}"), None);
    }
}
