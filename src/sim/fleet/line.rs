//! A terminal's connection: sends one request at a time and tells its own answer from all others.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Shared;
use super::tally::Snapshot;
use crate::base::{BatchNumber, Stan, TerminalId};
use crate::iso8583::{Index, Message, Mti, ResponseCode};
use crate::sim::inbox::Inbox;
use crate::sim::transport::{Stream, Target};

/// A request as far as its answer must repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Type of the answer.
    pub(super) answer: Mti,
    pub(super) stan: Stan,
    pub(super) minor: Option<u64>,
}

/// What a terminal takes from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) batch: Option<BatchNumber>,
    pub(super) rrn: [u8; 12],
    pub(super) approval_code: [u8; 6],
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    Answered(Answer),
    /// No answer of its own in time; the connection is still there.
    Silent,
    /// The connection broke.
    Broken,
}

/// Requests remembered for telling late and second answers from foreign ones.
const REMEMBERED_MAX: usize = 64;
const READ_BYTES: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Line {
    stream: Stream,
    inbox: Inbox,
    index: Index,
    terminal: TerminalId,
    shared: Arc<Shared>,
    /// Earlier requests of this connection, and whether each was answered.
    earlier: VecDeque<(Asked, bool)>,
}

/// What a frame turned out to be.
enum Judged {
    Own(Answer),
    Other,
}

impl Line {
    pub(super) async fn connect(
        shared: &Arc<Shared>,
        target: &Target,
        terminal: TerminalId,
    ) -> io::Result<Self> {
        let stream = target.connect(shared.settings.connect_timeout).await?;
        let mut tally = shared.tally();
        tally.connections += 1;
        tally.resumed += u64::from(stream.resumed());
        drop(tally);
        Ok(Self {
            stream,
            inbox: Inbox::with_capacity(READ_BYTES),
            index: Index::new(),
            terminal,
            shared: Arc::clone(shared),
            earlier: VecDeque::new(),
        })
    }

    /// Sends a request and waits for its answer. Whatever else arrives is counted and thrown away.
    pub(super) async fn exchange(&mut self, frame: &[u8], asked: Asked) -> Exchange {
        self.remember(asked);
        let sent = async {
            self.stream.write_all(frame).await?;
            self.stream.flush().await
        };
        if sent.await.is_err() {
            return Exchange::Broken;
        }
        let clock = Arc::clone(&self.shared.settings.clock);
        let deadline = clock.now().after(self.shared.settings.answer_timeout);
        loop {
            match self.next_judged(Some(asked)) {
                Ok(Some(Judged::Own(answer))) => return Exchange::Answered(answer),
                Ok(Some(Judged::Other)) => continue,
                Ok(None) => {}
                Err(_unreadable) => return Exchange::Broken,
            }
            let left = deadline.since(clock.now());
            if left.is_zero() {
                return Exchange::Silent;
            }
            match tokio::time::timeout(left, self.inbox.fill(&mut self.stream)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false) | Err(_)) => return Exchange::Broken,
                Err(_elapsed) => return Exchange::Silent,
            }
        }
    }

    /// Takes what has arrived since the last exchange. False when the peer has hung up.
    pub(super) async fn is_open(&mut self) -> bool {
        let fill = self.inbox.fill(&mut self.stream);
        let open = match tokio::time::timeout(Duration::ZERO, fill).await {
            Ok(read) => matches!(read, Ok(true)),
            Err(_nothing_to_read) => true,
        };
        loop {
            match self.next_judged(None) {
                Ok(Some(_)) => {}
                Ok(None) => return open,
                Err(_unreadable) => return false,
            }
        }
    }

    /// Hangs up in order.
    pub(super) async fn close(mut self) {
        // The peer may have gone first: closed is closed.
        self.stream.shutdown().await.unwrap_or_default();
    }

    fn remember(&mut self, asked: Asked) {
        // A repeat is the same request: one of its answers may be late, the other is its own.
        self.earlier.retain(|(earlier, _)| *earlier != asked);
        if self.earlier.len() >= REMEMBERED_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back((asked, false));
    }

    fn next_judged(
        &mut self,
        asked: Option<Asked>,
    ) -> Result<Option<Judged>, crate::wire::FrameError> {
        let dialect = &self.shared.settings.dialect;
        let Some(frame) = self.inbox.next(dialect.framing())? else {
            return Ok(None);
        };
        let mut tally = self.shared.tally();
        let Ok(message) = dialect.decode(self.inbox.bytes(frame), &mut self.index) else {
            tally.unusable += 1;
            return Ok(Some(Judged::Other));
        };
        let place = answered_by(&self.earlier, &message, self.terminal);
        let judged = judge(&mut self.earlier, place, asked, &message, &mut tally);
        Ok(Some(judged))
    }
}

/// Which remembered request a message answers, the latest first.
fn answered_by(
    earlier: &VecDeque<(Asked, bool)>,
    message: &Message<'_>,
    terminal: TerminalId,
) -> Option<usize> {
    if message.terminal() != Some(terminal) {
        return None;
    }
    let (mti, stan) = (message.mti(), message.stan()?);
    let minor = message.amount().map(|amount| amount.minor);
    earlier.iter().rposition(|(asked, _)| {
        let same_amount = asked.minor.is_none() || asked.minor == minor;
        asked.answer == mti && asked.stan == stan && same_amount
    })
}

fn judge(
    earlier: &mut VecDeque<(Asked, bool)>,
    place: Option<usize>,
    asked: Option<Asked>,
    message: &Message<'_>,
    tally: &mut Snapshot,
) -> Judged {
    let Some((request, answered)) = place.and_then(|at| earlier.get_mut(at)) else {
        tally.mismatched += 1;
        return Judged::Other;
    };
    let Some(code) = message.response_code() else {
        tally.unusable += 1;
        return Judged::Other;
    };
    if std::mem::replace(answered, true) {
        tally.duplicates += 1;
        return Judged::Other;
    }
    if asked != Some(*request) {
        tally.late += 1;
        return Judged::Other;
    }
    Judged::Own(Answer {
        code,
        batch: message.batch(),
        rrn: padded(message.rrn().as_deref()),
        approval_code: padded(message.approval_code().as_deref()),
    })
}

/// A text field as a terminal stores it, blank when absent or of another length.
fn padded<const N: usize>(field: Option<&[u8]>) -> [u8; N] {
    field.and_then(|f| f.try_into().ok()).unwrap_or([b' '; N])
}
