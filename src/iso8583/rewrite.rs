//! A message sent on with another envelope, some fields dropped and some replaced.

use bytes::BytesMut;

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
    if message.has(1) {
        writer.second_bitmap();
    }
    let present = message.fields().without(1);
    let dropped = present.intersection(how.drop);
    let mut done = 0;
    for (de, value) in how.set {
        copy_before(message, &mut writer, present, dropped, done, *de);
        writer.value(*de, *value);
        done = *de;
    }
    copy_before(message, &mut writer, present, dropped, done, 129);
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
                .unwrap_or_else(|| message.frame().len());
            writer.run(run, message.frame().get(from..to).unwrap_or_default());
        }
        match drop {
            None => return,
            Some(de) => done = de,
        }
    }
}
