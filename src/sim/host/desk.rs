//! What a host decides about one request: code, booking, misbehaviour. No sockets here.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;

use crate::base::{BatchNumber, Clock, Fate, Moment, RequestType, Stan, TerminalId};
use crate::iso8583::{
    DeclineCode, Dialect, FieldValue, Index, Message, Request, ResponseCode, Served, answer,
};

use super::{Books, HostCounters, HostSettings, SharedBooks, lock};
use crate::sim::ledger::{Booked, Ledger, Row, State, Undone};
use crate::sim::message::LocalTime;
use crate::sim::rules::{Fault, Faults, Rules};
use crate::sim::time::local_time;

/// What to do with the answer that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Send it, this many times.
    Now { copies: u8 },
    /// Send it after a while, this many times.
    After { wait: Duration, copies: u8 },
    /// There is none.
    Never,
    /// There is none, and the connection is to be closed.
    Close,
    /// Send half of it and reset the connection.
    Reset,
    /// Send it byte by byte, with this wait between.
    Drip { every: Duration },
    /// There is none, and the connection rests for so long.
    Hang { time: Duration },
}

/// One connection's view of the host.
#[derive(Debug)]
pub(super) struct Desk {
    dialect: Arc<Dialect>,
    rules: Rules,
    batch: BatchNumber,
    keeps_books: bool,
    books: SharedBooks,
    random: fastrand::Rng,
    clock: Arc<dyn Clock>,
    /// Wall clock in whole seconds, and `now`, what messages say of it.
    second: u64,
    now: LocalTime,
    index: Index,
}

/// A desk with the books open, for as long as one chunk takes.
#[derive(Debug)]
pub(super) struct OpenDesk<'d> {
    dialect: &'d Arc<Dialect>,
    rules: &'d Rules,
    batch: BatchNumber,
    keeps_books: bool,
    random: &'d mut fastrand::Rng,
    now: LocalTime,
    index: &'d mut Index,
    books: MutexGuard<'d, Books>,
}

impl Desk {
    pub(super) fn new(settings: &HostSettings, books: SharedBooks, connection: u64) -> Self {
        Self {
            dialect: Arc::clone(&settings.dialect),
            rules: settings.rules.clone(),
            batch: settings.batch,
            keeps_books: settings.books,
            books,
            random: fastrand::Rng::with_seed(settings.seed.wrapping_add(connection)),
            clock: Arc::clone(&settings.clock),
            second: 0,
            now: local_time(settings.clock.wall()),
            index: Index::new(),
        }
    }

    pub(super) fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Takes the books for one chunk: one lock, and one look at the wall clock, for all its frames.
    pub(super) fn open(&mut self) -> OpenDesk<'_> {
        let wall = self.clock.wall();
        let second = wall.0 / 1_000_000;
        if self.second != second {
            self.second = second;
            self.now = local_time(wall);
        }
        OpenDesk {
            dialect: &self.dialect,
            rules: &self.rules,
            batch: self.batch,
            keeps_books: self.keeps_books,
            random: &mut self.random,
            now: self.now,
            index: &mut self.index,
            books: lock(&self.books),
        }
    }
}

impl OpenDesk<'_> {
    /// Decides about one frame and appends its answer, with length prefix, to `out`.
    pub(super) fn handle(&mut self, frame: &[u8], out: &mut BytesMut) -> Delivery {
        let counters = &mut self.books.counters;
        let Ok(message) = self.dialect.decode(frame, self.index) else {
            counters.unusable += 1;
            return Delivery::Never;
        };
        if !message.mti().is_request() {
            counters.unusable += 1;
            return Delivery::Never;
        }
        counters.requests += 1;
        let request = self.dialect.classify(&message);
        let case = Case {
            dialect: self.dialect,
            message,
            request,
            now: self.now,
            batch: self.batch,
        };
        let served = request.map(|r| r.served);
        match (request, served) {
            (Some(request), Some(Served::Forward)) => {
                let terminal = message.terminal();
                let minor = message.amount().map(|a| a.minor);
                let (code, mut faults) = self.rules.decide(terminal, minor, request.kind);
                if self.books.healed {
                    faults = &Faults::NONE;
                }
                let fault = faults.draw(self.random);
                if fault == Fault::Lose {
                    self.books.counters.lost += 1;
                    return Delivery::Never;
                }
                let wait = faults.delay.draw(self.random);
                let draw = self.random.u64(..);
                let code = case.decide(request, code, self.keeps_books, &mut self.books);
                let misbehaviour = Misbehaviour {
                    fault,
                    faults,
                    draw,
                };
                case.deliver(code, &misbehaviour, wait, &mut self.books.counters, out)
            }
            (_, Some(Served::SignOn | Served::SignOff | Served::Echo)) => case.reply(
                self.dialect.accepted(message.mti()),
                &mut self.books.counters,
                out,
            ),
            // A host of groups is no acquirer's front end: batches are not its business.
            (
                _,
                Some(
                    Served::Unserved
                    | Served::CodeEntry
                    | Served::Settlement
                    | Served::BatchUpload
                    | Served::BatchUploadEnd,
                ),
            ) => {
                let code = self.dialect.decline(DeclineCode::Unsupported);
                case.reply(code, &mut self.books.counters, out)
            }
            (Some(_) | None, None) | (None, Some(Served::Forward)) => {
                let code = self.dialect.decline(DeclineCode::InvalidTransaction);
                case.reply(code, &mut self.books.counters, out)
            }
        }
    }
}

