//! What a program that took the bytes for text has made of them.

use super::search::Rank;
use super::search::Search;
use crate::inspect::bytes;

/// What is written in UTF-8 where a byte was no text.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// So many question marks are more than a message has by chance.
const REPLACED_MIN: usize = 3;

impl Search<'_> {
    /// Bytes that somebody took for Latin-1 and wrote as UTF-8.
    pub(super) fn text(&mut self) {
        let Ok(text) = str::from_utf8(&self.guess.input) else {
            return;
        };
        if text.is_ascii() {
            return;
        }
        let bytes: Option<Vec<u8>> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect();
        let Some(bytes) = bytes else {
            return;
        };
        let prefix = self.guess.dialect.framing().prefix_bytes();
        for cut in [0, prefix] {
            let frame = bytes.get(cut..).unwrap_or_default().to_vec();
            let text =
                "its bytes were taken for text and written as UTF-8: each above 7F became two"
                    .to_owned();
            // No byte of it stands in the input where it was.
            let dialect = self.dialect();
            self.consider(Rank::Around, dialect, frame, isize::MAX, text, None);
        }
    }

    /// Hexadecimal digits of hexadecimal digits.
    pub(super) fn twice(&mut self) {
        let text = str::from_utf8(&self.guess.input).ok();
        let Some(bytes) = text.and_then(|text| bytes::hex(text).ok()) else {
            return;
        };
        let prefix = self.guess.dialect.framing().prefix_bytes();
        for cut in [0, prefix] {
            let frame = bytes.get(cut..).unwrap_or_default().to_vec();
            let text = "the message was written in hexadecimal digits twice".to_owned();
            // No byte of it stands in the input as it is.
            let dialect = self.dialect();
            self.consider(Rank::Around, dialect, frame, isize::MAX, text, None);
        }
    }

    /// Bytes above 7F that were no text and are gone.
    pub(super) fn replaced(&mut self) {
        let input = &self.guess.input;
        let replacement = input
            .windows(REPLACEMENT.len())
            .any(|three| three == REPLACEMENT);
        let marks = input.iter().filter(|byte| **byte == b'?').count();
        let digits = input.iter().filter(|byte| byte.is_ascii_graphic()).count();
        // A message that is text may ask questions.
        let binary = digits < input.len().saturating_sub(input.len() / 4);
        let (rank, by) = if replacement {
            (Rank::Around, "EF BF BD")
        } else if binary && input.is_ascii() && marks >= REPLACED_MIN {
            (Rank::One, "`?` (3F)")
        } else {
            return;
        };
        let text = format!(
            "its bytes were taken for text, and each above 7F was replaced by {by}: what stood there is lost; the \
             message must be taken again, as bytes"
        );
        self.tell(rank, text);
    }
}
