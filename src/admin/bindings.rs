//! Bindings through their life, their holds, and terminals that are heard of after their end.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::extract::{IfMatch, Parameters, Path, SeenVersion, Write};
use super::page;
use super::problem::{Refusal, blocking};
use super::routes::ACTIONS;
use super::terminals::key_of;
use crate::base::{BindingId, MerchantId};
use crate::binding::challenge::{Code, Purpose};
use crate::binding::hold::{Explained, HoldScope};
use crate::binding::tested::TestsShown;
use crate::binding::{BindingState, ReasonSet, RependReason};
use crate::security::DataKeys;
use crate::store::command::{AlertView, Command, HoldView, MerchantsWord};
use crate::store::registry::RegistryError;
use crate::store::{BindingRow, Registry};
use crate::switch::{Matter, hash};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(request))
        .routes(routes!(act))
        .routes(routes!(list_holds, place_hold))
        .routes(routes!(appeal_hold))
        .routes(routes!(lift_hold))
        .routes(routes!(alerts))
}

/// A binding that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBinding {
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// DE42
    merchant_id: String,
    /// Reference of the settlement account
    account_id: String,
    /// References of accounts of other kinds: what the customer pays with says which of them gets the money
    #[serde(default)]
    other_account_ids: Vec<String>,
    /// Serial number of a device in stock
    serial: String,
    /// Number of the evidence (reuse-terminal) that another person filed, for a terminal id that is kept from others
    /// after its end
    evidence: Option<u64>,
}

/// Ask for a binding; its device is reserved, nothing may be done with it yet
#[utoipa::path(
    post, path = "/v1/bindings", tag = "bindings",
    request_body = NewBinding, responses((status = 200, body = Outcome))
)]
async fn request(
    State(admin): State<Admin>,
    write: Write<NewBinding>,
) -> Result<Response, Refusal> {
    let make = |registry: &mut dyn Registry, new: NewBinding| {
        let merchant = MerchantId::parse(&new.merchant_id);
        Ok(Command::RequestBinding {
            key: key_of(registry, &new.acquirer, &new.terminal_id)?,
            merchant: merchant.map_err(|wrong| Refusal::unfit(wrong.to_string()))?,
            accounts: std::iter::once(new.account_id)
                .chain(new.other_account_ids)
                .collect(),
            serial: new.serial,
            evidence: new.evidence,
        })
    };
    admin.command(write, None, make).await
}

/// What is done with a binding.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
enum Act {
    /// A second person approves it
    Approve {
        /// Reference of the network's acknowledgement
        network: String,
    },
    /// It comes to nothing
    Reject {
        /// Why
        note: String,
    },
    /// Its device answers with the activation code
    Activate {
        /// Serial number that it says
        serial: String,
        /// Number of the challenge
        challenge: u64,
        /// Six digits
        code: String,
        /// Number of the evidence (activate) that another person filed; needed where no test of the terminal was
        /// approved here, or no keys are on record for its device
        evidence: Option<u64>,
    },
    /// Something has to be verified anew
    Repend {
        /// phone, account, device, location, dormant, identity, reconfirm
        reasons: Vec<String>,
        /// Why
        note: String,
    },
    /// There is evidence for one reason
    Clear {
        /// Which
        reason: String,
        /// Number of the evidence that another person filed
        evidence: u64,
    },
    /// It is a spare, which may be idle, or is none any more
    Spare {
        /// Whether it is
        spare: bool,
        /// Why
        note: String,
    },
    /// Its device stands there; where it stood elsewhere before and trades, that is verified anew (location)
    Place {
        /// The address, in one line
        address: String,
        /// Why it is another one, or who said so
        note: String,
    },
    /// It is stopped
    Suspend {
        /// Why
        note: String,
    },
    /// It goes on
    Resume {
        /// Number of the evidence that another person filed
        evidence: u64,
    },
    /// Its money is to settle elsewhere: what is paid into accounts of that kind
    RequestAccount {
        /// Reference of a verified account of the same merchant; of a kind that it has none of, it is added
        account_id: String,
        /// Why
        note: String,
    },
    /// It is to have no account of a kind any more: what is paid into it is declined
    RequestAccountEnd {
        /// Reference of one of its accounts, not the only one
        account_id: String,
        /// Why
        note: String,
    },
    /// The merchant says so itself: by a code that came back, or by what another person saw
    ConfirmAccount {
        /// Number of a challenge (change-account, subject the binding) that was approved within 20 minutes
        challenge: Option<u64>,
        /// Number of the evidence (change-account) that another person filed
        evidence: Option<u64>,
    },
    /// A second person agrees that it does
    ApproveAccount {
        /// Reference of the network's acknowledgement
        network: String,
    },
    /// It does not
    CancelAccount {
        /// Why
        note: String,
    },
}

