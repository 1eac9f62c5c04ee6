//! `/v1/transactions` and `/v1/settlements`: questions about what happened to money.
//!
//! Each question opens connections of its own that cannot write, so many questions at a time; neither the
//! projection nor the money path waits for one. What is too long for memory is written page by page, or
//! into a file without a name first, so that a caller who reads slowly holds up nobody.

use std::io::{self, Seek, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::io::ReaderStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bundle::Bundle;
use super::caller::Caller;
use super::extract::{Parameters, Path};
use super::inquiry::{Inquiry, InquiryError};
use super::problem::{Refusal, blocking};
use super::transactions::{self, Asked, Format};
use super::{Admin, evidence as bundles, settlement as files};
use crate::base::{TxnId, limits};
use crate::net::Tasks;
use crate::store::TransactionReader;
use crate::store::audit::Entry;
use crate::store::read_model::{Cursor, Query};
use crate::store::sqlite::SqliteFolder;

/// How often, and how often at most, somebody looks whether the read model has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 200;
/// Pages of a stream that wait for a slow reader.
const PAGES_WAITING: usize = 2;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(evidence))
        .routes(routes!(settlement))
}

/// Answers questions, so many at a time.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    folder: SqliteFolder,
    places: Arc<Semaphore>,
    tasks: Tasks,
}

impl Questions {
    pub(super) fn new(folder: SqliteFolder, tasks: Tasks) -> Self {
        let places = Arc::new(Semaphore::new(limits::QUERIES_AT_A_TIME));
        Self {
            folder,
            places,
            tasks,
        }
    }

    /// Answers one question on a blocking thread.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Inquiry) -> Result<T, InquiryError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let ending = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "posgate ends");
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_closed| ending())?;
        let folder = self.folder.clone();
        blocking(move || {
            let answer = question(&mut Inquiry::open(&folder)?)?;
            drop(place);
            Ok(answer)
        })
        .await
    }

    /// The journal's last group now, as soon as the read model shows it. When it never does, the question
    /// itself says so.
    pub(super) async fn caught_up(&self) -> Result<u64, Refusal> {
        let wanted = self.ask(|inquiry| Ok(inquiry.last_group()?)).await?;
        self.shows(wanted).await?;
        Ok(wanted)
    }

    /// Whether the read model shows all that the journal has now; waits a while for it.
    pub(super) async fn shows_all(&self) -> Result<bool, Refusal> {
        let wanted = self.ask(|inquiry| Ok(inquiry.last_group()?)).await?;
        self.shows(wanted).await
    }

    async fn shows(&self, wanted: u64) -> Result<bool, Refusal> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        for _ in 0..LOOKS_MAX {
            looks.tick().await;
            if self.ask(|inquiry| Ok(inquiry.reader.mark()?)).await? >= wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Transactions that fit everything that is asked for, newest first
#[utoipa::path(
    get, path = "/v1/transactions", tag = "transactions", params(Asked),
    responses((status = 200, content((transactions::TransactionPage = "application/json"), (String = "text/csv"))))
)]
async fn list(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    match format(asked.format()?, &headers) {
        Format::Csv => stream(admin.questions, asked).await,
        Format::Json => {
            let page = move |inquiry: &mut Inquiry| transactions::page(inquiry, &asked);
            Ok(Json(admin.questions.ask(page).await?).into_response())
        }
    }
}

/// One transaction
#[utoipa::path(
    get, path = "/v1/transactions/{transaction}", tag = "transactions",
    params(("transaction" = u64, Path)), responses((status = 200, body = transactions::Transaction))
)]
async fn show(
    State(admin): State<Admin>,
    Path(transaction): Path<String>,
) -> Result<Response, Refusal> {
    let txn = number(&transaction)?;
    let one = move |inquiry: &mut Inquiry| transactions::one(inquiry, txn);
    Ok(Json(admin.questions.ask(one).await?).into_response())
}

/// Everything that the store knows of a transaction, with a SHA-256 over its content; the audit trail has who asked
#[utoipa::path(
    get, path = "/v1/transactions/{transaction}/evidence", tag = "transactions",
    params(("transaction" = u64, Path)), responses((status = 200, body = Bundle))
)]
async fn evidence(
    State(admin): State<Admin>,
    caller: Caller,
    Path(transaction): Path<String>,
) -> Result<Response, Refusal> {
    let txn = number(&transaction)?;
    let bundle = move |inquiry: &mut Inquiry| bundles::bundle(inquiry, txn);
    let bundle = admin.questions.ask(bundle).await?;
    let event = Entry::new("query.evidence_exported", format!("transaction {}", txn.0));
    admin.tell_read(&caller, event).await?;
    Ok(Json(bundle).into_response())
}

