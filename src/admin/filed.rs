//! Evidence that one person files for another to act on.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::Outcome;
use super::extract::{Parameters, Path, Write};
use super::page;
use super::problem::{Refusal, blocking};
use crate::store::Registry;
use crate::store::command::{Allows, Command, EvidenceView};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list, file_evidence))
        .routes(routes!(refuse_evidence))
}

/// Evidence.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceList)]
struct Filed {
    evidence: Vec<EvidenceView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Evidence that was filed within a week and that nobody acted on, newest first
#[utoipa::path(
    get, path = "/v1/evidence", tag = "evidence", params(page::Asked),
    responses((status = 200, body = Filed))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<page::Asked>,
) -> Result<Response, Refusal> {
    let page = asked.page()?;
    blocking(move || {
        let now = admin.clock.wall();
        let found = admin.registry.lock().evidence_views(now, page.part())?;
        let (evidence, next) = page.cut(found, |filed| filed.evidence);
        Ok(Json(Filed { evidence, next }).into_response())
    })
    .await
}

/// What shows that something may be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEvidence {
    /// `terminal ACQUIRER/ID`, `account ACQUIRER/REFERENCE`, `merchant ACQUIRER/ID`, `contact NUMBER` or `case NUMBER`
    about: String,
    /// verify-account, unfreeze-account, verify-contact, resume, force-drain, reuse-terminal, raise-limit,
    /// release-suspense, change-account, replace-contact, prove-identity, activate or clear-REASON
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
                 reuse-terminal, raise-limit, release-suspense, change-account, replace-contact, prove-identity, \
                 activate, or clear- and a reason",
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

/// Why evidence is not good.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refused {
    /// Why
    note: String,
}

/// Take evidence back, or refuse what another person filed: nobody may act on it any more
#[utoipa::path(
    post, path = "/v1/evidence/{evidence}/refuse", tag = "evidence",
    params(("evidence" = u64, Path)),
    request_body = Refused, responses((status = 200, body = Outcome))
)]
async fn refuse_evidence(
    State(admin): State<Admin>,
    Path(evidence): Path<u64>,
    write: Write<Refused>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, new: Refused| {
        Ok(Command::RefuseEvidence {
            evidence,
            note: new.note,
        })
    };
    admin.command(write, None, make).await
}
