//! The bytes around a place, with a caret below it; what nobody may see is not among them.

use crate::iso8583::{DecodeError, Dialect, Exposure, Index, Message};

use super::content::Content;
use super::describe::{hides, shows_secret};
use super::element::Reveal;
use super::fault::{Bitmap, Found, Rank, offset_in, signed};
use super::find::{Guess, begins_as_usual};
use super::stray::{CARD_BYTES_MIN, anchor, card_digits};

/// Bytes on a line.
const LINE_BYTES: usize = 16;

/// Which bytes of the input are hidden. `trusted`: what stands where is known, from what was read or from the
/// best way to read it.
pub(super) fn shade(
    guess: &Guess,
    best: Option<&Found<'_>>,
    trusted: bool,
    reveal: Reveal,
) -> Vec<bool> {
    let mut shade = vec![false; guess.input.len()];
    if reveal == Reveal::Everything {
        return shade;
    }
    let shift = match guess.frame_at {
        Some(at) => signed(at),
        None => signed(guess.input.len()).saturating_sub(signed(guess.frame.len())),
    };
    hide_fields(&guess.dialect, &guess.frame, shift, &mut shade);
    match best {
        _ if !trusted => hide_body(guess, shift, &mut shade),
        // Nothing stands there as it is: all of it may be anything.
        Some(found) if found.shift == isize::MAX => shade.fill(true),
        Some(found) if found.rank <= Rank::Named => {
            hide_fields(&found.dialect, &found.frame, found.shift, &mut shade);
        }
        Some(_) | None => hide_rest(guess, shift, &mut shade),
    }
    hide_contested(guess, shift, &mut shade);
    hide_behind(guess, &mut shade);
    hide_strays(guess, &mut shade);
    shade
}

/// Whether what was read may be the beginning of another message: much is left over behind it, and no card number or
/// track shows that its fields stand where they should.
fn is_within_another(guess: &Guess) -> bool {
    let Some(DecodeError::LeftOver { .. }) = guess.error else {
        return false;
    };
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    message.is_none_or(|message| anchor(&message).is_none())
}

/// Hides what would be secret if the message were meant otherwise.
fn hide_contested(guess: &Guess, shift: isize, shade: &mut [bool]) {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    for contested in &guess.contested {
        let content = message.and_then(|message| message.field(contested.field));
        if let Some(content) = content
            && let Some(from) = offset_in(&guess.frame, content)
        {
            hide(from, content.len(), shift, shade);
        }
    }
}

/// Behind the message may stand another one, with a card number of its own.
fn hide_behind(guess: &Guess, shade: &mut [bool]) {
    let frame_end = guess
        .frame_at
        .map(|at| at.saturating_add(guess.frame.len()));
    let left_over = guess.error.filter(|error| {
        matches!(
            error,
            DecodeError::LeftOver { .. }
                | DecodeError::FrameTooLong { .. }
                | DecodeError::Trailer { .. }
        )
    });
    let left_over = left_over.and_then(|error| guess.input_offset(error.offset()));
    for from in [frame_end, left_over].into_iter().flatten() {
        if let Some(behind) = shade.get_mut(from..)
            && behind.len() >= CARD_BYTES_MIN
        {
            behind.fill(true);
        }
    }
}

/// Hides what looks like a card number in front of the fields, unless that is what the dialect's messages begin with:
/// of so many digits some look like one most times. Where the message may be the beginning of another, also
/// across its fields.
fn hide_strays(guess: &Guess, shade: &mut [bool]) {
    if guess.frame_at.is_some() && begins_well(guess) {
        return;
    }
    let head = match guess.dialect.bitmap_place() {
        _ if is_within_another(guess) => guess.frame.len(),
        Some((at, width, _)) => at.saturating_add(width),
        None => guess.dialect.framing().envelope_bytes(),
    };
    let head = guess.input_offset(head).unwrap_or(guess.input.len());
    let cards = card_digits(&guess.input);
    for (at, (slot, card)) in shade.iter_mut().zip(cards.chunks(2)).enumerate() {
        if at < head && card.contains(&true) {
            *slot = true;
        }
    }
}

/// Hides all that stands behind the bitmap but the byte at fault, and what is behind the frame. What stands before it
/// is hidden too unless it begins as the dialect's messages do: where the frame's beginning is lost, fields stand there.
fn hide_body(guess: &Guess, shift: isize, shade: &mut [bool]) {
    let place = guess.dialect.bitmap_place().filter(|_| begins_well(guess));
    let head = place.map_or(0, |(at, width, _)| at.saturating_add(width));
    let fault = guess
        .error
        .map_or(guess.frame.len(), |error| error.offset());
    let behind = fault.saturating_add(guess.error.map_or(0, |error| at_fault(&error).min(1)));
    hide(head, fault.saturating_sub(head), shift, shade);
    // As the frame counts, in front of which headers may have been put.
    let end = signed(guess.input.len()).saturating_sub(shift);
    let end = usize::try_from(end).unwrap_or(0);
    hide(behind, end.saturating_sub(behind), shift, shade);
}

/// Whether TPDU, header and message type are such as the dialect has.
fn begins_well(guess: &Guess) -> bool {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    message.is_some_and(|message| begins_as_usual(&message))
}

/// Bytes that show what is wrong.
const fn at_fault(error: &DecodeError) -> usize {
    match error {
        DecodeError::Mti { .. } | DecodeError::NoMti { .. } => 4,
        DecodeError::Bitmap { .. } => 8,
        DecodeError::Prefix { .. } | DecodeError::TooLong { .. } => 2,
        DecodeError::Character { .. } => 1,
        DecodeError::FrameTooLong { .. }
        | DecodeError::Undefined { .. }
        | DecodeError::Truncated { .. }
        | DecodeError::Trailer { .. }
        | DecodeError::LeftOver { .. } => 0,
    }
}

