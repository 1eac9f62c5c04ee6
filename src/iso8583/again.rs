//! A message written anew from its values.

use std::borrow::Cow;

use bytes::BytesMut;

use super::error::EncodeError;
use super::message::Message;
use super::subfield::PartError;

/// Appends `message` to `out`, length prefix included, each field written from its value and fields that divide
/// from their parts: what a dialect can both read and write comes out as it went in, but for filling that
/// carries nothing (an odd nibble, the case of hexadecimal digits).
///
/// # Errors
/// A value that the dialect would not write.
pub fn again(message: &Message<'_>, out: &mut BytesMut) -> Result<(), EncodeError> {
    let mut writer = message.dialect().write(out);
    writer.envelope_raw(message.envelope());
    writer.mti(message.mti());
    writer.bitmaps_of(message);
    for de in message.content_fields().iter() {
        let value = message.value(de).unwrap_or_default();
        let rebuilt = rebuilt(message, de, &value);
        writer.field(de, rebuilt.as_deref().unwrap_or(&value));
    }
    writer.finish()
}

/// The value made from its parts; `None` where it has none or they do not read.
fn rebuilt(message: &Message<'_>, de: u8, value: &[u8]) -> Option<Vec<u8>> {
    let layout = message.dialect().layout(de)?;
    layout.write(&layout.read(value).ok()?).ok()
}

impl Message<'_> {
    /// The first field whose parts break their layout, with what is wrong.
    #[must_use]
    pub fn broken_part(&self) -> Option<(u8, PartError)> {
        let broken = |de: u8| {
            let layout = self.dialect().layout(de)?;
            let value: Cow<'_, [u8]> = self.value(de)?;
            layout.read(&value).err().map(|error| (de, error))
        };
        self.content_fields().iter().find_map(broken)
    }
}
