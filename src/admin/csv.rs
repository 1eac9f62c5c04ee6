//! Terminals as CSV: the columns of import and export, and the checks of one line.

use std::collections::HashMap;
use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Terminator};

use crate::base::card::luhn;
use crate::base::document::nearest;
use crate::base::note::words;
use crate::base::{AcquirerId, Currency, MerchantId, TerminalId, limits};
use crate::binding::{AccountKind, AccountStatus, BindingState, Life, Limits, ReasonSet};
use crate::store::BindingRow;
use crate::store::registry::{BoundAccount, ImportLine, LineProblem};

/// Columns in the order an export writes them. The first four are needed in an import; `acquirer` only
/// when there are several.
pub const COLUMNS: [&str; 19] = [
    "acquirer",
    "terminal_id",
    "merchant_id",
    "account_id",
    "merchant_name",
    "mcc",
    "account_kind",
    "account_status",
    "serial",
    "state",
    "reasons",
    "version",
    "limit_currency",
    "limit_day_amount",
    "limit_day_count",
    "limit_month_amount",
    "limit_month_count",
    "other_accounts",
    "placement",
];

/// Where the limits begin.
const LIMITS: usize = 12;

/// Where accounts beside the first stand.
const OTHERS: usize = 17;

/// Where the place of the device stands.
const PLACEMENT: usize = 18;

/// Reads lines of an import one by one.
#[derive(Debug)]
pub struct Lines<R> {
    reader: csv::Reader<R>,
    record: StringRecord,
    /// Columns that the header names.
    columns: usize,
    place: [Option<usize>; COLUMNS.len()],
    acquirers: HashMap<String, AcquirerId>,
    only: Option<AcquirerId>,
    read: usize,
    ended: bool,
}

