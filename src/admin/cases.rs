//! Cases: unbinding and replacement, step by step, with the impact report and the export they need.
//!
//! What still hangs on a terminal is read from the read model once it shows all that the journal had when the
//! step was asked for. A terminal that drains takes no new money, so that what is read then only gets less.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::contacts::Recognised;
use super::extract::{IfMatch, Path, Write, versioned};
use super::problem::{Refusal, blocking};
use super::terminals::key_of;
use super::transactions::amount_of;
use crate::base::{BindingId, Timestamp};
use crate::binding::drain::{Impact, Outstanding, hex_of};
use crate::binding::replacement::DeviceTest;
use crate::binding::unbinding::{
    Channel, Claim, DocumentKind, Export, KeyMark, UnbindReason, WipeResult,
};
use crate::store::Registry;
use crate::store::command::{CaseView, Command, ReplaceStep, UnbindStep};
use crate::store::read_model::BindingReader;

/// How long records of a binding are kept after its end, in microseconds: ten years.
const KEPT: u64 = 3_653 * 86_400_000_000;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(impact))
        .routes(routes!(export))
        .routes(routes!(open_unbinding))
        .routes(routes!(unbind_step))
        .routes(routes!(keys_destroyed))
        .routes(routes!(open_replacement))
        .routes(routes!(replace_step))
}

/// Cases.
#[derive(Debug, Serialize, ToSchema)]
struct Cases {
    cases: Vec<CaseView>,
}

/// Open cases, newest first
#[utoipa::path(get, path = "/v1/cases", tag = "cases", responses((status = 200, body = Cases)))]
async fn list(State(admin): State<Admin>) -> Result<Response, Refusal> {
    blocking(move || {
        let cases = admin.registry.lock().case_views(true)?;
        Ok(Json(Cases { cases }).into_response())
    })
    .await
}

/// A case with everything in it
#[utoipa::path(
    get, path = "/v1/cases/{case}", tag = "cases",
    params(("case" = u64, Path)), responses((status = 200, body = CaseView))
)]
async fn show(State(admin): State<Admin>, Path(case): Path<u64>) -> Result<Response, Refusal> {
    let found = admin.case(case).await?;
    let version = found.version;
    Ok(versioned(Json(found), version))
}

/// What unbinding means for the merchant now.
#[derive(Debug, Serialize, ToSchema)]
struct ImpactReport {
    impact: Impact,
    /// What has to end first
    conditions: Vec<Condition>,
    /// To acknowledge it by
    hash: String,
}

/// Something that has to end before a terminal can be closed.
#[derive(Debug, Serialize, ToSchema)]
struct Condition {
    /// What
    what: &'static str,
    /// How many
    count: u64,
    /// What ends it
    remedy: &'static str,
}

/// What unbinding a case's terminal means for its merchant now, with the hash to acknowledge it by
#[utoipa::path(
    get, path = "/v1/cases/{case}/impact", tag = "cases",
    params(("case" = u64, Path)), responses((status = 200, body = ImpactReport))
)]
async fn impact(State(admin): State<Admin>, Path(case): Path<u64>) -> Result<Response, Refusal> {
    let case = admin.case(case).await?;
    let impact = admin.impact_of(&case).await?;
    let conditions: Vec<_> = impact
        .outstanding
        .conditions()
        .map(|(what, count, remedy)| Condition {
            what,
            count,
            remedy,
        })
        .collect();
    let report = ImpactReport {
        hash: impact.hash(),
        impact,
        conditions,
    };
    Ok(Json(report).into_response())
}

/// A case's terminal's transactions as CSV, for the merchant to keep; the checksum is in a header
#[utoipa::path(
    get, path = "/v1/cases/{case}/export", tag = "cases",
    params(("case" = u64, Path)),
    responses((status = 200, body = String, content_type = "text/csv"))
)]
async fn export(State(admin): State<Admin>, Path(case): Path<u64>) -> Result<Response, Refusal> {
    let case = admin.case(case).await?;
    let (csv, export) = admin.export_of(&case).await?;
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    let mut response = (kind, csv).into_response();
    if let Ok(sum) = export.sha256.parse() {
        response.headers_mut().insert("x-checksum-sha256", sum);
    }
    Ok(response)
}

