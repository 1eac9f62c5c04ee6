//! Reads `[roles]`: which field is the card number, which the trace number, and so on.

use crate::base::document::Section;
use crate::iso8583::fieldset::FieldSet;

use super::fields::sub_field;
use super::rules::{AmountParts, OriginalRoles, Roles};
use super::table::{Exposure, FieldType, SubField, Table};

/// Reads `[roles]`. What is not written is as in ISO 8583:1987, where the dialect defines that field.
pub(super) fn roles(root: &Section<'_, '_>, table: &Table, serves: bool) -> Roles {
    let written = root.section("roles");
    let section = written.as_ref();
    let role = |key: &'static str, usual: u8| {
        let named = section.and_then(|s| {
            let number = s.integer(key, 2..=FieldSet::LAST.into())?;
            let de = u8::try_from(number).ok()?;
            if table.field(de).is_none() {
                let message = format!("DE{de} is not defined in [fields]");
                s.problems().dangling(&s.span_of(key), message);
            }
            Some(de)
        });
        match named {
            Some(de) => de,
            None if table.field(usual).is_some() => usual,
            None => 0,
        }
    };
    if let Some(section) = section {
        alone_in_their_parts(section);
    }
    let amount_parts = section
        .and_then(|s| s.section("amount_parts"))
        .and_then(|s| amount_parts(s, table));
    let stan = role("stan", 11);
    let roles = Roles {
        amount_parts,
        pan: role("pan", 2),
        processing_code: role("processing_code", 3),
        amount: role("amount", 4),
        currency: match amount_parts {
            Some(_) => 0,
            None => role("currency", 49),
        },
        stan,
        time: role("time", 12),
        date: role("date", 13),
        entry_mode: role("entry_mode", 22),
        track2: role("track2", 35),
        track3: role("track3", 36),
        rrn: role("rrn", 37),
        approval_code: role("approval_code", 38),
        response_code: role("response_code", 39),
        terminal: role("terminal", 41),
        merchant: role("merchant", 42),
        pin: role("pin", 52),
        security: role("security", 53),
        icc: role("icc", 55),
        mac: role("mac", 64),
        batch: section.and_then(|s| part(s, "batch", table)),
        management: section.and_then(|s| part(s, "management", table)),
        original: section
            .and_then(|s| s.section("original"))
            .map(|s| original(s, table, stan))
            .unwrap_or_default(),
        reversed: section
            .and_then(|s| s.section("reversed"))
            .map(|s| reversed(s, table, stan))
            .unwrap_or_default(),
    };
    if serves {
        widths(root, table, &roles);
    }
    if let Some(section) = written {
        section.finish();
    }
    roles
}

/// A field plays one part; only time and date may stand in one.
fn alone_in_their_parts(section: &Section<'_, '_>) {
    let mut taken: Vec<(u64, &str)> = Vec::new();
    for key in ROLES {
        // Whatever is no number of a field is told where it is read.
        let Some(number) = section.number_at(key) else {
            continue;
        };
        let other = taken.iter().find(|(known, _)| *known == number);
        match other {
            Some((_, other)) if (*other, key) != ("time", "date") => section.problems().error(
                &section.span_of(key),
                format!("DE{number} plays {other} and {key}; name another field for one of them"),
            ),
            Some(_) | None => taken.push((number, key)),
        }
    }
}

/// Parts that are played by a field of their own.
const ROLES: [&str; 19] = [
    "pan",
    "processing_code",
    "amount",
    "currency",
    "stan",
    "time",
    "date",
    "entry_mode",
    "track2",
    "track3",
    "rrn",
    "approval_code",
    "response_code",
    "terminal",
    "merchant",
    "pin",
    "security",
    "icc",
    "mac",
];

/// What nobody may see is not shown to everybody: an error where the dialect serves terminals, else a warning.
pub(super) fn exposures(root: &Section<'_, '_>, table: &Table, roles: &Roles, serves: bool) {
    let Some(fields) = root.section("fields") else {
        return;
    };
    let named = [
        (roles.pan, "the card number", "masked"),
        (roles.track2, "track 2", "secret"),
        (roles.track3, "track 3", "secret"),
        (roles.pin, "the PIN", "secret"),
    ];
    let tracks = table
        .fields()
        .iter()
        .filter(|field| field.kind == FieldType::Track);
    let tracks = tracks.map(|field| (field.number, "a track", "secret"));
    let mut told = FieldSet::EMPTY;
    for (de, what, word) in named.into_iter().chain(tracks) {
        let shown = match table.field(de).map(|field| field.exposure) {
            Some(Exposure::Open) => true,
            Some(Exposure::Masked) => word == "secret",
            Some(Exposure::Chip | Exposure::Secret) | None => false,
        };
        if !shown || told.contains(de) {
            continue;
        }
        told.insert(de);
        let message = format!(
            "DE{de} holds {what} and would be shown in logs and answers; write `show = \"{word}\"`"
        );
        let span = fields.span_of(&de.to_string());
        if serves {
            root.problems().consequence(&span, message);
        } else {
            root.problems().doubt(&span, message);
        }
    }
    usually_hidden(&fields, table, told);
}

