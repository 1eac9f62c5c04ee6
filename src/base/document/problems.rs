//! Mistakes in files, each with its file, line and column.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::brackets;
use crate::base::limits;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is usable; the writer should know.
    Warning,
    /// The file is refused.
    Error,
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(
            f,
            "{}:{}:{}: {kind}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

/// Most problems that are told of a file which another one breaks.
const FOREIGN_MAX: usize = 3;

/// Most mistakes of syntax that are told of one text.
const SYNTAX_MAX: usize = 8;

/// A file that problems may lie in.
#[derive(Debug)]
struct Source<'t> {
    file: String,
    text: &'t str,
    /// Byte offsets at which its lines begin, ascending; the first is 0.
    lines: Vec<usize>,
    /// What is added to its byte offsets to tell them from those of other files.
    base: usize,
}

impl<'t> Source<'t> {
    fn new(file: String, text: &'t str, base: usize) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        Self {
            file,
            text,
            lines: lines.collect(),
            base,
        }
    }

    /// Line and column, both from 1 and the column in characters, of a byte offset.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|at| self.lines.get(at).copied());
        let start = start.unwrap_or_default();
        let behind = self.text.get(start..).unwrap_or_default();
        let before = behind
            .char_indices()
            .take_while(|(at, _)| start + at < offset);
        (line, before.count() + 1)
    }

    /// What a change at that place breaks in another file, in so many places.
    fn breaks(&self, change: &Range<usize>, places: usize) -> Problem {
        let (line, column) = self.position(change.start);
        let many = if places == 1 { "one place" } else { "places" };
        let more = if places > FOREIGN_MAX {
            format!(" ({places}; the first {FOREIGN_MAX} follow)")
        } else {
            String::new()
        };
        Problem {
            file: self.file.clone(),
            line,
            column,
            severity: Severity::Error,
            message: format!(
                "what this file changes or removes breaks {many} of the file that it builds on{more}"
            ),
        }
    }
}

/// Collects the problems of a file, and of those that it builds on.
#[derive(Debug)]
pub struct Problems<'t> {
    /// The file itself first, then what it builds on. Never empty.
    sources: RefCell<Vec<Source<'t>>>,
    /// Problems with the rank of their file.
    found: RefCell<Vec<(usize, Problem)>>,
    /// Warnings and errors that are more than are told.
    dropped: Cell<(usize, usize)>,
    /// Whether a text was no TOML: what it lacks says nothing then.
    unreadable: Cell<bool>,
    /// Whether something that other parts refer to is broken.
    shaken: Cell<bool>,
    /// Whether something is broken that defines what most other parts name.
    undefined: Cell<bool>,
    /// Whether what the file builds on is not known.
    alone: Cell<bool>,
    /// Where the file says what it builds on, or what it leaves out of that.
    changes: RefCell<Option<Range<usize>>>,
    /// Keys that were asked for, by the path of their table.
    asked: RefCell<BTreeSet<(String, &'static str)>>,
}

impl<'t> Problems<'t> {
    /// A collector for `text`, which the user knows as `file`.
    #[must_use]
    pub fn new(file: impl Into<String>, text: &'t str) -> Self {
        let file = file.into();
        Self {
            sources: RefCell::new(vec![Source::new(file, text, 0)]),
            found: RefCell::new(Vec::new()),
            dropped: Cell::new((0, 0)),
            unreadable: Cell::new(false),
            shaken: Cell::new(false),
            undefined: Cell::new(false),
            alone: Cell::new(false),
            changes: RefCell::new(None),
            asked: RefCell::new(BTreeSet::new()),
        }
    }

    /// Adds a file that the first one builds on, and gives what its byte offsets are counted from.
    pub(super) fn add(&self, file: impl Into<String>, text: &'t str) -> usize {
        let mut sources = self.sources.borrow_mut();
        // One byte between two files, so that the end of one is not the beginning of the next.
        let base = sources
            .last()
            .map_or(0, |last| last.base + last.text.len() + 1);
        sources.push(Source::new(file.into(), text, base));
        base
    }

    /// Says where the file changes what it builds on.
    pub(super) fn changes_at(&self, place: Option<Range<usize>>) {
        *self.changes.borrow_mut() = place;
    }

    /// What is wrong elsewhere is wrong without this file's changes too.
    pub fn no_change_of_its_own(&self) {
        self.changes_at(None);
    }

