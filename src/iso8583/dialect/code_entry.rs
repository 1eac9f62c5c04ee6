//! Reads `[code_entry]`: how a code that somebody was sent is entered at a terminal.

use zeroize::Zeroizing;

use crate::base::document::{Section, nearest};
use crate::iso8583::codes::ResponseCode;
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::message::Message;
use crate::iso8583::request::{Request, Served};

use super::settings;
use super::table::{Exposure, Table};

/// Characters that say what a code is for.
const PURPOSE_CHARS: usize = 2;

/// What a code can be for, by the names that the bindings room has for it.
const PURPOSES: [&str; 9] = [
    "bind",
    "verify-contact",
    "change-phone-old",
    "change-phone-new",
    "change-account",
    "unbind",
    "replace",
    "release-hold",
    "payer-confirm",
];

/// Where a code stands in a message, what it may be for, and how it is answered. The field holds two characters
/// for the purpose, and then the code to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeEntryRules {
    field: u8,
    /// The two characters, and the purpose's name.
    purposes: Vec<([u8; PURPOSE_CHARS], String)>,
    /// It is not the code.
    pub wrong: ResponseCode,
    /// It is not the code, and no more are taken.
    pub exhausted: ResponseCode,
    /// There is no code to wait for: none was sent, its time is over, or it was used.
    pub over: ResponseCode,
}

/// A code as somebody entered it. Wiped when it is dropped; its `Debug` does not show it.
pub struct EnteredCode {
    /// Name of what it is for.
    pub purpose: String,
    /// What was entered; not checked for its form.
    pub code: Zeroizing<String>,
}

impl std::fmt::Debug for EnteredCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnteredCode({})", self.purpose)
    }
}

impl CodeEntryRules {
    /// The field that holds purpose and code.
    #[must_use]
    pub const fn field(&self) -> u8 {
        self.field
    }

    /// Names of the purposes that a code can be entered for.
    pub fn purposes(&self) -> impl Iterator<Item = &str> {
        self.purposes.iter().map(|(_, name)| name.as_str())
    }

    /// What a message brings. `None` when the field is not there, or its purpose is not known.
    #[must_use]
    pub fn entered(&self, message: &Message<'_>) -> Option<EnteredCode> {
        let value = Zeroizing::new(message.value(self.field)?.into_owned());
        let (purpose, code) = value.split_first_chunk::<PURPOSE_CHARS>()?;
        let (_, name) = self.purposes.iter().find(|(known, _)| known == purpose)?;
        Some(EnteredCode {
            purpose: name.clone(),
            code: Zeroizing::new(str::from_utf8(code).ok()?.to_owned()),
        })
    }

    /// The value of the field for a code: what a terminal writes. `None` when the purpose is not known.
    #[must_use]
    pub fn written(&self, purpose: &str, code: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (chars, _) = self.purposes.iter().find(|(_, name)| name == purpose)?;
        Some(Zeroizing::new([chars, code.as_bytes()].concat()))
    }
}

/// Reads `[code_entry]`; a dialect without a row that needs it may leave it out.
pub(super) fn rules(
    root: &Section<'_, '_>,
    table: &Table,
    rows: &[Request],
) -> Option<CodeEntryRules> {
    let row = rows.iter().find(|row| row.served == Served::CodeEntry);
    let Some(section) = root.section("code_entry") else {
        if let Some(row) = row {
            root.absent("code_entry", format!(
                "code_entry is missing, and \"{}\" needs it; write for example `[code_entry]` and under it \
                 `field = 62`",
                row.name
            ));
        }
        return None;
    };
    let field = secret_field(&section, table);
    if let (Some(row), Some(field)) = (row, field) {
        check_row(&section, row, field);
    }
    let mut purposes = Vec::new();
    for (chars, name) in section.named_texts("purposes") {
        match chars.value.as_bytes().try_into() {
            Ok(two) => {
                if !PURPOSES.contains(&name.value) {
                    let hint = nearest(name.value, PURPOSES.into_iter()).map_or_else(
                        || format!("known are {}", PURPOSES.join(", ")),
                        |near| format!("did you mean \"{near}\"?"),
                    );
                    section.problems().error(
                        &name.span,
                        format!("no code is for \"{}\"; {hint}", name.value),
                    );
                }
                purposes.push((two, name.value.to_owned()));
            }
            Err(_) => section.problems().error(
                &chars.span,
                "what a code is for is told by two characters, as in `01 = \"bind\"`",
            ),
        }
    }
    if purposes.is_empty() {
        section.absent(
            "purposes",
            "code_entry.purposes is missing; write for example `purposes = { 01 = \"bind\" }`",
        );
    }
    let code = |key| settings::required_code(&section, key, settings::width_of(table, 39));
    let (wrong, exhausted, over) = (code("wrong"), code("exhausted"), code("over"));
    section.finish();
    Some(CodeEntryRules {
        field: field?,
        purposes,
        wrong: wrong?,
        exhausted: exhausted?,
        over: over?,
    })
}

