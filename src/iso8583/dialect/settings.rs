//! Reads `[framing]`, `[responses]`, `[declines]`, `[reversal]`, `[repeats]` and `[network]`.

use std::ops::Range;
use std::time::Duration;

use crate::base::document::{Located, Section};
use crate::iso8583::codes::{CodeText, Codes, DeclineCode, ResponseCode, TerminalAction};
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::form::{self, Misfit};
use crate::iso8583::length::LengthEncoding;
use crate::iso8583::mti::Mti;

use super::fields;
use super::rules::{
    EnvelopeAnswer, Framing, HeaderPart, LengthPlace, NetworkMessage, NetworkRules, RepeatRules,
    ReversalRules,
};
use super::table::{Field, PartName, Table};

/// Reads `[framing]`.
pub(super) fn framing(root: &Section<'_, '_>) -> Option<Framing> {
    let Some(section) = root.section("framing") else {
        root.absent(
            "framing",
            "framing is missing; write for example `[framing]` and under it `length_bytes = 2`",
        );
        return None;
    };
    let length_encoding = section.choice(
        "length_encoding",
        &LengthEncoding::WORDS,
        LengthEncoding::Binary,
    );
    let most = match length_encoding {
        LengthEncoding::Binary | LengthEncoding::Packed => 4,
        LengthEncoding::Ascii | LengthEncoding::Hex | LengthEncoding::Ebcdic => 8,
    };
    let width = section.integer("length_bytes", 1..=most);
    section.absent(
        "length_bytes",
        "framing.length_bytes is missing; write for example `length_bytes = 2`",
    );
    let told_most = width.and_then(|width| Some(length_encoding.max(usize::try_from(width).ok()?)));
    if told_most.is_some_and(|most| most < MESSAGE_BYTES_MIN) {
        let message =
            "framing.length_bytes: no message is so short; write for example `length_bytes = 4`";
        section
            .problems()
            .error(&section.span_of("length_bytes"), message);
    }
    let (lead, trailer) = (bytes(&section, "lead"), bytes(&section, "trailer"));
    let tpdu = bytes(&section, "tpdu");
    if !matches!(tpdu.len(), 0 | 5) {
        let span = section.span_of("tpdu");
        section.problems().error(
            &span,
            "framing.tpdu has five bytes: type, destination, source",
        );
    }
    let before = section.problems().errors();
    let header = bytes(&section, "header");
    let header_known = section.problems().errors() == before;
    for (key, bytes) in [("lead", &lead), ("header", &header), ("trailer", &trailer)] {
        if bytes.len() > ENVELOPE_PART_BYTES_MAX {
            let message = format!("framing.{key} has at most {ENVELOPE_PART_BYTES_MAX} bytes");
            section.problems().error(&section.span_of(key), message);
        }
    }
    let length_place = section.choice("length_place", &LENGTH_PLACES, LengthPlace::First);
    let behind_nothing = match length_place {
        LengthPlace::First => None,
        LengthPlace::AfterTpdu => tpdu.is_empty().then_some("tpdu = \"6000010002\""),
        LengthPlace::AfterHeader => header.is_empty().then_some("header = \"0102\""),
    };
    if let Some(example) = behind_nothing {
        section.problems().error(
            &section.span_of("length_place"),
            format!("framing.length_place: there is nothing that the length stands behind; write for example `{example}`"),
        );
    }
    let tpdu_answer = section.choice("tpdu_answer", &TPDU_ANSWERS, EnvelopeAnswer::Swap);
    let header_answer = section.choice("header_answer", &HEADER_ANSWERS, EnvelopeAnswer::Echo);
    let nibbles = header_known.then(|| header.len().saturating_mul(2));
    let most = nibbles.unwrap_or(ENVELOPE_PART_BYTES_MAX * 2).max(1);
    let cleared = section.integer("header_cleared_nibble", 1..=u64::try_from(most).ok()?);
    let header_parts = header_parts(&section, nibbles);
    let no_header = header_known && header.is_empty();
    for (key, idle, of) in [
        ("tpdu_answer", !section.has("tpdu"), "tpdu"),
        ("header_answer", no_header, "header"),
        ("header_cleared_nibble", no_header, "header"),
    ] {
        if idle && section.has(key) {
            let message = format!("framing.{key} says nothing without framing.{of}");
            section.problems().doubt(&section.span_of(key), message);
        }
    }
    let plain = Framing::plain(usize::try_from(width?).ok()?, length_encoding);
    let mut framing = Framing {
        lead,
        length_place,
        tpdu,
        tpdu_answer,
        header,
        header_answer,
        header_cleared_nibble: cleared.and_then(|nibble| u8::try_from(nibble).ok()),
        header_swapped: swapped(&section, &header_parts),
        header_length: header_length(&section, &header_parts),
        header_parts,
        trailer,
        ..plain
    };
    count(&section, &mut framing);
    section.finish();
    Some(framing)
}

