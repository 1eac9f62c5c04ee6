//! `POST /v1/import`: terminals as CSV, all lines or none, with progress while it runs.
//!
//! The answer comes when the end is known, with the status that says it: 200 only when everything is committed and
//! in the gate. Who accepts `application/x-ndjson` gets one JSON object a line instead, while it runs: progress,
//! and at the end the report, the problems or why it failed. That answer begins with 200 before anything is known;
//! one whose last line is none of these three was cut off.

use std::io::{self, Read, Write as _};

use aws_lc_rs::digest;
use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::csv::Lines;
use super::extract::{fingerprint, key};
use super::problem::{Refusal, blocking};
use super::{Admin, Pieces};
use crate::base::{Counted, limits};
use crate::store::registry::{Actor, ImportReport, LineProblem};
use crate::store::writes::{Answer, Keyed, Known, Written};
use crate::store::{RegistryError, StoreError};
use crate::switch::SharedRegistry;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(import))
}

/// One line of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportEvent {
    /// So many lines are done; nothing is committed yet.
    Progress(u64),
    /// Everything is committed and in the gate.
    Report(ImportReport),
    /// Nothing was changed, because of these lines.
    Problems(Vec<LineProblem>),
    /// Nothing was changed, because something failed.
    Failed(String),
}

/// One JSON object a line.
const LINES: &str = "application/x-ndjson";

/// Pieces of the body that wait for the reader.
const PIECES_MAX: usize = 16;

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
struct Imported {
    report: ImportReport,
}

/// Import terminals as CSV: all lines or none
///
/// 200 means that everything is committed and in the gate; 422 names every wrong line in `lines`, and nothing was
/// changed. With `Accept: application/x-ndjson` the answer begins before the end is known, with 200 and one JSON
/// object a line: `progress`, and at the end `report`, `problems` or `failed`.
#[utoipa::path(
    post, path = "/v1/import", tag = "terminals",
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, content(
        (Imported = "application/json"),
        (String = "application/x-ndjson"),
    )))
)]
async fn import(
    State(admin): State<Admin>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let key = key(&parts.headers)?;
    let (give, taken) = channel::<io::Result<Bytes>>(PIECES_MAX);
    admin.tasks.spawn(feed(body.into_data_stream(), give));
    let pieces = PieceReader {
        pieces: taken,
        now: Bytes::new(),
    };
    // The whole file first: a caller that sends slowly must not hold up other changes.
    let spooled = blocking(move || {
        let arrived = spool(pieces);
        arrived.map_err(|problem| Refusal::bad(format!("the file did not arrive: {problem}")))
    });
    let (file, sum) = spooled.await?;
    let keyed = Keyed {
        caller: caller.identity.clone(),
        key,
        fingerprint: fingerprint(&parts, sum.as_ref()),
        at: admin.clock.wall(),
    };
    let (registry, looked) = (admin.registry.clone(), keyed.clone());
    match blocking(move || Ok(registry.lock().known(&looked)?)).await? {
        Known::Nothing | Known::Answered(_) => {}
        other @ (Known::Begun | Known::Other | Known::Full) => return Err(other.into()),
    }
    let registry = admin.registry.clone();
    if !streams(&parts.headers) {
        let actor = caller.actor(keyed.at);
        let work = move || {
            Ok(run(
                &registry,
                file,
                &actor,
                Some(&keyed),
                &mut |_progress| {},
            ))
        };
        return answered(blocking(work).await?);
    }
    let (tell, told) = channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let actor = caller.actor(keyed.at);
        let mut say = |event: &ImportEvent| {
            let mut line = serde_json::to_vec(event).unwrap_or_default();
            line.push(b'\n');
            // A caller that went away does not stop the import.
            drop(tell.blocking_send(Bytes::from(line)));
        };
        let last = run(&registry, file, &actor, Some(&keyed), &mut say);
        say(&last);
    });
    let kind = [(header::CONTENT_TYPE, LINES)];
    Ok((kind, Body::new(Pieces(told))).into_response())
}

/// Whether the caller wants to see how far it is.
fn streams(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accepted| accepted.to_str().ok())
        .any(|accepted| accepted.contains(LINES))
}

