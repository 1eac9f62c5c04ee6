//! The settlement file of a business date: for each account what it gets, line by line and in sums.
//!
//! It is written from the read model as of one journal group, which it names: adding up the journal to that
//! group gives the same, to the cent.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::inquiry::{AccountName, Inquiry, InquiryError};
use super::payouts::Payouts;
use super::transactions::{Format, Money, Transaction, as_value, record_of, shown};
use super::when::{business_day, date, written};
use crate::base::{AccountId, Currency, Timestamp};
use crate::store::settlement::{Class, Tally, Totals};
use crate::store::{TransactionReader, TransactionRow};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Acquirer of the account, where several have one of that name.
    pub acquirer: Option<String>,
    /// The acquirer's reference of the account; all when absent.
    pub account: Option<String>,
    /// `json` or `csv`.
    pub format: Option<String>,
    /// `none` leaves the lines out and gives the sums only.
    pub lines: Option<String>,
    /// A journal group, as an earlier file names it: only what changed after that.
    pub since: Option<String>,
}

/// Columns of the CSV form. A record is a `transaction`, or a `total` of those above it that have its account,
/// currency and class; the last one is the `end`, which names the journal group and proves that nothing is
/// cut off.
pub const COLUMNS: [&str; 22] = [
    "record",
    "date",
    "acquirer",
    "account_id",
    "currency",
    "class",
    "count",
    "amount",
    "amount_minor",
    "transaction",
    "accepted_at",
    "terminal_id",
    "merchant_id",
    "request",
    "card",
    "batch",
    "stan",
    "rrn",
    "approval_code",
    "state",
    "pay_to",
    "journal_group",
];

/// Where the account that gets the money stands: behind it comes the journal group only.
const PAY_TO: usize = COLUMNS.len() - 2;

/// The settlement file of a date as JSON. It is written while it is read, so that nothing has all of it at once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettlementFile {
    /// Local date
    date: String,
    /// The date's first moment; local time with its offset
    from: String,
    /// The moment behind its last; local time with its offset
    to: String,
    accounts: Vec<SettledAccount>,
    /// Of all accounts together, by currency
    totals: Vec<SettledTotals>,
    /// The journal group up to which it was read
    journal_group: u64,
}

/// An account in a settlement file.
#[derive(Debug, Serialize, ToSchema)]
struct SettledAccount {
    acquirer: String,
    /// The acquirer's reference
    account_id: String,
    /// The account that gets the money; null when nobody can be paid
    pay_to: Option<String>,
    /// Left out where no lines are asked for
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<SettledTransaction>>,
    /// By currency
    totals: Vec<SettledTotals>,
}

/// A transaction in a settlement file.
#[derive(Debug, Serialize, ToSchema)]
struct SettledTransaction {
    #[serde(flatten)]
    transaction: Transaction,
    /// sales, voids, refunds, released, held, unpayable, suspense or reversed
    class: &'static str,
    /// What counts of it
    counts: Money,
}

/// Sums in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct SettledTotals {
    /// As in DE49
    currency: String,
    /// What is paid out now: sales, voids, refunds and what is released
    net: SettledSum,
    sales: SettledSum,
    voids: SettledSum,
    refunds: SettledSum,
    /// It was held on an earlier day, and this one pays it
    released: SettledSum,
    /// Its payout waits: the day of its release pays it
    held: SettledSum,
    /// There is nobody whom it could be paid to
    unpayable: SettledSum,
    /// Its outcome is not known yet
    suspense: SettledSum,
    /// It was undone
    reversed: SettledSum,
}

/// How many, and how much.
#[derive(Debug, Serialize, ToSchema)]
struct SettledSum {
    count: u64,
    amount: Money,
}

impl SettledTotals {
    fn of(currency: &str, totals: &Totals) -> Self {
        let sum = |tally: Tally| SettledSum {
            count: tally.count,
            amount: Money::of(tally.minor, currency),
        };
        let of = |class: Class| sum(totals.of(class));
        Self {
            currency: currency.to_owned(),
            net: sum(totals.net()),
            sales: of(Class::Sale),
            voids: of(Class::Void),
            refunds: of(Class::Refund),
            released: of(Class::Released),
            held: of(Class::Held),
            unpayable: of(Class::Unpayable),
            suspense: of(Class::Suspense),
            reversed: of(Class::Reversed),
        }
    }
}

