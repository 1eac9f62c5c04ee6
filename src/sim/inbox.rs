//! The receiving side of a simulated connection: large reads, frames cut out without copying.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::limits::FRAME_BYTES_MAX;
use crate::iso8583::Framing;
use crate::wire::{FrameError, Scan, scan};

/// Received bytes not yet used. Grows to the largest frame seen and no further.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    // start <= end <= bytes.len()
    start: usize,
    end: usize,
}

impl Inbox {
    /// Room for `capacity` bytes a read.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            start: 0,
            end: 0,
        }
    }

    /// Reads once. False at the end of the stream.
    ///
    /// Cancel safe: bytes are either in the inbox or still in the stream.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<bool> {
        self.make_room();
        let read = from.read(&mut self.bytes[self.end..]).await?;
        self.end += read;
        Ok(read > 0)
    }

    /// Moves what is left to the front, so that reads stay large.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// The next complete frame, as a range for [`Self::bytes`]; `None` until more was read. Keep-alives,
    /// frames of no length, are passed over.
    pub(crate) fn next(&mut self, framing: &Framing) -> Result<Option<Range<usize>>, FrameError> {
        loop {
            let waiting = &self.bytes[self.start..self.end];
            match scan(framing, waiting, FRAME_BYTES_MAX)? {
                Scan::Frame { start, end } => {
                    let frame = self.start + start..self.start + end;
                    self.start = frame.end;
                    if !frame.is_empty() {
                        return Ok(Some(frame));
                    }
                }
                Scan::Need(bytes) => {
                    self.reserve(bytes);
                    return Ok(None);
                }
            }
        }
    }

    /// Throws away what is waiting.
    pub(crate) const fn clear(&mut self) {
        self.start = self.end;
    }

    /// Makes sure that a frame of `needed` bytes fits behind `start` after [`Self::make_room`].
    fn reserve(&mut self, needed: usize) {
        if needed > self.bytes.len() {
            self.bytes.resize(needed, 0);
        }
    }

    /// The bytes of a frame that [`Self::next`] found. Valid until the next [`Self::fill`].
    pub(crate) fn bytes(&self, frame: Range<usize>) -> &[u8] {
        &self.bytes[frame]
    }
}
