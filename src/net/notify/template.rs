//! The body of an SMS gateway's request: a text with places for number, text and parcel.

use crate::base::notice::Notice;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A place that is not known.
    #[error("{{{0}}} is no place of a template; there are {{to}}, {{text}} and {{id}}")]
    Place(String),
    /// One that has to be there.
    #[error("{{{0}}} has to be in the template")]
    Missing(&'static str),
}

/// How what is put into a template is written there, so that it cannot end the place it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As inside a JSON string.
    Json,
    /// As a value of a form.
    Form,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    escape: Escape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(String),
    To,
    Text,
    Id,
}

impl Template {
    /// Reads a template. A `{` that no lower-case word and `}` follow stands for itself, as JSON has them.
    ///
    /// # Errors
    /// When a place is not known, or number or text have none.
    pub fn parse(text: &str, escape: Escape) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            fixed.push_str(before);
            let word = after.split_once('}').filter(|(word, _)| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
            });
            let Some((word, behind)) = word else {
                fixed.push('{');
                rest = after;
                continue;
            };
            let place = match word {
                "to" => Part::To,
                "text" => Part::Text,
                "id" => Part::Id,
                other => return Err(TemplateError::Place(other.to_owned())),
            };
            parts.push(Part::Fixed(std::mem::take(&mut fixed)));
            parts.push(place);
            rest = behind;
        }
        fixed.push_str(rest);
        parts.push(Part::Fixed(fixed));
        for (place, name) in [(Part::To, "to"), (Part::Text, "text")] {
            if !parts.contains(&place) {
                return Err(TemplateError::Missing(name));
            }
        }
        Ok(Self { parts, escape })
    }

    /// How it is sent, as a `Content-Type`.
    pub(super) const fn content_type(&self) -> &'static str {
        match self.escape {
            Escape::Json => "application/json",
            Escape::Form => "application/x-www-form-urlencoded",
        }
    }

    /// The body for one text.
    pub(super) fn filled(&self, number: u64, notice: &Notice) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Fixed(text) => out.push_str(text),
                Part::To => self.put(&mut out, &notice.to),
                Part::Text => self.put(&mut out, &notice.text),
                Part::Id => out.push_str(&number.to_string()),
            }
        }
        out
    }

    fn put(&self, out: &mut String, text: &str) {
        match self.escape {
            Escape::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                let inside = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
                out.push_str(inside.unwrap_or_default());
            }
            Escape::Form => {
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                        out.push(char::from(byte));
                    } else {
                        out.push_str(&format!("%{byte:02X}"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn notice() -> Notice {
        Notice {
            to: Zeroizing::new("+86 138".into()),
            subject: String::new(),
            text: Zeroizing::new("say \"{to}\" & \\ 您好\n".into()),
        }
    }

    #[test]
    fn a_text_cannot_leave_its_place() {
        let json = Template::parse(
            "{\"n\": {\"to\": \"{to}\"}, \"t\":\"{text}\",\"id\":{id}}",
            Escape::Json,
        );
        let filled = json.unwrap().filled(7, &notice());
        let read: serde_json::Value = serde_json::from_str(&filled).unwrap();
        let notice = notice();
        assert_eq!(
            read,
            serde_json::json!({"n": {"to": *notice.to}, "t": *notice.text, "id": 7})
        );
        let form = Template::parse("mobile={to}&content={text}", Escape::Form).unwrap();
        assert_eq!(
            form.filled(7, &notice),
            "mobile=%2B86%20138&content=say%20%22%7Bto%7D%22%20%26%20%5C%20%E6%82%A8%E5%A5%BD%0A"
        );
    }

    #[test]
    fn what_is_no_template_is_refused_with_what_there_is() {
        let refused = |text| Template::parse(text, Escape::Json).unwrap_err();
        assert_eq!(
            refused("{to} {text} {code}"),
            TemplateError::Place("code".into())
        );
        assert_eq!(refused("{text}"), TemplateError::Missing("to"));
        assert_eq!(refused("{to}"), TemplateError::Missing("text"));
    }
}
