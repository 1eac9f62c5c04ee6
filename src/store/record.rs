//! Journal records and their bytes.
//!
//! Each record is its kind, its length and its fields; the file `group` says how they stand together. Only what this file names can get into the journal: there is no field that
//! could hold a track, a PIN block, a CVV or a clear card number (invariant 10).

mod bytes;
mod group;

use std::borrow::Cow;

use super::batch::BatchRecord;
use crate::base::{
    AccountId, Amount, BatchNumber, BindingId, Currency, Fate, MaskedPan, MerchantId, Note,
    PersonName, RequestType, Stan, Timestamp, TxnId,
};
use crate::binding::TerminalKey;
use crate::iso8583::Mti;

pub(super) use bytes::{Reader, index_of, put_bytes, put_key};
use bytes::{framed, signed};
pub use group::{begin_group, checksum_of, end_group, read_damaged, read_group};

/// Why bytes are no journal group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than its own fields say.
    #[error("a record ends after its group")]
    Short,
    /// The checksum differs.
    #[error("the checksum differs")]
    Checksum,
    /// A kind or layout this build does not know.
    #[error("a record of an unknown kind or version")]
    Unknown,
    /// A field holds a value it cannot have.
    #[error("a field holds an impossible value")]
    Value,
}

/// What stands in place of something sealed that was erased; nothing that is sealed is as short.
pub const ERASED: [u8; 1] = [0];

/// All that a later reversal or repeat needs, written before a request is forwarded (invariant 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent<'a> {
    /// Transaction.
    pub txn: TxnId,
    /// When it was accepted.
    pub at: Timestamp,
    /// Terminal.
    pub key: TerminalKey,
    /// DE42.
    pub merchant: MerchantId,
    /// Binding that admitted it (invariant 7).
    pub binding: BindingId,
    /// Version of that binding.
    pub version: u32,
    /// Account it settles into.
    pub account: AccountId,
    /// Whether its settlement is held until the binding is verified again.
    pub held: bool,
    /// Kind for the gate.
    pub kind: RequestType,
    /// What happens when its fate is unknown.
    pub fate: Fate,
    /// Whose favour it books: +1 the merchant's, -1 the customer's, 0 nobody's.
    pub sign: i8,
    /// Message type as received.
    pub mti: Mti,
    /// Name of the request in its dialect.
    pub request: Cow<'a, str>,
    /// Dialect's name.
    pub dialect: Cow<'a, str>,
    /// Batch.
    pub batch: BatchNumber,
    /// The terminal's STAN.
    pub stan: Stan,
    /// Upstream group's name.
    pub group: Cow<'a, str>,
    /// STAN towards the upstream.
    pub upstream_stan: Stan,
    /// DE4 with DE49.
    pub amount: Amount,
    /// Card number, masked.
    pub pan: MaskedPan,
    /// Keyed hash of the card number, zeros when there was none.
    pub pan_hash: [u8; 16],
    /// Card number, encrypted; empty when there was none or none is needed for a reversal, [`ERASED`] when it
    /// was erased.
    pub sealed_pan: Cow<'a, [u8]>,
    /// Keyed hash of what makes two requests the same.
    pub content: u64,
    /// The transaction it voids, completes or refunds, 0 when it names none that is known here.
    pub original: TxnId,
    /// The data elements a reversal copies, without DE2: number, length (2 bytes), bytes as on the wire,
    /// EBCDIC as ASCII.
    pub reversal: Cow<'a, [u8]>,
    /// TPDU and header as received.
    pub envelope: Cow<'a, [u8]>,
}

/// How a transaction ended, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// The upstream approved.
    Approved,
    /// The upstream, or we after accepting it, declined.
    Declined,
    /// It may have been approved and must be undone. The reversal is owed from here on (invariant 3).
    ReversalOwed,
    /// The upstream acknowledged the reversal.
    Reversed,
    /// It moved no money and was not answered.
    Expired,
    /// Not answered; it is sent again with the same identity until it is (invariant 2).
    RepeatOwed,
    /// What is owed was sent as often as it may be by itself, or cannot be sent: a person decides.
    Parked,
    /// A person decided that nothing more is sent.
    Closed,
}