    /// Which file a place lies in: 0 is the file itself.
    pub(super) fn rank(&self, span: &Range<usize>) -> usize {
        let sources = self.sources.borrow();
        let up_to = sources.partition_point(|source| source.base <= span.start);
        up_to.saturating_sub(1)
    }

    /// Whether a place lies in a file that this one builds on.
    #[must_use]
    pub fn is_elsewhere(&self, span: &Range<usize>) -> bool {
        self.rank(span) > 0
    }

    /// Notes a key that was asked for.
    pub(super) fn note(&self, path: &str, key: &'static str) {
        self.asked.borrow_mut().insert((path.to_owned(), key));
    }

    /// Every key that was asked for, with the path of its table: what a schema of the file must have.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, &'static str)> {
        self.asked.borrow().iter().cloned().collect()
    }

    /// Records an error at a byte range of the text.
    pub fn error(&self, span: &Range<usize>, message: impl Into<String>) {
        self.record(Severity::Error, span, message.into());
    }

    /// Records an error about a reference, unless what is referred to is broken itself ([`Self::shake`]): it would
    /// only say the same again.
    pub fn consequence(&self, span: &Range<usize>, message: impl Into<String>) {
        if !self.shaken.get() {
            self.error(span, message);
        }
    }

    /// What other parts refer to is broken, and its mistakes are recorded: no [`Self::consequence`] counts from here
    /// on.
    pub fn shake(&self) {
        self.shaken.set(true);
    }

    /// Records an error about something that is named and not defined, unless definitions are broken themselves
    /// ([`Self::shake_definitions`]). Unlike a [`Self::consequence`] it is told whatever else is wrong.
    pub fn dangling(&self, span: &Range<usize>, message: impl Into<String>) {
        if !self.undefined.get() {
            self.error(span, message);
        }
    }

    /// What defines the things that other parts name is broken, and its mistakes are recorded: neither
    /// [`Self::dangling`] nor [`Self::consequence`] counts from here on.
    pub fn shake_definitions(&self) {
        self.undefined.set(true);
        self.shake();
    }

    /// The file builds on one that nobody has, which is recorded: what it lacks may stand there, and so may what it
    /// refers to.
    pub fn stands_alone(&self) {
        self.alone.set(true);
        self.shake_definitions();
    }

    /// Whether the file builds on one that nobody has.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.alone.get()
    }

    /// Records an error about something that should be there, unless it may stand where nobody can look.
    pub(super) fn lacking(&self, span: &Range<usize>, message: impl Into<String>) {
        if !self.alone.get() {
            self.error(span, message);
        }
    }

    /// Takes back what was recorded and turned out to be told better by something else.
    pub(super) fn take_back(&self, message: &str) {
        self.found
            .borrow_mut()
            .retain(|(_, problem)| problem.message != message);
    }

    /// Records a warning at a byte range of the text.
    pub fn warn(&self, span: &Range<usize>, message: impl Into<String>) {
        self.record(Severity::Warning, span, message.into());
    }

    /// Records a warning that is about more than one place, unless what it refers to is broken.
    pub fn doubt(&self, span: &Range<usize>, message: impl Into<String>) {
        if !self.shaken.get() {
            self.warn(span, message);
        }
    }

    /// Whether an error was recorded.
    #[must_use]
    pub fn any_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors were recorded so far.
    #[must_use]
    pub fn errors(&self) -> usize {
        let found = self.found.borrow();
        let errors = found.iter().filter(|(_, p)| p.severity == Severity::Error);
        errors.count() + self.dropped.get().1
    }

    /// Whether an error lies in a file that this one builds on, and none in itself.
    #[must_use]
    pub fn only_elsewhere(&self) -> bool {
        let found = self.found.borrow();
        let mut errors = found
            .iter()
            .filter(|(_, problem)| problem.severity == Severity::Error)
            .peekable();
        errors.peek().is_some() && errors.all(|(rank, _)| *rank != 0)
    }

    /// All of them, in the order of the file. What breaks in a file that it builds on while it has mistakes of its
    /// own comes of those and is left out.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        let of_own = |(rank, _): &(usize, Problem)| *rank == 0;
        let is_error = |(_, problem): &(usize, Problem)| problem.severity == Severity::Error;
        let elsewhere = found.iter().filter(|one| is_error(one) && !of_own(one));
        let elsewhere = elsewhere.count();
        if found.iter().any(|one| is_error(one) && of_own(one)) {
            found.retain(|one| of_own(one) || !is_error(one));
        } else if let Some(span) = self.changes.into_inner().filter(|_| elsewhere > 0) {
            // Sound by itself, the other file breaks by what this one changes.
            let mut told = 0;
            found.retain(|one| {
                told += usize::from(is_error(one));
                !is_error(one) || told <= FOREIGN_MAX
            });
            let sources = self.sources.borrow();
            found.extend(sources.first().map(|own| (0, own.breaks(&span, elsewhere))));
        }
        found.sort_by_key(|(rank, p)| (*rank, p.line, p.column));
        let mut found: Vec<_> = found.into_iter().map(|(_, problem)| problem).collect();
        let (warnings, errors) = self.dropped.get();
        if warnings + errors > 0 {
            let mut sources = self.sources.into_inner();
            found.push(Problem {
                file: sources.swap_remove(0).file,
                line: 1,
                column: 1,
                // Nothing is refused for warnings alone, however many.
                severity: if errors > 0 {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                message: format!("{} more problems are not listed", warnings + errors),
            });
        }
        found
    }

    /// Records mistakes of syntax, as offsets in a text whose own are counted from `base`. What is reported after
    /// them is dropped: a parser that lost its way misses keys that are there. Behind a bracket that is not closed
    /// all the rest is wrong, which is told once.
    pub(super) fn syntax(&self, text: &str, errors: Vec<toml::de::Error>, base: usize) {
        let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
        let mut errors = errors;
        errors.sort_by_key(|error| place(error).start);
        for error in errors.into_iter().take(SYNTAX_MAX) {
            self.unreadable.set(true);
            let span = place(&error);
            let open = brackets::open_before(text, span.start);
            let at = |start: usize| start + base..start + base;
            let Some(open) = open else {
                let message = match text.get(span.clone()) {
                    Some(key) if error.message() == "duplicate key" => {
                        format!("`{key}` is written a second time here; take one of the two out")
                    }
                    Some(_) | None => error.message().to_owned(),
                };
                let span = span.start + base..span.end + base;
                self.put(Severity::Error, &span, message);
                continue;
            };
            let or = open.line.map_or_else(String::new, |line| {
                format!(", or what line {line} begins with is wrong")
            });
            let message = format!(
                "this `{}` is not closed{or}: {}",
                open.bracket,
                error.message()
            );
            self.put(Severity::Error, &at(open.at), message);
            return;
        }
    }

    fn record(&self, severity: Severity, span: &Range<usize>, message: String) {
        if !self.unreadable.get() {
            self.put(severity, span, message);
        }
    }

    fn put(&self, severity: Severity, span: &Range<usize>, message: String) {
        if self.found.borrow().len() >= limits::PROBLEMS_MAX {
            let (warnings, errors) = self.dropped.get();
            self.dropped.set(match severity {
                Severity::Warning => (warnings + 1, errors),
                Severity::Error => (warnings, errors + 1),
            });
            return;
        }
        let sources = self.sources.borrow();
        let rank = self.rank(span);
        let source = &sources[rank];
        let (line, column) = source.position(span.start - source.base);
        let problem = Problem {
            file: source.file.clone(),
            line,
            column,
            severity,
            message,
        };
        // A value that is looked at twice is wrong once.
        let mut found = self.found.borrow_mut();
        if found.last().is_none_or(|(_, last)| *last != problem) {
            found.push((rank, problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_no_errors_however_many() {
        let told = |also: Option<&str>| {
            let problems = Problems::new("f.toml", "a");
            for _ in 0..limits::PROBLEMS_MAX {
                problems.warn(&(0..1), "one");
                problems.warn(&(0..1), "other");
            }
            if let Some(message) = also {
                problems.error(&(0..1), message);
            }
            let any = problems.any_errors();
            let last = problems.into_vec().pop().unwrap();
            assert!(last.message.contains("more problems"), "{last}");
            (any, last.severity)
        };
        assert_eq!(told(None), (false, Severity::Warning));
        assert_eq!(told(Some("wrong")), (true, Severity::Error));
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = "终端 = x\n\ny = 1";
        let source = Source::new("f".to_owned(), text, 0);
        let check = |before: &str, expect| {
            assert!(text.starts_with(before));
            assert_eq!(source.position(before.len()), expect);
        };
        check("", (1, 1));
        check("终端 = ", (1, 6));
        check("终端 = x", (1, 7));
        check("终端 = x\n", (2, 1));
        check("终端 = x\n\n", (3, 1));
        check(text, (3, 6));
    }
}
