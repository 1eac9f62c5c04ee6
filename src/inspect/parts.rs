//! Why a field of a message does not divide as its layout says: the message is well formed, what is within one of
//! its fields is not.

use crate::base::Counted;
use crate::iso8583::{
    Dialect, Index, Layout, LayoutForm, LengthEncoding, LengthForm, Message, Part, PartError, Parts,
};

use super::describe::layout_of;
use super::element::Reveal;
use super::fault::{CAUSES_MAX, Cause, ENCODINGS, Fault, encoding_word, offset_in};
use super::find::Guess;
use super::window;
use crate::iso8583::emv;

/// Longest thing before the first part that is tried to be left out, in bytes.
const LEAD_BYTES_MAX: usize = 4;

/// Widest length of a part that is tried, in bytes.
const LENGTH_BYTES_MAX: usize = 3;

/// A field that does not divide.
struct Broken<'d> {
    de: u8,
    layout: &'d Layout,
    value: Vec<u8>,
    error: PartError,
    /// Where the error is in the frame.
    at: usize,
}

/// What is wrong within the first field that does not divide; `None` when all do. The message itself is sound.
#[must_use]
pub fn explain_parts(guess: &Guess, reveal: Reveal) -> Option<Fault> {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    let message = message.filter(|_| guess.is_sound())?;
    let broken = first_broken(&message)?;
    let at = guess.input_offset(broken.at);
    let shade = window::shade(guess, None, true, reveal);
    let window = at.map_or_else(Vec::new, |at| window::lines(&guess.input, &shade, at));
    Some(Fault {
        what: told(&guess.dialect, &broken),
        at,
        window,
        causes: causes(&broken),
        doubtful: Vec::new(),
    })
}

/// The same in one line, without looking for causes.
#[must_use]
pub fn what_parts(guess: &Guess) -> Option<String> {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    indivisible(&message.filter(|_| guess.is_sound())?)
}

/// The first field of a message that does not divide as its layout says, and why, in one line.
#[must_use]
pub fn indivisible(message: &Message<'_>) -> Option<String> {
    Some(told(message.dialect(), &first_broken(message)?))
}

/// How many fields divide as their layouts say, and how many do not.
pub(super) fn counted(message: &Message<'_>) -> (usize, usize) {
    let dialect = message.dialect();
    let divides = message.content_fields().iter().filter_map(|de| {
        let layout = layout_of(dialect, dialect.field(de)?)?;
        Some(first_error(layout.parts(&message.value(de)?)).is_none())
    });
    divides.fold((0, 0), |(sound, broken), divides| {
        let (one, other) = (usize::from(divides), usize::from(!divides));
        (sound.saturating_add(one), broken.saturating_add(other))
    })
}

fn first_broken<'m>(message: &Message<'m>) -> Option<Broken<'m>> {
    let dialect = message.dialect();
    message.content_fields().iter().find_map(|de| {
        let layout = layout_of(dialect, dialect.field(de)?)?;
        let value = message.value(de)?.into_owned();
        let error = first_error(layout.parts(&value))?;
        let at = place(message, de, value.len(), error.offset())?;
        Some(Broken {
            de,
            layout,
            value,
            error,
            at,
        })
    })
}

/// Where a byte of a field's value stands in the frame.
fn place(message: &Message<'_>, de: u8, value: usize, offset: usize) -> Option<usize> {
    let content = message.field(de)?;
    let begin = offset_in(message.frame(), content)?;
    let within = if content.len() == value {
        offset
    } else if content.len() > value {
        // Two hexadecimal digits a byte.
        offset.saturating_mul(2)
    } else {
        // Two digits a byte. An odd nibble in front moves each by one: the byte is the same or its neighbour.
        offset / 2
    };
    begin.checked_add(within)
}

pub(super) fn first_error(parts: Parts<'_, '_>) -> Option<PartError> {
    for part in parts {
        match part {
            Err(error) => return Some(error),
            Ok(part) => {
                if let Some(error) = part.parts().and_then(first_error) {
                    return Some(error);
                }
            }
        }
    }
    None
}