impl OutcomeKind {
    const ALL: [Self; 8] = [
        Self::Approved,
        Self::Declined,
        Self::ReversalOwed,
        Self::Reversed,
        Self::Expired,
        Self::RepeatOwed,
        Self::Parked,
        Self::Closed,
    ];

    /// Name in the read model and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::ReversalOwed => "reversal-owed",
            Self::Reversed => "reversed",
            Self::Expired => "expired",
            Self::RepeatOwed => "repeat-owed",
            Self::Parked => "parked",
            Self::Closed => "closed",
        }
    }

    /// The kind with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A step of a transaction after its intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Transaction.
    pub txn: TxnId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: OutcomeKind,
    /// DE39 as [`ResponseCode`](crate::iso8583::ResponseCode) is stored: the answer's, or for a reversal the
    /// reason.
    pub code: [u8; 2],
    /// Amount that counts: the answer's for a partial approval, the request's otherwise.
    pub booked: u64,
    /// The answer's data elements that may be stored, as in [`Intent::reversal`]: enough to answer a
    /// repeat after a restart.
    pub answer: Box<[u8]>,
}

/// What a person has done with something parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// What is owed is sent again.
    Resend,
    /// Nothing more is sent.
    Close,
}

impl Verb {
    const ALL: [Self; 2] = [Self::Resend, Self::Close];

    /// Name in the read model, the API and the command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Close => "close",
        }
    }

    /// The verb with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }
}

/// A person decided about something parked. Its outcome follows as a record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// Transaction.
    pub txn: TxnId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub verb: Verb,
    /// By whom.
    pub name: PersonName,
    /// Why.
    pub note: Note,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// About to be forwarded.
    Intent(Box<Intent<'static>>),
    /// What became of it.
    Outcome(Outcome),
    /// A reversal came for an original never seen: should the original still arrive, it is declined.
    Tombstone {
        /// Terminal.
        key: TerminalKey,
        /// Binding at that time.
        binding: BindingId,
        /// Batch of the original.
        batch: BatchNumber,
        /// STAN of the original.
        stan: Stan,
        /// When.
        at: Timestamp,
    },
    /// A terminal signed on and was given this batch.
    SignedOn {
        /// Terminal.
        key: TerminalKey,
        /// Batch.
        batch: BatchNumber,
        /// When.
        at: Timestamp,
    },
    /// Own STANs of a group are reserved up to here: running numbers from 1 on each date.
    StanBlock {
        /// Group's name.
        group: Box<str>,
        /// Business date as year * 10000 + month * 100 + day.
        date: u32,
        /// First running number that is not reserved.
        end: u64,
    },
    /// A batch was compared, uploaded or ended.
    Batch(Box<BatchRecord>),
    /// A terminal signed off; `batch` is the one it will be given next.
    SignedOff {
        /// Terminal.
        key: TerminalKey,
        /// Batch.
        batch: BatchNumber,
        /// When.
        at: Timestamp,
    },
    /// A person resent or closed what was parked.
    Intervention(Intervention),
}

impl Record {
    /// The transaction it belongs to, if any.
    #[must_use]
    pub const fn txn(&self) -> Option<TxnId> {
        match self {
            Self::Intent(intent) => Some(intent.txn),
            Self::Outcome(outcome) => Some(outcome.txn),
            Self::Intervention(intervention) => Some(intervention.txn),
            Self::Tombstone { .. }
            | Self::SignedOn { .. }
            | Self::SignedOff { .. }
            | Self::Batch(_)
            | Self::StanBlock { .. } => None,
        }
    }

