//! Classes that write more than one thing, or fill what their length does not count: a field of a dialect, with
//! its length prefix and its filling as parts.
//!
//! Facts: jPOS's `ISOFilledStringFieldPackager`, `IFB_LLHFBINARY`, `IFB_AMOUNT` and `IFEB_LLNUM`.

use std::collections::BTreeMap;

use super::Attributes;
use crate::iso8583::import::model::{
    Charset, Class, Coding, Form, Inside, Item, Length, LengthCoding, Side,
};

/// Whether a class is one of those.
pub(super) fn known(class: &str) -> bool {
    KNOWN.contains(&class)
}

const KNOWN: [&str; 5] = [
    "IFB_AMOUNT",
    "IFA_FLLNUM",
    "IFA_FLLCHAR",
    "IFB_LLHFBINARY",
    "IFEB_LLNUM",
];

/// How such a class writes a field of `max` digits, characters or bytes; `None` when it cannot have that many.
pub(super) fn form(class: &str, max: u16, attributes: &Attributes) -> Option<(Form, Inside)> {
    let ascii = Coding::Characters(Charset::Ascii);
    let fixed = |class, coding, max| Form {
        class,
        coding,
        length: None,
        max,
    };
    let side = if attributes.pad_left {
        Side::Left
    } else {
        Side::Right
    };
    let part = |name: &str, form| Item::new(name.to_owned(), form, 0..0);
    // A part with a length, and what fills the field behind it.
    let filled = |class, coding, length, max| {
        let content = Form {
            length: Some(length),
            ..fixed(class, coding, max)
        };
        let filling = match coding {
            Coding::Raw => fixed(Class::Binary, coding, max),
            Coding::Characters(_) | Coding::Packed(_) | Coding::Hex(_) => {
                fixed(Class::Text, coding, max)
            }
        };
        let mut filling = part("filling", filling);
        filling.rest = true;
        positional([part("content", content), filling])
    };
    let length = |coding, digits| Length {
        coding,
        digits,
        counts_wire: false,
    };
    match class {
        "IFB_AMOUNT" => {
            let digits = within(max.checked_sub(1)?, AMOUNT_MAX)?;
            let whole = fixed(
                Class::Binary,
                Coding::Raw,
                digits.div_ceil(2).saturating_add(1),
            );
            let sign = part("sign", fixed(Class::Text, ascii, 1));
            let amount = fixed(Class::Digits, Coding::Packed(side), digits);
            Some((whole, positional([sign, part("amount", amount)])))
        }
        "IFA_FLLNUM" | "IFA_FLLCHAR" => {
            let max = within(max, 99)?;
            // A track has a separator among its digits.
            let content = match attributes.id.as_deref().map(str::trim) {
                Some("35" | "36") => Class::Track,
                _ if class == "IFA_FLLNUM" => Class::Digits,
                _ => Class::Text,
            };
            let length = length(LengthCoding::Ascii, 2);
            let whole = fixed(Class::Text, ascii, max.saturating_add(2));
            Some((whole, filled(content, ascii, length, max)))
        }
        "IFB_LLHFBINARY" => {
            let max = within(max, 255)?;
            let length = length(LengthCoding::Binary, 1);
            let whole = fixed(Class::Binary, Coding::Raw, max.saturating_add(1));
            Some((whole, filled(Class::Binary, Coding::Raw, length, max)))
        }
        // The length counts bytes, and a last nibble F says that there is one digit less.
        "IFEB_LLNUM" => {
            let max = within(max, 99)?;
            let bytes = max.div_ceil(2);
            let whole = Form {
                length: Some(length(LengthCoding::Ebcdic, 2)),
                ..fixed(Class::Binary, Coding::Raw, bytes)
            };
            let packed = Coding::Packed(Side::Right);
            let mut digits = part("digits", fixed(Class::Digits, packed, max));
            digits.rest = true;
            Some((whole, positional([digits])))
        }
        _ => None,
    }
}

/// Most digits of an amount, so that it fits a field.
const AMOUNT_MAX: u16 = 999;

fn within(max: u16, most: u16) -> Option<u16> {
    (1..=most).contains(&max).then_some(max)
}

fn positional<const N: usize>(parts: [Item; N]) -> Inside {
    Inside::Positional((1..).zip(parts).collect::<BTreeMap<u16, Item>>())
}
