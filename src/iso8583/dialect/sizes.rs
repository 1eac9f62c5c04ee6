//! Whether what a layout says can lie in the field or part that it divides.

use std::collections::BTreeMap;

use crate::iso8583::subfield::{Extent, Layout, LayoutForm, PartRule, Presence};

use super::fields;
use super::table::{Prefix, Table};

/// What a layout divides.
pub(super) struct Room {
    /// `DE48`, or `part 2`.
    name: String,
    /// Most digits, characters or bytes.
    most: usize,
    /// Whether it always has so many.
    fixed: bool,
}

/// What the path names; `None` when there is no such thing, which is told elsewhere.
pub(super) fn room(layouts: &BTreeMap<u8, Layout>, table: &Table, path: &[&str]) -> Option<Room> {
    let (first, rest) = path.split_first()?;
    let field = table.field(fields::numbered(first)?)?;
    let mut room = Room {
        name: format!("DE{first}"),
        most: field.max.into(),
        fixed: !field.variable,
    };
    let mut layout = layouts.get(&field.number);
    for name in rest {
        let within = layout?;
        let rules = within
            .group
            .as_ref()
            .map_or(&within.rules, |group| &group.rules);
        let rule = rules.iter().find(|rule| rule.tag.as_str() == *name)?;
        room = Room {
            name: format!("part {name}"),
            most: room.most.min(rule.spec.max.into()),
            fixed: rule.extent == Extent::Own && rule.spec.prefix == Prefix::Fixed,
        };
        layout = rule.layout.as_ref();
    }
    Some(room)
}

/// What is wrong with it, and which of the parts it is about.
pub(super) fn check(room: &Room, layout: &Layout) -> Vec<(Option<usize>, String)> {
    let about = |part| move |problem| (part, problem);
    match layout.form {
        LayoutForm::Positional => {
            let mut found = one_after_another(room, 0, &layout.rules);
            found.extend(uncovered(room, &layout.rules).map(about(None)));
            found
        }
        LayoutForm::Repeat { count } => {
            let rules = layout.group.as_ref().map_or(&[][..], |group| &group.rules);
            let front = count.map_or(0, |count| count.bytes);
            one_after_another(room, front, rules)
        }
        LayoutForm::Bitmap { bytes, hex } => {
            let front = bytes.saturating_mul(if hex { 2 } else { 1 });
            let parts = (0..).zip(&layout.rules);
            let each = parts.filter_map(|(at, rule)| {
                too_long(room, front, least(rule), rule).map(about(Some(at)))
            });
            head(room, front)
                .map(about(None))
                .into_iter()
                .chain(each)
                .collect()
        }
        LayoutForm::BerTlv => tagged(room, 2, layout),
        LayoutForm::Tlv(tag, length) | LayoutForm::Ltv { tag, length, .. } => {
            let mut found = tagged(room, tag.bytes.saturating_add(length.bytes), layout);
            let mut tells = length.encoding.max(length.bytes);
            if let LayoutForm::Ltv {
                counts_tag: true, ..
            } = layout.form
            {
                tells = tells.saturating_sub(tag.bytes);
            }
            for (at, rule) in (0..).zip(&layout.rules) {
                if told_most(rule).is_some_and(|most| most > tells) {
                    let problem = format!(
                        "part {}: its max does not fit the length, which tells at most {tells}; write a larger length_bytes",
                        rule.tag
                    );
                    found.push((Some(at), problem));
                }
            }
            found
        }
    }
}

/// The parts together, with so many bytes before them.
fn one_after_another(
    room: &Room,
    front: usize,
    rules: &[PartRule],
) -> Vec<(Option<usize>, String)> {
    let mut end = front;
    for (at, rule) in (0..).zip(rules) {
        let problem = too_long(room, end, least(rule), rule).or_else(|| {
            let open = rule.spec.prefix != Prefix::Fixed || rule.extent == Extent::Rest;
            let most = told_most(rule).filter(|_| open)?;
            too_long(room, 0, most, rule)
        });
        if let Some(problem) = problem {
            return vec![(Some(at), problem)];
        }
        end = end.saturating_add(least(rule));
    }
    Vec::new()
}

/// What the parts leave of something that always has the same length: no value would be without a rest.
fn uncovered(room: &Room, rules: &[PartRule]) -> Option<String> {
    let fixed = |rule: &PartRule| rule.extent == Extent::Own && rule.spec.prefix == Prefix::Fixed;
    let end: usize = rules.iter().map(least).sum();
    let (name, most) = (&room.name, room.most);
    (room.fixed && end < most && rules.iter().all(fixed)).then(|| {
        format!("the parts take {end} together, {name} always has {most}; write a last part with `length = \"rest\"`")
    })
}

fn tagged(room: &Room, front: usize, layout: &Layout) -> Vec<(Option<usize>, String)> {
    let each = (0..).zip(&layout.rules).filter_map(|(at, rule)| {
        let problem = too_long(room, 0, told_most(rule)?, rule)?;
        Some((Some(at), problem))
    });
    let head = head(room, front).map(|problem| (None, problem));
    head.into_iter().chain(each).collect()
}

/// What stands before a part fills the field already.
fn head(room: &Room, front: usize) -> Option<String> {
    let (name, most) = (&room.name, room.most);
    (front >= most).then(|| {
        format!("{front} bytes stand before a part, and {name} has at most {most}; write a larger max there")
    })
}

fn too_long(room: &Room, from: usize, bytes: usize, rule: &PartRule) -> Option<String> {
    let end = from.saturating_add(bytes);
    let (name, most, tag) = (&room.name, room.most, &rule.tag);
    (end > most).then(|| {
        format!("part {tag} would end at {end}, and {name} has at most {most}; lessen the part's max, or write a larger one there")
    })
}

/// Bytes that it takes wherever it is.
fn least(rule: &PartRule) -> usize {
    match rule.extent {
        Extent::Own if rule.presence == Presence::Letter => 0,
        Extent::Own => {
            usize::from(rule.spec.prefix.bytes()).saturating_add(rule.spec.fixed_content())
        }
        Extent::Rest | Extent::Told => 0,
    }
}

/// The most bytes that it may have, where the file says it.
fn told_most(rule: &PartRule) -> Option<usize> {
    let most = rule.spec.max;
    (most < fields::UNITS_MAX).then(|| rule.spec.content_bytes(most).into())
}