impl<R: Read> Lines<R> {
    /// Reads the header line.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn new(input: R, acquirers: Vec<(AcquirerId, String)>) -> Result<Self, Vec<LineProblem>> {
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::CRLF)
            .comment(Some(b'#'))
            .from_reader(input);
        let problem = |reason: String| LineProblem { line: 1, reason };
        let header = reader
            .headers()
            .map_err(|bad| vec![problem(format!("the header cannot be read: {bad}"))])?
            .clone();
        let mut place = [None; COLUMNS.len()];
        let mut problems = Vec::new();
        for (at, written) in header.iter().enumerate() {
            let written = written.trim().trim_start_matches('\u{feff}');
            match COLUMNS.iter().position(|known| *known == written) {
                Some(column) if place[column].is_none() => place[column] = Some(at),
                Some(_) => problems.push(problem(format!("column {written} is there twice"))),
                None => {
                    let hint = nearest(written, COLUMNS.into_iter()).map_or_else(
                        || format!("known: {}", COLUMNS.join(", ")),
                        |near| format!("did you mean {near}?"),
                    );
                    let shown = written.escape_debug().to_string();
                    problems.push(problem(format!("unknown column {shown}; {hint}")));
                }
            }
        }
        for (column, name) in COLUMNS.iter().enumerate().take(4).skip(1) {
            if place[column].is_none() {
                problems.push(problem(format!("column {name} is missing")));
            }
        }
        if place[0].is_none() && acquirers.len() != 1 {
            problems.push(problem(format!(
                "column acquirer is missing; it is needed because {} acquirers are configured",
                acquirers.len()
            )));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let only = acquirers
            .first()
            .filter(|_| acquirers.len() == 1)
            .map(|(id, _)| *id);
        let acquirers = acquirers.into_iter().map(|(id, name)| (name, id)).collect();
        let record = StringRecord::new();
        Ok(Self {
            reader,
            record,
            columns: header.len(),
            place,
            acquirers,
            only,
            read: 0,
            ended: false,
        })
    }

    fn column(&self, name: usize) -> &str {
        self.place[name]
            .and_then(|at| self.record.get(at))
            .unwrap_or_default()
            .trim()
    }

    fn line(&self, line: u64) -> Result<ImportLine, String> {
        let surplus = self.record.iter().skip(self.columns);
        if surplus.clone().any(|value| !value.trim().is_empty()) {
            return Err(format!(
                "{} values for {} columns; put a value that has a comma in it in quotes",
                self.record.len(),
                self.columns
            ));
        }
        let id = |problem: crate::base::ids::IdError| problem.to_string();
        let acquirer = match (self.column(0), self.only) {
            ("", Some(only)) => only,
            ("", None) => return Err("acquirer is empty".into()),
            (name, _) => *self.acquirers.get(name).ok_or_else(|| {
                format!("no acquirer {}: no listener names it", name.escape_debug())
            })?,
        };
        let account = self.column(3);
        check_account(account)?;
        let word = |at: usize, default: &'static str| match self.column(at) {
            "" => default.to_owned(),
            written => written.to_owned(),
        };
        let kind = word(6, "bank-card");
        if AccountKind::from_name(&kind).is_none() {
            return Err(one_of(
                "account_kind",
                AccountKind::ALL.iter().map(|kind| kind.name()),
            ));
        }
        let status = word(7, "verified");
        let account_status = AccountStatus::from_name(&status).ok_or_else(|| {
            one_of(
                "account_status",
                AccountStatus::ALL.iter().map(|s| s.name()),
            )
        })?;
        let state = match self.column(9) {
            "" => None,
            word => Some(
                BindingState::from_name(word)
                    .ok_or_else(|| one_of("state", BindingState::ALL.iter().map(|s| s.name())))?,
            ),
        };
        let reasons = ReasonSet::parse(self.column(10))
            .ok_or("reasons must be words joined by +, as in phone+account")?;
        if !Life::fits(state.unwrap_or(BindingState::Active), reasons) {
            return Err(
                "state re-pending needs reasons; suspended and unbinding may have some, other states have none"
                    .into(),
            );
        }
        let mcc = self.column(5);
        if !(mcc.is_empty() || mcc.len() == 4 && mcc.bytes().all(|b| b.is_ascii_digit())) {
            return Err("mcc must be four digits".into());
        }
        Ok(ImportLine {
            line,
            acquirer,
            terminal: TerminalId::parse(self.column(1)).map_err(id)?,
            merchant: MerchantId::parse(self.column(2)).map_err(id)?,
            merchant_name: short("merchant_name", self.column(4), 120)?,
            mcc: mcc.into(),
            account: account.into(),
            account_kind: kind.into(),
            account_status,
            serial: short("serial", self.column(8), 50)?,
            state,
            reasons,
            limits: self.limits()?,
            others: self.others()?,
            placement: self.placement()?,
        })
    }

    /// Accounts of other kinds, as in `wechat=W-1+alipay=A-1:frozen`.
    fn others(&self) -> Result<Vec<BoundAccount>, String> {
        let words = self.column(OTHERS).split('+').map(str::trim);
        let words = words.filter(|word| !word.is_empty());
        words.map(other).collect()
    }

    /// Where the device stands: a person's words, that are kept for good.
    fn placement(&self) -> Result<Box<str>, String> {
        let text = self.column(PLACEMENT);
        if !text.is_empty() {
            words("placement", text).map_err(|wrong| wrong.to_string())?;
        }
        Ok(text.into())
    }

    /// What the terminal may take; nothing is said where all of it is empty.
    fn limits(&self) -> Result<Option<Limits>, String> {
        let number = |at: usize| match self.column(at) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_no_number| format!("{} must be a whole number", COLUMNS[at])),
        };
        let currency = match self.column(LIMITS) {
            "" => Currency::NONE,
            text => Currency::from_slice(text.as_bytes())
                .ok_or("limit_currency must be three digits, as 156 for the yuan")?,
        };
        let limits = Limits {
            currency,
            day_amount: number(LIMITS + 1)?,
            day_count: number(LIMITS + 2)?,
            month_amount: number(LIMITS + 3)?,
            month_count: number(LIMITS + 4)?,
        };
        if limits.has_amounts() && currency == Currency::NONE {
            return Err("limits of amounts need limit_currency, as 156 for the yuan".into());
        }
        Ok((!limits.is_empty()).then_some(limits))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<ImportLine, LineProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.reader.read_record(&mut self.record);
        let line = self.record.position().map_or(0, csv::Position::line);
        match read {
            Ok(false) => None,
            Ok(true) => {
                self.read += 1;
                if self.read > limits::IMPORT_LINES_MAX {
                    self.ended = true;
                    let reason = format!(
                        "more than {} lines; split the file",
                        limits::IMPORT_LINES_MAX
                    );
                    return Some(Err(LineProblem { line, reason }));
                }
                Some(
                    self.line(line)
                        .map_err(|reason| LineProblem { line, reason }),
                )
            }
            Err(bad) => {
                // What is not UTF-8 is one bad line; a broken stream ends the reading.
                self.ended = matches!(bad.kind(), csv::ErrorKind::Io(_));
                let line = bad.position().map_or(line, csv::Position::line);
                let reason = match bad.kind() {
                    csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".to_owned(),
                    _ => "the line cannot be read".to_owned(),
                };
                Some(Err(LineProblem { line, reason }))
            }
        }
    }
}

