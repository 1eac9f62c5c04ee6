//! Which dialect bytes are in: every dialect's framing and headers are tried, and what decodes best is taken.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use crate::base::card::luhn;
use crate::base::limits::FRAME_BYTES_MAX;
use crate::iso8583::{DecodeError, Dialect, Index, Message, Mti};
use crate::wire::{Scan, scan};

use super::bytes::{Notation, Reading};
use super::parts;
use super::rival::{self, Contested};
use super::stray::{ToldLength, told_length};

/// What stands around the message in the bytes that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A length prefix, then TPDU and headers, then the message.
    Framed,
    /// No length prefix.
    Bare,
    /// Neither length prefix nor TPDU nor headers: the bytes begin with the message type.
    Headless,
}

impl Layout {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Bare => "bare",
            Self::Headless => "without its headers",
        }
    }
}

/// What can be wrong with a length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// It announces more bytes than there are.
    CutOff {
        /// Bytes that are not there.
        missing: usize,
    },
    /// It announces fewer bytes than there are.
    LeftOver {
        /// Bytes behind the frame.
        bytes: usize,
    },
    /// It is no length.
    Unusable,
}

/// One way to take the bytes. `Debug` shows none of them.
#[derive(Clone)]
pub struct Guess {
    /// The dialect tried.
    pub dialect: Arc<Dialect>,
    /// How the bytes were written.
    pub notation: Notation,
    /// What stands around the message.
    pub layout: Layout,
    /// The bytes given.
    pub input: Vec<u8>,
    /// The message with TPDU and headers; those of the dialect itself where the bytes have none.
    pub frame: Vec<u8>,
    /// Where `frame` begins in `input`; `None` where headers were put in front.
    pub frame_at: Option<usize>,
    /// What is wrong with the length prefix, if there is one.
    pub prefix: Option<PrefixFault>,
    /// Why it does not decode.
    pub error: Option<DecodeError>,
    /// How well it decodes: higher is better, and only the order counts.
    pub score: i32,
    /// Of the likeliest guess, if it is sound: the fields that hold what is secret if the message is meant otherwise.
    pub contested: Vec<Contested>,
}

impl Guess {
    /// Whether the message is sound.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.error.is_none() && self.prefix.is_none()
    }

    /// Where a byte of the frame stands in the bytes that were given; `None` when it was not among them.
    #[must_use]
    pub fn input_offset(&self, frame_offset: usize) -> Option<usize> {
        match self.frame_at {
            Some(at) => Some(at.saturating_add(frame_offset)),
            None => {
                let added = self.frame.len().saturating_sub(self.input.len());
                frame_offset.checked_sub(added)
            }
        }
    }
}

impl fmt::Debug for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guess")
            .field("dialect", &self.dialect.name())
            .field("notation", &self.notation)
            .field("layout", &self.layout)
            .field("error", &self.error)
            .field("score", &self.score)
            .finish_non_exhaustive()
    }
}

/// Points for what decodes to its last byte: more than everything else together.
pub(super) const SOUND: i32 = 1_000;

/// How near the next best guess must be to be worth a word.
pub const NEAR: i32 = 40;

/// Takes the readings in every way, best first. `framed` leaves only those with or without a length prefix.
/// Never empty when there is a reading and a dialect.
#[must_use]
pub fn guesses(
    readings: &[Reading],
    dialects: &[Arc<Dialect>],
    framed: Option<bool>,
) -> Vec<Guess> {
    let mut all = Vec::new();
    for reading in readings {
        for dialect in dialects {
            let behind_prefix = as_framed(reading, dialect);
            let bare = |prefixed: Option<&Guess>| {
                let mut bare = as_bare(reading, dialect);
                // A type that is none is no type where a length stands in its place.
                let typeless = matches!(bare.error, Some(DecodeError::Mti { .. }));
                if typeless && prefixed.is_some_and(announces) {
                    bare.score = bare.score.min(0);
                }
                bare
            };
            let ways = [
                (framed != Some(true)).then(|| bare(behind_prefix.as_ref())),
                behind_prefix.filter(|_| framed != Some(false)),
                as_headless(reading, dialect).filter(|_| framed != Some(true)),
            ];
            all.extend(ways.into_iter().flatten());
        }
    }
    if all.is_empty() {
        // Framed was asked for and no prefix fits: what follows a prefix is still the best guess.
        for reading in readings {
            all.extend(
                dialects
                    .iter()
                    .map(|dialect| behind_prefix(reading, dialect)),
            );
        }
    }
    // Digits are meant as digits, unless they make a message as they are.
    let is_hex = |guess: &Guess| matches!(guess.notation, Notation::Hex | Notation::OddHex { .. });
    if all.iter().any(is_hex) {
        let others = |guess: &&mut Guess| !is_hex(guess) && !guess.is_sound();
        for guess in all.iter_mut().filter(others) {
            guess.score = guess.score.saturating_sub(400);
        }
    }
    // Stable: earlier readings and dialects win among equals.
    all.sort_by_key(|guess| Reverse(guess.score));
    let contested = rival::contested(&all);
    if let Some(best) = all.first_mut() {
        best.contested = contested;
    }
    all
}

