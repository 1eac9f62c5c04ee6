//! Files that build on others: what is not written is taken from the ancestor.
//!
//! Tables are laid over each other key by key; a value or a list takes the place of the ancestor's. Lists of tables
//! are told by their `name`: one of a known name is laid over it, a new one goes before all of the ancestor's. What
//! `remove` names (`"fields.55"`, `"request.void"`) goes first. `name`, `title`, `extends` and `remove` are not
//! inherited. Every value keeps its place, in whichever file it stands.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{Document, Problems, nearest};

/// A file that another builds on.
#[derive(Clone, Copy, Debug)]
pub struct Ancestor<'t> {
    /// The file, as the user knows it.
    pub file: &'t str,
    /// Its text.
    pub text: &'t str,
}

/// Keys that are of one file alone.
const OWN: [&str; 4] = ["name", "title", "extends", "remove"];

impl<'t> Document<'t> {
    /// Parses `text` over its ancestors, the nearest first.
    #[must_use]
    pub fn parse_over(problems: &Problems<'t>, text: &'t str, ancestors: &[Ancestor<'t>]) -> Self {
        let own = Self::parse(problems, text);
        let place = ["remove", "extends"]
            .into_iter()
            .find_map(|key| own.root.get_ref().get(key));
        problems.changes_at(place.map(Spanned::span));
        let mut layers = vec![own.root];
        for ancestor in ancestors {
            let base = problems.add(ancestor.file, ancestor.text);
            let (root, errors) = DeTable::parse_recoverable(ancestor.text);
            problems.syntax(ancestor.text, errors, base);
            layers.push(shift_table(root, base));
        }
        let mut layers = layers.into_iter().rev();
        let Some(mut root) = layers.next() else {
            return Self::parse(problems, text);
        };
        for layer in layers {
            for key in OWN {
                root.get_mut().remove(key);
            }
            remove(problems, root.get_mut(), layer.get_ref());
            root = overlaid(problems, root, layer);
        }
        Self { root }
    }
}

/// Takes out what a layer's `remove` names. What is no list of texts is reported when it is asked for.
fn remove(problems: &Problems<'_>, root: &mut DeTable<'_>, layer: &DeTable<'_>) {
    let Some(DeValue::Array(paths)) = layer.get("remove").map(Spanned::get_ref) else {
        return;
    };
    for path in paths {
        if let DeValue::String(text) = path.get_ref()
            && !take_out(root, text)
        {
            problems.error(
                &path.span(),
                format!(
                    "remove: nothing is inherited under \"{text}\"; {}",
                    known(root, text)
                ),
            );
        }
    }
}

/// Whether there was something under the path. Keys may have dots: the longest key that fits is tried first.
fn take_out(table: &mut DeTable<'_>, path: &str) -> bool {
    if table.remove(path).is_some() {
        return true;
    }
    let dots = path.match_indices('.').rev();
    for (at, _) in dots {
        let (Some(key), Some(rest)) = (path.get(..at), path.get(at + 1..)) else {
            continue;
        };
        let found = match table.get_mut(key).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => take_out(inner, rest),
            Some(DeValue::Array(list)) => take_out_named(list, rest),
            Some(_) | None => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// What is inherited beside a path that is not: the table that most of it leads to, and what stands in it.
fn known(root: &DeTable<'_>, path: &str) -> String {
    let (mut under, mut table) = (String::new(), root);
    let mut list = None;
    for step in path.split('.') {
        match table.get(step).map(Spanned::get_ref) {
            Some(DeValue::Table(inner)) => table = inner,
            Some(DeValue::Array(items)) => list = Some(items),
            Some(_) | None => break,
        }
        under = format!("{under}{step}.");
        if list.is_some() {
            break;
        }
    }
    let mut names: Vec<&str> = match list {
        Some(items) => items
            .iter()
            .filter_map(|item| name_of(item.get_ref()))
            .collect(),
        None => table.keys().map(|key| key.get_ref().as_ref()).collect(),
    };
    names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), *name));
    let last = path.rsplit('.').next().unwrap_or_default();
    // One number is as near as another.
    let word = last.parse::<u32>().is_err();
    if let Some(near) = nearest(last, names.iter().copied()).filter(|_| word) {
        return format!("did you mean \"{under}{near}\"?");
    }
    let first: Vec<_> = names.iter().take(KNOWN_MAX).copied().collect();
    let more = match names.len().saturating_sub(KNOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let place = match under.strip_suffix('.') {
        Some(under) => format!("under \"{under}\""),
        None => "at the top".to_owned(),
    };
    format!("{place} there are {}{more}", first.join(", "))
}

/// Most names that are told of what is inherited.
const KNOWN_MAX: usize = 8;

fn take_out_named(list: &mut DeArray<'_>, name: &str) -> bool {
    let before = list.len();
    let kept = std::mem::replace(list, DeArray::new()).into_iter();
    *list = kept
        .filter(|item| name_of(item.get_ref()) != Some(name))
        .collect();
    list.len() < before
}

/// The `name` of a table in a list.
fn name_of<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    let DeValue::Table(table) = value else {
        return None;
    };
    match table.get("name")?.get_ref() {
        DeValue::String(name) => Some(name),
        _ => None,
    }
}

