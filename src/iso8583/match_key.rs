//! The key by which an answer finds its request, and what both must have alike beside it.

use crate::base::{Stan, TerminalId};

use super::fieldset::FieldSet;
use super::message::Message;
use super::mti::Mti;

/// Class of message, terminal id and STAN: equal for a request, its repeats and its answer.
///
/// Layout: class (1), DE41 (8), STAN as three bytes big-endian (3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatchKey([u8; 12]);

impl MatchKey {
    /// The key of a message type, terminal and STAN.
    #[must_use]
    pub fn new(mti: Mti, terminal: TerminalId, stan: Stan) -> Self {
        Self::of(mti.class_key(), *terminal.as_bytes(), stan)
    }

    /// The key of a request that goes out under the group's own STAN, which is unique without a terminal id.
    #[must_use]
    pub fn own(class_key: u8, stan: Stan) -> Self {
        Self::of(class_key, [0; 8], stan)
    }

    /// The same class and terminal with another STAN.
    #[must_use]
    pub fn with_stan(self, stan: Stan) -> Self {
        let [class, a, b, c, d, e, f, g, h, _, _, _] = self.0;
        Self::of(class, [a, b, c, d, e, f, g, h], stan)
    }

    /// Version and class digits of the message type.
    #[must_use]
    pub const fn class_key(&self) -> u8 {
        let [class, ..] = self.0;
        class
    }

    /// The STAN.
    #[must_use]
    pub const fn stan(&self) -> Option<Stan> {
        let [.., x, y, z] = self.0;
        Stan::new(u32::from_be_bytes([0, x, y, z]))
    }

    /// The twelve bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    const fn of(class: u8, terminal: [u8; 8], stan: Stan) -> Self {
        let [a, b, c, d, e, f, g, h] = terminal;
        let [_, x, y, z] = stan.get().to_be_bytes();
        Self([class, a, b, c, d, e, f, g, h, x, y, z])
    }
}

/// What shows that an answer is not that of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Both have the field, with different values.
    #[error("DE{0} differs")]
    Differs(u8),
    /// The answer lacks a field by which it is matched.
    #[error("DE{0} is missing")]
    Missing(u8),
    /// It answers another kind of message.
    #[error("MTI differs")]
    Mti,
}

/// The fields by which answers are matched, by the class digit of their message type; none of a class of which
/// the dialect says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matching([FieldSet; 10]);

impl Matching {
    /// The fields of the type's class.
    pub(super) fn of(&self, mti: Mti) -> FieldSet {
        let class = usize::from(mti.class_key() & 0x0F);
        self.0.get(class).copied().unwrap_or_default()
    }

    /// Sets the fields of the type's class.
    pub(super) fn set(&mut self, mti: Mti, fields: FieldSet) {
        let class = usize::from(mti.class_key() & 0x0F);
        if let Some(slot) = self.0.get_mut(class) {
            *slot = fields;
        }
    }
}

impl Message<'_> {
    /// Whether this answers `request`, by message type and the fields in which both must be equal: those that the
    /// dialect names for the class, else trace number and terminal.
    ///
    /// # Errors
    /// What tells them apart.
    pub fn answers(&self, request: &Message<'_>) -> Result<(), Mismatch> {
        if request.mti().answer() != self.mti() {
            return Err(Mismatch::Mti);
        }
        let roles = self.dialect().roles();
        let named = self.dialect().matched(self.mti());
        self.agrees(
            request,
            if named.is_empty() {
                FieldSet::EMPTY.with(roles.stan).with(roles.terminal)
            } else {
                named
            },
        )
    }

    /// Whether this has the same value as `request` in each of these fields that the request has. Allocates only
    /// where the bytes differ.
    ///
    /// # Errors
    /// The lowest field that tells them apart.
    pub fn agrees(&self, request: &Message<'_>, fields: FieldSet) -> Result<(), Mismatch> {
        // Bytes may differ in the padding of an odd digit, and values then still be the same.
        let same = |de| {
            let bytes = (self.length(de), self.field(de));
            bytes == (request.length(de), request.field(de)) || self.value(de) == request.value(de)
        };
        for de in fields.intersection(request.fields()).iter() {
            if !self.has(de) {
                return Err(Mismatch::Missing(de));
            }
            if !same(de) {
                return Err(Mismatch::Differs(de));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::iso8583::dialect::Dialect;
    use crate::iso8583::encode::FieldValue;
    use crate::iso8583::index::Index;

    #[test]
    fn request_repeat_and_answer_share_a_key() {
        let terminal = TerminalId::parse("T1").unwrap();
        let stan = Stan::new(123_456).unwrap();
        let key = |mti| MatchKey::new(Mti::parse(mti).unwrap(), terminal, stan);
        assert_eq!(key("0400"), key("0401"));
        assert_eq!(key("0400"), key("0410"));
        assert_ne!(key("0400"), key("0200"));
        assert_eq!(
            key("0200").with_stan(stan.next()).with_stan(stan),
            key("0210")
        );
        assert_eq!(key("0210").stan(), Some(stan));
    }

    #[test]
    fn an_answer_is_told_from_another_by_the_first_field_that_differs() {
        let dialect = Dialect::shipped("iso8583-1987-binary").unwrap();
        let write = |mti: &str, fields: &[(u8, &str)]| {
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.mti(Mti::parse(mti).unwrap());
            for (de, text) in fields {
                writer.value(*de, FieldValue::Text(text.as_bytes()));
            }
            writer.finish().unwrap();
            out.split_off(2)
        };
        let check = |request: &[(u8, &str)], answer: &[(u8, &str)], expect| {
            let (request, answer) = (write("0200", request), write("0210", answer));
            let (mut index, mut other) = (Index::new(), Index::new());
            let request = dialect.decode(&request, &mut index).unwrap();
            let answer = dialect.decode(&answer, &mut other).unwrap();
            let fields = FieldSet::EMPTY.with(7).with(11).with(32).with(41);
            assert_eq!(answer.agrees(&request, fields), expect);
        };
        let request = [(7, "1122101500"), (11, "7"), (32, "123"), (41, "T1")];
        check(&request, &request, Ok(()));
        check(
            &request,
            &[(7, "1122101500"), (11, "8")],
            Err(Mismatch::Differs(11)),
        );
        check(&request, &request[..2], Err(Mismatch::Missing(32)));
        let longer = [(7, "1122101500"), (11, "7"), (32, "1230"), (41, "T1")];
        check(&request, &longer, Err(Mismatch::Differs(32)));
        check(&request[1..2], &request, Ok(()));
        assert_eq!(Mismatch::Differs(41).to_string(), "DE41 differs");
    }

    #[test]
    fn the_odd_digits_padding_tells_nothing_apart() {
        let dialect = Dialect::shipped("iso8583-1987-binary").unwrap();
        let frame = |last: u8| {
            // DE11 and DE32 of three digits.
            let fields = [0, 0, 7, 3, 0x12, last];
            [&[2, 0, 0, 0x20, 0, 1, 0, 0, 0, 0][..], &fields].concat()
        };
        let (one, other) = (frame(0x30), frame(0x3F));
        let (mut index, mut second) = (Index::new(), Index::new());
        let one = dialect.decode_structure(&one, &mut index).unwrap();
        let other = dialect.decode_structure(&other, &mut second).unwrap();
        assert_ne!(one.field(32), other.field(32));
        assert_eq!(
            one.agrees(&other, FieldSet::EMPTY.with(11).with(32)),
            Ok(())
        );
    }
}
