//! `/v1/exceptions`: what is parked for a person, and what the person decides.
//!
//! Lists come from the read model. A decision is made where the gateway runs, and is durable when its call
//! returns; the read model shows it a moment later.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::{Parameters, Path, Write};
use super::inquiry::{Inquiry, InquiryError};
use super::items::{self, Items, Told};
use super::problem::Refusal;
use super::questions::number;
use super::transactions::{
    Intervened, Transaction, as_value, interventions_shown, shown, state_of, unknown,
};
use super::when::written;
use crate::base::{Fate, Note, PersonName, Timestamp, TxnId, limits};
use crate::store::audit::Entry;
use crate::store::read_model::Cursor;
use crate::store::writes::Answer;
use crate::store::{
    Intervention, OutcomeKind, StoreError, TransactionReader, TransactionRow, Verb,
};
use crate::switch::ExceptionError;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(decisions))
        .routes(routes!(show))
        .routes(routes!(resend))
        .routes(routes!(close))
}

/// Exceptions of a page when nobody says how many.
const PAGE: usize = 50;
/// How long a decision may take to become durable before its caller is told to look later.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// Which exceptions are asked for. Names are those of the API's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Upstream group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Exceptions of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl Asked {
    fn cursor(&self) -> Result<Option<Cursor>, InquiryError> {
        let bad = || InquiryError::Bad("cursor is what a page gave as next".into());
        let read = |text: &String| Cursor::parse(text).ok_or_else(bad);
        self.cursor.as_ref().map(read).transpose()
    }

    fn limit(&self) -> Result<usize, InquiryError> {
        let Some(text) = &self.limit else {
            return Ok(PAGE);
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let limit = plain.then(|| text.parse().ok()).flatten();
        limit
            .filter(|limit| (1..=limits::EXCEPTIONS_PAGE_MAX).contains(limit))
            .ok_or_else(|| {
                InquiryError::Bad(format!("limit is 1 to {}", limits::EXCEPTIONS_PAGE_MAX))
            })
    }
}

/// A transaction that waits for a person, or about which one decided before.
#[derive(Debug, Serialize, ToSchema)]
struct Exception {
    #[serde(flatten)]
    transaction: Transaction,
    /// nothing, reversal or repeat
    owed: &'static str,
    /// Upstream group
    group: String,
    /// Local time with its offset; null when it is parked no longer
    parked_at: Option<String>,
    /// Seconds since then
    age_seconds: Option<u64>,
    /// Times that it was sent; null when that was before a restart
    attempts: Option<u32>,
    /// The upstream's last code
    last_code: Option<String>,
}

/// What is parked, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct ExceptionPage {
    exceptions: Vec<Exception>,
    /// All that fit
    count: u64,
    /// Where to go on; null on the last page
    next: Option<String>,
}

/// What came of a decision.
#[derive(Debug, Serialize, ToSchema)]
struct Decided {
    /// Number of the transaction
    transaction: u64,
    /// resend or close
    verb: &'static str,
    /// done, or already where the same was decided before
    result: &'static str,
    /// How it stands, where it was decided before
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Who decided before
    #[serde(skip_serializing_if = "Option::is_none")]
    intervention: Option<Intervened>,
}

/// What only the gateway at work and its clock know of exceptions.
pub struct Present<'p> {
    /// Now.
    pub now: Timestamp,
    /// Times that what one owes was sent, if that is known.
    pub attempts: &'p dyn Fn(TxnId) -> Option<u32>,
}

impl std::fmt::Debug for Present<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Present")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A page: `exceptions`, the oldest first, `count` of all that fit, and `next`, the cursor to go on with, or
/// null.
///
/// # Errors
/// When it is not asked right, or the store cannot answer.
pub fn page(
    inquiry: &mut Inquiry,
    asked: &Asked,
    present: &Present<'_>,
) -> Result<Value, InquiryError> {
    let (after, limit) = (asked.cursor()?, asked.limit()?);
    let group = asked.group.as_deref();
    let (page, count) = inquiry.reader.parked(group, after, limit)?;
    let mut exceptions = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        exceptions.push(exception_shown(inquiry, row, present)?);
    }
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(as_value(ExceptionPage {
        exceptions,
        count,
        next,
    }))
}

/// One that is parked, or that a person decided about before.
///
/// # Errors
/// When there is no such transaction, it never was an exception, or the store cannot answer.
pub fn one(
    inquiry: &mut Inquiry,
    txn: TxnId,
    present: &Present<'_>,
) -> Result<Value, InquiryError> {
    let row = inquiry.reader.transaction(txn)?;
    let row = row.ok_or_else(|| unknown(txn))?;
    if !is_parked(&row) && inquiry.reader.interventions(txn)?.is_empty() {
        return Err(InquiryError::Unknown {
            what: "exception",
            name: format!("{}: the transaction is {}", txn.0, state_of(&row)),
        });
    }
    Ok(as_value(exception_shown(inquiry, &row, present)?))
}

fn is_parked(row: &TransactionRow) -> bool {
    let outcome = row.outcome.as_ref();
    outcome.is_some_and(|outcome| outcome.kind == OutcomeKind::Parked)
}

