//! Messages as people read them.

use crate::base::Counted;
use crate::inspect::{
    self, Content, Description, Doubt, Element, Fault, Guess, Language, Layout, Reveal,
};

/// Longest name that still decides how wide the column of names is.
const NAME_WIDTH_MAX: usize = 40;

/// Characters of a value on one line.
const VALUE_WIDTH: usize = 64;

/// How a message is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) reveal: Reveal,
    pub(super) language: Language,
}

/// One line on what the bytes were taken as.
pub(super) fn taken_as(guess: &Guess) -> String {
    format!(
        "{}, {}, {} ({})",
        guess.dialect.name(),
        guess.layout.name(),
        Counted(guess.input.len(), "byte"),
        guess.notation.name()
    )
}

/// The lines of a description.
pub(super) fn lines(description: &Description, layout: Layout, look: Look) -> Vec<String> {
    let own = match layout {
        Layout::Framed | Layout::Bare => "",
        Layout::Headless => "  (the dialect's own, not in the message)",
    };
    let mut out = Vec::new();
    let envelope = description.envelope(look.reveal);
    if !envelope.tpdu.is_empty() {
        out.push(format!("TPDU    {}{own}", envelope.tpdu));
    }
    if !envelope.header.is_empty() {
        out.push(format!("header  {}{own}", envelope.header));
    }
    for (name, digits) in &envelope.header_parts {
        let name = look.language.of(&name.en, &name.zh);
        out.push(format!("        {digits}  {name}"));
    }
    let words = inspect::mti(description.mti, look.language);
    out.push(format!("MTI     {}  {words}", description.mti));
    if let Some(request) = &description.request {
        let name = look.language.of(&request.en, &request.zh);
        out.push(format!("        {name}"));
    }
    let named = |fields: &[u8]| {
        let named: Vec<_> = fields.iter().map(|de| format!("DE{de}")).collect();
        named.join(", ")
    };
    if !description.missing.is_empty() {
        out.push(format!("        lacks {}", named(&description.missing)));
    }
    if !description.unexpected.is_empty() {
        out.push(format!(
            "        must not have {}",
            named(&description.unexpected)
        ));
    }
    out.push(String::new());
    let mut rows = Vec::new();
    for field in &description.fields {
        row(field, 0, look, &mut rows);
    }
    let widest = |width: fn(&Row) -> usize| rows.iter().map(width).max().unwrap_or(0);
    let keys = widest(|row| row.indent + width(&row.key));
    let names = widest(|row| width(&row.name)).min(NAME_WIDTH_MAX);
    for row in &rows {
        let indent = " ".repeat(row.indent);
        // Numbers of fields stand to the right, those of parts below the names.
        let key = match row.indent {
            0 => format!("{:>3}", row.key),
            _ => format!("{indent}{}", row.key),
        };
        let head = format!(
            "{}  {}",
            padded(&key, keys.max(3)),
            padded(&row.name, names)
        );
        let mut values = row.values.iter();
        let first = values.next().map_or("", String::as_str);
        out.push(format!("{head}  {first}").trim_end().to_owned());
        for more in values {
            out.push(format!("{}  {more}", " ".repeat(width(&head))));
        }
    }
    out
}

/// The lines on what may be meant otherwise.
pub(super) fn doubts(doubts: &[Doubt]) -> Vec<String> {
    let told = doubts
        .iter()
        .map(|doubt| format!("doubtful: {}: {}", doubt.place(), doubt.text));
    let blank = (!doubts.is_empty()).then(String::new);
    blank.into_iter().chain(told).collect()
}

/// The lines on what is wrong with a message.
pub(super) fn fault(fault: &Fault) -> Vec<String> {
    let mut out = vec![String::new(), format!("broken: {}", fault.what)];
    out.extend(fault.window.iter().cloned());
    for (at, cause) in fault.causes.iter().enumerate() {
        let begin = match (at, cause.sound) {
            (0, true) => "likely cause: ",
            (_, true) => "or: ",
            (_, false) => "perhaps: ",
        };
        out.push(format!("{begin}{}", cause.text));
        if let Some(remedy) = &cause.remedy {
            out.push(format!("{}{remedy}", " ".repeat(begin.len())));
        }
    }
    out
}

struct Row {
    indent: usize,
    key: String,
    name: String,
    values: Vec<String>,
}

fn row(element: &Element, depth: usize, look: Look, rows: &mut Vec<Row>) {
    let text = element.text(look.reveal);
    let mut values = match &element.content {
        // The parts say it again, and better.
        Content::Bytes(bytes) if !element.parts.is_empty() => {
            vec![Counted(bytes.len(), "byte").to_string()]
        }
        Content::Bytes(_) | Content::Digits(_) | Content::Text(_) => wrapped(&text),
    };
    if let (Some(meaning), Some(last)) = (element.meaning(look.language), values.last_mut()) {
        last.push_str("  ");
        last.push_str(meaning);
    }
    if let Some(broken) = &element.broken {
        values.push(format!("cannot be taken apart: {broken}"));
    }
    rows.push(Row {
        indent: depth * 5,
        key: element.key().to_owned(),
        name: element.name(look.language).to_owned(),
        values,
    });
    for part in &element.parts {
        row(part, depth + 1, look, rows);
    }
}

/// A value on as many lines as it needs.
fn wrapped(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return vec![String::new()];
    }
    characters
        .chunks(VALUE_WIDTH)
        .map(|line| line.iter().collect())
        .collect()
}

/// Columns that a text takes in a terminal: Chinese characters take two.
pub(super) fn width(text: &str) -> usize {
    let wide = |c: char| matches!(c, '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}');
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

/// The text with blanks behind it up to a width.
pub(super) fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_takes_two_columns() {
        assert_eq!(width("金额ab"), 6);
        assert_eq!(padded("金额", 6), "金额  ");
        assert_eq!(padded("amount", 3), "amount");
    }

    #[test]
    fn long_values_go_on_below() {
        assert_eq!(wrapped(""), [""]);
        assert_eq!(wrapped(&"A".repeat(65)), ["A".repeat(64), "A".to_owned()]);
    }
}
