//! Refunds without the terminal: one member of staff asks, another approves, and then it goes the way of every refund.
//!
//! What two persons agreed to is in the registry before anything is journalled. What became of it says the read model:
//! the refund stands under the binding of its original, in the batch of staff, with its number as trace number. Who
//! approves once more, after a crash or where no link was up, sends the same refund, which is taken once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, carry_out};
use super::extract::{IfMatch, Parameters, Path, SeenVersion, Write, versioned};
use super::inquiry::{Inquiry, InquiryError};
use super::page;
use super::problem::{Refusal, blocking};
use super::transactions::{Money, as_value, state_of, unknown};
use super::when::written;
use crate::base::{BatchNumber, BindingId, RequestType, Stan, Timestamp, TxnId};
use crate::store::audit::Entry;
use crate::store::command::{Command, RefundAsked, RefundView};
use crate::store::read_model::Query;
use crate::store::writes::Answer;
use crate::store::{OutcomeKind, Registry, TransactionReader, TransactionRow};
use crate::switch::staff::{StaffRefund, StaffRefundError};

/// How long beyond its group's time-out a refund is waited for.
const ANSWER_LATE_BY: Duration = Duration::from_secs(15);

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list, ask))
        .routes(routes!(show))
        .routes(routes!(approve))
        .routes(routes!(refuse))
}

/// A refund that staff make without the terminal.
#[derive(Debug, Serialize, ToSchema)]
struct Refund {
    /// Its number, which is its trace number too
    refund: u64,
    /// asked, lapsed, refused, unsent (two persons agreed, and it is not journalled), or how the transaction stands that it became: open, approved,
    /// declined, repeat-owed, parked or closed
    state: String,
    /// What is given back
    original: u64,
    /// Binding of what is given back
    binding: u64,
    /// How much
    amount: Money,
    /// The transaction that it became; null before it is journalled
    transaction: Option<u64>,
    /// DE39 of the upstream; null before
    response_code: Option<String>,
    /// Why it was not taken here, where it was not
    #[serde(skip_serializing_if = "Option::is_none")]
    not_taken: Option<&'static str>,
    /// Why it is wanted
    note: String,
    /// Who asked: anybody else may approve it
    asked_by: String,
    /// Local time with its offset
    asked_at: String,
    /// Who approved or refused it; empty before
    decided_by: String,
    /// Local time with its offset
    decided_at: Option<String>,
    /// What was said of it
    decided_note: String,
    /// Version
    version: u32,
}

/// Refunds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefundList)]
struct Refunds {
    refunds: Vec<Refund>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Refunds that staff make, newest first
#[utoipa::path(
    get, path = "/v1/refunds", tag = "transactions", params(page::Asked),
    responses((status = 200, body = Refunds))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<page::Asked>,
) -> Result<Response, Refusal> {
    let (page, now) = (asked.page()?, admin.clock.wall());
    let answer = move |inquiry: &mut Inquiry| {
        let found = inquiry.registry.refund_views(page.part())?;
        let (views, next) = page.cut(found, |view| view.refund);
        let refunds = views.iter().map(|view| shown(inquiry, view, None, now));
        let refunds = refunds.collect::<Result<_, _>>()?;
        Ok(as_value(Refunds { refunds, next }))
    };
    Ok(Json(admin.questions.ask(answer).await?).into_response())
}

/// A refund that staff make, and what became of it
#[utoipa::path(
    get, path = "/v1/refunds/{refund}", tag = "transactions",
    params(("refund" = u64, Path)), responses((status = 200, body = Refund))
)]
async fn show(State(admin): State<Admin>, Path(refund): Path<u64>) -> Result<Response, Refusal> {
    let now = admin.clock.wall();
    let answer = move |inquiry: &mut Inquiry| {
        let view = view_of(inquiry, refund)?;
        Ok((as_value(shown(inquiry, &view, None, now)?), view.version))
    };
    let (refund, version) = admin.questions.ask(answer).await?;
    Ok(versioned(Json(refund), version))
}

/// A refund, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    /// Number of the transaction that is given back
    transaction: u64,
    /// How much, in the currency's smallest unit
    amount: u64,
    /// Why
    note: String,
}

