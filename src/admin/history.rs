//! What bindings were: their changes, and what a terminal was at a time that is over.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::bindings::binding_numbered;
use super::extract::{Parameters, Path};
use super::problem::{Refusal, blocking};
use super::terminals::key_of;
use super::when::Bound;
use crate::binding::hold::HoldScope;
use crate::binding::{BindingState, RependReason};
use crate::store::registry::{BindingChange, BindingThen};
use crate::store::{BindingRow, Registry, StoreError};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(history))
        .routes(routes!(history_of_binding))
        .routes(routes!(binding_at))
}

/// What changed a binding.
#[derive(Debug, Serialize, ToSchema)]
struct History {
    /// Number of the binding
    binding: u64,
    /// Microseconds since 1970-01-01 UTC
    opened_at_us: u64,
    /// Oldest first
    changes: Vec<Change>,
}

/// One change of a binding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BindingChange)]
struct Change {
    /// The version that it led to
    version: u32,
    /// Microseconds since 1970-01-01 UTC
    at_us: u64,
    /// Who made it
    by: String,
    /// What happened
    event: String,
    /// State from then on
    state: &'static str,
    /// Why it was re-pending from then on
    reasons: Vec<&'static str>,
    /// Why, or what shows it
    note: String,
    /// The second person, where there had to be one
    checker: String,
}

impl Change {
    fn of(change: BindingChange) -> Self {
        Self {
            version: change.version,
            at_us: change.at.0,
            by: change.actor,
            event: change.event,
            state: change.state.name(),
            reasons: change.reasons.iter().map(RependReason::name).collect(),
            note: change.note,
            checker: change.checker,
        }
    }
}

/// Everything that changed a terminal's present binding, oldest first
#[utoipa::path(
    get, path = "/v1/terminals/{acquirer}/{terminal}/history", tag = "bindings",
    params(("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding")),
    responses((status = 200, body = History))
)]
async fn history(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
        let row = registry.show(key)?;
        let row = row.ok_or_else(|| Refusal::unknown("terminal", &terminal))?;
        Ok(Json(History::of(registry.as_mut(), &row)?).into_response())
    })
    .await
}

/// Everything that changed one binding, open or closed, oldest first
#[utoipa::path(
    get, path = "/v1/bindings/{binding}/history", tag = "bindings",
    params(("binding" = u64, Path)),
    responses((status = 200, body = History))
)]
async fn history_of_binding(
    State(admin): State<Admin>,
    Path(binding): Path<u64>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let row = binding_numbered(registry.as_mut(), binding)?;
        Ok(Json(History::of(registry.as_mut(), &row)?).into_response())
    })
    .await
}

impl History {
    fn of(registry: &mut dyn Registry, row: &BindingRow) -> Result<Self, StoreError> {
        let changes = registry.binding_changes(row.admission.binding)?;
        Ok(Self {
            binding: row.admission.binding.0,
            opened_at_us: row.opened_at.0,
            changes: changes.into_iter().map(Change::of).collect(),
        })
    }
}

/// When.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct When {
    /// RFC 3339, a local date and time, or a local date for its beginning; now when absent
    at: Option<String>,
}

/// What a terminal was at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BindingThen)]
struct Then {
    /// Number of the binding
    binding: u64,
    /// DE42
    merchant_id: String,
    /// Microseconds since 1970-01-01 UTC
    opened_at_us: u64,
    /// When it was closed since; null when it is open
    closed_at_us: Option<u64>,
    /// Its version then; null, as the state, before the first change of a binding that an earlier posgate changed first
    version: Option<u32>,
    /// Since when it was like that, microseconds since 1970-01-01 UTC
    since_us: u64,
    /// State
    state: Option<&'static str>,
    /// Why it was re-pending
    reasons: Vec<&'static str>,
    /// What was held
    holds: Vec<&'static str>,
    /// The acquirer's references of its settlement accounts, the first one first
    accounts: Vec<String>,
    /// Serial number of the device, where it is known
    serial: Option<String>,
}

impl Then {
    fn of(then: BindingThen) -> Self {
        Self {
            binding: then.binding.0,
            merchant_id: then.merchant,
            opened_at_us: then.opened_at.0,
            closed_at_us: then.closed_at.map(|at| at.0),
            version: then.version,
            since_us: then.since.0,
            state: then.state.map(BindingState::name),
            reasons: then.reasons.iter().map(RependReason::name).collect(),
            holds: then.holds.iter().map(HoldScope::name).collect(),
            accounts: then.accounts,
            serial: then.serial,
        }
    }
}

/// Whose a terminal was at a time, in which state, on which device, and where its money went
#[utoipa::path(
    get, path = "/v1/terminals/{acquirer}/{terminal}/binding", tag = "bindings",
    params(("acquirer" = String, Path), ("terminal" = String, Path, description = "DE41"), When),
    responses((status = 200, body = Then))
)]
async fn binding_at(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    Parameters(when): Parameters<When>,
) -> Result<Response, Refusal> {
    let at = match when.at.as_deref() {
        Some(text) => Bound::From
            .parse(text, &TimeZone::system())
            .map_err(Refusal::bad)?,
        None => admin.clock.wall(),
    };
    blocking(move || {
        let mut registry = admin.registry.lock();
        let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
        let then = registry.binding_at(key, at)?;
        let then =
            then.ok_or_else(|| Refusal::unknown("binding at that time of terminal", &terminal))?;
        Ok(Json(Then::of(then)).into_response())
    })
    .await
}
