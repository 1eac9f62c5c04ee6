//! Answers that the gateway makes itself.

use bytes::BytesMut;

use super::codes::ResponseCode;
use super::encode::FieldValue;
use super::error::EncodeError;
use super::message::Message;
use super::request::Request;

/// Appends the answer to `message` with `code` in DE39: MTI + 10, the envelope turned round, the fields that
/// the row's `answer_echo` names copied, `extras` (ascending) merged in and winning over echoed ones.
///
/// A request without a row gets the dialect's own list of echoed fields.
///
/// # Errors
/// An extra that the dialect refuses, or extras out of order; `out` is then as it was.
pub fn answer(
    message: &Message<'_>,
    request: Option<&Request>,
    code: ResponseCode,
    extras: &[(u8, FieldValue<'_>)],
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let dialect = message.dialect();
    let echo = request.map_or_else(|| dialect.answer_echo(), |row| row.answer_echo);
    let mut echoed = message.fields().intersection(echo).without(1);
    let code = (
        dialect.roles().response_code,
        FieldValue::Text(code.as_bytes()),
    );
    let mut writer = dialect.write(out);
    writer.envelope_answering(message.envelope());
    writer.mti(message.mti().answer());
    let before = extras.iter().take_while(|(de, _)| *de < code.0);
    let after = extras.iter().skip_while(|(de, _)| *de <= code.0);
    for (de, value) in before.chain([&code]).chain(after) {
        writer.copy_set(message, echoed.below(*de));
        writer.value(*de, *value);
        echoed = echoed.above(*de);
    }
    writer.copy_set(message, echoed);
    writer.finish()
}
