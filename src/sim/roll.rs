//! Which terminals there are: numbered from a pattern, or listed in a CSV file.

use std::io::Read;

use crate::base::ids::IdError;
use crate::base::{MerchantId, TerminalId};

use super::message::Identity;

/// A pattern of terminal ids with one number in it: `T{:07}` gives T0000001, T0000002 and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern {
    before: String,
    width: usize,
    after: String,
}

/// Why there is no usable list of terminals.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// The pattern has no place for a number, or more than one.
    #[error("a terminal id pattern has one place for a number, as in \"T{{:07}}\"")]
    Pattern,
    /// The pattern and a number give no terminal id.
    #[error("number {number} gives no terminal id")]
    Number {
        /// The number.
        number: u32,
        /// Why not.
        #[source]
        source: IdError,
    },
    /// The file cannot be read as CSV.
    #[error("the list of terminals cannot be read")]
    Csv(#[source] Box<csv::Error>),
    /// A column is missing.
    #[error("the list of terminals has no column {0}")]
    Column(&'static str),
    /// A line holds an id that is none.
    #[error("line {line}: column {column}")]
    Line {
        /// Line of the file, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<IdError>,
    },
    /// Fewer terminals are listed than were asked for.
    #[error("{listed} terminals are listed, {wanted} were asked for")]
    TooFew {
        /// Terminals in the file.
        listed: usize,
        /// Terminals wanted.
        wanted: usize,
    },
}

impl std::str::FromStr for IdPattern {
    type Err = RollError;

    fn from_str(text: &str) -> Result<Self, RollError> {
        let (before, rest) = text.split_once('{').ok_or(RollError::Pattern)?;
        let (inside, after) = rest.split_once('}').ok_or(RollError::Pattern)?;
        let width = match inside {
            "" => 0,
            _ => inside
                .strip_prefix(":0")
                .and_then(|width| width.parse().ok())
                .ok_or(RollError::Pattern)?,
        };
        if after.contains(['{', '}']) || width > TerminalId::WIDTH {
            return Err(RollError::Pattern);
        }
        Ok(Self {
            before: before.to_owned(),
            width,
            after: after.to_owned(),
        })
    }
}

impl IdPattern {
    /// The terminal id with this number.
    ///
    /// # Errors
    /// When the text is longer than DE41, or holds a character it may not.
    pub fn id(&self, number: u32) -> Result<TerminalId, RollError> {
        let Self {
            before,
            width,
            after,
        } = self;
        let text = format!("{before}{number:0width$}{after}");
        TerminalId::parse(&text).map_err(|source| RollError::Number { number, source })
    }

    /// `count` terminals of one merchant, numbered from `first`.
    ///
    /// # Errors
    /// When a number gives no terminal id.
    pub fn identities(
        &self,
        merchant: MerchantId,
        first: u32,
        count: usize,
    ) -> Result<Vec<Identity>, RollError> {
        (first..)
            .take(count)
            .map(|number| {
                let terminal = self.id(number)?;
                Ok(Identity { terminal, merchant })
            })
            .collect()
    }
}

/// Reads terminals from CSV with the columns `terminal_id` and `merchant_id`; other columns are passed over,
/// so the file that was imported into the gateway serves.
///
/// # Errors
/// What is wrong with the file, with its line; [`RollError::TooFew`] when it lists fewer than `count`.
pub fn read_identities(from: impl Read, count: usize) -> Result<Vec<Identity>, RollError> {
    let csv_error = |e| RollError::Csv(Box::new(e));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(from);
    let headers = reader.headers().map_err(csv_error)?;
    let column = |name| {
        headers
            .iter()
            .position(|h| h == name)
            .ok_or(RollError::Column(name))
    };
    let (terminal_at, merchant_at) = (column("terminal_id")?, column("merchant_id")?);
    let mut found = Vec::new();
    for record in reader.records().take(count) {
        let record = record.map_err(csv_error)?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |column| {
            move |source| RollError::Line {
                line,
                column,
                source: Box::new(source),
            }
        };
        let field = |at| record.get(at).unwrap_or_default();
        found.push(Identity {
            terminal: TerminalId::parse(field(terminal_at)).map_err(wrong("terminal_id"))?,
            merchant: MerchantId::parse(field(merchant_at)).map_err(wrong("merchant_id"))?,
        });
    }
    if found.len() < count {
        return Err(RollError::TooFew {
            listed: found.len(),
            wanted: count,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(pattern: &str, first: u32) -> Vec<String> {
        let pattern: IdPattern = pattern.parse().unwrap();
        let merchant = MerchantId::parse("M1").unwrap();
        let found = pattern.identities(merchant, first, 2).unwrap();
        found.iter().map(|i| i.terminal.to_string()).collect()
    }

    #[test]
    fn patterns_number_terminals() {
        assert_eq!(ids("T{:07}", 1), ["T0000001", "T0000002"]);
        assert_eq!(ids("A{}B", 9), ["A9B", "A10B"]);
    }

    #[test]
    fn patterns_without_one_number_are_refused() {
        for text in ["T", "T{", "{}{}", "{:7}", "{:09}", "{x}"] {
            let parsed = text.parse::<IdPattern>();
            assert!(matches!(parsed, Err(RollError::Pattern)), "{text}");
        }
        let long: IdPattern = "TERMINAL{}".parse().unwrap();
        assert!(matches!(
            long.id(1),
            Err(RollError::Number { number: 1, .. })
        ));
    }

    #[test]
    fn lists_may_have_more_columns() {
        let text = "merchant_id,phone,terminal_id\nM1,1,T1\nM2,2,T2\n";
        let found = read_identities(text.as_bytes(), 2).unwrap();
        assert_eq!(found[1].terminal.as_str(), "T2");
        assert_eq!(found[1].merchant.as_str(), "M2");
        let few = read_identities(text.as_bytes(), 3);
        assert!(matches!(
            few,
            Err(RollError::TooFew {
                listed: 2,
                wanted: 3
            })
        ));
    }

    #[test]
    fn mistakes_in_a_list_name_their_line() {
        let text = "terminal_id,merchant_id\nT1,M1\nTOOLONGID,M1\n";
        let found = read_identities(text.as_bytes(), 2).unwrap_err();
        assert_eq!(found.to_string(), "line 3: column terminal_id");
        let missing = read_identities("terminal_id\nT1\n".as_bytes(), 1);
        assert!(matches!(missing, Err(RollError::Column("merchant_id"))));
    }
}
