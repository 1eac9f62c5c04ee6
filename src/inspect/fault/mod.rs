//! Why a message does not decode: the other ways in which it might be meant are tried, and those that work are
//! the likely causes.

mod around;
mod bitmap;
mod lengths;
mod mangled;
mod search;
mod widths;
mod writing;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::base::Counted;
use crate::iso8583::{DecodeError, Dialect, Index, Message};

use super::element::Reveal;
use super::find::{Guess, PrefixFault, SOUND};
use super::stray::anchor;
use super::window;

pub(super) use around::{ENCODINGS, encoding_word};
pub(super) use bitmap::Bitmap;
pub(super) use search::Search;
pub(super) use search::{Found, Rank, offset_in, signed};

/// Most causes that are told.
pub(super) const CAUSES_MAX: usize = 3;

/// Points beyond being well formed that a message has which hardly is one by chance.
const SENSIBLE: i32 = 60;

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What decoding says.
    pub what: String,
    /// Where it stands in the bytes that were given; `None` when it does not stand there.
    pub at: Option<usize>,
    /// The bytes around that place, with a caret below it; lines.
    pub window: Vec<String>,
    /// What may have led to it, likeliest first.
    pub causes: Vec<Cause>,
    /// Fields that were read where something may stand that nobody may see: by the likeliest cause, or for all that is
    /// known.
    pub doubtful: Vec<u8>,
}

/// What may have led to a broken message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// What would make it right, where a dialect file could say it.
    pub remedy: Option<String>,
    /// Whether the whole message decodes so; else it only gets further.
    pub sound: bool,
}

/// Explains why a guess is not sound; `None` when it is.
#[must_use]
pub fn explain(guess: &Guess, reveal: Reveal) -> Option<Fault> {
    if guess.is_sound() {
        return None;
    }
    let search = Search::of(guess);
    let (what, frame_offset) = told(guess);
    let at = guess.input_offset(frame_offset);
    let best = search.best();
    // What decodes in a way that has a name, and has a card number where it should be one, is known from there.
    let named = best.filter(|best| {
        best.rank <= Rank::Named && !best.resized && holds_together(&best.dialect, &best.frame)
    });
    let trusted = named.is_some() || search.whole();
    let shade = window::shade(guess, best, trusted, reveal);
    let window = match at {
        Some(at) => window::lines(&guess.input, &shade, at),
        None => Vec::new(),
    };
    let doubtful = if trusted {
        window::shaded_fields(guess, &shade)
    } else {
        behind_anchor(guess)
    };
    Some(Fault {
        what,
        at,
        window,
        causes: search.causes(),
        doubtful,
    })
}

/// Whether what was read of a frame stands where it should, as far as that shows: its card number or track is one; or
/// it is of a kind that has none.
fn holds_together(dialect: &Dialect, frame: &[u8]) -> bool {
    let mut index = Index::new();
    let (message, _) = dialect.decode_partial(frame, &mut index);
    message.is_some_and(|message| is_cardless(&message) || anchor(&message).is_some())
}

/// Network management and reconciliation are without a card.
fn is_cardless(message: &Message<'_>) -> bool {
    let class = message.mti().class_key() & 0x0F;
    let dialect = message.dialect();
    let request = dialect.classify(message).is_some() && message.misshapen().is_none();
    // An answer is of a type that some request has.
    let mut types = dialect.requests().iter().flat_map(|row| &row.mtis);
    let known = request || types.any(|mti| mti.answer() == message.mti());
    known && matches!(class, 5 | 8)
}

/// The fields that were read behind the last one of which it is known that it stands where it should.
fn behind_anchor(guess: &Guess) -> Vec<u8> {
    let mut index = Index::new();
    let (Some(message), _) = guess.dialect.decode_partial(&guess.frame, &mut index) else {
        return Vec::new();
    };
    let anchor = anchor(&message).unwrap_or(0);
    let fields = message.content_fields().iter();
    fields.filter(|de| *de > anchor).collect()
}

/// When the best guess is broken: puts in front of it the one that would be sound with another length prefix, other
/// headers, without what stands around it or written in another way, if there is one. Only the best of each dialect is tried.
pub fn reconsider(guesses: &mut Vec<Guess>) {
    if guesses.first().is_none_or(Guess::is_sound) {
        return;
    }
    // A whole message with something behind it needs no other reading.
    let whole = |guess: &Guess| {
        let more_behind = matches!(guess.prefix, Some(PrefixFault::LeftOver { .. }));
        more_behind && guess.error.is_none() && guess.score >= SOUND
    };
    if guesses.first().is_some_and(whole) {
        return;
    }
    let mut names = BTreeSet::new();
    let firsts = guesses.iter().enumerate();
    let firsts = firsts.filter(|(_, guess)| names.insert(guess.dialect.name()));
    let tried = firsts.filter_map(|(at, guess)| {
        let (rank, score) = Search::outside(guess)?;
        // Well formed alone may be chance.
        let sensible = score >= SOUND.saturating_add(SENSIBLE);
        sensible.then_some((rank, Reverse(score), at))
    });
    if let Some((_, _, at)) = tried.min() {
        let likeliest = guesses.remove(at);
        guesses.insert(0, likeliest);
    }
}

