//! Finds the next frame in a buffer.

use crate::iso8583::Framing;

/// What a buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole frame: its bytes without the length prefix are `start .. end`, and the next frame begins at
    /// `end`. `start == end` is a keep-alive.
    Frame {
        /// First byte after the length prefix.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// Not yet a whole frame: at least so many bytes are needed in all.
    Need(usize),
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More is announced than this side reads. Four ASCII digits read as binary look like this.
    #[error("frame of {announced} bytes announced, {max} is the most")]
    TooLong {
        /// Bytes announced, prefix not counted.
        announced: usize,
        /// Most allowed.
        max: usize,
    },
    /// The length prefix is not made of digits.
    #[error("length prefix holds no digits")]
    Prefix,
    /// The prefix counts itself and announces less than its own length.
    #[error("length prefix announces {announced} bytes, less than itself")]
    TooShort {
        /// Bytes announced, the prefix counted.
        announced: usize,
    },
}

impl FrameError {
    /// One word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "frame-too-long",
            Self::Prefix => "frame-prefix",
            Self::TooShort { .. } => "frame-too-short",
        }
    }
}

/// Looks for a frame at the beginning of `buf`. Reads nothing but the length prefix.
///
/// # Errors
/// The announced length is unusable or above `frame_bytes_max` (prefix not counted).
#[inline]
pub fn scan(framing: &Framing, buf: &[u8], frame_bytes_max: usize) -> Result<Scan, FrameError> {
    let Some(prefix) = buf.get(..framing.length_bytes) else {
        return Ok(Scan::Need(framing.length_bytes));
    };
    let announced = framing.length_encoding.read(prefix);
    let announced = announced.ok_or(FrameError::Prefix)?;
    let bytes = match (framing.length_counts_itself, announced) {
        // A keep-alive announces nothing, itself neither.
        (false, _) | (true, 0) => announced,
        (true, _) => announced
            .checked_sub(prefix.len())
            .ok_or(FrameError::TooShort { announced })?,
    };
    if bytes > frame_bytes_max {
        return Err(FrameError::TooLong {
            announced: bytes,
            max: frame_bytes_max,
        });
    }
    let start = prefix.len();
    let end = start.saturating_add(bytes);
    if buf.len() < end {
        return Ok(Scan::Need(end));
    }
    Ok(Scan::Frame { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::LengthEncoding;

    fn framing(length_bytes: usize, length_encoding: LengthEncoding) -> Framing {
        Framing {
            length_bytes,
            length_encoding,
            length_counts_itself: false,
            tpdu: Vec::new(),
            header: Vec::new(),
            header_cleared_nibble: None,
        }
    }

    fn check(framing: &Framing, buf: &[u8], expect: Result<Scan, FrameError>) {
        assert_eq!(scan(framing, buf, 100), expect, "{buf:02X?}");
    }

    #[test]
    fn binary_lengths() {
        let framing = framing(2, LengthEncoding::Binary);
        check(&framing, &[], Ok(Scan::Need(2)));
        check(&framing, &[0], Ok(Scan::Need(2)));
        check(&framing, &[0, 3, 1, 2], Ok(Scan::Need(5)));
        check(
            &framing,
            &[0, 3, 1, 2, 3, 4],
            Ok(Scan::Frame { start: 2, end: 5 }),
        );
        check(&framing, &[0, 0, 0], Ok(Scan::Frame { start: 2, end: 2 }));
        let too_long = FrameError::TooLong {
            announced: 101,
            max: 100,
        };
        check(&framing, &[0, 101], Err(too_long));
    }

    #[test]
    fn decimal_lengths() {
        let ascii = framing(4, LengthEncoding::Ascii);
        check(&ascii, b"0002AB", Ok(Scan::Frame { start: 4, end: 6 }));
        check(&ascii, b"00 2AB", Err(FrameError::Prefix));
        let packed = framing(2, LengthEncoding::Packed);
        check(&packed, &[0x00, 0x10, 0], Ok(Scan::Need(12)));
        check(&packed, &[0x00, 0x1A, 0], Err(FrameError::Prefix));
    }

    #[test]
    fn a_length_may_count_itself() {
        let framing = Framing {
            length_counts_itself: true,
            ..framing(2, LengthEncoding::Binary)
        };
        check(
            &framing,
            &[0, 4, 1, 2],
            Ok(Scan::Frame { start: 2, end: 4 }),
        );
        check(&framing, &[0, 0], Ok(Scan::Frame { start: 2, end: 2 }));
        check(
            &framing,
            &[0, 1],
            Err(FrameError::TooShort { announced: 1 }),
        );
    }
}
