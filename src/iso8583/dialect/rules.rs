//! What a dialect says beside its fields: framing, which field plays which part, reversals, keeping links alive.

use std::ops::Range;
use std::time::Duration;

use super::table::{PartName, SubField};
use crate::iso8583::LengthEncoding;
use crate::iso8583::codes::ResponseCode;
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::mti::Mti;

/// What an answer does with a part of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeAnswer {
    /// Bytes 2 and 3 change places with bytes 4 and 5: source and destination of a TPDU.
    Swap,
    /// It is as in the request.
    Echo,
    /// It is the dialect's own.
    Fixed,
}

/// Nibbles of the header that have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPart {
    /// Its name.
    pub name: PartName,
    /// First nibble, from 0.
    pub from: usize,
    /// How many nibbles.
    pub count: usize,
}

/// Where the length stands among TPDU and header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthPlace {
    /// Before both.
    First,
    /// Between them.
    AfterTpdu,
    /// Behind both.
    AfterHeader,
}

/// What stands around a message on the stream: lead, length prefix, then the frame, which is TPDU, header,
/// message and trailer. Where the length stands behind a TPDU or header, the frame begins with those, and the
/// length is part of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Bytes before the length prefix, the same for every frame; mostly none.
    pub lead: Vec<u8>,
    /// Where the length stands.
    pub length_place: LengthPlace,
    /// Bytes of the length prefix, 1 to 4 (characters: up to 8).
    pub length_bytes: usize,
    /// How it is written.
    pub length_encoding: LengthEncoding,
    /// Bytes before the frame that the length counts: its own, and those of the lead.
    pub counted: usize,
    /// Bytes of the frame that the length leaves out: those of the envelope or of the trailer, and its own where
    /// it is part of the envelope.
    pub uncounted: usize,
    /// TPDU of a message that the gateway begins, empty when the dialect has none.
    pub tpdu: Vec<u8>,
    /// What an answer does with the TPDU.
    pub tpdu_answer: EnvelopeAnswer,
    /// Application header of a message that the gateway begins, empty when the dialect has none.
    pub header: Vec<u8>,
    /// What an answer does with the header.
    pub header_answer: EnvelopeAnswer,
    /// Nibble of the header, from 1, that an answer sets to zero (handling requirement).
    pub header_cleared_nibble: Option<u8>,
    /// What the nibbles of the header are, in their order.
    pub header_parts: Vec<HeaderPart>,
    /// Bytes of the header that an answer swaps: two stations.
    pub header_swapped: Option<[Range<usize>; 2]>,
    /// Bytes of the header that hold, in binary, how many bytes header and message have; at most four.
    pub header_length: Option<Range<usize>>,
    /// Bytes behind the message, the same for every frame; mostly none.
    pub trailer: Vec<u8>,
}

impl Framing {
    /// A length prefix before the message, and nothing else.
    #[must_use]
    pub const fn plain(length_bytes: usize, length_encoding: LengthEncoding) -> Self {
        Self {
            lead: Vec::new(),
            length_place: LengthPlace::First,
            length_bytes,
            length_encoding,
            counted: 0,
            uncounted: 0,
            tpdu: Vec::new(),
            tpdu_answer: EnvelopeAnswer::Swap,
            header: Vec::new(),
            header_answer: EnvelopeAnswer::Echo,
            header_cleared_nibble: None,
            header_parts: Vec::new(),
            header_swapped: None,
            header_length: None,
            trailer: Vec::new(),
        }
    }

    /// Bytes that stand before the frame: the lead, and the length where it comes first.
    #[must_use]
    pub const fn prefix_bytes(&self) -> usize {
        match self.length_place {
            LengthPlace::First => self.lead.len().saturating_add(self.length_bytes),
            LengthPlace::AfterTpdu | LengthPlace::AfterHeader => self.lead.len(),
        }
    }

    /// Bytes of TPDU and header together, and of the length where it stands behind one of them.
    #[must_use]
    pub const fn envelope_bytes(&self) -> usize {
        let both = self.tpdu.len().saturating_add(self.header.len());
        match self.length_place {
            LengthPlace::First => both,
            LengthPlace::AfterTpdu | LengthPlace::AfterHeader => {
                both.saturating_add(self.length_bytes)
            }
        }
    }

    /// Bytes of TPDU and header that stand before the length.
    #[must_use]
    pub const fn before_length(&self) -> usize {
        match self.length_place {
            LengthPlace::First => 0,
            LengthPlace::AfterTpdu => self.tpdu.len(),
            LengthPlace::AfterHeader => self.tpdu.len().saturating_add(self.header.len()),
        }
    }

    /// Where the header begins in the envelope.
    #[must_use]
    pub const fn header_at(&self) -> usize {
        match self.length_place {
            LengthPlace::First | LengthPlace::AfterHeader => self.tpdu.len(),
            LengthPlace::AfterTpdu => self.tpdu.len().saturating_add(self.length_bytes),
        }
    }