/// Ask for a refund that the terminal does not make; another person approves it within a week
#[utoipa::path(
    post, path = "/v1/refunds", tag = "transactions",
    request_body = NewRefund, responses((status = 200, body = Outcome))
)]
async fn ask(State(admin): State<Admin>, write: Write<NewRefund>) -> Result<Response, Refusal> {
    let original = original_of(&admin, TxnId(write.body.transaction)).await?;
    refundable(&original, write.body.amount)?;
    let make = move |_registry: &mut dyn Registry, new: NewRefund| {
        Ok(Command::AskRefund {
            asked: RefundAsked {
                binding: original.binding,
                transaction: new.transaction,
                amount: new.amount,
                currency: original.currency.clone(),
            },
            note: new.note,
        })
    };
    admin.command(write, None, make).await
}

/// What is said of a refund.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Said {
    /// What is said of it
    #[serde(default)]
    note: String,
}

/// Refuse a refund, or take it back; whoever asked may do so too
#[utoipa::path(
    post, path = "/v1/refunds/{refund}/refuse", tag = "transactions",
    params(("refund" = u64, Path), SeenVersion),
    request_body = Said, responses((status = 200, body = Outcome))
)]
async fn refuse(
    State(admin): State<Admin>,
    Path(refund): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Said>,
) -> Result<Response, Refusal> {
    let make = move |_registry: &mut dyn Registry, said: Said| {
        Ok(Command::RefuseRefund {
            refund,
            note: said.note,
        })
    };
    admin.command(write, version, make).await
}

/// Approve a refund that another person asked for, and send it; once more, where it was approved and is not journalled
#[utoipa::path(
    post, path = "/v1/refunds/{refund}/approve", tag = "transactions",
    params(("refund" = u64, Path), SeenVersion),
    request_body = Said, responses((status = 200, body = Refund))
)]
async fn approve(
    State(admin): State<Admin>,
    Path(refund): Path<u64>,
    IfMatch(version): IfMatch,
    write: Write<Said>,
) -> Result<Response, Refusal> {
    let entry = Entry::new("refund.send_begun", format!("refund {refund}"));
    let work = async {
        let (registry, dispatcher) = (admin.registry.clone(), admin.dispatcher.clone());
        let (actor, note) = (write.actor(), write.body.note.clone());
        blocking(move || {
            let command = Command::ApproveRefund { refund, note };
            registry.change(|registry| {
                let done = carry_out(registry, &dispatcher, &command, version, &actor)?;
                Ok::<_, Refusal>(((), done.changes))
            })
        })
        .await?;
        admin.dispatcher.wake();
        Ok(Answer::ok(send(&admin, refund).await?))
    };
    admin.decide(&write, entry, "refund.sent", work).await
}

/// Sends what was approved, unless it is journalled already, and says what became of it.
async fn send(admin: &Admin, refund: u64) -> Result<Value, Refusal> {
    admin.questions.caught_up().await?;
    let switch = admin.switch.clone();
    let sending = move |inquiry: &mut Inquiry| {
        let view = view_of(inquiry, refund)?;
        if became(inquiry, &view)?.is_some() {
            return Ok(None);
        }
        let original = inquiry.reader.transaction(TxnId(view.transaction))?;
        let original = original.ok_or_else(|| unknown(TxnId(view.transaction)))?;
        let binding = inquiry.registry.binding(original.binding)?;
        let admission = binding
            .ok_or_else(|| InquiryError::Unknown {
                what: "binding",
                name: original.binding.0.to_string(),
            })?
            .admission;
        let refund = StaffRefund::new(
            Stan::of_staff(view.refund),
            original,
            view.amount,
            admission,
        );
        let refund = Arc::new(refund);
        let sent = switch.refund_by_staff(&refund, &mut inquiry.journal);
        Ok(Some(sent.map(|session| (session, refund))))
    };
    let mut not_taken = None;
    if let Some(sent) = admin.questions.ask(sending).await? {
        let (session, refund) = sent?;
        let most = admin
            .switch
            .longest_timeout()
            .saturating_add(ANSWER_LATE_BY);
        // Whatever is heard or not: the read model says what became of it.
        let _heard = tokio::time::timeout(most, session.answered()).await;
        not_taken = refund.refused();
        admin.questions.caught_up().await?;
    }
    let now = admin.clock.wall();
    let answer = move |inquiry: &mut Inquiry| {
        let view = view_of(inquiry, refund)?;
        Ok(as_value(shown(inquiry, &view, not_taken, now)?))
    };
    admin.questions.ask(answer).await
}

