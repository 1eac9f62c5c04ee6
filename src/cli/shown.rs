//! Answers of the gateway in columns for people: a list as a table, anything else as names and values.

use std::io;

use serde_json::Value;

use super::output;
use super::token::time;

/// Columns that stand before the others, which follow by their names.
const FIRST: [&str; 15] = [
    "terminal_id",
    "case",
    "contact",
    "challenge",
    "evidence",
    "hold",
    "alert",
    "version",
    "event",
    "kind",
    "scope",
    "role",
    "value",
    "state",
    "stage",
];

/// Shows an answer. Lists in it that have members of their own stand below as tables.
pub(super) fn table(answer: &Value) -> io::Result<()> {
    let mut rows = Vec::new();
    let mut lists = Vec::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        match value {
            Value::Array(list) if list.iter().any(Value::is_object) => lists.push((name, list)),
            Value::Array(list) if list.is_empty() => {
                if answer.as_object().is_some_and(|all| all.len() == 1) {
                    output::line(format_args!("no {name}"))?;
                }
            }
            other => flat(name, other, &mut rows),
        }
    }
    if !rows.is_empty() {
        output::columns(&rows)?;
    }
    let is_alone = rows.is_empty() && lists.len() == 1;
    for (name, list) in lists {
        if !is_alone {
            output::line(format_args!("\n{}:", name.replace('_', " ")))?;
        }
        let (header, rows) = columns_of(list);
        let header: Vec<_> = header.iter().map(String::as_str).collect();
        output::table(&header, &rows)?;
    }
    Ok(())
}

/// A list's columns and rows; a column in which nothing stands is left out, and so is a case's whole content.
fn columns_of(list: &[Value]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut named: Vec<Vec<Vec<String>>> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for row in list {
        let mut cells = Vec::new();
        for (name, value) in row.as_object().into_iter().flatten() {
            match value {
                _ if name == "body" => {}
                // What has members of its own is one cell, not a column for each member of each.
                Value::Array(list) if list.iter().any(Value::is_object) => {
                    let all: Vec<_> = list.iter().map(in_a_row).collect();
                    cells.push(vec![name.clone(), all.join("; ")]);
                }
                _ => flat(name, value, &mut cells),
            }
        }
        for cell in &cells {
            if !cell[0].is_empty() && !names.contains(&cell[0]) {
                names.push(cell[0].clone());
            }
        }
        named.push(cells);
    }
    let place = |name: &String| {
        FIRST
            .iter()
            .position(|first| first == name)
            .unwrap_or(FIRST.len())
    };
    names.sort_by_key(|name| (place(name), name.clone()));
    let cell = |cells: &Vec<Vec<String>>, name: &String| {
        let found = cells.iter().position(|cell| cell[0] == *name);
        found.map_or_else(String::new, |at| {
            let more = cells[at + 1..]
                .iter()
                .take_while(|cell| cell[0].is_empty())
                .map(|cell| cell[1].as_str());
            let all = std::iter::once(cells[at][1].as_str()).chain(more);
            all.collect::<Vec<_>>().join("; ")
        })
    };
    let rows = named
        .iter()
        .map(|cells| names.iter().map(|name| cell(cells, name)).collect())
        .collect();
    let header = names
        .iter()
        .map(|name| name.to_uppercase().replace('_', " "))
        .collect();
    (header, rows)
}

/// The values of what has members, one behind the other.
fn in_a_row(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten();
    let values: Vec<_> = members.map(|(_, value)| plain(value)).collect();
    values.join(" ")
}

/// Members within members by their way, as `impact.outstanding.owed`; what is empty is left out.
fn flat(way: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flat(&format!("{way}.{name}"), value, rows);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (at, value) in list.iter().enumerate() {
                flat(&format!("{way}.{}", at + 1), value, rows);
            }
        }
        // Sentences stand below each other.
        Value::Array(list) if list.iter().any(|each| plain(each).contains(' ')) => {
            for (at, value) in list.iter().enumerate() {
                let name = if at == 0 { way } else { "" };
                rows.push(vec![name.to_owned(), plain(value)]);
            }
        }
        Value::Number(_) if is_time(way) => {
            if value.as_u64() != Some(0) {
                let name = way.trim_end_matches("_us").to_owned();
                rows.push(vec![name, time(value)]);
            }
        }
        other => {
            let text = plain(other);
            if !text.is_empty() {
                rows.push(vec![way.to_owned(), text]);
            }
        }
    }
}

/// Whether a number of this name is a time, in microseconds.
fn is_time(way: &str) -> bool {
    let name = way.rsplit('.').next().unwrap_or(way);
    let name = name.trim_end_matches("_us");
    name == "at" || name.ends_with("_at") || name.ends_with("_until")
}

/// A value in a cell. Pairs, as the names of keys and their check values, are written as they are typed in.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().any(Value::is_array) => {
            let pairs = list.iter().map(|pair| {
                let parts: Vec<_> = pair.as_array().into_iter().flatten().map(plain).collect();
                parts.join("=")
            });
            pairs.collect::<Vec<_>>().join(" ")
        }
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join("+"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: &Value) -> Vec<String> {
        let mut rows = Vec::new();
        for (name, value) in value.as_object().unwrap() {
            flat(name, value, &mut rows);
        }
        rows.iter().map(|row| row.join(" ")).collect()
    }

    #[test]
    fn times_are_times_and_keys_are_as_they_are_typed() {
        let shown = rows(&json!({
            "keys": [["tmk", "A1B2C3"], ["mac", "D4E5F6"]],
            "opened_at_us": 1_795_305_600_000_000_u64,
            "closed_at_us": null, "custody": "", "effective_at": 0,
            "reasons": ["phone", "account"],
            "waits_for": ["add-document identity", "submit"],
        }));
        let at = time(&json!(1_795_305_600_000_000_u64));
        assert_eq!(
            shown,
            [
                "keys tmk=A1B2C3 mac=D4E5F6".to_owned(),
                format!("opened_at {at}"),
                "reasons phone+account".into(),
                "waits_for add-document identity".into(),
                " submit".into(),
            ]
        );
    }

    #[test]
    fn a_list_has_its_number_first_and_no_empty_columns() {
        let list = [
            json!({ "binding": 9, "case": 1, "stage": "draft", "body": { "note": "x" }, "note": "" }),
            json!({
                "binding": 8, "case": 2, "stage": "documents", "waits_for": ["a b", "c d"],
                "other_accounts": [{ "id": "W-1", "kind": "wechat" }, { "id": "L-1", "kind": "alipay" }],
            }),
        ];
        let (header, rows) = columns_of(&list);
        assert_eq!(
            header,
            ["CASE", "STAGE", "BINDING", "OTHER ACCOUNTS", "WAITS FOR"]
        );
        assert_eq!(rows[0], ["1", "draft", "9", "", ""]);
        let accounts = "W-1 wechat; L-1 alipay";
        assert_eq!(rows[1], ["2", "documents", "8", accounts, "a b; c d"]);
    }
}