/// One request being decided.
struct Case<'m> {
    dialect: &'m Dialect,
    message: Message<'m>,
    request: Option<&'m Request>,
    now: LocalTime,
    batch: BatchNumber,
}

impl Case<'_> {
    /// The code for a request, booked if it moves money. `ruled` is what the rules say, approval if nothing.
    fn decide(
        &self,
        request: &Request,
        ruled: Option<ResponseCode>,
        keeps_books: bool,
        books: &mut Books,
    ) -> ResponseCode {
        let accepted = self.accepted();
        let code = match ruled {
            Some(code) if !self.dialect.is_approval(code) => code,
            _ if !keeps_books => accepted,
            _ => {
                let code = self.book(request, books);
                // A ruled approval (11, A2) goes out as ruled, but never over a decline of the books.
                ruled.filter(|_| code == accepted).unwrap_or(code)
            }
        };
        if self.dialect.accepts(self.message.mti(), code) {
            books.counters.approved += 1;
        } else {
            books.counters.declined += 1;
        }
        code
    }

    fn accepted(&self) -> ResponseCode {
        self.dialect.accepted(self.message.mti())
    }

    fn book(&self, request: &Request, books: &mut Books) -> ResponseCode {
        let Some((terminal, row)) = self.row(request) else {
            return self.dialect.decline(DeclineCode::Format);
        };
        match request.kind {
            RequestType::Reversal => self.book_reversal(terminal, row, books),
            RequestType::NewMoney
            | RequestType::Completion
            | RequestType::Void
            | RequestType::Refund
            | RequestType::Advice => self.book_money(terminal, row, books),
            RequestType::Echo
            | RequestType::SignOn
            | RequestType::SignOff
            | RequestType::CodeEntry
            | RequestType::Download
            | RequestType::Enquiry
            | RequestType::QrQuery
            | RequestType::Settlement
            | RequestType::Trailer => self.accepted(),
        }
    }

    fn book_reversal(&self, terminal: TerminalId, row: Row, books: &mut Books) -> ResponseCode {
        let original = self.message.original();
        let named = Row {
            batch: original.and_then(|o| o.batch).unwrap_or(row.batch),
            stan: original.and_then(|o| o.stan).unwrap_or(row.stan),
            ..row
        };
        let Books {
            ledger, counters, ..
        } = books;
        match ledger.reverse(terminal, named) {
            Undone::Now => counters.reversed += 1,
            Undone::Before => counters.reversed_before += 1,
            Undone::Unknown => {
                counters.reversed_unknown += 1;
                return self.dialect.reversal().unknown_original;
            }
        }
        self.accepted()
    }

    fn book_money(&self, terminal: TerminalId, row: Row, books: &mut Books) -> ResponseCode {
        let Books {
            ledger, counters, ..
        } = books;
        if row.kind == RequestType::Void && !self.original_stands(ledger, terminal, &row) {
            return self.dialect.decline(DeclineCode::OriginalNotFound);
        }
        match ledger.book(terminal, row) {
            Booked::New => self.accepted(),
            Booked::Repeat(state) => {
                counters.repeats += 1;
                let never_again = self.request.is_some_and(|r| r.fate == Fate::Reverse);
                counters.doubled += u64::from(never_again);
                match state {
                    State::Approved => self.accepted(),
                    State::Reversed | State::Declined | State::InDoubt | State::Barred => {
                        self.dialect.decline(DeclineCode::Duplicate)
                    }
                }
            }
            Booked::Conflict | Booked::Barred => {
                counters.conflicts += 1;
                self.dialect.decline(DeclineCode::Duplicate)
            }
            Booked::Full => self.dialect.decline(DeclineCode::CannotDecide),
        }
    }

    /// Whether what a void names is there to be voided. A void that names nothing is taken at its word. Another terminal
    /// of the same merchant may have made it: the reference number says so.
    fn original_stands(&self, ledger: &Ledger, terminal: TerminalId, void: &Row) -> bool {
        let named = self.message.original();
        let Some((stan, batch)) = named.and_then(|o| Some((o.stan?, o.batch))) else {
            return true;
        };
        let batch = batch.unwrap_or(void.batch);
        let rrn = self.message.value(self.dialect.roles().original.rrn);
        let rrn = rrn.filter(|rrn| rrn.iter().any(|b| !b"0 ".contains(b)));
        let is_meant = |at: TerminalId| {
            let number = reference_number(at, batch.get(), stan.get());
            rrn.as_ref().is_some_and(|rrn| **rrn == number)
        };
        let stands = |at: TerminalId| {
            let row = ledger.row(at, batch, stan);
            row.is_some_and(|row| row.state == State::Approved && row.merchant == void.merchant)
        };
        if is_meant(terminal) || rrn.is_none() {
            return stands(terminal);
        }
        let mut all = ledger.terminals().into_iter();
        stands(all.find(|at| is_meant(*at)).unwrap_or(terminal))
    }

    fn row(&self, request: &Request) -> Option<(TerminalId, Row)> {
        let m = &self.message;
        let row = Row {
            merchant: m.merchant()?,
            batch: m.batch().unwrap_or_default(),
            stan: m.stan()?,
            kind: request.kind,
            books: request.books,
            minor: m.amount().map_or(0, |a| a.minor),
            state: State::Approved,
        };
        Some((m.terminal()?, row))
    }

    /// Answers a management request, always at once.
    fn reply(
        &self,
        code: ResponseCode,
        counters: &mut HostCounters,
        out: &mut BytesMut,
    ) -> Delivery {
        if self.write(code, out) {
            counters.answers += 1;
            Delivery::Now { copies: 1 }
        } else {
            counters.unusable += 1;
            Delivery::Never
        }
    }

    fn deliver(
        &self,
        code: ResponseCode,
        what: &Misbehaviour<'_>,
        wait: Duration,
        counters: &mut HostCounters,
        out: &mut BytesMut,
    ) -> Delivery {
        let begin = out.len();
        if !self.write(code, out) {
            counters.unusable += 1;
            return Delivery::Never;
        }
        let mut delivery = (wait, 1);
        match what.fault {
            Fault::None | Fault::Lose => {}
            Fault::Drop => {
                counters.dropped += 1;
                out.truncate(begin);
                return Delivery::Never;
            }
            Fault::Close => {
                counters.closed += 1;
                out.truncate(begin);
                return Delivery::Close;
            }
            Fault::Late => {
                counters.late += 1;
                delivery.0 = wait + what.faults.late_by;
            }
            Fault::Duplicate => {
                counters.duplicated += 1;
                delivery.1 = 2;
            }
            Fault::Garble => {
                counters.garbled += 1;
                self.garble(out, begin);
            }
            Fault::Foreign => {
                counters.foreign += 1;
                self.make_foreign(out, begin);
            }
            Fault::Misnumber => {
                counters.misnumbered += 1;
                self.misnumber(out, begin);
            }
            Fault::Garbage => {
                counters.garbage += 1;
                out.truncate(begin);
                put_garbage(out, what.draw);
                return Delivery::Now { copies: 1 };
            }
            Fault::Reset => {
                counters.reset += 1;
                return Delivery::Reset;
            }
            Fault::Drip => {
                counters.dripped += 1;
                counters.answers += 1;
                let every = what.faults.drip_every;
                return Delivery::Drip { every };
            }
            Fault::Hang => {
                counters.hung += 1;
                out.truncate(begin);
                let time = what.faults.hang_for;
                return Delivery::Hang { time };
            }
        }
        let (wait, copies) = delivery;
        counters.answers += u64::from(copies);
        if wait.is_zero() {
            Delivery::Now { copies }
        } else {
            Delivery::After { wait, copies }
        }
    }

    /// Appends the answer. False when it cannot be written, and then nothing was.
    fn write(&self, code: ResponseCode, out: &mut BytesMut) -> bool {
        let m = &self.message;
        let stan = m.stan().map_or(0, Stan::get);
        let batch = m.batch().unwrap_or_default().get();
        // A repeated request gets the same numbers again without the host remembering its answer.
        let rrn = m.terminal().map_or(*b"000000000000", |terminal| {
            reference_number(terminal, batch, stan)
        });
        let signs_on = self.request.is_some_and(|r| r.served == Served::SignOn);
        let with_batch = self.element_with_batch().filter(|_| signs_on);
        let forwarded = self.request.is_some_and(|r| r.served == Served::Forward);
        let gives_code = forwarded && self.dialect.is_approval(code);

        let mut extras = [(0, FieldValue::Number(0)); 5];
        let mut count = 0;
        let mut add = |de, value| {
            extras[count] = (de, value);
            count += 1;
        };
        let roles = self.dialect.roles();
        if roles.time == roles.date {
            add(
                roles.time,
                FieldValue::Number(self.now.joined(self.dialect)),
            );
        } else {
            add(12, FieldValue::Number(self.now.time));
            add(13, FieldValue::Number(self.now.date));
        }
        // Where answers are matched by it, it is the acquirer's and comes back.
        if !self.dialect.matched(m.mti()).contains(37) {
            add(37, FieldValue::Text(&rrn));
        }
        if gives_code {
            add(38, FieldValue::Text(&rrn[6..]));
        }
        if let Some(element) = &with_batch {
            add(60, FieldValue::Element(element));
        }
        answer(m, self.request, code, &extras[..count], out).is_ok()
    }

    /// The request's DE60 with this host's batch in place of the terminal's: digits 3 to 8, which fill
    /// bytes 3 to 5 behind two bytes of length.
    fn element_with_batch(&self) -> Option<Vec<u8>> {
        let role = self.dialect.roles().batch?;
        let mut element = self.message.element(role.field)?.to_vec();
        let digits = self.batch.to_string().into_bytes();
        let packed = digits
            .chunks_exact(2)
            .map(|pair| (pair[0] & 0x0F) << 4 | pair[1] & 0x0F);
        for (place, byte) in element.get_mut(3..6)?.iter_mut().zip(packed) {
            *place = byte;
        }
        Some(element)
    }

    /// Sets the message type to digits that are none, so that no dialect decodes it.
    fn garble(&self, out: &mut BytesMut, begin: usize) {
        let framing = self.dialect.framing();
        let at = begin + framing.prefix_bytes() + framing.envelope_bytes();
        if let Some(byte) = out.get_mut(at) {
            *byte = 0xFF;
        }
    }

    /// Changes the last character of DE41: the answer stays whole, but is another terminal's.
    fn make_foreign(&self, out: &mut BytesMut, begin: usize) {
        self.change_last(out, begin, self.dialect.roles().terminal);
    }

    /// Changes the last digit of the STAN: the answer stays whole, but is another request's.
    fn misnumber(&self, out: &mut BytesMut, begin: usize) {
        self.change_last(out, begin, self.dialect.roles().stan);
    }

    /// Makes another digit of a field's last byte, packed or a character.
    fn change_last(&self, out: &mut BytesMut, begin: usize, de: u8) {
        let mut index = Index::new();
        let frame_at = begin + self.dialect.framing().prefix_bytes();
        let place = out.get(frame_at..).and_then(|frame| {
            let m = self.dialect.decode(frame, &mut index).ok()?;
            let field = m.element(de)?;
            Some(field.as_ptr().addr() - frame.as_ptr().addr() + field.len() - 1)
        });
        if let Some(byte) = place.and_then(|at| out.get_mut(frame_at + at)) {
            *byte = if *byte & 0x0F == 0 {
                *byte | 1
            } else {
                *byte & 0xF0
            };
        }
    }
}

