//! Sub-fields: how a field's value divides into parts, read by a pure iterator over borrowed bytes and written
//! back.
//!
//! A [`Layout`] is what a dialect file says. [`Layout::parts`] walks a value (see
//! [`Message::value`](super::Message::value)) and gives one [`Part`] after the other; a part that divides
//! again has [`parts`](Part::parts) of its own. Nothing is copied, depth and number are bounded, and what
//! breaks the layout is an error with its offset, never a value. [`Layout::read`] and [`Layout::write`] do the
//! same with a tree that is owned.

mod error;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod walk;
mod write;

use std::fmt;
use std::io::Write;

use super::dialect::{Exposure, FieldSpec, FieldType};
use super::length::LengthEncoding;

pub use error::{PartError, PartWriteError};
pub use walk::{Part, Parts};
pub use write::{Item, ItemValue};

/// The name of a part within its layout: a number from 1, a tag as text, or a binary tag as upper-case
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// ASCII characters, the rest zeros.
    text: [u8; Self::MAX],
    /// 1 <= len <= 8
    len: u8,
}

impl Tag {
    /// Most characters of a tag.
    pub const MAX: usize = 8;

    /// Takes one to eight printable ASCII characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_ascii(text.as_bytes())
    }

    fn from_ascii(ascii: &[u8]) -> Option<Self> {
        let printable = ascii.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if ascii.is_empty() || !printable {
            return None;
        }
        let mut tag = Self {
            text: [0; Self::MAX],
            len: u8::try_from(ascii.len()).ok()?,
        };
        tag.text.get_mut(..ascii.len())?.copy_from_slice(ascii);
        Some(tag)
    }

    /// A binary tag of one to four bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut digits = [0; Self::MAX];
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = [byte >> 4, byte & 0x0F].map(super::form::hex);
        }
        Self::from_ascii(digits.get(..bytes.len().checked_mul(2)?)?)
    }

    /// The bytes of a binary tag; `None` when it is none.
    fn bytes(&self) -> Option<Vec<u8>> {
        let (pairs, odd) = self.ascii().as_chunks::<2>();
        let hex = self.ascii().iter().all(u8::is_ascii_hexdigit);
        (hex && odd.is_empty()).then(|| pairs.iter().map(|pair| super::form::byte(*pair)).collect())
    }

    /// Whether it is one tag of BER-TLV, whole. Zeros are filling and no tag.
    pub(super) fn is_ber(&self) -> bool {
        self.bytes().is_some_and(|bytes| {
            let whole = walk::ber_tag(&bytes).is_ok_and(|(rest, _)| rest.is_empty());
            whole && bytes.first() != Some(&0)
        })
    }

    /// A number as a tag.
    fn number(number: usize) -> Option<Self> {
        let mut digits = [0; Self::MAX];
        let mut left = digits.as_mut_slice();
        // Fails for a number that is too long.
        write!(left, "{number}").ok()?;
        let left = left.len();
        Self::from_ascii(digits.get(..Self::MAX.saturating_sub(left))?)
    }

    fn ascii(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.ascii()).unwrap_or_default()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// How the tags of a layout are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagForm {
    /// Bytes of each tag, 1 to 8; 1 to 4 when binary.
    pub bytes: usize,
    /// Whether tags are bytes rather than characters.
    pub binary: bool,
}

/// How the lengths of a layout are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthForm {
    /// Bytes of each length, 1 to 4.
    pub bytes: usize,
    /// How its digits are written.
    pub encoding: LengthEncoding,
}

/// The kinds of layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutForm {
    /// One part after the other, named by number; a value may end after any of them.
    Positional,
    /// BER-TLV as in EMV: tags of one to four bytes, lengths of one to four.
    BerTlv,
    /// Tag, length, value, the first two of fixed width.
    Tlv(TagForm, LengthForm),
    /// Length, tag, value.
    Ltv {
        /// How the length is written.
        length: LengthForm,
        /// How the tag is written.
        tag: TagForm,
        /// Whether the length counts the tag too.
        counts_tag: bool,
    },
    /// A bitmap says which of the parts follow.
    Bitmap {
        /// Bytes of the bitmap, 1 to 16, not counting that hexadecimal digits take twice as many.
        bytes: usize,
        /// Whether it is written in hexadecimal digits.
        hex: bool,
    },
    /// The parts together are a group, which comes again and again, named by number.
    Repeat {
        /// The number of groups, where it is written in front.
        count: Option<LengthForm>,
    },
}

/// How a value divides.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its kind.
    pub form: LayoutForm,
    /// What is known of its parts: positional ones ascending by number; those of a group are in `group`.
    pub rules: Vec<PartRule>,
    /// How one group of a repeating layout divides.
    pub group: Option<Box<Self>>,
}

/// What a dialect says of one part.
#[derive(Clone, Debug)]
pub struct PartRule {
    /// Its name in the layout.
    pub tag: Tag,
    /// English name.
    pub en: String,
    /// Chinese name, may be empty.
    pub zh: String,
    /// What it may hold.
    pub kind: FieldType,
    /// Who may see it.
    pub exposure: Exposure,
    /// How it divides again.
    pub layout: Option<Layout>,
    /// How it lies on the wire.
    pub(super) spec: FieldSpec,
    /// Where its end comes from.
    pub(super) extent: Extent,
    /// Whether it may be left out.
    pub(super) presence: Presence,
    /// Whether it holds a value though its BER tag says that it holds elements.
    pub(super) primitive: bool,
}

/// Whether a part that comes before others is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Always, unless the value ends before.
    Always,
    /// Only where its place begins with a letter: what follows begins with none.
    Letter,
}

impl Presence {
    /// Whether the part is there, where `rest` is what is left of the value.
    fn holds(self, rest: &[u8]) -> bool {
        match self {
            Self::Always => true,
            Self::Letter => rest.first().is_some_and(u8::is_ascii_alphabetic),
        }
    }
}

/// Where a part's end comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// From its fixed length, or a length prefix of its own.
    Own,
    /// From the end of the whole.
    Rest,
    /// From the length that its layout reads before it.
    Told,
}

impl Layout {
    /// What is known of a part.
    #[must_use]
    pub fn rule(&self, tag: &Tag) -> Option<&PartRule> {
        self.rules.iter().find(|rule| rule.tag == *tag)
    }
}
