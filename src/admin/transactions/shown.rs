//! One transaction as people see it. Card numbers are masked, amounts have their currency's decimals,
//! accounts the reference that operators gave them.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::admin::inquiry::Inquiry;
use crate::admin::when::written;
use crate::base::{AccountId, BatchNumber, Currency};
use crate::store::command::DisputeView;
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
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Money {
    /// Minor units; a text where they are more than a JSON number holds exactly
    #[schema(value_type = i64)]
    minor: Value,
    /// As in DE49
    currency: String,
    /// With the currency's decimals; null for a currency that is none
    text: Option<String>,
}

impl Money {
    pub(in crate::admin) fn of(minor: i128, currency: &str) -> Self {
        let known = Currency::from_slice(currency.as_bytes());
        // Beyond what a JSON number holds exactly everywhere there is no money: a text then, not a rounded number.
        let exact = i64::try_from(minor);
        Self {
            minor: exact.map_or_else(|_large| json!(minor.to_string()), Value::from),
            currency: currency.to_owned(),
            text: known.map(|currency| currency.written(minor)),
        }
    }
}

/// An amount as JSON.
#[must_use]
pub fn amount_of(minor: i128, currency: &str) -> Value {
    serde_json::to_value(Money::of(minor, currency)).unwrap_or_default()
}

/// A transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Transaction {
    /// Its number
    transaction: u64,
    /// open, approved, declined, reversal-owed, reversed, repeat-owed, expired, parked or closed
    state: &'static str,
    /// Since when; local time with its offset, null while it is open
    state_at: Option<String>,
    /// Microseconds since 1970-01-01 UTC
    state_at_us: Option<u64>,
    /// Local time with its offset
    accepted_at: String,
    /// Microseconds since 1970-01-01 UTC
    accepted_at_us: u64,
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// DE42
    merchant_id: String,
    /// Reference of the account that it settles into
    account_id: String,
    /// Binding that admitted it
    binding: u64,
    /// Version of the binding then
    binding_version: u32,
    /// Whether its settlement is held
    held: bool,
    /// Name of the request in its dialect
    request: String,
    /// Kind for the gate
    kind: &'static str,
    /// 1 in the merchant's favour, -1 in the customer's, 0 in nobody's
    sign: i8,
    batch: String,
    /// The terminal's trace number
    stan: String,
    /// Upstream group
    upstream: String,
    /// Trace number towards it
    upstream_stan: String,
    /// What was asked for
    amount: Money,
    /// What counts; null while it is open
    booked: Option<Money>,
    /// Card number, masked; may be empty
    card: String,
    /// DE39; null while it is open
    response_code: Option<String>,
    /// DE37 of the answer
    rrn: Option<String>,
    /// DE38 of the answer
    approval_code: Option<String>,
    /// What people did with it while it was parked
    interventions: Vec<Intervened>,
    /// Disputes about it, oldest first
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disputes: Vec<DisputeView>,
    /// Who made it, where staff refunded without the terminal
    #[serde(skip_serializing_if = "Option::is_none")]
    by_staff: Option<ByStaff>,
}

/// A refund that staff made, in the batch of staff.
#[derive(Debug, Serialize, ToSchema)]
struct ByStaff {
    /// Number of the refund, as `posgate refund show` takes it
    refund: u64,
    /// The transaction that it gives back
    original: u64,
    /// Who asked
    asked_by: String,
    /// Who approved
    approved_by: String,
    /// Why
    note: String,
}

impl ByStaff {
    fn of(inquiry: &mut Inquiry, row: &TransactionRow) -> Result<Option<Self>, StoreError> {
        if row.batch != BatchNumber::STAFF {
            return Ok(None);
        }
        let refund = inquiry.registry.refund_view(row.stan.staff_refund())?;
        let own = refund.filter(|refund| refund.binding == row.binding.0);
        Ok(own.map(|refund| Self {
            refund: refund.refund,
            original: refund.transaction,
            asked_by: refund.asked_by,
            approved_by: refund.decided_by,
            note: refund.note,
        }))
    }
}

/// What a person did with something parked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Intervention)]
pub(in crate::admin) struct Intervened {
    /// Local time with its offset
    at: String,
    /// Microseconds since 1970-01-01 UTC
    at_us: u64,
    /// resend or close
    verb: &'static str,
    /// Who
    name: String,
    /// Why
    note: String,
}

/// As people and programs see it.
pub(in crate::admin) fn shown(
    inquiry: &mut Inquiry,
    row: &TransactionRow,
) -> Result<Transaction, StoreError> {
    let account = inquiry.account(AccountId(row.account))?;
    let outcome = row.outcome.as_ref();
    let interventions = inquiry.reader.interventions(row.txn)?;
    Ok(Transaction {
        transaction: row.txn.0,
        state: state_of(row),
        state_at: outcome.map(|o| written(o.at, &inquiry.zone)),
        state_at_us: outcome.map(|o| o.at.0),
        accepted_at: written(row.at, &inquiry.zone),
        accepted_at_us: row.at.0,
        acquirer: inquiry.acquirer(row.key.acquirer),
        terminal_id: row.key.terminal.to_string(),
        merchant_id: row.merchant.clone(),
        account_id: account.reference,
        binding: row.binding.0,
        binding_version: row.version,
        held: row.held,
        request: row.request.clone(),
        kind: row.kind.name(),
        sign: row.sign,
        batch: row.batch.to_string(),
        stan: row.stan.to_string(),
        upstream: row.group.clone(),
        upstream_stan: row.upstream_stan.to_string(),
        amount: Money::of(row.amount.into(), &row.currency),
        booked: outcome.map(|o| Money::of(o.booked.into(), &row.currency)),
        card: row.pan.as_str().to_owned(),
        response_code: outcome.map(|o| o.code.trim_ascii().to_owned()),
        rrn: outcome.and_then(|o| o.rrn.clone()),
        approval_code: outcome.and_then(|o| o.approval_code.clone()),
        interventions: interventions_shown(inquiry, &interventions),
        disputes: inquiry.registry.disputes_of(row.txn.0)?,
        by_staff: ByStaff::of(inquiry, row)?,
    })
}

/// What people did with it while it was parked.
pub(in crate::admin) fn interventions_shown(
    inquiry: &Inquiry,
    all: &[Intervention],
) -> Vec<Intervened> {
    let one = |done: &Intervention| Intervened {
        at: written(done.at, &inquiry.zone),
        at_us: done.at.0,
        verb: done.verb.name(),
        name: done.name.as_str().to_owned(),
        note: done.note.as_str().to_owned(),
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
