//! What a person writes about a decision: a name and a note, kept for as long as the decision itself.
//!
//! Both are shown to others later, in lists, logs and evidence. So they hold nothing that could mislead a
//! reader (control characters, text that runs backwards), and no card number.

use super::card::{Pan, luhn};
use super::limits;

/// Fewest digits of a card number (ISO/IEC 7812-1).
const CARD_DIGITS_MIN: usize = 13;

/// Why a text is not taken. Never carries the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Nothing but spaces.
    #[error("{what} is missing; say it in some words")]
    Empty {
        /// "a name" or "a note".
        what: &'static str,
    },
    /// Longer than it may be.
    #[error("{what} has {found} characters, {max} are allowed")]
    Long {
        /// "a name" or "a note".
        what: &'static str,
        /// Characters found.
        found: usize,
        /// Most allowed.
        max: usize,
    },
    /// A line break, another control character, or one that changes how the rest reads.
    #[error(
        "{what} holds a character that cannot be printed at position {position}; write one line"
    )]
    Unprintable {
        /// "a name" or "a note".
        what: &'static str,
        /// Position of the first such character, from 1.
        position: usize,
    },
    /// Something that looks like a card number.
    #[error(
        "{what} holds what looks like a card number (13 to 19 digits with the right check digit); name the \
         transaction by its number or its RRN instead"
    )]
    CardNumber {
        /// "a name" or "a note".
        what: &'static str,
    },
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes what a person wrote, without the spaces around it.
            ///
            /// # Errors
            /// When it is empty, too long, cannot be printed or holds a card number.
            pub fn parse(text: &str) -> Result<Self, NoteError> {
                checked(text, $what, $max).map(|text| Self(text.into()))
            }

            /// Takes back what was checked when it was written.
            #[must_use]
            pub fn from_stored(text: &str) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_text! {
    /// Who decided, as people know each other: at most [`limits::NAME_CHARS_MAX`] characters.
    PersonName, "a name", limits::NAME_CHARS_MAX
}

checked_text! {
    /// Why: one line of at most [`limits::NOTE_CHARS_MAX`] characters.
    Note, "a note", limits::NOTE_CHARS_MAX
}

/// What a person wrote, without the spaces around it: one line of at most [`limits::NOTE_CHARS_MAX`] characters
/// without a card number. `what` says in an error what it was.
///
/// # Errors
/// When it is empty, too long, cannot be printed or holds a card number.
pub fn words<'t>(what: &'static str, text: &'t str) -> Result<&'t str, NoteError> {
    checked(text, what, limits::NOTE_CHARS_MAX)
}

fn checked<'t>(text: &'t str, what: &'static str, max: usize) -> Result<&'t str, NoteError> {
    let text = text.trim();
    let found = text.chars().count();
    if found == 0 {
        return Err(NoteError::Empty { what });
    }
    if found > max {
        return Err(NoteError::Long { what, found, max });
    }
    if let Some(at) = text.chars().position(is_unprintable) {
        let position = at + 1;
        return Err(NoteError::Unprintable { what, position });
    }
    if holds_card_number(text) {
        return Err(NoteError::CardNumber { what });
    }
    Ok(text)
}

/// Control characters, line ends, and what has no width or turns the direction of the rest.
fn is_unprintable(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{AD}'
            | '\u{61C}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}'
    );
    c.is_control() || invisible
}

/// Whether 13 to 19 digits in a row pass the Luhn check. Digits may stand in groups, as on a card; then
/// every row of whole groups counts, so that what follows a number does not hide it.
pub(crate) fn holds_card_number(text: &str) -> bool {
    let mut row: Vec<Vec<u8>> = Vec::new();
    let (mut within, mut gap) = (false, false);
    for c in text.chars().chain(std::iter::once('\n')) {
        match (digit_of(c), within) {
            (Some(digit), true) => {
                if let Some(group) = row.last_mut() {
                    group.push(digit);
                }
            }
            (Some(digit), false) => {
                row.push(vec![digit]);
                (within, gap) = (true, false);
            }
            // One character between two groups leaves them one row.
            (None, _) if matches!(c, ' ' | '-' | '.' | '\u{A0}' | '\u{3000}') && !gap => {
                (within, gap) = (false, true);
            }
            (None, _) => {
                if row_holds_card_number(&row) {
                    return true;
                }
                row.clear();
                (within, gap) = (false, false);
            }
        }
    }
    false
}

fn row_holds_card_number(row: &[Vec<u8>]) -> bool {
    let is_one =
        |digits: &[u8]| (CARD_DIGITS_MIN..=Pan::MAX).contains(&digits.len()) && luhn(digits);
    // A group that is too long for a number may have one in it.
    let within = |group: &Vec<u8>| {
        group.len() > Pan::MAX
            && (CARD_DIGITS_MIN..=Pan::MAX).any(|len| group.windows(len).any(luhn))
    };
    let rows = (0..row.len()).any(|from| {
        let mut digits = Vec::with_capacity(Pan::MAX);
        row[from..].iter().any(|group| {
            digits.extend_from_slice(group);
            is_one(&digits)
        })
    });
    rows || row.iter().any(within)
}

/// Full-width digits read as digits too.
fn digit_of(c: char) -> Option<u8> {
    let narrow = match c {
        '\u{FF10}'..='\u{FF19}' => u32::from(c) - 0xFF10,
        _ => c.to_digit(10)?,
    };
    u8::try_from(narrow).ok().map(|digit| b'0' + digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_refused_however_they_are_written() {
        for text in [
            "4761739001010010",
            "card 4761739001010010.",
            "4761 7390 0101 0010",
            "4761-7390-0101-0010 exp 12/30",
            "4761 7390 0101 0010 123",
            "see 77 4761739001010010",
            "０４７６１７３９００１０１００１０ 4761739001010010",
            "４７６１７３９００１０１００１０",
            "6228489137264085193",
            "99994761739001010010123",
        ] {
            let refused = Note::parse(text);
            assert_eq!(
                refused,
                Err(NoteError::CardNumber { what: "a note" }),
                "{text}"
            );
        }
    }

    #[test]
    fn other_numbers_are_words_like_any_other() {
        for text in [
            "RRN 000123456789, approval 012345",
            "4761739001010011",
            "476173******0010",
            "ticket 4711, 22.11.2026 10:15, 1,050.00 yuan",
            "merchant 104512541110001 called, 138 0013 8000",
            "银行已确认冲正",
        ] {
            assert_eq!(Note::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_and_notes_are_one_printable_line_within_their_bounds() {
        let refused = |text: &str| PersonName::parse(text).unwrap_err();
        let what = "a name";
        assert_eq!(refused(" \t "), NoteError::Empty { what });
        let (found, max) = (limits::NAME_CHARS_MAX + 1, limits::NAME_CHARS_MAX);
        assert_eq!(
            refused(&"é".repeat(found)),
            NoteError::Long { what, found, max }
        );
        for (text, position) in [
            ("a\nb", 2),
            ("ab\u{202E}c", 3),
            ("\u{7F}", 1),
            ("a\u{200B}b", 2),
        ] {
            assert_eq!(
                refused(text),
                NoteError::Unprintable { what, position },
                "{text:?}"
            );
        }
        assert_eq!(PersonName::parse(" Li Wei ").unwrap().as_str(), "Li Wei");
        assert!(Note::parse(&"n".repeat(limits::NOTE_CHARS_MAX)).is_ok());
        assert!(Note::parse(&"n".repeat(limits::NOTE_CHARS_MAX + 1)).is_err());
    }
}