/// Warns of the first field that is longer than the length can tell.
pub(super) fn room(root: &Section<'_, '_>, framing: &Framing, table: &Table) {
    let most = framing.frame_bytes_max();
    if most < MESSAGE_BYTES_MIN {
        return;
    }
    let bytes = |de: u8| {
        let spec = table.spec(de);
        usize::from(spec.content_bytes(spec.max))
    };
    let longer = |field: &&Field| bytes(field.number) > most;
    if let Some(field) = table.fields().iter().find(longer)
        && let Some(section) = root.section("framing")
    {
        let (de, bytes) = (field.number, bytes(field.number));
        section.problems().doubt(
            &section.span_of("length_bytes"),
            format!(
                "framing.length_bytes: a frame has at most {most} bytes, and DE{de} alone may have {bytes}; \
                 make this larger, or max of the field smaller"
            ),
        );
    }
}

/// Bytes of the shortest message: a packed type and a binary bitmap.
const MESSAGE_BYTES_MIN: usize = 10;

/// Bytes of lead, header and trailer, each.
const ENVELOPE_PART_BYTES_MAX: usize = 255;

const TPDU_ANSWERS: [(&str, EnvelopeAnswer); 3] = [
    ("swap", EnvelopeAnswer::Swap),
    ("echo", EnvelopeAnswer::Echo),
    ("fixed", EnvelopeAnswer::Fixed),
];

const HEADER_ANSWERS: [(&str, EnvelopeAnswer); 2] = [
    ("echo", EnvelopeAnswer::Echo),
    ("fixed", EnvelopeAnswer::Fixed),
];

const LENGTH_PLACES: [(&str, LengthPlace); 3] = [
    ("first", LengthPlace::First),
    ("after-tpdu", LengthPlace::AfterTpdu),
    ("after-header", LengthPlace::AfterHeader),
];

/// Reads `length_counts`: what the length counts beside the message.
fn count(section: &Section<'_, '_>, framing: &mut Framing) {
    const WORDS: &str = "\"lead\", \"prefix\", \"envelope\", \"trailer\"";
    let words = section.texts("length_counts");
    let usual = !section.has("length_counts");
    let counts = |word: &str| words.iter().any(|text| text.value == word);
    for (at, text) in words.iter().enumerate() {
        if words.iter().take(at).any(|known| known.value == text.value) {
            let message = format!("framing.length_counts says \"{}\" twice", text.value);
            section.problems().error(&text.span, message);
        }
        if !matches!(text.value, "lead" | "prefix" | "envelope" | "trailer") {
            let message = format!(
                "framing.length_counts has any of {WORDS}, not \"{}\"",
                text.value
            );
            section.problems().error(&text.span, message);
        }
    }
    let of = |counted: bool, bytes: usize| if counted { bytes } else { 0 };
    let (before, trailer) = (framing.before_length(), framing.trailer.len());
    let behind = framing.tpdu.len().saturating_add(framing.header.len());
    let behind = behind.saturating_sub(before);
    // What a word names and the frame has is left out unless it is counted; what the frame does not have is added.
    let own = framing.length_bytes;
    let in_frame = framing.length_place != LengthPlace::First;
    framing.counted = of(counts("lead"), framing.lead.len())
        .saturating_add(of(counts("prefix") && !in_frame, own));
    framing.uncounted = of(!counts("lead"), before)
        .saturating_add(of(!counts("prefix") && in_frame, own))
        .saturating_add(of(!usual && !counts("envelope"), behind))
        .saturating_add(of(!usual && !counts("trailer"), trailer));
}