    /// When it was written, where it says so.
    #[must_use]
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Intent(intent) => Some(intent.at),
            Self::Outcome(outcome) => Some(outcome.at),
            Self::Intervention(intervention) => Some(intervention.at),
            Self::Tombstone { at, .. } | Self::SignedOn { at, .. } | Self::SignedOff { at, .. } => {
                Some(*at)
            }
            Self::Batch(record) => Some(record.at),
            Self::StanBlock { .. } => None,
        }
    }

    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Intent(intent) => intent.encode(out),
            Self::Outcome(outcome) => outcome.encode(out),
            Self::Intervention(intervention) => intervention.encode(out),
            Self::Tombstone {
                key,
                binding,
                batch,
                stan,
                at,
            } => framed(out, 3, |out| {
                put_key(out, *key);
                out.extend_from_slice(&binding.0.to_le_bytes());
                out.extend_from_slice(&batch.get().to_le_bytes());
                out.extend_from_slice(&stan.get().to_le_bytes());
                out.extend_from_slice(&at.0.to_le_bytes());
            }),
            Self::SignedOn { key, batch, at } => signed(out, 4, *key, *batch, *at),
            Self::SignedOff { key, batch, at } => signed(out, 5, *key, *batch, *at),
            Self::Batch(record) => framed(out, 9, |out| record.encode(out)),
            Self::StanBlock { group, date, end } => framed(out, 6, |out| {
                put_bytes(out, group.as_bytes());
                out.extend_from_slice(&date.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader(payload);
        let record = match kind {
            // Without message type and original, as the first layout had it.
            1 => {
                let mti = |_: &mut Reader<'_>| Ok(Mti::FINANCIAL_REQUEST);
                Self::Intent(Box::new(Intent::decode(&mut r, mti, |_| Ok(TxnId(0)))?))
            }
            7 => Self::Intent(Box::new(Intent::decode(&mut r, Reader::mti, |r| {
                r.u64().map(TxnId)
            })?)),
            2 => Self::Outcome(Outcome::decode(&mut r)?),
            3 => Self::Tombstone {
                key: r.key()?,
                binding: BindingId(r.u64()?),
                batch: r.batch()?,
                stan: r.stan()?,
                at: Timestamp(r.u64()?),
            },
            4 => Self::SignedOn {
                key: r.key()?,
                batch: r.batch()?,
                at: Timestamp(r.u64()?),
            },
            5 => Self::SignedOff {
                key: r.key()?,
                batch: r.batch()?,
                at: Timestamp(r.u64()?),
            },
            6 => Self::StanBlock {
                group: r.text()?.into(),
                date: r.u32()?,
                end: r.u64()?,
            },
            8 => Self::Intervention(Intervention::decode(&mut r)?),
            9 => Self::Batch(Box::new(BatchRecord::decode(&mut r)?)),
            _ => return Err(RecordError::Unknown),
        };
        if r.0.is_empty() {
            Ok(record)
        } else {
            Err(RecordError::Unknown)
        }
    }
}

impl Intent<'_> {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, 7, |out| {
            out.extend_from_slice(&self.txn.0.to_le_bytes());
            out.extend_from_slice(&self.at.0.to_le_bytes());
            put_key(out, self.key);
            out.extend_from_slice(self.merchant.as_bytes());
            out.extend_from_slice(&self.binding.0.to_le_bytes());
            out.extend_from_slice(&self.version.to_le_bytes());
            out.extend_from_slice(&self.account.0.to_le_bytes());
            out.push(u8::from(self.held));
            out.push(index_of(&RequestType::ALL, &self.kind));
            out.push(index_of(&FATES, &self.fate));
            out.push(self.sign.to_le_bytes()[0]);
            out.extend_from_slice(&self.mti.packed().to_le_bytes());
            put_bytes(out, self.request.as_bytes());
            put_bytes(out, self.dialect.as_bytes());
            out.extend_from_slice(&self.batch.get().to_le_bytes());
            out.extend_from_slice(&self.stan.get().to_le_bytes());
            put_bytes(out, self.group.as_bytes());
            out.extend_from_slice(&self.upstream_stan.get().to_le_bytes());
            out.extend_from_slice(&self.amount.minor.to_le_bytes());
            out.extend_from_slice(self.amount.currency.as_bytes());
            put_bytes(out, self.pan.as_str().as_bytes());
            out.extend_from_slice(&self.pan_hash);
            put_bytes(out, &self.sealed_pan);
            out.extend_from_slice(&self.content.to_le_bytes());
            out.extend_from_slice(&self.original.0.to_le_bytes());
            put_bytes(out, &self.reversal);
            put_bytes(out, &self.envelope);
        });
    }
}

