//! Bytes on a stream to frames and back, as a dialect's framing says.
//!
//! [`scan`] is pure and is what sessions and links use on their read buffers; [`FrameCodec`] wraps it for
//! `tokio_util`. Nothing here looks inside a frame: TPDU, header and message belong to `iso8583`. A length
//! that breaks the framing is an error of the stream, which can only be closed then: its next frame cannot
//! be found.

// This room reads hostile bytes: every index, sum and conversion in it is checked or proved at its place.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

mod codec;
mod sample;
mod scan;

pub use codec::FrameCodec;
pub use sample::{Sample, SampleError};
pub use scan::{FrameError, Scan, scan};
