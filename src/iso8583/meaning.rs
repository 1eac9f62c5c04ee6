//! What a message means: the parts that its dialect's `[roles]` give to its fields.

use std::borrow::Cow;

use crate::base::{Amount, BatchNumber, Currency, MerchantId, Pan, Stan, TerminalId};

use super::codes::ResponseCode;
use super::dialect::{OriginalRoles, SubField};
use super::digits::Digits;
use super::match_key::MatchKey;
use super::message::Message;
use super::mti::Mti;

/// The transaction that a message refers to. Zeros on the wire mean "not given" and come out as `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Message type of the original (DE90).
    pub mti: Option<Mti>,
    /// Batch of the original.
    pub batch: Option<BatchNumber>,
    /// STAN of the original.
    pub stan: Option<Stan>,
    /// Local date of the original as month * 100 + day.
    pub date: Option<u16>,
}

impl<'m> Message<'m> {
    /// System trace audit number, DE11.
    #[must_use]
    pub fn stan(&self) -> Option<Stan> {
        self.stan_of(self.dialect().roles().stan)
    }

    fn stan_of(&self, de: u8) -> Option<Stan> {
        Stan::new(self.number(de)?.try_into().ok()?)
    }

    /// Terminal id, DE41.
    #[must_use]
    pub fn terminal(&self) -> Option<TerminalId> {
        self.characters(self.dialect().roles().terminal, |bytes| {
            TerminalId::from_slice(&padded::<8>(bytes)?)
        })
    }

    /// Merchant id, DE42.
    #[must_use]
    pub fn merchant(&self) -> Option<MerchantId> {
        self.characters(self.dialect().roles().merchant, |bytes| {
            MerchantId::from_slice(&padded::<15>(bytes)?)
        })
    }

    /// What `read` makes of a field's characters.
    fn characters<T>(&self, de: u8, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let kind = self.dialect().spec(de).kind;
        if kind.is_ebcdic() {
            // Translated in place as far as may be.
            return match self.slice(de, 0, self.field(de)?.len()) {
                Some(ascii) if !kind.is_hex() => read(&ascii),
                Some(_) | None => read(&self.value(de)?),
            };
        }
        if kind.is_packed() {
            return read(&self.digits(de)?);
        }
        read(self.field(de)?)
    }

