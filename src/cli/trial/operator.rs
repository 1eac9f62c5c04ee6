//! An operator at work while the gateway is killed: what it was told is done must be done in the next life too.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::gateway::ACQUIRER;
use crate::base::TerminalId;
use crate::cli::client::{Gateway, Version};
use crate::telemetry::metrics::{REPEATS_OWED, REVERSALS_OWED};

/// Pause between two changes.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest that a change may take: a gateway that was stopped answers nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reversals and repeats that a gateway owes by its metrics; `None` when it does not answer.
pub(super) async fn owed_by(socket: PathBuf) -> Option<u64> {
    let gateway = Gateway::on_socket(socket);
    let metrics = tokio::time::timeout(PATIENCE, gateway.get_text("/metrics"));
    let metrics = metrics.await.ok()?.ok()?;
    let owed = metrics.lines().filter(|line| {
        let name = line.split_once('{').map(|(name, _labels)| name);
        name == Some(REVERSALS_OWED) || name == Some(REPEATS_OWED)
    });
    let values = owed.map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

/// What came of its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Changes that the gateway said are done.
    pub(super) acknowledged: u64,
    /// Changes that broke off: they may be done or not.
    pub(super) broken_off: u64,
    /// Acknowledged changes that were gone afterwards, and states that nobody had asked for.
    pub(super) lost: u64,
}

/// One operator, who changes bindings of terminals that do not trade.
pub(super) struct Operator {
    socket: PathBuf,
    terminals: Vec<Watched>,
    changes: Changes,
}

struct Watched {
    terminal: TerminalId,
    /// Version and state that were acknowledged last.
    known: (u64, &'static str),
    /// State that was asked for since, without an answer.
    asked: Option<&'static str>,
}

impl Operator {
    pub(super) fn new(socket: PathBuf, terminals: impl Iterator<Item = TerminalId>) -> Self {
        let watched = |terminal| Watched {
            terminal,
            known: (1, "active"),
            asked: None,
        };
        Self {
            socket,
            terminals: terminals.map(watched).collect(),
            changes: Changes::default(),
        }
    }

    /// Works until it is told to stop, looks at everything once more, and says what came of it.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Changes {
        for turn in (0..self.terminals.len()).cycle() {
            if stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            if self.look(turn).await {
                self.change(turn).await;
            }
        }
        for turn in 0..self.terminals.len() {
            self.look(turn).await;
        }
        self.changes
    }

    /// Compares what the gateway shows with what it has acknowledged. False when it does not answer.
    async fn look(&mut self, turn: usize) -> bool {
        let path = self.path(turn);
        let Some(shown) = self.ask(Method::GET, &path, None).await else {
            return false;
        };
        let version = shown.get("version").and_then(Value::as_u64);
        let state = shown.get("state").and_then(Value::as_str);
        let (Some(version), Some(state), Some(watched)) =
            (version, state, self.terminals.get_mut(turn))
        else {
            return false;
        };
        let as_known = (version, state) == watched.known;
        let as_asked = watched
            .asked
            .filter(|asked| version == watched.known.0 + 1 && *asked == state);
        match as_asked {
            Some(asked) => watched.known = (version, asked),
            // What was asked for may still wait in the socket of a process that was stopped.
            None if as_known => return true,
            None => {
                self.changes.lost += 1;
                watched.known = (
                    version,
                    if state == "active" {
                        "active"
                    } else {
                        "suspended"
                    },
                );
            }
        }
        watched.asked = None;
        true
    }

    async fn change(&mut self, turn: usize) {
        let path = format!("{}/state", self.path(turn));
        let Some(watched) = self.terminals.get_mut(turn) else {
            return;
        };
        let (version, state) = watched.known;
        let next = if state == "active" {
            "suspended"
        } else {
            "active"
        };
        watched.asked = Some(next);
        let body = json!({ "state": next, "reasons": [] });
        let exactly = Version::Exactly(u32::try_from(version).unwrap_or(u32::MAX));
        let asked = Some((exactly, body));
        if self.ask(Method::PUT, &path, asked).await.is_none() {
            self.changes.broken_off += 1;
            return;
        }
        self.changes.acknowledged += 1;
        if let Some(watched) = self.terminals.get_mut(turn) {
            watched.known = (version + 1, next);
            watched.asked = None;
        }
    }

    fn path(&self, turn: usize) -> String {
        let terminal = self.terminals.get(turn).map(|watched| watched.terminal);
        let terminal = terminal.map(|id| id.to_string()).unwrap_or_default();
        format!("/v1/terminals/{ACQUIRER}/{terminal}")
    }

    /// One request; `None` when the gateway is not there, does not answer in time, or refuses.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        change: Option<(Version, Value)>,
    ) -> Option<Value> {
        let asked = async {
            let gateway = Gateway::on_socket(self.socket.clone());
            match change {
                Some((version, body)) => gateway.change(method, path, version, &body).await,
                None => gateway.get_json(path).await,
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }
}
