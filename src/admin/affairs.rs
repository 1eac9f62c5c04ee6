//! Merchants, devices, accounts, contacts, evidence and challenges: what hangs on bindings. Every change is one
//! command of the registry; whom it concerns is told in the same transaction.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::{IfMatch, Path, Write, versioned};
use super::problem::{Refusal, blocking};
use super::terminals::acquirer_of;
use crate::base::{Amount, Currency, MerchantId, Stan};
use crate::binding::account::{AccountEvent, AccountKind};
use crate::binding::challenge::{Code, Delivery, Payment, Purpose, TRIES_MAX, Verdict};
use crate::binding::contact::{ContactEvent, ContactKind, ContactRole, ContactValue};
use crate::binding::device::DeviceEvent;
use crate::binding::merchant::{IdentityKind, IdentityNumber, MerchantKind};
use crate::binding::unbinding::Proof;
use crate::security::DataKeys;
use crate::store::Registry;
use crate::store::command::{
    AccountName, Allows, ChallengeView, Command, ContactView, DeviceName, DeviceView, Done,
    MerchantView, Sealed,
};
use crate::store::registry::{Actor, RegistryError};
use crate::store::writes::Answer;
use crate::switch::{Dispatcher, Matter, SEALED_FOR_CONTACT, draw, hash};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(show_merchant, set_merchant))
        .routes(routes!(list_contacts, add_contact))
        .routes(routes!(contact_event))
        .routes(routes!(consent))
        .routes(routes!(add_device))
        .routes(routes!(show_device))
        .routes(routes!(device_event))
        .routes(routes!(load_keys))
        .routes(routes!(add_account))
        .routes(routes!(account_event))
        .routes(routes!(file_evidence))
        .routes(routes!(send_code))
        .routes(routes!(show_challenge))
        .routes(routes!(check_code))
        .routes(routes!(cancel_challenge))
}

/// What a command came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Done)]
pub(super) struct Outcome {
    /// Number of the binding, contact, hold, challenge or case that was made or changed
    number: u64,
    /// Its version from now on
    version: u32,
    /// What is said of a code: approved, wrong, exhausted, expired or used; null when there was none
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// Codes that may still be offered, after a wrong one
    #[serde(skip_serializing_if = "Option::is_none")]
    tries_left: Option<u8>,
}

impl Outcome {
    fn of(done: &Done) -> Self {
        let (verdict, tries_left) = match done.verdict {
            None => (None, None),
            Some(Verdict::Approved) => (Some("approved"), None),
            Some(Verdict::Wrong { left }) => (Some("wrong"), Some(left)),
            Some(Verdict::Exhausted) => (Some("exhausted"), Some(0)),
            Some(Verdict::Expired) => (Some("expired"), None),
            Some(Verdict::Used) => (Some("used"), None),
        };
        Self {
            number: done.number,
            version: done.version,
            verdict,
            tries_left,
        }
    }
}

/// Carries a command out and queues what it has to tell.
pub(super) fn carry_out(
    registry: &mut dyn Registry,
    dispatcher: &Dispatcher,
    command: &Command,
    version: Option<u32>,
    actor: &Actor,
) -> Result<Done, RegistryError> {
    let done = registry.carry_out(command, version, actor)?;
    dispatcher.tell(registry, &done)?;
    Ok(done)
}

impl Admin {
    /// Makes a write of one command.
    pub(super) async fn command<T: Send + 'static>(
        &self,
        write: Write<T>,
        version: Option<u32>,
        make: impl FnOnce(&mut dyn Registry, T) -> Result<Command, Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let dispatcher = self.dispatcher.clone();
        let work = move |registry: &mut dyn Registry, actor: &Actor, body: T| {
            let command = make(registry, body)?;
            let done = carry_out(registry, &dispatcher, &command, version, actor)?;
            let shown = serde_json::to_value(Outcome::of(&done)).unwrap_or_default();
            Ok((Answer::ok(shown).version(done.version), done.changes))
        };
        self.change(write, work).await
    }
}

