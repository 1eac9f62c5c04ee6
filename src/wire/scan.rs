//! Finds the next frame in a buffer.

use crate::iso8583::Framing;

/// What a buffer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole frame: its bytes without lead and length prefix are `start .. end`, and the next frame begins at
    /// `end`. `start == end` is a keep-alive.
    Frame {
        /// First byte after the length prefix.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// Not yet a whole frame: at least so many bytes are needed in all, lead and prefix among them.
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
    /// The frame does not begin with the bytes that every frame of the dialect begins with.
    #[error("the stream does not begin with the dialect's lead")]
    Lead,
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
            Self::Lead => "frame-lead",
            Self::TooShort { .. } => "frame-too-short",
        }
    }
}

/// Looks for a frame at the beginning of `buf`. Reads nothing but what stands before it.
///
/// # Errors
/// The announced length is unusable or above `frame_bytes_max` (what stands before the frame not counted), or
/// the frame does not begin with the dialect's lead.
#[inline]
pub fn scan(framing: &Framing, buf: &[u8], frame_bytes_max: usize) -> Result<Scan, FrameError> {
    let (start, before) = (framing.prefix_bytes(), framing.before_length());
    let buf = if framing.lead.is_empty() {
        Some(buf)
    } else {
        led(&framing.lead, buf)?
    };
    let behind = before.saturating_add(framing.length_bytes);
    let length_end = framing.lead.len().saturating_add(behind);
    let Some(prefix) = buf.and_then(|buf| buf.get(before..behind)) else {
        return Ok(Scan::Need(length_end));
    };
    let announced = framing.length_encoding.read(prefix);
    let announced = announced.ok_or(FrameError::Prefix)?;
    let bytes = framing
        .frame_bytes(announced)
        .ok_or(FrameError::TooShort { announced })?;
    if bytes > frame_bytes_max {
        return Err(FrameError::TooLong {
            announced: bytes,
            max: frame_bytes_max,
        });
    }
    let mut frame = (start, start.saturating_add(bytes));
    if frame.1 < length_end {
        // Where the frame has the length in it, it cannot end before that does; nothing is a keep-alive.
        if announced != 0 {
            return Err(FrameError::TooShort { announced });
        }
        frame = (length_end, length_end);
    }
    let (start, end) = frame;
    let have = buf
        .map_or(0, <[u8]>::len)
        .saturating_add(framing.lead.len());
    if have < end {
        return Ok(Scan::Need(end));
    }
    Ok(Scan::Frame { start, end })
}

