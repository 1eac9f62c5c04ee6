//! Transactions as people ask for them and see them: pages as JSON, everything as CSV.

mod asked;
mod shown;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::inquiry::{Inquiry, InquiryError};
use crate::base::{TxnId, limits};
use crate::store::TransactionReader;
use crate::store::read_model::{Cursor, Query};

pub use asked::{Asked, Format};
pub use shown::{COLUMNS, amount_of};
pub(super) use shown::{
    Intervened, Money, Transaction, interventions_shown, record_of, shown, state_of,
};

/// Transactions of a page when nobody says how many.
const PAGE: usize = 50;

/// Transactions that fit, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransactionPage {
    transactions: Vec<Transaction>,
    /// Where to go on; null on the last page
    next: Option<String>,
}

/// A page: `transactions`, and `next`, the cursor to go on with, or null.
///
/// # Errors
/// When it is not asked right, or the store cannot answer.
pub fn page(inquiry: &mut Inquiry, asked: &Asked) -> Result<Value, InquiryError> {
    let query = asked.query(inquiry)?;
    let after = asked.cursor()?;
    let limit = asked.limit()?.unwrap_or(PAGE);
    let page = inquiry.reader.page(&query, after, limit)?;
    let mut transactions = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        transactions.push(shown(inquiry, row)?);
    }
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(as_value(TransactionPage { transactions, next }))
}

/// One transaction.
///
/// # Errors
/// When it is not there, or the store cannot answer.
pub fn one(inquiry: &mut Inquiry, txn: TxnId) -> Result<Value, InquiryError> {
    let row = inquiry.reader.transaction(txn)?;
    let row = row.ok_or_else(|| unknown(txn))?;
    Ok(as_value(shown(inquiry, &row)?))
}

/// What is shown, as JSON. Nothing of it can fail to be.
pub(super) fn as_value(shown: impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}

pub(super) fn unknown(txn: TxnId) -> InquiryError {
    InquiryError::Unknown {
        what: "transaction",
        name: txn.0.to_string(),
    }
}

/// A page as lines of CSV, with the header when it is the first, and where to go on.
///
/// # Errors
/// When the store cannot answer.
pub fn csv_page(
    inquiry: &mut Inquiry,
    query: &Query,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(Bytes, Option<Cursor>), InquiryError> {
    let page = inquiry.reader.page(query, after, limit)?;
    let mut out = csv::Writer::from_writer(Vec::with_capacity(1 << 16));
    if after.is_none() {
        out.write_record(COLUMNS).map_err(std::io::Error::from)?;
    }
    for row in &page.rows {
        let record = record_of(inquiry, row)?;
        out.write_record(record).map_err(std::io::Error::from)?;
    }
    let bytes = out.into_inner().map_err(|full| full.into_error())?;
    Ok((Bytes::from(bytes), page.next))
}

/// Everything that is asked for as CSV, page by page, until `give` says that nobody reads any more. With a
/// limit it is that one page.
///
/// # Errors
/// When it is not asked right, or the store cannot answer.
pub fn write_csv(
    inquiry: &mut Inquiry,
    asked: &Asked,
    give: &mut dyn FnMut(Bytes) -> bool,
) -> Result<(), InquiryError> {
    let query = asked.query(inquiry)?;
    let (mut after, limit) = (asked.cursor()?, asked.limit()?);
    loop {
        let rows = limit.unwrap_or(limits::QUERY_PAGE_MAX);
        let (bytes, next) = csv_page(inquiry, &query, after, rows)?;
        if !give(bytes) || next.is_none() || limit.is_some() {
            return Ok(());
        }
        after = next;
    }
}