/// Sums by currency.
type ByCurrency = BTreeMap<String, Totals>;

impl Asked {
    /// How it is to be written.
    ///
    /// # Errors
    /// When it is no format.
    pub fn format(&self) -> Result<Option<Format>, InquiryError> {
        self.format.as_deref().map(Format::parse).transpose()
    }

    fn with_lines(&self) -> Result<bool, InquiryError> {
        match self.lines.as_deref() {
            None => Ok(true),
            Some("none") => Ok(false),
            Some(_) => Err(InquiryError::Bad("lines can only be none".into())),
        }
    }

    fn after_group(&self) -> Result<u64, InquiryError> {
        let Some(text) = &self.since else {
            return Ok(0);
        };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let wrong = || InquiryError::Bad("since is the number of a journal group".into());
        digits
            .then(|| text.parse().ok())
            .flatten()
            .ok_or_else(wrong)
    }

    /// The question as the part of an address after `?`.
    #[must_use]
    pub fn address(&self) -> String {
        let set = [
            ("acquirer", &self.acquirer),
            ("account", &self.account),
            ("format", &self.format),
            ("lines", &self.lines),
            ("since", &self.since),
        ];
        let pairs = set.into_iter().filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", super::escaped(value)))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Writes the file of a date, from a read model that shows the journal at least to that group: what was
/// durable when the question came has to be in the answer.
///
/// # Errors
/// When it is not asked right, the read model lacks something that is durable, or the store or the writer
/// fails. What was written by then is no settlement file.
pub fn write(
    inquiry: &mut Inquiry,
    day: &str,
    asked: &Asked,
    format: Format,
    up_to: u64,
    out: &mut dyn Write,
) -> Result<(), InquiryError> {
    let times = business_day(date(day).map_err(InquiryError::Bad)?, &inquiry.zone)
        .map_err(InquiryError::Bad)?;
    let acquirer = match &asked.acquirer {
        Some(name) => Some(inquiry.acquirer_named(name)?),
        None => None,
    };
    let account = match &asked.account {
        Some(reference) => Some(inquiry.account_named(acquirer, reference)?),
        None => None,
    };
    let since = asked.after_group()?;
    let groups = up_to.saturating_sub(inquiry.reader.mark()?);
    if groups > 0 {
        return Err(InquiryError::Behind { groups });
    }
    let mut writer: Box<dyn Form + '_> = match format {
        Format::Json => Box::new(Json::new(out, day, asked.with_lines()?)),
        Format::Csv => Box::new(Lines::new(out, day, asked.with_lines()?)),
    };
    writer.begin(inquiry, &times)?;
    let mark = each_account(inquiry, times, account, since, writer.as_mut())?;
    writer.end(mark)
}

/// Gives the form every transaction that counts, account by account, and each account's sums.
fn each_account(
    inquiry: &mut Inquiry,
    times: Range<Timestamp>,
    account: Option<AccountId>,
    since: u64,
    form: &mut dyn Form,
) -> Result<u64, InquiryError> {
    // Names are looked up while rows are read: the reader is borrowed apart.
    let mut reader = inquiry.another_reader()?;
    let mut payouts = Payouts::of(inquiry, times.clone())?;
    let earlier = payouts.released(inquiry, account)?;
    let mut open: Option<Open> = None;
    let mut failed = None;
    let mark = reader.money_of(times, account, &earlier, &mut |row| {
        if row.groups.last().is_some_and(|last| *last <= since) {
            return true;
        }
        failed = take_row(inquiry, &mut payouts, &mut open, &row, form).err();
        failed.is_none()
    })?;
    if let Some(problem) = failed {
        return Err(problem);
    }
    if let Some(Open { name, sums, .. }) = open {
        form.account_ends(&name, &sums)?;
    }
    Ok(mark)
}

fn take_row(
    inquiry: &mut Inquiry,
    payouts: &mut Payouts,
    open: &mut Option<Open>,
    row: &TransactionRow,
    form: &mut dyn Form,
) -> Result<(), InquiryError> {
    let Some((class, minor)) = Class::of(row) else {
        return Ok(());
    };
    let Some(payout) = payouts.payout(inquiry, row)? else {
        return Ok(());
    };
    let class = class.with(payout);
    if let Some(Open { name, sums, .. }) = open.take_if(|open| open.number != row.account) {
        form.account_ends(&name, &sums)?;
    }
    let open = match open {
        Some(open) => open,
        None => {
            let name = inquiry.account(AccountId(row.account))?;
            let pay_to = inquiry.registry.payee(AccountId(row.account))?;
            form.account_begins(&name, pay_to.as_deref())?;
            open.insert(Open {
                number: row.account,
                name,
                is_paid: pay_to.is_some(),
                sums: ByCurrency::new(),
            })
        }
    };
    let class = if open.is_paid {
        class
    } else {
        class.without_payee()
    };
    let Open { name, sums, .. } = open;
    let sum = sums.entry(row.currency.clone()).or_default();
    sum.add(class, minor);
    form.line(inquiry, name, row, class, minor)
}

/// The account that is being written.
struct Open {
    number: u32,
    name: AccountName,
    /// Whether anybody can be paid.
    is_paid: bool,
    sums: ByCurrency,
}

/// A way to write the file.
trait Form {
    fn begin(&mut self, inquiry: &Inquiry, times: &Range<Timestamp>) -> Result<(), InquiryError>;
    /// `pay_to` is the account that gets its money; none when nobody can be paid.
    fn account_begins(
        &mut self,
        name: &AccountName,
        pay_to: Option<&str>,
    ) -> Result<(), InquiryError>;
    fn line(
        &mut self,
        inquiry: &mut Inquiry,
        name: &AccountName,
        row: &TransactionRow,
        class: Class,
        minor: i128,
    ) -> Result<(), InquiryError>;
    fn account_ends(&mut self, name: &AccountName, sums: &ByCurrency) -> Result<(), InquiryError>;
    fn end(&mut self, mark: u64) -> Result<(), InquiryError>;
}

/// One JSON document, written as it is read.
struct Json<'w> {
    out: &'w mut dyn Write,
    day: String,
    with_lines: bool,
    accounts: u64,
    lines: u64,
    all: ByCurrency,
}

