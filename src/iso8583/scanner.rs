//! Some fields of a frame, for whoever only routes it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::base::{Amount, MerchantId, Stan, TerminalId};

use super::codes::ResponseCode;
use super::dialect::Dialect;
use super::digits::Digits;
use super::error::DecodeError;
use super::fieldset::FieldSet;
use super::index::Index;
use super::match_key::MatchKey;
use super::message::Message;
use super::mti::Mti;

/// Why there is no scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScannerError {
    /// A field was named that the dialect does not define, or one that is a bitmap.
    #[error("DE{field} is not defined")]
    Undefined {
        /// Data element.
        field: u8,
    },
}

/// Reads the named fields of frames in one dialect: bitmaps, the lengths of the fields before, the values of the
/// named ones. What stands behind the last named field that a frame has is not looked at, so a frame that scans
/// need not be sound; one that is sound always scans.
///
/// Nothing is copied or allocated. Made once and shared; scanning does not change it.
#[derive(Clone, Debug)]
pub struct Scanner {
    dialect: Arc<Dialect>,
    wanted: FieldSet,
}

impl Scanner {
    /// A scanner for these fields, in any order; with none it reads the message type and checks the bitmaps.
    ///
    /// # Errors
    /// The first of the fields that the dialect does not have.
    pub fn new(
        dialect: Arc<Dialect>,
        fields: impl IntoIterator<Item = u8>,
    ) -> Result<Self, ScannerError> {
        let mut wanted = FieldSet::EMPTY;
        for field in fields {
            if !dialect.defined().contains(field) {
                return Err(ScannerError::Undefined { field });
            }
            wanted.insert(field);
        }
        Ok(Self { dialect, wanted })
    }

    /// The fields it reads.
    #[must_use]
    pub const fn fields(&self) -> FieldSet {
        self.wanted
    }

    /// Reads the named fields of `frame`, everything after the length prefix, and checks their lengths and
    /// characters. Of the fields between them only the lengths are read.
    ///
    /// A frame with a third bitmap is walked over to its end.
    ///
    /// # Errors
    /// The first thing up to the last named field that breaks the dialect, but for values that were not asked for.
    #[inline]
    pub fn scan<'m>(
        &'m self,
        frame: &'m [u8],
        index: &'m mut Index,
    ) -> Result<Excerpt<'m>, DecodeError> {
        let message = self.dialect.decode_named(frame, index, self.wanted)?;
        Ok(Excerpt(message))
    }
}

/// The named fields of a frame. No message: nothing can be rewritten or answered by it.
#[derive(Clone, Copy)]
pub struct Excerpt<'m>(Message<'m>);

impl<'m> Excerpt<'m> {
    /// Message type.
    #[must_use]
    pub const fn mti(&self) -> Mti {
        self.0.mti()
    }

    /// Those of the named fields that the frame has.
    #[must_use]
    pub const fn fields(&self) -> FieldSet {
        self.0.fields()
    }

    /// Whether it is a named field and there.
    #[must_use]
    pub const fn has(&self, de: u8) -> bool {
        self.0.has(de)
    }

    /// TPDU and header: the bytes before the message type. May be empty.
    #[must_use]
    pub fn envelope(&self) -> &'m [u8] {
        self.0.envelope()
    }

    /// Like [`Message::field`]: the content as on the wire, without a length prefix.
    #[must_use]
    pub fn field(&self, de: u8) -> Option<&'m [u8]> {
        self.0.field(de)
    }

    /// Like [`Message::length`]: digits of numeric and track fields, else bytes.
    #[must_use]
    pub fn length(&self, de: u8) -> Option<usize> {
        self.0.length(de)
    }

    /// Like [`Message::value`]: digits in ASCII, text, or raw bytes, whatever the wire form.
    #[must_use]
    pub fn value(&self, de: u8) -> Option<Cow<'m, [u8]>> {
        self.0.value(de)
    }

    /// Like [`Message::digits`]: a numeric or track field without padding.
    #[must_use]
    pub fn digits(&self, de: u8) -> Option<Digits> {
        self.0.digits(de)
    }

    /// Like [`Message::number`]: a numeric field of up to 18 digits.
    #[must_use]
    pub fn number(&self, de: u8) -> Option<u64> {
        self.0.number(de)
    }

    /// Trace number, if the field of that role was named.
    #[must_use]
    pub fn stan(&self) -> Option<Stan> {
        self.0.stan()
    }

    /// Terminal id, if the field of that role was named.
    #[must_use]
    pub fn terminal(&self) -> Option<TerminalId> {
        self.0.terminal()
    }

    /// Merchant id, if the field of that role was named.
    #[must_use]
    pub fn merchant(&self) -> Option<MerchantId> {
        self.0.merchant()
    }

    /// Amount, if amount and currency were named.
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        self.0.amount()
    }

    /// Response code, if the field of that role was named.
    #[must_use]
    pub fn response_code(&self) -> Option<ResponseCode> {
        self.0.response_code()
    }

    /// Match key, if trace number and terminal id were named.
    #[must_use]
    pub fn match_key(&self) -> Option<MatchKey> {
        self.0.match_key()
    }
}

