//! Many terminals connected to one peer, measured in windows. Connections stay open between windows.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::board::{Board, Counts, Pace};
use super::pacer;
use super::terminal::{Common, OpenError, Terminal};
use super::{LoadError, Window};
use crate::sim::message::Identity;
use crate::sim::process::Process;

/// Connected terminals of one peer. Must be used inside a `LocalSet`.
#[derive(Debug)]
pub(super) struct Station {
    board: Rc<Board>,
    tasks: JoinSet<Infallible>,
    timeout: Duration,
}

/// Connections being opened at a time: more would only queue in the peer's listener.
const OPENING_MAX: usize = 64;

impl Station {
    /// Connects all terminals and signs them on.
    pub(super) async fn open(
        common: &Rc<Common>,
        identities: &[Identity],
    ) -> Result<Self, OpenError> {
        let board = Board::new(Arc::clone(&common.clock), identities.len());
        let terminals = open_all(common, identities).await?;
        let mut tasks = JoinSet::new();
        for terminal in terminals {
            tasks.spawn_local(terminal.trade(Rc::clone(&board)));
        }
        Ok(Self {
            board,
            tasks,
            timeout: common.timeout,
        })
    }

    /// Trades for `warm_up`, then measures for `duration`, with the CPU time of `watched` meanwhile.
    pub(super) async fn window(
        &self,
        pace: Pace,
        warm_up: Duration,
        duration: Duration,
        watched: &[Process],
    ) -> Result<Window, LoadError> {
        let timetable = self.board.start(pace);
        let script = self.measure(warm_up, duration, watched);
        let window = match timetable {
            None => script.await?,
            Some(timetable) => tokio::select! {
                window = script => window?,
                broken = pacer::keep(&self.board, timetable) => {
                    return Err(LoadError::Timer(broken.err().unwrap_or_else(ended)));
                }
            },
        };
        let unsent = timetable.map_or(0, |timetable| {
            let due = timetable.due_before(window.ended) - timetable.due_before(window.began);
            due.saturating_sub(window.attempts())
        });
        // What is still under way belongs to no window.
        let rest = tokio::time::timeout(self.timeout, self.board.quiet());
        rest.await.unwrap_or_default();
        Ok(Window { unsent, ..window })
    }

    async fn measure(
        &self,
        warm_up: Duration,
        duration: Duration,
        watched: &[Process],
    ) -> Result<Window, LoadError> {
        let clock = Arc::clone(self.board.clock());
        tokio::time::sleep(warm_up).await;
        let before = cpu_times(watched)?;
        let began = clock.now();
        self.board.measure();
        tokio::time::sleep(duration).await;
        let counts = self.board.stop();
        let ended = clock.now();
        let after = cpu_times(watched)?;
        let cpu = before
            .into_iter()
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before))
            .collect();
        Ok(Window::new(counts, began, ended, cpu))
    }

    /// Ends all terminals and closes their connections.
    pub(super) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

fn ended() -> io::Error {
    io::Error::other("the timer ended")
}

/// Opens terminals, a bounded number at a time. The first that fails ends it.
pub(super) async fn open_all(
    common: &Rc<Common>,
    identities: &[Identity],
) -> Result<Vec<Terminal>, OpenError> {
    let gate = Arc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for (number, who) in identities.iter().copied().enumerate() {
        let (gate, common) = (Arc::clone(&gate), Rc::clone(common));
        opening.spawn_local(async move {
            // Never closed, so this only waits.
            let _turn = gate.acquire().await;
            Terminal::open(common, who, number).await
        });
    }
    let mut terminals = Vec::with_capacity(identities.len());
    while let Some(opened) = opening.join_next().await {
        terminals.push(opened.map_err(io::Error::from)??);
    }
    Ok(terminals)
}

fn cpu_times(watched: &[Process]) -> Result<Vec<Duration>, LoadError> {
    watched
        .iter()
        .map(|process| process.cpu_time().map_err(LoadError::Process))
        .collect()
}

impl Window {
    fn new(
        counts: Counts,
        began: crate::base::Moment,
        ended: crate::base::Moment,
        cpu: Vec<Duration>,
    ) -> Self {
        Self {
            answered: counts.answered,
            codes: counts.by_code(),
            mismatched: counts.mismatched,
            stale: counts.stale,
            unusable: counts.unusable,
            unanswered: counts.unanswered,
            broken: counts.broken,
            left: counts.left,
            unsent: 0,
            latency: counts.latency,
            began,
            ended,
            cpu,
        }
    }
}