/// Reads a name out of a closed set.
pub(super) fn named<T>(
    what: &str,
    text: &str,
    from_name: impl FnOnce(&str) -> Option<T>,
    known: &[&str],
) -> Result<T, Refusal> {
    from_name(text)
        .ok_or_else(|| Refusal::unfit(format!("{what} must be one of {}", known.join(", "))))
}

/// The names of an enum of the domain.
macro_rules! one_of {
    ($kind:ty, $what:literal, $text:expr) => {{
        let known: Vec<_> = <$kind>::ALL.iter().map(|each| each.name()).collect();
        $crate::admin::affairs::named($what, $text, <$kind>::from_name, &known)
    }};
}
pub(super) use one_of;

fn merchant_id(text: &str) -> Result<MerchantId, Refusal> {
    MerchantId::parse(text).map_err(|wrong| Refusal::bad(wrong.to_string()))
}

fn unfit(refused: crate::binding::Refusal) -> Refusal {
    RegistryError::from(refused).into()
}

fn no_key(problem: &crate::security::KeyError) -> Refusal {
    tracing::error!(%problem, "a value cannot be sealed");
    Refusal::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "failed",
        "the value cannot be sealed",
    )
}

/// A merchant, as it is entered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMerchant {
    /// Name; empty leaves what is there
    #[serde(default)]
    name: String,
    /// Merchant category code, four digits; empty leaves what is there
    #[serde(default)]
    mcc: String,
    /// enterprise, sole-trader, individual or institution
    kind: Option<String>,
    /// licence, identity-card or passport
    identity_kind: Option<String>,
    /// The document's number; it is sealed, and only its end is shown
    identity: Option<String>,
}

/// Enter a merchant, or what is known of it by now
#[utoipa::path(
    put, path = "/v1/merchants/{acquirer}/{merchant}", tag = "merchants",
    params(
        ("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42"),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = NewMerchant, responses((status = 200, body = Outcome))
)]
async fn set_merchant(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<NewMerchant>,
) -> Result<Response, Refusal> {
    let keys = admin.switch.keys.clone();
    let make = move |registry: &mut dyn Registry, new: NewMerchant| {
        let kind = match &new.kind {
            Some(kind) => Some(one_of!(MerchantKind, "kind", kind)?),
            None => None,
        };
        let identity = match (&new.identity_kind, &new.identity) {
            (Some(kind), Some(number)) => {
                let kind = one_of!(IdentityKind, "identity_kind", kind)?;
                let number = IdentityNumber::parse(kind, number).map_err(unfit)?;
                Some((kind, sealed_identity(&keys, &number)?))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let told = "identity_kind and identity belong together";
                return Err(Refusal::unfit(told));
            }
        };
        Ok(Command::SetMerchant {
            acquirer: acquirer_of(registry, &acquirer)?,
            merchant: merchant_id(&merchant)?,
            name: new.name,
            mcc: new.mcc,
            kind,
            identity,
        })
    };
    admin.command(write, version, make).await
}

fn sealed_identity(keys: &DataKeys, number: &IdentityNumber) -> Result<Sealed, Refusal> {
    let (kind, clear) = (number.kind().name(), number.expose().as_bytes());
    Ok(Sealed {
        sealed: keys
            .seal_value(clear, "identity")
            .map_err(|problem| no_key(&problem))?,
        hash: keys.hash_value(&[b"identity", kind.as_bytes(), clear]),
        masked: number.tail().to_owned(),
    })
}

/// A merchant
#[utoipa::path(
    get, path = "/v1/merchants/{acquirer}/{merchant}", tag = "merchants",
    params(("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42")),
    responses((status = 200, body = MerchantView))
)]
async fn show_merchant(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let id = acquirer_of(registry.as_mut(), &acquirer)?;
        let found = registry.merchant_view(id, merchant_id(&merchant)?)?;
        let found = found.ok_or_else(|| Refusal::unknown("merchant", &merchant))?;
        let version = found.version;
        Ok(versioned(Json(found), version))
    })
    .await
}