impl Admin {
    async fn case(&self, case: u64) -> Result<CaseView, Refusal> {
        let registry = self.registry.clone();
        blocking(move || {
            let found = registry.lock().case_view(case)?;
            found.ok_or_else(|| Refusal::unknown("case", &case.to_string()))
        })
        .await
    }

    /// What hangs on a binding by now.
    async fn hanging_on(&self, binding: u64) -> Result<(Outstanding, i64), Refusal> {
        self.questions.caught_up().await?;
        let ask = move |inquiry: &mut super::inquiry::Inquiry| {
            Ok(inquiry.reader.hanging_on(BindingId(binding))?)
        };
        self.questions.ask(ask).await
    }

    async fn impact_of(&self, case: &CaseView) -> Result<Impact, Refusal> {
        let (outstanding, unsettled_amount) = self.hanging_on(case.binding).await?;
        let (registry, binding) = (self.registry.clone(), BindingId(case.binding));
        let known = blocking(move || Ok(registry.lock().impact(binding)?)).await?;
        Ok(Impact {
            outstanding,
            unsettled_amount,
            kept_until: Timestamp(case.opened_at_us.saturating_add(KEPT)),
            ..known
        })
    }

    async fn export_of(&self, case: &CaseView) -> Result<(String, Export), Refusal> {
        self.questions.caught_up().await?;
        let binding = BindingId(case.binding);
        let ask = move |inquiry: &mut super::inquiry::Inquiry| {
            let mut csv = String::from(
                "transaction,accepted_at_us,request,amount,currency,state,booked,card,batch,stan,rrn,\
                 approval_code,binding_version,account\n",
            );
            let mut rows = 0;
            inquiry.reader.of_binding(binding, &mut |row| {
                rows += 1;
                let outcome = row.outcome.as_ref();
                let amount = amount_of(row.amount.into(), &row.currency);
                let cells = [
                    row.txn.0.to_string(),
                    row.at.0.to_string(),
                    row.request.clone(),
                    amount["text"].as_str().unwrap_or_default().to_owned(),
                    row.currency.clone(),
                    outcome.map_or("open", |o| o.kind.name()).to_owned(),
                    outcome.map_or(0, |o| o.booked).to_string(),
                    row.pan.as_str().to_owned(),
                    row.batch.to_string(),
                    row.stan.to_string(),
                    outcome.and_then(|o| o.rrn.clone()).unwrap_or_default(),
                    outcome
                        .and_then(|o| o.approval_code.clone())
                        .unwrap_or_default(),
                    row.version.to_string(),
                    row.account.to_string(),
                ];
                csv.push_str(&cells.join(","));
                csv.push('\n');
            })?;
            let sha256 = hex_of(csv.as_bytes());
            Ok((csv, Export { sha256, rows }))
        };
        self.questions.ask(ask).await
    }
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
    /// When it is to begin at the earliest, in microseconds since 1970-01-01 UTC; at once when absent
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
        /// Name of the colleague who saw the originals too, at the counter
        seen_with: Option<String>,
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

/// A step of a case of unbinding
#[utoipa::path(
    post, path = "/v1/unbindings/{case}/steps", tag = "cases",
    params(
        ("case" = u64, Path),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = Unbind, responses((status = 200, body = Outcome))
)]
async fn unbind_step(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Unbind>,
) -> Result<Response, Refusal> {
    let found = admin.case(case).await?;
    let by = write.actor().name;
    let step = match &write.body {
        Unbind::Acknowledge { hash } => {
            let impact = admin.impact_of(&found).await?;
            Some(UnbindStep::Acknowledge(hash.clone(), Box::new(impact)))
        }
        Unbind::Approve => Some(UnbindStep::Approve(Box::new(
            admin.impact_of(&found).await?,
        ))),
        Unbind::Exported { sha256 } => Some(admin.exported(&found, sha256).await?),
        Unbind::Close => Some(UnbindStep::Drained(
            admin.hanging_on(found.binding).await?.0,
        )),
        Unbind::Force { evidence } => {
            let left = admin.hanging_on(found.binding).await?.0;
            Some(UnbindStep::Force(left, *evidence))
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
    let make = move |_registry: &mut dyn Registry, asked: Unbind| {
        let step = match step {
            Some(step) => step,
            None => step_of(asked, &by)?,
        };
        Ok(Command::Unbinding { case, step })
    };
    admin.command(write, version, make).await
}

/// The end of a device's keys at the host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DestroyedKeys {
    /// Name and check value of every key on record for the device; never a key
    check_values: std::collections::BTreeMap<String, String>,
    /// Names of those that are kept to verify reversals, after a drain that was forced
    #[serde(default)]
    kept: Vec<String>,
}

/// Say that the host's keys of the device are destroyed; the case does not go on before
#[utoipa::path(
    post, path = "/v1/unbindings/{case}/keys-destroyed", tag = "cases",
    params(
        ("case" = u64, Path),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = DestroyedKeys, responses((status = 200, body = Outcome))
)]
async fn keys_destroyed(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<DestroyedKeys>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, asked: DestroyedKeys| {
        let said = asked
            .check_values
            .iter()
            .map(|(name, value)| KeyMark::new(name, value))
            .collect();
        let step = UnbindStep::KeysDestroyed(said, asked.kept);
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
fn step_of(asked: Unbind, by: &str) -> Result<UnbindStep, Refusal> {
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
            seen_with,
        } => UnbindStep::Prove(
            Recognised {
                challenge,
                seen_with,
            }
            .proof(by)?,
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
        Ok(Command::OpenReplacement {
            key: key_of(registry, &new.acquirer, &new.terminal_id)?,
            new_key: key_of(registry, &new.acquirer, &new.new_terminal_id)?,
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
    /// Result of a test of the new device
    Tested {
        /// sign-on, echo, sale-and-void, reversal, qr-and-query, print or parameters
        test: String,
        /// Whether it passed
        passed: bool,
    },
    /// The new device takes over, the old one drains
    CutOver {
        /// Reference of the network's acknowledgement
        network: String,
    },
    /// The old device comes back, to be confirmed
    RollBack,
    /// It is given up before the cut-over
    Cancel,
    /// Close the old binding, if nothing is left
    Close,
}

/// A step of a replacement
#[utoipa::path(
    post, path = "/v1/replacements/{case}/steps", tag = "cases",
    params(
        ("case" = u64, Path),
        ("If-Match" = String, Header, description = "ETag of the version that was seen, or *"),
    ),
    request_body = Replace, responses((status = 200, body = Outcome))
)]
async fn replace_step(
    State(admin): State<Admin>,
    Path(case): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Replace>,
) -> Result<Response, Refusal> {
    let found = admin.case(case).await?;
    let left = match &write.body {
        Replace::Close => admin.hanging_on(found.binding).await?.0,
        Replace::Tested { .. } | Replace::CutOver { .. } | Replace::RollBack | Replace::Cancel => {
            Outstanding::default()
        }
    };
    let make = move |_registry: &mut dyn Registry, asked: Replace| {
        let step = match asked {
            Replace::Tested { test, passed } => {
                ReplaceStep::Tested(one_of!(DeviceTest, "test", &test)?, passed)
            }
            Replace::CutOver { network } => ReplaceStep::CutOver(network),
            Replace::RollBack => ReplaceStep::RollBack,
            Replace::Cancel => ReplaceStep::Cancel,
            Replace::Close => ReplaceStep::Close(left),
        };
        Ok(Command::Replacement { case, step })
    };
    admin.command(write, version, make).await
}