/// The transaction as elsewhere, and what matters to who decides.
fn exception_shown(
    inquiry: &mut Inquiry,
    row: &TransactionRow,
    present: &Present<'_>,
) -> Result<Exception, StoreError> {
    let parked = row.outcome.as_ref().filter(|_| is_parked(row));
    let since = parked.map(|outcome| outcome.at);
    let code = parked.map(|outcome| outcome.code.trim_ascii());
    Ok(Exception {
        transaction: shown(inquiry, row)?,
        owed: match (parked.is_some(), row.fate) {
            (false, _) | (true, Fate::Expire) => "nothing",
            (true, Fate::Reverse) => "reversal",
            (true, Fate::Repeat) => "repeat",
        },
        group: row.group.clone(),
        parked_at: since.map(|at| written(at, &inquiry.zone)),
        age_seconds: since.map(|at| present.now.0.saturating_sub(at.0) / 1_000_000),
        attempts: (present.attempts)(row.txn),
        last_code: code.filter(|code| !code.is_empty()).map(str::to_owned),
    })
}

/// What a decision says.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// Who decides; the caller when absent. Kept for good
    name: Option<String>,
    /// Why; one line without card numbers, kept for good
    note: String,
}

/// A decision about several.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Decisions {
    /// Numbers of transactions, at most 1000; decided about one after the other
    transactions: Vec<u64>,
    /// resend or close
    verb: String,
    /// Who decides; the caller when absent. Kept for good
    name: Option<String>,
    /// Why; one line without card numbers, kept for good
    note: String,
}

/// What is parked, the oldest first
#[utoipa::path(
    get, path = "/v1/exceptions", tag = "exceptions",
    params(Asked), responses((status = 200, body = ExceptionPage))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let (switch, now) = (admin.switch.clone(), admin.clock.wall());
    let answer = move |inquiry: &mut Inquiry| {
        let attempts = |txn| switch.exceptions.attempts(txn);
        let attempts = &attempts;
        page(inquiry, &asked, &Present { now, attempts })
    };
    Ok(Json(admin.questions.ask(answer).await?).into_response())
}

/// One that is parked, or that a person decided about before
#[utoipa::path(
    get, path = "/v1/exceptions/{transaction}", tag = "exceptions",
    params(("transaction" = u64, Path)), responses((status = 200, body = Exception))
)]
async fn show(
    State(admin): State<Admin>,
    Path(transaction): Path<String>,
) -> Result<Response, Refusal> {
    let txn = number(&transaction)?;
    let (switch, now) = (admin.switch.clone(), admin.clock.wall());
    let answer = move |inquiry: &mut Inquiry| {
        let attempts = |txn| switch.exceptions.attempts(txn);
        let attempts = &attempts;
        one(inquiry, txn, &Present { now, attempts })
    };
    Ok(Json(admin.questions.ask(answer).await?).into_response())
}

/// Send what is owed again, as often as the first time
#[utoipa::path(
    post, path = "/v1/exceptions/{transaction}/resend", tag = "exceptions",
    params(("transaction" = u64, Path)), request_body = Decision,
    responses((status = 200, body = Decided))
)]
async fn resend(
    State(admin): State<Admin>,
    Path(transaction): Path<String>,
    write: Write<Decision>,
) -> Result<Response, Refusal> {
    decide_one(&admin, &transaction, &write, Verb::Resend).await
}

/// End one: nothing more is sent, and settlement counts it as reversed
#[utoipa::path(
    post, path = "/v1/exceptions/{transaction}/close", tag = "exceptions",
    params(("transaction" = u64, Path)), request_body = Decision,
    responses((status = 200, body = Decided))
)]
async fn close(
    State(admin): State<Admin>,
    Path(transaction): Path<String>,
    write: Write<Decision>,
) -> Result<Response, Refusal> {
    decide_one(&admin, &transaction, &write, Verb::Close).await
}

/// Decide about several; each is answered for itself
#[utoipa::path(
    post, path = "/v1/exceptions/decisions", tag = "exceptions",
    request_body = Decisions, responses((status = 200, body = Items))
)]
async fn decisions(
    State(admin): State<Admin>,
    write: Write<Decisions>,
) -> Result<Response, Refusal> {
    let asked = &write.body;
    items::checked_count(asked.transactions.len())?;
    let verb = match asked.verb.as_str() {
        "resend" => Verb::Resend,
        "close" => Verb::Close,
        _ => return Err(Refusal::unfit("verb is resend or close")),
    };
    let name = asked.name.as_deref().unwrap_or(&write.caller.name);
    let said = Said::parse(name, &asked.note)?;
    let (begun, done) = events(verb);
    let numbers = asked.transactions.clone();
    let entry = Entry::new(begun, "exceptions").with(json!({
        "transactions": numbers, "name": said.name.as_str(), "note": said.note.as_str(),
    }));
    let work = async {
        let mut told = Vec::with_capacity(numbers.len());
        for number in &numbers {
            let came = decide(&admin, TxnId(*number), &said, verb).await;
            told.push(Told::new(json!({ "transaction": number }), came));
        }
        Ok(Answer::ok(items::all(told)))
    };
    admin.decide(&write, entry, done, work).await
}