impl Act {
    /// As a request says it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Activate { .. } => "activate",
            Self::Repend { .. } => "repend",
            Self::Clear { .. } => "clear",
            Self::Spare { .. } => "spare",
            Self::Place { .. } => "place",
            Self::Suspend { .. } => "suspend",
            Self::Resume { .. } => "resume",
            Self::RequestAccount { .. } => "request-account",
            Self::RequestAccountEnd { .. } => "request-account-end",
            Self::ConfirmAccount { .. } => "confirm-account",
            Self::ApproveAccount { .. } => "approve-account",
            Self::CancelAccount { .. } => "cancel-account",
        }
    }
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // One of them holds a code.
        f.write_str("Act")
    }
}

/// Do something with a terminal's binding; the gate knows it when this answers
#[utoipa::path(
    post, path = "/v1/terminals/{acquirer}/{terminal}/actions", tag = "bindings",
    params(
        ("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding"),
        SeenVersion,
    ),
    request_body = Act, responses((status = 200, body = Outcome))
)]
async fn act(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<Act>,
) -> Result<Response, Refusal> {
    let name = write.body.name();
    admin.permit_act(&write.caller, ACTIONS, name).await?;
    let keys = admin.switch.keys.clone();
    let shown = match &write.body {
        Act::Activate { .. } => admin.tests_at(&acquirer, &terminal).await?,
        _other => TestsShown::default(),
    };
    let make = move |registry: &mut dyn Registry, act: Act| {
        command_of(registry, &keys, &acquirer, &terminal, act, shown)
    };
    admin.command(write, version, make).await
}

impl Admin {
    /// What the binding that a terminal has now has shown of its tests.
    async fn tests_at(&self, acquirer: &str, terminal: &str) -> Result<TestsShown, Refusal> {
        let registry = self.registry.clone();
        let (acquirer, terminal) = (acquirer.to_owned(), terminal.to_owned());
        let binding = blocking(move || {
            let mut registry = registry.lock();
            let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
            let row = registry.show(key)?;
            let row = row.ok_or_else(|| Refusal::unknown("terminal", &terminal))?;
            // What may not be activated is refused as that, whatever it has shown.
            let activating = row.admission.state == BindingState::Activating;
            Ok(activating.then_some(row.admission.binding))
        });
        match binding.await? {
            Some(binding) => self.tests_of(binding).await,
            None => Ok(TestsShown::default()),
        }
    }
}

fn command_of(
    registry: &mut dyn Registry,
    keys: &DataKeys,
    acquirer: &str,
    terminal: &str,
    act: Act,
    shown: TestsShown,
) -> Result<Command, Refusal> {
    let key = key_of(registry, acquirer, terminal)?;
    Ok(match act {
        Act::Approve { network } => Command::ApproveBinding { key, network },
        Act::Reject { note } => Command::RejectBinding { key, note },
        Act::Activate {
            serial,
            challenge,
            code,
            evidence,
        } => {
            let row = registry.show(key)?;
            let row = row.ok_or_else(|| Refusal::unknown("terminal", terminal))?;
            let code = Code::parse(&code).map_err(RegistryError::from)?;
            let matter = Matter {
                purpose: Purpose::Bind,
                subject: row.admission.binding.0,
                payment: None,
            };
            Command::ActivateBinding {
                key,
                serial,
                challenge,
                code: hash(keys, challenge, matter, &code),
                shown,
                evidence,
            }
        }
        Act::Repend { reasons, note } => {
            let mut set = ReasonSet::EMPTY;
            for reason in &reasons {
                set = set.with(one_of!(RependReason, "reasons", reason)?);
            }
            let reasons = set;
            Command::Repend { key, reasons, note }
        }
        Act::Clear { reason, evidence } => Command::ClearReason {
            key,
            reason: one_of!(RependReason, "reason", &reason)?,
            evidence,
        },
        Act::Spare { spare, note } => Command::SetSpare { key, spare, note },
        Act::Place { address, note } => Command::Place { key, address, note },
        Act::Suspend { note } => Command::Suspend { key, note },
        Act::Resume { evidence } => Command::Resume { key, evidence },
        Act::RequestAccount { account_id, note } => Command::RequestAccountChange {
            key,
            account: account_id,
            note,
        },
        Act::RequestAccountEnd { account_id, note } => Command::RequestAccountEnd {
            key,
            account: account_id,
            note,
        },
        Act::ConfirmAccount {
            challenge,
            evidence,
        } => {
            let word = match (challenge, evidence) {
                (Some(number), None) => MerchantsWord::Challenge(number),
                (None, Some(number)) => MerchantsWord::Evidence(number),
                (None, None) | (Some(_), Some(_)) => {
                    return Err(Refusal::unfit("name a challenge, or evidence"));
                }
            };
            Command::ConfirmAccountChange { key, word }
        }
        Act::ApproveAccount { network } => Command::ApproveAccountChange { key, network },
        Act::CancelAccount { note } => Command::CancelAccountChange { key, note },
    })
}