/// The end as an answer.
fn answered(end: ImportEvent) -> Result<Response, Refusal> {
    match end {
        ImportEvent::Report(report) => Ok(Json(Imported { report }).into_response()),
        ImportEvent::Problems(lines) => {
            let wrong = Counted(lines.len(), "line").that("is", "are");
            let detail = format!("{wrong} wrong; nothing was imported");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let mut problem = Refusal::new(status, "wrong lines", detail).shown();
            problem["lines"] = serde_json::to_value(lines).unwrap_or_default();
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            Ok((status, kind, problem.to_string()).into_response())
        }
        ImportEvent::Failed(why) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "not imported",
            why,
        )),
        ImportEvent::Progress(_) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "not imported",
            "the import has no end",
        )),
    }
}

/// Takes everything into a file without a name; with the file, its SHA-256.
fn spool(mut pieces: PieceReader) -> io::Result<(std::fs::File, digest::Digest)> {
    use std::io::Seek;
    let mut file = io::BufWriter::new(tempfile::tempfile()?);
    let mut sum = digest::Context::new(&digest::SHA256);
    let (mut taken, mut piece) = (0_u64, vec![0; 1 << 16]);
    loop {
        let count = pieces.read(&mut piece)?;
        let read = piece.get(..count).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        taken += read.len() as u64;
        if taken > limits::IMPORT_BYTES_MAX {
            return Err(io::Error::other("it is too large; split it"));
        }
        sum.update(read);
        file.write_all(read)?;
    }
    let mut file = file.into_inner().map_err(io::Error::from)?;
    file.rewind()?;
    Ok((file, sum.finish()))
}

/// Why an import was not made.
enum NotImported {
    Refused(RegistryError),
    /// For what is known of its key.
    Known,
}

impl From<StoreError> for NotImported {
    fn from(problem: StoreError) -> Self {
        Self::Refused(problem.into())
    }
}

/// Imports from a reader. Blocks; used over HTTP, where it is done once for each key, and directly on a store
/// that nobody runs.
pub fn run(
    registry: &SharedRegistry,
    input: impl Read,
    actor: &Actor,
    keyed: Option<&Keyed>,
    say: &mut dyn FnMut(&ImportEvent),
) -> ImportEvent {
    let acquirers = match registry.lock().acquirers() {
        Ok(acquirers) => acquirers,
        Err(problem) => return ImportEvent::Failed(problem.to_string()),
    };
    let mut lines = match Lines::new(input, acquirers) {
        Ok(lines) => lines,
        Err(problems) => return ImportEvent::Problems(problems),
    };
    let mut progress = |done| say(&ImportEvent::Progress(done));
    let imported = match keyed {
        None => registry
            .change(|registry| registry.import(&mut lines, actor, &mut progress))
            .map_err(NotImported::Refused),
        Some(keyed) => {
            let written = registry.write(keyed, |registry| {
                let imported = registry.import(&mut lines, actor, &mut progress);
                let (report, changes) = imported.map_err(NotImported::Refused)?;
                let report = serde_json::to_value(report).unwrap_or_default();
                Ok((Answer::ok(report), changes))
            });
            written.and_then(|written| match written {
                Written::Now(answer) | Written::Before(answer) => {
                    Ok(serde_json::from_value(answer.body).unwrap_or_default())
                }
                Written::Not(_known) => Err(NotImported::Known),
            })
        }
    };
    match imported {
        Ok(report) => ImportEvent::Report(report),
        Err(NotImported::Refused(RegistryError::Lines(problems))) => {
            ImportEvent::Problems(problems)
        }
        Err(NotImported::Refused(other)) => {
            tracing::error!(
                problem = crate::telemetry::log::chain(&other),
                "an import failed"
            );
            ImportEvent::Failed(other.to_string())
        }
        // Somebody used the key between the first look and this one.
        Err(NotImported::Known) => {
            ImportEvent::Failed("the Idempotency-Key was used for something else".into())
        }
    }
}

/// Hands the body to the blocking reader, at the reader's pace.
async fn feed(mut body: BodyDataStream, give: Sender<io::Result<Bytes>>) {
    use futures_core::Stream;
    loop {
        let piece = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_next(cx)).await;
        let Some(piece) = piece else { return };
        let piece = piece.map_err(|broken| io::Error::other(broken.to_string()));
        let broken = piece.is_err();
        if give.send(piece).await.is_err() || broken {
            return;
        }
    }
}

/// The body as something to read from.
struct PieceReader {
    pieces: Receiver<io::Result<Bytes>>,
    now: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.now = piece?,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.now.len());
        self.now.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}
