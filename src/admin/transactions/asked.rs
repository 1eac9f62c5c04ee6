//! A question for transactions as text, as it stands in an address and in a command.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::admin::inquiry::{Inquiry, InquiryError};
use crate::admin::when::Bound;
use crate::base::ids::IdError;
use crate::base::{BatchNumber, BindingId, MerchantId, Stan, TerminalId, limits};
use crate::store::OutcomeKind;
use crate::store::read_model::{Cursor, Query, QueryState};

/// What is asked for; all of it has to fit. Names are those of the API's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Acquirer's name.
    pub acquirer: Option<String>,
    /// DE41.
    pub terminal: Option<String>,
    /// DE42.
    pub merchant: Option<String>,
    /// The acquirer's reference of the settlement account.
    pub account: Option<String>,
    /// Number of the binding that admitted it, open or closed.
    pub binding: Option<String>,
    /// DE37.
    pub rrn: Option<String>,
    /// The terminal's STAN.
    pub stan: Option<String>,
    /// Batch.
    pub batch: Option<String>,
    /// `open`, `approved`, `declined`, `reversal-owed`, `reversed`, `expired`,
    /// `repeat-owed`, `parked` or `closed`.
    pub state: Option<String>,
    /// Name of the request in its dialect.
    pub request: Option<String>,
    /// Least amount in minor units.
    pub amount_min: Option<String>,
    /// Most amount in minor units.
    pub amount_max: Option<String>,
    /// Accepted then or later; see [`Bound`].
    pub from: Option<String>,
    /// Accepted before then; see [`Bound`].
    pub to: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Transactions of a page.
    pub limit: Option<String>,
    /// `json` or `csv`.
    pub format: Option<String>,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// Lines with commas, a header first.
    Csv,
}

impl Format {
    /// Reads `json` or `csv`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InquiryError> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            other => {
                let other = other.escape_debug();
                let told = format!("format is json or csv, not {other}");
                Err(InquiryError::Bad(told))
            }
        }
    }
}

impl Asked {
    /// What the read model is asked.
    ///
    /// # Errors
    /// The first thing that cannot be read, or names what is not there.
    pub fn query(&self, inquiry: &mut Inquiry) -> Result<Query, InquiryError> {
        let id = |bad: IdError| InquiryError::Bad(bad.to_string());
        let acquirer = match &self.acquirer {
            Some(name) => Some(inquiry.acquirer_named(name)?),
            None => None,
        };
        let account = match &self.account {
            Some(reference) => Some(inquiry.account_named(acquirer, reference)?),
            None => None,
        };
        let binding = number("binding", &self.binding, |n| Some(BindingId(n)))?;
        // Its transactions are looked up by its terminal: the read model posts no bindings.
        let of_binding = match binding {
            Some(binding) => Some(inquiry.binding_numbered(binding)?),
            None => None,
        };
        let terminal = match (&self.terminal, of_binding) {
            (Some(text), _) => Some(TerminalId::parse(text)),
            (None, Some(key)) => Some(Ok(key.terminal)),
            (None, None) => None,
        };
        let acquirer = acquirer.or_else(|| of_binding.map(|key| key.acquirer));
        let merchant = self.merchant.as_deref().map(MerchantId::parse);
        let zone = &inquiry.zone;
        let time = |bound: Bound, text: &Option<String>| {
            let read = text.as_deref().map(|text| bound.parse(text, zone));
            read.transpose().map_err(InquiryError::Bad)
        };
        let (from, to) = (time(Bound::From, &self.from)?, time(Bound::To, &self.to)?);
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(InquiryError::Bad("from is not before to".into()));
        }
        Ok(Query {
            acquirer,
            terminal: terminal.transpose().map_err(id)?,
            merchant: merchant.transpose().map_err(id)?,
            account,
            binding,
            rrn: self.rrn.clone(),
            approval_code: None,
            stan: number("stan", &self.stan, |n| Stan::new(u32::try_from(n).ok()?))?,
            batch: number("batch", &self.batch, |n| {
                BatchNumber::new(u32::try_from(n).ok()?)
            })?,
            state: self.state.as_deref().map(state).transpose()?,
            request: self.request.clone(),
            amount_min: number("amount_min", &self.amount_min, minor)?,
            amount_max: number("amount_max", &self.amount_max, minor)?,
            from,
            to,
        })
    }

    /// Where the page before ended.
    ///
    /// # Errors
    /// When it is no cursor.
    pub fn cursor(&self) -> Result<Option<Cursor>, InquiryError> {
        let wrong = || InquiryError::Bad("cursor is not one of ours; take `next` as it is".into());
        let read = self.cursor.as_deref().map(Cursor::parse);
        read.map(|cursor| cursor.ok_or_else(wrong)).transpose()
    }

    /// How many are wanted.
    ///
    /// # Errors
    /// When it is out of bounds.
    pub fn limit(&self) -> Result<Option<usize>, InquiryError> {
        let most = limits::QUERY_PAGE_MAX;
        let within = |n| usize::try_from(n).ok().filter(|n| (1..=most).contains(n));
        number("limit", &self.limit, within)
            .map_err(|_wrong| InquiryError::Bad(format!("limit is a number from 1 to {most}")))
    }

    /// How the answer is to be written, if the question says so.
    ///
    /// # Errors
    /// When it is no format.
    pub fn format(&self) -> Result<Option<Format>, InquiryError> {
        self.format.as_deref().map(Format::parse).transpose()
    }

    /// The question as the part of an address after `?`.
    #[must_use]
    pub fn address(&self) -> String {
        let set: [(&str, &Option<String>); 17] = [
            ("acquirer", &self.acquirer),
            ("terminal", &self.terminal),
            ("merchant", &self.merchant),
            ("account", &self.account),
            ("binding", &self.binding),
            ("rrn", &self.rrn),
            ("stan", &self.stan),
            ("batch", &self.batch),
            ("state", &self.state),
            ("request", &self.request),
            ("amount_min", &self.amount_min),
            ("amount_max", &self.amount_max),
            ("from", &self.from),
            ("to", &self.to),
            ("cursor", &self.cursor),
            ("limit", &self.limit),
            ("format", &self.format),
        ];
        let pairs = set.into_iter().filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", crate::admin::escaped(value)))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn number<T>(
    what: &str,
    text: &Option<String>,
    within: impl FnOnce(u64) -> Option<T>,
) -> Result<Option<T>, InquiryError> {
    let Some(text) = text else { return Ok(None) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let value = digits.then(|| text.parse().ok()).flatten().and_then(within);
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(InquiryError::Bad(format!(
            "{what} cannot be {}",
            text.escape_debug()
        ))),
    }
}

