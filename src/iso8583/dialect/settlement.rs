//! Reads `[settlement]`: where the totals of a batch and the lines of an upload stand.

use crate::base::document::Section;
use crate::base::{BatchLine, BatchResult, BatchTotals, MaskedPan, Stan, Sum};
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::message::Message;
use crate::iso8583::request::{Request, Served, Uploads};

use super::table::{FieldType, Table};

/// Digits of a layout: from where in it, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    from: usize,
    count: usize,
}

impl Place {
    fn number(self, message: &Message<'_>, field: u8, base: usize) -> Option<u64> {
        let from = base.checked_add(self.from)?;
        message.slice(field, from, self.count)?.number()
    }
}

/// Where totals and lines of a batch stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementRules {
    field: u8,
    blocks: usize,
    block: Block,
    results: [u8; BatchResult::ALL.len()],
    lines: Option<Lines>,
}

/// One set of totals.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    debit_amount: Place,
    debit_count: Place,
    credit_amount: Place,
    credit_count: Place,
    result: Place,
    digits: usize,
}

/// Uploaded lines: their number, then one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lines {
    field: u8,
    count_digits: usize,
    stan: Place,
    pan: Place,
    amount: Place,
    digits: usize,
}

impl SettlementRules {
    /// The field that holds the totals.
    #[must_use]
    pub const fn field(&self) -> u8 {
        self.field
    }

    /// The totals that a request claims, one for each block. `None` when they are not where they should be.
    #[must_use]
    pub fn claimed(&self, message: &Message<'_>) -> Option<Vec<BatchTotals>> {
        let block = &self.block;
        let whole = block.digits.checked_mul(self.blocks)?;
        if message.length(self.field) != Some(whole) {
            return None;
        }
        let one = |at: usize| {
            let base = block.digits.checked_mul(at)?;
            let number = |place: Place| place.number(message, self.field, base);
            Some(BatchTotals {
                debit: Sum {
                    count: number(block.debit_count)?,
                    minor: number(block.debit_amount)?,
                },
                credit: Sum {
                    count: number(block.credit_count)?,
                    minor: number(block.credit_amount)?,
                },
            })
        };
        (0..self.blocks).map(one).collect()
    }

    /// The digits that tell these totals and what comparing them came to. `None` when a sum is too large for
    /// its place, or there are not as many as there are blocks.
    #[must_use]
    pub fn written(&self, blocks: &[(BatchTotals, BatchResult)]) -> Option<Vec<u8>> {
        if blocks.len() != self.blocks {
            return None;
        }
        let block = &self.block;
        let mut out = Vec::new();
        for (totals, result) in blocks {
            let mut digits = vec![b'0'; block.digits];
            put(&mut digits, block.debit_amount, totals.debit.minor)?;
            put(&mut digits, block.debit_count, totals.debit.count)?;
            put(&mut digits, block.credit_amount, totals.credit.minor)?;
            put(&mut digits, block.credit_count, totals.credit.count)?;
            let at = BatchResult::ALL.iter().position(|each| each == result)?;
            *digits.get_mut(block.result.from)? = *self.results.get(at)?;
            out.append(&mut digits);
        }
        Some(out)
    }

    /// The lines that a request lists. `None` when they are not where they should be.
    #[must_use]
    pub fn lines(&self, message: &Message<'_>) -> Option<Vec<BatchLine>> {
        let lines = self.lines.as_ref()?;
        let count = message
            .slice(lines.field, 0, lines.count_digits)?
            .number()?;
        let count = usize::try_from(count).ok()?;
        let whole = lines.digits.checked_mul(count)?;
        if message.length(lines.field) != lines.count_digits.checked_add(whole) {
            return None;
        }
        let one = |at: usize| {
            let base = lines
                .digits
                .checked_mul(at)?
                .checked_add(lines.count_digits)?;
            let number = |place: Place| place.number(message, lines.field, base);
            let pan_at = base.checked_add(lines.pan.from)?;
            let pan = message.slice(lines.field, pan_at, lines.pan.count)?;
            let zeros = pan.iter().take_while(|digit| **digit == b'0').count();
            Some(BatchLine {
                stan: Stan::new(u32::try_from(number(lines.stan)?).ok()?)?,
                minor: number(lines.amount)?,
                pan: MaskedPan::of(pan.get(zeros..)?),
            })
        };
        (0..count).map(one).collect()
    }
}

/// Writes a number into its place; `None` when it is too long.
fn put(digits: &mut [u8], place: Place, number: u64) -> Option<()> {
    let end = place.from.checked_add(place.count)?;
    let mut rest = number;
    for slot in digits.get_mut(place.from..end)?.iter_mut().rev() {
        *slot = b'0'.checked_add(u8::try_from(rest.checked_rem(10)?).ok()?)?;
        rest = rest.checked_div(10)?;
    }
    (rest == 0).then_some(())
}