pub(super) async fn original_of(admin: &Admin, txn: TxnId) -> Result<TransactionRow, Refusal> {
    let find = move |inquiry: &mut Inquiry| Ok(inquiry.reader.transaction(txn)?);
    if admin.questions.ask(find).await?.is_none() {
        // What was journalled a moment ago may not be shown yet.
        admin.questions.caught_up().await?;
    }
    let row = admin.questions.ask(find).await?;
    Ok(row.ok_or_else(|| unknown(txn))?)
}

/// Refuses what cannot be given back at all. Whether so much is left of it is judged when it is sent, by who judges
/// every refund.
fn refundable(original: &TransactionRow, amount: u64) -> Result<(), Refusal> {
    let refuse = |why: String| {
        let detail = format!("transaction {} {why}", original.txn.0);
        Err(Refusal::new(StatusCode::CONFLICT, "not refundable", detail))
    };
    let sold = original.sign > 0
        && matches!(
            original.kind,
            RequestType::NewMoney | RequestType::Completion | RequestType::Advice
        );
    if !sold {
        return refuse(format!(
            "is \"{}\", which is not refunded",
            original.request
        ));
    }
    let booked = original
        .outcome
        .as_ref()
        .filter(|outcome| outcome.kind == OutcomeKind::Approved)
        .map(|outcome| outcome.booked);
    match booked {
        None => refuse(format!(
            "is {}, and only what is approved is refunded",
            state_of(original)
        )),
        Some(booked) if amount > booked => {
            refuse(format!("was approved for {booked}, not {amount}"))
        }
        Some(_) => Ok(()),
    }
}

fn view_of(inquiry: &mut Inquiry, refund: u64) -> Result<RefundView, InquiryError> {
    let view = inquiry.registry.refund_view(refund)?;
    view.ok_or_else(|| InquiryError::Unknown {
        what: "refund",
        name: refund.to_string(),
    })
}

/// The transaction that a refund became.
fn became(
    inquiry: &mut Inquiry,
    view: &RefundView,
) -> Result<Option<TransactionRow>, InquiryError> {
    let Some(from) = view.decided_at_us.map(Timestamp) else {
        return Ok(None);
    };
    let query = Query {
        binding: Some(BindingId(view.binding)),
        batch: Some(BatchNumber::STAFF),
        stan: Some(Stan::of_staff(view.refund)),
        // Numbers begin anew after a million.
        from: Some(from),
        ..Query::default()
    };
    let found = inquiry.reader.page(&query, None, 1)?;
    Ok(found.rows.into_iter().next())
}

fn shown(
    inquiry: &mut Inquiry,
    view: &RefundView,
    not_taken: Option<&'static str>,
    now: Timestamp,
) -> Result<Refund, InquiryError> {
    let row = became(inquiry, view)?;
    let outcome = row.as_ref().and_then(|row| row.outcome.as_ref());
    let state = match &row {
        Some(row) => state_of(row),
        None if view.has_lapsed(now) => "lapsed",
        // Two persons agreed; whether it is approved says the upstream.
        None if view.state == "approved" => "unsent",
        None => view.state.as_str(),
    };
    Ok(Refund {
        refund: view.refund,
        state: state.to_owned(),
        original: view.transaction,
        binding: view.binding,
        amount: Money::of(view.amount.into(), &view.currency),
        transaction: row.as_ref().map(|row| row.txn.0),
        response_code: outcome.map(|outcome| outcome.code.trim_ascii().to_owned()),
        not_taken: not_taken.filter(|_| row.is_none()),
        note: view.note.clone(),
        asked_by: view.asked_by.clone(),
        asked_at: written(Timestamp(view.asked_at_us), &inquiry.zone),
        decided_by: view.decided_by.clone(),
        decided_at: view
            .decided_at_us
            .map(|at| written(Timestamp(at), &inquiry.zone)),
        decided_note: view.decided_note.clone(),
        version: view.version,
    })
}

impl From<StaffRefundError> for Refusal {
    fn from(problem: StaffRefundError) -> Self {
        let detail = problem.to_string();
        match problem {
            StaffRefundError::NoListener { .. }
            | StaffRefundError::Dialect(_)
            | StaffRefundError::NotKept
            | StaffRefundError::Unwritable(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "cannot be refunded here",
                detail,
            ),
            StaffRefundError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            StaffRefundError::Store(store) => store.into(),
        }
    }
}