/// A contact, as it is entered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewContact {
    /// phone or email
    kind: String,
    /// owner, finance, operator, service or alert; payer for a customer who confirms payments by a code
    role: String,
    /// The number or address; it is sealed, and shown masked
    value: String,
    /// Number of the contact whose place it is to take, once both agreed
    replaces: Option<u64>,
}

/// Enter a contact; it proves nothing until it is verified
#[utoipa::path(
    post, path = "/v1/merchants/{acquirer}/{merchant}/contacts", tag = "contacts",
    params(("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42")),
    request_body = NewContact, responses((status = 200, body = Outcome))
)]
async fn add_contact(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
    write: Write<NewContact>,
) -> Result<Response, Refusal> {
    let keys = admin.switch.keys.clone();
    let make = move |registry: &mut dyn Registry, new: NewContact| {
        let kind = one_of!(ContactKind, "kind", &new.kind)?;
        let value = ContactValue::parse(kind, &new.value).map_err(unfit)?;
        let clear = value.expose().as_bytes();
        Ok(Command::AddContact {
            acquirer: acquirer_of(registry, &acquirer)?,
            merchant: merchant_id(&merchant)?,
            kind,
            role: one_of!(ContactRole, "role", &new.role)?,
            value: Sealed {
                sealed: keys
                    .seal_value(clear, SEALED_FOR_CONTACT)
                    .map_err(|problem| no_key(&problem))?,
                hash: keys.hash_value(&[b"contact", kind.name().as_bytes(), clear]),
                masked: value.masked(),
            },
            replaces: new.replaces,
        })
    };
    admin.command(write, None, make).await
}

/// Contacts of a merchant.
#[derive(Debug, Serialize, ToSchema)]
struct Contacts {
    contacts: Vec<ContactView>,
}

/// Contacts of a merchant, masked
#[utoipa::path(
    get, path = "/v1/merchants/{acquirer}/{merchant}/contacts", tag = "contacts",
    params(("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42")),
    responses((status = 200, body = Contacts))
)]
async fn list_contacts(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let id = acquirer_of(registry.as_mut(), &acquirer)?;
        let found = registry.contact_views(id, merchant_id(&merchant)?)?;
        Ok(Json(Contacts { contacts: found }).into_response())
    })
    .await
}

/// What happens to a contact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactHappening {
    /// verify, suspect or revoke
    event: String,
    /// Why
    #[serde(default)]
    note: String,
    /// Number of the evidence that another person filed; needed to verify without a code
    evidence: Option<u64>,
    /// Give up the last verified phone of the owner too; the merchant's terminals wait for another
    #[serde(default)]
    last_too: bool,
}

/// Verify a contact by evidence, doubt it, or give it up
#[utoipa::path(
    post, path = "/v1/contacts/{contact}/events", tag = "contacts",
    params(
        ("contact" = u64, Path),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = ContactHappening, responses((status = 200, body = Outcome))
)]
async fn contact_event(
    State(admin): State<Admin>,
    Path(contact): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<ContactHappening>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, new: ContactHappening| {
        Ok(Command::Contact {
            contact,
            event: one_of!(ContactEvent, "event", &new.event)?,
            note: new.note,
            evidence: new.evidence,
            last_too: new.last_too,
        })
    };
    admin.command(write, version, make).await
}

/// How somebody was recognised.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recognised {
    /// Number of a challenge that was approved within 20 minutes
    pub(super) challenge: Option<u64>,
    /// Name of the colleague who saw the originals too, at the counter
    pub(super) seen_with: Option<String>,
}

