//! What the API answers is what its document says: no member less, none more, each of its type.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::story::{LI, Story};

/// Compares what these addresses answer with `/openapi.json`.
pub(super) async fn compared(story: &Story, asked: &[(&str, &str)]) {
    let (status, document) = story.call(LI, "GET", "/openapi.json", &Value::Null).await;
    assert_eq!(status, 200);
    for (route, path) in asked {
        let (status, answer) = story.call(LI, "GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let operation = &document["paths"][*route]["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{route} has no schema");
        let fits = Document(&document).fits(schema, &answer, path);
        assert!(fits.is_ok(), "{}: {answer:#}", fits.unwrap_err());
    }
}

struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => {
                let found = self.0.pointer(name.trim_start_matches('#'));
                self.resolved(found.unwrap_or_else(|| panic!("nothing is at {name}")))
            }
            None => schema,
        }
    }

    /// Members that an object may have; `None` when it may have any.
    fn members(&self, schema: &'a Value) -> Option<BTreeSet<&'a str>> {
        let schema = self.resolved(schema);
        if schema.get("additionalProperties").is_some() {
            return None;
        }
        let own = schema["properties"].as_object().into_iter().flatten();
        let mut names: BTreeSet<_> = own.map(|(name, _)| name.as_str()).collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            names.extend(self.members(part)?);
        }
        (!names.is_empty()).then_some(names)
    }

    fn fits(&self, schema: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let (Some(known), Some(members)) = (self.members(schema), value.as_object()) {
            let new = members.keys().find(|name| !known.contains(name.as_str()));
            if let Some(new) = new {
                return Err(format!("{at}.{new} is not in the document"));
            }
        }
        self.shaped(schema, value, at)
    }

    fn shaped(&self, schema: &'a Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let Some(ways) = schema["oneOf"].as_array() {
            let told: Vec<_> = ways.iter().map(|way| self.fits(way, value, at)).collect();
            let fitting = told.iter().filter(|way| way.is_ok()).count();
            return if fitting == 1 {
                Ok(())
            } else {
                Err(format!("{at} fits {fitting} of its ways: {told:?}"))
            };
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.shaped(part, value, at)?;
        }
        let types: Vec<_> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !types.is_empty() && !types.contains(&is) {
            return Err(format!("{at} is {is}, and not {types:?}"));
        }
        if let Some(known) = schema["enum"].as_array()
            && !known.contains(value)
        {
            return Err(format!("{at} is {value}, and not one of {known:?}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if value.is_object() && value.get(name).is_none() {
                return Err(format!("{at}.{name} is missing"));
            }
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            let known = schema["properties"].get(name);
            let known = known.or_else(|| schema.get("additionalProperties"));
            if let Some(known) = known {
                self.fits(known, member, &format!("{at}.{name}"))?;
            }
        }
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], item, &format!("{at}[{place}]"))?;
        }
        Ok(())
    }
}

#[test]
fn a_member_too_many_and_one_too_few_do_not_fit() {
    let document = json!({ "components": { "schemas": {
        "Inner": { "type": "object", "required": ["b"], "properties": { "b": { "type": "string" } } },
        "Outer": { "allOf": [
            { "$ref": "#/components/schemas/Inner" },
            { "type": "object", "required": ["a"], "properties": { "a": { "type": ["integer", "null"] } } },
        ] },
        "Either": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Outer" }] },
    } } });
    let schema = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Either" } });
    let fits = |value: Value| Document(&document).fits(&schema, &value, "it");
    fits(json!([null, { "a": 1, "b": "x" }, { "a": null, "b": "y" }])).unwrap();
    for wrong in [
        json!([{ "a": 1 }]),
        json!([{ "a": 1, "b": "x", "c": 2 }]),
        json!([{ "a": "1", "b": "x" }]),
        json!([{ "b": "x" }]),
        json!([3]),
        json!({}),
    ] {
        assert!(fits(wrong.clone()).is_err(), "{wrong}");
    }
}
