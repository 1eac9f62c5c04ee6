//! Merchants: who a shop is.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, merchant_id, no_key, one_of, unfit};
use super::extract::{IfMatch, Path, SeenVersion, Write, versioned};
use super::problem::{Refusal, blocking};
use super::terminals::{OtherAccount, acquirer_of};
use crate::binding::RependReason;
use crate::binding::merchant::{IdentityKind, IdentityNumber, MerchantKind};
use crate::security::DataKeys;
use crate::store::command::{Command, MerchantView, Sealed};
use crate::store::{BindingRow, Registry};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(show_merchant, set_merchant))
        .routes(routes!(terminals))
}

/// A merchant's terminals.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MerchantTerminals)]
struct Terminals {
    /// At most 1000, by their ids
    terminals: Vec<MerchantTerminal>,
    /// Whether it has more, which the export has; left out when not
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// A terminal of a merchant.
#[derive(Debug, Serialize, ToSchema)]
struct MerchantTerminal {
    /// DE41
    terminal_id: String,
    /// Number of the binding
    binding: u64,
    state: &'static str,
    /// Why it is re-pending
    reasons: Vec<&'static str>,
    /// The acquirer's reference of the settlement account
    account_id: String,
    account_status: &'static str,
    /// Accounts of other kinds that it has too
    other_accounts: Vec<OtherAccount>,
    /// Of the device; may be empty
    serial: String,
}

impl MerchantTerminal {
    fn of(row: BindingRow) -> Self {
        let admission = row.admission;
        Self {
            terminal_id: row.key.terminal.to_string(),
            binding: admission.binding.0,
            state: admission.state.name(),
            reasons: admission.reasons.iter().map(RependReason::name).collect(),
            account_id: row.account,
            account_status: row.account_status.name(),
            other_accounts: row.others.into_iter().map(OtherAccount::of).collect(),
            serial: row.serial,
        }
    }
}

/// A merchant's terminals that are bound, each with what it waits for
#[utoipa::path(
    get, path = "/v1/merchants/{acquirer}/{merchant}/terminals", tag = "merchants",
    params(("acquirer" = String, Path), ("merchant" = String, Path, description = "DE42")),
    responses((status = 200, body = Terminals))
)]
async fn terminals(
    State(admin): State<Admin>,
    Path((acquirer, merchant)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let (id, name) = (
            acquirer_of(registry.as_mut(), &acquirer)?,
            merchant_id(&merchant)?,
        );
        let known = registry.merchant_view(id, name)?;
        known.ok_or_else(|| Refusal::unknown("merchant", &merchant))?;
        let (rows, more) = registry.merchant_terminals(id, name)?;
        let terminals = rows.into_iter().map(MerchantTerminal::of).collect();
        Ok(Json(Terminals { terminals, more }).into_response())
    })
    .await
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
        SeenVersion,
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
