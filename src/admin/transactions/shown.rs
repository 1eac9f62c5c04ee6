//! One transaction as people see it. Card numbers are masked, amounts have their currency's decimals,
//! accounts the reference that operators gave them.

use serde_json::{Value, json};

use crate::admin::inquiry::Inquiry;
use crate::admin::when::written;
use crate::base::{AccountId, Currency};
use crate::store::{Intervention, StoreError, TransactionReader, TransactionRow};

/// Columns of the CSV form.
pub const COLUMNS: [&str; 24] = [
    "transaction",
    "accepted_at",
    "state",
    "acquirer",
    "terminal_id",
    "merchant_id",
    "account_id",
    "request",
    "amount",
    "booked",
    "currency",
    "amount_minor",
    "booked_minor",
    "sign",
    "card",
    "batch",
    "stan",
    "rrn",
    "approval_code",
    "response_code",
    "state_at",
    "held",
    "binding",
    "binding_version",
];

/// An amount: exact minor units, and as people write it.
#[must_use]
pub fn amount_of(minor: i128, currency: &str) -> Value {
    let text = Currency::from_slice(currency.as_bytes()).map(|currency| currency.written(minor));
    // Beyond what a JSON number holds exactly everywhere there is no money: a text then, not a rounded number.
    let exact = i64::try_from(minor).map_or_else(|_large| json!(minor.to_string()), Value::from);
    json!({ "minor": exact, "currency": currency, "text": text })
}

/// As a JSON object.
pub(in crate::admin) fn shown(
    inquiry: &mut Inquiry,
    row: &TransactionRow,
) -> Result<Value, StoreError> {
    let account = inquiry.account(AccountId(row.account))?;
    let outcome = row.outcome.as_ref();
    let interventions = inquiry.reader.interventions(row.txn)?;
    Ok(json!({
        "transaction": row.txn.0,
        "state": state_of(row),
        "state_at": outcome.map(|o| written(o.at, &inquiry.zone)),
        "state_at_us": outcome.map(|o| o.at.0),
        "accepted_at": written(row.at, &inquiry.zone),
        "accepted_at_us": row.at.0,
        "acquirer": inquiry.acquirer(row.key.acquirer),
        "terminal_id": row.key.terminal.to_string(),
        "merchant_id": row.merchant,
        "account_id": account.reference,
        "binding": row.binding.0,
        "binding_version": row.version,
        "held": row.held,
        "request": row.request,
        "kind": row.kind.name(),
        "sign": row.sign,
        "batch": row.batch.to_string(),
        "stan": row.stan.to_string(),
        "upstream": row.group,
        "upstream_stan": row.upstream_stan.to_string(),
        "amount": amount_of(row.amount.into(), &row.currency),
        "booked": outcome.map(|o| amount_of(o.booked.into(), &row.currency)),
        "card": row.pan.as_str(),
        "response_code": outcome.map(|o| o.code.trim_ascii()),
        "rrn": outcome.and_then(|o| o.rrn.as_deref()),
        "approval_code": outcome.and_then(|o| o.approval_code.as_deref()),
        "interventions": interventions_shown(inquiry, &interventions),
    }))
}

/// What people did with it while it was parked.
pub(in crate::admin) fn interventions_shown(inquiry: &Inquiry, all: &[Intervention]) -> Value {
    let one = |done: &Intervention| {
        json!({
            "at": written(done.at, &inquiry.zone),
            "at_us": done.at.0,
            "verb": done.verb.name(),
            "name": done.name.as_str(),
            "note": done.note.as_str(),
        })
    };
    all.iter().map(one).collect()
}

/// As a line of CSV.
pub(in crate::admin) fn record_of(
    inquiry: &mut Inquiry,
    row: &TransactionRow,
) -> Result<[String; COLUMNS.len()], StoreError> {
    let account = inquiry.account(AccountId(row.account))?;
    let currency = Currency::from_slice(row.currency.as_bytes()).unwrap_or(Currency::NONE);
    let outcome = row.outcome.as_ref();
    let booked = outcome.map(|o| o.booked);
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok([
        row.txn.0.to_string(),
        written(row.at, &inquiry.zone),
        state_of(row).to_owned(),
        inquiry.acquirer(row.key.acquirer),
        row.key.terminal.to_string(),
        row.merchant.clone(),
        account.reference,
        row.request.clone(),
        currency.written(row.amount.into()),
        booked.map_or_else(String::new, |minor| currency.written(minor.into())),
        row.currency.clone(),
        row.amount.to_string(),
        booked.map_or_else(String::new, |minor| minor.to_string()),
        row.sign.to_string(),
        row.pan.to_string(),
        row.batch.to_string(),
        row.stan.to_string(),
        text(outcome.and_then(|o| o.rrn.as_deref())),
        text(outcome.and_then(|o| o.approval_code.as_deref())),
        text(outcome.map(|o| o.code.trim_ascii())),
        outcome.map_or_else(String::new, |o| written(o.at, &inquiry.zone)),
        row.held.to_string(),
        row.binding.0.to_string(),
        row.version.to_string(),
    ])
}

/// Name of its state.
pub(in crate::admin) fn state_of(row: &TransactionRow) -> &'static str {
    row.outcome.as_ref().map_or("open", |o| o.kind.name())
}