/// Reads `header_parts = ["type:2", "version:2"]`: names of the nibbles.
/// `nibbles`: how many the header has, where that is known.
fn header_parts(section: &Section<'_, '_>, nibbles: Option<usize>) -> Vec<HeaderPart> {
    let mut from = 0_usize;
    let mut parts = Vec::new();
    for text in section.texts("header_parts") {
        let Some((name, count)) = PartName::read(text.value, u16::MAX) else {
            section.problems().error(
                &text.span,
                "a part of the header is a name and a number of nibbles, as in \"version:2\" or \"version:2:版本\"",
            );
            continue;
        };
        if parts
            .iter()
            .any(|known: &HeaderPart| known.name.en == name.en)
        {
            let message = format!(
                "framing.header_parts has another \"{}\"; give it another name",
                name.en
            );
            section.problems().error(&text.span, message);
        }
        let count = usize::from(count);
        parts.push(HeaderPart { name, from, count });
        from = from.saturating_add(count);
    }
    if let Some(nibbles) = nibbles
        && !parts.is_empty()
        && from != nibbles
    {
        section.problems().error(
            &section.span_of("header_parts"),
            format!("framing.header_parts name {from} nibbles, the header has {nibbles}"),
        );
    }
    parts
}

/// The bytes of the header that a part has, by its name.
fn part_bytes(
    section: &Section<'_, '_>,
    name: &Located<&str>,
    parts: &[HeaderPart],
) -> Option<Range<usize>> {
    let part = parts.iter().find(|part| part.name.en == name.value);
    let whole = part.filter(|part| part.from % 2 == 0 && part.count % 2 == 0);
    if whole.is_none() && !section.is_no_list("header_parts") {
        let message = match part {
            Some(_) => format!("\"{}\" is not made of whole bytes", name.value),
            None => format!("framing.header_parts has no \"{}\"", name.value),
        };
        section.problems().error(&name.span, message);
    }
    let part = whole?;
    Some(part.from / 2..part.from.saturating_add(part.count) / 2)
}

/// Reads `header_swapped = ["destination-station", "source-station"]`.
fn swapped(section: &Section<'_, '_>, parts: &[HeaderPart]) -> Option<[Range<usize>; 2]> {
    let names = section.texts("header_swapped");
    let read = names.iter().map(|name| part_bytes(section, name, parts));
    let found: Vec<_> = read.collect::<Option<_>>()?;
    match <[Range<usize>; 2]>::try_from(found) {
        Ok([one, other]) if one.len() == other.len() && one != other => Some([one, other]),
        Ok(_) | Err(_) => {
            if section.has("header_swapped") && !section.is_no_list("header_swapped") {
                let message =
                    "framing.header_swapped names two parts of the header of the same length";
                section
                    .problems()
                    .error(&section.span_of("header_swapped"), message);
            }
            None
        }
    }
}

/// Reads `header_length = "total-length"`.
fn header_length(section: &Section<'_, '_>, parts: &[HeaderPart]) -> Option<Range<usize>> {
    let name = section.text("header_length")?;
    let found = part_bytes(section, &name, parts)?;
    if !(2..=size_of::<u32>()).contains(&found.len()) {
        let message = "framing.header_length is a part of two to four bytes: it tells how long header and message are together";
        section.problems().error(&name.span, message);
        return None;
    }
    Some(found)
}

/// Reads bytes written in hexadecimal; none when not written.
fn bytes(section: &Section<'_, '_>, key: &'static str) -> Vec<u8> {
    let Some(text) = section.text(key) else {
        return Vec::new();
    };
    let (pairs, odd) = text.value.as_bytes().as_chunks::<2>();
    let read = pairs.iter().map(|pair| {
        let pair = str::from_utf8(pair).ok()?;
        // `from_str_radix` would take a sign.
        let digits = pair.bytes().all(|b| b.is_ascii_hexdigit());
        u8::from_str_radix(pair, 16).ok().filter(|_| digits)
    });
    match read.collect::<Option<Vec<u8>>>() {
        Some(bytes) if odd.is_empty() => bytes,
        Some(_) | None => {
            section.problems().error(
                &text.span,
                format!(
                    "{}.{key} is bytes in hexadecimal, as in \"6000\"",
                    section.path()
                ),
            );
            Vec::new()
        }
    }
}

