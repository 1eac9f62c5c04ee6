//! Reads `[[request]]` rows and compiles their conditions.

use crate::base::document::{Located, Section};
use crate::base::{Fate, RequestType};
use crate::iso8583::fieldset::FieldSet;
use crate::iso8583::match_key::Matching;
use crate::iso8583::mti::Mti;
use crate::iso8583::request::{self, Books, MessageRule, Request, Rows, Rule, Served, Uploads};

use super::fields;
use super::rules::Roles;
use super::settings;
use super::table::{Exposure, FieldType, SubField, Table};

const BOOKS: [(&str, Books); 3] = [
    ("debit", Books::Debit),
    ("credit", Books::Credit),
    ("none", Books::None),
];

const SERVED: [(&str, Served); 9] = [
    ("forward", Served::Forward),
    ("sign-on", Served::SignOn),
    ("sign-off", Served::SignOff),
    ("echo", Served::Echo),
    ("code-entry", Served::CodeEntry),
    ("settlement", Served::Settlement),
    ("batch-upload", Served::BatchUpload),
    ("batch-upload-end", Served::BatchUploadEnd),
    ("unserved", Served::Unserved),
];

const UPLOADS: [(&str, Uploads); 3] = [
    ("listed", Uploads::Listed),
    ("itself", Uploads::Itself),
    ("failed", Uploads::Failed),
];

/// What a row has when it does not say otherwise: the `[defaults]` table.
#[derive(Clone, Copy, Default)]
struct Defaults {
    required: FieldSet,
    answer_echo: FieldSet,
    reversal_copies: FieldSet,
}

/// Reads all rows, and the fields that every answer echoes.
pub(super) fn rows(root: &Section<'_, '_>, table: &Table) -> (Rows, FieldSet) {
    let before = root.problems().errors();
    let shaken_since = |before| {
        if root.problems().errors() > before {
            root.problems().shake();
        }
    };
    let defaults = root.section("defaults").map(|s| defaults(s, table));
    let defaults = defaults.unwrap_or_default();
    // What rows lack may be what is broken there.
    shaken_since(before);
    let mut compiler = Compiler {
        table,
        requests: Vec::new(),
        selectors: Vec::new(),
        rules: Vec::new(),
    };
    for section in root.sections("request") {
        compiler.row(section, defaults);
    }
    shaken_since(before);
    let rows = Rows::new(compiler.requests, compiler.selectors, compiler.rules);
    (rows, defaults.answer_echo)
}

/// Reads `[[message_type]]`: what message types must and must not carry, and by what answers are matched.
pub(super) fn messages(
    root: &Section<'_, '_>,
    table: &Table,
    roles: &Roles,
    requests: &[Request],
) -> (Vec<MessageRule>, Matching) {
    let mut rules: Vec<MessageRule> = Vec::new();
    let mut matching = Matching::default();
    for section in root.sections("message_type") {
        let name = section.required_name("name", "sale answer");
        let mtis = mtis(&section, settings::parse_mti);
        let set = |key| fields::set(&section, key, table).unwrap_or_default();
        let rule = MessageRule {
            name: name.as_ref().map_or("", |name| name.value).to_owned(),
            zh: section
                .name_text("zh")
                .map_or("", |text| text.value)
                .to_owned(),
            required: set("required"),
            forbidden: set("forbidden"),
            mtis,
        };
        if let Some(name) = &name
            && rules.iter().any(|known| known.name == rule.name)
        {
            let message = format!("there is already a message type \"{}\"", name.value);
            section.problems().error(&name.span, message);
        }
        if let Some(de) = rule.required.intersection(rule.forbidden).first() {
            let message = format!("{}: DE{de} is required and forbidden", section.path());
            section
                .problems()
                .error(&section.span_of("forbidden"), message);
        }
        let known = |mti: &&Mti| rules.iter().any(|rule| rule.mtis.contains(mti));
        if let Some(mti) = rule.mtis.iter().find(known) {
            let message = format!("{}: there is already a rule for {mti}", section.path());
            section.problems().error(&section.span_of("mti"), message);
        }
        let before = section.problems().errors();
        if let Some(fields) = fields::set(&section, "match", table)
            && section.problems().errors() == before
        {
            if let Some(de) = fields.iter().find(|de| table.is_secret(*de)) {
                let message = format!(
                    "{}.match: DE{de} is secret, of which nothing is kept to compare with; leave it out",
                    section.path()
                );
                let span = section.span_of("match");
                section.problems().consequence(&span, message);
            }
            match_by(&section, fields, &rule, roles, requests, &mut matching);
        }
        section.finish();
        rules.push(rule);
    }
    (rules, matching)
}