/// Hides the content of all fields that are not open to everybody.
fn hide_fields(dialect: &Dialect, frame: &[u8], shift: isize, shade: &mut [bool]) {
    let mut index = Index::new();
    let (Some(message), _) = dialect.decode_partial(frame, &mut index) else {
        return;
    };
    for de in message.content_fields().iter() {
        let hidden = is_hidden(&message, de);
        let content = message.field(de).unwrap_or_default();
        if let Some(from) = offset_in(frame, content)
            && hidden
        {
            hide(from, content.len(), shift, shade);
        }
    }
}

/// Whether a field or a part of it is not for everybody, or holds what looks like a card number.
pub(super) fn is_hidden(message: &Message<'_>, de: u8) -> bool {
    let dialect = message.dialect();
    let Some(field) = dialect.field(de) else {
        return true;
    };
    let value = message.value(de).unwrap_or_default();
    let content = Content::new(field.kind, value.into_owned());
    field.exposure != Exposure::Open
        || dialect.layout(de).is_some_and(hides)
        || shows_secret(&content, dialect.layout(de).is_some())
}

/// Fields that were read where a byte is hidden.
pub(super) fn shaded_fields(guess: &Guess, shade: &[bool]) -> Vec<u8> {
    let mut index = Index::new();
    let (Some(message), _) = guess.dialect.decode_partial(&guess.frame, &mut index) else {
        return Vec::new();
    };
    let hidden = |de: &u8| {
        let content = message.field(*de).unwrap_or_default();
        let from = offset_in(message.frame(), content).unwrap_or(0);
        let mut places =
            (from..from.saturating_add(content.len())).filter_map(|at| guess.input_offset(at));
        places.any(|at| shade.get(at) == Some(&true))
    };
    message.content_fields().iter().filter(hidden).collect()
}

fn hide(from: usize, bytes: usize, shift: isize, shade: &mut [bool]) {
    for at in from..from.saturating_add(bytes) {
        let at = usize::try_from(signed(at).saturating_add(shift)).ok();
        if let Some(slot) = at.and_then(|at| shade.get_mut(at)) {
            *slot = true;
        }
    }
}

/// Around the break nobody knows what is what: only the bytes at fault are shown, unless all fields that may
/// stand there are open to everybody.
fn hide_rest(guess: &Guess, shift: isize, shade: &mut [bool]) {
    let Some(error) = guess.error else {
        return;
    };
    if let Some(de) = error.field()
        && open_from(guess, de)
    {
        return;
    }
    let offset = error.offset();
    let shown = at_fault(&error);
    let from = offset.saturating_add(shown);
    hide(from, guess.frame.len().saturating_sub(from), shift, shade);
    if let DecodeError::Character { field, .. } = error {
        // What stands before the character in the same field.
        let begin = end_before(guess, field);
        hide(begin, offset.saturating_sub(begin), shift, shade);
    }
}

/// Where the last field before this one ends.
fn end_before(guess: &Guess, de: u8) -> usize {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    let ends = message.into_iter().flat_map(|message| {
        let fields = message.content_fields().below(de);
        let ends = fields.iter().filter_map(|before| {
            let element = message.element(before)?;
            offset_in(message.frame(), element)?.checked_add(element.len())
        });
        ends.collect::<Vec<_>>()
    });
    ends.max().unwrap_or(0)
}

/// Whether every field that the bitmap announces from this one on is open to everybody.
fn open_from(guess: &Guess, de: u8) -> bool {
    let announced = Bitmap::of(guess).map(|bitmap| bitmap.announced());
    let hidden = |de: &u8| {
        let field = guess.dialect.field(*de);
        field.is_none_or(|field| field.exposure != Exposure::Open)
    };
    match announced {
        Some(announced) => !announced.iter().filter(|field| **field >= de).any(hidden),
        None => false,
    }
}

/// The line before the place, its own with a caret, and the next.
pub(super) fn lines(input: &[u8], shade: &[bool], at: usize) -> Vec<String> {
    let line = at.saturating_sub(at % LINE_BYTES);
    // What is missing stands behind the last byte.
    let line = if at == input.len() && at > 0 && at.is_multiple_of(LINE_BYTES) {
        line.saturating_sub(LINE_BYTES)
    } else {
        line
    };
    let mut out = Vec::new();
    for begin in [
        line.checked_sub(LINE_BYTES),
        Some(line),
        line.checked_add(LINE_BYTES),
    ] {
        let Some(begin) = begin.filter(|begin| *begin < input.len() || *begin == line) else {
            continue;
        };
        out.push(row(input, shade, begin));
        if begin == line {
            let column = at.saturating_sub(begin).saturating_mul(3).saturating_add(8);
            out.push(format!("{}^^ byte {at}", " ".repeat(column)));
        }
    }
    out
}

fn row(input: &[u8], shade: &[bool], begin: usize) -> String {
    let end = begin.saturating_add(LINE_BYTES).min(input.len());
    let bytes = input.get(begin..end).unwrap_or_default();
    let hidden = shade.get(begin..end).unwrap_or_default();
    let mut hex = String::new();
    let mut text = String::new();
    for (byte, hidden) in bytes.iter().zip(hidden) {
        if *hidden {
            hex.push_str("** ");
            text.push('*');
        } else {
            hex.push_str(&format!("{byte:02X} "));
            text.push(match byte {
                0x20..=0x7E => char::from(*byte),
                _ => '.',
            });
        }
    }
    format!("  {begin:04X}  {hex:48} {text}")
        .trim_end()
        .to_owned()
}
