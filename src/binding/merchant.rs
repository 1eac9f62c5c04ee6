//! Merchants: what kind they are, and the document that says who they are.

use super::named::named_enum;
use super::refusal::Refusal;

named_enum!(
    /// What kind of merchant it is; decides which documents a case needs.
    MerchantKind {
        /// Registered before kinds were asked for. Counts as an enterprise where documents are concerned.
        Unknown = "unknown",
        /// A company.
        Enterprise = "enterprise",
        /// A registered one-person business.
        SoleTrader = "sole-trader",
        /// A natural person who trades without a licence.
        Individual = "individual",
        /// An institution: a school, a hospital, an office.
        Institution = "institution",
    }
);

named_enum!(
    /// Which document identifies a merchant.
    IdentityKind {
        /// Business licence: the unified social credit code, 18 characters.
        Licence = "licence",
        /// Identity card of the responsible person, 18 characters.
        IdentityCard = "identity-card",
        /// Passport or permit, 5 to 20 characters.
        Passport = "passport",
    }
);

/// The number of an identity document. It is sealed at rest and found by its keyed hash.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityNumber {
    kind: IdentityKind,
    number: Box<str>,
}

impl std::fmt::Debug for IdentityNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityNumber({}, …)", self.kind)
    }
}

impl IdentityNumber {
    /// Reads a number, without spaces and in capitals.
    ///
    /// # Errors
    /// When it is no number of that kind: wrong length, wrong characters, wrong check character.
    pub fn parse(kind: IdentityKind, text: &str) -> Result<Self, Refusal> {
        let number: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let refuse = |problem| {
            let what = "the document's number";
            Err(Refusal::Value { what, problem })
        };
        if !number.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("holds something other than letters and digits");
        }
        match kind {
            IdentityKind::Licence if number.len() != 18 => {
                return refuse("is no unified social credit code: those have 18 characters");
            }
            IdentityKind::Licence if !is_credit_code(number.as_bytes()) => {
                return refuse("is no unified social credit code: its check character is wrong");
            }
            IdentityKind::IdentityCard if number.len() != 18 => {
                return refuse("is no identity card number: those have 18 characters");
            }
            IdentityKind::IdentityCard if !is_identity_card(number.as_bytes()) => {
                return refuse("is no identity card number: its check character is wrong");
            }
            IdentityKind::Passport if !(5..=20).contains(&number.len()) => {
                return refuse("is no passport number: those have 5 to 20 characters");
            }
            IdentityKind::Licence | IdentityKind::IdentityCard | IdentityKind::Passport => {}
        }
        Ok(Self {
            kind,
            number: number.into(),
        })
    }

    /// Which document.
    #[must_use]
    pub const fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The number in clear, to be sealed or hashed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.number
    }

    /// The last four characters, which is all that anybody is shown.
    #[must_use]
    pub fn tail(&self) -> &str {
        let from = self.number.len().saturating_sub(4);
        self.number.get(from..).unwrap_or_default()
    }
}

/// GB 32100-2015: 31 characters without I, O, S, V and Z, weights 3^i modulo 31.
fn is_credit_code(code: &[u8]) -> bool {
    const CHARACTERS: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let value = |byte: &u8| CHARACTERS.iter().position(|known| known == byte);
    let Some((last, body)) = code.split_last() else {
        return false;
    };
    let (mut sum, mut weight) = (0, 1);
    for byte in body {
        let Some(value) = value(byte) else {
            return false;
        };
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    value(last) == Some((31 - sum % 31) % 31)
}

/// GB 11643-1999: 17 digits and a check character, ISO 7064 MOD 11-2.
fn is_identity_card(number: &[u8]) -> bool {
    let Some((last, body)) = number.split_last() else {
        return false;
    };
    let mut sum = 0_u32;
    for byte in body {
        if !byte.is_ascii_digit() {
            return false;
        }
        sum = (sum + u32::from(byte - b'0')) * 2 % 11;
    }
    let check = match (12 - sum) % 11 {
        10 => b'X',
        digit => u8::try_from(digit).map_or(b'?', |digit| b'0' + digit),
    };
    *last == check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_by_their_check_characters() {
        // From the standards' own examples.
        let licence = IdentityNumber::parse(IdentityKind::Licence, "91350100M000100Y43");
        assert_eq!(licence.unwrap().tail(), "0Y43");
        let card = IdentityNumber::parse(IdentityKind::IdentityCard, "11010519491231002x");
        assert_eq!(card.unwrap().expose(), "11010519491231002X");
        for (kind, wrong) in [
            (IdentityKind::Licence, "91350100M000100Y44"),
            (IdentityKind::Licence, "91350100M000100Y4"),
            (IdentityKind::Licence, "9135010OM000100Y43"),
            (IdentityKind::IdentityCard, "110105194912310021"),
            (IdentityKind::IdentityCard, "11010519491231002Y"),
            (IdentityKind::Passport, "E123"),
            (IdentityKind::Passport, "E123-4567"),
        ] {
            let refused = IdentityNumber::parse(kind, wrong);
            assert!(matches!(refused, Err(Refusal::Value { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_in_no_debug_text_and_in_no_error() {
        let card = IdentityNumber::parse(IdentityKind::IdentityCard, "11010519491231002X").unwrap();
        assert!(!format!("{card:?}").contains("1231002"));
        let refused = IdentityNumber::parse(IdentityKind::IdentityCard, "110105194912310021");
        let told = format!("{refused:?} {}", refused.as_ref().unwrap_err());
        assert!(!told.contains("1949"), "{told}");
    }
}