/// Minor units that an amount can have.
fn minor(value: u64) -> Option<u64> {
    (value <= crate::base::Amount::MAX_MINOR).then_some(value)
}

fn state(name: &str) -> Result<QueryState, InquiryError> {
    if name == "open" {
        return Ok(QueryState::Open);
    }
    let known = OutcomeKind::from_name(name).map(QueryState::Ended);
    known.ok_or_else(|| {
        let told = "state is open, approved, declined, reversal-owed, reversed, repeat-owed, expired, parked or closed";
        InquiryError::Bad(told.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(set: impl FnOnce(&mut Asked)) -> Asked {
        let mut asked = Asked::default();
        set(&mut asked);
        asked
    }

    #[test]
    fn an_address_says_everything_and_hides_what_would_end_it() {
        let question = asked(|a| {
            a.account = Some("A/1&limit=9".into());
            a.from = Some("2026-11-22T10:00:00+08:00".into());
            a.limit = Some("5".into());
        });
        assert_eq!(
            question.address(),
            "account=A%2F1%26limit%3D9&from=2026-11-22T10%3A00%3A00%2B08%3A00&limit=5"
        );
        let every = serde_json::to_value(Asked::default()).unwrap();
        let names: Vec<_> = every.as_object().unwrap().keys().cloned().collect();
        let set: serde_json::Map<_, _> = names.iter().map(|k| (k.clone(), "1".into())).collect();
        let all: Asked = serde_json::from_value(set.into()).unwrap();
        assert_eq!(all.address().split('&').count(), names.len());
    }

    #[test]
    fn bounds_are_refused_not_clamped() {
        let refused = |asked: Asked| asked.limit().is_err() || asked.cursor().is_err();
        assert!(refused(asked(|a| a.limit = Some("0".into()))));
        assert!(refused(asked(|a| a.limit = Some("1001".into()))));
        assert!(refused(asked(|a| a.limit = Some("+1".into()))));
        assert!(refused(asked(|a| a.cursor = Some("x".into()))));
        assert!(!refused(asked(|a| a.limit = Some("1000".into()))));
        assert!(
            number("stan", &Some("1000000".into()), |n| Stan::new(
                u32::try_from(n).ok()?
            ))
            .is_err()
        );
        assert!(number("amount_min", &Some("1000000000000".into()), minor).is_err());
        assert!(state("asleep").is_err());
    }
}