/// Whether a length prefix is right, or a message of the dialect begins behind it.
fn announces(guess: &Guess) -> bool {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    guess.prefix.is_none() || message.is_some_and(|message| message_type(&message) > 0)
}

/// The bytes as one frame behind its length prefix.
fn as_framed(reading: &Reading, dialect: &Arc<Dialect>) -> Option<Guess> {
    let bytes = reading.bytes.len();
    let found = scan(dialect.framing(), &reading.bytes, FRAME_BYTES_MAX);
    let (start, end, fault) = match found.ok()? {
        Scan::Frame { start, end } if start == end => return None,
        Scan::Frame { start, end } if end == bytes => (start, end, None),
        Scan::Frame { start, end } => {
            let bytes = bytes.saturating_sub(end);
            (start, end, Some(PrefixFault::LeftOver { bytes }))
        }
        Scan::Need(needed) => {
            let missing = needed.saturating_sub(bytes);
            let start = dialect.framing().prefix_bytes();
            (start, bytes, Some(PrefixFault::CutOff { missing }))
        }
    };
    let frame = reading.bytes.get(start..end)?.to_vec();
    let mut guess = guess(reading, dialect, Layout::Framed, frame, Some(start));
    guess.prefix = fault;
    // A number that is right by chance is rare.
    let points = if fault.is_some() { -100 } else { 60 };
    guess.score = guess.score.saturating_add(points);
    Some(guess)
}

/// The bytes behind a length prefix that is none.
fn behind_prefix(reading: &Reading, dialect: &Arc<Dialect>) -> Guess {
    let prefix = dialect.framing().prefix_bytes().min(reading.bytes.len());
    let frame = reading.bytes.get(prefix..).unwrap_or_default().to_vec();
    let mut guess = guess(reading, dialect, Layout::Framed, frame, Some(prefix));
    guess.prefix = Some(PrefixFault::Unusable);
    guess
}

fn as_bare(reading: &Reading, dialect: &Arc<Dialect>) -> Guess {
    let frame = reading.bytes.clone();
    guess(reading, dialect, Layout::Bare, frame, Some(0))
}

/// The bytes with the dialect's own headers in front.
fn as_headless(reading: &Reading, dialect: &Arc<Dialect>) -> Option<Guess> {
    let framing = dialect.framing();
    if framing.envelope_bytes() == 0 {
        return None;
    }
    let mut frame = framing.envelope_of(&framing.tpdu, &framing.header);
    frame.extend_from_slice(&reading.bytes);
    framing.tell_length(&mut frame);
    let mut guess = guess(reading, dialect, Layout::Headless, frame, None);
    guess.score = guess.score.saturating_sub(20);
    Some(guess)
}

fn guess(
    reading: &Reading,
    dialect: &Arc<Dialect>,
    layout: Layout,
    frame: Vec<u8>,
    frame_at: Option<usize>,
) -> Guess {
    let (error, score) = attempt(dialect, &frame);
    // Written out: raw bytes that look like digits are seldom meant.
    let doubt = match reading.notation {
        Notation::Hex | Notation::OddHex { .. } => 0,
        Notation::Base64 => 2,
        Notation::Raw => 1,
    };
    Guess {
        dialect: Arc::clone(dialect),
        notation: reading.notation,
        layout,
        input: reading.bytes.clone(),
        frame,
        frame_at,
        prefix: None,
        error,
        score: score.saturating_sub(doubt),
        contested: Vec::new(),
    }
}

/// Decodes, and says how well that went.
pub(super) fn attempt(dialect: &Dialect, frame: &[u8]) -> (Option<DecodeError>, i32) {
    let mut index = Index::new();
    let (message, error) = dialect.decode_partial(frame, &mut index);
    let mut score = match &error {
        None => SOUND,
        Some(error) => read_before(frame, dialect, error),
    };
    match (message, &error) {
        (Some(message), error) => {
            // Far into a message of no type that the dialect has is not far.
            if error.is_some() && message_type(&message) < 0 {
                score /= 4;
            }
            // A header that says where the message ends says nothing of what follows it.
            let mut ended = Index::new();
            let ended = match error {
                Some(DecodeError::LeftOver { .. }) => {
                    let end = error.as_ref().map_or(0, DecodeError::offset);
                    let frame = frame.get(..end).unwrap_or_default();
                    dialect.decode(frame, &mut ended).ok()
                }
                Some(_) | None => None,
            };
            let judged = ended.as_ref().unwrap_or(&message);
            score = score.saturating_add(likely(judged, error.is_some()));
        }
        (None, Some(DecodeError::Mti { .. })) => {
            score = score.max(but_for_its_type(dialect, frame));
        }
        (None, _) => {}
    }
    (error, score)
}

/// How well a message would decode if only its type were another, less what that costs.
fn but_for_its_type(dialect: &Dialect, frame: &[u8]) -> i32 {
    let mut types: Vec<_> = dialect
        .requests()
        .iter()
        .flat_map(|row| &row.mtis)
        .collect();
    types.sort_by_key(|mti| mti.packed());
    types.dedup();
    let scores = types.into_iter().filter_map(|mti| {
        let frame = dialect.retyped(frame, *mti)?;
        let (error, score) = attempt(dialect, &frame);
        error.is_none().then_some(score.saturating_sub(400))
    });
    scores.max().unwrap_or(0)
}