/// Reads `[settlement]`; a dialect without rows that need it may leave it out.
pub(super) fn rules(
    root: &Section<'_, '_>,
    table: &Table,
    rows: &[Request],
) -> Option<SettlementRules> {
    let needs = rows.iter().find(|row| match row.served {
        Served::Settlement | Served::BatchUpload | Served::BatchUploadEnd => true,
        Served::Forward
        | Served::SignOn
        | Served::SignOff
        | Served::Echo
        | Served::CodeEntry
        | Served::Unserved => false,
    });
    let Some(section) = root.section("settlement") else {
        if let Some(row) = needs {
            root.absent("settlement", format!(
                "settlement is missing, and \"{}\" needs it; write for example `[settlement]` and under it \
                 `totals = 48`",
                row.name
            ));
        }
        return None;
    };
    let blocks = section.texts("blocks").len();
    if blocks == 0 && !section.is_no_list("blocks") {
        section.lacking(
            "settlement.blocks names the sets of totals, as in [\"domestic\", \"foreign\"]",
        );
    }
    let (named, digits) = layout(&section, "block");
    let place = |name: &str| find(&section, "block", &named, name);
    let block = (|| {
        Some(Block {
            debit_amount: place("debit-amount")?,
            debit_count: place("debit-count")?,
            credit_amount: place("credit-amount")?,
            credit_count: place("credit-count")?,
            result: place("result")?,
            digits,
        })
    })();
    let field = numeric_field(&section, table, "totals", digits.saturating_mul(blocks));
    let result = |key: &'static str| {
        let text = section.required_text(key, "1")?;
        let digit = match text.value.as_bytes() {
            [digit] if digit.is_ascii_digit() => Some(*digit),
            _ => None,
        };
        if digit.is_none() {
            section
                .problems()
                .error(&text.span, "a result is one digit");
        }
        digit
    };
    let (balanced, not_balanced) = (result("balanced"), result("not_balanced"));
    let undecided = result("undecided");
    for (key, result, others) in [
        ("not_balanced", not_balanced, [balanced, None]),
        ("undecided", undecided, [balanced, not_balanced]),
    ] {
        if result.is_some() && others.contains(&result) {
            section.problems().error(
                &section.span_of(key),
                format!("settlement.{key}: another result has this digit; each needs its own"),
            );
        }
    }
    let lines = lines(&section, table);
    let listed =
        |row: &&Request| row.served == Served::BatchUpload && row.uploads == Uploads::Listed;
    if let Some(row) = rows.iter().find(listed)
        && lines.is_none()
    {
        section.absent(
            "line",
            format!(
                "settlement.line is missing, and \"{}\" lists its uploads",
                row.name
            ),
        );
    }
    section.finish();
    Some(SettlementRules {
        field: field?,
        blocks,
        block: block?,
        results: [balanced?, not_balanced?, undecided?],
        lines,
    })
}

fn lines(section: &Section<'_, '_>, table: &Table) -> Option<Lines> {
    let count = section.integer("line_count", 1..=4);
    if !section.has("line") {
        return None;
    }
    let count_digits = usize::try_from(count.unwrap_or(2)).ok()?;
    let (named, digits) = layout(section, "line");
    let field = numeric_field(section, table, "lines", digits.saturating_add(count_digits));
    let place = |name: &str| find(section, "line", &named, name);
    Some(Lines {
        stan: place("stan")?,
        pan: place("pan")?,
        amount: place("amount")?,
        field: field?,
        count_digits,
        digits,
    })
}

/// Reads a layout, `["stan:6", "amount:12"]`: its places by name, and its digits.
fn layout(section: &Section<'_, '_>, key: &'static str) -> (Vec<(String, Place)>, usize) {
    const DIGITS_MAX: usize = 20;
    let mut from = 0_usize;
    let mut named = Vec::new();
    for text in section.texts(key) {
        let part = text.value.split_once(':').and_then(|(name, count)| {
            let count = count.trim().parse::<usize>().ok()?;
            (1..=DIGITS_MAX)
                .contains(&count)
                .then_some((name.trim(), count))
        });
        let Some((name, count)) = part else {
            section.problems().error(
                &text.span,
                "a part is a name and one to twenty digits, as in \"amount:12\"",
            );
            continue;
        };
        named.push((name.to_owned(), Place { from, count }));
        from = from.saturating_add(count);
    }
    (named, from)
}

fn find(
    section: &Section<'_, '_>,
    key: &'static str,
    named: &[(String, Place)],
    name: &str,
) -> Option<Place> {
    let found = named.iter().find(|(known, _)| known == name);
    // What is no list was told when it was read.
    if found.is_none() && !section.is_no_list(key) {
        let message = format!("settlement.{key} has no \"{name}\"");
        section.problems().error(&section.span_of(key), message);
    }
    found.map(|(_, place)| *place)
}