/// The settlement file of a date
///
/// The whole file is made before the first byte is answered: what begins with 200 is complete.
#[utoipa::path(
    get, path = "/v1/settlements/{date}", tag = "settlement",
    params(("date" = String, Path, description = "Local date, as 2026-11-22"), files::Asked),
    responses((status = 200, content((files::SettlementFile = "application/json"), (String = "text/csv"))))
)]
async fn settlement(
    State(admin): State<Admin>,
    Path(date): Path<String>,
    headers: HeaderMap,
    Parameters(asked): Parameters<files::Asked>,
) -> Result<Response, Refusal> {
    let format = format(asked.format()?, &headers);
    let up_to = admin.questions.caught_up().await?;
    let file = admin
        .questions
        .ask(move |inquiry| {
            let mut spool = Bounded {
                out: io::BufWriter::new(tempfile::tempfile()?),
                left: limits::SETTLEMENT_BYTES_MAX,
            };
            files::write(inquiry, &date, &asked, format, up_to, &mut spool)?;
            let mut file = spool.out.into_inner().map_err(io::Error::from)?;
            file.rewind()?;
            Ok(file)
        })
        .await?;
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok(([(header::CONTENT_TYPE, kind_of(format))], body).into_response())
}

/// Everything that fits as CSV. The first page is read before anything is answered, so that what is not asked
/// right is refused as such; a failure later breaks the stream off, so that nobody takes a part for the whole.
async fn stream(questions: Questions, asked: Asked) -> Result<Response, Refusal> {
    let (query, limit, first) = questions
        .ask(move |inquiry| {
            let query = asked.query(inquiry)?;
            let limit = asked.limit()?;
            let rows = limit.unwrap_or(limits::QUERY_PAGE_MAX);
            let first = transactions::csv_page(inquiry, &query, asked.cursor()?, rows)?;
            Ok((query, limit, first))
        })
        .await?;
    let (tell, told) = channel(PAGES_WAITING);
    let tasks = questions.tasks.clone();
    let pages = async move {
        let (mut piece, mut next) = first;
        loop {
            if tell.send(Ok(piece)).await.is_err() {
                return;
            }
            let Some(after) = next.filter(|_| limit.is_none()) else {
                return;
            };
            match next_page(&questions, &query, after).await {
                Ok(page) => (piece, next) = page,
                Err(refusal) => {
                    tracing::warn!(?refusal, "an export broke off");
                    drop(
                        tell.send(Err(io::Error::other("the export broke off")))
                            .await,
                    );
                    return;
                }
            }
        }
    };
    tasks.clone().spawn(async move {
        tokio::select! {
            () = tasks.stopping() => {}
            () = pages => {}
        }
    });
    let kind = [(header::CONTENT_TYPE, kind_of(Format::Csv))];
    Ok((kind, Body::new(Breakable(told))).into_response())
}

async fn next_page(
    questions: &Questions,
    query: &Query,
    after: Cursor,
) -> Result<(Bytes, Option<Cursor>), Refusal> {
    let query = query.clone();
    questions
        .ask(move |inquiry| {
            transactions::csv_page(inquiry, &query, Some(after), limits::QUERY_PAGE_MAX)
        })
        .await
}

pub(super) fn number(text: &str) -> Result<TxnId, Refusal> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    let wrong = || Refusal::bad("a transaction is named by its number");
    number.map(TxnId).ok_or_else(wrong)
}

/// What the parameter says, or else what the caller accepts.
fn format(asked: Option<Format>, headers: &HeaderMap) -> Format {
    asked.unwrap_or_else(|| {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
        let csv = |accept: &str| {
            accept
                .split(',')
                .any(|kind| kind.trim().starts_with("text/csv"))
        };
        if accept.is_some_and(csv) {
            Format::Csv
        } else {
            Format::Json
        }
    })
}

const fn kind_of(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv; charset=utf-8",
    }
}

/// A file that takes so much and no more.
struct Bounded {
    out: io::BufWriter<std::fs::File>,
    left: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        let left = self.left.checked_sub(taken as u64);
        self.left = left.ok_or_else(|| {
            io::Error::other("the settlement file is too large; ask for one account at a time")
        })?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A body whose pieces come through a channel, and that can break off.
struct Breakable(Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Breakable {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_who_says_so_or_accepts_it() {
        let check = |asked: Option<Format>, accept: &[&'static str], expect: Format| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.insert(header::ACCEPT, value.parse().unwrap());
            }
            assert_eq!(format(asked, &headers), expect, "{asked:?} {accept:?}");
        };
        check(None, &[], Format::Json);
        check(None, &["*/*"], Format::Json);
        check(None, &["text/csv"], Format::Csv);
        check(None, &["application/pdf, text/csv;q=0.5"], Format::Csv);
        check(Some(Format::Json), &["text/csv"], Format::Json);
        check(Some(Format::Csv), &["application/json"], Format::Csv);
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_not_cut() {
        let mut file = Bounded {
            out: io::BufWriter::new(tempfile::tempfile().unwrap()),
            left: 10,
        };
        file.write_all(b"0123456789").unwrap();
        let told = file.write_all(b"x").unwrap_err().to_string();
        assert!(told.contains("one account"), "{told}");
    }
}
