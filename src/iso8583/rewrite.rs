//! A message sent on with another envelope, some fields dropped and some replaced.

use bytes::BytesMut;

use super::encode::FieldValue;
use super::error::EncodeError;
use super::fieldset::FieldSet;
use super::message::Message;

/// Where the envelope of an outgoing message comes from.
#[derive(Clone, Copy, Debug)]
pub enum Envelope<'a> {
    /// These bytes, as they are.
    Raw(&'a [u8]),
    /// The answer to a request with this envelope.
    Answering(&'a [u8]),
}

/// What changes when a message is sent on.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<'a> {
    /// The new envelope.
    pub envelope: Envelope<'a>,
    /// Fields left out. A field in `set` is written even when it is also named here.
    pub drop: FieldSet,
    /// Fields replaced or added, ascending.
    pub set: &'a [(u8, FieldValue<'a>)],
}

/// Appends `message`, changed as `how` says, to `out`, length prefix included.
///
/// Where every new value takes the room of the one it replaces, and only fields behind the last kept one are dropped,
/// the fields are copied in one piece and patched in place. Otherwise what stands between two changes is copied in
/// one piece, padding and all: the cost grows with the number of changes, not with the number of fields.
///
/// # Errors
/// A new value that the dialect refuses, or fields out of order; `out` is then as it was.
pub fn rewrite(
    message: &Message<'_>,
    how: &Rewrite<'_>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let mut writer = message.dialect().write(out);
    match how.envelope {
        Envelope::Raw(bytes) => writer.envelope_raw(bytes),
        Envelope::Answering(request) => writer.envelope_answering(request),
    }
    writer.mti(message.mti());
    // A second bitmap is kept even when nothing in it is set: some hosts always send one.
    writer.bitmaps_of(message);
    let mut kept = message.content_fields().difference(how.drop);
    if writer.patch(message, kept, how.set) {
        return writer.finish();
    }
    for (de, value) in how.set {
        writer.copy_set(message, kept.below(*de));
        writer.value(*de, *value);
        kept = kept.above(*de);
    }
    writer.copy_set(message, kept);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Stan;
    use crate::iso8583::dialect::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    #[test]
    fn fields_are_dropped_replaced_and_added_in_their_places() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut sale = BytesMut::new();
        let mut writer = dialect.write(&mut sale);
        writer.envelope_default();
        writer.mti(Mti::parse("0200").unwrap());
        writer.number(4, 12_345);
        writer.number(11, 123);
        writer.text(41, b"T0000001");
        writer.bytes(64, b"12345678");
        writer.finish().unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&sale[2..], &mut index).unwrap();
        let envelope = [0x60, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0];
        let how = Rewrite {
            envelope: Envelope::Raw(&envelope),
            drop: FieldSet::EMPTY.with(64).with(2),
            set: &[
                (11, FieldValue::Number(999)),
                (32, FieldValue::Digits(b"00010000")),
                (63, FieldValue::Text(b"CUP")),
            ],
        };
        let mut out = BytesMut::new();
        rewrite(&message, &how, &mut out).unwrap();
        let mut index = Index::new();
        let there = dialect.decode(&out[2..], &mut index).unwrap();
        assert_eq!(
            there.fields().iter().collect::<Vec<_>>(),
            [4, 11, 32, 41, 63]
        );
        assert_eq!(there.envelope(), envelope);
        assert_eq!(there.number(4), Some(12_345));
        assert_eq!(there.stan(), Stan::new(999));
        assert_eq!(there.field(63), Some(&b"CUP"[..]));
        let how = Rewrite {
            set: &[(32, FieldValue::Number(1)), (11, FieldValue::Number(1))],
            ..how
        };
        let before = out.clone();
        assert!(rewrite(&message, &how, &mut out).is_err());
        assert_eq!(out, before);
    }
}
