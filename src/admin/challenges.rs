//! Challenges: codes that are sent to contacts, and that come back.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, carry_out, no_key, one_of, unfit};
use super::extract::{Path, Write};
use super::problem::{Refusal, blocking};
use crate::base::{Amount, Currency, Stan};
use crate::binding::challenge::{Code, Delivery, Payment, Purpose, TRIES_MAX};
use crate::store::Registry;
use crate::store::command::{ChallengeView, Command};
use crate::store::registry::Actor;
use crate::store::writes::Answer;
use crate::switch::{Matter, challenge_of, draw, hash};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(send_code))
        .routes(routes!(show_challenge))
        .routes(routes!(check_code))
        .routes(routes!(cancel_challenge))
        .routes(routes!(take_receipt))
}

/// A code to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewChallenge {
    /// Number of the contact
    contact: u64,
    /// bind, verify-contact, change-phone-old, change-phone-new, change-account, unbind, replace, release-hold or
    /// payer-confirm
    purpose: String,
    /// Number of the binding, case or new contact that it is for; 0 for the contact itself
    #[serde(default)]
    subject: u64,
    /// The payment that its payer confirms; for payer-confirm only
    payment: Option<NewPayment>,
    /// Where the person who asks for it is, if known: limits count by it too
    #[serde(default)]
    asked_from: String,
}

/// A payment, before it is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPayment {
    /// Trace number (DE11) that the terminal will send it under
    #[schema(minimum = 1, maximum = 999_999)]
    stan: u32,
    /// In the currency's smallest unit
    #[schema(minimum = 1, maximum = 999_999_999_999_u64)]
    amount: u64,
    /// As in DE49: three digits
    #[schema(min_length = 3, max_length = 3, example = "156")]
    currency: String,
}

impl NewPayment {
    fn read(&self) -> Result<Payment, Refusal> {
        let stan = Stan::new(self.stan);
        let currency = Currency::from_slice(self.currency.as_bytes());
        match (stan, currency) {
            (Some(stan), Some(currency)) if self.amount <= Amount::MAX_MINOR => {
                let minor = self.amount;
                Ok(Payment {
                    stan,
                    amount: Amount { minor, currency },
                })
            }
            (Some(_) | None, Some(_) | None) => Err(Refusal::unfit(
                "a payment has a trace number from 1 to 999999, an amount of at most twelve digits, and a currency \
                 of three",
            )),
        }
    }
}

/// Send a code to a contact; a newer one voids the older ones for the same
#[utoipa::path(
    post, path = "/v1/challenges", tag = "challenges",
    request_body = NewChallenge, responses((status = 200, body = Outcome))
)]
async fn send_code(
    State(admin): State<Admin>,
    write: Write<NewChallenge>,
) -> Result<Response, Refusal> {
    let (keys, dispatcher) = (admin.switch.keys.clone(), admin.dispatcher.clone());
    let work = move |registry: &mut dyn Registry, actor: &Actor, new: NewChallenge| {
        let purpose = one_of!(Purpose, "purpose", &new.purpose)?;
        let payment = new.payment.as_ref().map(NewPayment::read).transpose()?;
        let matter = Matter {
            purpose,
            subject: new.subject,
            payment: payment.as_ref(),
        };
        let contact = registry.contact_view(new.contact)?;
        let contact =
            contact.ok_or_else(|| Refusal::unknown("contact", &new.contact.to_string()))?;
        let number = registry.next_challenge()?;
        let code = draw(&keys).map_err(|problem| no_key(&problem))?;
        let command = Command::Challenge {
            contact: new.contact,
            purpose,
            subject: new.subject,
            payment,
            code: hash(&keys, number, matter, &code),
            number,
            asked_from: new.asked_from,
        };
        let made = carry_out(registry, &dispatcher, &command, None, actor)?;
        dispatcher.send_code(registry, &contact, number, matter, &code)?;
        let shown = serde_json::to_value(Outcome::of(&made)).unwrap_or_default();
        Ok((Answer::ok(shown).version(made.version), made.changes))
    };
    admin.change(write, work).await
}

