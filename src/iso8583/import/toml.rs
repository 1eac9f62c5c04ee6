//! Writes a dialect file.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::base::document::Problems;
use crate::base::limits::SUBFIELD_DEPTH_MAX;

use super::Source;
use super::model::{
    Charset, Class, Coding, Form, Format, Inside, Item, Length, LengthCoding, Side,
};
use crate::iso8583::subfield::Tag;

/// Longest field of a dialect, in digits, characters or bytes.
const MAX: u16 = 9_999;

/// How most fields are written: what `[message]` says, so that fields say only where they differ.
struct Usual {
    digits: &'static str,
    lengths: &'static str,
    text: &'static str,
    bytes: &'static str,
}

/// The text of a dialect file, and how many fields it has. What a dialect cannot say becomes a warning.
pub(super) fn write(
    format: &Format,
    name: &str,
    source: Source,
    problems: &Problems<'_>,
) -> (String, usize) {
    let usual = usual(format);
    let mut fields = String::new();
    let mut layouts = String::new();
    let mut count = 0_usize;
    let mut highest = 0;
    for (number, item) in &format.fields {
        let row = match check_number(*number, format.bits) {
            Ok(()) => row(item, *number, &usual, shown_as(*number, item)),
            Err(why) => Err(why),
        };
        match row {
            Ok((row, notes)) => {
                writeln_into(&mut fields, format_args!("{number} = {row}"));
                for note in notes {
                    problems.warn(&item.span, format!("field {number}: {note}"));
                }
                if *number > format.bits {
                    let told = format!(
                        "field {number}: the bitmap of {} bytes does not reach it there; carried over with a further one, \
                         for which a bit has to say so",
                        format.bits / 8
                    );
                    problems.warn(&item.span, told);
                }
                layout(&[number.to_string()], item, problems, &mut layouts);
                count = count.saturating_add(1);
                highest = *number;
            }
            Err(why) => {
                problems.warn(&item.span, format!("field {number} is left out: {why}"));
            }
        }
    }
    let title = format.title.as_deref().unwrap_or("imported");
    let bitmaps = if highest > 128 {
        3
    } else if highest > 64 || format.bits > 64 {
        2
    } else {
        1
    };
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln_into(&mut out, text);
    line(format_args!(
        "# Made of {} by `posgate protocol import`.",
        source.name()
    ));
    line(format_args!(
        "# It says how fields are written and nothing more: look over [framing] and who may see what (show), and"
    ));
    line(format_args!(
        "# add [[request]] and what belongs to it before a gateway can serve it."
    ));
    line(format_args!(""));
    line(format_args!("name = {}", quoted(name)));
    line(format_args!("title = {}", quoted(title)));
    line(format_args!(""));
    line(format_args!(
        "# Not in the source: two bytes, binary, is what most hosts take."
    ));
    line(format_args!("[framing]"));
    line(format_args!("length_bytes = 2"));
    line(format_args!("length_encoding = \"binary\""));
    line(format_args!(""));
    line(format_args!("[message]"));
    line(format_args!("mti = \"{}\"", digits_word(format.mti)));
    line(format_args!("bitmap = \"{}\"", bitmap_word(format.bitmap)));
    line(format_args!("bitmaps = {bitmaps}"));
    line(format_args!("digits = \"{}\"", usual.digits));
    line(format_args!("lengths = \"{}\"", usual.lengths));
    line(format_args!("text = \"{}\"", usual.text));
    line(format_args!("bytes = \"{}\"", usual.bytes));
    line(format_args!(""));
    line(format_args!("[fields]"));
    out.push_str(&fields);
    out.push_str(&layouts);
    (out, count)
}

fn writeln_into(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
    out.push('\n');
}

fn check_number(number: u16, bits: u16) -> Result<(), String> {
    match number {
        65 => Err("65 is the third bitmap".to_owned()),
        2..=192 if number <= bits.max(128) => Ok(()),
        _ => Err("no bitmap reaches it".to_owned()),
    }
}