impl<'w> Json<'w> {
    fn new(out: &'w mut dyn Write, day: &str, with_lines: bool) -> Self {
        Self {
            out,
            day: day.to_owned(),
            with_lines,
            accounts: 0,
            lines: 0,
            all: ByCurrency::new(),
        }
    }
}

impl Form for Json<'_> {
    fn begin(&mut self, inquiry: &Inquiry, times: &Range<Timestamp>) -> Result<(), InquiryError> {
        let from = json!(written(times.start, &inquiry.zone));
        let to = json!(written(times.end, &inquiry.zone));
        let date = json!(self.day);
        write!(
            self.out,
            "{{\"date\":{date},\"from\":{from},\"to\":{to},\"accounts\":["
        )?;
        Ok(())
    }

    fn account_begins(
        &mut self,
        name: &AccountName,
        pay_to: Option<&str>,
    ) -> Result<(), InquiryError> {
        let comma = if self.accounts > 0 { "," } else { "" };
        self.accounts += 1;
        self.lines = 0;
        let (acquirer, account) = (json!(name.acquirer), json!(name.reference));
        let pay_to = json!(pay_to);
        let lines = if self.with_lines {
            ",\"transactions\":["
        } else {
            ""
        };
        write!(
            self.out,
            "{comma}\n{{\"acquirer\":{acquirer},\"account_id\":{account},\"pay_to\":{pay_to}{lines}"
        )?;
        Ok(())
    }

    fn line(
        &mut self,
        inquiry: &mut Inquiry,
        _name: &AccountName,
        row: &TransactionRow,
        class: Class,
        minor: i128,
    ) -> Result<(), InquiryError> {
        if !self.with_lines {
            return Ok(());
        }
        let comma = if self.lines > 0 { "," } else { "" };
        self.lines += 1;
        let line = as_value(SettledTransaction {
            transaction: shown(inquiry, row)?,
            class: class.name(),
            counts: Money::of(minor, &row.currency),
        });
        write!(self.out, "{comma}\n{line}")?;
        Ok(())
    }

    fn account_ends(&mut self, _name: &AccountName, sums: &ByCurrency) -> Result<(), InquiryError> {
        for (currency, totals) in sums {
            self.all
                .entry(currency.clone())
                .or_default()
                .add_all(totals);
        }
        let close = if self.with_lines { "]" } else { "" };
        write!(self.out, "{close},\"totals\":{}}}", sums_shown(sums))?;
        Ok(())
    }

    fn end(&mut self, mark: u64) -> Result<(), InquiryError> {
        let all = sums_shown(&self.all);
        writeln!(self.out, "\n],\"totals\":{all},\"journal_group\":{mark}}}")?;
        Ok(())
    }
}