/// What goes wrong with one answer.
struct Misbehaviour<'r> {
    fault: Fault,
    faults: &'r Faults,
    /// Random.
    draw: u64,
}

/// Bytes that are no message: up to 63 of them, so that some announce frames longer than any dialect's and some
/// leave the peer waiting for the rest of one.
fn put_garbage(out: &mut BytesMut, draw: u64) {
    let mut random = fastrand::Rng::with_seed(draw);
    let count = random.usize(1..64);
    out.extend((0..count).map(|_| random.u8(..)));
}

/// DE37 of an answer: six digits that tell terminals and batches apart, and the STAN.
fn reference_number(terminal: TerminalId, batch: u32, stan: u32) -> [u8; 12] {
    // FNV-1a.
    let bytes = terminal.as_str().bytes().chain(batch.to_be_bytes());
    let mixed = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    two_numbers(u32::try_from(mixed % 1_000_000).unwrap_or_default(), stan)
}

/// Two numbers of six digits as twelve characters.
fn two_numbers(first: u32, second: u32) -> [u8; 12] {
    let mut out = [b'0'; 12];
    let (left, right) = out.split_at_mut(6);
    for (half, number) in [(left, first), (right, second)] {
        let mut rest = number;
        for place in half.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_numbers_tell_terminals_and_batches_apart() {
        let of = |terminal: &str, batch, stan| {
            reference_number(TerminalId::parse(terminal).unwrap(), batch, stan)
        };
        let first = of("T0000001", 1, 42);
        assert_eq!(&first[6..], b"000042");
        assert_eq!(of("T0000001", 1, 42), first, "the same again");
        for other in [of("T0000011", 1, 42), of("T0000001", 2, 42)] {
            assert_ne!(other, first);
        }
        assert_eq!(&two_numbers(1, 42), b"000001000042");
        assert_eq!(&two_numbers(999_999, 0), b"999999000000");
    }
}
