//! Pages of lists whose things have numbers: a cursor to go on with, and how many.

use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Refusal;
use crate::store::command::Part;

/// What a page has when nobody says.
const USUAL: usize = 100;
/// Most that a page has.
const MOST: usize = 1_000;

/// Which page is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Where the page before ended
    cursor: Option<String>,
    /// How many a page has, 1 to 1000; 100 when absent
    limit: Option<String>,
}

impl Asked {
    pub(super) const fn of(cursor: Option<String>, limit: Option<String>) -> Self {
        Self { cursor, limit }
    }

    pub(super) fn page(&self) -> Result<Page, Refusal> {
        let behind = self.cursor.as_deref().map(read).transpose()?;
        let limit = page_limit(self.limit.as_deref(), USUAL, MOST)?;
        Ok(Page { behind, limit })
    }
}

/// A page that is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    behind: Option<u64>,
    limit: usize,
}

impl Page {
    /// What the store is asked for: one more than the page has, which tells whether there is another page.
    pub(super) fn part(self) -> Part {
        let most = u32::try_from(self.limit).unwrap_or(u32::MAX);
        Part {
            behind: self.behind,
            most: most.saturating_add(1),
        }
    }

    /// What was found as the page, with the cursor to go on with.
    pub(super) fn cut<T>(
        self,
        mut found: Vec<T>,
        number: impl Fn(&T) -> u64,
    ) -> (Vec<T>, Option<String>) {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| format!("k{}", number(last)));
        (found, next)
    }
}

fn read(text: &str) -> Result<u64, Refusal> {
    let digits = text.strip_prefix('k');
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Refusal::bad("cursor is not one of ours; take `next` as it is"))
}

fn page_limit(text: Option<&str>, usual: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = text else { return Ok(usual) };
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let limit = plain.then(|| text.parse().ok()).flatten();
    limit
        .filter(|limit| (1..=most).contains(limit))
        .ok_or_else(|| Refusal::bad(format!("limit is a number from 1 to {most}")))
}
