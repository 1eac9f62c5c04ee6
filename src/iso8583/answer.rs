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
    let characters = code.characters();
    let code = (dialect.roles().response_code, FieldValue::Text(&characters));
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

/// The elements by which a reversal names its original, in the field that the dialect has for it.
///
/// In a field of fixed length (DE90 of 1987): message type, DE11, DE7, DE32 and DE33, zeros where one is absent. In
/// one of variable length (DE56 of 1993): message type, DE11, the local date and time, and DE32, in 1993 behind its length.
#[must_use]
pub fn original_elements(original: &Message<'_>) -> Vec<u8> {
    let dialect = original.dialect();
    let (roles, field) = (dialect.roles(), dialect.reversal().original_field);
    let variable = dialect.field(field).is_some_and(|field| field.variable);
    let mut out = Vec::with_capacity(42);
    out.extend_from_slice(&original.mti().ascii());
    let mut put = |de: u8, width: usize| {
        let digits = original.digits(de);
        let digits = digits.as_deref().unwrap_or_default();
        let digits = digits.get(..width).unwrap_or(digits);
        out.extend(std::iter::repeat_n(
            b'0',
            width.saturating_sub(digits.len()),
        ));
        out.extend_from_slice(digits);
    };
    if variable {
        let width = |de| dialect.field(de).map_or(0, |field| usize::from(field.max));
        put(roles.stan, width(roles.stan));
        put(roles.time, width(roles.time));
        if let Some(acquirer) = original.digits(ACQUIRER) {
            // In 1993 the rest takes a length and eleven digits, in 2003 eleven digits.
            if out.len().saturating_add(ACQUIRER_DIGITS_MAX) < width(field) {
                out.extend_from_slice(format!("{:02}", acquirer.len()).as_bytes());
            }
            out.extend_from_slice(&acquirer);
        }
    } else {
        for (de, width) in [
            (roles.stan, 6),
            (TRANSMITTED, 10),
            (ACQUIRER, 11),
            (FORWARDER, 11),
        ] {
            put(de, width);
        }
    }
    out
}

/// Transmission date and time, acquiring and forwarding institution.
const TRANSMITTED: u8 = 7;
const ACQUIRER: u8 = 32;
const ACQUIRER_DIGITS_MAX: usize = 11;
const FORWARDER: u8 = 33;

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

    #[test]
    fn originals_are_named_by_their_elements_as_each_edition_does() {
        let check = |dialect: &str, mti: &str, time: &str, expect: &str| {
            let dialect = Dialect::shipped(dialect).unwrap();
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.mti(Mti::parse(mti).unwrap());
            writer.digits(7, b"1122101500");
            writer.number(11, 7);
            writer.digits(12, time.as_bytes());
            writer.digits(32, b"12345678901");
            writer.finish().unwrap();
            let mut index = Index::new();
            let message = dialect.decode(&out[2..], &mut index).unwrap();
            let elements = original_elements(&message);
            assert_eq!(str::from_utf8(&elements), Ok(expect));
            let most = dialect
                .field(dialect.reversal().original_field)
                .unwrap()
                .max;
            assert!(elements.len() <= most.into());
        };
        check(
            "iso8583-1987-binary",
            "0200",
            "181500",
            "020000000711221015001234567890100000000000",
        );
        check(
            "iso8583-1993-binary",
            "1200",
            "261122181500",
            "12000000072611221815001112345678901",
        );
        check(
            "iso8583-2003-ascii",
            "2200",
            "20261122181500",
            "22000000000000072026112218150012345678901",
        );
    }
}