/// Up to half of [`SOUND`] by how much was read before it broke.
fn read_before(frame: &[u8], dialect: &Dialect, error: &DecodeError) -> i32 {
    let envelope = dialect.framing().envelope_bytes();
    let all = frame.len().saturating_sub(envelope).max(1);
    let read = error.offset().saturating_sub(envelope).min(all);
    let share = read.saturating_mul(500).checked_div(all).unwrap_or(0);
    i32::try_from(share).unwrap_or(0)
}

/// Points for what makes sense beyond being well formed. `cut`: more of it may have been there.
pub(super) fn likely(message: &Message<'_>, cut: bool) -> i32 {
    let dialect = message.dialect();
    let points = [
        envelope(message, cut),
        message_type(message),
        match (dialect.classify(message), message.misshapen()) {
            (Some(_), None) => 60,
            (Some(_), Some(_)) => 30,
            (None, None) => 0,
            (None, Some(_)) => -20,
        },
        match message.response_code() {
            Some(code) if dialect.text_of(code).is_some() => 20,
            Some(_) => -10,
            None => 0,
        },
        match message.pan() {
            Some(pan) if pan.expose().len() >= 12 && luhn(pan.expose()) => 30,
            Some(_) => -20,
            None => 0,
        },
        clock(message),
        original(message),
        divisions(message),
    ];
    points.into_iter().fold(0, i32::saturating_add)
}

/// An original is of a type that a request has.
fn original(message: &Message<'_>) -> i32 {
    let dialect = message.dialect();
    let roles = dialect.roles();
    let places = [roles.original.mti, roles.reversed.mti];
    let digits = places.into_iter().flatten().find_map(|at| message.part(at));
    let Some(digits) = digits.filter(|_| dialect.serves()) else {
        return 0;
    };
    let known = Mti::parse(digits.as_str()).is_some_and(|mti| {
        let mut types = dialect.requests().iter().flat_map(|row| &row.mtis);
        types.any(|known| *known == mti)
    });
    if known { 5 } else { -60 }
}

/// Fields divide as their layouts say.
fn divisions(message: &Message<'_>) -> i32 {
    let (sound, broken) = parts::counted(message);
    let points = |fields: usize, each: i32| {
        let fields = i32::try_from(fields.min(4)).unwrap_or(4);
        fields.saturating_mul(each)
    };
    points(sound, 5).saturating_sub(points(broken, 20))
}

/// TPDU and header begin as the dialect's do.
fn envelope(message: &Message<'_>, cut: bool) -> i32 {
    match told_length(message) {
        ToldLength::Right => {}
        ToldLength::More if cut => {}
        // Not its header at all.
        ToldLength::More | ToldLength::Less => return -700,
    }
    let framing = message.dialect().framing();
    let (found_tpdu, found_header) = framing.parts_of(message.envelope());
    let tpdu = framing.tpdu.first() == found_tpdu.first();
    let header = framing.header.first() == found_header.first();
    match (
        framing.tpdu.is_empty() && framing.header.is_empty(),
        tpdu && header,
    ) {
        (true, _) => 0,
        (false, true) => 30,
        (false, false) => -60,
    }
}

/// Whether a message begins as those of its dialect do: TPDU, header and type.
pub(super) fn begins_as_usual(message: &Message<'_>) -> bool {
    envelope(message, false) >= 0 && message_type(message) > 0
}

/// A request of the dialect, or the answer to one.
fn message_type(message: &Message<'_>) -> i32 {
    let dialect = message.dialect();
    if dialect.message_rule(message.mti()).is_some() {
        return 60;
    }
    let rows = dialect.requests();
    if rows.is_empty() {
        return 0;
    }
    let mut types = rows.iter().flat_map(|row| &row.mtis);
    let mti = message.mti();
    if types.any(|known| *known == mti || known.answer() == mti || known.repeat() == mti) {
        60
    } else {
        -60
    }
}

/// Time and date are such.
fn clock(message: &Message<'_>) -> i32 {
    let roles = message.dialect().roles();
    let time = message.number(roles.time).map(|hhmmss| {
        let (hours, minutes, seconds) = (hhmmss / 10_000 % 100, hhmmss / 100 % 100, hhmmss % 100);
        hours < 24 && minutes < 60 && seconds < 60
    });
    // One field may have both, the date before the time.
    let joined = roles.date == roles.time;
    let date = message.number(roles.date).map(|number| {
        let mmdd = if joined { number / 1_000_000 } else { number };
        let (month, day) = (mmdd / 100 % 100, mmdd % 100);
        (1..=12).contains(&month) && (1..=31).contains(&day)
    });
    let points = |sound: Option<bool>| -> i32 {
        match sound {
            Some(true) => 10,
            Some(false) => -30,
            None => 0,
        }
    };
    points(time).saturating_add(points(date))
}
