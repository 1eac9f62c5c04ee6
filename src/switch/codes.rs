//! Codes in clear: drawn, written into a message, hashed with everything that they are good for. Nothing else ever
//! holds one.

use std::time::Duration;

use zeroize::Zeroizing;

use super::dispatch::Dispatcher;
use crate::base::{BindingId, Currency};
use crate::binding::challenge::{Code, CodeHash, Payment, Purpose};
use crate::security::{DataKeys, KeyError};
use crate::store::command::ContactView;
use crate::store::{Registry, RegistryError};

/// What a code is good for.
#[derive(Clone, Copy, Debug)]
pub struct Matter<'a> {
    /// For this alone.
    pub purpose: Purpose,
    /// Binding, case or new contact; 0 for the contact itself.
    pub subject: u64,
    /// The transaction, when a payer confirms one.
    pub payment: Option<&'a Payment>,
}

/// A code that nobody can guess.
///
/// # Errors
/// When the cryptographic library fails.
pub fn draw(keys: &DataKeys) -> Result<Code, KeyError> {
    /// Times that a number may be one of the few that would favour some codes: one in 4,400 is.
    const DRAWS_MAX: u32 = 16;
    for _ in 0..DRAWS_MAX {
        if let Some(code) = Code::from_random(keys.random()?) {
            return Ok(code);
        }
    }
    Err(KeyError::Crypto)
}

/// What is kept of a code: good for this challenge and this matter only.
#[must_use]
pub fn hash(keys: &DataKeys, number: u64, matter: Matter<'_>, code: &Code) -> CodeHash {
    let (number, subject) = (number.to_le_bytes(), matter.subject.to_le_bytes());
    let payment = matter.payment.map(|payment| {
        let stan = payment.stan.get().to_le_bytes();
        (
            stan,
            payment.amount.minor.to_le_bytes(),
            payment.amount.currency,
        )
    });
    let mut parts: Vec<&[u8]> = vec![b"code", &number, matter.purpose.name().as_bytes(), &subject];
    if let Some((stan, minor, currency)) = &payment {
        parts.extend([&stan[..], &minor[..], &currency.as_bytes()[..]]);
    }
    parts.push(code.expose().as_bytes());
    CodeHash(keys.hash_value(&parts))
}

/// What the object of a message with a code begins with; the challenge's number follows.
const CHALLENGE: &str = "challenge ";

/// The challenge that a message with this object brings the code of.
#[must_use]
pub fn challenge_of(object: &str) -> Option<u64> {
    object.strip_prefix(CHALLENGE)?.parse().ok()
}

impl Dispatcher {
    /// Queues the message with a code: what it is for, and that it is nobody else's business. No link is ever in it.
    ///
    /// # Errors
    /// When too much waits already, or the store fails.
    pub fn send_code(
        &self,
        registry: &mut dyn Registry,
        contact: &ContactView,
        challenge: u64,
        matter: Matter<'_>,
        code: &Code,
    ) -> Result<(), RegistryError> {
        let life = matter.purpose.ttl(contact.kind);
        let minutes = life.as_secs().div_ceil(60);
        let words = words(registry, matter)?;
        let text = Zeroizing::new(format!(
            "{} is the code to {words}. It is good for {minutes} minutes. Tell it to nobody: our staff never asks \
             for it.",
            code.expose()
        ));
        let life = life.max(Duration::from_secs(60));
        // What becomes of the message is entered with the challenge.
        let object = format!("{CHALLENGE}{challenge}");
        self.text(registry, contact, &object, ("Your code", &text), life)
    }
}

/// What the code is for. A payer is told how much goes where.
fn words(registry: &mut dyn Registry, matter: Matter<'_>) -> Result<String, RegistryError> {
    let purpose = matter.purpose.words();
    let Some(payment) = matter.payment else {
        return Ok(purpose.to_owned());
    };
    let shop = registry.binding(BindingId(matter.subject))?;
    let shop = shop.map(|row| row.merchant_name).unwrap_or_default();
    let currency = payment.amount.currency;
    let amount = currency.written(payment.amount.minor.into());
    let currency = if currency == Currency::CNY {
        "CNY".to_owned()
    } else {
        currency.to_string()
    };
    Ok(format!("{purpose} of {amount} {currency} to {shop}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Amount, Stan};

    #[test]
    fn a_code_is_good_for_its_own_matter_only() {
        let keys = DataKeys::simulated().unwrap();
        let code = Code::parse("471108").unwrap();
        let payment = |stan, minor, currency: &[u8; 3]| Payment {
            stan: Stan::new(stan).unwrap(),
            amount: Amount {
                minor,
                currency: Currency::from_slice(currency).unwrap(),
            },
        };
        let payments = [
            payment(12, 1_000, b"156"),
            payment(13, 1_000, b"156"),
            payment(12, 1_001, b"156"),
            payment(12, 1_000, b"840"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        let mut matters = Vec::new();
        for subject in [0, 7] {
            for purpose in Purpose::ALL {
                let payment = None;
                matters.push(Matter {
                    purpose: *purpose,
                    subject,
                    payment,
                });
            }
            matters.extend(payments.iter().map(|payment| Matter {
                purpose: Purpose::PayerConfirm,
                subject,
                payment: Some(payment),
            }));
        }
        let count = matters.len() * 2;
        for number in [1, 2] {
            seen.extend(
                matters
                    .iter()
                    .map(|matter| hash(&keys, number, *matter, &code).0),
            );
        }
        assert_eq!(seen.len(), count);
    }
}