/// An account beside the first: its kind, its reference, and its status where it is new and not verified.
fn other(word: &str) -> Result<BoundAccount, String> {
    const WANT: &str = "other_accounts must be kinds with references, as in wechat=W-1+alipay=A-1";
    let (kind, named) = word.split_once('=').ok_or(WANT)?;
    AccountKind::from_name(kind).ok_or(WANT)?;
    let (reference, status) = named.split_once(':').unwrap_or((named, "verified"));
    check_account(reference).map_err(|problem| format!("other_accounts: {problem}"))?;
    let status = AccountStatus::from_name(status).ok_or_else(|| {
        one_of(
            "other_accounts: the status",
            AccountStatus::ALL.iter().map(|s| s.name()),
        )
    })?;
    Ok(BoundAccount {
        reference: reference.to_owned(),
        kind: kind.to_owned(),
        status,
    })
}

fn one_of(what: &str, words: impl Iterator<Item = &'static str>) -> String {
    format!(
        "{what} must be one of {}",
        words.collect::<Vec<_>>().join(", ")
    )
}

fn short(what: &str, text: &str, most: usize) -> Result<Box<str>, String> {
    if text.chars().count() > most {
        return Err(format!("{what} has more than {most} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} holds a control character"));
    }
    Ok(text.into())
}

/// An account is named by the acquirer's own reference. A card number is refused: it would be stored in
/// the clear.
fn check_account(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > 34 {
        return Err("account_id must have 1 to 34 characters".into());
    }
    if !bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(b))
    {
        return Err("account_id may hold letters, digits and -_./".into());
    }
    if (13..=19).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) && luhn(bytes) {
        return Err(
            "account_id looks like a card number; use your own reference of the account".into(),
        );
    }
    Ok(())
}

