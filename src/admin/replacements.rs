//! Replacements, step by step.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::cases::{DestroyedKeys, still_shut};
use super::extract::{IfMatch, Path, SeenVersion, Write};
use super::problem::Refusal;
use super::routes::REPLACEMENT;
use super::terminals::{called, key_of};
use crate::base::BindingId;
use crate::binding::drain::Outstanding;
use crate::binding::replacement::DeviceTest;
use crate::binding::tested::TestsShown;
use crate::binding::wipe::WipeResult;
use crate::store::Registry;
use crate::store::command::{CaseBody, Command, ReplaceStep};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(open_replacement))
        .routes(routes!(replace_step))
        .routes(routes!(replaced_keys_destroyed))
}

/// A replacement, as it is opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReplacement {
    acquirer: String,
    /// DE41 of the terminal that is replaced
    terminal_id: String,
    /// DE41 that takes over; another one
    new_terminal_id: String,
    /// Serial number of a device in stock
    serial: String,
    /// Why
    note: String,
}

/// Open a replacement; both devices are there until the cut-over, and only the old one trades
#[utoipa::path(
    post, path = "/v1/replacements", tag = "cases",
    request_body = NewReplacement, responses((status = 200, body = Outcome))
)]
async fn open_replacement(
    State(admin): State<Admin>,
    write: Write<NewReplacement>,
) -> Result<Response, Refusal> {
    let make = |registry: &mut dyn Registry, new: NewReplacement| {
        let key = key_of(registry, &new.acquirer, &new.terminal_id)?;
        let (acquirer, _terminal) = called(registry, key)?;
        Ok(Command::OpenReplacement {
            key,
            new_key: key_of(registry, &acquirer, &new.new_terminal_id)?,
            serial: new.serial,
            note: new.note,
        })
    };
    admin.command(write, None, make).await
}

/// A step of a replacement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
enum Replace {
    /// The merchant agrees by a code; the cut-over does not wait for it
    Agreed {
        /// Number of a challenge (replace, subject the case) that was approved within 20 minutes
        challenge: u64,
    },
    /// Result of a test of the new device
    Tested {
        /// sign-on, echo, sale-and-void, reversal, qr-and-query, print or parameters
        test: String,
        /// Whether it passed
        passed: bool,
        /// Number of the evidence (activate, about the case) that another person filed; for sale-and-void and reversal
        /// where the journal does not show them
        evidence: Option<u64>,
    },
    /// The new device takes over, the old one drains
    CutOver {
        /// Reference of the network's acknowledgement
        network: String,
        /// Number of the evidence (activate, about the case) that another person filed; where no keys of the new device
        /// are on record
        evidence: Option<u64>,
    },
    /// The old device comes back, to be confirmed
    RollBack,
    /// It is given up before the cut-over
    Cancel,
    /// Close the binding that leaves, if nothing is left: the old one, or the new one after a roll-back
    Close,
    /// Close it although something is left
    Force {
        /// Number of the evidence that another person filed
        evidence: u64,
    },
    /// What came of wiping its device
    Wiped {
        /// done, failed or unreachable
        result: String,
    },
}

impl Replace {
    /// As a request says it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Agreed { .. } => "agreed",
            Self::Tested { .. } => "tested",
            Self::CutOver { .. } => "cut-over",
            Self::RollBack => "roll-back",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Force { .. } => "force",
            Self::Wiped { .. } => "wiped",
        }
    }
}

/// A step of a replacement
#[utoipa::path(
    post, path = "/v1/replacements/{case}/steps", tag = "cases",
    params(("case" = u64, Path), SeenVersion),
    request_body = Replace, responses((status = 200, body = Outcome))
)]
async fn replace_step(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Replace>,
) -> Result<Response, Refusal> {
    let name = write.body.name();
    admin.permit_act(&write.caller, REPLACEMENT, name).await?;
    let found = admin.case(case).await?;
    let mut shut = None;
    let left = match &write.body {
        Replace::Close | Replace::Force { .. } => {
            let (left, gate) = admin.closing(found.leaving()).await?;
            shut = Some(gate);
            left
        }
        Replace::Agreed { .. }
        | Replace::Tested { .. }
        | Replace::CutOver { .. }
        | Replace::RollBack
        | Replace::Cancel
        | Replace::Wiped { .. } => Outstanding::default(),
    };
    let shown = match (&write.body, &found.body) {
        (Replace::Tested { .. }, Some(CaseBody::Replacement(case))) => {
            admin.tests_of(BindingId(case.new_binding)).await?
        }
        (_, _) => TestsShown::default(),
    };
    let gate = shut.clone();
    let make = move |_registry: &mut dyn Registry, asked: Replace| {
        still_shut(gate.as_deref())?;
        let step = match asked {
            Replace::Agreed { challenge } => ReplaceStep::Agreed(challenge),
            Replace::Tested {
                test,
                passed,
                evidence,
            } => ReplaceStep::Tested {
                test: one_of!(DeviceTest, "test", &test)?,
                passed,
                shown,
                evidence,
            },
            Replace::CutOver { network, evidence } => ReplaceStep::CutOver(network, evidence),
            Replace::RollBack => ReplaceStep::RollBack,
            Replace::Cancel => ReplaceStep::Cancel,
            Replace::Close => ReplaceStep::Drained(left),
            Replace::Force { evidence } => ReplaceStep::Force(left, evidence),
            Replace::Wiped { result } => {
                ReplaceStep::Wiped(one_of!(WipeResult, "result", &result)?)
            }
        };
        Ok(Command::Replacement { case, step })
    };
    let done = admin.command(write, version, make).await;
    drop(shut);
    done
}

/// Say that the host's keys of the device that leaves are destroyed; the case does not end before
#[utoipa::path(
    post, path = "/v1/replacements/{case}/keys-destroyed", tag = "cases",
    params(("case" = u64, Path), SeenVersion),
    request_body = DestroyedKeys, responses((status = 200, body = Outcome))
)]
async fn replaced_keys_destroyed(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<DestroyedKeys>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, asked: DestroyedKeys| {
        let step = ReplaceStep::KeysDestroyed(asked.into());
        Ok(Command::Replacement { case, step })
    };
    admin.command(write, version, make).await
}