/// A field of digits that has room for so many.
fn numeric_field(
    section: &Section<'_, '_>,
    table: &Table,
    key: &'static str,
    digits: usize,
) -> Option<u8> {
    let Some(number) = section.integer(key, 2..=FieldSet::LAST.into()) else {
        let message = format!("settlement.{key} is missing; write for example `{key} = 48`");
        section.absent(key, message);
        return None;
    };
    let number = u8::try_from(number).ok()?;
    let fits = table
        .field(number)
        .is_some_and(|field| field.kind == FieldType::Numeric && usize::from(field.max) >= digits);
    if !fits {
        section.problems().dangling(
            &section.span_of(key),
            format!("DE{number} is not defined in [fields] as {digits} digits or more"),
        );
    }
    fits.then_some(number)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::iso8583::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    const UNIONPAY: &str = include_str!("../../../protocols/unionpay-pos/dialect.toml");

    fn with_de48<T>(digits: &[u8], read: impl FnOnce(&SettlementRules, &Message<'_>) -> T) -> T {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.envelope_default();
        writer.mti(Mti::parse("0500").unwrap());
        writer.number(11, 9);
        writer.digits(48, digits);
        writer.finish().unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&out[2..], &mut index).unwrap();
        read(dialect.settlement().unwrap(), &message)
    }

    fn totals() -> impl Strategy<Value = BatchTotals> {
        let sum = || (0..1_000_u64, 0..1_000_000_000_000_u64);
        (sum(), sum()).prop_map(|(debit, credit)| BatchTotals {
            debit: Sum {
                count: debit.0,
                minor: debit.1,
            },
            credit: Sum {
                count: credit.0,
                minor: credit.1,
            },
        })
    }

    proptest! {
        #[test]
        fn totals_come_back_as_they_were_written(domestic in totals(), foreign in totals()) {
            let dialect = Dialect::shipped("unionpay-pos").unwrap();
            let rules = dialect.settlement().unwrap();
            let blocks = [(domestic, BatchResult::NotBalanced), (foreign, BatchResult::Balanced)];
            let digits = rules.written(&blocks).unwrap();
            prop_assert_eq!((digits[30], digits[61]), (b'2', b'1'));
            let read = with_de48(&digits, |rules, message| rules.claimed(message));
            prop_assert_eq!(read, Some(vec![domestic, foreign]));
        }

        #[test]
        fn any_digits_are_totals_or_lines_or_neither(digits in "[0-9]{1,322}") {
            with_de48(digits.as_bytes(), |rules, message| {
                let claimed = rules.claimed(message);
                assert_eq!(claimed.is_some(), digits.len() == 62);
                if let Some(lines) = rules.lines(message) {
                    assert_eq!(Some(digits.len()), lines.len().checked_mul(40).and_then(|n| n.checked_add(2)));
                }
            });
        }
    }

    #[test]
    fn a_sum_too_large_for_its_place_is_not_written() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let rules = dialect.settlement().unwrap();
        let mut totals = BatchTotals::ZERO;
        totals.debit.count = 999;
        let block = |totals| {
            [
                (totals, BatchResult::Balanced),
                (BatchTotals::ZERO, BatchResult::Balanced),
            ]
        };
        assert!(rules.written(&block(totals)).is_some());
        totals.debit.count = 1_000;
        assert_eq!(rules.written(&block(totals)), None);
        assert_eq!(rules.written(&block(totals)[..1]), None);
    }

    #[test]
    fn lines_are_read_with_their_cards_masked() {
        let list = "02006228480000000000000000000000000000000000";
        assert_eq!(with_de48(list.as_bytes(), |rules, m| rules.lines(m)), None);
        let first = "0000001006228489137264085196000000001000";
        let second = format!("01000011{:032}", 0);
        let list = format!("02{first}{second}");
        let lines = with_de48(list.as_bytes(), |rules, m| rules.lines(m)).unwrap();
        let stans: Vec<_> = lines.iter().map(|line| line.stan.get()).collect();
        assert_eq!(stans, [10, 11]);
        assert_eq!(
            (lines[0].pan.as_str(), lines[0].minor),
            ("622848*********5196", 1_000)
        );
        assert_eq!((lines[1].pan, lines[1].minor), (MaskedPan::NONE, 0));
    }

    #[test]
    fn every_mistake_of_the_section_is_told() {
        let check = |from: &str, to: &str, expect: &str| {
            assert!(UNIONPAY.contains(from), "{from}");
            let text = UNIONPAY.replacen(from, to, 1);
            let problems = Dialect::parse("x.toml", &text).unwrap_err();
            let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|p| p.contains(expect)), "{to}: {told:?}");
        };
        check("[settlement]\n", "[elsewhere]\n", "\"settlement\" needs it");
        check(
            "totals = 48\n",
            "totals = 63\n",
            "DE63 is not defined in [fields] as 62 digits",
        );
        check("totals = 48\n", "", "settlement.totals is missing");
        check(
            "balanced = \"1\"",
            "balanced = \"11\"",
            "a result is one digit",
        );
        check(
            "\"result:1\"",
            "\"rest:1\"",
            "settlement.block has no \"result\"",
        );
        check(
            "\"stan:6\", \"pan",
            "\"stan\", \"pan",
            "a part is a name and one to twenty digits",
        );
        check(
            "line = [\"card",
            "cards = [\"card",
            "settlement.line is missing",
        );
        check(
            "blocks = [\"domestic\", \"foreign\"]",
            "blocks = []",
            "settlement.blocks names",
        );
    }
}