impl fmt::Debug for Excerpt<'_> {
    /// Type and fields, never a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Excerpt")
            .field("mti", &self.mti())
            .field("fields", &self.fields())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn ascii() -> Arc<Dialect> {
        Dialect::shipped("iso8583-1987-ascii").unwrap()
    }

    /// A sale whose card number, and whose fields behind the terminal id, are put into `out` as they are given.
    fn sale(dialect: &Dialect, pan: &[u8], behind: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.mti(Mti::FINANCIAL_REQUEST);
        writer.element(2, pan);
        writer.number(11, 123_456);
        writer.text(41, b"TERM0001");
        writer.element(42, behind);
        writer.finish().unwrap();
        out.split_off(dialect.framing().prefix_bytes())
    }

    #[test]
    fn only_named_fields_are_looked_at_and_nothing_behind_the_last() {
        let scanner = Scanner::new(ascii(), [41, 11]).unwrap();
        let check = |pan: &[u8], behind: &[u8], expect: Result<(), DecodeError>| {
            let frame = sale(&ascii(), pan, behind);
            let mut index = Index::new();
            let found = scanner.scan(&frame, &mut index);
            assert_eq!(found.map(|_| ()), expect);
        };
        check(b"043333", b"MERCHANT0000001", Ok(()));
        // A letter in a field between, and a field behind that is cut off.
        check(b"04333x", b"MERC", Ok(()));
        let prefix = DecodeError::Prefix {
            field: 2,
            offset: 20,
        };
        check(b"x43333", b"", Err(prefix));
        // The length takes in what should be the trace number.
        let shifted = DecodeError::Character {
            field: 11,
            offset: 32,
        };
        check(b"063333", b"", Err(shifted));
    }

    #[test]
    fn what_is_named_and_there_can_be_asked_for() {
        let scanner = Scanner::new(ascii(), [11, 41, 39]).unwrap();
        let frame = sale(&ascii(), b"043333", b"MERCHANT0000001");
        let mut index = Index::new();
        let found = scanner.scan(&frame, &mut index).unwrap();
        assert_eq!(found.mti(), Mti::FINANCIAL_REQUEST);
        assert_eq!(found.fields().iter().collect::<Vec<_>>(), [11, 41]);
        assert_eq!(found.stan(), Stan::new(123_456));
        let mut whole = Index::new();
        let message = scanner.dialect.decode(&frame, &mut whole).unwrap();
        assert_eq!(found.match_key(), message.match_key());
        assert_eq!(found.merchant(), None);
        assert_eq!(found.number(2), None);
        assert!(!format!("{found:?}").contains("TERM"));
    }

    #[test]
    fn undefined_fields_and_bitmaps_cannot_be_named() {
        for field in [0, 1, 65, 193] {
            let scanner = Scanner::new(ascii(), [11, field]);
            let undefined = ScannerError::Undefined { field };
            assert_eq!(scanner.map(|_| ()).unwrap_err(), undefined);
        }
        let scanner = Scanner::new(ascii(), []).unwrap();
        let mut index = Index::new();
        let found = scanner.scan(b"08000000000000000000and more", &mut index);
        assert!(found.is_ok_and(|found| found.fields().is_empty()));
    }
}
