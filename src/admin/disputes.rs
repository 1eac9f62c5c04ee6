//! Disputes about transactions, as staff record them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::extract::{IfMatch, Parameters, Path, SeenVersion, Write};
use super::page;
use super::problem::{Refusal, blocking};
use super::refunds::original_of;
use crate::base::TxnId;
use crate::binding::dispute::DisputeEnd;
use crate::store::Registry;
use crate::store::command::{Command, DisputeView};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list_disputes, open_dispute))
        .routes(routes!(close_dispute))
}

/// Disputes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputeList)]
struct Disputes {
    disputes: Vec<DisputeView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Which disputes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Those that are over too
    #[serde(default)]
    all: bool,
    /// Where the page before ended
    cursor: Option<String>,
    /// How many a page has, 1 to 1000; 100 when absent
    limit: Option<String>,
}

/// Open disputes, newest first; or all of them
#[utoipa::path(
    get, path = "/v1/disputes", tag = "transactions", params(Asked),
    responses((status = 200, body = Disputes))
)]
async fn list_disputes(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let page = page::Asked::of(asked.cursor, asked.limit).page()?;
    blocking(move || {
        let mut registry = admin.registry.lock();
        let found = registry.dispute_views(!asked.all, page.part())?;
        let (disputes, next) = page.cut(found, |dispute| dispute.dispute);
        Ok(Json(Disputes { disputes, next }).into_response())
    })
    .await
}

/// A dispute, as it comes in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDispute {
    /// Number of the transaction that is contested
    transaction: u64,
    /// The network's or the issuer's reference of it
    reference: String,
    /// What is contested; one line without card numbers, kept for good
    note: String,
}

/// Record that a transaction is contested; the merchant is told
#[utoipa::path(
    post, path = "/v1/disputes", tag = "transactions",
    request_body = NewDispute, responses((status = 200, body = Outcome))
)]
async fn open_dispute(
    State(admin): State<Admin>,
    write: Write<NewDispute>,
) -> Result<Response, Refusal> {
    let binding = original_of(&admin, TxnId(write.body.transaction))
        .await?
        .binding;
    let make = move |_registry: &mut dyn Registry, new: NewDispute| {
        Ok(Command::OpenDispute {
            binding,
            transaction: new.transaction,
            reference: new.reference,
            note: new.note,
        })
    };
    admin.command(write, None, make).await
}

/// The end of a dispute.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ended {
    /// won (the merchant keeps the money), lost (it went back) or withdrawn
    end: String,
    /// How it ended
    note: String,
}

/// Record how a dispute ended
#[utoipa::path(
    post, path = "/v1/disputes/{dispute}/close", tag = "transactions",
    params(("dispute" = u64, Path), SeenVersion),
    request_body = Ended, responses((status = 200, body = Outcome))
)]
async fn close_dispute(
    State(admin): State<Admin>,
    Path(dispute): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Ended>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, ended: Ended| {
        Ok(Command::CloseDispute {
            dispute,
            end: one_of!(DisputeEnd, "end", &ended.end)?,
            note: ended.note,
        })
    };
    admin.command(write, version, make).await
}