impl Recognised {
    /// As the case takes it; `by` is whoever asks.
    pub(super) fn proof(self, by: &str) -> Result<Proof, Refusal> {
        match (self.challenge, self.seen_with) {
            (Some(challenge), None) => Ok(Proof::Challenge(challenge)),
            (None, Some(second)) => Ok(Proof::Counter {
                first: by.to_owned(),
                second,
            }),
            (Some(_), Some(_)) | (None, None) => Err(Refusal::unfit(
                "say either the challenge that was approved, or who saw the originals with you",
            )),
        }
    }
}

/// The holder of the contact that is to go agrees to its replacement
#[utoipa::path(
    post, path = "/v1/contacts/{contact}/consent", tag = "contacts",
    params(("contact" = u64, Path, description = "The new contact")),
    request_body = Recognised, responses((status = 200, body = Outcome))
)]
async fn consent(
    State(admin): State<Admin>,
    Path(contact): Path<u64>,
    write: Write<Recognised>,
) -> Result<Response, Refusal> {
    let by = write.actor().name;
    let make = move |_registry: &mut dyn Registry, new: Recognised| {
        let proof = new.proof(&by)?;
        Ok(Command::ConsentToChange { contact, proof })
    };
    admin.command(write, None, make).await
}

/// A device, as it is put on the inventory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    /// Serial number
    serial: String,
    /// Maker and model
    #[serde(default)]
    model: String,
    /// Who has it
    #[serde(default)]
    custody: String,
}

/// Put a device on the inventory
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}", tag = "devices",
    params(("acquirer" = String, Path)),
    request_body = NewDevice, responses((status = 200, body = Outcome))
)]
async fn add_device(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
    write: Write<NewDevice>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewDevice| {
        Ok(Command::AddDevice {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial: new.serial,
            },
            model: new.model,
            custody: new.custody,
        })
    };
    admin.command(write, None, make).await
}

/// A device
#[utoipa::path(
    get, path = "/v1/devices/{acquirer}/{serial}", tag = "devices",
    params(("acquirer" = String, Path), ("serial" = String, Path)),
    responses((status = 200, body = DeviceView))
)]
async fn show_device(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let acquirer = acquirer_of(registry.as_mut(), &acquirer)?;
        let name = DeviceName { acquirer, serial };
        let found = registry.device_view(&name)?;
        let found = found.ok_or_else(|| Refusal::unknown("device", &name.serial))?;
        let version = found.version;
        Ok(versioned(Json(found), version))
    })
    .await
}

/// What happens to a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeviceHappening {
    /// reserve, release, deploy, repair, lose, find, order-wipe, wiped, wipe-failed, restock or retire
    event: String,
    /// Who has it from now on; empty leaves it
    #[serde(default)]
    custody: String,
    /// Why
    #[serde(default)]
    note: String,
}

/// Say what happened to a device
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}/{serial}/events", tag = "devices",
    params(
        ("acquirer" = String, Path), ("serial" = String, Path),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = DeviceHappening, responses((status = 200, body = Outcome))
)]
async fn device_event(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<DeviceHappening>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: DeviceHappening| {
        Ok(Command::Device {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial,
            },
            event: one_of!(DeviceEvent, "event", &new.event)?,
            custody: new.custody,
            note: new.note,
        })
    };
    admin.command(write, version, make).await
}

/// Check values of the keys that were loaded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoadedKeys {
    /// Name and check value (6 to 16 hexadecimal digits) of each; never a key
    check_values: std::collections::BTreeMap<String, String>,
}

/// Say which keys were loaded into a device, by their check values
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}/{serial}/keys", tag = "devices",
    params(("acquirer" = String, Path), ("serial" = String, Path)),
    request_body = LoadedKeys, responses((status = 200, body = Outcome))
)]
async fn load_keys(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
    write: Write<LoadedKeys>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: LoadedKeys| {
        Ok(Command::LoadKeys {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial,
            },
            check_values: new.check_values.into_iter().collect(),
        })
    };
    admin.command(write, None, make).await
}

/// A settlement account, as it is entered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// The acquirer's own reference; never a card number
    reference: String,
    /// DE42 of its merchant
    merchant_id: String,
    /// bank-card, wechat or alipay
    kind: String,
}

