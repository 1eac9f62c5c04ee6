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
    let mut echoed = message.content_fields().intersection(echo);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::dialect::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    #[test]
    fn extras_join_the_echoed_fields_and_win() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut sign_on = BytesMut::new();
        let mut writer = dialect.write(&mut sign_on);
        writer.envelope_raw(&[0x60, 0, 1, 0, 2, 0x60, 0x31, 0x05, 0x31, 0, 0]);
        writer.mti(Mti::parse("0800").unwrap());
        writer.number(11, 1);
        writer.text(41, b"T0000001");
        writer.text(42, b"M00000000000001");
        writer.digits(60, b"00000000003");
        writer.text(63, b"001");
        writer.finish().unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&sign_on[2..], &mut index).unwrap();
        let extras = [
            (12, FieldValue::Digits(b"101500")),
            (13, FieldValue::Digits(b"1122")),
            (39, FieldValue::Text(b"99")),
            (60, FieldValue::Digits(b"00000007003")),
        ];
        let row = dialect.classify(&message);
        assert_eq!(row.map(|row| row.name.as_str()), Some("sign-on"));
        let mut out = BytesMut::new();
        answer(&message, row, ResponseCode::APPROVED, &extras, &mut out).unwrap();
        let mut index = Index::new();
        let answer = dialect.decode(&out[2..], &mut index).unwrap();
        assert_eq!(answer.mti(), Mti::parse("0810").unwrap());
        assert_eq!(
            answer.fields().iter().collect::<Vec<_>>(),
            [11, 12, 13, 39, 41, 42, 60]
        );
        assert_eq!(answer.response_code(), Some(ResponseCode::APPROVED));
        assert_eq!(answer.batch().map(|batch| batch.get()), Some(7));
        assert_eq!(answer.match_key(), message.match_key());
        assert_eq!(answer.envelope()[..8], [0x60, 0, 2, 0, 1, 0x60, 0x31, 0]);
    }

    #[test]
    fn a_broken_request_is_answered_with_what_was_readable() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut sale = BytesMut::new();
        let mut writer = dialect.write(&mut sale);
        writer.envelope_default();
        writer.mti(Mti::parse("0200").unwrap());
        writer.element(4, &[0xFF; 6]);
        writer.number(11, 123);
        writer.text(41, b"T0000001");
        writer.finish().unwrap();
        let mut index = Index::new();
        let (message, error) = dialect.decode_partial(&sale[2..], &mut index);
        assert_eq!(error.and_then(|error| error.field()), Some(4));
        let mut out = BytesMut::new();
        let code = ResponseCode::new(*b"30");
        answer(&message.unwrap(), None, code, &[], &mut out).unwrap();
        let mut index = Index::new();
        let answer = dialect.decode(&out[2..], &mut index).unwrap();
        assert_eq!(answer.fields().iter().collect::<Vec<_>>(), [11, 39, 41]);
    }
}
