//! Reads TOML files so that *every* mistake in them is reported in one go, each with its line and column.
//!
//! serde stops at the first mistake and forgets where a value stood. Configuration and dialect files are
//! read by asking a [`Section`] for the keys it should have; what is missing, of the wrong kind, out of
//! range or never asked for becomes a [`Problem`] in the shared [`Problems`].

mod brackets;
mod inherit;
mod problems;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use inherit::Ancestor;
pub use problems::{Problem, Problems, Severity};

/// A parsed file, the root of its [`Section`]s.
#[derive(Debug)]
pub struct Document<'t> {
    root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Parses the text. Mistakes of syntax become problems, and are then the only ones.
    #[must_use]
    pub fn parse(problems: &Problems<'t>, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        problems.syntax(text, errors, 0);
        Self { root }
    }

    /// The whole file as a section.
    #[must_use]
    pub fn root<'d>(&'d self, problems: &'d Problems<'t>) -> Section<'d, 't> {
        Section::new(
            problems,
            self.root.get_ref(),
            String::new(),
            self.root.span(),
        )
    }
}

/// A value with the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Byte range in the file.
    pub span: Range<usize>,
}

/// One table of a file. Keys are asked for by name; [`Section::finish`] reports those nobody asked for.
#[derive(Debug)]
pub struct Section<'d, 't> {
    problems: &'d Problems<'t>,
    table: &'d DeTable<'t>,
    path: String,
    span: Range<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
    /// Keys that were told to be missing, with what was told.
    missed: RefCell<Vec<(String, String)>>,
}

impl<'d, 't> Section<'d, 't> {
    fn new(
        problems: &'d Problems<'t>,
        table: &'d DeTable<'t>,
        path: String,
        span: Range<usize>,
    ) -> Self {
        Self {
            problems,
            table,
            path,
            span,
            asked: RefCell::new(BTreeSet::new()),
            missed: RefCell::new(Vec::new()),
        }
    }

    /// Dotted path of the section, empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the section stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The collector this section reports to.
    pub fn problems(&self) -> &'d Problems<'t> {
        self.problems
    }

    /// Records an error about the section as a whole.
    pub fn error(&self, message: impl Into<String>) {
        self.problems.error(&self.span, message);
    }

    /// Records an error about something that the section should have, unless the file builds on one that nobody has.
    pub fn lacking(&self, message: impl Into<String>) {
        self.problems.lacking(&self.span, message);
    }

    /// Records an error about the section as a whole when the key is not written; one of the wrong kind has its
    /// error already.
    pub fn absent(&self, key: &str, message: impl Into<String>) {
        if !self.has(key) {
            self.miss(key, message.into());
        }
    }

    fn miss(&self, key: &str, message: String) {
        self.lacking(message.clone());
        self.missed.borrow_mut().push((key.to_owned(), message));
    }

    /// As [`Problems::consequence`], about the section as a whole.
    pub fn consequence(&self, message: impl Into<String>) {
        self.problems.consequence(&self.span, message);
    }