impl Intent<'static> {
    fn decode<'r>(
        r: &mut Reader<'r>,
        mti: impl FnOnce(&mut Reader<'r>) -> Result<Mti, RecordError>,
        original: impl FnOnce(&mut Reader<'r>) -> Result<TxnId, RecordError>,
    ) -> Result<Self, RecordError> {
        Ok(Self {
            txn: TxnId(r.u64()?),
            at: Timestamp(r.u64()?),
            key: r.key()?,
            merchant: MerchantId::from_padded(r.array()?),
            binding: BindingId(r.u64()?),
            version: r.u32()?,
            account: AccountId(r.u32()?),
            held: r.u8()? != 0,
            kind: *RequestType::ALL
                .get(usize::from(r.u8()?))
                .ok_or(RecordError::Value)?,
            fate: *FATES.get(usize::from(r.u8()?)).ok_or(RecordError::Value)?,
            sign: i8::from_le_bytes(r.array()?),
            mti: mti(r)?,
            request: r.text()?,
            dialect: r.text()?,
            batch: r.batch()?,
            stan: r.stan()?,
            group: r.text()?,
            upstream_stan: r.stan()?,
            amount: Amount {
                minor: r.u64()?,
                currency: Currency::from_slice(&r.array::<3>()?).ok_or(RecordError::Value)?,
            },
            pan: MaskedPan::of(r.bytes()?),
            pan_hash: r.array()?,
            sealed_pan: r.bytes()?.to_vec().into(),
            content: r.u64()?,
            original: original(r)?,
            reversal: r.bytes()?.to_vec().into(),
            envelope: r.bytes()?.to_vec().into(),
        })
    }
}

impl Outcome {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, 2, |out| {
            out.extend_from_slice(&self.txn.0.to_le_bytes());
            out.extend_from_slice(&self.at.0.to_le_bytes());
            out.push(index_of(&OutcomeKind::ALL, &self.kind));
            out.extend_from_slice(&self.code);
            out.extend_from_slice(&self.booked.to_le_bytes());
            put_bytes(out, &self.answer);
        });
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            txn: TxnId(r.u64()?),
            at: Timestamp(r.u64()?),
            kind: *OutcomeKind::ALL
                .get(usize::from(r.u8()?))
                .ok_or(RecordError::Value)?,
            code: r.array()?,
            booked: r.u64()?,
            answer: r.bytes()?.into(),
        })
    }
}

impl Intervention {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, 8, |out| {
            out.extend_from_slice(&self.txn.0.to_le_bytes());
            out.extend_from_slice(&self.at.0.to_le_bytes());
            out.push(index_of(&Verb::ALL, &self.verb));
            put_bytes(out, self.name.as_str().as_bytes());
            put_bytes(out, self.note.as_str().as_bytes());
        });
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            txn: TxnId(r.u64()?),
            at: Timestamp(r.u64()?),
            verb: *Verb::ALL
                .get(usize::from(r.u8()?))
                .ok_or(RecordError::Value)?,
            name: PersonName::from_stored(&r.text()?),
            note: Note::from_stored(&r.text()?),
        })
    }
}

const FATES: [Fate; 3] = [Fate::Reverse, Fate::Repeat, Fate::Expire];

#[cfg(test)]
pub(crate) mod tests;