/// A table laid over another.
fn overlaid<'t>(
    problems: &Problems<'_>,
    under: Spanned<DeTable<'t>>,
    over: Spanned<DeTable<'t>>,
) -> Spanned<DeTable<'t>> {
    let span = over.span();
    let mut table = under.into_inner();
    for (key, value) in over.into_inner() {
        let value = match table.remove(key.get_ref().as_ref()) {
            Some(under) => laid_over(problems, under, value),
            None => value,
        };
        table.insert(key, value);
    }
    Spanned::new(span, table)
}

fn laid_over<'t>(
    problems: &Problems<'_>,
    under: Spanned<DeValue<'t>>,
    over: Spanned<DeValue<'t>>,
) -> Spanned<DeValue<'t>> {
    let (below, span) = (under.span(), over.span());
    match (under.into_inner(), over.into_inner()) {
        (DeValue::Table(under), DeValue::Table(over)) => {
            let table = overlaid(
                problems,
                Spanned::new(below, under),
                Spanned::new(span.clone(), over),
            );
            Spanned::new(span, DeValue::Table(table.into_inner()))
        }
        (DeValue::Array(under), DeValue::Array(over)) if named(&under) && named(&over) => {
            Spanned::new(span, DeValue::Array(lists(problems, under, over)))
        }
        (_, over) => Spanned::new(span, over),
    }
}

fn named(list: &DeArray<'_>) -> bool {
    !list.is_empty() && list.iter().all(|item| name_of(item.get_ref()).is_some())
}

/// Tables of known names laid over those; before them the new ones.
fn lists<'t>(problems: &Problems<'_>, under: DeArray<'t>, over: DeArray<'t>) -> DeArray<'t> {
    let mut inherited: Vec<_> = under.into_iter().collect();
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for item in over {
        let name = name_of(item.get_ref());
        let known = inherited
            .iter()
            .position(|known| name_of(known.get_ref()) == name);
        match known {
            Some(at) if changed.contains(&at) => {
                let name = name.unwrap_or_default();
                problems.error(
                    &item.span(),
                    format!("there is already one of the name \"{name}\" in this file; write them as one"),
                );
            }
            Some(at) => {
                let under = inherited.remove(at);
                inherited.insert(at, laid_over(problems, under, item));
                changed.push(at);
            }
            None => new.push(item),
        }
    }
    new.into_iter().chain(inherited).collect()
}

