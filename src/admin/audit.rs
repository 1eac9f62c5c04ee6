//! `/v1/audit`: the audit trail, its end, and whether it is as it was written.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::Parameters;
use super::inquiry::{Inquiry, InquiryError};
use super::problem::Refusal;
use crate::base::limits;
use crate::store::audit::{Events, Head, StoredEvent, Verdict};

/// Events of a page when nobody says how many.
const PAGE: usize = 50;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(head))
        .routes(routes!(verdict))
}

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Kind and name, as `terminal acme/T0000001`
    pub subject: Option<String>,
    /// Name of who did it
    pub actor: Option<String>,
    /// What was done; `binding.` means all that begin so
    pub event: Option<String>,
    /// Where the page before ended
    pub cursor: Option<String>,
    /// Events of a page, 1 to 1000
    pub limit: Option<String>,
}

impl Asked {
    /// The question as the part of an address after `?`.
    #[must_use]
    pub fn address(&self) -> String {
        let set = [
            ("subject", &self.subject),
            ("actor", &self.actor),
            ("event", &self.event),
            ("cursor", &self.cursor),
            ("limit", &self.limit),
        ];
        let pairs = set.into_iter().filter_map(|(name, value)| {
            Some(format!("{name}={}", super::escaped(value.as_deref()?)))
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    fn cursor(&self) -> Result<Option<u64>, InquiryError> {
        let read = |text: &str| {
            let digits = text.strip_prefix('a');
            let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok())
        };
        let wrong = || InquiryError::Bad("cursor is not one of ours; take `next` as it is".into());
        let cursor = self.cursor.as_deref();
        cursor.map(|text| read(text).ok_or_else(wrong)).transpose()
    }

    fn limit(&self) -> Result<usize, InquiryError> {
        let Some(text) = &self.limit else {
            return Ok(PAGE);
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let limit = plain.then(|| text.parse().ok()).flatten();
        let within = |limit: &usize| (1..=limits::AUDIT_PAGE_MAX).contains(limit);
        limit.filter(within).ok_or_else(|| {
            let most = limits::AUDIT_PAGE_MAX;
            InquiryError::Bad(format!("limit is a number from 1 to {most}"))
        })
    }
}

/// Which end is looked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Kept {
    /// A head that was kept elsewhere, `NUMBER:HASH`: it has to be on the trail
    head: Option<String>,
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
struct Page {
    /// Newest first. Each has its `number`, `at_us`, `actor`, `event`, `subject`, `previous` and `hash`, and where there
    /// are any `before`, `after`, `details` and `request`
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Events, newest first
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(Asked),
    responses((status = 200, body = Page))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let read = move |inquiry: &mut Inquiry| page(inquiry, &asked);
    Ok(Json(admin.questions.ask(read).await?).into_response())
}

/// A page: `events`, newest first, and `next`, the cursor to go on with, or null.
///
/// # Errors
/// When it is not asked right, or the store cannot answer.
pub fn page(inquiry: &mut Inquiry, asked: &Asked) -> Result<Value, InquiryError> {
    let limit = asked.limit()?;
    let events = Events {
        subject: asked.subject.clone(),
        actor: asked.actor.clone(),
        event: asked.event.clone(),
        before: asked.cursor()?,
        limit: limit + 1,
    };
    let mut found = inquiry.registry.events(&events)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|event| format!("a{}", event.number));
    let events = found.iter().map(shown).collect();
    let page = Page { events, next };
    Ok(serde_json::to_value(page).unwrap_or_default())
}

/// The content with its hash beside it. Without `hash` and in canonical form it is what the hash is of.
fn shown(event: &StoredEvent) -> Value {
    let mut shown: Value = serde_json::from_str(&event.content).unwrap_or_default();
    shown["hash"] = event.hash.to_string().into();
    shown
}

/// The end of the trail.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
struct HeadShown {
    /// Number of the last event; 0 when there is none
    number: u64,
    /// SHA-256 of its content, in hexadecimal
    hash: String,
    /// Both, as `NUMBER:HASH`: what a verdict compares with
    head: String,
}

/// Whether the trail is as it was written.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditVerdict)]
struct VerdictShown {
    /// Whether it is
    is_sound: bool,
    /// Number of events that are, from the first on
    sound: u64,
    /// Its end
    head: String,
    /// What is wrong first; null when nothing is
    problem: Option<String>,
}

/// The end of the trail: keep a copy elsewhere, and compare
#[utoipa::path(
    get, path = "/v1/audit/head", tag = "audit",
    responses((status = 200, body = HeadShown))
)]
async fn head(State(admin): State<Admin>) -> Result<Response, Refusal> {
    Ok(Json(admin.questions.ask(head_of).await?).into_response())
}

/// The end of a store's trail.
///
/// # Errors
/// When the store fails.
pub fn head_of(inquiry: &mut Inquiry) -> Result<Value, InquiryError> {
    let head = inquiry.registry.head()?;
    let shown = HeadShown {
        number: head.number,
        hash: head.hash.to_string(),
        head: head.to_string(),
    };
    Ok(serde_json::to_value(shown).unwrap_or_default())
}

/// Whether the trail is as it was written; reads all of it
#[utoipa::path(
    get, path = "/v1/audit/verdict", tag = "audit", params(Kept),
    responses((status = 200, body = VerdictShown))
)]
async fn verdict(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Kept>,
) -> Result<Response, Refusal> {
    let kept = asked.head.as_deref().map(kept).transpose()?;
    let read = move |inquiry: &mut Inquiry| verified(inquiry, kept.as_ref());
    Ok(Json(admin.questions.ask(read).await?).into_response())
}

fn kept(text: &str) -> Result<Head, Refusal> {
    let head = Head::parse(text);
    head.ok_or_else(|| Refusal::bad("head is NUMBER:HASH, as `posgate audit head` writes it"))
}

/// Looks through the trail of a store.
///
/// # Errors
/// When the store fails.
pub fn verified(inquiry: &mut Inquiry, kept: Option<&Head>) -> Result<Value, InquiryError> {
    let Verdict { sound, head, wrong } = inquiry.registry.verify(kept)?;
    let told = wrong.as_ref().map(ToString::to_string);
    let shown = VerdictShown {
        is_sound: wrong.is_none(),
        sound,
        head: head.to_string(),
        problem: told,
    };
    Ok(serde_json::to_value(shown).unwrap_or_default())
}
