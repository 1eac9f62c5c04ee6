//! `protocols/dialect.schema.json` against the parser: every key of one is a key of the other, and every shipped
//! file validates.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use posgate::iso8583::Dialect;
use serde_json::Value;

use super::json_schema::broken;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read("protocols/dialect.schema.json")).unwrap()
}

/// What no shipped dialect says, so that the parser is asked for all it knows.
const REST: &str = r#"
name = "rest"
title = "rest"
[framing]
length_bytes = 2
[message]
[fields]
48 = { en = "x", type = "ans", length = "LLL", max = 999 }
49 = { en = "x", type = "ans", length = "LLL", max = 999 }
[subfields.48]
form = "ltv"
tag_bytes = 2
length_bytes = 2
[subfields.49]
form = "repeat"
count_bytes = 2
parts.1 = { en = "x", type = "n", max = 2 }
"#;

/// A place in the schema, as the names that lead to it.
type Place = Vec<String>;

/// Follows a reference.
fn resolved<'s>(root: &'s Value, node: &'s Value, place: Place) -> (&'s Value, Place) {
    match node["$ref"].as_str() {
        Some(reference) => {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            (
                &root["$defs"][name],
                vec!["$defs".to_owned(), name.to_owned()],
            )
        }
        None => (node, place),
    }
}

/// The place of a table's path. Names that the writer chose may have dots.
fn find(root: &Value, node: &Value, place: Place, path: &[&str]) -> Option<Place> {
    let (node, place) = resolved(root, node, place);
    let Some((first, rest)) = path.split_first() else {
        return Some(place);
    };
    let then = |more: &[&str]| -> Place {
        place
            .iter()
            .cloned()
            .chain(more.iter().map(|name| (*name).to_owned()))
            .collect()
    };
    let (name, listed) = match first.split_once('[') {
        Some((name, _)) => (name, true),
        None => (*first, false),
    };
    if let Some(known) = node["properties"].get(name) {
        let (known, place) = if listed {
            (&known["items"], then(&["properties", name, "items"]))
        } else {
            (known, then(&["properties", name]))
        };
        return find(root, known, place, rest);
    }
    let each = node
        .get("additionalProperties")
        .filter(|each| each.is_object())?;
    (1..=path.len()).find_map(|taken| {
        find(
            root,
            each,
            then(&["additionalProperties"]),
            path.get(taken..)?,
        )
    })
}

/// Every key of every table in the schema.
fn keys(root: &Value, node: &Value, place: Place, found: &mut BTreeSet<(Place, String)>) {
    let (node, place) = resolved(root, node, place);
    let then = |more: &[&str]| -> Place {
        place
            .iter()
            .cloned()
            .chain(more.iter().map(|name| (*name).to_owned()))
            .collect()
    };
    for (name, inner) in node["properties"].as_object().into_iter().flatten() {
        if found.insert((place.clone(), name.clone())) {
            keys(root, inner, then(&["properties", name]), found);
            keys(
                root,
                &inner["items"],
                then(&["properties", name, "items"]),
                found,
            );
        }
    }
    if node["additionalProperties"].is_object() {
        keys(
            root,
            &node["additionalProperties"],
            then(&["additionalProperties"]),
            found,
        );
    }
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let schema = schema();
    let mut asked = BTreeSet::new();
    let shipped = Dialect::shipped_names()
        .iter()
        .map(|name| (*name, Dialect::shipped_text(name).unwrap()));
    for (file, text) in shipped.chain([("rest", REST)]) {
        for (path, key) in Dialect::keys(file, text) {
            let names: Vec<_> = path.split('.').filter(|name| !name.is_empty()).collect();
            let place = find(&schema, &schema, Vec::new(), &names);
            let place = place.unwrap_or_else(|| panic!("the schema has no table for {path}"));
            asked.insert((place, key.to_owned()));
        }
    }
    let mut known = BTreeSet::new();
    keys(&schema, &schema, Vec::new(), &mut known);
    let unknown: Vec<_> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "the schema lacks {unknown:?}");
    let never: Vec<_> = known.difference(&asked).collect();
    assert!(never.is_empty(), "the parser never asks for {never:?}");
}

/// What the schema says of a file.
pub(crate) fn verdict(text: &str) -> Option<String> {
    let schema = schema();
    let table: toml::Table = text.parse().unwrap();
    broken(&schema, &schema, &serde_json::to_value(table).unwrap(), "")
}

#[test]
fn every_shipped_file_validates() {
    for name in Dialect::shipped_names() {
        assert_eq!(
            verdict(Dialect::shipped_text(name).unwrap()),
            None,
            "{name}"
        );
    }
    assert_eq!(verdict(REST), None);
}

#[test]
fn what_the_schema_refuses_is_named() {
    let check = |text: &str, expect: &str| {
        let found = verdict(&format!(
            "name = \"a\"\ntitle = \"a\"\nextends = \"b\"\n{text}"
        ))
        .unwrap();
        assert!(found.contains(expect), "{found}");
    };
    check("nmae = 1", ".nmae is not in the schema");
    check("[message]\nbitmaps = 4", ".message.bitmaps is out of range");
    check(
        "[fields]\n3 = { type = \"m\" }",
        ".fields.3.type is none of",
    );
    check("[[request]]\nmti = \"0200\"", ".request[].name is missing");
}

#[test]
fn what_builds_on_another_may_say_as_little_as_it_likes() {
    let text = "name = \"a\"\ntitle = \"a\"\nextends = \"unionpay-pos\"\nremove = [\"fields.3\"]\n[fields]\n2 = { max = 16 }\n\
        [subfields.55.parts]\n95 = { zh = \"a\" }\n[[request]]\nname = \"sale\"\nrequired = [3]\n[network.echo]\nfilled = [11]\n\
        [responses.texts]\n00 = { en = \"yes\" }\n[roles.amount_parts]\namount = \"4.1\"\n";
    assert_eq!(verdict(text), None);
}