fn sums_shown(sums: &ByCurrency) -> Value {
    let shown = sums
        .iter()
        .map(|(currency, totals)| SettledTotals::of(currency, totals));
    as_value(shown.collect::<Vec<_>>())
}

/// Lines of CSV.
struct Lines<'w> {
    out: csv::Writer<&'w mut dyn Write>,
    day: String,
    with_lines: bool,
    pay_to: String,
}

impl<'w> Lines<'w> {
    fn new(out: &'w mut dyn Write, day: &str, with_lines: bool) -> Self {
        Self {
            out: csv::Writer::from_writer(out),
            day: day.to_owned(),
            with_lines,
            pay_to: String::new(),
        }
    }

    fn write(&mut self, record: &[&str]) -> Result<(), InquiryError> {
        let written = self.out.write_record(record).map_err(io::Error::from);
        Ok(written?)
    }
}

impl Form for Lines<'_> {
    fn begin(&mut self, _inquiry: &Inquiry, _times: &Range<Timestamp>) -> Result<(), InquiryError> {
        self.write(&COLUMNS)
    }

    fn account_begins(
        &mut self,
        _name: &AccountName,
        pay_to: Option<&str>,
    ) -> Result<(), InquiryError> {
        self.pay_to = pay_to.unwrap_or_default().to_owned();
        Ok(())
    }

    fn line(
        &mut self,
        inquiry: &mut Inquiry,
        name: &AccountName,
        row: &TransactionRow,
        class: Class,
        minor: i128,
    ) -> Result<(), InquiryError> {
        if !self.with_lines {
            return Ok(());
        }
        let all = record_of(inquiry, row)?;
        let of = |column: &str| {
            let at = super::transactions::COLUMNS
                .iter()
                .position(|c| *c == column);
            at.and_then(|at| all.get(at)).map_or("", String::as_str)
        };
        let day = self.day.clone();
        let (amount, exact) = (text_of(minor, &row.currency), minor.to_string());
        let mut record = vec!["transaction", &day, &name.acquirer, &name.reference];
        record.extend([&row.currency, class.name(), "1", &amount, &exact]);
        record.extend(COLUMNS.iter().skip(record.len()).map(|column| of(column)));
        let pay_to = self.pay_to.clone();
        record[PAY_TO] = &pay_to;
        self.write(&record)
    }

    fn account_ends(&mut self, name: &AccountName, sums: &ByCurrency) -> Result<(), InquiryError> {
        for (currency, totals) in sums {
            let classes = Class::ALL.map(|class| (class.name(), totals.of(class)));
            for (class, tally) in classes.into_iter().chain([("net", totals.net())]) {
                let day = self.day.clone();
                let (count, exact) = (tally.count.to_string(), tally.minor.to_string());
                let amount = text_of(tally.minor, currency);
                let mut record = vec!["total", &day, &name.acquirer, &name.reference, currency];
                record.extend([class, &count, &amount, &exact]);
                record.resize(COLUMNS.len(), "");
                let pay_to = self.pay_to.clone();
                record[PAY_TO] = &pay_to;
                self.write(&record)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, mark: u64) -> Result<(), InquiryError> {
        let day = self.day.clone();
        let mark = mark.to_string();
        let mut record = vec!["end", &day];
        record.resize(COLUMNS.len() - 1, "");
        record.push(&mark);
        self.write(&record)?;
        Ok(self.out.flush()?)
    }
}

fn text_of(minor: i128, currency: &str) -> String {
    let currency = Currency::from_slice(currency.as_bytes()).unwrap_or(Currency::NONE);
    currency.written(minor)
}
