//! What the terminals of one run share: when to trade, and what came of it. One thread, no locks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Notify;

use super::template::latency_micros;
use crate::base::{Clock, Moment};
use crate::iso8583::ResponseCode;

/// When terminals send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each sends as soon as it has its answer.
    Closed,
    /// So many messages a second over all terminals, due whether or not earlier ones were answered.
    Open {
        /// Messages a second, at least 1.
        per_second: u32,
    },
}

/// A window's timetable. Message `k` of all is due at `start + k / rate`, and is terminal `k % terminals`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timetable {
    pub(super) start: Moment,
    pub(super) per_second: u32,
    pub(super) terminals: usize,
}

impl Timetable {
    pub(super) fn due(&self, message: u64) -> Moment {
        let micros = message.saturating_mul(1_000_000) / u64::from(self.per_second.max(1));
        self.start.after(Duration::from_micros(micros))
    }

    /// When the `turn`-th message of a terminal is due.
    fn due_at(&self, terminal: usize, turn: u64) -> Moment {
        let terminals = u64::try_from(self.terminals).unwrap_or(u64::MAX);
        let terminal = u64::try_from(terminal).unwrap_or(u64::MAX);
        self.due(turn.saturating_mul(terminals).saturating_add(terminal))
    }

    /// Messages due before `now`.
    pub(super) fn due_before(&self, now: Moment) -> u64 {
        let micros = u64::try_from(now.since(self.start).as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(self.per_second.into()) / 1_000_000
    }
}

/// What terminals are to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rest,
    Closed,
    Open(Timetable),
}

/// Counts of one measured window.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) answered: u64,
    pub(super) codes: Vec<(ResponseCode, u64)>,
    pub(super) mismatched: u64,
    pub(super) stale: u64,
    pub(super) unusable: u64,
    pub(super) unanswered: u64,
    pub(super) broken: u64,
    pub(super) left: u64,
    pub(super) latency: Histogram<u64>,
}

impl Counts {
    fn new() -> Self {
        Self {
            answered: 0,
            codes: Vec::with_capacity(16),
            mismatched: 0,
            stale: 0,
            unusable: 0,
            unanswered: 0,
            broken: 0,
            left: 0,
            latency: latency_histogram(),
        }
    }

    fn add(&mut self, code: ResponseCode, micros: u64) {
        self.answered += 1;
        self.latency.saturating_record(micros);
        match self.codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.codes.push((code, 1)),
        }
    }

    pub(super) fn by_code(&self) -> BTreeMap<String, u64> {
        let named = |(code, count): &(ResponseCode, u64)| (code.to_string(), *count);
        self.codes.iter().map(named).collect()
    }
}

/// A histogram of microseconds up to a minute, in three digits.
pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_max(MINUTE_MICROS, 3)
        .unwrap_or_else(|_refused| unreachable!("three digits up to a minute are a valid range"))
}

const MINUTE_MICROS: u64 = 60_000_000;

/// The shared board. Terminals ask it for their turn and tell it the outcome.
#[derive(Debug)]
pub(super) struct Board {
    clock: Arc<dyn Clock>,
    order: Cell<Order>,
    window: Cell<u32>,
    measuring: Cell<bool>,
    counts: RefCell<Counts>,
    busy: Cell<usize>,
    quiet: Notify,
    bells: Vec<Notify>,
}

/// Why a request has no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An answer that is not this request's own.
    Mismatched,
    /// An answer that cannot be decoded.
    Unusable,
    /// None in time.
    Unanswered,
    /// The connection broke.
    Broken,
    /// The peer had closed before the request was sent, as a gateway does that drains: nothing failed.
    Left,
}

/// One terminal's count of turns within a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    window: u32,
    taken: u64,
}

