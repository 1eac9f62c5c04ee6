//! Contacts of merchants: phones and e-mail addresses, and how one takes the place of another.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, merchant_id, no_key, one_of, unfit};
use super::extract::{IfMatch, Parameters, Path, SeenVersion, Write};
use super::page;
use super::problem::{Refusal, blocking};
use super::routes::CONTACT;
use super::terminals::acquirer_of;
use crate::base::Timestamp;
use crate::binding::contact::{ContactEvent, ContactKind, ContactRole, ContactValue};
use crate::store::Registry;
use crate::store::command::{Command, ContactView, MerchantsWord, Sealed};
use crate::switch::SEALED_FOR_CONTACT;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_contacts, add_contact))
        .routes(routes!(contact_event))
        .routes(routes!(consent))
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
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Contacts of a merchant, masked, oldest first
#[utoipa::path(
    get, path = "/v1/merchants/{acquirer}/{merchant}/contacts", tag = "contacts",
    params(
        ("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42"),
        page::Asked,
    ),
    responses((status = 200, body = Contacts))
)]
async fn list_contacts(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
    Parameters(asked): Parameters<page::Asked>,
) -> Result<Response, Refusal> {
    let page = asked.page()?;
    blocking(move || {
        let mut registry = admin.registry.lock();
        let id = acquirer_of(registry.as_mut(), &acquirer)?;
        let found = registry.contact_views(id, merchant_id(&merchant)?, page.part())?;
        let (contacts, next) = page.cut(found, |contact| contact.contact);
        Ok(Json(Contacts { contacts, next }).into_response())
    })
    .await
}

/// What happens to a contact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactHappening {
    /// verify, confirm (by another person than entered it: a phone of the owner speaks for the merchant), suspect or
    /// revoke
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

/// Verify a contact by evidence, confirm it, doubt it, or give it up
#[utoipa::path(
    post, path = "/v1/contacts/{contact}/events", tag = "contacts",
    params(
        ("contact" = u64, Path),
        SeenVersion,
    ),
    request_body = ContactHappening, responses((status = 200, body = Outcome))
)]
async fn contact_event(
    State(admin): State<Admin>,
    Path(contact): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<ContactHappening>,
) -> Result<Response, Refusal> {
    let event = one_of!(ContactEvent, "event", &write.body.event)?;
    admin
        .permit_act(&write.caller, CONTACT, event.name())
        .await?;
    let make = move |_registry: &mut dyn Registry, new: ContactHappening| {
        Ok(Command::Contact {
            contact,
            event,
            note: new.note,
            evidence: new.evidence,
            last_too: new.last_too,
        })
    };
    admin.command(write, version, make).await
}

/// How somebody was recognised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recognised {
    /// Number of a challenge.
    pub(super) challenge: Option<u64>,
    /// Number of evidence.
    pub(super) evidence: Option<u64>,
}

impl Recognised {
    /// The one of both that was said.
    pub(super) fn word(self) -> Result<MerchantsWord, Refusal> {
        match (self.challenge, self.evidence) {
            (Some(challenge), None) => Ok(MerchantsWord::Challenge(challenge)),
            (None, Some(evidence)) => Ok(MerchantsWord::Evidence(evidence)),
            (Some(_), Some(_)) | (None, None) => Err(Refusal::unfit(
                "say either the challenge that was approved, or the evidence of the colleague who saw the originals \
                 with you",
            )),
        }
    }
}

/// How, and for when, the holder of a contact agrees that another takes its place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Consent {
    /// Number of a challenge (change-phone-old, subject the new contact) that was approved within 20 minutes
    challenge: Option<u64>,
    /// Number of the evidence (replace-contact, about the new contact) that another person filed who saw the originals
    /// too, at the counter
    evidence: Option<u64>,
    /// When the change is to take effect at the earliest, in microseconds since 1970-01-01 UTC, at most 90 days ahead; as
    /// soon as it may when absent
    effective_at_us: Option<u64>,
}

/// The holder of the contact that is to go agrees to its replacement, now or for a day to come
#[utoipa::path(
    post, path = "/v1/contacts/{contact}/consent", tag = "contacts",
    params(("contact" = u64, Path, description = "The new contact"), SeenVersion),
    request_body = Consent, responses((status = 200, body = Outcome))
)]
async fn consent(
    State(admin): State<Admin>,
    Path(contact): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Consent>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, new: Consent| {
        let said = Recognised {
            challenge: new.challenge,
            evidence: new.evidence,
        };
        Ok(Command::ConsentToChange {
            contact,
            word: said.word()?,
            effective_at: Timestamp(new.effective_at_us.unwrap_or(0)),
        })
    };
    admin.command(write, version, make).await
}
