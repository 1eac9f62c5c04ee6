//! Which bracket of a broken text is not closed.

/// A bracket that is still open where a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// The bracket.
    pub(super) bracket: char,
    /// Its byte offset.
    pub(super) at: usize,
    /// The line that begins within it, from 1; `None` at the end of the text.
    pub(super) line: Option<usize>,
}

/// Which text is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Values,
    Comment,
    /// A string that ends with these characters; in one of double quotes a backslash hides the next.
    Text(&'static str),
}

/// The innermost bracket that is open where the line of a mistake begins, when that line begins something new: a
/// key or a table; or that is open at the end.
pub(super) fn open_before(text: &str, mistake: usize) -> Option<Open> {
    let (before, behind) = text.split_at_checked(mistake)?;
    if behind.trim().is_empty() {
        let (bracket, at) = innermost(before)?;
        let line = None;
        return Some(Open { bracket, at, line });
    }
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let (head, line) = text.split_at_checked(start)?;
    let line = line.lines().next().unwrap_or_default();
    if !begins_something(line) {
        return None;
    }
    let (bracket, at) = innermost(head)?;
    Some(Open {
        bracket,
        at,
        line: Some(head.matches('\n').count() + 1),
    })
}

fn begins_something(line: &str) -> bool {
    let line = line.trim_start();
    let key = line.split_once('=').is_some_and(|(key, _)| {
        let plain = |c: char| c.is_alphanumeric() || " ._-\"'".contains(c);
        key.chars().all(plain)
    });
    key || line.starts_with('[')
}

fn innermost(text: &str) -> Option<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut within = Within::Values;
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        within = match (within, c) {
            (Within::Comment, '\n') => Within::Values,
            (Within::Comment, _) => Within::Comment,
            (Within::Text(end), '\\') if end.starts_with('"') => {
                skip_to = at + 1 + rest.chars().nth(1).map_or(0, char::len_utf8);
                within
            }
            (Within::Text(end), _) if rest.starts_with(end) => {
                skip_to = at + end.len();
                Within::Values
            }
            // A string of one line ends with it, closed or not.
            (Within::Text("\"" | "'"), '\n') => Within::Values,
            (Within::Text(_), _) => within,
            (Within::Values, '#') => Within::Comment,
            (Within::Values, '"' | '\'') => {
                let ends = ["\"\"\"", "'''", "\"", "'"];
                let end = ends.into_iter().find(|end| rest.starts_with(end))?;
                skip_to = at + end.len();
                Within::Text(end)
            }
            (Within::Values, '[' | '{') => {
                open.push((c, at));
                within
            }
            (Within::Values, ']' | '}') => {
                open.pop();
                within
            }
            (Within::Values, _) => within,
        };
    }
    open.pop()
}
