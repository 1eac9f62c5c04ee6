//! Cases as they are shown, with the impact report and the export of an unbinding; `unbindings` and `replacements` take
//! their steps.
//!
//! What still hangs on a terminal is read from the read model once it shows all that the journal had when the
//! step was asked for. A terminal that drains takes no new money, so that what is read then only gets less.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::caller::Caller;
use super::extract::{Parameters, Path, versioned};
use super::page;
use super::problem::{Refusal, blocking};
use super::transactions::amount_of;
use crate::base::{BindingId, Timestamp};
use crate::binding::drain::{Impact, Outstanding, Unsettled, hex_of};
use crate::binding::tested::TestsShown;
use crate::binding::unbinding::Export;
use crate::binding::wipe::{KeyMark, KeysSaid};
use crate::store::audit::Entry;
use crate::store::command::CaseView;
use crate::store::read_model::{BindingReader, Hanging};
use crate::switch::Shut;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(impact))
        .routes(routes!(export))
}

/// Cases.
#[derive(Debug, Serialize, ToSchema)]
struct Cases {
    cases: Vec<CaseView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Which cases.
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

/// Open cases, newest first; or all of them
#[utoipa::path(
    get, path = "/v1/cases", tag = "cases", params(Asked), responses((status = 200, body = Cases))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let page = page::Asked::of(asked.cursor, asked.limit).page()?;
    blocking(move || {
        let found = admin.registry.lock().case_views(!asked.all, page.part())?;
        let (cases, next) = page.cut(found, |case| case.case);
        Ok(Json(Cases { cases, next }).into_response())
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

/// A case's terminal's transactions as CSV, for the merchant to keep; the checksum is in a header, and the audit trail
/// has who asked
#[utoipa::path(
    get, path = "/v1/cases/{case}/export", tag = "cases",
    params(("case" = u64, Path)),
    responses((status = 200, body = String, content_type = "text/csv"))
)]
async fn export(
    State(admin): State<Admin>,
    caller: Caller,
    Path(case): Path<u64>,
) -> Result<Response, Refusal> {
    let case = admin.case(case).await?;
    let (csv, export) = admin.export_of(&case).await?;
    let event = Entry::new("query.case_exported", format!("case {}", case.case))
        .with(json!({ "rows": export.rows, "sha256": export.sha256 }));
    admin.tell_read(&caller, event).await?;
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    let mut response = (kind, csv).into_response();
    if let Ok(sum) = export.sha256.parse() {
        response.headers_mut().insert("x-checksum-sha256", sum);
    }
    Ok(response)
}

impl Admin {
    pub(super) async fn case(&self, case: u64) -> Result<CaseView, Refusal> {
        let registry = self.registry.clone();
        blocking(move || {
            let found = registry.lock().case_view(case)?;
            found.ok_or_else(|| Refusal::unknown("case", &case.to_string()))
        })
        .await
    }

    /// What hangs on a binding by now.
    pub(super) async fn hanging_on(&self, binding: u64) -> Result<Hanging, Refusal> {
        self.questions.caught_up().await?;
        let ask = move |inquiry: &mut super::inquiry::Inquiry| {
            Ok(inquiry.reader.hanging_on(BindingId(binding))?)
        };
        self.questions.ask(ask).await
    }

    /// What a binding that is being tested has shown by now.
    pub(super) async fn tests_of(&self, binding: BindingId) -> Result<TestsShown, Refusal> {
        self.questions.caught_up().await?;
        let ask =
            move |inquiry: &mut super::inquiry::Inquiry| Ok(inquiry.reader.tests_of(binding)?);
        self.questions.ask(ask).await
    }

    /// What hangs on a binding that is to be closed, with the gate shut for it: nothing comes in between the look and the
    /// end.
    pub(super) async fn closing(&self, binding: u64) -> Result<(Outstanding, Arc<Shut>), Refusal> {
        let registry = self.registry.clone();
        let shut = blocking(move || {
            let row = registry.lock().binding(BindingId(binding))?;
            let row = row.ok_or_else(|| Refusal::unknown("binding", &binding.to_string()))?;
            Ok(registry.shut(row.key, BindingId(binding)))
        });
        let shut = Arc::new(shut.await?);
        // What has an outcome is in the journal; what has none may not be.
        let in_flight = shut.in_flight() as u64;
        if !self.questions.shows_all().await? {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not known yet",
                "the read model is behind the journal, so that nobody can say what is left; ask again",
            ));
        }
        let ask = move |inquiry: &mut super::inquiry::Inquiry| {
            Ok(inquiry.reader.hanging_on(BindingId(binding))?)
        };
        let mut left = self.questions.ask(ask).await?.outstanding;
        left.in_flight = left.in_flight.max(in_flight);
        Ok((left, shut))
    }

    pub(super) async fn impact_of(&self, case: &CaseView) -> Result<Impact, Refusal> {
        let hanging = self.hanging_on(case.binding).await?;
        let (registry, binding) = (self.registry.clone(), BindingId(case.binding));
        let now = self.clock.wall();
        let kept_until = Timestamp(case.opened_at_us).after(self.transactions_kept);
        blocking(move || {
            let mut registry = registry.lock();
            let known = registry.impact(binding)?;
            let refunds_asked = registry.refunds_asked(binding, now)?;
            let mut unsettled_accounts = Vec::with_capacity(hanging.unsettled.len());
            for sum in &hanging.unsettled {
                let reference = registry.account_reference(sum.account)?;
                unsettled_accounts.push(Unsettled {
                    account: reference.unwrap_or_else(|| sum.account.0.to_string()),
                    currency: sum.currency.trim().to_owned(),
                    count: sum.count,
                    amount: sum.amount,
                });
            }
            Ok(Impact {
                outstanding: hanging.outstanding,
                unsettled_amount: hanging.unsettled.iter().map(|sum| sum.amount).sum(),
                unsettled_accounts,
                refunds_asked,
                kept_until,
                ..known
            })
        })
        .await
    }

    pub(super) async fn export_of(&self, case: &CaseView) -> Result<(String, Export), Refusal> {
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

/// The end of a device's keys at the host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DestroyedKeys {
    /// Name and check value of every key on record for the device; never a key
    check_values: std::collections::BTreeMap<String, String>,
    /// Names of those that are kept to verify reversals, after a drain that was forced
    #[serde(default)]
    kept: Vec<String>,
}

impl From<DestroyedKeys> for KeysSaid {
    fn from(said: DestroyedKeys) -> Self {
        let keys = said
            .check_values
            .iter()
            .map(|(name, value)| KeyMark::new(name, value))
            .collect();
        Self {
            keys,
            kept: said.kept,
        }
    }
}

/// Refuses when somebody changed the binding while it was looked what is left of it: the gate was open for a moment.
pub(super) fn still_shut(gate: Option<&Shut>) -> Result<(), Refusal> {
    if gate.is_none_or(Shut::holds) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::CONFLICT,
        "changed meanwhile",
        "somebody changed the terminal's binding at the same moment; take the step again",
    ))
}
