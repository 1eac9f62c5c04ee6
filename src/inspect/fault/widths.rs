//! A fixed field that was sent shorter or longer than it is: an id without the spaces that fill it.

use std::cmp::Reverse;

use crate::base::Counted;
use crate::iso8583::{FieldType, Index};

use super::search::{Rank, Search, offset_in};

/// So many characters too few or too many are tried: what a name of 40 lacks without its blanks is beyond telling from
/// chance.
const SHORT_MAX: usize = 8;
const LONG_MAX: usize = 2;

/// A field that explains it, and what it is like then.
struct Short {
    de: u8,
    there: usize,
    due: usize,
}

impl Search<'_> {
    /// One fixed field of letters that is not as long as it must be.
    pub(super) fn widths(&mut self) {
        let before = self.found.len();
        let mut tried = Vec::new();
        for de in self.suspects() {
            for short in self.width_of(de) {
                tried.push(short);
            }
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
        // A terminal id without what fills it is met most often.
        let terminal = self.guess.dialect.roles().terminal;
        likeliest.sort_by_key(|(_, short)| (short.de != terminal, Reverse(short.de)));
        let others: Vec<_> = likeliest
            .iter()
            .skip(1)
            .map(|(_, other)| format!("DE{}", other.de))
            .collect();
        let Some((mut found, short)) = likeliest.into_iter().next() else {
            return;
        };
        let Short { de, there, due } = short;
        let what = Counted(there, "character").that("stands", "stand");
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

    /// Tries a field in each width; gives those that were kept, in their order.
    fn width_of(&mut self, de: u8) -> Vec<Short> {
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
                kept.push(Short { de, there, due });
            }
        }
        kept
    }
}