/// The words that most fields have.
fn usual(format: &Format) -> Usual {
    let of = |own: &'static str, without| {
        let written = format.fields.iter();
        let written = written.map(|(number, item)| written_as(item, *number));
        let words = written.filter(|written| written.own == own);
        most(words.filter_map(|written| written.word), without)
    };
    let lengths = format.fields.values().filter_map(|item| item.form.length);
    Usual {
        digits: of("digits", "ascii"),
        lengths: most(
            lengths.filter_map(|length| length_word(length.coding)),
            "ascii",
        ),
        text: of("text", "ascii"),
        bytes: of("bytes", "raw"),
    }
}

/// How a dialect says what a field is and how it is written.
struct Written {
    /// The word of `type`.
    kind: &'static str,
    /// The key that says how it is written.
    own: &'static str,
    /// What it says; `None` where there is no word.
    word: Option<&'static str>,
}

fn written_as(item: &Item, number: u16) -> Written {
    let Form { class, coding, .. } = item.form;
    // What its parts are made of is no text.
    let class = match (class, coding) {
        (Class::Text, Coding::Characters(Charset::Ascii)) if item.carries_bytes() => Class::Binary,
        (class, _) => class,
    };
    // A field that is digits by its class and text by its coding is what its coding says.
    let (kind, own) = match (class, coding) {
        (Class::Digits, Coding::Characters(_) | Coding::Packed(_)) => ("n", "digits"),
        (Class::Track, Coding::Characters(_) | Coding::Packed(_)) => ("z", "digits"),
        (Class::Amount, Coding::Characters(_)) => ("an", "text"),
        (Class::Text, Coding::Characters(_)) => ("ans", "text"),
        (Class::Text, Coding::Packed(_)) => ("n", "digits"),
        (Class::Binary | Class::Digits | Class::Text | Class::Track | Class::Amount, _) => {
            ("b", "bytes")
        }
    };
    // Tracks are often called texts or numbers; only this type lets their separator pass.
    let track = matches!(number, 35 | 36) && kind != "b" && matches!(item.inside, Inside::Nothing);
    let (kind, own) = if track { ("z", "digits") } else { (kind, own) };
    let word = match (own, coding) {
        // Bytes in characters: as they are.
        ("bytes", Coding::Characters(_)) => Some("raw"),
        _ => word(coding),
    };
    Written { kind, own, word }
}

fn most(words: impl Iterator<Item = &'static str>, without: &'static str) -> &'static str {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for word in words {
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(without, |(word, _)| word)
}

const fn word(coding: Coding) -> Option<&'static str> {
    Some(match coding {
        Coding::Characters(Charset::Ascii) => "ascii",
        Coding::Characters(Charset::Ebcdic) => "ebcdic",
        Coding::Packed(_) => "packed",
        Coding::Raw => "raw",
        Coding::Hex(Charset::Ascii) => "hex",
        Coding::Hex(Charset::Ebcdic) => "ebcdic-hex",
    })
}

const fn length_word(coding: LengthCoding) -> Option<&'static str> {
    match coding {
        LengthCoding::Ascii => Some("ascii"),
        LengthCoding::Ebcdic => Some("ebcdic"),
        LengthCoding::Packed => Some("packed"),
        LengthCoding::Binary => Some("binary"),
        LengthCoding::Hex => None,
    }
}

const fn digits_word(coding: Coding) -> &'static str {
    match coding {
        Coding::Characters(Charset::Ebcdic) => "ebcdic",
        Coding::Packed(_) => "packed",
        Coding::Characters(Charset::Ascii) | Coding::Raw | Coding::Hex(_) => "ascii",
    }
}

const fn bitmap_word(coding: Coding) -> &'static str {
    match coding {
        Coding::Hex(Charset::Ascii) => "hex",
        Coding::Hex(Charset::Ebcdic) => "ebcdic-hex",
        Coding::Raw | Coding::Characters(_) | Coding::Packed(_) => "binary",
    }
}

