//! Hexadecimal digits that stand in a line of a log, with other words around them.

use super::{Notation, Reading, hex};

/// Fewer bytes than the shortest message has are a time, a length or an id.
const BYTES_MIN: usize = 20;

/// The longest run of digits in a text that holds more than those: without a blank in it, or bytes with one between
/// each two. `None` when it is no longer than other numbers are.
pub(super) fn longest(text: &str) -> Option<Reading> {
    let joined = text.split(|c: char| !c.is_ascii_hexdigit());
    // A time before the first byte must not be taken for bytes, so only pairs count here.
    let spaced = spaced(text);
    let all = joined.chain(spaced).filter_map(|run| hex(run).ok());
    let bytes = all.max_by_key(Vec::len)?;
    (bytes.len() >= BYTES_MIN).then_some(Reading {
        notation: Notation::Hex,
        bytes,
    })
}

/// Stretches of words of two digits, one blank or colon between each two.
fn spaced(text: &str) -> impl Iterator<Item = &str> {
    let pair = |word: &str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut open: Option<(usize, usize)> = None;
    let mut at = 0_usize;
    let words = text.split([' ', ':', '\n', '\t', '\r']);
    let ends = words.chain([""]).filter_map(move |word| {
        let (begins, ends) = (at, at.saturating_add(word.len()));
        at = ends.saturating_add(1);
        if pair(word) {
            open = Some((open.map_or(begins, |(first, _)| first), ends));
            return None;
        }
        open.take()
    });
    ends.filter_map(|(from, to)| text.get(from..to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_a_line_of_a_log_is_found() {
        let message = "02003020058020C01204000000000000000001000001021000";
        let spaced: Vec<_> = message
            .as_bytes()
            .chunks(2)
            .map(|pair| str::from_utf8(pair).unwrap())
            .collect();
        for line in [
            format!("2026-11-23 12:00:01.123 INFO rx terminal=10000001 len=25 {message}"),
            format!(
                "{{\"time\":\"2026-11-23T12:00:01Z\",\"raw\":\"{message}\",\"card\":\"6228**\"}}"
            ),
            format!(
                "Nov 23 12:00:01 host switch[4711]: sent {}",
                spaced.join(" ")
            ),
            format!("<- {} (25 bytes)", spaced.join(":")),
        ] {
            let found = longest(&line).map(|reading| reading.bytes);
            assert_eq!(found.as_deref(), Some(&hex(message).unwrap()[..]), "{line}");
        }
        for none in [
            "2026-11-23 12:00:01 accepted 10.0.0.1:4711",
            "decoded 0011223344556677",
            "",
            "终端 0200",
        ] {
            assert!(longest(none).is_none(), "{none}");
        }
    }
}