fn told(dialect: &Dialect, broken: &Broken<'_>) -> String {
    let de = broken.de;
    let name = dialect.field(de).map_or("", |field| field.en.as_str());
    format!("DE{de} ({name}) does not divide: {}", broken.error)
}

fn causes(broken: &Broken<'_>) -> Vec<Cause> {
    let mut search = Search {
        broken,
        found: Vec::new(),
    };
    search.hexadecimal();
    search.forms();
    search.leads();
    search.lengths();
    search.plain();
    search.found.truncate(CAUSES_MAX);
    search.found
}

struct Search<'b> {
    broken: &'b Broken<'b>,
    found: Vec<Cause>,
}

impl Search<'_> {
    /// Keeps a way to divide the value that works and whose parts are known.
    fn consider(&mut self, layout: &Layout, value: &[u8], text: &str, remedy: Option<String>) {
        let text = format!("DE{}: {text}", self.broken.de);
        let known = self.found.iter().any(|cause| cause.text == text);
        if !known && makes_sense(layout, value) {
            self.found.push(Cause {
                text,
                remedy,
                sound: true,
            });
        }
    }

    fn hexadecimal(&mut self) {
        let text = str::from_utf8(&self.broken.value).ok();
        let Some(bytes) = text.and_then(|text| super::bytes::hex(text).ok()) else {
            return;
        };
        let text = "its bytes are written in hexadecimal digits";
        let remedy = format!("in [fields]: {} = {{ …, bytes = \"hex\" }}", self.broken.de);
        self.consider(self.broken.layout, &bytes, text, Some(remedy));
    }

    /// Tags, lengths, bitmaps and counts that are written otherwise.
    fn forms(&mut self) {
        let broken = self.broken;
        let (layout, value) = (broken.layout, &broken.value);
        let mut consider = |form: LayoutForm, text: &str, remedy: &str| {
            let varied = Layout {
                form,
                ..layout.clone()
            };
            let remedy = format!("in [subfields.{}]: {remedy}", broken.de);
            self.consider(&varied, value, text, Some(remedy));
        };
        match layout.form {
            LayoutForm::Tlv(tag, length) => {
                for (other, text, remedy) in lengths(length) {
                    consider(LayoutForm::Tlv(tag, other), &text, &remedy);
                }
            }
            LayoutForm::Ltv {
                length,
                tag,
                counts_tag,
            } => {
                let text = if counts_tag {
                    "its lengths do not count the tags"
                } else {
                    "its lengths count the tags too"
                };
                let form = LayoutForm::Ltv {
                    length,
                    tag,
                    counts_tag: !counts_tag,
                };
                let remedy = format!("length_counts_tag = {}", !counts_tag);
                consider(form, text, &remedy);
                for (length, text, remedy) in lengths(length) {
                    let form = LayoutForm::Ltv {
                        length,
                        tag,
                        counts_tag,
                    };
                    consider(form, &text, &remedy);
                }
            }
            LayoutForm::Bitmap { bytes, hex } => {
                let text = if hex {
                    "its bitmap is binary, not in hexadecimal digits"
                } else {
                    "its bitmap is in hexadecimal digits, not binary"
                };
                let word = if hex { "binary" } else { "hex" };
                let form = LayoutForm::Bitmap { bytes, hex: !hex };
                consider(form, text, &format!("bitmap_encoding = \"{word}\""));
            }
            LayoutForm::Repeat { count: Some(_) } => consider(
                LayoutForm::Repeat { count: None },
                "there is no number of groups in front",
                "no count_bytes",
            ),
            LayoutForm::Repeat { count: None } | LayoutForm::Positional | LayoutForm::BerTlv => {}
        }
    }

    /// Bytes before the first part of which nothing is known.
    fn leads(&mut self) {
        if !tagged(self.broken.layout) {
            return;
        }
        for lead in 1..=LEAD_BYTES_MAX {
            let behind = self.broken.value.get(lead..).unwrap_or_default();
            let text = format!(
                "{} before the first part",
                Counted(lead, "byte").that("stands", "stand")
            );
            self.consider(self.broken.layout, behind, &text, None);
        }
    }

    /// One length of a part that is wrong.
    fn lengths(&mut self) {
        let broken = self.broken;
        if broken.layout.form != LayoutForm::BerTlv {
            return;
        }
        let value = &broken.value;
        let parts = broken.layout.parts(value).map_while(Result::ok);
        let cut_off = match broken.error {
            PartError::Truncated { offset, .. } => Some(offset),
            _ => None,
        };
        let places: Vec<_> = parts.map(|part| part.offset()).chain(cut_off).collect();
        // The nearer to the break, the likelier.
        for at in places.iter().rev().filter_map(|at| at.checked_sub(1)) {
            let left = value.len().saturating_sub(at).min(0x80);
            for other in 0..left {
                let Ok(length) = u8::try_from(other) else {
                    break;
                };
                let mut changed = value.clone();
                let Some(slot) = changed.get_mut(at) else {
                    break;
                };
                if *slot >= 0x80 || *slot == length {
                    continue;
                }
                let text = format!(
                    "the length at byte {at} says {}; with {length} all of it divides",
                    *slot
                );
                *slot = length;
                // The shortest leaves the most parts.
                if makes_sense(broken.layout, &changed) {
                    self.consider(broken.layout, &changed, &text, None);
                    break;
                }
            }
        }
    }

    /// What the error itself says.
    fn plain(&mut self) {
        let de = self.broken.de;
        let text = match self.broken.error {
            PartError::Truncated {
                declared, remain, ..
            } => {
                let missing = Counted(declared.saturating_sub(remain), "byte").that("is", "are");
                format!("DE{de}: cut off, {missing} missing, or a length in it is wrong")
            }
            PartError::LeftOver { bytes, .. } => {
                let left = Counted(bytes, "byte").that("is", "are");
                format!("DE{de}: {left} left over behind the last part")
            }
            PartError::Tag { .. }
            | PartError::Length { .. }
            | PartError::TooLong { .. }
            | PartError::Character { .. }
            | PartError::Bitmap { .. }
            | PartError::TooMany { .. }
            | PartError::TooDeep { .. } => return,
        };
        self.found.push(Cause {
            text,
            remedy: None,
            sound: true,
        });
    }
}