/// Who decides and why.
struct Said {
    name: PersonName,
    note: Note,
}

impl Said {
    fn parse(name: &str, note: &str) -> Result<Self, Refusal> {
        Ok(Self {
            name: PersonName::parse(name).map_err(|wrong| Refusal::unfit(wrong.to_string()))?,
            note: Note::parse(note).map_err(|wrong| Refusal::unfit(wrong.to_string()))?,
        })
    }
}

/// What the audit trail calls a decision before and after it.
const fn events(verb: Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Resend => ("exception.resend_begun", "exception.resent"),
        Verb::Close => ("exception.close_begun", "exception.closed"),
    }
}

async fn decide_one(
    admin: &Admin,
    transaction: &str,
    write: &Write<Decision>,
    verb: Verb,
) -> Result<Response, Refusal> {
    let txn = number(transaction)?;
    let name = write.body.name.as_deref().unwrap_or(&write.caller.name);
    let said = Said::parse(name, &write.body.note)?;
    let (begun, done) = events(verb);
    let entry = Entry::new(begun, format!("transaction {}", txn.0)).with(json!({
        "name": said.name.as_str(), "note": said.note.as_str(),
    }));
    let work = async { Ok(Answer::ok(decide(admin, txn, &said, verb).await?)) };
    admin.decide(write, entry, done, work).await
}

/// Does what a person decided, if it is parked. Who decides the same twice is told so.
async fn decide(admin: &Admin, txn: TxnId, said: &Said, verb: Verb) -> Result<Value, Refusal> {
    let done = Intervention {
        txn,
        at: admin.clock.wall(),
        verb,
        name: said.name.clone(),
        note: said.note.clone(),
    };
    // What was parked a moment ago may not be shown yet.
    if !find(admin, txn).await?.as_ref().is_some_and(is_parked) {
        admin.questions.caught_up().await?;
    }
    let row = find(admin, txn).await?.ok_or_else(|| unknown(txn))?;
    if is_parked(&row) {
        let switch = admin.switch.clone();
        let decided = admin.questions.ask(move |inquiry| {
            Ok(match verb {
                Verb::Resend => switch.resend(&row, &mut inquiry.journal, &done),
                Verb::Close => switch.close_exception(&row, &done),
            })
        });
        match decided.await? {
            Ok(told) => {
                durable(told).await?;
                return Ok(as_value(Decided {
                    transaction: txn.0,
                    verb: verb.name(),
                    result: "done",
                    state: None,
                    intervention: None,
                }));
            }
            // Somebody was faster.
            Err(ExceptionError::NotParked) => drop(admin.questions.caught_up().await?),
            Err(problem) => return Err(problem.into()),
        }
    }
    decided_before(admin, txn, verb).await
}

async fn find(admin: &Admin, txn: TxnId) -> Result<Option<TransactionRow>, Refusal> {
    let find = move |inquiry: &mut Inquiry| Ok(inquiry.reader.transaction(txn)?);
    admin.questions.ask(find).await
}

async fn durable(told: tokio::sync::oneshot::Receiver<()>) -> Result<(), Refusal> {
    match tokio::time::timeout(DURABLE_WITHIN, told).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ending",
            "posgate ends; whether it was journalled, `posgate exception show` says after the next start",
        )),
        Err(_elapsed) => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not durable yet",
            "it is taken and takes effect once the journal is written; `posgate exception show` says when",
        )),
    }
}

/// What to say about one that is not parked: that the same was decided before, or how it stands.
async fn decided_before(admin: &Admin, txn: TxnId, verb: Verb) -> Result<Value, Refusal> {
    let look = move |inquiry: &mut Inquiry| {
        let row = inquiry.reader.transaction(txn)?;
        let row = row.ok_or_else(|| unknown(txn))?;
        let interventions = inquiry.reader.interventions(txn)?;
        let last = interventions.last().filter(|last| last.verb == verb);
        let last = last.map(|last| interventions_shown(inquiry, std::slice::from_ref(last)));
        Ok((state_of(&row), last))
    };
    let (state, last) = admin.questions.ask(look).await?;
    match last {
        Some(last) => Ok(as_value(Decided {
            transaction: txn.0,
            verb: verb.name(),
            result: "already",
            state: Some(state),
            intervention: last.into_iter().next(),
        })),
        None => Err(Refusal::new(
            StatusCode::CONFLICT,
            "not parked",
            format!(
                "transaction {} is {state}; only what is parked can be resent or closed",
                txn.0
            ),
        )),
    }
}

impl From<ExceptionError> for Refusal {
    fn from(problem: ExceptionError) -> Self {
        let detail = problem.to_string();
        match problem {
            ExceptionError::NotParked => Self::new(StatusCode::CONFLICT, "not parked", detail),
            ExceptionError::GroupGone(_)
            | ExceptionError::NothingOwed
            | ExceptionError::Unwritable => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "cannot be resent", detail)
            }
            ExceptionError::Journal(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not journalled", detail)
            }
            ExceptionError::Store(store) => store.into(),
        }
    }
}