/// Takes in by what the answers of a rule are matched, if they can be.
fn match_by(
    section: &Section<'_, '_>,
    fields: FieldSet,
    rule: &MessageRule,
    roles: &Roles,
    requests: &[Request],
    matching: &mut Matching,
) {
    let span = section.span_of("match");
    let error = |message: String| section.problems().consequence(&span, message);
    let path = section.path();
    if !fields.contains(roles.stan) {
        error(format!(
            "{path}.match lacks DE{}: answers are found by the trace number first; add it",
            roles.stan
        ));
        return;
    }
    for mti in &rule.mtis {
        if mti.is_request() {
            error(format!(
                "{path}.match is of answers, and {mti} is none; write it where {} is",
                mti.answer()
            ));
            continue;
        }
        let before = matching.of(*mti);
        if !before.is_empty() && before != fields {
            error(format!(
                "{path}.match: another message type of the class of {mti} is matched by other fields; a class has one match"
            ));
            continue;
        }
        matching.set(*mti, fields);
    }
    // While rows are wrong, nobody knows what they require.
    if section.problems().any_errors() {
        return;
    }
    // What a request need not have is not compared, and tells nothing apart.
    let answered = |row: &&Request| {
        row.served == Served::Forward
            && row.mtis.iter().any(|mti| rule.mtis.contains(&mti.answer()))
    };
    for row in requests.iter().filter(answered) {
        if let Some(de) = fields.difference(row.required).first() {
            section.problems().warn(
                &span,
                format!(
                    "{path}.match: DE{de} is not required of {}, and is compared only when it is there",
                    row.name
                ),
            );
            return;
        }
    }
}

fn defaults(section: Section<'_, '_>, table: &Table) -> Defaults {
    let set = |key| fields::set(&section, key, table).unwrap_or_default();
    let defaults = Defaults {
        required: set("required"),
        answer_echo: set("answer_echo"),
        reversal_copies: set("reversal_copies"),
    };
    let sets = [defaults.answer_echo, defaults.reversal_copies];
    for ((key, what), fields) in SHOWN.into_iter().zip(sets) {
        no_secret(&section, key, what, table, fields);
    }
    section.finish();
    defaults
}

/// Lists of fields that must not be secret, and why.
const SHOWN: [(&str, &str); 2] = [
    ("answer_echo", "is not sent back"),
    ("reversal_copies", "may not be kept for a reversal"),
];

/// Tracks 2, 3 and 1 and the PIN block in all versions of the standard.
const TRACKS_AND_PIN: [u8; 4] = [35, 36, 45, 52];

/// Tells of a secret field in such a list, where it is written.
fn no_secret(
    section: &Section<'_, '_>,
    key: &'static str,
    what: &str,
    table: &Table,
    fields: FieldSet,
) {
    // Answers may repeat what nobody may see, such as the totals of a settlement, but no track and no PIN.
    let echo = key == "answer_echo";
    let secret = |de: &u8| {
        let field = table.field(*de);
        let hidden = field.is_some_and(|field| field.exposure == Exposure::Secret);
        hidden && (!echo || TRACKS_AND_PIN.contains(de))
    };
    if let Some(de) = fields.iter().find(secret).filter(|_| section.has(key)) {
        let message = format!("{}.{key}: DE{de} is secret and {what}", section.path());
        section.problems().error(&section.span_of(key), message);
    }
}

struct Compiler<'t> {
    table: &'t Table,
    requests: Vec<Request>,
    selectors: Vec<SubField>,
    rules: Vec<Rule>,
}