/// One terminal as a line of an export, which an import reads back.
#[must_use]
pub fn export_record(row: &BindingRow, acquirer: &str) -> [String; COLUMNS.len()] {
    let number = |most: Option<u64>| most.map_or_else(String::new, |most| most.to_string());
    let currency = if row.limits.is_empty() {
        String::new()
    } else {
        row.limits.currency.to_string()
    };
    let others: Vec<_> = row
        .others
        .iter()
        .map(|other| {
            let BoundAccount {
                reference,
                kind,
                status,
            } = other;
            let status = if status.is_usable() {
                String::new()
            } else {
                format!(":{status}")
            };
            format!("{kind}={reference}{status}")
        })
        .collect();
    [
        acquirer.to_owned(),
        row.key.terminal.to_string(),
        row.admission.merchant.to_string(),
        row.account.clone(),
        row.merchant_name.clone(),
        row.mcc.clone(),
        row.account_kind.clone(),
        row.account_status.name().to_owned(),
        row.serial.clone(),
        row.admission.state.name().to_owned(),
        row.admission.reasons.to_string(),
        row.admission.version.to_string(),
        currency,
        number(row.limits.day_amount),
        number(row.limits.day_count),
        number(row.limits.month_amount),
        number(row.limits.month_count),
        others.join("+"),
        row.placement.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<Result<ImportLine, LineProblem>>, Vec<LineProblem>> {
        let acquirers = vec![(AcquirerId(1), "acme".to_owned())];
        Lines::new(text.as_bytes(), acquirers).map(Iterator::collect)
    }

    fn reasons(text: &str) -> Vec<(u64, String)> {
        match lines(text) {
            Ok(all) => all
                .into_iter()
                .filter_map(Result::err)
                .map(|p| (p.line, p.reason))
                .collect(),
            Err(problems) => problems.into_iter().map(|p| (p.line, p.reason)).collect(),
        }
    }

    #[test]
    fn three_columns_are_enough() {
        let all = lines("terminal_id,merchant_id,account_id\nT1,M1,A1\n").unwrap();
        let line = all[0].as_ref().unwrap();
        assert_eq!(
            (line.line, line.acquirer, line.state),
            (2, AcquirerId(1), None)
        );
        assert_eq!(line.account_status, AccountStatus::Verified);
    }

    #[test]
    fn every_bad_line_has_its_number_and_reason() {
        let text = "terminal_id,merchant_id,account_id,state,reasons\n\
                    T1,M1,A1,active,\n\
                    123456789,M1,A1,,\n\
                    T2,M1,4761739001010010,,\n\
                    T3,M1,A1,re-pending,\n\
                    T4,M1,A1,asleep,\n\
                    T5,M1,,,\n\
                    T8,M1,A1,suspended,phone\n\
                    T9,M1,A1,active,phone\n\
                    T6,M1,A1,active,,,\n\
                    T7,M1,A1,active,,Shop, Ltd\n";
        let found = reasons(text);
        let numbers: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 7, 9, 11]);
        assert_eq!(
            found[0].1,
            "terminal id has 9 characters, 1 to 8 are allowed"
        );
        assert!(found[1].1.contains("looks like a card number"));
        assert!(
            found
                .iter()
                .all(|(_, reason)| !reason.contains("4761739001010010"))
        );
    }

    #[test]
    fn accounts_of_other_kinds_stand_in_one_column() {
        let header = "terminal_id,merchant_id,account_id,other_accounts\n";
        let all = lines(&format!(
            "{header}T1,M1,A1,wechat=W-1+alipay=L/1:frozen\nT2,M1,A1,\n"
        ));
        let all: Vec<_> = all.unwrap().into_iter().map(Result::unwrap).collect();
        let other = |kind: &str, reference: &str, status| BoundAccount {
            reference: reference.into(),
            kind: kind.into(),
            status,
        };
        let expect = [
            other("wechat", "W-1", AccountStatus::Verified),
            other("alipay", "L/1", AccountStatus::Frozen),
        ];
        assert_eq!(all[0].others, expect);
        assert!(all[1].others.is_empty());
        let bad = reasons(&format!(
            "{header}T1,M1,A1,W-1\nT2,M1,A1,cash=C-1\nT3,M1,A1,wechat=W-1:gone\nT4,M1,A1,wechat=\n\
             T5,M1,A1,wechat=4761739001010010\n"
        ));
        assert_eq!(bad.len(), 5, "{bad:?}");
        assert!(bad[0].1.contains("wechat=W-1+alipay=A-1"));
        assert!(bad[2].1.contains("the status must be one of"));
        assert!(!bad[4].1.contains("4761739001010010"));
    }

    #[test]
    fn a_place_is_a_persons_words() {
        let header = "terminal_id,merchant_id,account_id,placement\n";
        let all = lines(&format!(
            "{header}T1,M1,A1,\"1 Long Street, Springfield\"\nT2,M1,A1,\n"
        ));
        let all: Vec<_> = all.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(&*all[0].placement, "1 Long Street, Springfield");
        assert_eq!(&*all[1].placement, "");
        let bad = reasons(&format!("{header}T1,M1,A1,beside 4761739001010010\n"));
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(!bad[0].1.contains("4761739001010010"));
    }

    #[test]
    fn header_mistakes_come_together() {
        let found = reasons("terminal,merchant_id,state,state\n");
        let texts: Vec<_> = found.iter().map(|(_, reason)| reason.as_str()).collect();
        assert!(
            texts
                .iter()
                .any(|t| t.starts_with("unknown column terminal;")),
            "{texts:?}"
        );
        assert!(texts.contains(&"column state is there twice"));
        assert!(texts.contains(&"column terminal_id is missing"));
        assert!(texts.contains(&"column account_id is missing"));
    }

    #[test]
    fn bytes_that_are_not_text_are_one_bad_line() {
        let mut text =
            b"terminal_id,merchant_id,account_id\nT1,M1,A1\nT\xff2,M1,A1\nT3,M1,A1\n".to_vec();
        text.push(b'\n');
        let acquirers = vec![(AcquirerId(1), "acme".to_owned())];
        let all: Vec<_> = Lines::new(text.as_slice(), acquirers).unwrap().collect();
        assert_eq!(all.iter().filter(|line| line.is_ok()).count(), 2);
        assert_eq!(all[1].as_ref().unwrap_err().line, 3);
    }
}
