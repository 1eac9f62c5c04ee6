//! Reversals and repeats, written from what the journal may keep of the original.
//!
//! While the process lives the original could be taken from memory, after a crash only from the journal.
//! Both go the same way, so that a reversal does not depend on when it is sent.

use bytes::Bytes;

use super::kept::{kept, opened};
use super::local::replaced;
use super::{EnvelopeBytes, MAC_FIELDS, UpstreamGroup, with_buffer};
use crate::base::{Pan, Stan};
use crate::iso8583::{
    self, Dialect, EncodeError, Envelope, FieldSet, FieldValue, Index, Message, Mti, Request,
    ResponseCode, Rewrite,
};
use crate::security::DataKeys;
use crate::store::Intent;
use crate::store::projection::kept_element;

/// An original as far as it may be kept: no track, no PIN block, no chip data.
#[derive(Debug)]
pub(super) struct Original<'a> {
    /// TPDU and header towards the upstream.
    envelope: EnvelopeBytes,
    mti: Mti,
    /// STAN towards the upstream.
    stan: Stan,
    pan: Option<Pan>,
    /// Elements as the journal keeps them.
    elements: Vec<u8>,
    row: &'a Request,
}

impl<'a> Original<'a> {
    /// From the request as it was sent upstream. `None` when it does not decode, which nothing sent does.
    pub(super) fn of_sent(
        upstream: &UpstreamGroup,
        frame: &[u8],
        row: &'a Request,
    ) -> Option<Self> {
        let mut index = Index::new();
        let sent = message_of(&upstream.dialect, frame, &mut index)?;
        Some(Self {
            envelope: EnvelopeBytes::new(sent.envelope()),
            mti: sent.mti(),
            stan: sent.stan()?,
            pan: sent.pan(),
            elements: kept(&sent, row.reversal_copies).in_clear(),
            row,
        })
    }

    /// From its intent. `None` when what is sealed in it cannot be opened with these keys, or when the dialect
    /// has no such request any more.
    pub(super) fn of_intent(
        upstream: &'a UpstreamGroup,
        intent: &Intent<'_>,
        keys: &DataKeys,
    ) -> Option<Self> {
        let pan = if intent.sealed_pan.is_empty() {
            None
        } else {
            Some(keys.open_pan(&intent.sealed_pan, intent.txn)?)
        };
        let mut envelope = EnvelopeBytes::new(&intent.envelope);
        envelope.set_start(&upstream.tpdu);
        Some(Self {
            envelope,
            mti: intent.mti,
            stan: intent.upstream_stan,
            pan,
            elements: opened(&intent.reversal, keys, intent.txn)?,
            row: upstream.dialect.request(&intent.request)?,
        })
    }

    /// STAN towards the upstream.
    pub(super) const fn stan(&self) -> Stan {
        self.stan
    }

    /// Message type as it was sent.
    pub(super) const fn mti(&self) -> Mti {
        self.mti
    }

    /// Writes what is kept as a message of its own.
    fn write(&self, dialect: &Dialect, mti: Mti) -> Option<Bytes> {
        let roles = dialect.roles();
        let (made, frame) = with_buffer(|out| {
            let mut writer = dialect.write(out);
            writer.envelope_raw(self.envelope.as_slice());
            writer.mti(mti);
            for de in 2..=FieldSet::LAST {
                if de == roles.stan {
                    writer.number(de, u64::from(self.stan.get()));
                } else if de == roles.pan {
                    if let Some(pan) = &self.pan
                        && self.row.reversal_copies.contains(de)
                    {
                        writer.digits(de, pan.expose());
                    }
                } else if let Some(element) = kept_element(&self.elements, de)
                    && self.row.reversal_copies.contains(de)
                    && !MAC_FIELDS.contains(de)
                {
                    writer.kept(de, element);
                }
            }
            writer.finish()
        });
        made.ok().map(|()| frame)
    }

    /// What is kept of it, as a message of its own.
    pub(super) fn as_message(&self, dialect: &Dialect) -> Option<Bytes> {
        self.write(dialect, self.mti)
    }