/// Reads `[responses]` and `[declines]`, and checks them against each other.
pub(super) fn codes(
    root: &Section<'_, '_>,
    table: &Table,
    reversal: Option<&ReversalRules>,
    serves: bool,
) -> Codes {
    let Some(section) = root.section("responses") else {
        // Asked for all the same, so that it is a known key.
        let declines = root.section("declines");
        if !serves && declines.is_none() {
            return Codes::default();
        }
        root.absent("responses", "responses is missing; write for example `[responses]` and under it `approvals = [\"00\"]`");
        return Codes::default();
    };
    if !serves && table.field(39).is_none() {
        let message = "responses names codes of DE39, which is not defined in [fields]";
        root.problems().doubt(&section.span(), message);
    }
    let width = width_of(table, 39);
    let before = section.problems().errors();
    let mut codes = Codes {
        texts: Vec::new(),
        approvals: listed(&section, "approvals", width),
        accepted: accepted(&section, width),
        acknowledgements: listed(&section, "acknowledges_reversal", width),
        not_found: listed(&section, "finds_no_original", width),
        partial: code(&section, "partial_approval", width),
        declines: Vec::new(),
    };
    let captures = listed(&section, "captures_card", width);
    if let Some(code) = captures.iter().find(|code| codes.approvals.contains(code)) {
        section.problems().error(
            &section.span_of("captures_card"),
            format!("responses.captures_card: {code} is in responses.approvals too; take it out of one of them"),
        );
    }
    if let Some(code) = codes.partial.filter(|code| !codes.approvals.contains(code))
        && !codes.approvals.is_empty()
    {
        section.problems().error(
            &section.span_of("partial_approval"),
            format!(
                "responses.partial_approval: {code} is not in responses.approvals; add it there"
            ),
        );
    }
    if section.problems().errors() > before {
        section.problems().shake();
    }
    codes.texts = texts(&section, table, &codes, &captures);
    let told_wrong = section.problems().errors() > before;
    let at = |key, message: String| {
        let span = section.span_of(key);
        section.problems().consequence(&span, message);
    };
    if serves && codes.approved().is_none() {
        let zeros = "0".repeat(width);
        at(
            "approvals",
            format!("responses.approvals must have \"{zeros}\""),
        );
    }
    if let Some(code) = codes
        .not_found
        .iter()
        .find(|code| !codes.acknowledgements.contains(code))
    {
        at(
            "finds_no_original",
            format!(
                "responses.finds_no_original: {code} must be in responses.acknowledges_reversal too, or the reversal would be sent for ever"
            ),
        );
    }
    if let Some(rules) = reversal
        && serves
        && !codes.acknowledgements.contains(&rules.unknown_original)
    {
        at(
            "acknowledges_reversal",
            "responses.acknowledges_reversal must have reversal.unknown_original: terminals stop only at these codes"
                .to_owned(),
        );
    }
    if let Some(rules) = reversal
        && serves
        && !codes.acknowledgements.contains(&codes.accepted(rules.mti))
    {
        at(
            "acknowledges_reversal",
            format!(
                "responses.acknowledges_reversal must have {}, by which reversals are accepted",
                codes.accepted(rules.mti)
            ),
        );
    }
    section.finish();
    let Some(declines) = root.section("declines") else {
        if !serves {
            return codes;
        }
        root.absent(
            "declines",
            "declines is missing; write for example `[declines]` and under it `format = \"30\"`",
        );
        return codes;
    };
    for why in DeclineCode::ALL {
        let usual = why
            .usual()
            .filter(|_| !declines.has(why.name()) && width == 2);
        let written = match usual {
            // Asked for all the same: it is a key that is known here.
            Some(usual) => code(&declines, why.name(), width).or(Some(usual)),
            None => required_code(&declines, why.name(), width),
        };
        let Some(why_code) = written else {
            continue;
        };
        let span = declines.span_of(why.name());
        let name = why.name();
        if captures.contains(&why_code) {
            declines.problems().error(
                &span,
                format!("declines.{name}: this code makes the shop keep the card; the gateway never asks for that"),
            );
        }
        if declines.has(name) && codes.approvals.contains(&why_code) {
            declines
                .problems()
                .error(&span, format!("declines.{name}: this code is an approval"));
        }
        let told = codes.text_of(&why_code.characters()).is_some();
        if declines.has(name) && !told && !told_wrong {
            declines.problems().warn(
                &span,
                format!("declines.{name}: this code has no text in [responses.texts]"),
            );
        }
        codes.declines.push(why_code);
    }
    declines.finish();
    codes
}

