//! Cases of unbinding, step by step.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::cases::{DestroyedKeys, still_shut};
use super::contacts::Recognised;
use super::extract::{IfMatch, Path, SeenVersion, Write};
use super::problem::Refusal;
use super::routes::UNBINDING;
use super::terminals::key_of;
use crate::base::Timestamp;
use crate::binding::documents::DocumentKind;
use crate::binding::unbinding::{Channel, Claim, UnbindReason};
use crate::binding::wipe::WipeResult;
use crate::store::Registry;
use crate::store::command::{CaseView, Command, UnbindStep};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(open_unbinding))
        .routes(routes!(unbind_step))
        .routes(routes!(keys_destroyed))
}

/// A case of unbinding, as it is opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUnbinding {
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// online, hotline or counter
    channel: String,
    /// not-needed, switch-method, security, upgrade, fault, reorganisation, closure, lost, dormant or regulatory
    reason: String,
    /// Why, in words
    note: String,
    /// When it is to begin at the earliest, in microseconds since 1970-01-01 UTC, at most ten years ahead; at once when
    /// absent
    effective_at_us: Option<u64>,
}

/// Open a case of unbinding; it touches nothing before its drain begins
#[utoipa::path(
    post, path = "/v1/unbindings", tag = "cases",
    request_body = NewUnbinding, responses((status = 200, body = Outcome))
)]
async fn open_unbinding(
    State(admin): State<Admin>,
    write: Write<NewUnbinding>,
) -> Result<Response, Refusal> {
    let make = |registry: &mut dyn Registry, new: NewUnbinding| {
        Ok(Command::OpenUnbinding {
            key: key_of(registry, &new.acquirer, &new.terminal_id)?,
            channel: one_of!(Channel, "channel", &new.channel)?,
            reason: one_of!(UnbindReason, "reason", &new.reason)?,
            note: new.note,
            effective_at: Timestamp(new.effective_at_us.unwrap_or(0)),
        })
    };
    admin.command(write, None, make).await
}

/// A step of unbinding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
enum Unbind {
    /// What the applicant says is on record; the answer does not say what is wrong
    Confirm {
        /// Last four digits of the phone
        phone_tail: String,
        /// Serial number of the device
        serial: String,
        /// DE42
        merchant_id: String,
        /// Last four characters of the account's reference
        account_tail: String,
    },
    /// Identity was proven
    Prove {
        /// Number of a challenge that was approved within 20 minutes
        challenge: Option<u64>,
        /// Number of the evidence (prove-identity, about this case) that another person filed who saw the originals
        /// too, at the counter
        evidence: Option<u64>,
    },
    /// A document was brought
    AddDocument {
        /// identity, device-photo, account, licence, application or mandate
        document: String,
        /// SHA-256 of the file
        sha256: String,
    },
    /// Another person looked at it
    Review {
        /// Which
        document: String,
        /// What they found
        approved: bool,
    },
    /// The merchant read the impact report with this hash
    Acknowledge {
        /// From the report
        hash: String,
    },
    /// The merchant has the export with this checksum
    Exported {
        /// From the export's header
        sha256: String,
    },
    /// The maker is done
    Submit,
    /// Another person agrees
    Approve,
    /// Another person does not
    Reject,
    /// The drain begins; by itself within a minute of its time
    Start,
    /// Close the binding, if nothing is left
    Close,
    /// Close it although something is left
    Force {
        /// Number of the evidence that another person filed
        evidence: u64,
    },
    /// What came of wiping the device
    Wiped {
        /// done, failed or unreachable
        result: String,
    },
    /// The network has taken the terminal off its register
    Reported {
        /// Its reference
        network: String,
    },
    /// It is taken back
    Cancel {
        /// Why
        note: String,
    },
}

impl Unbind {
    /// As a request says it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Confirm { .. } => "confirm",
            Self::Prove { .. } => "prove",
            Self::AddDocument { .. } => "add-document",
            Self::Review { .. } => "review",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Exported { .. } => "exported",
            Self::Submit => "submit",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Start => "start",
            Self::Close => "close",
            Self::Force { .. } => "force",
            Self::Wiped { .. } => "wiped",
            Self::Reported { .. } => "reported",
            Self::Cancel { .. } => "cancel",
        }
    }
}