/// Enter a settlement account, unverified
#[utoipa::path(
    post, path = "/v1/accounts/{acquirer}", tag = "accounts",
    params(("acquirer" = String, Path)),
    request_body = NewAccount, responses((status = 200, body = Outcome))
)]
async fn add_account(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
    write: Write<NewAccount>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewAccount| {
        Ok(Command::AddAccount {
            account: AccountName {
                acquirer: acquirer_of(registry, &acquirer)?,
                reference: new.reference,
            },
            merchant: merchant_id(&new.merchant_id)?,
            kind: one_of!(AccountKind, "kind", &new.kind)?,
        })
    };
    admin.command(write, None, make).await
}

/// What happens to an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountHappening {
    /// verify, invalidate, freeze, unfreeze or close
    event: String,
    /// Why
    #[serde(default)]
    note: String,
    /// Number of the evidence that another person filed; needed to verify and to unfreeze
    evidence: Option<u64>,
}

/// Say what happened to an account; every terminal that settles into it follows at once
#[utoipa::path(
    post, path = "/v1/accounts/{acquirer}/{account}/events", tag = "accounts",
    params(
        ("acquirer" = String, Path), ("account" = String, Path, description = "The acquirer's reference"),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = AccountHappening, responses((status = 200, body = Outcome))
)]
async fn account_event(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<AccountHappening>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: AccountHappening| {
        Ok(Command::Account {
            account: AccountName {
                acquirer: acquirer_of(registry, &acquirer)?,
                reference: account,
            },
            event: one_of!(AccountEvent, "event", &new.event)?,
            note: new.note,
            evidence: new.evidence,
        })
    };
    admin.command(write, version, make).await
}

/// What shows that something may be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEvidence {
    /// `terminal ACQUIRER/ID`, `account ACQUIRER/REFERENCE`, `contact NUMBER` or `case NUMBER`
    about: String,
    /// verify-account, unfreeze-account, verify-contact, resume, force-drain, reuse-terminal or
    /// clear-REASON
    allows: String,
    /// What it is
    note: String,
    /// SHA-256 of a file; may be empty
    #[serde(default)]
    sha256: String,
}

/// File evidence for another person to act on, once and within a week
#[utoipa::path(
    post, path = "/v1/evidence", tag = "evidence",
    request_body = NewEvidence, responses((status = 200, body = Outcome))
)]
async fn file_evidence(
    State(admin): State<Admin>,
    write: Write<NewEvidence>,
) -> Result<Response, Refusal> {
    let make = |_registry: &mut dyn Registry, new: NewEvidence| {
        let allows = Allows::from_name(&new.allows).ok_or_else(|| {
            Refusal::unfit(
                "allows must be verify-account, unfreeze-account, verify-contact, resume, force-drain, \
                 reuse-terminal, or clear- and a reason",
            )
        })?;
        Ok(Command::FileEvidence {
            about: new.about,
            allows,
            note: new.note,
            sha256: new.sha256,
        })
    };
    admin.command(write, None, make).await
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
        dispatcher.send_code(registry, &contact, matter, &code)?;
        let sent = Command::Delivered {
            challenge: number,
            what: Delivery::Sent,
        };
        carry_out(registry, &dispatcher, &sent, None, actor)?;
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

/// Give up a challenge
#[utoipa::path(
    post, path = "/v1/challenges/{challenge}/cancel", tag = "challenges",
    params(("challenge" = u64, Path)),
    request_body = Object, responses((status = 200, body = Outcome))
)]
async fn cancel_challenge(
    State(admin): State<Admin>,
    Path(challenge): Path<u64>,
    write: Write<Value>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, _nothing: Value| {
        Ok(Command::CancelChallenge { challenge })
    };
    admin.command(write, None, make).await
}

/// The bound that people are told of stands in the binding room.
const _: () = assert!(TRIES_MAX == 5, "docs/bindings.md says five tries");