/// A challenge, without its code
#[utoipa::path(
    get, path = "/v1/challenges/{challenge}", tag = "challenges",
    params(("challenge" = u64, Path)), responses((status = 200, body = ChallengeView))
)]
async fn show_challenge(
    State(admin): State<Admin>,
    Path(challenge): Path<u64>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let found = admin.registry.lock().challenge_view(challenge)?;
        let found = found.ok_or_else(|| Refusal::unknown("challenge", &challenge.to_string()))?;
        Ok(Json(found).into_response())
    })
    .await
}

/// A code that came back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Offered {
    /// Six digits
    code: String,
    /// What it is offered for; the right code for another purpose is a wrong one
    purpose: String,
    /// Number of the binding, case or new contact that it is for; 0 for the contact itself
    #[serde(default)]
    subject: u64,
    /// The payment that its payer confirms, as it is about to be made; for payer-confirm only
    payment: Option<NewPayment>,
}

impl std::fmt::Debug for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offered({})", self.purpose)
    }
}

/// Check a code; what it proves happens with it
#[utoipa::path(
    post, path = "/v1/challenges/{challenge}/check", tag = "challenges",
    params(("challenge" = u64, Path)),
    request_body = Offered, responses((status = 200, body = Outcome))
)]
async fn check_code(
    State(admin): State<Admin>,
    Path(challenge): Path<u64>,
    write: Write<Offered>,
) -> Result<Response, Refusal> {
    let keys = admin.switch.keys.clone();
    let make = move |_registry: &mut dyn Registry, offered: Offered| {
        let purpose = one_of!(Purpose, "purpose", &offered.purpose)?;
        let code = Code::parse(&offered.code).map_err(unfit)?;
        let payment = offered.payment.as_ref().map(NewPayment::read).transpose()?;
        let matter = Matter {
            purpose,
            subject: offered.subject,
            payment: payment.as_ref(),
        };
        Ok(Command::CheckCode {
            challenge,
            purpose,
            code: hash(&keys, challenge, matter, &code),
        })
    };
    admin.command(write, None, make).await
}

/// An empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Give up a challenge
#[utoipa::path(
    post, path = "/v1/challenges/{challenge}/cancel", tag = "challenges",
    params(("challenge" = u64, Path)),
    request_body = Nothing, responses((status = 200, body = Outcome))
)]
async fn cancel_challenge(
    State(admin): State<Admin>,
    Path(challenge): Path<u64>,
    write: Write<Nothing>,
) -> Result<Response, Refusal> {
    let make =
        move |_registry: &mut dyn Registry, Nothing {}| Ok(Command::CancelChallenge { challenge });
    admin.command(write, None, make).await
}

/// What a carrier says of a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Receipt {
    /// Number that the message was handed over with (`posgate-id`)
    id: u64,
    /// Whether it arrived; if not, it never will
    arrived: bool,
}

/// Say what became of a message with a code; two in a row that do not arrive make a verified number suspect
#[utoipa::path(
    post, path = "/v1/receipts", tag = "challenges",
    request_body = Receipt, responses((status = 200, body = Outcome))
)]
async fn take_receipt(
    State(admin): State<Admin>,
    write: Write<Receipt>,
) -> Result<Response, Refusal> {
    let make = |registry: &mut dyn Registry, receipt: Receipt| {
        let object = registry.parcel_object(receipt.id)?;
        let object = object.ok_or_else(|| Refusal::unknown("message", &receipt.id.to_string()))?;
        let challenge = challenge_of(&object).ok_or_else(|| {
            Refusal::unfit(format!(
                "message {} brought no code but a notice to {object}; receipts are taken for codes only",
                receipt.id
            ))
        })?;
        let what = if receipt.arrived {
            Delivery::Delivered
        } else {
            Delivery::Failed
        };
        Ok(Command::Delivered { challenge, what })
    };
    admin.command(write, None, make).await
}

/// The bound that people are told of stands in the binding room.
const _: () = assert!(TRIES_MAX == 5, "docs/bindings.md says five tries");
