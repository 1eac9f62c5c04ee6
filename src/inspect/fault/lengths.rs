//! One length prefix, or one bit of the bitmap, that is wrong.

use crate::base::card::luhn;
use crate::iso8583::{DecodeError, Dialect, Field, FieldType, Index, Message};

use super::SENSIBLE;
use super::bitmap::Bitmap;
use super::search::{Found, Rank, Search, offset_in};
use crate::inspect::find::SOUND;

/// Longest field whose length is tried.
const LENGTH_MAX: u16 = 999;
/// Digits of the shortest card number.
const PAN_MIN: usize = 12;

impl Search<'_> {
    /// One field whose length prefix is wrong.
    pub(super) fn lengths(&mut self) {
        for de in self.suspects() {
            self.length_of(de);
        }
    }

    /// This field's length prefix is wrong.
    pub(super) fn length_of(&mut self, de: u8) {
        let guess = self.guess;
        let mut index = Index::new();
        let (message, error) = guess.dialect.decode_partial(&guess.frame, &mut index);
        let Some(message) = message else { return };
        let broken = error.and_then(|error| error.field());
        let Some(declared) = prefix_of(&message, de, error.as_ref()) else {
            return;
        };
        let Some(field) = guess.dialect.field(de) else {
            return;
        };
        // Behind the last field every length is right that takes all that is left.
        let last =
            broken == Some(de) && announced_behind(&guess.dialect, &guess.frame, de).is_none();
        let Declared { at, bytes, units } = declared;
        // A card number that is right as it stands has its length.
        let right = de == guess.dialect.roles().pan && has_check_digit(&message);
        // Two digits a byte: more cannot be there.
        let most = u16::try_from(guess.frame.len().saturating_mul(2)).unwrap_or(LENGTH_MAX);
        for other in 0..=most.min(LENGTH_MAX) {
            if Some(other) == units {
                continue;
            }
            let Some(prefix) = guess.dialect.length_prefix(de, other) else {
                break;
            };
            let meant = units.and_then(|units| {
                let own = u16::try_from(bytes).unwrap_or(u16::MAX);
                meant(field, units, other, own)
            });
            if last && meant.is_none() && units.is_some() {
                continue;
            }
            let mut frame = guess.frame.clone();
            let Some(slots) = frame.get_mut(at..at.saturating_add(bytes)) else {
                break;
            };
            if slots.len() != prefix.len() {
                break;
            }
            slots.copy_from_slice(&prefix);
            let checked = de == guess.dialect.roles().pan && checks(&guess.dialect, &frame);
            let (rank, text) = match (meant, units) {
                (Some(meant), _) if right && !checked => (Rank::Chance, meant),
                (Some(meant), _) => (Rank::Named, meant),
                (None, Some(units)) if checked => (
                    Rank::Named,
                    format!(
                        "DE{de}: its length says {units}; with {other} all that follows decodes, and the card \
                             number's check digit is right"
                    ),
                ),
                (None, Some(units)) => (
                    // A digit of a card number that was lost on the way to the log is met most often.
                    if units.abs_diff(other) != 1 {
                        Rank::Chance
                    } else if de == guess.dialect.roles().pan {
                        Rank::One
                    } else {
                        Rank::Likely
                    },
                    format!(
                        "DE{de}: its length says {units}; with {other} all that follows would decode"
                    ),
                ),
                (None, None) => (
                    Rank::Chance,
                    format!("DE{de}: with a length of {other} all that follows would decode"),
                ),
            };
            let (dialect, shift) = (self.dialect(), self.shift());
            let count = self.found.len();
            self.consider(rank, dialect, frame, shift, text, None);
            // A digit of a card number that was lost on the way to the log is met most often.
            if de != guess.dialect.roles().pan {
                self.demote(count);
            }
            if self
                .found
                .get(count)
                .is_some_and(|newest| newest.rank == Rank::Chance)
            {
                self.likeliest_length(&format!("DE{de}: "));
            }
        }
    }

    /// What is near, or one thing, explains only when what decodes then hardly does so by chance.
    fn demote(&mut self, at: usize) {
        let sensible = SOUND.saturating_add(SENSIBLE);
        if let Some(newest) = self.found.get_mut(at)
            && matches!(newest.rank, Rank::Near | Rank::One | Rank::Likely)
            && newest.score < sensible
        {
            newest.rank = Rank::Chance;
        }
    }

    /// Leaves, of the lengths of a field that may be chance, the one that makes most sense; of two that take the same
    /// bytes, the larger, which was found last.
    fn likeliest_length(&mut self, before: &str) {
        let Some(newest) = self.found.pop() else {
            return;
        };
        let other =
            |found: &Found<'_>| found.rank == Rank::Chance && found.cause.text.starts_with(before);
        let known = self.found.iter().position(other);
        match known.and_then(|at| self.found.get_mut(at)) {
            Some(known) if newest.score >= known.score => *known = newest,
            Some(_) => {}
            None => self.found.push(newest),
        }
    }

    /// One bit of the bitmap too many or too few.
    pub(super) fn bitmaps(&mut self) {
        let guess = self.guess;
        let Some(bitmap) = Bitmap::of(guess) else {
            return;
        };
        for de in 1..=bitmap.bits() {
            let announced = bitmap.announces(de);
            let known = guess.dialect.field(de).is_some();
            if !announced && !known {
                continue;
            }
            let Some(frame) = bitmap.flipped(de) else {
                continue;
            };
            let text = if de == 1 {
                "the bitmap announces a second one, which is not there".to_owned()
            } else if announced {
                format!("the bitmap announces DE{de}, which is not there")
            } else {
                format!("DE{de} is there, though the bitmap does not announce it")
            };
            let (dialect, shift) = (self.dialect(), self.shift());
            let count = self.found.len();
            self.consider(
                match (announced, known) {
                    (true, false) => Rank::Named,
                    (true, true) => Rank::Chance,
                    (false, _) => self.unannounced(&frame, de),
                },
                dialect,
                frame,
                shift,
                text,
                None,
            );
            self.demote(count);
        }
    }

    /// How likely it is that this field was sent without being announced. In this frame it is announced.
    ///
    /// A request that must have it lacks it, so that is what happened, unless zeros of the next field read as an empty
    /// one or as a card number of two digits. Any other field tells only when it takes more than a byte, which could as
    /// well be the tail of the field before it, and when it does not merely take what is left over behind the message.
    fn unannounced(&self, frame: &[u8], de: u8) -> Rank {
        let dialect = &self.guess.dialect;
        let mut index = Index::new();
        let (message, _) = dialect.decode_partial(frame, &mut index);
        let Some(message) = message else {
            return Rank::Chance;
        };
        let required = match dialect.classify(&message) {
            Some(row) => row.required.contains(de),
            None => dialect
                .message_rule(message.mti())
                .is_some_and(|rule| rule.required.contains(de)),
        };
        let taken = message.element(de).map_or(0, <[u8]>::len);
        let empty = message.field(de).is_none_or(<[u8]>::is_empty);
        let pan = message.pan().map_or(0, |pan| pan.expose().len());
        let no_card = de == dialect.roles().pan && pan < PAN_MIN;
        let left_over = matches!(self.guess.error, Some(DecodeError::LeftOver { .. }));
        let mac = dialect.roles().mac == de || de == 128;
        if empty || no_card {
            Rank::Chance
        } else if required || mac {
            Rank::Near
        } else if taken >= 2 && !left_over {
            Rank::Likely
        } else {
            Rank::Chance
        }
    }
}

