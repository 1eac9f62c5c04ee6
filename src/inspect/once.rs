//! JSON in which no key stands twice: of two values for one field nobody knows which was meant.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON as it is.
///
/// # Errors
/// It is no JSON, or an object of it has a key twice; with line and column.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Once>(text).map(|Once(value)| value)
}

struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Each).map(Once)
    }
}

struct Each;

impl<'de> Visitor<'de> for Each {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(value)) = list.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if all.contains_key(&key) {
                // A key may be any text.
                let key: String = key.chars().take(40).collect();
                return Err(A::Error::custom(format!(
                    "the key {key:?} stands there twice"
                )));
            }
            let Once(value) = map.next_value()?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_once_is_read_as_it_is() {
        for text in [
            r#"{"a": [1, -2, 0.5, null, true, "x\n"], "b": {"a": {}}}"#,
            "[]",
            "null",
            "\"\u{7ec8}\"",
        ] {
            let expect: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()).unwrap(), expect, "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_named_with_its_place() {
        let told = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            told("{\"fields\": {\"3\": \"000000\",\n \"11\": \"1\", \"3\": \"1\"}}"),
            "the key \"3\" stands there twice at line 2 column 15"
        );
        assert!(told("{\"a\": 1, \"a\": 2}").contains("\"a\" stands there twice"));
        assert!(told("{").contains("EOF"));
    }
}