    /// Where `key`'s value stands, or the section when it is absent.
    pub fn span_of(&self, key: &str) -> Range<usize> {
        self.lookup(key)
            .map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Whether the key is written as something that is no list.
    pub fn is_no_list(&self, key: &str) -> bool {
        self.lookup(key)
            .is_some_and(|value| !value.get_ref().is_array())
    }

    /// Whether the key is written.
    pub fn has(&self, key: &str) -> bool {
        self.lookup(key).is_some()
    }

    fn lookup(&self, key: &str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.table
            .iter()
            .find(|(k, _)| k.get_ref() == key)
            .map(|(_, v)| v)
    }

    fn ask(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.note(key);
        self.lookup(key)
    }

    fn note(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
        self.problems.note(&self.path, key);
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn wrong<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str) -> Option<T> {
        let name = self.name(key);
        let found = value.get_ref().type_str();
        self.problems
            .error(&value.span(), format!("{name} must be {want}, not {found}"));
        None
    }

    /// Records that a key is missing, with an example of what to write.
    fn missing<T>(&self, key: &str, example: &str) -> Option<T> {
        let name = self.name(key);
        let message = format!("{name} is missing; write for example `{key} = {example}`");
        self.miss(key, message);
        None
    }

    /// Text, if written.
    pub fn text(&self, key: &'static str) -> Option<Located<&'d str>> {
        let value = self.ask(key)?;
        match value.get_ref() {
            DeValue::String(s) => Some(Located {
                value: s.as_ref(),
                span: value.span(),
            }),
            _ => self.wrong(key, value, "a text in quotes"),
        }
    }

    /// Text that must be written; `example` stands in the message when it is not.
    pub fn required_text(&self, key: &'static str, example: &str) -> Option<Located<&'d str>> {
        self.note(key);
        if self.has(key) {
            self.text(key)
        } else {
            self.missing(key, &format!("\"{example}\""))
        }
    }

    /// A name, if written: text that is not blank.
    pub fn name_text(&self, key: &'static str) -> Option<Located<&'d str>> {
        let text = self.text(key)?;
        if !text.value.trim().is_empty() {
            return Some(text);
        }
        let name = self.name(key);
        let message = format!("{name} is empty; write a name, or take `{key}` out");
        self.problems.error(&text.span, message);
        None
    }

    /// A name that must be written, and not blank; `example` stands in the message when it is not.
    pub fn required_name(&self, key: &'static str, example: &str) -> Option<Located<&'d str>> {
        self.note(key);
        if !self.has(key) {
            return self.missing(key, &format!("\"{example}\""));
        }
        let text = self.text(key)?;
        if !text.value.trim().is_empty() {
            return Some(text);
        }
        let name = self.name(key);
        let message = format!("{name} is empty; write for example `{key} = \"{example}\"`");
        self.problems.error(&text.span, message);
        None
    }

    /// One of several words, `default` when not written or wrong.
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        self.choice_of(key, words).unwrap_or(default)
    }

    /// One of several words, if written. A wrong word is a problem that lists the right ones.
    pub fn choice_of<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let listed: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let name = self.name(key);
        let message = format!(
            "{name} must be one of {}, not \"{}\"",
            listed.join(", "),
            text.value
        );
        self.problems.error(&text.span, message);
        None
    }

    /// Truth value, `default` when not written or wrong.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.ask(key) else {
            return default;
        };
        match value.get_ref() {
            DeValue::Boolean(b) => *b,
            _ => self.wrong(key, value, "true or false").unwrap_or(default),
        }
    }

    /// Whole number within a range, if written. Nothing is clamped: outside the range is a problem.
    pub fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.ask(key)?;
        let name = self.name(key);
        let (low, high) = (range.start(), range.end());
        let DeValue::Integer(digits) = value.get_ref() else {
            return self.wrong(key, value, "a whole number");
        };
        match u64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let message = format!("{name} must be from {low} to {high}, not {digits}");
                self.problems.error(&value.span(), message);
                None
            }
        }
    }

    /// A whole number of which nothing is reported here; `None` for all else.
    pub fn number_at(&self, key: &str) -> Option<u64> {
        match self.lookup(key)?.get_ref() {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        }
    }

    /// Duration with its unit (`"250us"`, `"250ms"`, `"15s"`, `"10m"`, `"1h"`, `"0s"`) within a range; `default`
    /// when not written or wrong.
    pub fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(text) = self.text(key) else {
            return default;
        };
        let name = self.name(key);
        let problem = match parse_duration(text.value) {
            Some(found) if range.contains(&found) => return found,
            Some(_) => {
                format!(
                    "{name} must be from {:?} to {:?}",
                    range.start(),
                    range.end()
                )
            }
            None => format!("{name} needs a number and a unit (us, ms, s, m, h, d), as in \"15s\""),
        };
        self.problems.error(&text.span, problem);
        default
    }

    /// Size with its unit (`"512B"`, `"4KiB"`, `"64KiB"`, `"1MiB"`) within a range in bytes; `default`
    /// when not written or wrong.
    pub fn size(&self, key: &'static str, range: RangeInclusive<usize>, default: usize) -> usize {
        let Some(text) = self.text(key) else {
            return default;
        };
        let name = self.name(key);
        let problem = match parse_size(text.value) {
            Some(found) if range.contains(&found) => return found,
            Some(_) => {
                format!("{name} must be from {}B to {}B", range.start(), range.end())
            }
            None => format!("{name} needs a number and a unit (B, KiB, MiB), as in \"4KiB\""),
        };
        self.problems.error(&text.span, problem);
        default
    }

    /// List of texts, empty when not written.
    pub fn texts(&self, key: &'static str) -> Vec<Located<&'d str>> {
        self.items(key, "a list of texts", |value| match value.get_ref() {
            DeValue::String(s) => Some(Located {
                value: s.as_ref(),
                span: value.span(),
            }),
            _ => None,
        })
    }

    /// List of whole numbers within a range, empty when not written.
    pub fn integers(&self, key: &'static str, range: RangeInclusive<u64>) -> Vec<Located<u64>> {
        let want = format!(
            "a list of whole numbers from {} to {}",
            range.start(),
            range.end()
        );
        self.items(key, &want, |value| {
            let DeValue::Integer(digits) = value.get_ref() else {
                return None;
            };
            let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok()?;
            range.contains(&number).then(|| Located {
                value: number,
                span: value.span(),
            })
        })
    }

    fn items<T>(
        &self,
        key: &'static str,
        want: &str,
        read: impl Fn(&'d Spanned<DeValue<'t>>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let DeValue::Array(list) = value.get_ref() else {
            return self.wrong(key, value, want).unwrap_or_default();
        };
        list.iter()
            .filter_map(|item| read(item).or_else(|| self.wrong(key, item, want)))
            .collect()
    }

    /// A sub-table, if written.
    pub fn section(&self, key: &'static str) -> Option<Self> {
        let value = self.ask(key)?;
        self.as_section(key, self.name(key), value)
    }

    /// Tables written as `[[key]]`, empty when there are none.
    pub fn sections(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let DeValue::Array(list) = value.get_ref() else {
            return self
                .wrong(
                    key,
                    value,
                    &format!("a list of tables, each begun by [[{}]]", self.name(key)),
                )
                .unwrap_or_default();
        };
        // Those of an ancestor stand between: each is counted in its own file.
        let place =
            |item: &Spanned<DeValue<'_>>| (self.problems.rank(&item.span()), item.span().start);
        let mut places: Vec<_> = list.iter().map(place).collect();
        places.sort_unstable();
        let named = |item: &Spanned<DeValue<'_>>| {
            let own = place(item);
            let number = places.partition_point(|other| *other <= own)
                - places.partition_point(|(rank, _)| *rank < own.0);
            format!("{}[{number}]", self.name(key))
        };
        list.iter()
            .filter_map(|item| self.as_section(key, named(item), item))
            .collect()
    }

    /// The entries of a table whose keys are names chosen by the writer: key, its place, and its value
    /// as a section.
    pub fn named_sections(&self, key: &'static str) -> Vec<(Located<&'d str>, Self)> {
        self.section(key)
            .map_or_else(Vec::new, |outer| outer.each())
    }

    /// The entries of this table, whose keys are names chosen by the writer.
    pub fn each(&self) -> Vec<(Located<&'d str>, Self)> {
        let table = self.table;
        table
            .iter()
            .filter_map(|(k, v)| {
                let name: &'d str = k.get_ref();
                let section = self.as_section(name, self.name(name), v)?;
                Some((
                    Located {
                        value: name,
                        span: k.span(),
                    },
                    section,
                ))
            })
            .collect()
    }

    /// The entries of a table of texts whose keys are names chosen by the writer.
    pub fn named_texts(&self, key: &'static str) -> Vec<(Located<&'d str>, Located<&'d str>)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let table = outer.table;
        table
            .iter()
            .filter_map(|(k, v)| {
                let name: &'d str = k.get_ref();
                let DeValue::String(s) = v.get_ref() else {
                    return outer.wrong(name, v, "a text in quotes");
                };
                let text = Located {
                    value: s.as_ref(),
                    span: v.span(),
                };
                Some((
                    Located {
                        value: name,
                        span: k.span(),
                    },
                    text,
                ))
            })
            .collect()
    }

    fn as_section(&self, key: &str, path: String, value: &'d Spanned<DeValue<'t>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.problems, table, path, value.span())),
            _ => self.wrong(key, value, "a table"),
        }
    }

    /// Reports every key that was never asked for, with the nearest known one. Where that one was told to be missing,
    /// it is only mistyped.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        let missed = self.missed.borrow();
        for (key, _) in self.table {
            let written: &str = key.get_ref();
            if asked.contains(written) {
                continue;
            }
            let near = nearest(written, asked.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            if let Some((_, message)) = missed.iter().find(|(key, _)| Some(key.as_str()) == near) {
                self.problems.take_back(message);
            }
            let known: Vec<_> = asked.iter().copied().collect();
            let listed = match (hint.as_str(), known.as_slice()) {
                ("", []) => "; nothing is known here".to_owned(),
                ("", known) => format!("; known here: {}", known.join(", ")),
                (hint, _) => hint.to_owned(),
            };
            self.problems.error(
                &key.span(),
                format!("unknown key `{}`{listed}", self.name(written)),
            );
        }
    }
}