/// A step of a case of unbinding
#[utoipa::path(
    post, path = "/v1/unbindings/{case}/steps", tag = "cases",
    params(("case" = u64, Path), SeenVersion),
    request_body = Unbind, responses((status = 200, body = Outcome))
)]
async fn unbind_step(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Unbind>,
) -> Result<Response, Refusal> {
    let name = write.body.name();
    admin.permit_act(&write.caller, UNBINDING, name).await?;
    let found = admin.case(case).await?;
    let mut shut = None;
    let step = match &write.body {
        Unbind::Acknowledge { hash } => {
            let impact = admin.impact_of(&found).await?;
            Some(UnbindStep::Acknowledge(hash.clone(), Box::new(impact)))
        }
        Unbind::Approve => Some(UnbindStep::Approve(Box::new(
            admin.impact_of(&found).await?,
        ))),
        Unbind::Exported { sha256 } => Some(admin.exported(&found, sha256).await?),
        Unbind::Close | Unbind::Force { .. } => {
            let (left, gate) = admin.closing(found.binding).await?;
            shut = Some(gate);
            let (_, export) = admin.export_of(&found).await?;
            Some(match &write.body {
                Unbind::Force { evidence } => UnbindStep::Force(left, export, *evidence),
                _close => UnbindStep::Drained(left, export),
            })
        }
        Unbind::Confirm { .. }
        | Unbind::Prove { .. }
        | Unbind::AddDocument { .. }
        | Unbind::Review { .. }
        | Unbind::Submit
        | Unbind::Reject
        | Unbind::Start
        | Unbind::Wiped { .. }
        | Unbind::Reported { .. }
        | Unbind::Cancel { .. } => None,
    };
    let gate = shut.clone();
    let make = move |_registry: &mut dyn Registry, asked: Unbind| {
        still_shut(gate.as_deref())?;
        let step = match step {
            Some(step) => step,
            None => step_of(asked)?,
        };
        Ok(Command::Unbinding { case, step })
    };
    let done = admin.command(write, version, make).await;
    drop(shut);
    done
}

/// Say that the host's keys of the device are destroyed; the case does not go on before
#[utoipa::path(
    post, path = "/v1/unbindings/{case}/keys-destroyed", tag = "cases",
    params(("case" = u64, Path), SeenVersion),
    request_body = DestroyedKeys, responses((status = 200, body = Outcome))
)]
async fn keys_destroyed(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<DestroyedKeys>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, asked: DestroyedKeys| {
        let step = UnbindStep::KeysDestroyed(asked.into());
        Ok(Command::Unbinding { case, step })
    };
    admin.command(write, version, make).await
}

impl Admin {
    /// What the merchant says it has is compared with what it would get now.
    async fn exported(&self, case: &CaseView, sha256: &str) -> Result<UnbindStep, Refusal> {
        let (_, export) = self.export_of(case).await?;
        if !export.sha256.eq_ignore_ascii_case(sha256) {
            return Err(Refusal::unfit(
                "the checksum is not that of the export as it is now; take the export once more",
            ));
        }
        Ok(UnbindStep::Exported(export))
    }
}

/// Steps that need nothing but what was said.
fn step_of(asked: Unbind) -> Result<UnbindStep, Refusal> {
    Ok(match asked {
        Unbind::Confirm {
            phone_tail,
            serial,
            merchant_id,
            account_tail,
        } => UnbindStep::Confirm(Claim {
            phone_tail,
            serial,
            merchant: merchant_id,
            account_tail,
        }),
        Unbind::Prove {
            challenge,
            evidence,
        } => UnbindStep::Prove(
            Recognised {
                challenge,
                evidence,
            }
            .word()?,
        ),
        Unbind::AddDocument { document, sha256 } => {
            UnbindStep::AddDocument(one_of!(DocumentKind, "document", &document)?, sha256)
        }
        Unbind::Review { document, approved } => {
            UnbindStep::Review(one_of!(DocumentKind, "document", &document)?, approved)
        }
        Unbind::Submit => UnbindStep::Submit,
        Unbind::Reject => UnbindStep::Reject,
        Unbind::Start => UnbindStep::Start,
        Unbind::Wiped { result } => UnbindStep::Wiped(one_of!(WipeResult, "result", &result)?),
        Unbind::Reported { network } => UnbindStep::Reported(network),
        Unbind::Cancel { note } => UnbindStep::Cancel(note),
        Unbind::Acknowledge { .. }
        | Unbind::Exported { .. }
        | Unbind::Approve
        | Unbind::Close
        | Unbind::Force { .. } => {
            return Err(Refusal::unfit("this step needs what is in the journal"));
        }
    })
}
