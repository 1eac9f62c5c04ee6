//! One terminal of a load run: a connection, a prepared sale, and the wait for its answer.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::alarm::Alarm;
use super::board::{Board, Failure, Turns};
use super::template::{Numbering, Template, TemplateError};
use crate::base::{BatchNumber, Clock, Moment, Stan};
use crate::iso8583::{Dialect, Index, Message, ResponseCode};
use crate::sim::inbox::Inbox;
use crate::sim::message::{Identity, Phrases, Place};
use crate::sim::time::local_time;
use crate::sim::transport::{Stream, Target};

/// What all terminals of a run have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) target: Target,
    pub(super) phrases: Phrases,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
    /// Whether terminals sign on when they connect.
    pub(super) sign_on: bool,
    pub(super) seed: u64,
}

/// Why a terminal is not ready to trade.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not connect, or the connection broke.
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    /// Signing on was answered with this code.
    #[error("signing on was declined with {0}")]
    SignOn(ResponseCode),
    /// The answer to signing on could not be used.
    #[error("the answer to signing on is unusable")]
    Answer,
    /// The sale cannot be made in this dialect.
    #[error("the sale could not be prepared")]
    Template(#[from] TemplateError),
}

/// A connected terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    who: Identity,
    number: usize,
    common: Rc<Common>,
    line: Line,
    template: Template,
    numbering: Numbering,
    alarm: Alarm,
    /// Trace number of the sale before.
    previous: Option<Stan>,
    /// Answers to the sale before that came during this one.
    stale: u64,
}

/// A connection and what it needs to find messages in it.
#[derive(Debug)]
struct Line {
    stream: Stream,
    inbox: Inbox,
    index: Index,
    dialect: Arc<Dialect>,
}

/// Enough for any answer to a sale; grows when a longer frame is announced.
const READ_BYTES: usize = 2 << 10;

impl Terminal {
    /// Connects and signs on.
    pub(super) async fn open(
        common: Rc<Common>,
        who: Identity,
        number: usize,
    ) -> Result<Self, OpenError> {
        let mut line = Line::connect(&common).await?;
        let batch = line.sign_on(&common, who).await?;
        let template = Template::new(&common.phrases, who, batch, common.clock.wall())?;
        let numbering = Numbering::new(common.seed, number);
        let alarm = Alarm::new(common.timeout);
        Ok(Self {
            who,
            number,
            common,
            line,
            template,
            numbering,
            alarm,
            previous: None,
            stale: 0,
        })
    }

    /// Trades whenever the board says so, and connects anew when the connection breaks. Never ends.
    #[expect(clippy::infinite_loop, reason = "ends with its task")]
    pub(super) async fn trade(mut self, board: Rc<Board>) -> Infallible {
        let mut turns = Turns::default();
        loop {
            let due = board.turn(self.number, &mut turns).await;
            let sale = self.sale().await;
            board.stale(std::mem::take(&mut self.stale));
            match sale {
                Ok((code, now)) => board.answered(due, now, code),
                Err(failure) => {
                    board.failed(failure);
                    let gone = [Failure::Broken, Failure::Left, Failure::Unanswered];
                    if gone.contains(&failure) {
                        self.reopen().await;
                    }
                }
            }
        }
    }

    /// One sale, from sending to its answer, with the moment of the answer.
    pub(super) async fn sale(&mut self) -> Result<(ResponseCode, Moment), Failure> {
        if self.line.has_ended().await {
            return Err(Failure::Left);
        }
        let clock = &*self.common.clock;
        let (stan, minor) = self.numbering.next();
        self.template.patch(stan, minor);
        let began = clock.now();
        self.line.send(self.template.bytes()).await?;
        loop {
            let receive = self.line.receive();
            let message = self.alarm.guard(clock, began, receive).await;
            let message = message.map_err(|_elapsed| Failure::Unanswered)??;
            if let Some(code) = self.template.check(&message) {
                self.previous = Some(stan);
                return Ok((code, clock.now()));
            }
            // The own answer is still to come: taking this one for it would put all later ones off by one.
            if !self.template.answers_earlier(&message, self.previous) {
                self.previous = Some(stan);
                return Err(Failure::Mismatched);
            }
            self.stale += 1;
        }
    }

    /// Whether the TLS handshake resumed an earlier session.
    pub(super) fn resumed(&self) -> bool {
        self.line.stream.resumed()
    }

