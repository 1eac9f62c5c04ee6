//! Groups: what one sync makes durable. A byte for the layout's version, the records, and a CRC-32C over both.

use super::bytes::Reader;
use super::{Record, RecordError};

/// First byte of a group.
pub(super) const LAYOUT: u8 = 1;

/// Starts a group in an empty buffer.
pub fn begin_group(out: &mut Vec<u8>) {
    out.push(LAYOUT);
}

/// Closes a group with its checksum.
pub fn end_group(out: &mut Vec<u8>) {
    let sum = crc32c::crc32c(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The checksum that a group was closed with; `None` when it is too short to have one.
#[must_use]
pub fn checksum_of(group: &[u8]) -> Option<u32> {
    group
        .split_last_chunk::<4>()
        .map(|(_, sum)| u32::from_le_bytes(*sum))
}

/// Reads a group, calling `each` with every record.
///
/// # Errors
/// When the checksum differs or a record does not fit; records before the bad one were already given out.
pub fn read_group(group: &[u8], mut each: impl FnMut(Record)) -> Result<(), RecordError> {
    let Some((body, sum)) = group.split_last_chunk::<4>() else {
        return Err(RecordError::Short);
    };
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return Err(RecordError::Checksum);
    }
    read_records(body, &mut each)
}

/// Reads what can still be read of a damaged group, its checksum aside: the records before the first that
/// does not fit. Good for telling people what was in it and for nothing else.
pub fn read_damaged(group: &[u8], mut each: impl FnMut(Record)) {
    let body = group
        .split_last_chunk::<4>()
        .map_or(group, |(body, _)| body);
    let _ended: Result<(), RecordError> = read_records(body, &mut each);
}

fn read_records(body: &[u8], each: &mut dyn FnMut(Record)) -> Result<(), RecordError> {
    let Some((&LAYOUT, mut rest)) = body.split_first() else {
        return Err(RecordError::Unknown);
    };
    while !rest.is_empty() {
        let mut head = Reader(rest);
        let kind = head.u8()?;
        let len = usize::try_from(head.u32()?).map_err(|_too_large| RecordError::Short)?;
        let payload = head.take(len)?;
        each(Record::decode(kind, payload)?);
        rest = head.0;
    }
    Ok(())
}
