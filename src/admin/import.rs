//! `POST /v1/import`: terminals as CSV, all lines or none, with progress while it runs.
//!
//! The answer is one JSON object a line: progress, then the report or the problems. It begins with 200
//! because it begins before the end is known; the last line says how it ended.

use std::io::{self, Read};

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::csv::Lines;
use super::{Admin, Pieces};
use crate::base::limits;
use crate::store::RegistryError;
use crate::store::registry::{Actor, ImportReport, LineProblem};
use crate::switch::SharedRegistry;

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

/// Pieces of the body that wait for the reader.
const PIECES_MAX: usize = 16;

pub(super) async fn import(State(admin): State<Admin>, body: Body) -> Response {
    let (give, taken) = channel::<io::Result<Bytes>>(PIECES_MAX);
    let (tell, told) = channel(PIECES_MAX);
    admin.tasks.spawn(feed(body.into_data_stream(), give));
    let registry = std::sync::Arc::clone(&admin.registry);
    let at = admin.clock.wall();
    tokio::task::spawn_blocking(move || {
        let actor = Actor {
            name: "admin-socket".into(),
            at,
        };
        let mut say = |event: &ImportEvent| {
            let mut line = serde_json::to_vec(event).unwrap_or_default();
            line.push(b'\n');
            // A caller that went away does not stop the import.
            drop(tell.blocking_send(Bytes::from(line)));
        };
        let pieces = PieceReader {
            pieces: taken,
            now: Bytes::new(),
        };
        // The whole file first: a caller that sends slowly must not hold up other changes.
        let last = match spool(pieces) {
            Ok(file) => run(&registry, file, &actor, &mut say),
            Err(problem) => ImportEvent::Failed(format!("the file did not arrive: {problem}")),
        };
        say(&last);
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::new(Pieces(told))).into_response()
}

/// Takes everything into a file without a name.
fn spool(pieces: PieceReader) -> io::Result<std::fs::File> {
    use std::io::Seek;
    let mut file = tempfile::tempfile()?;
    let taken = io::copy(&mut pieces.take(limits::IMPORT_BYTES_MAX + 1), &mut file)?;
    if taken > limits::IMPORT_BYTES_MAX {
        return Err(io::Error::other("it is too large; split it"));
    }
    file.rewind()?;
    Ok(file)
}

/// Imports from a reader. Blocks; used over HTTP and directly on a store that nobody runs.
pub fn run(
    registry: &SharedRegistry,
    input: impl Read,
    actor: &Actor,
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
    let imported = registry.change(|registry| {
        registry.import(&mut lines, actor, &mut |done| {
            say(&ImportEvent::Progress(done));
        })
    });
    match imported {
        Ok(report) => ImportEvent::Report(report),
        Err(RegistryError::Lines(problems)) => ImportEvent::Problems(problems),
        Err(other) => {
            tracing::error!(
                problem = crate::telemetry::log::chain(&other),
                "an import failed"
            );
            ImportEvent::Failed(other.to_string())
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