/// A binding by its number, open or closed.
pub(super) fn binding_numbered(
    registry: &mut dyn Registry,
    number: u64,
) -> Result<BindingRow, Refusal> {
    let row = registry.binding(BindingId(number))?;
    row.ok_or_else(|| Refusal::unknown("binding", &number.to_string()))
}

/// A restriction, explained.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// acceptance, settlement, refund or download
    scope: String,
    /// Why
    reason: String,
    /// What ends it
    remedy: String,
    /// What the merchant has to bring; may be empty
    #[serde(default)]
    documents: String,
    /// Where and how to appeal
    appeal: String,
}

/// Hold something for a terminal; the merchant is told why and how to appeal
#[utoipa::path(
    post, path = "/v1/terminals/{acquirer}/{terminal}/holds", tag = "holds",
    params(("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding")),
    request_body = NewHold, responses((status = 200, body = Outcome))
)]
async fn place_hold(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    write: Write<NewHold>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewHold| {
        Ok(Command::PlaceHold {
            key: key_of(registry, &acquirer, &terminal)?,
            scope: one_of!(HoldScope, "scope", &new.scope)?,
            explained: Explained {
                reason: new.reason,
                remedy: new.remedy,
                documents: new.documents,
                appeal: new.appeal,
            },
        })
    };
    admin.command(write, None, make).await
}

/// Holds of a terminal.
#[derive(Debug, Serialize, ToSchema)]
struct Holds {
    holds: Vec<HoldView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Holds of a terminal, newest first
#[utoipa::path(
    get, path = "/v1/terminals/{acquirer}/{terminal}/holds", tag = "holds",
    params(
        ("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding"),
        page::Asked,
    ),
    responses((status = 200, body = Holds))
)]
async fn list_holds(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    Parameters(asked): Parameters<page::Asked>,
) -> Result<Response, Refusal> {
    let page = asked.page()?;
    blocking(move || {
        let mut registry = admin.registry.lock();
        let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
        let found = registry.hold_views(key, page.part())?;
        let (holds, next) = page.cut(found, |hold| hold.hold);
        Ok(Json(Holds { holds, next }).into_response())
    })
    .await
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// In some words
    note: String,
}

/// What the merchant says against a hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Appeal {
    /// In some words
    note: String,
    /// Number of a challenge (release-hold, subject the binding) that came back from a contact of the merchant within 20
    /// minutes, where it was asked for one
    challenge: Option<u64>,
}

/// The merchant objects to a hold
#[utoipa::path(
    post, path = "/v1/holds/{hold}/appeal", tag = "holds",
    params(("hold" = u64, Path)), request_body = Appeal, responses((status = 200, body = Outcome))
)]
async fn appeal_hold(
    State(admin): State<Admin>,
    Path(hold): Path<u64>,
    write: Write<Appeal>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, appeal: Appeal| {
        Ok(Command::AppealHold {
            hold,
            note: appeal.note,
            challenge: appeal.challenge,
        })
    };
    admin.command(write, None, make).await
}

/// End a hold that somebody else placed
#[utoipa::path(
    post, path = "/v1/holds/{hold}/lift", tag = "holds",
    params(("hold" = u64, Path)), request_body = Why, responses((status = 200, body = Outcome))
)]
async fn lift_hold(
    State(admin): State<Admin>,
    Path(hold): Path<u64>,
    write: Write<Why>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, why: Why| {
        let note = why.note;
        Ok(Command::LiftHold { hold, note })
    };
    admin.command(write, None, make).await
}

/// What was heard of.
#[derive(Debug, Serialize, ToSchema)]
struct Alerts {
    alerts: Vec<AlertView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Terminals, devices and contacts that were heard of after their end, and terminals that say they are another
/// device, newest first
#[utoipa::path(
    get, path = "/v1/alerts", tag = "bindings", params(page::Asked),
    responses((status = 200, body = Alerts))
)]
async fn alerts(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<page::Asked>,
) -> Result<Response, Refusal> {
    let page = asked.page()?;
    blocking(move || {
        let found = admin.registry.lock().alert_views(page.part())?;
        let (alerts, next) = page.cut(found, |alert| alert.alert);
        Ok(Json(Alerts { alerts, next }).into_response())
    })
    .await
}
