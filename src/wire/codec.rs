//! Frames for `tokio_util`'s framed streams.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::iso8583::Dialect;

use super::scan::{Scan, scan};

/// Splits a stream into frames without their length prefix. What is sent must have its prefix already: that
/// is how [`Dialect::write`] makes it.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    dialect: Arc<Dialect>,
    frame_bytes_max: usize,
}

impl FrameCodec {
    /// A codec for a dialect's framing that refuses frames above `frame_bytes_max`, prefix not counted.
    #[must_use]
    pub const fn new(dialect: Arc<Dialect>, frame_bytes_max: usize) -> Self {
        Self {
            dialect,
            frame_bytes_max,
        }
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, io::Error> {
        let found = scan(self.dialect.framing(), buf, self.frame_bytes_max)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match found {
            Scan::Frame { start, end } => {
                let mut frame = buf.split_to(end);
                frame.advance(start);
                Ok(Some(frame.freeze()))
            }
            // No room is made for what is only announced: it costs the peer as many bytes as it costs us.
            Scan::Need(_) => Ok(None),
        }
    }
}

impl Encoder<&[u8]> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: &[u8], buf: &mut BytesMut) -> Result<(), io::Error> {
        buf.extend_from_slice(frame);
        Ok(())
    }
}