/// Whether the card number in a frame has the right check digit.
fn checks(dialect: &Dialect, frame: &[u8]) -> bool {
    let mut index = Index::new();
    let (message, error) = dialect.decode_partial(frame, &mut index);
    error.is_none() && message.as_ref().is_some_and(has_check_digit)
}

fn has_check_digit(message: &Message<'_>) -> bool {
    let pan = message.pan();
    pan.is_some_and(|pan| pan.expose().len() >= PAN_MIN && luhn(pan.expose()))
}

/// A length prefix in a frame.
struct Declared {
    at: usize,
    bytes: usize,
    /// What it says; `None` when it is no number.
    units: Option<u16>,
}

/// Where a field's length prefix stands and what it says; `None` for a fixed field.
fn prefix_of(message: &Message<'_>, de: u8, error: Option<&DecodeError>) -> Option<Declared> {
    let dialect = message.dialect();
    let bytes = dialect.length_prefix(de, 0)?.len();
    if let Some(element) = message.element(de) {
        let at = offset_in(message.frame(), element)?;
        let units = u16::try_from(message.length(de)?).ok();
        return Some(Declared { at, bytes, units });
    }
    let (at, units) = match *error? {
        DecodeError::Prefix { offset, .. } => (offset, None),
        DecodeError::TooLong {
            offset, declared, ..
        } => (offset, Some(declared)),
        DecodeError::Truncated { offset, .. } => {
            let at = offset.checked_sub(bytes)?;
            let prefix = message.frame().get(at..offset)?;
            let mut lengths = 0..=LENGTH_MAX;
            let units =
                lengths.find(|units| dialect.length_prefix(de, *units).as_deref() == Some(prefix));
            (at, units)
        }
        _ => return None,
    };
    Some(Declared { at, bytes, units })
}

/// What a wrong length may be, when the right one stands in a relation to it.
fn meant(field: &Field, units: u16, other: u16, prefix: u16) -> Option<String> {
    let de = field.number;
    let packed = |value: u16| {
        let tens = value.checked_div(10)?;
        Some(tens.wrapping_mul(16).wrapping_add(value % 10))
    };
    let binary = field.kind == FieldType::Binary;
    let digits = matches!(field.kind, FieldType::Numeric | FieldType::Track);
    let twice = units.wrapping_mul(2);
    if binary && units == other.wrapping_mul(2) {
        return Some(format!(
            "DE{de}: its length counts hexadecimal digits, not bytes"
        ));
    }
    if digits && units > 0 && (other == twice || other.wrapping_add(1) == twice) {
        return Some(format!("DE{de}: its length counts bytes, not digits"));
    }
    if units > 9 && packed(units) == Some(other) {
        return Some(format!("DE{de}: its length is binary, not decimal"));
    }
    if other > 0 && units == other.wrapping_add(prefix) {
        return Some(format!("DE{de}: its length counts itself too"));
    }
    None
}

/// The first field that the bitmap announces behind this one.
pub(super) fn announced_behind(dialect: &Dialect, frame: &[u8], de: u8) -> Option<u8> {
    let bitmap = Bitmap::read(dialect, frame)?;
    (de.saturating_add(1)..=bitmap.bits()).find(|behind| *behind != 65 && bitmap.announces(*behind))
}