/// What is wrong with a guess, in one line.
#[must_use]
pub fn what(guess: &Guess) -> String {
    told(guess).0
}

/// The same, with its offset in the frame.
fn told(guess: &Guess) -> (String, usize) {
    if let Some(error) = guess.error {
        let at = match (error, bitmap_fault(guess)) {
            (DecodeError::Bitmap { .. }, BitmapFault::NotHex(at)) => at,
            (_, BitmapFault::CutOff | BitmapFault::NotHex(_) | BitmapFault::Further) => {
                error.offset()
            }
        };
        return (of_error(guess, &error), at);
    }
    let bytes = guess.frame.len();
    match guess.prefix {
        Some(PrefixFault::CutOff { missing }) => {
            let announced = bytes.saturating_add(missing);
            let what = announces(announced, bytes);
            (what, bytes)
        }
        Some(PrefixFault::LeftOver { bytes: left }) => {
            let follow = bytes.saturating_add(left);
            let what = announces(bytes, follow);
            (what, bytes)
        }
        Some(PrefixFault::Unusable) | None => ("the length prefix is no length".to_owned(), 0),
    }
}

fn announces(announced: usize, there: usize) -> String {
    format!(
        "the length prefix announces {}, {there} {}",
        Counted(announced, "byte"),
        if there == 1 { "follows" } else { "follow" }
    )
}

/// What makes a bitmap unusable.
enum BitmapFault {
    CutOff,
    /// At that offset in the frame.
    NotHex(usize),
    Further,
}

fn bitmap_fault(guess: &Guess) -> BitmapFault {
    let Some((at, width, binary)) = guess.dialect.bitmap_place() else {
        return BitmapFault::Further;
    };
    let bytes = guess.frame.get(at..).unwrap_or_default();
    let hex = bytes.iter().take(width.saturating_mul(2));
    let wrong = hex.clone().position(|byte| !byte.is_ascii_hexdigit());
    match wrong {
        Some(wrong) if !binary && wrong < width => BitmapFault::NotHex(at.saturating_add(wrong)),
        Some(_) | None if bytes.len() < width => BitmapFault::CutOff,
        Some(_) | None => BitmapFault::Further,
    }
}

/// An error without its offset, which counts from elsewhere, and with the name of the field.
fn of_error(guess: &Guess, error: &DecodeError) -> String {
    let named = |de: u8| match guess.dialect.field(de) {
        Some(field) => format!("DE{de} ({})", field.en),
        None => format!("DE{de}"),
    };
    match *error {
        DecodeError::FrameTooLong { .. } => error.to_string(),
        DecodeError::NoMti { needed, found } => {
            let there = if found == 1 { "is" } else { "are" };
            let found = Counted(found, "byte");
            format!("there {there} {found}, headers and message type take {needed}")
        }
        DecodeError::Mti { .. } => "the message type is not four digits".to_owned(),
        DecodeError::Bitmap { .. } => match bitmap_fault(guess) {
            BitmapFault::CutOff => "the bitmap is cut off".to_owned(),
            BitmapFault::NotHex(_) => "the bitmap holds what is no hexadecimal digit".to_owned(),
            BitmapFault::Further => {
                "the bitmap announces a further one, which the dialect does not have".to_owned()
            }
        },
        DecodeError::Undefined { field, .. } => {
            format!(
                "DE{field} is announced and not defined in {}",
                guess.dialect.name()
            )
        }
        DecodeError::Prefix { field, .. } => {
            format!("{} has no digits in its length prefix", named(field))
        }
        DecodeError::TooLong {
            field,
            declared,
            max,
            ..
        } => format!(
            "{} declares length {declared}, {max} is the most",
            named(field)
        ),
        DecodeError::Truncated {
            field,
            declared,
            remain,
            ..
        } => format!(
            "{} takes {}, {remain} {}",
            named(field),
            Counted(declared, "byte"),
            if remain == 1 { "remains" } else { "remain" }
        ),
        DecodeError::Character { field, .. } => {
            format!("{} holds a character that its type forbids", named(field))
        }
        DecodeError::Trailer { .. } => {
            format!(
                "what follows is not the trailer of {}",
                guess.dialect.name()
            )
        }
        DecodeError::LeftOver { bytes, .. } => {
            let follow = Counted(bytes, "byte").that("follows", "follow");
            format!("{follow} the last field")
        }
    }
}
