//! `/v1/terminals/{acquirer}/{terminal}/batch`: how a terminal's batch stands, and closing one by force.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::{Parameters, Path, Write};
use super::inquiry::{Inquiry, InquiryError};
use super::problem::{Refusal, blocking};
use super::terminals::{BY_NUMBER, called, key_of};
use super::when::written;
use crate::base::{BatchNumber, BatchTotals, Currency, LineCounts, LineVerdict, TerminalId};
use crate::binding::TerminalKey;
use crate::store::audit::Entry;
use crate::store::batch::{self, BatchModel, Closing, Settled};
use crate::store::settlement::Class;
use crate::store::writes::Answer;
use crate::switch::CloseRefused;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(close))
}

/// Differing lines that are shown; all are counted.
const LINES_SHOWN: usize = 100;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// Characters of a note.
const NOTE_MAX: usize = 500;
/// So many digits in a row could be a card number, which is stored nowhere.
const DIGITS_MAX: usize = 11;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The batch; the open one when absent
    #[param(value_type = Option<u64>, minimum = 1, maximum = 999_998)]
    batch: Option<u32>,
}

/// What a closing says.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Close {
    /// Who decided it; the caller when absent. Kept for good
    by: Option<String>,
    /// Why; kept for good
    note: String,
    /// The batch that was looked at; the open one, whichever it is, when absent
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 999_998)]
    batch: Option<u32>,
}

/// A batch that was ended by force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchClosed)]
struct Closed {
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// The batch that ended
    closed: u32,
    /// The one that is open now
    next: u32,
    /// Who decided it
    by: String,
    /// Why
    note: String,
}

/// How a terminal's batch stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchState)]
struct Standing {
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// Number of the terminal's binding
    binding: u64,
    /// The batch; 0 before the terminal's first sign-on
    batch: u32,
    /// Whether it is the one that is open now
    is_open: bool,
    /// Whether the terminal signed on since the batch before was closed
    signed_on: bool,
    /// What counts of it, by currency
    totals: Vec<Sums>,
    /// Transactions whose outcome is not known yet
    undecided: u64,
    /// How its totals compared with the terminal's, each time
    settlements: Vec<Comparison>,
    uploaded: Uploaded,
    /// Uploaded lines that differ, at most 100
    differing: Vec<Line>,
    /// How it was closed; null while it is open
    closed: Option<Ended>,
}

/// Totals of a batch in one currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchSums)]
struct Sums {
    /// As in DE49
    currency: String,
    debit_count: u64,
    /// With the currency's decimal places
    debit: String,
    debit_minor: u64,
    credit_count: u64,
    /// With the currency's decimal places
    credit: String,
    credit_minor: u64,
}

/// A comparison of totals.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchComparison)]
struct Comparison {
    /// Local time
    at: String,
    /// Trace number of the terminal's request
    stan: String,
    /// balanced, not-balanced or undecided
    result: &'static str,
    ours: Sums,
    /// What the terminal said; none where it said nothing
    claimed: Vec<Sums>,
}

/// Lines that the terminal uploaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchUpload)]
struct Uploaded {
    equal: u64,
    different: u64,
    unknown: u64,
}

/// An uploaded line that differs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchLine)]
struct Line {
    stan: String,
    /// different or unknown
    verdict: &'static str,
    amount_minor: u64,
    /// Masked
    card: String,
}

/// How a batch was closed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchEnd)]
struct Ended {
    /// Local time
    at: String,
    /// operator or terminal
    how: &'static str,
    /// The batch after it
    next: u32,
    /// Who did it, by force
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Why, by force
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Lines that the terminal announced
    #[serde(skip_serializing_if = "Option::is_none")]
    announced: Option<u64>,
    /// Lines that came
    #[serde(skip_serializing_if = "Option::is_none")]
    uploaded: Option<u64>,
    /// Lines of ours that the terminal did not upload
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
}

impl Sums {
    fn of(currency: &str, totals: &BatchTotals) -> Self {
        let known = Currency::from_slice(currency.as_bytes()).unwrap_or(Currency::NONE);
        Self {
            currency: currency.to_owned(),
            debit_count: totals.debit.count,
            debit: known.written(totals.debit.minor.into()),
            debit_minor: totals.debit.minor,
            credit_count: totals.credit.count,
            credit: known.written(totals.credit.minor.into()),
            credit_minor: totals.credit.minor,
        }
    }
}