fn texts(
    section: &Section<'_, '_>,
    table: &Table,
    codes: &Codes,
    captures: &[ResponseCode],
) -> Vec<(String, CodeText)> {
    let width = width_of(table, 39);
    let mut texts = Vec::new();
    for (key, text) in section.named_sections("texts") {
        let code = Some(key.value.to_owned())
            .filter(|code| code.len() == width && code.bytes().all(|b| b.is_ascii_alphanumeric()));
        if code.is_none() {
            section.problems().consequence(
                &key.span,
                format!("a response code is {width} letters or digits, as DE39 is"),
            );
        }
        let en = text.required_name("en", "approved");
        let zh = text.required_name("zh", "\u{6279}\u{51c6}");
        let has = |list: &[ResponseCode]| {
            list.iter()
                .any(|listed| *listed.characters() == *key.value.as_bytes())
        };
        let accepted: Vec<_> = codes.accepted.iter().map(|(_, code)| *code).collect();
        let usual = if has(&codes.approvals) || has(&accepted) {
            TerminalAction::Approve
        } else if has(captures) {
            TerminalAction::KeepCard
        } else {
            TerminalAction::Decline
        };
        let action = text.choice("terminal", &TerminalAction::WORDS, usual);
        if (action == TerminalAction::Approve) != (usual == TerminalAction::Approve)
            && !codes.approvals.is_empty()
        {
            text.consequence(format!(
                "{}: a terminal approves on the codes of responses.approvals and on no other",
                text.path()
            ));
        }
        text.finish();
        if let (Some(code), Some(en), Some(zh)) = (code, en, zh) {
            let (en, zh) = (en.value.to_owned(), zh.value.to_owned());
            texts.push((code, CodeText { en, zh, action }));
        }
    }
    texts.sort_by(|(a, _), (b, _)| a.cmp(b));
    texts
}

/// Characters of a field that holds a code: two from 1987 on, three digits from 1993 on, four from 2003 on.
pub(super) fn width_of(table: &Table, de: u8) -> usize {
    table.field(de).map_or(2, |field| usize::from(field.max))
}

