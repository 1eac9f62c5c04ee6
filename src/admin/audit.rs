//! `/v1/audit`: the audit trail, its end, and whether it is as it was written.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::Parameters;
use super::inquiry::{Inquiry, InquiryError};
use super::problem::Refusal;
use super::tokens::page_limit;
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
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Kind and name, as `terminal acme/T0000001`
    subject: Option<String>,
    /// Name of who did it
    actor: Option<String>,
    /// What was done; `binding.` means all that begin so
    event: Option<String>,
    /// Where the page before ended
    cursor: Option<String>,
    /// Events of a page, 1 to 1000
    limit: Option<String>,
}

/// Which end is looked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Kept {
    /// A head that was kept elsewhere, `NUMBER:HASH`: it has to be on the trail
    head: Option<String>,
}

/// Events, newest first
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(Asked),
    responses((status = 200, body = Object))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let limit = page_limit(asked.limit.as_deref(), PAGE, limits::AUDIT_PAGE_MAX)?;
    let before = asked.cursor.as_deref().map(cursor).transpose()?;
    let events = Events {
        subject: asked.subject,
        actor: asked.actor,
        event: asked.event,
        before,
        limit: limit + 1,
    };
    let read = move |inquiry: &mut Inquiry| Ok(inquiry.registry.events(&events)?);
    let mut found = admin.questions.ask(read).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|event| format!("a{}", event.number));
    let events: Vec<_> = found.iter().map(shown).collect();
    Ok(Json(json!({ "events": events, "next": next })).into_response())
}

fn cursor(text: &str) -> Result<u64, Refusal> {
    let digits = text.strip_prefix('a');
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Refusal::bad("cursor is not one of ours; take `next` as it is"))
}

/// The content with its hash beside it. Without `hash` and in canonical form it is what the hash is of.
pub(super) fn shown(event: &StoredEvent) -> Value {
    let mut shown: Value = serde_json::from_str(&event.content).unwrap_or_default();
    shown["hash"] = event.hash.to_string().into();
    shown
}

/// The end of the trail: keep a copy elsewhere, and compare
#[utoipa::path(
    get, path = "/v1/audit/head", tag = "audit",
    responses((status = 200, body = Object))
)]
async fn head(State(admin): State<Admin>) -> Result<Response, Refusal> {
    let read = |inquiry: &mut Inquiry| Ok(inquiry.registry.head()?);
    let head = admin.questions.ask(read).await?;
    Ok(Json(head_shown(head)).into_response())
}

fn head_shown(head: Head) -> Value {
    json!({ "number": head.number, "hash": head.hash.to_string(), "head": head.to_string() })
}

/// Whether the trail is as it was written; reads all of it
#[utoipa::path(
    get, path = "/v1/audit/verdict", tag = "audit", params(Kept),
    responses((status = 200, body = Object))
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
pub(super) fn verified(inquiry: &mut Inquiry, kept: Option<&Head>) -> Result<Value, InquiryError> {
    let Verdict { sound, head, wrong } = inquiry.registry.verify(kept)?;
    let told = wrong.as_ref().map(ToString::to_string);
    Ok(json!({
        "is_sound": wrong.is_none(),
        "sound": sound,
        "head": head.to_string(),
        "problem": told,
    }))
}