/// What stands behind the lead; `None` when not all of it is there yet.
fn led<'b>(lead: &[u8], buf: &'b [u8]) -> Result<Option<&'b [u8]>, FrameError> {
    let there = buf.len().min(lead.len());
    if buf.get(..there) != lead.get(..there) {
        return Err(FrameError::Lead);
    }
    Ok(buf.get(lead.len()..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::{LengthEncoding, LengthPlace};

    fn check(framing: &Framing, buf: &[u8], expect: Result<Scan, FrameError>) {
        assert_eq!(scan(framing, buf, 100), expect, "{buf:02X?}");
    }

    const fn frame(start: usize, end: usize) -> Result<Scan, FrameError> {
        Ok(Scan::Frame { start, end })
    }

    #[test]
    fn binary_lengths() {
        let framing = Framing::plain(2, LengthEncoding::Binary);
        check(&framing, &[], Ok(Scan::Need(2)));
        check(&framing, &[0], Ok(Scan::Need(2)));
        check(&framing, &[0, 3, 1, 2], Ok(Scan::Need(5)));
        check(&framing, &[0, 3, 1, 2, 3, 4], frame(2, 5));
        check(&framing, &[0, 0, 0], frame(2, 2));
        let too_long = FrameError::TooLong {
            announced: 101,
            max: 100,
        };
        check(&framing, &[0, 101], Err(too_long));
        check(
            &Framing::plain(1, LengthEncoding::Binary),
            &[1, 0],
            frame(1, 2),
        );
        check(
            &Framing::plain(4, LengthEncoding::Binary),
            &[0, 0, 0, 1, 9],
            frame(4, 5),
        );
    }

    #[test]
    fn lengths_of_digits() {
        let ascii = Framing::plain(4, LengthEncoding::Ascii);
        check(&ascii, b"0002AB", frame(4, 6));
        check(&ascii, b"00 2AB", Err(FrameError::Prefix));
        let packed = Framing::plain(2, LengthEncoding::Packed);
        check(&packed, &[0x00, 0x10, 0], Ok(Scan::Need(12)));
        check(&packed, &[0x00, 0x1A, 0], Err(FrameError::Prefix));
        let hex = Framing::plain(4, LengthEncoding::Hex);
        check(&hex, b"000b12345678901", frame(4, 15));
        check(&hex, b"000G", Err(FrameError::Prefix));
    }

    #[test]
    fn a_length_may_count_itself() {
        let framing = Framing {
            counted: 2,
            ..Framing::plain(2, LengthEncoding::Binary)
        };
        check(&framing, &[0, 4, 1, 2], frame(2, 4));
        check(&framing, &[0, 0], frame(2, 2));
        check(
            &framing,
            &[0, 1],
            Err(FrameError::TooShort { announced: 1 }),
        );
    }

    #[test]
    fn a_length_may_leave_out_the_envelope_and_the_trailer() {
        let framing = Framing {
            tpdu: vec![0x60, 0, 1, 0, 2],
            trailer: vec![3],
            uncounted: 6,
            ..Framing::plain(2, LengthEncoding::Binary)
        };
        check(&framing, &[0, 2, 0x60, 0, 1, 0, 2, 9, 9, 3], frame(2, 10));
        check(
            &framing,
            &[0, 2, 0x60, 0, 1, 0, 2, 9, 9],
            Ok(Scan::Need(10)),
        );
        assert_eq!((framing.announced(8), framing.frame_bytes(2)), (2, Some(8)));
    }

    #[test]
    fn a_lead_stands_before_the_length() {
        let framing = Framing {
            lead: b"ISO".to_vec(),
            ..Framing::plain(2, LengthEncoding::Binary)
        };
        check(&framing, b"", Ok(Scan::Need(5)));
        check(&framing, b"IS", Ok(Scan::Need(5)));
        check(&framing, b"ISO\0", Ok(Scan::Need(5)));
        check(&framing, b"ISO\0\x01A", frame(5, 6));
        check(&framing, b"ISO\0\x02A", Ok(Scan::Need(7)));
        check(&framing, b"IX", Err(FrameError::Lead));
    }

    #[test]
    fn what_stands_before_the_length_is_part_of_the_frame() {
        let framing = Framing {
            length_place: LengthPlace::AfterTpdu,
            lead: vec![2],
            tpdu: vec![0x60, 0, 1, 0, 2],
            // What it leaves out: TPDU and itself.
            uncounted: 7,
            ..Framing::plain(2, LengthEncoding::Binary)
        };
        check(&framing, &[], Ok(Scan::Need(8)));
        check(&framing, &[2, 0x60, 0, 1, 0, 2, 0], Ok(Scan::Need(8)));
        check(
            &framing,
            &[2, 0x60, 0, 1, 0, 2, 0, 3, 9],
            Ok(Scan::Need(11)),
        );
        check(
            &framing,
            &[2, 0x60, 0, 1, 0, 2, 0, 3, 9, 9, 9, 9],
            frame(1, 11),
        );
        // A keep-alive has a TPDU too.
        check(&framing, &[2, 0x60, 0, 1, 0, 2, 0, 0, 2], frame(8, 8));
        check(&framing, &[3], Err(FrameError::Lead));
        let too_long = FrameError::TooLong {
            announced: 101,
            max: 100,
        };
        check(&framing, &[2, 0x60, 0, 1, 0, 2, 0, 94], Err(too_long));
        // It counts TPDU and itself, and announces less.
        let framing = Framing {
            uncounted: 0,
            ..framing
        };
        let too_short = FrameError::TooShort { announced: 6 };
        check(&framing, &[2, 0x60, 0, 1, 0, 2, 0, 6], Err(too_short));
        check(&framing, &[2, 0x60, 0, 1, 0, 2, 0, 8, 9], frame(1, 9));
    }
}