/// The field must be one that nobody is shown.
fn secret_field(section: &Section<'_, '_>, table: &Table) -> Option<u8> {
    let Some(number) = section.integer("field", 2..=FieldSet::LAST.into()) else {
        section.absent(
            "field",
            "code_entry.field is missing; write for example `field = 62`",
        );
        return None;
    };
    let number = u8::try_from(number).ok()?;
    let secret = table
        .field(number)
        .is_some_and(|field| field.exposure == Exposure::Secret);
    if !secret {
        section.problems().consequence(
            &section.span_of("field"),
            format!("DE{number} holds a code: define it in [fields] with show = \"secret\""),
        );
    }
    secret.then_some(number)
}

/// A code changes what a terminal may do: its message is authentic, and its answer does not bring it back.
fn check_row(section: &Section<'_, '_>, row: &Request, field: u8) {
    if !row.mac {
        section.consequence(format!("\"{}\" brings a code: write mac = true", row.name));
    }
    if !row.required.contains(field) {
        section.consequence(format!(
            "\"{}\" brings a code: DE{field} belongs to what is required",
            row.name
        ));
    }
    if row.answer_echo.contains(field) {
        section.error(format!(
            "\"{}\": an answer must not echo DE{field}, which holds the code",
            row.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::base::document::Severity;
    use crate::iso8583::Dialect;
    use crate::iso8583::index::Index;
    use crate::iso8583::mti::Mti;

    const UNIONPAY: &str = include_str!("../../../protocols/unionpay-pos/dialect.toml");

    #[test]
    fn a_code_and_its_purpose_are_read_as_they_are_written() {
        let dialect = Dialect::shipped("unionpay-pos").unwrap();
        let rules = dialect.code_entry().unwrap();
        for (value, expect) in [
            (
                rules.written("bind", "123456").unwrap().to_vec(),
                Some(("bind", "123456")),
            ),
            (b"99123456".to_vec(), None),
            (b"0".to_vec(), None),
            (b"01\xFF".to_vec(), None),
        ] {
            let mut out = BytesMut::new();
            let mut writer = dialect.write(&mut out);
            writer.envelope_default();
            writer.mti(Mti::parse("0800").unwrap());
            writer.number(11, 1);
            writer.text(41, b"T0000001");
            writer.text(42, b"M00000000000001");
            writer.digits(60, b"00000001990");
            writer.bytes(62, &value);
            writer.finish().unwrap();
            let mut index = Index::new();
            let message = dialect.decode(&out[2..], &mut index).unwrap();
            let row = dialect.classify(&message).unwrap();
            assert_eq!(row.served, Served::CodeEntry);
            let entered = rules.entered(&message);
            let read = entered
                .as_ref()
                .map(|e| (e.purpose.as_str(), e.code.as_str()));
            assert_eq!(read, expect);
            assert!(!format!("{entered:?}").contains("123456"));
        }
    }

    #[test]
    fn what_would_show_a_code_or_takes_it_from_anybody_is_a_mistake() {
        for (from, to, told) in [
            ("field = 62\n", "field = 63\n", "show = \"secret\""),
            (
                "answer_echo = [4, 11, 41, 42, 49, 60, 61]",
                "answer_echo = [11, 62]",
                "must not echo",
            ),
            (
                "served = \"code-entry\"\nmac = true",
                "served = \"code-entry\"",
                "mac = true",
            ),
            (
                "required = [11, 41, 42, 60, 62, 64]",
                "required = [11, 41, 42, 60]",
                "belongs to",
            ),
            ("[code_entry]", "[code_entry]\nshown = 1", "shown"),
            ("over = \"25\"\n", "", "over"),
        ] {
            assert!(UNIONPAY.contains(from), "{from}");
            let text = UNIONPAY.replacen(from, to, 1);
            let problems = Dialect::parse("x", &text).unwrap_err();
            let found = problems
                .iter()
                .any(|p| p.severity == Severity::Error && p.message.contains(told));
            assert!(found, "{told}: {problems:?}");
        }
    }
}
