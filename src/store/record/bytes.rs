//! How fields of records are written and read: little-endian, texts and byte strings with a two-byte length.

use std::borrow::Cow;

use super::RecordError;
use crate::base::{AcquirerId, BatchNumber, Stan, TerminalId, Timestamp};
use crate::binding::TerminalKey;
use crate::iso8583::Mti;

/// Position in a table of a few entries; all our tables hold every value of their type.
pub(in crate::store) fn index_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter()
        .position(|each| each == one)
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(u8::MAX)
}

/// Writes kind, length and payload, filling in the length afterwards.
pub(super) fn framed(out: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    payload(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

pub(super) fn signed(
    out: &mut Vec<u8>,
    kind: u8,
    key: TerminalKey,
    batch: BatchNumber,
    at: Timestamp,
) {
    framed(out, kind, |out| {
        put_key(out, key);
        out.extend_from_slice(&batch.get().to_le_bytes());
        out.extend_from_slice(&at.0.to_le_bytes());
    });
}

pub(in crate::store) fn put_key(out: &mut Vec<u8>, key: TerminalKey) {
    out.extend_from_slice(&key.acquirer.0.to_le_bytes());
    out.extend_from_slice(key.terminal.as_bytes());
}

/// A byte string with its length. Longer ones than a frame can hold do not exist.
pub(in crate::store) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&bytes[..usize::from(len)]);
}

/// Reads fields off the front of a record.
pub(in crate::store) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::store) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(in crate::store) fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::store) fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in crate::store) fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let len = u16::from_le_bytes(self.array()?);
        self.take(usize::from(len))
    }

    pub(in crate::store) fn text(&mut self) -> Result<Cow<'static, str>, RecordError> {
        let bytes = self.bytes()?;
        str::from_utf8(bytes)
            .map(|text| Cow::Owned(text.to_owned()))
            .map_err(|_not_text| RecordError::Value)
    }

    pub(in crate::store) fn key(&mut self) -> Result<TerminalKey, RecordError> {
        let acquirer = AcquirerId(u16::from_le_bytes(self.array()?));
        Ok(TerminalKey {
            acquirer,
            terminal: TerminalId::from_padded(self.array()?),
        })
    }

    pub(super) fn mti(&mut self) -> Result<Mti, RecordError> {
        Mti::from_packed(u16::from_le_bytes(self.array()?)).ok_or(RecordError::Value)
    }

    pub(in crate::store) fn stan(&mut self) -> Result<Stan, RecordError> {
        Stan::new(self.u32()?).ok_or(RecordError::Value)
    }

    pub(in crate::store) fn batch(&mut self) -> Result<BatchNumber, RecordError> {
        BatchNumber::new(self.u32()?).ok_or(RecordError::Value)
    }
}