    /// TPDU and header of an envelope; what there is of a shorter one.
    #[must_use]
    pub fn parts_of<'e>(&self, envelope: &'e [u8]) -> (&'e [u8], &'e [u8]) {
        let tpdu = envelope.get(..self.tpdu.len()).unwrap_or(envelope);
        let header = envelope.get(self.header_at()..).unwrap_or_default();
        let header = header.get(..self.header.len()).unwrap_or(header);
        (tpdu, header)
    }

    /// The envelope that a TPDU and a header make. A length in it is written when the message is.
    #[must_use]
    pub fn envelope_of(&self, tpdu: &[u8], header: &[u8]) -> Vec<u8> {
        let length = vec![0; self.length_bytes];
        match self.length_place {
            LengthPlace::First => [tpdu, header].concat(),
            LengthPlace::AfterTpdu => [tpdu, &length, header].concat(),
            LengthPlace::AfterHeader => [tpdu, header, &length].concat(),
        }
    }

    /// How long header and message are in a frame of so many bytes: neither TPDU nor trailer counts, nor a length prefix
    /// that stands between them.
    #[must_use]
    pub const fn header_counts(&self, frame_bytes: usize) -> usize {
        let prefix = self
            .envelope_bytes()
            .saturating_sub(self.tpdu.len())
            .saturating_sub(self.header.len());
        frame_bytes
            .saturating_sub(self.tpdu.len())
            .saturating_sub(prefix)
            .saturating_sub(self.trailer.len())
    }

    /// How long header and message are as the header of an envelope says; `None` where headers do not say that.
    #[must_use]
    pub fn header_told(&self, envelope: &[u8]) -> Option<usize> {
        let place = self.header_length.clone()?;
        let (_, header) = self.parts_of(envelope);
        let bytes = header.get(place)?.iter();
        Some(bytes.fold(0, |told, byte| (told << 8) | usize::from(*byte)))
    }

    /// Writes into the header of a whole frame how long header and message are, where the header says that.
    pub fn tell_length(&self, frame: &mut [u8]) {
        let Some(place) = &self.header_length else {
            return;
        };
        let bytes = self.header_counts(frame.len()).to_be_bytes();
        let last = bytes.len().saturating_sub(place.len());
        let from = self.header_at().saturating_add(place.start);
        let slot = frame.get_mut(from..from.saturating_add(place.len()));
        if let (Some(slot), Some(bytes)) = (slot, bytes.get(last..)) {
            slot.copy_from_slice(bytes);
        }
    }

    /// The length that announces a frame of so many bytes, envelope and trailer among them.
    #[must_use]
    pub const fn announced(&self, frame_bytes: usize) -> usize {
        frame_bytes
            .saturating_add(self.counted)
            .saturating_sub(self.uncounted)
    }

    /// Bytes of the frame that a length announces; `None` when it announces less than what it counts before
    /// the frame. 0 announces nothing at all.
    #[inline]
    #[must_use]
    pub const fn frame_bytes(&self, announced: usize) -> Option<usize> {
        if announced == 0 {
            return Some(0);
        }
        match announced.checked_sub(self.counted) {
            Some(bytes) => Some(bytes.saturating_add(self.uncounted)),
            None => None,
        }
    }

    /// Longest frame that the prefix can announce.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        let most = self.length_encoding.max(self.length_bytes);
        most.saturating_sub(self.counted)
            .saturating_add(self.uncounted)
    }
}

/// Where a field has an amount together with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountParts {
    /// Currency, three digits.
    pub currency: SubField,
    /// Amount in minor units.
    pub amount: SubField,
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
    /// Currency of the amount; none where the amount's own field has it.
    pub currency: u8,
    /// Parts of the amount's field that are currency and amount, where it has both.
    pub amount_parts: Option<AmountParts>,
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
    /// Field with the upstream's reference number of the original; 0 when a request's own is there.
    pub rrn: u8,
    /// Field with the upstream's authorisation code of the original; 0 when there is none.
    pub approval_code: u8,
}

/// How this dialect reverses.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Field that names the original by its elements (DE90, DE56), 0 when none does.
    pub original_field: u8,
    /// Fields that every reversal has with the same value, ascending: a function code.
    pub fixed: Vec<(u8, Vec<u8>)>,
}

impl ReversalRules {
    /// What stands where a dialect has no requests and so reverses nothing.
    pub(super) const USUAL: Self = Self {
        mti: Mti::REVERSAL,
        repeat_mti: Mti::REVERSAL.repeat(),
        reason_field: 0,
        timeout: ResponseCode::APPROVED,
        mac: ResponseCode::APPROVED,
        other: ResponseCode::APPROVED,
        unknown_original: ResponseCode::APPROVED,
        original_field: 0,
        fixed: Vec::new(),
    };
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
