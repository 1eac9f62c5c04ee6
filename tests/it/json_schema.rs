//! What of JSON Schema (2020-12) the schema of dialect files uses, judged over a value. A keyword that is not known
//! here fails the test, so that nothing of the schema goes untried.

use regex::Regex;
use serde_json::Value;

/// Keywords that say nothing of a value, or are looked at by their neighbours.
const SILENT: [&str; 9] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "default",
    "examples",
    "then",
    "else",
];

/// What of a value breaks its schema: the first thing, with the path that leads there.
pub(crate) fn broken(root: &Value, node: &Value, value: &Value, path: &str) -> Option<String> {
    let keywords = node.as_object()?;
    let here = keywords
        .iter()
        .find_map(|(keyword, says)| keyword_broken(root, node, (keyword, says), value, path));
    let referred = || {
        let name = node["$ref"].as_str()?.strip_prefix("#/$defs/").unwrap();
        broken(root, &root["$defs"][name], value, path)
    };
    here.or_else(referred)
}

fn keyword_broken(
    root: &Value,
    node: &Value,
    (keyword, says): (&str, &Value),
    value: &Value,
    path: &str,
) -> Option<String> {
    let judged = |schema: &Value| broken(root, schema, value, path);
    let table = value.as_object();
    let keys = || table.into_iter().flat_map(|table| table.keys());
    let size = |count: usize, fits: fn(u64, u64) -> bool| {
        let sound = fits(count.try_into().unwrap(), says.as_u64().unwrap());
        (!sound).then(|| format!("{path} breaks {keyword} {says}"))
    };
    match keyword {
        "type" => (!is(says.as_str().unwrap(), value)).then(|| format!("{path} is no {says}")),
        "enum" => {
            let words = says.as_array().unwrap();
            (!words.contains(value)).then(|| format!("{path} is none of {words:?}"))
        }
        "minimum" | "maximum" => {
            let (number, bound) = (value.as_i64()?, says.as_i64().unwrap());
            let sound = if keyword == "minimum" {
                number >= bound
            } else {
                number <= bound
            };
            (!sound).then(|| format!("{path} is out of range"))
        }
        "pattern" => {
            let text = value.as_str()?;
            let sound = Regex::new(says.as_str().unwrap()).unwrap().is_match(text);
            (!sound).then(|| format!("{path} does not look like {says}"))
        }
        "minLength" => size(value.as_str()?.chars().count(), |count, least| {
            count >= least
        }),
        "maxLength" => size(value.as_str()?.chars().count(), |count, most| count <= most),
        "minItems" => size(value.as_array()?.len(), |count, least| count >= least),
        "uniqueItems" => {
            let list = value.as_array()?;
            let again =
                |(at, item): (usize, &Value)| list.iter().take(at).any(|known| known == item);
            let twice = list.iter().enumerate().any(again);
            twice.then(|| format!("{path} says the same twice"))
        }
        "maxItems" => size(value.as_array()?.len(), |count, most| count <= most),
        "minProperties" => size(table?.len(), |count, least| count >= least),
        "items" => value
            .as_array()?
            .iter()
            .find_map(|item| broken(root, says, item, &format!("{path}[]"))),
        "propertyNames" => keys().find_map(|key| {
            broken(
                root,
                says,
                &Value::from(key.as_str()),
                &format!("{path}.{key}"),
            )
        }),
        "required" => table.and_then(|table| lacking(says, table, path)),
        "dependentRequired" => {
            let says = says.as_object().unwrap();
            let asked = says
                .iter()
                .filter(|(key, _)| keys().any(|known| known == *key));
            asked
                .into_iter()
                .find_map(|(_, needs)| lacking(needs, table?, path))
        }
        "properties" => table?
            .iter()
            .find_map(|(key, inner)| broken(root, says.get(key)?, inner, &format!("{path}.{key}"))),
        "additionalProperties" => table?.iter().find_map(|(key, inner)| {
            let path = format!("{path}.{key}");
            match (node["properties"].get(key), says) {
                (Some(_), _) => None,
                (None, Value::Bool(false)) => Some(format!("{path} is not in the schema")),
                (None, says) => broken(root, says, inner, &path),
            }
        }),
        "allOf" => says.as_array().unwrap().iter().find_map(judged),
        "anyOf" => {
            let mut each = says.as_array().unwrap().iter().map(judged);
            each.all(|found| found.is_some())
                .then(|| format!("{path} is nothing of {keyword}"))
        }
        "if" => judged(
            &node[if judged(says).is_none() {
                "then"
            } else {
                "else"
            }],
        ),
        known if SILENT.contains(&known) => None,
        unknown => panic!("{unknown} is not judged here"),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{other} is not judged here"),
    }
}

fn lacking(names: &Value, table: &serde_json::Map<String, Value>, path: &str) -> Option<String> {
    let mut names = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap());
    let lacking = names.find(|name| !table.contains_key(*name))?;
    Some(format!("{path}.{lacking} is missing"))
}
