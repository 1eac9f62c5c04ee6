//! A message sent on with another envelope, some fields dropped and some replaced.

use bytes::BytesMut;

use super::dialect::ThirdBitmap;
use super::encode::{FieldValue, Writer};
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
/// Fields between two changes are copied in one piece, padding and all: the cost grows with the number of
/// changes, not with the number of fields. The message must have been decoded whole.
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
    let present = message.content_fields();
    let dropped = present.intersection(how.drop);
    let mut done = 0;
    for (de, value) in how.set {
        copy_before(message, &mut writer, present, dropped, done, *de);
        writer.value(*de, *value);
        done = *de;
    }
    copy_before(
        message,
        &mut writer,
        present,
        dropped,
        done,
        FieldSet::LAST.wrapping_add(1),
    );
    writer.finish()
}

/// Copies what stands between the fields `done` and `until`, both excluded, without the dropped ones.
fn copy_before(
    message: &Message<'_>,
    writer: &mut Writer<'_>,
    present: FieldSet,
    dropped: FieldSet,
    mut done: u8,
    until: u8,
) {
    loop {
        let drop = dropped.above(done).below(until).first();
        let stop = drop.unwrap_or(until);
        let run = present.above(done).below(stop);
        if let Some(first) = run.first() {
            let from = message.element_start(first).unwrap_or(0);
            // The next field after the run begins where the run ends; after the last field the frame ends.
            let to = present
                .above(stop.saturating_sub(1))
                .first()
                .and_then(|next| message.element_start(next))
                .unwrap_or_else(|| message.end());
            // A third bitmap may stand among the fields.
            if message.dialect().third_place() == ThirdBitmap::InPlace {
                writer.copy_set(message, run);
            } else {
                writer.run(run, message.frame().get(from..to).unwrap_or_default());
            }
        }
        match drop {
            None => return,
            Some(de) => done = de,
        }
    }
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
