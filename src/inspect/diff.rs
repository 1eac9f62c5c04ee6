//! In what two messages differ.

use super::describe::Description;
use super::element::{Element, Reveal};
use super::words::Language;

/// One place in which two messages differ. `Debug` shows no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `dialect`, `tpdu`, `header`, `mti`, or the path of a field or part.
    pub path: String,
    /// Whether the value is the same and only written otherwise: filled up with something else, or behind a length in
    /// another form.
    pub written: bool,
    sides: Sides,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sides {
    /// What everybody may see.
    Plain(String, String),
    /// Fields or parts, at least one of them there.
    Elements(Option<Box<Element>>, Option<Box<Element>>),
}

impl Difference {
    /// Name of the field or part; empty for what is none.
    #[must_use]
    pub fn name(&self, language: Language) -> &str {
        match &self.sides {
            Sides::Plain(..) => "",
            Sides::Elements(left, right) => {
                let either = left.as_ref().or(right.as_ref());
                either.map_or("", |element| element.name(language))
            }
        }
    }

    /// The first message's value, `None` where it has none.
    #[must_use]
    pub fn left(&self, reveal: Reveal) -> Option<String> {
        match &self.sides {
            Sides::Plain(left, _) => Some(left.clone()),
            Sides::Elements(left, _) => Some(left.as_ref()?.text(reveal)),
        }
    }

    /// The second message's value, `None` where it has none.
    #[must_use]
    pub fn right(&self, reveal: Reveal) -> Option<String> {
        match &self.sides {
            Sides::Plain(_, right) => Some(right.clone()),
            Sides::Elements(_, right) => Some(right.as_ref()?.text(reveal)),
        }
    }
}

/// All differences, in the order of the message. A field that has parts in both messages is told by the parts
/// that differ.
#[must_use]
pub fn differences(left: &Description, right: &Description) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut plain = |path: &str, left: String, right: String| {
        if left != right {
            found.push(Difference {
                path: path.to_owned(),
                written: false,
                sides: Sides::Plain(left, right),
            });
        }
    };
    plain("dialect", left.dialect.clone(), right.dialect.clone());
    let envelopes = (
        left.envelope(Reveal::Masked),
        right.envelope(Reveal::Masked),
    );
    plain("tpdu", envelopes.0.tpdu, envelopes.1.tpdu);
    plain("header", envelopes.0.header, envelopes.1.header);
    plain("mti", left.mti.to_string(), right.mti.to_string());
    let bitmaps = |side: &Description| match side.bitmaps {
        Some(count) => count.to_string(),
        None => "as many as its fields need".to_owned(),
    };
    plain("bitmaps", bitmaps(left), bitmaps(right));
    compare(&left.fields, &right.fields, &mut found);
    // Dialects write the same in many ways.
    if left.dialect != right.dialect {
        found.retain(|difference| !difference.written);
    }
    found.sort_by_key(|difference| first_number(&difference.path));
    found
}

/// Fields by number, what is none before them.
fn first_number(path: &str) -> u16 {
    let first = path.split('.').next().unwrap_or_default();
    first.parse().unwrap_or(0)
}

fn compare(left: &[Element], right: &[Element], found: &mut Vec<Difference>) {
    // The same tag may come several times: the first is compared with the first.
    let mut unmatched: Vec<&Element> = right.iter().collect();
    for one in left {
        let at = unmatched.iter().position(|other| other.path == one.path);
        let other = at.map(|at| unmatched.remove(at));
        match other {
            Some(other) if other.content == one.content => {
                if other.wire != one.wire {
                    push(Some(one), Some(other), found);
                    let written = found.last_mut().map(|difference| &mut difference.written);
                    if let Some(written) = written {
                        *written = true;
                    }
                }
            }
            Some(other) if !one.parts.is_empty() && !other.parts.is_empty() => {
                let before = found.len();
                compare(&one.parts, &other.parts, found);
                // Filling between parts, or their order.
                if found.len() == before {
                    push(Some(one), Some(other), found);
                }
            }
            other => push(Some(one), other, found),
        }
    }
    for other in unmatched {
        push(None, Some(other), found);
    }
}

fn push(left: Option<&Element>, right: Option<&Element>, found: &mut Vec<Difference>) {
    let path = left.or(right).map(|element| element.path.clone());
    found.push(Difference {
        path: path.unwrap_or_default(),
        written: false,
        sides: Sides::Elements(left.cloned().map(Box::new), right.cloned().map(Box::new)),
    });
}
