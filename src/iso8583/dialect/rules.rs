//! What a dialect says beside its fields: framing, which field plays which part, reversals, keeping links alive.

use std::time::Duration;

use super::table::SubField;
use crate::iso8583::LengthEncoding;
use crate::iso8583::codes::ResponseCode;
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::mti::Mti;

/// What stands around a message on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Bytes of the length prefix, 1 to 4 (ASCII: up to 5).
    pub length_bytes: usize,
    /// How it is written.
    pub length_encoding: LengthEncoding,
    /// Whether the length counts the prefix itself.
    pub length_counts_itself: bool,
    /// TPDU of a message that the gateway begins, empty when the dialect has none.
    pub tpdu: Vec<u8>,
    /// Application header of a message that the gateway begins, empty when the dialect has none.
    pub header: Vec<u8>,
    /// Nibble of the header, from 1, that an answer sets to zero (handling requirement).
    pub header_cleared_nibble: Option<u8>,
}

impl Framing {
    /// Bytes of TPDU and header together.
    #[must_use]
    pub fn envelope_bytes(&self) -> usize {
        self.tpdu.len().saturating_add(self.header.len())
    }

    /// Longest frame, prefix not counted, that the prefix can announce.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        let most = self.length_encoding.max(self.length_bytes);
        let own = if self.length_counts_itself {
            self.length_bytes
        } else {
            0
        };
        most.saturating_sub(own)
    }
}

/// Which data element plays which part. 0 where the dialect has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Card number.
    pub pan: u8,
    /// Processing code.
    pub processing_code: u8,
    /// Amount.
    pub amount: u8,
    /// Currency of the amount.
    pub currency: u8,
    /// System trace audit number.
    pub stan: u8,
    /// Local time, hhmmss.
    pub time: u8,
    /// Local date, MMDD.
    pub date: u8,
    /// Point-of-service entry mode.
    pub entry_mode: u8,
    /// Track 2.
    pub track2: u8,
    /// Track 3.
    pub track3: u8,
    /// Retrieval reference number.
    pub rrn: u8,
    /// Authorisation code.
    pub approval_code: u8,
    /// Response code.
    pub response_code: u8,
    /// Terminal id.
    pub terminal: u8,
    /// Merchant id.
    pub merchant: u8,
    /// PIN block.
    pub pin: u8,
    /// Security control information (how the PIN block was made).
    pub security: u8,
    /// Chip data.
    pub icc: u8,
    /// Message authentication code; always the last field.
    pub mac: u8,
    /// Batch number.
    pub batch: Option<SubField>,
    /// Network management code.
    pub management: Option<SubField>,
    /// How a void, refund or completion names its original.
    pub original: OriginalRoles,
    /// How a reversal names its original.
    pub reversed: OriginalRoles,
}

/// Where a message names the transaction it refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginalRoles {
    /// Message type of the original.
    pub mti: Option<SubField>,
    /// Batch of the original.
    pub batch: Option<SubField>,
    /// STAN of the original.
    pub stan: Option<SubField>,
    /// Date of the original, MMDD.
    pub date: Option<SubField>,
}

/// How this dialect reverses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReversalRules {
    /// Message type of a reversal.
    pub mti: Mti,
    /// Message type when the same reversal is sent again.
    pub repeat_mti: Mti,
    /// Field that carries the reason, 0 when none does.
    pub reason_field: u8,
    /// Reason: no answer in time.
    pub timeout: ResponseCode,
    /// Reason: the answer's MAC was wrong.
    pub mac: ResponseCode,
    /// Reason: anything else.
    pub other: ResponseCode,
    /// What a terminal's reversal of an unknown original is answered. One of the codes that acknowledge.
    pub unknown_original: ResponseCode,
    /// Field that names the original by its elements (DE90), 0 when none does.
    pub original_field: u8,
}

/// What makes a request a repeat, and how one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatRules {
    /// How long the same batch and STAN of a terminal mean the same request.
    pub window: Duration,
    /// Whether the message type of a request that is sent again says so: 0220 becomes 0221.
    pub marked: bool,
}

impl RepeatRules {
    /// What holds when a dialect says nothing: a day, and the same message type again.
    pub const USUAL: Self = Self {
        window: Duration::from_secs(24 * 3_600),
        marked: false,
    };

    /// Message type of a request that is sent again.
    #[must_use]
    pub const fn mti(&self, first: Mti) -> Mti {
        if self.marked { first.repeat() } else { first }
    }
}

/// A message that the gateway itself sends upstream.
#[derive(Clone, Debug)]
pub struct NetworkMessage {
    /// Message type.
    pub mti: Mti,
    /// Fields with a fixed value, ascending: data element and its digits or characters.
    pub fixed: Vec<(u8, Vec<u8>)>,
    /// Fields that the sender fills in (trace number, date and time, terminal).
    pub filled: FieldSet,
}

/// What keeps a link to an upstream alive.
#[derive(Clone, Debug, Default)]
pub struct NetworkRules {
    /// Sign-on, where the network wants one.
    pub sign_on: Option<NetworkMessage>,
    /// Sign-off.
    pub sign_off: Option<NetworkMessage>,
    /// Line test.
    pub echo: Option<NetworkMessage>,
}