impl Board {
    pub(super) fn new(clock: Arc<dyn Clock>, terminals: usize) -> Rc<Self> {
        Rc::new(Self {
            clock,
            order: Cell::new(Order::Rest),
            window: Cell::new(0),
            measuring: Cell::new(false),
            counts: RefCell::new(Counts::new()),
            busy: Cell::new(0),
            quiet: Notify::new(),
            bells: (0..terminals).map(|_| Notify::new()).collect(),
        })
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Waits for a terminal's next turn, and gives the moment from which its latency counts.
    pub(super) async fn turn(&self, terminal: usize, turns: &mut Turns) -> Moment {
        loop {
            let now = self.clock.now();
            if turns.window != self.window.get() {
                *turns = Turns {
                    window: self.window.get(),
                    taken: 0,
                };
            }
            match self.order.get() {
                Order::Rest => {}
                Order::Closed => return self.begin(now),
                Order::Open(timetable) => {
                    let due = timetable.due_at(terminal, turns.taken);
                    if due <= now {
                        turns.taken += 1;
                        return self.begin(due);
                    }
                }
            }
            self.bells[terminal].notified().await;
        }
    }

    fn begin(&self, due: Moment) -> Moment {
        self.busy.set(self.busy.get() + 1);
        due
    }

    /// The terminal has its answer.
    pub(super) fn answered(&self, due: Moment, now: Moment, code: ResponseCode) {
        if self.measuring.get() {
            let micros = latency_micros(due, now);
            self.counts.borrow_mut().add(code, micros);
        }
        self.end();
    }

    /// The terminal has no usable answer.
    pub(super) fn failed(&self, failure: Failure) {
        if self.measuring.get() {
            let mut counts = self.counts.borrow_mut();
            match failure {
                Failure::Mismatched => counts.mismatched += 1,
                Failure::Unusable => counts.unusable += 1,
                Failure::Unanswered => counts.unanswered += 1,
                Failure::Broken => counts.broken += 1,
                Failure::Left => counts.left += 1,
            }
        }
        self.end();
    }

    /// A terminal got so many answers to the request before its last.
    pub(super) fn stale(&self, answers: u64) {
        if answers > 0 && self.measuring.get() {
            self.counts.borrow_mut().stale += answers;
        }
    }

    fn end(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.busy.get() == 0 {
            self.quiet.notify_one();
        }
    }

    /// Lets the terminals trade. The timetable is returned in open loop, for the pacer.
    pub(super) fn start(&self, pace: Pace) -> Option<Timetable> {
        self.window.set(self.window.get().wrapping_add(1));
        let timetable = match pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Timetable {
                start: self.clock.now(),
                per_second,
                terminals: self.bells.len(),
            }),
        };
        self.order.set(timetable.map_or(Order::Closed, Order::Open));
        if timetable.is_none() {
            self.bells.iter().for_each(Notify::notify_one);
        }
        timetable
    }

    /// Wakes a terminal whose message is due.
    pub(super) fn ring(&self, message: u64) {
        let terminals = u64::try_from(self.bells.len()).unwrap_or(1).max(1);
        let bell = usize::try_from(message % terminals).ok();
        if let Some(bell) = bell.and_then(|at| self.bells.get(at)) {
            bell.notify_one();
        }
    }

    /// Begins to count, from nothing.
    pub(super) fn measure(&self) {
        *self.counts.borrow_mut() = Counts::new();
        self.measuring.set(true);
    }

    /// Ends counting and trading.
    pub(super) fn stop(&self) -> Counts {
        self.measuring.set(false);
        self.order.set(Order::Rest);
        self.counts.replace(Counts::new())
    }

    /// Waits until no terminal waits for an answer.
    pub(super) async fn quiet(&self) {
        while self.busy.get() > 0 {
            self.quiet.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ManualClock;

    fn code() -> ResponseCode {
        ResponseCode::APPROVED
    }

    #[test]
    fn timetable_deals_messages_out_in_turn() {
        let timetable = Timetable {
            start: Moment(1_000),
            per_second: 1_000,
            terminals: 4,
        };
        assert_eq!(timetable.due(0), Moment(1_000));
        assert_eq!(timetable.due_at(3, 0), Moment(4_000));
        assert_eq!(timetable.due_at(1, 2), Moment(10_000));
        assert_eq!(timetable.due_before(Moment(11_000)), 10);
    }

    #[tokio::test]
    async fn latency_of_a_late_request_counts_from_when_it_was_due() {
        let clock = Arc::new(ManualClock::default());
        let board = Board::new(Arc::<ManualClock>::clone(&clock), 1);
        let mut turns = Turns::default();
        board.start(Pace::Open { per_second: 1_000 });
        board.measure();

        // The first answer takes 5 ms, so that four more messages fall due meanwhile.
        let due = board.turn(0, &mut turns).await;
        clock.advance(Duration::from_millis(5));
        board.answered(due, clock.now(), code());
        // They are answered at once, but were due 4, 3, 2, 1 and 0 ms ago.
        for _ in 0..5 {
            let due = board.turn(0, &mut turns).await;
            board.answered(due, clock.now(), code());
        }

        let counts = board.stop();
        let mut recorded: Vec<_> = counts.latency.iter_recorded().collect();
        recorded.sort_by_key(hdrhistogram::iterators::IterationValue::value_iterated_to);
        let millis: Vec<_> = recorded
            .iter()
            .map(|v| v.value_iterated_to() / 1_000)
            .collect();
        assert_eq!(counts.answered, 6);
        assert_eq!(millis.last(), Some(&5));
        assert_eq!(millis.len(), 6, "{millis:?}");
    }

    #[tokio::test]
    async fn in_closed_loop_latency_counts_from_sending() {
        let clock = Arc::new(ManualClock::default());
        let board = Board::new(Arc::<ManualClock>::clone(&clock), 1);
        let mut turns = Turns::default();
        board.start(Pace::Closed);
        board.measure();
        for millis in [5, 1] {
            let due = board.turn(0, &mut turns).await;
            clock.advance(Duration::from_millis(millis));
            board.answered(due, clock.now(), code());
        }
        let counts = board.stop();
        assert_eq!(counts.by_code(), BTreeMap::from([("00".to_owned(), 2)]));
        assert!((1_000..1_010).contains(&counts.latency.min()));
        assert!((5_000..5_010).contains(&counts.latency.max()));
    }
}