impl Compiler<'_> {
    fn row(&mut self, section: Section<'_, '_>, defaults: Defaults) {
        let name = section.required_name("name", "sale");
        let zh = section.name_text("zh").map_or("", |text| text.value);
        let mtis = mtis(&section, settings::parse_request_mti);
        let before = section.problems().errors();
        let conditions = self.conditions(&section);
        let sound = section.problems().errors() == before;
        let kind = kind(&section);
        let fate = fate(&section);
        let set = |key, usual| fields::set(&section, key, self.table).unwrap_or(usual);
        let required = set("required", defaults.required);
        let forbidden = set("forbidden", FieldSet::EMPTY);
        let answer_echo = set("answer_echo", defaults.answer_echo);
        let before_copies = section.problems().errors();
        let reversal_copies = set("reversal_copies", defaults.reversal_copies);
        let copied = section.problems().errors() == before_copies;
        let books = section.choice("books", &BOOKS, Books::None);
        let served = section.choice("served", &SERVED, Served::Forward);
        let uploads = section.choice("uploads", &UPLOADS, Uploads::Itself);
        let mac = section.flag("mac", false);
        let (Some(name), Some(kind), Some(fate)) = (name, kind, fate) else {
            section.finish();
            return;
        };
        let request = Request {
            name: name.value.to_owned(),
            zh: zh.to_owned(),
            mtis,
            kind,
            fate,
            required,
            forbidden,
            books,
            answer_echo,
            reversal_copies,
            served,
            uploads,
            mac,
        };
        self.check(&section, &name, &request, copied);
        // A row that lost a condition would take what others are for.
        if sound {
            self.compile(&section, &request.mtis, &conditions);
        }
        self.requests.push(request);
        section.finish();
    }

    /// What must hold between the parts of a row; `copied`: what its reversal copies was read well.
    fn check(&self, section: &Section<'_, '_>, name: &Located<&str>, row: &Request, copied: bool) {
        if self.requests.iter().any(|known| known.name == row.name) {
            let message = format!("there is already a request \"{}\"", row.name);
            section.problems().error(&name.span, message);
        }
        if let Some(de) = row.required.intersection(row.forbidden).first() {
            section.problems().error(
                &section.span_of("forbidden"),
                format!("{}: DE{de} is required and forbidden", row.name),
            );
        }
        let forwarded = row.served == Served::Forward;
        if forwarded && moves_money(row.kind) && row.fate == Fate::Expire {
            section.problems().error(
                &section.span_of("fate"),
                format!(
                    "{}: a {} moves money; its fate is \"reverse\" or \"repeat\"",
                    row.name,
                    row.kind.name()
                ),
            );
        }
        for ((key, what), fields) in SHOWN
            .into_iter()
            .zip([row.answer_echo, row.reversal_copies])
        {
            no_secret(section, key, what, self.table, fields);
        }
        if row.fate == Fate::Reverse && row.reversal_copies.is_empty() && copied {
            section.consequence(format!(
                "{}: name the fields that its reversal copies in reversal_copies",
                row.name
            ));
        }
    }

    /// Reads `when = { "60.1" = "22|36", "3" = "000000" }`: per entry a selector and its values.
    fn conditions(&mut self, section: &Section<'_, '_>) -> Vec<(usize, Vec<u64>)> {
        let mut conditions = Vec::new();
        for (key, value) in section.named_texts("when") {
            let Some(selector) = fields::sub_field(self.table, key.value) else {
                let message = format!("no field or part \"{}\"", key.value);
                section.problems().dangling(&key.span, message);
                continue;
            };
            let Some(at) = self.selector(selector) else {
                section.problems().error(
                    &key.span,
                    format!(
                        "conditions may look at {} different fields at most",
                        Rows::SELECTORS_MAX
                    ),
                );
                continue;
            };
            let width = self.width(selector);
            let field = self.table.field(selector.field);
            let numeric = field.is_some_and(|field| field.kind == FieldType::Numeric);
            let mut values = Vec::new();
            for word in value.value.split('|') {
                let fits = width.is_none_or(|width| width == word.len());
                if numeric && !word.bytes().all(|byte| byte.is_ascii_digit()) {
                    let message = format!("\"{word}\" is never there: {} holds digits", key.value);
                    section.problems().error(&value.span, message);
                    continue;
                }
                match request::fingerprint(word.as_bytes()) {
                    Some(print) if fits => values.push(print),
                    Some(_) | None => section.problems().dangling(
                        &value.span,
                        format!("\"{word}\" is not as long as {} always is", key.value),
                    ),
                }
            }
            conditions.push((at, values));
        }
        conditions
    }

    /// Digits of what a selector selects, when that is always the same.
    fn width(&self, selector: SubField) -> Option<usize> {
        if selector.count != SubField::WHOLE {
            return Some(selector.count.into());
        }
        let field = self.table.field(selector.field)?;
        (!field.variable).then_some(field.max.into())
    }

    fn selector(&mut self, selector: SubField) -> Option<usize> {
        if let Some(at) = self.selectors.iter().position(|known| *known == selector) {
            return Some(at);
        }
        if self.selectors.len() >= Rows::SELECTORS_MAX {
            return None;
        }
        self.selectors.push(selector);
        self.selectors.len().checked_sub(1)
    }

    /// One rule for every combination of message type and values.
    fn compile(&mut self, section: &Section<'_, '_>, mtis: &[Mti], wanted: &[(usize, Vec<u64>)]) {
        let row = self.requests.len();
        for mti in mtis {
            let mut combinations: Vec<Vec<(usize, u64)>> = vec![Vec::new()];
            for (selector, values) in wanted {
                combinations = combinations
                    .iter()
                    .flat_map(|begun| {
                        values.iter().map(move |value| {
                            let mut longer = begun.clone();
                            longer.push((*selector, *value));
                            longer
                        })
                    })
                    .collect();
            }
            for conditions in combinations {
                self.rule(
                    section,
                    Rule {
                        mti: *mti,
                        conditions,
                        row,
                    },
                );
            }
        }
    }

    fn rule(&mut self, section: &Section<'_, '_>, rule: Rule) {
        let covers = |earlier: &&Rule| {
            earlier.mti == rule.mti
                && earlier
                    .conditions
                    .iter()
                    .all(|condition| rule.conditions.contains(condition))
        };
        if let Some(earlier) = self.rules.iter().find(covers)
            && earlier.row != rule.row
        {
            let name = self.requests.get(earlier.row).map_or("", |row| &row.name);
            section.consequence(format!(
                "{} {} is never reached: \"{name}\" matches first",
                section.path(),
                rule.mti
            ));
        }
        self.rules.push(rule);
    }
}