/// The inline table of a field or part, and what of it is not as in the source. `hidden` is who may see it, as far as
/// that is known from where it stands.
fn row(
    item: &Item,
    number: u16,
    usual: &Usual,
    hidden: Option<&str>,
) -> Result<(String, Vec<String>), String> {
    let Form {
        coding,
        length,
        max,
        ..
    } = item.form;
    let mut notes = Vec::new();
    let mut out = format!("{{ en = {}", quoted(&name(item, number)));
    let Written { kind, own, word } = written_as(item, number);
    let expected = match own {
        "digits" => usual.digits,
        "text" => usual.text,
        _ => usual.bytes,
    };
    push(&mut out, format_args!(", type = \"{kind}\""));
    let word = word.ok_or("its encoding is not known here")?;
    if let Some(why) = item.miscounted() {
        return Err(why.to_owned());
    }
    let hex = matches!(coding, Coding::Hex(_));
    let max = if item.rest {
        out.push_str(", length = \"rest\"");
        None
    } else {
        Some(most_units(max, length, hex, &mut notes)?)
    };
    if let Some(length) = length {
        push(
            &mut out,
            format_args!(", length = \"{}\"", length_digits(length)?),
        );
    }
    if let Some(max) = max {
        push(&mut out, format_args!(", max = {max}"));
    }
    if let Some(length) = length {
        let word =
            length_word(length.coding).ok_or("its length prefix is in hexadecimal digits")?;
        if word != usual.lengths {
            push(&mut out, format_args!(", lengths = \"{word}\""));
        }
    }
    if word != expected {
        push(&mut out, format_args!(", {own} = \"{word}\""));
    }
    if coding == Coding::Packed(Side::Left) && word == "packed" {
        out.push_str(", pad = \"left\"");
    }
    let show = match hidden {
        None if item.track || kind == "z" => Some("secret"),
        hidden => hidden,
    };
    if let Some(show) = show {
        push(&mut out, format_args!(", show = \"{show}\""));
    }
    out.push_str(" }");
    Ok((out, notes))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

fn name(item: &Item, number: u16) -> String {
    let name = item.name.trim();
    if name.is_empty() {
        format!("field {number}")
    } else {
        name.to_owned()
    }
}

/// The largest length, which a prefix may not be able to tell.
fn most_units(
    max: u16,
    length: Option<Length>,
    hex: bool,
    notes: &mut Vec<String>,
) -> Result<u16, String> {
    if max == 0 {
        return Err("it has no length".to_owned());
    }
    let tells = match length {
        None => MAX,
        Some(length) => match (length.coding, length.digits) {
            (LengthCoding::Binary, 1) => 255,
            (LengthCoding::Binary, _) => MAX,
            (_, 1) => 9,
            (_, 2) => 99,
            (_, 3) => 999,
            (_, _) => MAX,
        },
    };
    // Two digits a byte, and the length counts digits.
    let tells = if hex && length.is_some() {
        tells / 2
    } else {
        tells
    };
    if max > tells {
        notes.push(format!(
            "its length {max} is cut to {tells}, the most that can be told"
        ));
    }
    Ok(max.min(tells))
}

fn length_digits(length: Length) -> Result<&'static str, String> {
    match (length.coding, length.digits) {
        (LengthCoding::Binary, 1) | (_, 2)
            if length.coding != LengthCoding::Binary || length.digits == 1 =>
        {
            Ok("LL")
        }
        (LengthCoding::Binary, 2) => Ok("LLL"),
        (LengthCoding::Binary, _) => Err("its length takes more than two bytes".to_owned()),
        (_, 1) => Ok("L"),
        (_, 3) => Ok("LLL"),
        (_, 4) => Ok("LLLL"),
        (_, digits) => Err(format!(
            "its length prefix has {digits} digits, four are the most"
        )),
    }
}

/// Who may see a field, as far as its number says: card and account numbers, tracks, PIN blocks, keys and what goes with
/// them, chip data; and what everybody fills as he likes, which may be any of these.
const fn shown(number: u16) -> Option<&'static str> {
    match number {
        2 => Some("masked"),
        34 | 35 | 36 | 45 | 52 | 53 | 96 | 102 | 103 => Some("secret"),
        46..=48 | 56..=63 | 104..=127 => Some("secret"),
        55 => Some("chip"),
        _ => None,
    }
}

