//! One sale, made once and then patched in place: trace number and amount are all that changes.

use bytes::BytesMut;

use crate::base::{BatchNumber, Moment, Stan, Timestamp};
use crate::iso8583::{EncodeError, Index, Message, Mti, ResponseCode};
use crate::sim::message::{Identity, Phrases, Place};
use crate::sim::time::local_time;

/// Why a template could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A field does not fit the dialect.
    #[error("the sale cannot be written in this dialect")]
    Encode(#[source] EncodeError),
    /// The dialect does not read back what it wrote.
    #[error("the sale cannot be read back in this dialect")]
    Decode,
}

/// A terminal's sale as bytes, ready to send.
#[derive(Clone, Debug)]
pub(super) struct Template {
    frame: Vec<u8>,
    answer_mti: Mti,
    stan_at: Number,
    amount_at: Number,
    /// DE41 as it stands in a message.
    terminal: Box<[u8]>,
}

/// Where a numeric field of fixed length stands in the frame.
#[derive(Clone, Copy, Debug)]
struct Number {
    at: usize,
    bytes: usize,
    packed: bool,
    /// The character of the digit 0: dialects are ASCII or EBCDIC.
    zero: u8,
}

impl Template {
    pub(super) fn new(
        phrases: &Phrases,
        who: Identity,
        batch: BatchNumber,
        wall: Timestamp,
    ) -> Result<Self, TemplateError> {
        let mut out = BytesMut::new();
        let stan = Stan::FIRST;
        let place = Place { batch, stan };
        phrases
            .sale(&mut out, who, place, 1, local_time(wall))
            .map_err(TemplateError::Encode)?;
        let dialect = phrases.dialect();
        let prefix = dialect.framing().prefix_bytes();
        let mut index = Index::new();
        let frame = out.get(prefix..).ok_or(TemplateError::Decode)?;
        let m = dialect
            .decode(frame, &mut index)
            .map_err(|_undecodable| TemplateError::Decode)?;
        let number = |de, digits| Number::find(&m, de, digits, prefix).ok_or(TemplateError::Decode);
        Ok(Self {
            answer_mti: m.mti().answer(),
            stan_at: number(dialect.roles().stan, 6)?,
            amount_at: number(dialect.roles().amount, 12)?,
            terminal: m
                .field(dialect.roles().terminal)
                .map(Box::from)
                .ok_or(TemplateError::Decode)?,
            frame: out.to_vec(),
        })
    }

    /// Puts in a trace number and an amount.
    pub(super) fn patch(&mut self, stan: Stan, minor: u64) {
        self.stan_at.write(&mut self.frame, stan.get().into());
        self.amount_at.write(&mut self.frame, minor);
    }

    /// The bytes to send, with length prefix.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// The response code of an answer that is this request's own: type, trace number, terminal and amount
    /// must be the ones sent.
    pub(super) fn check(&self, answer: &Message<'_>) -> Option<ResponseCode> {
        let roles = answer.dialect().roles();
        let own = answer.mti() == self.answer_mti
            && self.stan_at.is_in(&self.frame, answer.field(roles.stan))
            && answer.field(roles.terminal) == Some(&*self.terminal)
            && self
                .amount_at
                .is_in(&self.frame, answer.field(roles.amount));
        answer.response_code().filter(|_| own)
    }
}

impl Template {
    /// Whether an answer belongs to this terminal's request before this one: late, or given twice.
    pub(super) fn answers_earlier(&self, answer: &Message<'_>, previous: Option<Stan>) -> bool {
        let own = answer.field(answer.dialect().roles().terminal) == Some(&*self.terminal);
        own && answer.mti() == self.answer_mti && previous.is_some() && answer.stan() == previous
    }
}

impl Number {
    fn find(m: &Message<'_>, de: u8, digits: usize, prefix: usize) -> Option<Self> {
        let content = m.field(de)?;
        let at = content
            .as_ptr()
            .addr()
            .checked_sub(m.frame().as_ptr().addr())?;
        // In a longer field it stands at the end.
        let bytes = content.len().min(digits);
        let before = content.len() - bytes;
        (bytes == digits || bytes * 2 == digits).then_some(Self {
            at: prefix + at + before,
            bytes,
            packed: bytes != digits,
            zero: content.last()? & 0xF0,
        })
    }

    fn bytes_in(self, frame: &[u8]) -> Option<&[u8]> {
        frame.get(self.at..self.at + self.bytes)
    }

    /// Whether a field ends with the number that stands in the frame.
    fn is_in(self, frame: &[u8], field: Option<&[u8]>) -> bool {
        let number = self.bytes_in(frame);
        field
            .zip(number)
            .is_some_and(|(field, number)| field.ends_with(number))
    }

    fn write(self, frame: &mut [u8], mut number: u64) {
        let mut digit = || {
            let last = number % 10;
            number /= 10;
            u8::try_from(last).unwrap_or_default()
        };
        for place in frame[self.at..self.at + self.bytes].iter_mut().rev() {
            *place = if self.packed {
                let low = digit();
                digit() << 4 | low
            } else {
                self.zero + digit()
            };
        }
    }
}

/// Trace numbers and amounts of one terminal: no two runs use the same pairs, so that a gateway that
/// remembers an earlier run answers with "duplicate" rather than with an old approval.
#[derive(Clone, Debug)]
pub(super) struct Numbering {
    stan: Stan,
    salt: u64,
}

impl Numbering {
    pub(super) fn new(seed: u64, terminal: usize) -> Self {
        let number = u64::try_from(terminal).unwrap_or_default();
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number));
        let stan = Stan::new(random.u32(1..=Stan::MAX));
        Self {
            stan: stan.unwrap_or(Stan::FIRST),
            salt: random.u64(0..AMOUNTS),
        }
    }

    /// The next pair.
    pub(super) fn next(&mut self) -> (Stan, u64) {
        self.stan = self.stan.next();
        let mixed = u64::from(self.stan.get()) * 7_919 + self.salt;
        (self.stan, 100 + mixed % AMOUNTS)
    }
}

/// Amounts lie between 1.00 and 1,000.99.
const AMOUNTS: u64 = 100_000;

/// Latency of a request that was due at one moment and answered at another, in microseconds. A request that
/// was sent late, because the one before it was slow, still counts from when it was due: else a stall
/// would be seen by one request only and the tail would look better than customers find it (coordinated
/// omission). In closed loop a request is due when it is sent.
pub(super) fn latency_micros(due: Moment, answered: Moment) -> u64 {
    u64::try_from(answered.since(due).as_micros()).unwrap_or(u64::MAX)
}
