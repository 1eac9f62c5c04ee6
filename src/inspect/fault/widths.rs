//! A fixed field that was sent shorter or longer than it is: an id without the spaces that fill it, an amount of ten
//! digits.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::base::Counted;
use crate::iso8583::{DecodeError, FieldType, Index, Variation};

use super::search::{Rank, Search, offset_in};

/// So many characters too few or too many are tried: what a name of 40 lacks without its blanks is beyond telling from
/// chance.
const SHORT_MAX: usize = 8;
const LONG_MAX: usize = 2;

/// Most fields that are named beside the likeliest.
const OTHERS_MAX: usize = 3;

/// A field that explains it, and what it is like then.
struct Short {
    de: u8,
    there: usize,
    due: usize,
    /// What it is counted in.
    unit: &'static str,
}

impl Search<'_> {
    /// One fixed field that is not as long as it must be.
    pub(super) fn widths(&mut self) {
        self.likeliest_width(Self::letters_of);
        self.likeliest_width(Self::digits_of);
        for de in self.suspects() {
            self.packed_text(de);
        }
    }

    /// Of the fields that explain it by their width keeps the one that makes most sense, and names those that make as
    /// much.
    fn likeliest_width(&mut self, widths_of: fn(&mut Self, u8) -> Vec<Short>) {
        let before = self.found.len();
        let mut tried = Vec::new();
        for de in self.suspects() {
            tried.extend(widths_of(self, de));
        }
        let found = self.found.split_off(before);
        let Some(best) = found.iter().map(|found| found.score).max() else {
            return;
        };
        // Which of two neighbours it is cannot be told: both give a message that makes as much sense.
        let mut likeliest: Vec<_> = found
            .into_iter()
            .zip(tried)
            .filter(|(found, _)| found.score == best)
            .collect();
        // A terminal id without what fills it is met most often, and an amount of other digits.
        let roles = self.guess.dialect.roles();
        let seldom = |de: u8| de != roles.terminal && de != roles.amount;
        likeliest.sort_by_key(|(_, short)| (seldom(short.de), Reverse(short.de)));
        let others: Vec<_> = likeliest
            .iter()
            .skip(1)
            .take(OTHERS_MAX)
            .map(|(_, other)| format!("DE{}", other.de))
            .collect();
        let Some((mut found, short)) = likeliest.into_iter().next() else {
            return;
        };
        let Short {
            de,
            there,
            due,
            unit,
        } = short;
        let what = Counted(there, unit).that("stands", "stand");
        found.cause.text = format!("DE{de}: {what} there, {due} are due");
        if !others.is_empty() {
            let others = others.join(" or ");
            found
                .cause
                .text
                .push_str(&format!("; or {others} is as much too short or too long"));
        }
        self.found.push(found);
    }

    /// Tries a field of digits or bytes with a byte less and one more.
    fn digits_of(&mut self, de: u8) -> Vec<Short> {
        let dialect = &*self.guess.dialect;
        let Some(due) = dialect.fixed_bytes(de) else {
            return Vec::new();
        };
        // What the message ends in is cut off rather than short.
        let error = self.guess.error;
        let cut_off = error.filter(|error| matches!(error, DecodeError::Truncated { .. }));
        if cut_off.and_then(|error| error.field()) == Some(de) {
            return Vec::new();
        }
        let mut kept = Vec::new();
        for more in [-1, 1] {
            let (Some(varied), Some(there)) = (
                dialect.varied(&[Variation::Width(de, more)]),
                due.checked_add_signed(more.into()),
            ) else {
                continue;
            };
            let (frame, shift) = (self.guess.frame.clone(), self.shift());
            let count = self.found.len();
            let dialect = Cow::Owned(varied);
            self.consider(Rank::One, dialect, frame, shift, String::new(), None);
            if let Some(found) = self.found.get_mut(count) {
                found.resized = true;
                kept.push(Short {
                    de,
                    there,
                    due,
                    unit: "byte",
                });
            }
        }
        kept
    }

    /// Digits, two a byte, where text is due: a currency in two bytes.
    fn packed_text(&mut self, de: u8) {
        let Some(varied) = self.guess.dialect.varied(&[Variation::PackedText(de)]) else {
            return;
        };
        let (frame, shift) = (self.guess.frame.clone(), self.shift());
        let text = format!("DE{de}: digits stand there, packed two a byte, where text is due");
        let remedy = format!("in [fields]: {de} = {{ …, type = \"n\", digits = \"packed\" }}");
        let dialect = Cow::Owned(varied);
        self.consider(Rank::One, dialect, frame, shift, text, Some(remedy));
    }

    /// Tries a field of letters in each width; gives those that were kept, in their order.
    fn letters_of(&mut self, de: u8) -> Vec<Short> {
        let guess = self.guess;
        let Some(field) = guess.dialect.field(de) else {
            return Vec::new();
        };
        let letters = matches!(field.kind, FieldType::Alphanumeric | FieldType::Text);
        let mut index = Index::new();
        let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
        let Some(message) = message.filter(|_| letters && !field.variable) else {
            return Vec::new();
        };
        let element = message.element(de);
        let Some(at) = element.and_then(|element| offset_in(message.frame(), element)) else {
            return Vec::new();
        };
        let due = usize::from(field.max);
        let Some(blank) = guess.dialect.blank(de) else {
            return Vec::new();
        };
        let mut kept = Vec::new();
        let shorter =
            (1..due.min(SHORT_MAX.saturating_add(1))).map(|lacks| due.saturating_sub(lacks));
        let longer = (1..=LONG_MAX).map(|more| due.saturating_add(more));
        for there in shorter.chain(longer) {
            let end = at.saturating_add(there);
            let mut frame = guess.frame.clone();
            if frame.get(at..end).is_none() {
                continue;
            }
            if there < due {
                let blanks = std::iter::repeat_n(blank, due.saturating_sub(there));
                frame.splice(end..end, blanks);
            } else {
                frame.drain(at.saturating_add(due)..end);
            }
            guess.dialect.framing().tell_length(&mut frame);
            let count = self.found.len();
            let (dialect, shift) = (self.dialect(), self.shift());
            self.consider(Rank::One, dialect, frame, shift, String::new(), None);
            if self.found.len() > count {
                kept.push(Short {
                    de,
                    there,
                    due,
                    unit: "character",
                });
            }
        }
        kept
    }
}