/// Reads `mti = "0400|0401"`.
fn mtis(
    section: &Section<'_, '_>,
    parse: impl Fn(&Section<'_, '_>, &Located<&str>) -> Option<Mti>,
) -> Vec<Mti> {
    let Some(text) = section.required_text("mti", "0200") else {
        return Vec::new();
    };
    text.value
        .split('|')
        .filter_map(|value| {
            let span = text.span.clone();
            parse(section, &Located { value, span })
        })
        .collect()
}

fn kind(section: &Section<'_, '_>) -> Option<RequestType> {
    let words = RequestType::ALL.map(|kind| (kind.name(), kind));
    section.required_text("kind", "new-money")?;
    section.choice_of("kind", &words)
}

fn fate(section: &Section<'_, '_>) -> Option<Fate> {
    let words = [Fate::Reverse, Fate::Repeat, Fate::Expire].map(|fate| (fate.name(), fate));
    section.required_text("fate", "reverse")?;
    section.choice_of("fate", &words)
}

/// Whether an approval of it changes what somebody has.
const fn moves_money(kind: RequestType) -> bool {
    match kind {
        RequestType::NewMoney
        | RequestType::Completion
        | RequestType::Void
        | RequestType::Refund
        | RequestType::Reversal
        | RequestType::Advice => true,
        RequestType::Echo
        | RequestType::SignOn
        | RequestType::SignOff
        | RequestType::CodeEntry
        | RequestType::Download
        | RequestType::Enquiry
        | RequestType::QrQuery
        | RequestType::Settlement
        | RequestType::Trailer => false,
    }
}