/// The same of a field as it is written: chip data that is no bytes has no tags by which it could hide itself.
fn shown_as(number: u16, item: &Item) -> Option<&'static str> {
    let whole = |show| match (show, item.form.class) {
        ("chip", Class::Digits | Class::Amount | Class::Track | Class::Text) => "secret",
        (show, _) => show,
    };
    shown(number)
        .map(whole)
        .or_else(|| named_secret(&item.name))
}

/// Who may see a field whose name says that it holds a card number, a track, a PIN, a printed code or a key.
fn named_secret(name: &str) -> Option<&'static str> {
    const WORDS: [&str; 10] = [
        "PAN", "PIN", "CVV", "CVV2", "CVC", "CVC2", "CVN", "TRACK", "KEY", "KEYS",
    ];
    // How a PIN was entered, or where a card number is from, says neither.
    const ABOUT: [&str; 6] = ["CAPTURE", "COUNTRY", "ENTRY", "MODE", "LENGTH", "RESULT"];
    let upper = name.to_ascii_uppercase();
    let has = |list: &[&str]| {
        let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| list.contains(&word))
    };
    let number = upper.contains("CARD NUMBER") || upper.contains("ACCOUNT NUMBER");
    let meant = (has(&WORDS) && !has(&ABOUT)) || (number && !has(&ABOUT));
    meant.then_some("secret")
}

/// Who may see the parts of a field: no more than may see all of it. What chip data is made of hides itself.
fn shown_part(told: &str) -> Option<&'static str> {
    let field = told.split('.').next().and_then(|field| field.parse().ok());
    field
        .and_then(shown)
        .filter(|show| matches!(*show, "masked" | "secret"))
}

/// The rest of the inline table of a part whose length stands behind its tag.
fn show_of(part: &Item, hidden: Option<&str>) -> String {
    let track = part.track || part.form.class == Class::Track;
    hidden
        .or_else(|| track.then_some("secret"))
        .map_or_else(String::new, |show| format!(", show = \"{show}\""))
}

