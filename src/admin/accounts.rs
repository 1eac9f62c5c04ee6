//! Settlement accounts: entered, verified, frozen, closed.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, merchant_id, one_of};
use super::extract::{IfMatch, Path, SeenVersion, Write};
use super::problem::Refusal;
use super::routes::ACCOUNT;
use super::terminals::acquirer_of;
use crate::binding::account::{AccountEvent, AccountKind};
use crate::store::Registry;
use crate::store::command::{AccountName, Command};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(add_account))
        .routes(routes!(account_event))
        .routes(routes!(release))
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
        SeenVersion,
    ),
    request_body = AccountHappening, responses((status = 200, body = Outcome))
)]
async fn account_event(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<AccountHappening>,
) -> Result<Response, Refusal> {
    let event = one_of!(AccountEvent, "event", &write.body.event)?;
    admin
        .permit_act(&write.caller, ACCOUNT, event.name())
        .await?;
    let make = move |registry: &mut dyn Registry, new: AccountHappening| {
        Ok(Command::Account {
            account: AccountName {
                acquirer: acquirer_of(registry, &acquirer)?,
                reference: account,
            },
            event,
            note: new.note,
            evidence: new.evidence,
        })
    };
    admin.command(write, version, make).await
}

/// Who gets what a closed account cannot be paid.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// Reference of a verified account of the same merchant
    to: String,
    /// Number of the evidence (release-suspense) that another person filed
    evidence: Option<u64>,
}

/// Say which account gets what a closed one cannot be paid (`unpayable` in the settlement file)
#[utoipa::path(
    post, path = "/v1/accounts/{acquirer}/{account}/release", tag = "accounts",
    params(
        ("acquirer" = String, Path), ("account" = String, Path, description = "The acquirer's reference"),
        SeenVersion,
    ),
    request_body = Release, responses((status = 200, body = Outcome))
)]
async fn release(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<Release>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: Release| {
        Ok(Command::ReleaseSuspense {
            account: AccountName {
                acquirer: acquirer_of(registry, &acquirer)?,
                reference: account,
            },
            to: new.to,
            evidence: new.evidence,
        })
    };
    admin.command(write, version, make).await
}