impl Comparison {
    fn of(at: String, settled: &Settled) -> Self {
        let currency = settled.currency.to_string();
        Self {
            at,
            stan: settled.stan.to_string(),
            result: settled.result.name(),
            ours: Sums::of(&currency, &settled.ours),
            claimed: settled
                .claimed
                .iter()
                .map(|totals| Sums::of(&currency, totals))
                .collect(),
        }
    }
}

impl Ended {
    fn of(at: String, closed: batch::Closed) -> Self {
        let how = closed.how.name();
        let ended = Self {
            at,
            how,
            next: closed.next.get(),
            by: None,
            note: None,
            announced: None,
            uploaded: None,
            missing: None,
        };
        match closed.how {
            Closing::Operator { by, note } => Self {
                by: Some(by.into()),
                note: Some(note.into()),
                ..ended
            },
            Closing::Terminal {
                announced, counts, ..
            } => Self {
                announced: Some(announced),
                uploaded: Some(counts.uploaded()),
                missing: Some(counts.missing),
                ..ended
            },
        }
    }
}

/// How a terminal's batch stands
#[utoipa::path(
    get, path = "/v1/terminals/{acquirer}/{terminal}/batch", tag = "batches",
    params(
        ("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding"), Asked,
    ),
    responses((status = 200, body = Standing))
)]
async fn show(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let wanted = asked.batch.map(number).transpose()?;
    admin.questions.caught_up().await?;
    let (acquirer, terminal) = if acquirer == BY_NUMBER {
        let registry = admin.registry.clone();
        let named = move || {
            let mut registry = registry.lock();
            let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
            called(registry.as_mut(), key)
        };
        blocking(named).await?
    } else {
        (acquirer, terminal)
    };
    let tell = move |inquiry: &mut Inquiry| state(inquiry, &acquirer, &terminal, wanted);
    Ok(Json(admin.questions.ask(tell).await?).into_response())
}

/// End a terminal's open batch by force
#[utoipa::path(
    post, path = "/v1/terminals/{acquirer}/{terminal}/batch/close", tag = "batches",
    params(("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding")),
    request_body = Close,
    responses((status = 200, body = Closed))
)]
async fn close(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    write: Write<Close>,
) -> Result<Response, Refusal> {
    let asked = &write.body;
    let by = asked.by.as_deref().unwrap_or(&write.caller.name);
    let by = checked(by, "by", NAME_MAX)?;
    let note = checked(&asked.note, "note", NOTE_MAX)?;
    let batch = asked.batch.map(number).transpose()?;
    let (registry, names) = (admin.registry.clone(), (acquirer.clone(), terminal.clone()));
    let (key, (acquirer, terminal)) = blocking(move || {
        let (acquirer, terminal) = names;
        let mut registry = registry.lock();
        let key = key_of(registry.as_mut(), &acquirer, &terminal)?;
        let row = registry.show(key)?;
        row.ok_or_else(|| Refusal::unknown("terminal", &terminal))?;
        Ok((key, called(registry.as_mut(), key)?))
    })
    .await?;
    let begun = Entry::new(
        "batch.close_begun",
        format!("terminal {acquirer}/{terminal}"),
    )
    .with(json!({ "batch": asked.batch, "by": by, "note": note }));
    let work = async {
        let (closed, durable) = admin.switch.close_batch(key, batch, &by, &note)?;
        if durable.await.is_err() {
            return Err(CloseRefused::NotDurable.into());
        }
        tracing::info!(terminal = %key.terminal, batch = %closed.batch, by, "a batch was closed by force");
        let shown = Closed {
            acquirer,
            terminal_id: terminal,
            closed: closed.batch.get(),
            next: closed.next.get(),
            by,
            note,
        };
        Ok(Answer::ok(serde_json::to_value(shown).unwrap_or_default()))
    };
    admin.decide(&write, begun, "batch.closed", work).await
}

impl From<CloseRefused> for Refusal {
    fn from(refused: CloseRefused) -> Self {
        let (status, title) = match refused {
            CloseRefused::NoBatch => (StatusCode::CONFLICT, "no batch"),
            CloseRefused::OtherBatch { .. } => (StatusCode::PRECONDITION_FAILED, "other batch"),
            CloseRefused::InFlight => (StatusCode::CONFLICT, "in flight"),
            CloseRefused::NotDurable => (StatusCode::SERVICE_UNAVAILABLE, "not durable"),
        };
        Self::new(status, title, refused.to_string())
    }
}