/// Warns of fields that hold card data in every edition of ISO 8583 and of which the file does not say who may see
/// them. Whoever uses one for something else writes `show = "open"`.
fn usually_hidden(fields: &Section<'_, '_>, table: &Table, told: FieldSet) {
    let usual = [
        (34, "the extended card number", "masked", None),
        (45, "track 1", "secret", None),
        (55, "chip data", "chip", Some(FieldType::Binary)),
        (102, "an account number", "masked", None),
        (103, "an account number", "masked", None),
    ];
    let sections = fields.each();
    for (de, what, word, kind) in usual {
        let Some(field) = table.field(de).filter(|_| !told.contains(de)) else {
            continue;
        };
        let said = sections
            .iter()
            .any(|(key, section)| key.value == de.to_string() && section.has("show"));
        if said || kind.is_some_and(|kind| kind != field.kind) {
            continue;
        }
        fields.problems().doubt(
            &fields.span_of(&de.to_string()),
            format!(
                "DE{de} usually holds {what} and would be shown; write `show = \"{word}\"`, or \"open\" where it \
                 holds something else"
            ),
        );
    }
}

/// Ids have types of a fixed width: a dialect in which they have another cannot be served.
fn widths(root: &Section<'_, '_>, table: &Table, roles: &Roles) {
    let fields = root.section("fields");
    let wrong = |de: u8, message: String| {
        let place = fields
            .as_ref()
            .map(|fields| fields.span_of(&de.to_string()));
        let place = place.unwrap_or_else(|| root.span());
        root.problems().consequence(&place, message);
    };
    let code = table.field(roles.response_code);
    if !code.is_some_and(|field| (2..=4).contains(&field.max) && !field.variable) {
        let de = roles.response_code;
        let message = if de == 0 {
            "no field plays response_code; define it in [fields]".to_owned()
        } else {
            format!("DE{de} plays response_code and must be fixed with max = 2, 3 or 4")
        };
        wrong(de, message);
    }
    let needs: [(_, _, [u16; 2]); 2] = [
        ("stan", roles.stan, [6, 12]),
        ("terminal", roles.terminal, [8, 16]),
    ];
    for (name, de, [one, other]) in needs {
        match table.field(de) {
            Some(field) if [one, other].contains(&field.max) && !field.variable => {}
            Some(_) => wrong(
                de,
                format!("DE{de} plays {name} and must be fixed with max = {one} or {other}"),
            ),
            None => wrong(de, format!("no field plays {name}; define it in [fields]")),
        }
    }
    let merchant = roles.merchant;
    match table.field(merchant) {
        Some(field) if field.variable && field.max >= MERCHANT => {}
        Some(field) if field.max == MERCHANT => {}
        Some(_) => wrong(
            merchant,
            format!(
                "DE{merchant} plays merchant and must be fixed with max = {MERCHANT}, or variable with no less"
            ),
        ),
        None => wrong(
            0,
            "no field plays merchant; define it in [fields]".to_owned(),
        ),
    }
}

/// Characters of a merchant id.
const MERCHANT: u16 = 15;

/// Reads `amount_parts = { currency = "4.1", amount = "4.3" }`.
fn amount_parts(section: Section<'_, '_>, table: &Table) -> Option<AmountParts> {
    let (currency, amount) = (
        part(&section, "currency", table),
        part(&section, "amount", table),
    );
    if !(section.has("currency") && section.has("amount")) {
        section.error("roles.amount_parts names both; write `amount_parts = { currency = \"4.1\", amount = \"4.3\" }`");
    }
    section.finish();
    let (currency, amount) = (currency?, amount?);
    Some(AmountParts { currency, amount })
}

fn part(section: &Section<'_, '_>, key: &'static str, table: &Table) -> Option<SubField> {
    let text = section.text(key)?;
    let found = sub_field(table, text.value);
    if found.is_none() {
        section.problems().dangling(
            &text.span,
            format!(
                "no field or part \"{}\"; write \"60\" for a field, \"60.2\" for its second part",
                text.value
            ),
        );
    }
    found
}

/// A whole field that the table has; 0 when the key is not there.
fn whole(section: &Section<'_, '_>, key: &'static str, table: &Table) -> u8 {
    let Some(number) = section.integer(key, 2..=FieldSet::LAST.into()) else {
        return 0;
    };
    let de = u8::try_from(number).unwrap_or(0);
    if table.field(de).is_none() {
        let message = format!("DE{de} is not defined in [fields]");
        let span = section.span_of(key);
        section.problems().dangling(&span, message);
    }
    de
}

/// Digits of month and day.
const MONTH_AND_DAY: u16 = 4;

/// Digits of a message type.
const MESSAGE_TYPE: u16 = 4;

fn place(section: &Section<'_, '_>, table: &Table, stan: u8) -> OriginalRoles {
    let of_width = |key, width: Option<u16>, what: &str| {
        let found = part(section, key, table)?;
        let has = match found.count {
            SubField::WHOLE => table.field(found.field)?.max,
            count => count,
        };
        if let Some(width) = width.filter(|width| *width != has) {
            section.problems().consequence(
                &section.span_of(key),
                format!(
                    "{}.{key} is {what} and has {width} digits; this part has {has}",
                    section.path()
                ),
            );
        }
        Some(found)
    };
    let stan = table.field(stan).map(|field| field.max);
    OriginalRoles {
        mti: of_width("mti", Some(MESSAGE_TYPE), "a message type"),
        batch: part(section, "batch", table),
        stan: of_width("stan", stan, "a trace number"),
        date: of_width("date", Some(MONTH_AND_DAY), "month and day"),
        rrn: 0,
        approval_code: 0,
    }
}

/// How a reversal names its original.
fn reversed(section: Section<'_, '_>, table: &Table, stan: u8) -> OriginalRoles {
    let roles = place(&section, table, stan);
    section.finish();
    roles
}

/// How a void, refund or completion names its original.
fn original(section: Section<'_, '_>, table: &Table, stan: u8) -> OriginalRoles {
    let roles = OriginalRoles {
        rrn: whole(&section, "rrn", table),
        approval_code: whole(&section, "approval_code", table),
        ..place(&section, table, stan)
    };
    section.finish();
    roles
}
