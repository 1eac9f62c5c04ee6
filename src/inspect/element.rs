//! A message as a tree for people: fields, sub-fields and chip data elements with their names, and what of
//! them may be seen.

use std::fmt;

use crate::base::{MaskedPan, Pan};
use crate::iso8583::Exposure;

use super::bytes::to_hex;
use super::content::Content;
use super::text;
use super::words::Language;

/// What stands for each hidden character.
pub const HIDDEN: u8 = b'*';

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reveal {
    /// What the dialect lets everybody see.
    #[default]
    Masked,
    /// Everything, for whoever may see it.
    Everything,
}

/// A field, a sub-field or a chip data element. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    /// Where it stands: `60.2`, `55.9F26`.
    pub path: String,
    /// English name; may be empty.
    pub en: String,
    /// Chinese name; may be empty.
    pub zh: String,
    /// What it holds.
    pub content: Content,
    /// Who may see it, its parts not counted.
    pub exposure: Exposure,
    /// What its value means, in English and Chinese: the text of a response code.
    pub meaning: Option<(String, String)>,
    /// Where it begins in the element around it: in digits or characters, of bytes in hexadecimal digits.
    pub(super) from: usize,
    /// How many of them it takes there: packed digits take more than they are.
    pub(super) span: usize,
    /// As it stands in the message, with its length prefix and filling; empty for parts.
    pub(super) wire: Vec<u8>,
    /// What it is made of, in its order.
    pub parts: Vec<Self>,
    /// Why its parts cannot be told apart, if they cannot.
    pub broken: Option<String>,
}

impl Element {
    /// An element without parts.
    #[must_use]
    pub(super) fn new(path: String, content: Content, exposure: Exposure) -> Self {
        Self {
            path,
            en: String::new(),
            zh: String::new(),
            content,
            exposure,
            meaning: None,
            from: 0,
            span: 0,
            wire: Vec::new(),
            parts: Vec::new(),
            broken: None,
        }
    }

    /// The last step of the path: `2` of `60.2`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, language: Language) -> &str {
        language.of(&self.en, &self.zh)
    }

    /// What its value means, if that is known.
    #[must_use]
    pub fn meaning(&self, language: Language) -> Option<&str> {
        let (en, zh) = self.meaning.as_ref()?;
        Some(language.of(en, zh))
    }

    /// Its value as text: digits and text as they are, bytes as upper-case hexadecimal digits. What is hidden
    /// is stars, as many as there are characters.
    #[must_use]
    pub fn text(&self, reveal: Reveal) -> String {
        let characters = match reveal {
            Reveal::Everything => self.clear(),
            Reveal::Masked => self.masked(),
        };
        match self.content {
            Content::Text(_) => text::shown(&characters),
            Content::Digits(_) | Content::Bytes(_) => {
                characters.into_iter().map(char::from).collect()
            }
        }
    }

    /// Whether something of it is hidden when it is masked.
    #[must_use]
    pub fn hides(&self) -> bool {
        self.masked() != self.clear()
    }

    /// One character a digit or byte of text, two a byte of binary content.
    fn clear(&self) -> Vec<u8> {
        match &self.content {
            Content::Digits(characters) | Content::Text(characters) => characters.clone(),
            Content::Bytes(bytes) => to_hex(bytes).into_bytes(),
        }
    }

    /// The same, hidden by its own exposure and then by that of its parts.
    fn masked(&self) -> Vec<u8> {
        let clear = self.clear();
        let mut shown = match self.exposure {
            Exposure::Open => clear,
            Exposure::Masked => card_number(&clear),
            Exposure::Secret => hidden(&clear),
            Exposure::Chip => clear,
        };
        for part in &self.parts {
            let masked = part.masked();
            if masked == part.clear() {
                continue;
            }
            let slots = shown.iter_mut().skip(part.from).take(part.span);
            // Written in another way here: all of it is hidden.
            let alike = masked.len() == part.span;
            for (at, slot) in slots.enumerate() {
                let character = masked.get(at).filter(|_| alike).unwrap_or(&HIDDEN);
                if *slot != HIDDEN {
                    *slot = *character;
                }
            }
        }
        shown
    }
}

fn hidden(clear: &[u8]) -> Vec<u8> {
    vec![HIDDEN; clear.len()]
}

/// First six and last four of a card number; behind it may stand the filling of packed digits.
fn card_number(clear: &[u8]) -> Vec<u8> {
    let filling = clear.iter().rev().take_while(|c| **c == b'F').count();
    let (digits, filling) = clear
        .split_at_checked(clear.len().saturating_sub(filling))
        .unwrap_or((clear, &[]));
    // Of what is no whole number the last four digits are not its last four.
    if !(Pan::MIN..=Pan::MAX).contains(&digits.len()) {
        return hidden(clear);
    }
    let mut masked = MaskedPan::of(digits).as_str().as_bytes().to_vec();
    masked.extend_from_slice(filling);
    masked
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element")
            .field("path", &self.path)
            .field("content", &self.content)
            .field("exposure", &self.exposure)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}