/// The known word nearest to what was written, when it is near enough to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    let bound = 1 + length / 4;
    known
        // Words differ in as many places at least as in length.
        .filter(|word| word.chars().count().abs_diff(length) <= bound)
        .map(|word| (edits(written, word), word))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Reads `"250us"`, `"250ms"`, `"15s"`, `"10m"`, `"1h"`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

/// Reads `"512B"`, `"4KiB"`, `"1MiB"`.
#[must_use]
pub fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let number = usize::try_from(number).ok()?;
    match unit {
        "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` with `read` and gives back what was reported.
    fn check(text: &str, read: impl FnOnce(&Section<'_, '_>)) -> Vec<String> {
        let problems = Problems::new("f.toml", text);
        {
            let document = Document::parse(&problems, text);
            let root = document.root(&problems);
            read(&root);
            root.finish();
        }
        problems
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "a = 1\nb = \"x\"\nc = 70000\n";
        let found = check(text, |root| {
            let _ = root.text("a");
            let _ = root.flag("b", false);
            let _ = root.integer("c", 0..=65_535);
            let _ = root.required_text("d", "word");
        });
        assert_eq!(
            found,
            [
                "f.toml:1:1: error: d is missing; write for example `d = \"word\"`",
                "f.toml:1:5: error: a must be a text in quotes, not integer",
                "f.toml:2:5: error: b must be true or false, not string",
                "f.toml:3:5: error: c must be from 0 to 65535, not 70000",
            ]
        );
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let found = check("[net]\nlissten = 1\nzzzzzz = 2\n", |root| {
            let net = root.section("net").unwrap();
            let _ = net.text("listen");
            net.finish();
        });
        assert_eq!(
            found,
            [
                "f.toml:2:1: error: unknown key `net.lissten`; did you mean `listen`?",
                "f.toml:3:1: error: unknown key `net.zzzzzz`; known here: listen",
            ]
        );
    }

    #[test]
    fn a_mistyped_key_is_not_missing_too() {
        let found = check("[net]\nlissten = \"a\"\n", |root| {
            let net = root.section("net").unwrap();
            let _ = net.required_text("listen", "a");
            let _ = net.required_text("to", "b");
            net.absent("kind", "kind is missing");
            net.finish();
        });
        assert_eq!(
            found,
            [
                "f.toml:1:1: error: net.to is missing; write for example `to = \"b\"`",
                "f.toml:1:1: error: kind is missing",
                "f.toml:2:1: error: unknown key `net.lissten`; did you mean `listen`?",
            ]
        );
        let found = check("[net]\nkid = 1\n", |root| {
            let net = root.section("net").unwrap();
            let _ = net.has("kind");
            net.absent("kind", "kind is missing");
            let _ = net.text("kind");
            net.finish();
        });
        assert_eq!(
            found,
            ["f.toml:2:1: error: unknown key `net.kid`; did you mean `kind`?"]
        );
    }

    #[test]
    fn durations_and_sizes_need_units() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse_duration("2d"), Some(Duration::from_secs(172_800)));
        assert_eq!(parse_duration("10"), None);
        assert_eq!(parse_size("4KiB"), Some(4_096));
        assert_eq!(parse_size("4K"), None);
        let found = check("t = \"5\"\nu = \"2h\"", |root| {
            let second = Duration::from_secs(1);
            let _ = root.duration("t", second..=second, second);
            let _ = root.duration("u", second..=second * 60, second);
        });
        assert!(
            found[0].contains("f.toml:1:5: error: t needs a number and a unit"),
            "{found:?}"
        );
        assert!(
            found[1].contains("f.toml:2:5: error: u must be from 1s to 60s"),
            "{found:?}"
        );
    }

    #[test]
    fn mistakes_of_syntax_have_places_and_no_followers() {
        let found = check("a = \n[b\n", |root| {
            let _ = root.text("a");
            let _ = root.required_text("c", "word");
            root.error("something else");
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("f.toml:1:"), "{found:?}");
        assert!(found[1].starts_with("f.toml:2:"), "{found:?}");
    }

    #[test]
    fn what_is_not_closed_is_told_once_where_it_is_opened() {
        let told = |text: &str, expect: &[&str]| {
            let found = check(text, |_| ());
            assert_eq!(found.len(), expect.len(), "{text}{found:?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(found.starts_with(expect), "{expect:?}: {found:?}");
            }
        };
        let rest = "d = [1, 2]\n[e]\nf = { g = 1 }\nh = \"[\" # ]\n".repeat(30);
        let after = |text: &str| format!("{text}\n{rest}");
        told(
            &after("a = 1\nb = [1, [2, 3]"),
            &["f.toml:2:5: error: this `[` is not closed, or what line 3 begins with is wrong: "],
        );
        told(
            &after("a = [[1, 2]"),
            &["f.toml:1:5: error: this `[` is not closed, or what line 2"],
        );
        told(
            &after("a = { b = 1, c = [\"]\"]"),
            &["f.toml:1:5: error: this `{` is not closed, or what line 2"],
        );
        told(
            "a = [\n 1,\n",
            &["f.toml:1:5: error: this `[` is not closed"],
        );
        // What is closed in its own line is wrong there.
        told(
            "a = [1 2]\nb = 1\n",
            &["f.toml:1:6: error: string values must be quoted"],
        );
        let many = "a = [1 2]\n".repeat(30);
        assert!(
            check(&many, |_| ()).len() <= 8,
            "{:?}",
            check(&many, |_| ())
        );
    }

    #[test]
    fn a_name_says_something() {
        let found = check("a = \"\"\nb = \" \"\n", |root| {
            let _ = root.name_text("a");
            let _ = root.required_name("b", "sale");
            let _ = root.required_name("c", "sale");
        });
        assert_eq!(
            found,
            [
                "f.toml:1:1: error: c is missing; write for example `c = \"sale\"`",
                "f.toml:1:5: error: a is empty; write a name, or take `a` out",
                "f.toml:2:5: error: b is empty; write for example `b = \"sale\"`",
            ]
        );
    }
}