/// How a field, or a part of one, divides, as a table of its own; then how its parts do. `path` begins with the
/// field's number.
fn layout(path: &[String], item: &Item, problems: &Problems<'_>, out: &mut String) {
    let told = path.join(".");
    let hidden = shown_part(&told);
    let mut rows = String::new();
    let mut inner = Vec::new();
    let head = match &item.inside {
        Inside::Nothing => return,
        Inside::Mapped { bytes, hex, parts } => {
            let Some(written) = numbered(&told, parts, true, problems) else {
                return;
            };
            (rows, inner) = written;
            let encoding = if *hex { "hex" } else { "binary" };
            format!("form = \"bitmap\"\nbitmap_bytes = {bytes}\nbitmap_encoding = \"{encoding}\"")
        }
        Inside::Positional(parts) => {
            let Some(written) = numbered(&told, parts, false, problems) else {
                return;
            };
            (rows, inner) = written;
            "form = \"positional\"".to_owned()
        }
        Inside::BerTlv(parts) => {
            for (tag, part) in parts {
                let tag = tag.to_ascii_uppercase();
                let sound = Tag::parse(&tag).is_some_and(|tag| tag.is_ber());
                let kind = match part.form.class {
                    Class::Text | Class::Amount => "ans",
                    Class::Binary | Class::Digits | Class::Track => "b",
                };
                if sound {
                    let en = quoted(&name(part, 0));
                    let show = show_of(part, hidden);
                    writeln_into(
                        &mut rows,
                        format_args!("{tag} = {{ en = {en}, type = \"{kind}\"{show} }}"),
                    );
                } else {
                    let message = format!("field {told}: {tag} is no tag and is left out");
                    problems.warn(&part.span, message);
                }
            }
            "form = \"ber-tlv\"".to_owned()
        }
        Inside::Tagged {
            tag,
            length,
            length_first,
            items,
        } => {
            let Some(word) = length_word(length.coding) else {
                let message = format!(
                    "field {told}: its parts are left out, their lengths are in hexadecimal digits"
                );
                problems.warn(&item.span, message);
                return;
            };
            let bytes = match length.coding {
                LengthCoding::Packed => length.digits.div_ceil(2),
                LengthCoding::Ascii
                | LengthCoding::Ebcdic
                | LengthCoding::Binary
                | LengthCoding::Hex => length.digits,
            };
            for (key, part) in items {
                let kind = match part.form.class {
                    _ if part.carries_bytes() || !part.divides() => "b",
                    Class::Digits | Class::Track => "n",
                    Class::Text | Class::Amount => "ans",
                    Class::Binary => "b",
                };
                let en = quoted(&name(part, 0));
                let show = show_of(part, hidden);
                writeln_into(
                    &mut rows,
                    format_args!("{} = {{ en = {en}, type = \"{kind}\"{show} }}", quoted(key)),
                );
            }
            inner = items
                .iter()
                .map(|(key, part)| (key.clone(), part))
                .collect();
            let form = if *length_first {
                "form = \"ltv\"\nlength_counts_tag = true"
            } else {
                "form = \"tlv\""
            };
            format!(
                "{form}\ntag_bytes = {tag}\nlength_bytes = {bytes}\nlength_encoding = \"{word}\""
            )
        }
    };
    push(out, format_args!("\n[subfields.{}]\n{head}\n", key(&told)));
    if !rows.is_empty() {
        push(
            out,
            format_args!("\n[subfields.{}.parts]\n{rows}", key(&told)),
        );
    }
    for (name, part) in inner {
        if matches!(part.inside, Inside::Nothing) {
            continue;
        }
        // The tables of layouts are named by paths.
        let why = if !part.divides() {
            "it is not of bytes or ASCII characters"
        } else if path.len() > SUBFIELD_DEPTH_MAX {
            "they lie too deep"
        } else if name.contains('.') {
            "there is a point in its name"
        } else {
            let deeper: Vec<String> = path.iter().cloned().chain([name]).collect();
            layout(&deeper, part, problems, out);
            continue;
        };
        let message = format!("field {told}.{name}: its own parts are left out: {why}");
        problems.warn(&part.span, message);
    }
}

/// A path as a key of TOML.
fn key(path: &str) -> String {
    if path.bytes().all(|byte| byte.is_ascii_digit()) {
        path.to_owned()
    } else {
        quoted(path)
    }
}

/// The parts of a layout that names them by number, as rows and by their names there. Without a bitmap they follow
/// each other without a gap.
fn numbered<'p>(
    path: &str,
    parts: &'p BTreeMap<u16, Item>,
    as_named: bool,
    problems: &Problems<'_>,
) -> Option<(String, Vec<(String, &'p Item)>)> {
    let mut rows = String::new();
    let mut named = Vec::new();
    let usual = Usual {
        digits: "ascii",
        lengths: "ascii",
        text: "ascii",
        bytes: "raw",
    };
    for (counted, (known, part)) in (1_u16..).zip(parts) {
        let number = if as_named { *known } else { counted };
        // Numbers that no field has: nothing is meant by them.
        match row(part, number.saturating_add(1_000), &usual, shown_part(path)) {
            Ok((row, notes)) => {
                let row = row.replace(
                    &format!("\"field {}\"", number.saturating_add(1_000)),
                    &quoted(&format!("part {known}")),
                );
                writeln_into(&mut rows, format_args!("{number} = {row}"));
                for note in notes {
                    problems.warn(&part.span, format!("field {path}.{known}: {note}"));
                }
                named.push((number.to_string(), part));
            }
            Err(why) => {
                let message = format!(
                    "field {path} is carried over whole, its parts are left out: part {known}: {why}"
                );
                problems.warn(&part.span, message);
                return None;
            }
        }
    }
    Some((rows, named))
}

/// A text of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => push(&mut out, format_args!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