    /// Amount, DE4, with the currency of DE49 ([`Currency::NONE`] without one).
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        let roles = self.dialect().roles();
        if let Some(parts) = roles.amount_parts {
            return Some(Amount {
                minor: self.part(parts.amount)?.number()?,
                currency: Currency::from_slice(&self.part(parts.currency)?)?,
            });
        }
        let currency = if self.has(roles.currency) {
            self.characters(roles.currency, Currency::from_slice)?
        } else {
            Currency::NONE
        };
        Some(Amount {
            minor: self.number(roles.amount)?,
            currency,
        })
    }

    /// Batch number, DE60.2 in unionpay-pos; `None` in a dialect without batches.
    #[must_use]
    pub fn batch(&self) -> Option<BatchNumber> {
        batch_in(self.part(self.dialect().roles().batch?)?)
    }

    /// Card number: DE2, else the part of track 2 or 3 before the separator.
    #[must_use]
    pub fn pan(&self) -> Option<Pan> {
        let roles = self.dialect().roles();
        let from_track = |de| {
            let track = self.digits(de)?;
            // Track 3 begins with its format code, 99 on Chinese cards (ISO/IEC 4909).
            let track = match track.strip_prefix(b"99") {
                Some(bare) if de == roles.track3 => bare,
                _ => &track,
            };
            Pan::from_digits(track.split(|byte| *byte == b'=' || *byte == b'D').next()?)
        };
        match self.digits(roles.pan) {
            Some(digits) => Pan::from_digits(&digits),
            None => from_track(roles.track2).or_else(|| from_track(roles.track3)),
        }
    }

    /// Response code, DE39.
    #[must_use]
    pub fn response_code(&self) -> Option<ResponseCode> {
        self.characters(
            self.dialect().roles().response_code,
            ResponseCode::from_slice,
        )
    }

    /// Retrieval reference number, DE37.
    #[must_use]
    pub fn rrn(&self) -> Option<Cow<'m, [u8]>> {
        self.value(self.dialect().roles().rrn)
    }

    /// Authorisation code, DE38.
    #[must_use]
    pub fn approval_code(&self) -> Option<Cow<'m, [u8]>> {
        self.value(self.dialect().roles().approval_code)
    }

    /// Processing code, DE3: 0 to 999999.
    #[must_use]
    pub fn processing_code(&self) -> Option<u32> {
        self.number(self.dialect().roles().processing_code)?
            .try_into()
            .ok()
    }

    /// The transaction that this one undoes or completes, as the dialect names it: a reversal by its own
    /// STAN and batch or by DE90, a void by DE61 or DE90. `None` when the message names none at all.
    #[must_use]
    pub fn original(&self) -> Option<Original> {
        let roles = self.dialect().roles();
        let class = self.dialect().reversal().mti.class_key();
        let from = if self.mti().class_key() == class {
            roles.reversed
        } else {
            roles.original
        };
        let original = self.original_by(from);
        (original != Original::default()).then_some(original)
    }

    fn original_by(&self, from: OriginalRoles) -> Original {
        let number = |part: Option<SubField>| self.part(part?)?.number().filter(|n| *n != 0);
        Original {
            mti: from.mti.and_then(|part| {
                let digits = self.part(part)?;
                Mti::parse(digits.as_str()).filter(|mti| mti.packed() != 0)
            }),
            batch: number(from.batch).and_then(|n| BatchNumber::new(n.try_into().ok()?)),
            stan: number(from.stan).and_then(|n| Stan::new(n.try_into().ok()?)),
            date: number(from.date).and_then(|n| n.try_into().ok()),
        }
    }

    /// The key by which its answer, or its request, is found; `None` without a terminal id or STAN.
    #[must_use]
    pub fn match_key(&self) -> Option<MatchKey> {
        Some(MatchKey::new(self.mti(), self.terminal()?, self.stan()?))
    }
}

/// An id that stands in a longer field, or in one without padding. `None` when it is longer itself.
#[inline]
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    if let Ok(whole) = bytes.try_into() {
        return Some(whole);
    }
    let text = bytes.trim_ascii_end();
    let mut id = [b' '; N];
    id.get_mut(..text.len())?.copy_from_slice(text);
    Some(id)
}

