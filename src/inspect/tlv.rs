//! BER-TLV as chip cards write it (EMV book 3, annex B): a tag, a length, a value, which may hold more of them.

use std::ops::Range;

/// How deep templates may stand inside each other.
const DEPTH_MAX: usize = 8;

/// One element of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tlv {
    /// The tag's bytes as a number: 0x9F26.
    pub(super) tag: u32,
    /// Where its value stands, counted from the beginning of all.
    pub(super) value: Range<usize>,
    /// What a template holds.
    pub(super) inside: Vec<Self>,
}

/// Why bytes are not BER-TLV, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TlvError {
    /// A tag is cut off or longer than four bytes.
    #[error("no tag at byte {0}")]
    Tag(usize),
    /// A length is cut off, indefinite or longer than three bytes.
    #[error("no length at byte {0}")]
    Length(usize),
    /// More is announced than is left.
    #[error("{needed} bytes announced at byte {at}, {left} left")]
    Short {
        /// Where the value begins.
        at: usize,
        /// Bytes announced.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
}

/// Takes `bytes` apart.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Tlv>, TlvError> {
    elements(bytes, 0, 0)
}

fn elements(bytes: &[u8], base: usize, depth: usize) -> Result<Vec<Tlv>, TlvError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        // `rest` is a tail of `bytes`.
        let at = base.saturating_add(bytes.len().saturating_sub(rest.len()));
        if *first == 0 {
            // Filling between elements (EMV book 3, annex B1).
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let (tag, tag_bytes) = tag(rest).ok_or(TlvError::Tag(at))?;
        let after = rest.get(tag_bytes..).unwrap_or_default();
        let at = at.saturating_add(tag_bytes);
        let (length, length_bytes) = length(after).ok_or(TlvError::Length(at))?;
        let after = after.get(length_bytes..).unwrap_or_default();
        let at = at.saturating_add(length_bytes);
        let Some((value, tail)) = after.split_at_checked(length) else {
            return Err(TlvError::Short {
                at,
                needed: length,
                left: after.len(),
            });
        };
        let template = first & 0x20 != 0 && depth < DEPTH_MAX;
        let inside = match template {
            true => elements(value, at, depth.saturating_add(1)).unwrap_or_default(),
            false => Vec::new(),
        };
        found.push(Tlv {
            tag,
            value: at..at.saturating_add(length),
            inside,
        });
        rest = tail;
    }
    Ok(found)
}

/// A tag and its bytes: five ones in the first byte say that more follow, the high bit of a further one too.
fn tag(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = *bytes.first()?;
    let mut tag = u32::from(first);
    if first & 0x1F != 0x1F {
        return Some((tag, 1));
    }
    for (byte, count) in bytes.iter().skip(1).zip(2..=4_usize) {
        tag = (tag << 8) | u32::from(*byte);
        if byte & 0x80 == 0 {
            return Some((tag, count));
        }
    }
    None
}

/// A length and its bytes: up to 127 in one, else 81 to 83 and so many more.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes {
        [short @ 0..=0x7F, ..] => Some((usize::from(*short), 1)),
        [0x81, a, ..] => Some((usize::from(*a), 2)),
        [0x82, a, b, ..] => Some((usize::from(u16::from_be_bytes([*a, *b])), 3)),
        [0x83, a, b, c, ..] => {
            let length = u32::from_be_bytes([0, *a, *b, *c]);
            Some((usize::try_from(length).ok()?, 4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: &[(u32, Range<usize>)]) {
        let found = parse(bytes).unwrap();
        let found: Vec<_> = found.into_iter().map(|tlv| (tlv.tag, tlv.value)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn tags_and_lengths_of_every_size() {
        check(&[0x9A, 1, 5], &[(0x9A, 2..3)]);
        check(
            &[0x9F, 0x26, 2, 1, 2, 0x82, 1, 3],
            &[(0x9F26, 3..5), (0x82, 7..8)],
        );
        check(&[0xDF, 0x81, 0x01, 1, 9], &[(0xDF_8101, 4..5)]);
        check(&[0x5A, 0x81, 1, 9], &[(0x5A, 3..4)]);
        check(&[0x5A, 0x82, 0, 1, 9, 0, 0], &[(0x5A, 4..5)]);
        check(&[], &[]);
    }

    #[test]
    fn templates_hold_elements_with_places_in_the_whole() {
        let found = parse(&[0x9A, 0, 0x72, 4, 0x9F, 0x18, 1, 7]).unwrap();
        assert_eq!(found[1].inside[0].value, 7..8);
        // A template that is none keeps its bytes.
        assert_eq!(parse(&[0x72, 1, 0x9F]).unwrap()[0].inside, []);
    }

    #[test]
    fn what_is_broken_has_a_place() {
        assert_eq!(parse(&[0x9F]), Err(TlvError::Tag(0)));
        assert_eq!(
            parse(&[0x9A, 0, 0x9F, 0x81, 0x81, 0x81, 1]),
            Err(TlvError::Tag(2))
        );
        assert_eq!(parse(&[0x9A]), Err(TlvError::Length(1)));
        assert_eq!(parse(&[0x9A, 0x80, 0, 0]), Err(TlvError::Length(1)));
        let short = TlvError::Short {
            at: 2,
            needed: 3,
            left: 1,
        };
        assert_eq!(parse(&[0x9A, 3, 1]), Err(short));
        assert_eq!(parse(&[0x5A, 0x83, 0xFF, 0xFF, 0xFF]).is_err(), true);
    }

    #[test]
    fn nesting_has_an_end() {
        let mut bytes = vec![0x9A, 0];
        for _ in 0..60 {
            let length = u8::try_from(bytes.len()).unwrap();
            bytes.splice(0..0, [0x70, length]);
        }
        let mut depth = 0;
        let mut level = parse(&bytes).unwrap();
        while let Some(first) = level.pop() {
            depth += 1;
            level = first.inside;
        }
        assert_eq!(depth, DEPTH_MAX + 1);
    }
}