/// Whether parts have tags, by which a part can be told from chance.
const fn tagged(layout: &Layout) -> bool {
    match layout.form {
        LayoutForm::BerTlv | LayoutForm::Tlv(..) | LayoutForm::Ltv { .. } => true,
        LayoutForm::Positional | LayoutForm::Bitmap { .. } | LayoutForm::Repeat { .. } => false,
    }
}

/// Whether a value divides, and its parts are such as are known.
fn makes_sense(layout: &Layout, value: &[u8]) -> bool {
    let known = |part: &Part<'_, '_>| {
        let chip = || {
            let tag = u32::from_str_radix(part.tag().as_str(), 16).ok();
            layout.form == LayoutForm::BerTlv && tag.and_then(emv::tag).is_some()
        };
        part.rule().is_some() || chip()
    };
    let parts: Result<Vec<_>, _> = layout.parts(value).collect();
    let Ok(parts) = parts else { return false };
    let divides = first_error(layout.parts(value)).is_none();
    divides && !parts.is_empty() && (!tagged(layout) || parts.iter().all(known))
}

/// Other ways to write the lengths of a layout.
fn lengths(own: LengthForm) -> Vec<(LengthForm, String, String)> {
    let widths = 1..=LENGTH_BYTES_MAX;
    let all = widths.flat_map(|bytes| ENCODINGS.map(|(encoding, word)| (bytes, encoding, word)));
    let other = all.filter(|(bytes, encoding, _)| (*bytes, *encoding) != (own.bytes, own.encoding));
    other
        .map(|(bytes, encoding, word)| {
            let wide = Counted(bytes, "byte");
            let text = match encoding {
                LengthEncoding::Binary => format!("its lengths look like {wide}, binary"),
                _ => format!("its lengths look like {wide} of {word}"),
            };
            let name = encoding_word(encoding);
            let remedy = format!("length_bytes = {bytes}, length_encoding = \"{name}\"");
            (LengthForm { bytes, encoding }, text, remedy)
        })
        .collect()
}