    /// Its reversal: what the dialect says a reversal copies, the reason, and the original's elements where
    /// the dialect names them.
    pub(super) fn reversal(&self, dialect: &Dialect, reason: ResponseCode) -> Option<Bytes> {
        let rules = dialect.reversal();
        let original = self.write(dialect, self.mti)?;
        let mut index = Index::new();
        let original = message_of(dialect, &original, &mut index)?;
        let elements = iso8583::original_elements(&original);
        let reason = reason.characters();
        let mut set: Vec<_> = rules
            .fixed
            .iter()
            .map(|(de, value)| (*de, FieldValue::Text(value)))
            .collect();
        if rules.reason_field != 0 {
            set.push((rules.reason_field, FieldValue::Text(&reason)));
        }
        if rules.original_field != 0 {
            set.push((rules.original_field, FieldValue::Digits(&elements)));
        }
        set.sort_by_key(|(de, _)| *de);
        retyped(&original, rules.mti, &set)
    }

    /// The same request once more, under the message type that says so.
    pub(super) fn repeat(&self, dialect: &Dialect) -> Option<Bytes> {
        self.write(dialect, dialect.repeats().mti(self.mti))
    }
}

/// A request that was sent, under the message type of one that is sent again.
pub(super) fn as_repeated_request(dialect: &Dialect, frame: &Bytes) -> Bytes {
    let mut index = Index::new();
    message_of(dialect, frame, &mut index)
        .and_then(|sent| retyped(&sent, dialect.repeats().mti(sent.mti()), &[]))
        .unwrap_or_else(|| frame.clone())
}

/// A reversal that was sent, under the message type of one that is sent again.
pub(super) fn as_repeated_reversal(dialect: &Dialect, frame: &Bytes) -> Bytes {
    let mut index = Index::new();
    message_of(dialect, frame, &mut index)
        .and_then(|sent| retyped(&sent, dialect.reversal().repeat_mti, &[]))
        .unwrap_or_else(|| frame.clone())
}

/// A terminal's own reversal as it goes upstream.
pub(super) fn reversal_of_terminal(
    message: &Message<'_>,
    upstream: &UpstreamGroup,
    upstream_stan: Stan,
) -> Option<Bytes> {
    let roles = upstream.dialect.roles();
    let mut envelope = EnvelopeBytes::new(message.envelope());
    envelope.set_start(&upstream.tpdu);
    let reference = match roles.reversed.stan {
        Some(part) if part.field != roles.stan => replaced(message, part, upstream_stan.get()),
        _ => None,
    };
    let mut set = vec![(
        roles.stan,
        FieldValue::Number(u64::from(upstream_stan.get())),
    )];
    if let (Some(part), Some(digits)) = (roles.reversed.stan, &reference) {
        set.push((part.field, FieldValue::Digits(digits)));
    }
    set.sort_by_key(|(de, _)| *de);
    let how = Rewrite {
        envelope: Envelope::Raw(envelope.as_slice()),
        drop: MAC_FIELDS,
        set: &set,
    };
    let (made, frame) = with_buffer(|out| iso8583::rewrite(message, &how, out));
    made.ok().map(|()| frame)
}

/// The message in a frame with its length prefix.
pub(super) fn message_of<'m>(
    dialect: &'m Dialect,
    frame: &'m [u8],
    index: &'m mut Index,
) -> Option<Message<'m>> {
    let bytes = frame.get(dialect.framing().prefix_bytes()..)?;
    dialect.decode(bytes, index).ok()
}

/// The same fields under another message type, with some set (ascending).
fn retyped(message: &Message<'_>, mti: Mti, set: &[(u8, FieldValue<'_>)]) -> Option<Bytes> {
    made_from(message, mti, message.fields(), set).ok()
}

/// Some of a message's fields under another message type, with some set (ascending).
pub(super) fn made_from(
    message: &Message<'_>,
    mti: Mti,
    copies: FieldSet,
    set: &[(u8, FieldValue<'_>)],
) -> Result<Bytes, EncodeError> {
    let (made, frame) = with_buffer(|out| {
        let mut writer = message.dialect().write(out);
        writer.envelope_raw(message.envelope());
        writer.mti(mti);
        let mut left = message.fields().intersection(copies).without(1);
        for (de, value) in set {
            writer.copy_set(message, left.below(*de));
            writer.value(*de, *value);
            left = left.above(*de);
        }
        writer.copy_set(message, left);
        writer.finish()
    });
    made.map(|()| frame)
}
