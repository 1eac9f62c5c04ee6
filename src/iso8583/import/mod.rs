//! Reads message formats of other programs: the XML of jPOS's `GenericPackager` and the JSON of moov-io's
//! `iso8583`. What comes out is the text of a dialect file, and what could not be carried over, with its place.
//!
//! Such a file says how fields are written and nothing of framing, requests or response codes: what comes out
//! decodes and encodes, and is a start for the rest.

mod jpos;
mod model;
mod moov;
mod toml;

use crate::base::document::{Problem, Problems};

use super::Dialect;
use model::{Format, Inside, Item};

/// What other programs' files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// XML for jPOS's `GenericPackager`.
    Jpos,
    /// JSON for moov-io's `iso8583`.
    Moov,
}

impl Source {
    /// Which one a text is: JSON begins with a brace, XML with an angle bracket.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .chars()
            .next()
        {
            Some('<') => Some(Self::Jpos),
            Some('{') => Some(Self::Moov),
            Some(_) | None => None,
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpos => "jPOS packager XML",
            Self::Moov => "moov-io iso8583 JSON",
        }
    }
}

/// A dialect file made of another program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The dialect file.
    pub text: String,
    /// How many fields it has.
    pub fields: usize,
    /// What could not be carried over, or differs.
    pub warnings: Vec<Problem>,
}

/// Makes a dialect file called `name` of `text`, which the user knows as `file`.
///
/// # Errors
/// What makes the text unreadable, warnings among it.
pub fn import(
    source: Source,
    file: &str,
    text: &str,
    name: &str,
) -> Result<Imported, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}');
    let problems = Problems::new(file, text);
    let format = match source {
        Source::Jpos => jpos::read(text, &problems),
        Source::Moov => moov::read(text, &problems),
    };
    let written = format.map(|mut format| {
        while let Some(unfit) = unfit(&format, name, source, file, text) {
            let told = match unfit {
                Unfit::Parts(field, why) => format.fields.get_mut(&field).map(|item| {
                    item.inside = Inside::Nothing;
                    let message = format!(
                        "field {field} is carried over whole, its parts are left out: {why}"
                    );
                    problems.warn(&item.span, message);
                }),
                Unfit::Field(field, why) => format.fields.remove(&field).map(|item| {
                    problems.warn(&item.span, format!("field {field} is left out: {why}"));
                }),
            };
            if told.is_none() {
                break;
            }
        }
        toml::write(&format, name, source, &problems)
    });
    // What is written must hold what is promised of it.
    if let Some((text, _)) = &written
        && let Err(found) = Dialect::parse("dialect.toml", text)
    {
        for problem in found {
            let message = format!("what comes out cannot be a dialect: {}", problem.message);
            problems.error(&(0..0), message);
        }
    }
    let refused = problems.any_errors();
    let warnings = problems.into_vec();
    match written {
        Some((text, fields)) if !refused => Ok(Imported {
            text,
            fields,
            warnings,
        }),
        Some(_) | None => Err(warnings),
    }
}

/// A field that no dialect can have, and why.
enum Unfit {
    /// Its parts are what is wrong.
    Parts(u16, String),
    /// So is all of it.
    Field(u16, String),
}

fn unfit(format: &Format, name: &str, source: Source, file: &str, text: &str) -> Option<Unfit> {
    let trial = Problems::new(file, text);
    let (written, _) = toml::write(format, name, source, &trial);
    let found = Dialect::parse("dialect.toml", &written).err()?;
    let numbered = |path: &str| -> Option<u16> {
        let digits = path.bytes().take_while(u8::is_ascii_digit).count();
        path.get(..digits)?.parse().ok()
    };
    found.iter().find_map(|problem| {
        let why = problem.message.clone();
        if let Some(path) = problem.message.strip_prefix("subfields.") {
            let field = numbered(path)?;
            let divides = |item: &Item| !matches!(item.inside, Inside::Nothing);
            let known = format.fields.get(&field).is_some_and(divides);
            return known.then_some(Unfit::Parts(field, why));
        }
        let field = numbered(problem.message.strip_prefix("fields.")?)?;
        Some(Unfit::Field(field, why))
    })
}

#[cfg(test)]
mod tests;
