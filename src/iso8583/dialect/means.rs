//! Reads `[means]`: how a message names what the customer pays with.

use std::collections::BTreeMap;

use crate::base::Means;
use crate::base::document::Section;
use crate::iso8583::message::Message;
use crate::iso8583::subfield::Layout;

use super::fields;
use super::part_path::PartPath;
use super::table::{SubField, Table};

/// Where the means of payment stands, and what its value begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeansRules {
    place: Place,
    begins: Vec<(Box<[u8]>, Means)>,
    other: Option<Means>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A field, or a positional part of one.
    Field(SubField),
    /// A part of a part, as `[subfields]` defines them.
    Part(PartPath),
}

impl MeansRules {
    /// What a message is paid with: a card when it says nothing of it. `None` when it names what the dialect does
    /// not list.
    #[must_use]
    pub fn of(&self, message: &Message<'_>) -> Option<Means> {
        let read = |value: &[u8]| self.means_of(value.trim_ascii());
        let named = match &self.place {
            Place::Field(part) => message
                .part(*part)
                .map(|value| read(value.as_str().as_bytes())),
            Place::Part(path) => path.read(message, read),
        };
        named.unwrap_or(Some(Means::Card))
    }

    fn means_of(&self, value: &[u8]) -> Option<Means> {
        if value.is_empty() {
            return Some(Means::Card);
        }
        let begun = |(begin, _): &&(Box<[u8]>, Means)| value.starts_with(begin);
        let listed = self.begins.iter().find(begun).map(|(_, means)| *means);
        listed.or(self.other)
    }
}

/// Reads `[means]`, as in `part = "59.A3"` and `wechat = ["10", "11"]`; a dialect may leave it out.
pub(super) fn rules(
    root: &Section<'_, '_>,
    table: &Table,
    layouts: &BTreeMap<u8, Layout>,
) -> Option<MeansRules> {
    let section = root.section("means")?;
    let place = section.required_text("part", "59.A3").and_then(|text| {
        let place = place(text.value, table, layouts);
        if place.is_none() {
            section.problems().dangling(
                &text.span,
                format!(
                    "\"{}\" is no field, and no part of one that [fields] or [subfields] defines",
                    text.value
                ),
            );
        }
        place
    });
    let mut begins: Vec<(Box<[u8]>, Means)> = Vec::new();
    for (word, means) in Means::WORDS {
        for text in section.texts(word) {
            let begin = text.value.as_bytes();
            // Two that fit one value would make it a matter of their order.
            let both = |(known, of): &(Box<[u8]>, Means)| {
                *of != means && (known.starts_with(begin) || begin.starts_with(known))
            };
            let message = if begin.is_empty() {
                format!("means.{word} has what a value begins with, which is not nothing")
            } else if begins.iter().any(both) {
                format!(
                    "means.{word}: what begins with \"{}\" may be another means too",
                    text.value
                )
            } else {
                begins.push((begin.into(), means));
                continue;
            };
            section.problems().error(&text.span, message);
        }
    }
    let other = section.choice_of("other", &Means::WORDS);
    if !Means::WORDS.iter().any(|(word, _)| section.has(word)) {
        section.error("means lists nothing; write for example `wechat = [\"002\"]`");
    }
    section.finish();
    Some(MeansRules {
        place: place?,
        begins,
        other,
    })
}

fn place(text: &str, table: &Table, layouts: &BTreeMap<u8, Layout>) -> Option<Place> {
    let field = fields::sub_field(table, text).map(Place::Field);
    field.or_else(|| PartPath::parse(text, layouts).map(Place::Part))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use crate::base::Means;
    use crate::iso8583::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    const UNIONPAY: &str = include_str!("../../../protocols/unionpay-pos/dialect.toml");

    fn with_means(section: &str) -> Result<Dialect, String> {
        let shipped = UNIONPAY.split_once("[means]").unwrap();
        let rest = shipped.1.split_once("\n\n").unwrap().1;
        let text = format!("{}[means]\n{section}\n\n{rest}", shipped.0);
        let read = Dialect::parse("x", &text);
        read.map_err(|problems| {
            let all = problems.iter().map(|problem| problem.message.clone());
            all.collect::<Vec<_>>().join("; ")
        })
    }

    fn check(dialect: &Dialect, field: Option<(u8, &[u8])>, expect: Option<Means>) {
        let mut out = BytesMut::new();
        let mut writer = dialect.write(&mut out);
        writer.envelope_default();
        writer.mti(Mti::parse("0200").unwrap());
        writer.text(41, b"T0000001");
        if let Some((de, value)) = field {
            writer.text(de, value);
        }
        writer.finish().unwrap();
        let mut index = Index::new();
        let message = dialect.decode(&out[2..], &mut index).unwrap();
        let found = dialect.means().unwrap().of(&message);
        assert_eq!(found, expect, "{field:?}");
    }

    #[test]
    fn the_code_that_a_customer_shows_says_whose_it_is() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let code = |text: &str| format!("A1001xA3{:03}{text}", text.len());
        for (shown, expect) in [
            ("134567890123456789", Means::WeChat),
            ("150000000000000000", Means::WeChat),
            ("160000000000000000", Means::Card),
            ("25000000000000000000", Means::Alipay),
            ("30000000000000000000", Means::Alipay),
            ("6212345678901234567", Means::Card),
        ] {
            check(&dialect, Some((59, code(shown).as_bytes())), Some(expect));
        }
        check(&dialect, Some((59, b"A1001x")), Some(Means::Card));
        check(&dialect, Some((59, b"rubbish")), Some(Means::Card));
        check(&dialect, None, Some(Means::Card));
    }

    #[test]
    fn a_field_may_name_it_and_what_is_not_listed_is_nobodys() {
        let dialect =
            with_means("part = \"63.1\"\nwechat = [\"002\"]\nalipay = [\"003\"]").unwrap();
        check(&dialect, Some((63, b"002")), Some(Means::WeChat));
        check(&dialect, Some((63, b"003and more")), Some(Means::Alipay));
        check(&dialect, Some((63, b"004")), None);
        check(&dialect, Some((63, b"   ")), Some(Means::Card));
        check(&dialect, None, Some(Means::Card));
    }

    #[test]
    fn mistakes_are_told() {
        let refused = |section: &str| with_means(section).unwrap_err();
        assert!(refused("part = \"59.A9\"\nwechat = [\"1\"]").contains("\"59.A9\" is no field"));
        assert!(refused("part = \"59.A3\"").contains("means lists nothing"));
        let twice = refused("part = \"59.A3\"\nwechat = [\"1\"]\nalipay = [\"12\"]");
        assert!(twice.contains("\"12\" may be another means too"), "{twice}");
        assert!(refused("part = \"59.A3\"\nwechat = [\"\"]").contains("not nothing"));
        assert!(refused("part = \"59.A3\"\nwechat = [\"1\"]\nother = \"cash\"").contains("other"));
    }
}