fn parse_code(
    section: &Section<'_, '_>,
    text: &Located<&str>,
    width: usize,
) -> Option<ResponseCode> {
    let code = ResponseCode::from_slice(text.value.as_bytes()).filter(|_| {
        text.value.len() == width && text.value.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if code.is_none() {
        let message = if width == 2 {
            "a response code is two letters or digits, as in \"00\"".to_owned()
        } else {
            format!("a code is {width} digits here, as its field is")
        };
        section.problems().consequence(&text.span, message);
    }
    code
}

fn listed(section: &Section<'_, '_>, key: &'static str, width: usize) -> Vec<ResponseCode> {
    let texts = section.texts(key);
    texts
        .iter()
        .filter_map(|text| parse_code(section, text, width))
        .collect()
}

fn code(section: &Section<'_, '_>, key: &'static str, width: usize) -> Option<ResponseCode> {
    parse_code(section, &section.text(key)?, width)
}

pub(super) fn required_code(
    section: &Section<'_, '_>,
    key: &'static str,
    width: usize,
) -> Option<ResponseCode> {
    parse_code(section, &section.required_text(key, "96")?, width)
}

/// Reads `[responses.accepted]`: classes of messages that are accepted by a code of their own.
fn accepted(section: &Section<'_, '_>, width: usize) -> Vec<(u8, ResponseCode)> {
    let Some(section) = section.section("accepted") else {
        return Vec::new();
    };
    let classes = [(4, "reversal"), (5, "reconciliation"), (8, "management")];
    let read = classes
        .into_iter()
        .filter_map(|(class, key)| Some((class, code(&section, key, width)?)))
        .collect();
    section.finish();
    read
}

/// The type of a message that is sent here or taken here as a request.
pub(super) fn request_mti(
    section: &Section<'_, '_>,
    key: &'static str,
    example: &str,
) -> Option<Mti> {
    let text = section.required_text(key, example)?;
    parse_request_mti(section, &text)
}

pub(super) fn parse_request_mti(section: &Section<'_, '_>, text: &Located<&str>) -> Option<Mti> {
    let mti = parse_mti(section, text)?;
    if !mti.is_request() {
        let message = format!(
            "{mti} is the type of an answer; its third digit must be even, as in \"{example}\"",
            example = mti.asked()
        );
        section.problems().error(&text.span, message);
        return None;
    }
    Some(mti)
}

pub(super) fn parse_mti(section: &Section<'_, '_>, text: &Located<&str>) -> Option<Mti> {
    let mti = Mti::parse(text.value);
    if mti.is_none() {
        section
            .problems()
            .error(&text.span, "a message type is four digits, as in \"0200\"");
    }
    mti
}

/// Reads `[reversal]`.
pub(super) fn reversal(
    root: &Section<'_, '_>,
    table: &Table,
    serves: bool,
) -> Option<ReversalRules> {
    let Some(section) = root.section("reversal") else {
        if !serves {
            return Some(ReversalRules::USUAL);
        }
        root.absent(
            "reversal",
            "reversal is missing; write for example `[reversal]` and under it `mti = \"0400\"`",
        );
        return None;
    };
    let mti_of = request_mti(&section, "mti", "0400");
    let repeat_mti = request_mti(&section, "repeat_mti", "0401");
    let field = |key: &'static str| {
        let de = section
            .integer(key, 2..=FieldSet::LAST.into())
            .map_or(0, |de| u8::try_from(de).unwrap_or(0));
        if de != 0 && table.field(de).is_none() {
            let message = format!("DE{de} is not defined in [fields]");
            let span = section.span_of(key);
            section.problems().dangling(&span, message);
        }
        de
    };
    let (reason_field, original_field) = (field("reason_field"), field("original_field"));
    // As wide as a field of which nothing is known.
    let unknown = reason_field == 0 && section.has("reason_field");
    let reason = |key| {
        if unknown {
            section.required_text(key, "96");
            return None;
        }
        required_code(&section, key, width_of(table, reason_field))
    };
    let (timeout, mac, other) = (reason("timeout"), reason("mac"), reason("other"));
    let unknown_original = required_code(&section, "unknown_original", width_of(table, 39));
    let fixed = fixed_fields(&section, table);
    section.finish();
    Some(ReversalRules {
        mti: mti_of?,
        repeat_mti: repeat_mti?,
        reason_field,
        timeout: timeout?,
        mac: mac?,
        other: other?,
        unknown_original: unknown_original?,
        original_field,
        fixed,
    })
}

/// Reads `[repeats]`; nothing in it must be written.
pub(super) fn repeats(root: &Section<'_, '_>) -> RepeatRules {
    const SHORTEST: Duration = Duration::from_mins(1);
    const LONGEST: Duration = Duration::from_hours(400 * 24);
    let usual = RepeatRules::USUAL;
    let Some(section) = root.section("repeats") else {
        return usual;
    };
    let rules = RepeatRules {
        window: section.duration("window", SHORTEST..=LONGEST, usual.window),
        marked: section.flag("marked", usual.marked),
    };
    section.finish();
    rules
}

/// Reads `[network]`; nothing in it must be written.
pub(super) fn network(root: &Section<'_, '_>, table: &Table) -> NetworkRules {
    let Some(section) = root.section("network") else {
        return NetworkRules::default();
    };
    let read = |key: &'static str| section.section(key).and_then(|s| network_message(s, table));
    let rules = NetworkRules {
        sign_on: read("sign_on"),
        sign_off: read("sign_off"),
        echo: read("echo"),
    };
    section.finish();
    rules
}

fn network_message(section: Section<'_, '_>, table: &Table) -> Option<NetworkMessage> {
    let mti = request_mti(&section, "mti", "0800");
    let fixed = fixed_fields(&section, table);
    let filled = fields::set(&section, "filled", table).unwrap_or(FieldSet::EMPTY);
    section.finish();
    Some(NetworkMessage {
        mti: mti?,
        fixed,
        filled,
    })
}

/// Reads `fields = { "70" = "301" }`: data elements and their values, ascending.
pub(super) fn fixed_fields(section: &Section<'_, '_>, table: &Table) -> Vec<(u8, Vec<u8>)> {
    let mut fixed = Vec::new();
    for (key, value) in section.named_texts("fields") {
        match key
            .value
            .parse()
            .ok()
            .filter(|de| table.field(*de).is_some())
        {
            Some(de) => {
                let bytes = value.value.as_bytes();
                if let Err(misfit) = form::put(table.spec(de), bytes, &mut Vec::new()) {
                    section
                        .problems()
                        .error(&value.span, misfits(table, de, misfit));
                }
                fixed.push((de, bytes.to_vec()));
            }
            None => section.problems().dangling(
                &key.span,
                format!("DE{} is not defined in [fields]", key.value),
            ),
        }
    }
    fixed.sort_by_key(|(de, _)| *de);
    fixed
}

/// Why a field cannot hold a value, and what it can.
fn misfits(table: &Table, de: u8, misfit: Misfit) -> String {
    let spec = table.spec(de);
    match misfit {
        Misfit::Character => {
            format!("DE{de} cannot hold these characters: its type forbids one of them")
        }
        Misfit::Length => format!("DE{de} holds {} at most", spec.max),
    }
}