/// Moves all places in a table.
fn shift_table(table: Spanned<DeTable<'_>>, base: usize) -> Spanned<DeTable<'_>> {
    let span = table.span();
    let entries = table.into_inner().into_iter();
    let moved = entries.map(|(key, value)| {
        let at = key.span();
        let key = Spanned::new(at.start + base..at.end + base, key.into_inner());
        (key, shift(value, base))
    });
    Spanned::new(span.start + base..span.end + base, moved.collect())
}

fn shift(value: Spanned<DeValue<'_>>, base: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let moved = match value.into_inner() {
        DeValue::Table(table) => {
            DeValue::Table(shift_table(Spanned::new(span.clone(), table), base).into_inner())
        }
        DeValue::Array(list) => {
            DeValue::Array(list.into_iter().map(|item| shift(item, base)).collect())
        }
        other => other,
    };
    Spanned::new(span.start + base..span.end + base, moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and values of a file over its ancestors, one a line, and what was reported.
    fn check(text: &str, ancestors: &[&str], expect: &[&str]) {
        let problems = Problems::new("own", text);
        let ancestors: Vec<_> = ancestors
            .iter()
            .zip(["parent", "grandparent"])
            .map(|(text, file)| Ancestor { file, text })
            .collect();
        let document = Document::parse_over(&problems, text, &ancestors);
        let mut lines = Vec::new();
        list(document.root.get_ref(), "", &mut lines);
        for (line, span) in &mut lines {
            problems.warn(span, line.as_str());
        }
        let found: Vec<_> = problems
            .into_vec()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expect);
    }

    fn list(table: &DeTable<'_>, path: &str, lines: &mut Vec<(String, std::ops::Range<usize>)>) {
        for (key, value) in table {
            let path = format!("{path}.{}", key.get_ref());
            one(value, &path, lines);
        }
    }

    fn one(
        value: &Spanned<DeValue<'_>>,
        path: &str,
        lines: &mut Vec<(String, std::ops::Range<usize>)>,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => list(table, path, lines),
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    one(item, &format!("{path}[{at}]"), lines);
                }
            }
            DeValue::Integer(number) => lines.push((format!("{path} = {number}"), value.span())),
            DeValue::String(text) => lines.push((format!("{path} = {text}"), value.span())),
            _ => {}
        }
    }

    #[test]
    fn what_is_not_written_comes_from_the_ancestors_with_its_place() {
        check(
            "name = \"c\"\nf.2 = { max = 9 }\nl = [3]",
            &[
                "name = \"b\"\nf.3 = { max = 8, min = 7 }\n",
                "l = [1, 2]\nf.2 = { max = 1, min = 2 }",
            ],
            &[
                "own:1:8: warning: .name = c",
                "own:2:15: warning: .f.2.max = 9",
                "own:3:6: warning: .l[0] = 3",
                "parent:2:15: warning: .f.3.max = 8",
                "parent:2:24: warning: .f.3.min = 7",
                "grandparent:2:24: warning: .f.2.min = 2",
            ],
        );
    }

    #[test]
    fn named_tables_are_laid_over_each_other_and_new_ones_come_first() {
        check(
            "[[r]]\nname = \"new\"\n[[r]]\nname = \"b\"\nk = 5\n",
            &["[[r]]\nname = \"a\"\nk = 1\n[[r]]\nname = \"b\"\nk = 2\nm = 3\n"],
            &[
                "own:2:8: warning: .r[0].name = new",
                "own:4:8: warning: .r[2].name = b",
                "own:5:5: warning: .r[2].k = 5",
                "parent:2:8: warning: .r[1].name = a",
                "parent:3:5: warning: .r[1].k = 1",
                "parent:7:5: warning: .r[2].m = 3",
            ],
        );
    }

    #[test]
    fn what_remove_names_is_gone_and_must_have_been_there() {
        check(
            "remove = [\"f.2\", \"r.a\", \"s.59.A2\", \"f.9\"]\n",
            &["f.2 = 1\nf.3 = 2\ns.\"59.A2\" = 3\n[[r]]\nname = \"a\"\n[[r]]\nname = \"b\"\n"],
            &[
                "own:1:11: warning: .remove[0] = f.2",
                "own:1:18: warning: .remove[1] = r.a",
                "own:1:25: warning: .remove[2] = s.59.A2",
                "own:1:36: error: remove: nothing is inherited under \"f.9\"; under \"f\" there are 3",
                "own:1:36: warning: .remove[3] = f.9",
                "parent:2:7: warning: .f.3 = 2",
                "parent:7:8: warning: .r[0].name = b",
            ],
        );
    }
}