    /// Where its numbering has got to.
    pub(super) fn numbering(&self) -> Numbering {
        self.numbering.clone()
    }

    /// Goes on from an earlier connection's numbering.
    pub(super) fn continue_numbering(&mut self, numbering: Numbering) {
        self.numbering = numbering;
    }

    /// Whether the connection is still there, as far as can be seen without traffic.
    pub(super) async fn is_open(&mut self) -> bool {
        let read = self.line.inbox.fill(&mut self.line.stream);
        match tokio::time::timeout(Duration::ZERO, read).await {
            Ok(read) => matches!(read, Ok(true)),
            Err(_nothing_to_read) => true,
        }
    }

    /// Says goodbye and waits until the peer has closed too, however it does.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.line.stream.shutdown().await?;
        while let Ok(true) = self.line.inbox.fill(&mut self.line.stream).await {
            self.line.inbox.clear();
        }
        Ok(())
    }

    async fn reopen(&mut self) {
        loop {
            // Dials again at an easy pace: a gateway that is down answers at once that it is.
            tokio::time::sleep(REDIAL_PAUSE).await;
            let opened = Self::open(Rc::clone(&self.common), self.who, self.number).await;
            if let Ok(opened) = opened {
                self.line = opened.line;
                self.template = opened.template;
                return;
            }
        }
    }
}

const REDIAL_PAUSE: Duration = Duration::from_millis(200);

impl Line {
    async fn connect(common: &Common) -> io::Result<Self> {
        Ok(Self {
            stream: common.target.connect(common.timeout).await?,
            inbox: Inbox::with_capacity(READ_BYTES),
            index: Index::new(),
            dialect: Arc::clone(common.phrases.dialect()),
        })
    }

    /// Signs on, when the run wants it, and gives the batch to trade in. Signs off before: a run begins with
    /// the same trace numbers as the one before it, and in that one's batch they would be repeats.
    async fn sign_on(&mut self, common: &Common, who: Identity) -> Result<BatchNumber, OpenError> {
        let batch = BatchNumber::FIRST;
        if !common.sign_on {
            return Ok(batch);
        }
        let mut out = BytesMut::new();
        let at = Place {
            batch,
            stan: Stan::FIRST,
        };
        let now = local_time(common.clock.wall());
        let phrases = &common.phrases;
        let made = phrases.sign_off(&mut out, who, at, now);
        made.map_err(TemplateError::Encode)?;
        // Whatever the answer: that nobody was signed on is as good.
        self.ask(common, &out).await?;
        out.clear();
        let made = phrases.sign_on(&mut out, who, at, now);
        made.map_err(TemplateError::Encode)?;
        let answer = self.ask(common, &out).await?;
        let code = answer.response_code().ok_or(OpenError::Answer)?;
        if !answer.dialect().accepts(answer.mti(), code) {
            return Err(OpenError::SignOn(code));
        }
        Ok(answer.batch().unwrap_or(batch))
    }

    async fn ask(&mut self, common: &Common, frame: &[u8]) -> Result<Message<'_>, OpenError> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await?;
        tokio::time::timeout(common.timeout, self.receive())
            .await
            .map_err(io::Error::from)?
            .map_err(|_failure| OpenError::Answer)
    }

    /// Whether the peer has closed, as far as is known without waiting. Looked at before each request: one
    /// sent after the peer's goodbye would be lost.
    async fn has_ended(&mut self) -> bool {
        let mut read = std::pin::pin!(self.inbox.fill(&mut self.stream));
        std::future::poll_fn(|cx| {
            let ended = match read.as_mut().poll(cx) {
                Poll::Ready(read) => !matches!(read, Ok(true)),
                Poll::Pending => false,
            };
            Poll::Ready(ended)
        })
        .await
    }

    async fn send(&mut self, frame: &[u8]) -> Result<(), Failure> {
        let broken = |_error| Failure::Broken;
        self.stream.write_all(frame).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    async fn receive(&mut self) -> Result<Message<'_>, Failure> {
        let frame = loop {
            let next = self.inbox.next(self.dialect.framing());
            if let Some(frame) = next.map_err(|_bad| Failure::Broken)? {
                break frame;
            }
            match self.inbox.fill(&mut self.stream).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(Failure::Broken),
            }
        };
        self.dialect
            .decode(self.inbox.bytes(frame), &mut self.index)
            .map_err(|_undecodable| Failure::Unusable)
    }
}