fn number(number: u32) -> Result<BatchNumber, Refusal> {
    BatchNumber::new(number)
        .filter(|batch| ![BatchNumber::default(), BatchNumber::STAFF].contains(batch))
        .ok_or_else(|| Refusal::bad("batch is a number from 1 to 999998"))
}

/// A person's words, which are kept for good: some, not too many, and no card number among them.
fn checked(text: &str, name: &'static str, most: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Refusal::unfit(format!(
            "{name} is needed, one line of at most {most} characters"
        )));
    }
    // As people write card numbers: with spaces or dashes between the digits.
    let mut digits = 0_usize;
    for character in text.chars() {
        match character {
            ' ' | '-' => {}
            digit if digit.is_numeric() => digits += 1,
            _ => digits = 0,
        }
        if digits > DIGITS_MAX {
            return Err(Refusal::unfit(format!(
                "{name} has {digits} digits in a row, as card numbers have; name the transaction by its number"
            )));
        }
    }
    Ok(text.to_owned())
}

/// How a batch stands, as the read model shows it.
fn state(
    inquiry: &mut Inquiry,
    acquirer: &str,
    terminal: &str,
    wanted: Option<BatchNumber>,
) -> Result<Standing, InquiryError> {
    let key = TerminalKey {
        acquirer: inquiry.acquirer_named(acquirer)?,
        terminal: TerminalId::parse(terminal).map_err(|bad| InquiryError::Bad(bad.to_string()))?,
    };
    let unknown = || InquiryError::Unknown {
        what: "terminal",
        name: terminal.to_owned(),
    };
    let binding = inquiry.registry.show(key)?.ok_or_else(unknown)?;
    let binding = binding.admission.binding;
    let (open, signed_on) = inquiry.reader.open_batch(key)?.unwrap_or_default();
    let batch = wanted.unwrap_or(open);
    let mut totals: BTreeMap<String, BatchTotals> = BTreeMap::new();
    let mut undecided = 0_u64;
    let reader = &mut inquiry.reader;
    reader.batch_transactions(binding, batch, &mut |row| {
        if matches!(Class::of(&row), Some((Class::Suspense, _))) {
            undecided += 1;
        }
        batch::count(totals.entry(row.currency.clone()).or_default(), &row);
    })?;
    let (settled, lines) = (
        reader.settled(binding, batch)?,
        reader.lines(binding, batch)?,
    );
    let closed = reader.closed(key, batch)?;
    let zone = &inquiry.zone;
    let mut counts = LineCounts::default();
    for (.., verdict) in &lines {
        counts.add(*verdict);
    }
    let differing = lines
        .iter()
        .filter(|(.., verdict)| *verdict != LineVerdict::Equal)
        .take(LINES_SHOWN)
        .map(|(_, line, verdict)| Line {
            stan: line.stan.to_string(),
            verdict: verdict.name(),
            amount_minor: line.minor,
            card: line.pan.as_str().to_owned(),
        });
    let sums = totals.iter().map(|(currency, t)| Sums::of(currency, t));
    let settlements = settled
        .iter()
        .map(|(at, settled)| Comparison::of(written(*at, zone), settled));
    Ok(Standing {
        acquirer: acquirer.to_owned(),
        terminal_id: terminal.to_owned(),
        binding: binding.0,
        batch: batch.get(),
        is_open: batch == open && open != BatchNumber::default(),
        signed_on,
        totals: sums.collect(),
        undecided,
        settlements: settlements.collect(),
        uploaded: Uploaded {
            equal: counts.equal,
            different: counts.different,
            unknown: counts.unknown,
        },
        differing: differing.collect(),
        closed: closed.map(|(at, _, closed)| Ended::of(written(at, zone), closed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_no_note() {
        assert!(checked("till 4 burnt, see ticket 123456", "note", NOTE_MAX).is_ok());
        for wrong in [
            "",
            "  ",
            "card 6228489137264085196",
            "card 6228 4891 3726 4085",
            "6228-4891-3726-4085",
            "two\nlines",
            &"x".repeat(NOTE_MAX + 1),
        ] {
            assert!(checked(wrong, "note", NOTE_MAX).is_err(), "{wrong}");
        }
    }
}