fn batch_in(digits: Digits) -> Option<BatchNumber> {
    BatchNumber::new(digits.number()?.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::iso8583::dialect::Dialect;
    use crate::iso8583::encode::FieldValue;
    use crate::iso8583::index::Index;

    fn check(dialect: &str, mti: &str, fields: &[(u8, &str)], expect: impl FnOnce(&Message<'_>)) {
        let dialect = Dialect::shipped(dialect).unwrap();
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.envelope_default();
        writer.mti(Mti::parse(mti).unwrap());
        for (de, text) in fields {
            writer.value(*de, FieldValue::Text(text.as_bytes()));
        }
        writer.finish().unwrap();
        let mut index = Index::new();
        expect(&dialect.decode(&out[2..], &mut index).unwrap());
    }

    #[test]
    fn roles_are_read_through_the_dialect() {
        let sale = [
            (2, "6217000000000018"),
            (3, "000000"),
            (4, "12345"),
            (11, "123"),
            (41, "T1"),
            (42, "M1"),
            (49, "156"),
            (60, "22000007000500"),
        ];
        check("unionpay-pos", "0200", &sale, |message| {
            assert_eq!(message.stan(), Stan::new(123));
            assert_eq!(message.terminal(), TerminalId::parse("T1").ok());
            assert_eq!(message.merchant(), MerchantId::parse("M1").ok());
            let minor = 12_345;
            let currency = Currency::CNY;
            assert_eq!(message.amount(), Some(Amount { minor, currency }));
            assert_eq!(message.batch(), BatchNumber::new(7));
            assert_eq!(message.processing_code(), Some(0));
            assert_eq!(message.pan().unwrap().expose(), b"6217000000000018");
            assert_eq!(message.response_code(), None);
            assert_eq!(message.sub(60, 1).unwrap().as_str(), "22");
            assert_eq!(message.sub(60, 7), None);
            assert_eq!(message.sub(60, 0), None);
            assert_eq!(message.original(), None);
            assert_eq!(format!("{message:?}").matches("621700").count(), 0);
        });
    }

    #[test]
    fn card_numbers_are_found_in_tracks() {
        let pan = |message: &Message<'_>| message.pan().map(|pan| pan.expose().to_vec());
        let expect = Some(b"6217000000000018".to_vec());
        check(
            "unionpay-pos",
            "0200",
            &[(35, "6217000000000018=3012201")],
            |message| {
                assert_eq!(pan(message), expect);
            },
        );
        check(
            "unionpay-pos",
            "0200",
            &[(36, "996217000000000018=156")],
            |message| {
                assert_eq!(pan(message), expect);
            },
        );
        check("unionpay-pos", "0200", &[], |message| {
            assert_eq!(pan(message), None);
        });
    }

    #[test]
    fn originals_are_named_as_each_dialect_does() {
        let void = [(11, "124"), (60, "23000007"), (61, "0000070001231122")];
        check("unionpay-pos", "0200", &void, |message| {
            let original = message.original().unwrap();
            assert_eq!(original.batch, BatchNumber::new(7));
            assert_eq!(original.stan, Stan::new(123));
            assert_eq!(original.date, Some(1_122));
        });
        let refund = [(11, "125"), (60, "25000007"), (61, "0000000000001122")];
        check("unionpay-pos", "0220", &refund, |message| {
            let original = message.original().unwrap();
            assert_eq!((original.batch, original.stan), (None, None));
            assert_eq!(original.date, Some(1_122));
        });
        let reversal = [(11, "124"), (60, "23000007"), (61, "000007000123")];
        check("unionpay-pos", "0400", &reversal, |message| {
            let original = message.original().unwrap();
            assert_eq!(original.stan, Stan::new(124));
            assert_eq!(original.batch, BatchNumber::new(7));
        });
        let elements = "020000012311221015000000000010000000000000";
        for mti in ["0200", "0420"] {
            check(
                "iso8583-1987-ascii",
                mti,
                &[(11, "9"), (90, elements)],
                |message| {
                    let original = message.original().unwrap();
                    assert_eq!(original.mti, Mti::parse("0200"));
                    assert_eq!(original.stan, Stan::new(123));
                    assert_eq!(original.date, Some(1_122));
                },
            );
        }
    }

    #[test]
    fn what_is_kept_of_ebcdic_can_be_read_and_comes_back() {
        let fields = [
            (4, "12345"),
            (11, "7"),
            (32, "100001"),
            (37, "R00000000007"),
            (38, "AB12 "),
            (49, "156"),
        ];
        check("mastercard-style", "0110", &fields, |message| {
            assert_eq!(message.rrn().unwrap().as_ref(), b"R00000000007");
            let minor = 12_345;
            let currency = Currency::CNY;
            assert_eq!(message.amount(), Some(Amount { minor, currency }));
            assert_eq!(message.kept(37).unwrap().as_ref(), b"R00000000007");
            // A length prefix stays as it is.
            let prefix = [0xF0, 0xF6];
            assert_eq!(
                message.kept(32).unwrap().as_ref(),
                [&prefix, &b"100001"[..]].concat()
            );
            let mut out = BytesMut::new();
            let mut writer = message.dialect().write(&mut out);
            writer.mti(message.mti());
            for de in message.content_fields().iter() {
                writer.kept(de, &message.kept(de).unwrap());
            }
            writer.finish().unwrap();
            assert_eq!(out.get(2..), Some(message.frame()));
        });
    }
}
