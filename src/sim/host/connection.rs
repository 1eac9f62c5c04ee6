//! One connection of a host: chunks in, answers out, some of them later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::desk::{Delivery, Desk};
use crate::base::Moment;
use crate::base::limits::SIM_WAITING_MAX;
use crate::sim::inbox::Inbox;
use crate::sim::transport::Stream;

const READ_BYTES: usize = 64 << 10;

/// Serves one connection to its end. An error says that the peer broke it.
pub(super) async fn serve(stream: Stream, desk: Desk) -> io::Result<()> {
    let mut connection = Connection {
        stream,
        desk,
        inbox: Inbox::with_capacity(READ_BYTES),
        outbox: BytesMut::with_capacity(READ_BYTES),
        waiting: Waiting::default(),
    };
    connection.run().await
}

struct Connection {
    stream: Stream,
    desk: Desk,
    inbox: Inbox,
    outbox: BytesMut,
    waiting: Waiting,
}

/// What a chunk leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    GoOn,
    Close,
    Reset,
    /// The last answer of the outbox goes byte by byte; this many bytes it has.
    Drip {
        bytes: usize,
        every: Duration,
    },
    Hang {
        time: Duration,
    },
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        // Whether frames of the last chunk may be left.
        let mut left = false;
        loop {
            if !left && !self.wait().await? {
                return self.stream.shutdown().await;
            }
            let after = self.answer_chunk()?;
            let slowly = match after {
                After::Drip { bytes, .. } => self.outbox.split_off(self.outbox.len() - bytes),
                _ => BytesMut::new(),
            };
            if !self.outbox.is_empty() {
                self.stream.write_all_buf(&mut self.outbox).await?;
                self.stream.flush().await?;
            }
            left = after != After::GoOn;
            match after {
                After::GoOn => {}
                After::Close => return self.stream.shutdown().await,
                After::Reset => return self.stream.reset_on_drop(),
                After::Drip { every, .. } => {
                    for byte in slowly {
                        self.stream.write_all(&[byte]).await?;
                        self.stream.flush().await?;
                        tokio::time::sleep(every).await;
                    }
                }
                After::Hang { time } => tokio::time::sleep(time).await,
            }
        }
    }

    /// Waits for bytes or for the time of a waiting answer. False at the end of the stream.
    async fn wait(&mut self) -> io::Result<bool> {
        let Some(due) = self.waiting.next_due() else {
            return self.inbox.fill(&mut self.stream).await;
        };
        let sleep = pin!(tokio::time::sleep(due.since(self.desk.now())));
        tokio::select! {
            () = sleep => Ok(true),
            read = self.inbox.fill(&mut self.stream) => read,
        }
    }

    /// Puts the answers to all whole frames, and those now due, into the outbox.
    fn answer_chunk(&mut self) -> io::Result<After> {
        let now = self.desk.now();
        let dialect = std::sync::Arc::clone(self.desk.dialect());
        let mut desk = self.desk.open();
        loop {
            let next = self
                .inbox
                .next(dialect.framing())
                .map_err(io::Error::other)?;
            let Some(frame) = next else { break };
            let begin = self.outbox.len();
            match desk.handle(self.inbox.bytes(frame), &mut self.outbox) {
                Delivery::Now { copies } => repeat_tail(&mut self.outbox, begin, copies),
                Delivery::After { wait, copies } => {
                    let answer = self.outbox.split_off(begin).freeze();
                    self.waiting.push(now, wait, copies, answer);
                }
                Delivery::Never => {}
                Delivery::Close => return Ok(After::Close),
                Delivery::Reset => {
                    let whole = self.outbox.len() - begin;
                    self.outbox.truncate(begin + whole / 2);
                    return Ok(After::Reset);
                }
                Delivery::Drip { every } => {
                    let bytes = self.outbox.len() - begin;
                    return Ok(After::Drip { bytes, every });
                }
                Delivery::Hang { time } => return Ok(After::Hang { time }),
            }
        }
        self.waiting.take_due(now, &mut self.outbox);
        Ok(After::GoOn)
    }
}

/// Appends what stands behind `begin` once more for each copy beyond the first.
fn repeat_tail(out: &mut BytesMut, begin: usize, copies: u8) {
    let end = out.len();
    for _ in 1..copies {
        out.extend_from_within(begin..end);
    }
}

/// Answers by the time at which they are due, earliest first.
#[derive(Debug, Default)]
struct Waiting {
    queue: BinaryHeap<Reverse<(Moment, u64, u8, Bytes)>>,
    pushed: u64,
}

impl Waiting {
    fn push(&mut self, now: Moment, wait: Duration, copies: u8, answer: Bytes) {
        // The running number keeps answers of one moment in order.
        self.pushed += 1;
        let entry = (now.after(wait), self.pushed, copies, answer);
        self.queue.push(Reverse(entry));
    }

    fn next_due(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((due, ..))| *due)
    }

    fn take_due(&mut self, now: Moment, out: &mut BytesMut) {
        while self.queue.len() > SIM_WAITING_MAX || self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((_, _, copies, answer))) = self.queue.pop() else {
                return;
            };
            for _ in 0..copies {
                out.extend_from_slice(&answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_answers_overtake_by_due_time_only() {
        let mut waiting = Waiting::default();
        let mut push = |ms, text: &'static [u8], copies| {
            let wait = Duration::from_millis(ms);
            waiting.push(Moment(0), wait, copies, Bytes::from_static(text));
        };
        push(20, b"c", 1);
        push(10, b"a", 2);
        push(10, b"b", 1);
        assert_eq!(waiting.next_due(), Some(Moment(10_000)));
        let mut out = BytesMut::new();
        waiting.take_due(Moment(9_999), &mut out);
        assert_eq!(&out[..], b"");
        waiting.take_due(Moment(10_000), &mut out);
        assert_eq!(&out[..], b"aab");
        waiting.take_due(Moment(20_000), &mut out);
        assert_eq!(&out[..], b"aabc");
    }
}
