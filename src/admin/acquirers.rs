//! Acquirers: who they are.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::Outcome;
use super::extract::{IfMatch, Path, SeenVersion, Write, versioned};
use super::problem::{Refusal, blocking};
use super::terminals::acquirer_of;
use crate::store::Registry;
use crate::store::command::{AcquirerDetails, AcquirerView, Command};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, set))
}

/// All acquirers.
#[derive(Debug, Serialize, ToSchema)]
struct Acquirers {
    acquirers: Vec<AcquirerView>,
}

/// The acquirers that listeners name or named
#[utoipa::path(
    get, path = "/v1/acquirers", tag = "acquirers", responses((status = 200, body = Acquirers))
)]
async fn list(State(admin): State<Admin>) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let mut acquirers = Vec::new();
        for (id, _) in registry.acquirers()? {
            acquirers.extend(registry.acquirer_view(id)?);
        }
        Ok(Json(Acquirers { acquirers }).into_response())
    })
    .await
}

/// An acquirer, with its licence
#[utoipa::path(
    get, path = "/v1/acquirers/{acquirer}", tag = "acquirers",
    params(("acquirer" = String, Path)), responses((status = 200, body = AcquirerView))
)]
async fn show(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let id = acquirer_of(registry.as_mut(), &acquirer)?;
        let found = registry.acquirer_view(id)?;
        let found = found.ok_or_else(|| Refusal::unknown("acquirer", &acquirer))?;
        let version = found.version;
        Ok(versioned(Json(found), version))
    })
    .await
}

/// What is said of an acquirer. What is empty or left out leaves what is there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDetails {
    /// Name as its licence has it
    #[serde(default)]
    legal_name: String,
    /// Its number in the network, at most 11 digits (DE32)
    #[serde(default)]
    institution: String,
    /// Number of its licence
    #[serde(default)]
    licence: String,
    /// Last day of its licence, as 2030-12-31
    #[serde(default)]
    licence_until: String,
}

/// Say who an acquirer is, or what is known of it by now
#[utoipa::path(
    put, path = "/v1/acquirers/{acquirer}", tag = "acquirers",
    params(("acquirer" = String, Path), SeenVersion),
    request_body = NewDetails, responses((status = 200, body = Outcome))
)]
async fn set(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
    IfMatch(version): IfMatch,
    write: Write<NewDetails>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewDetails| {
        Ok(Command::SetAcquirer {
            acquirer: acquirer_of(registry, &acquirer)?,
            details: AcquirerDetails {
                legal_name: new.legal_name,
                institution: new.institution,
                licence: new.licence,
                licence_until: new.licence_until,
            },
        })
    };
    admin.command(write, version, make).await
}
