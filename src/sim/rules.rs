//! What a simulated host answers, and how it misbehaves: read from a small TOML file or set by hand.
//!
//! ```toml
//! [faults]                # of every answer, unless a rule says otherwise
//! drop = "1%"
//! late = "1%"
//! late_by = "20s"
//!
//! [[rule]]                # the first rule that fits a request decides
//! amount = 5100
//! code = "51"
//!
//! [[rule]]
//! terminal = "T0000007"
//! kind = "new-money"
//! delay = "10ms..2s"
//! ```

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::document::{Document, Problem, Problems, Section};
use crate::base::{Amount, RequestType, TerminalId};
use crate::iso8583::ResponseCode;

use super::chance::{Chance, Wait};

/// How a host misbehaves. Each chance is drawn for itself, and the first that hits, in this order, is what
/// happens; `delay` comes on top of whatever is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The request is lost: neither processed nor answered.
    pub lose: Chance,
    /// Processed, never answered.
    pub drop: Chance,
    /// Processed and answered after [`Self::late_by`].
    pub late: Chance,
    /// How late; 20 s unless set, longer than any sensible deadline.
    pub late_by: Duration,
    /// Processed, then the connection is closed instead of answering.
    pub close: Chance,
    /// Answered with bytes that cannot be decoded.
    pub garble: Chance,
    /// Answered under another terminal's id.
    pub foreign: Chance,
    /// Answered under another STAN.
    pub misnumber: Chance,
    /// Answered twice.
    pub duplicate: Chance,
    /// Processed, then random bytes instead of the answer: the peer cannot find the next frame either.
    pub garbage: Chance,
    /// Processed, then the connection is reset (TCP RST) behind half of the answer.
    pub reset: Chance,
    /// Answered byte by byte, [`Self::drip_every`]; what else the connection has waits meanwhile.
    pub drip: Chance,
    /// Between two bytes; 50 ms unless set, which makes an answer of 100 bytes take 5 s.
    pub drip_every: Duration,
    /// Processed, then the connection stays open, reads nothing and answers nothing for [`Self::hang_for`].
    pub hang: Chance,
    /// How long; 30 s unless set.
    pub hang_for: Duration,
    /// Wait before every answer.
    pub delay: Wait,
}

impl Faults {
    /// None at all.
    pub const NONE: Self = Self {
        lose: Chance::NEVER,
        drop: Chance::NEVER,
        late: Chance::NEVER,
        late_by: Duration::from_secs(20),
        close: Chance::NEVER,
        garble: Chance::NEVER,
        foreign: Chance::NEVER,
        misnumber: Chance::NEVER,
        duplicate: Chance::NEVER,
        garbage: Chance::NEVER,
        reset: Chance::NEVER,
        drip: Chance::NEVER,
        drip_every: Duration::from_millis(50),
        hang: Chance::NEVER,
        hang_for: Duration::from_secs(30),
        delay: Wait::NONE,
    };

    /// Draws what happens to one answer.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Fault {
        let chances = [
            (self.lose, Fault::Lose),
            (self.drop, Fault::Drop),
            (self.late, Fault::Late),
            (self.close, Fault::Close),
            (self.garble, Fault::Garble),
            (self.foreign, Fault::Foreign),
            (self.misnumber, Fault::Misnumber),
            (self.duplicate, Fault::Duplicate),
            (self.garbage, Fault::Garbage),
            (self.reset, Fault::Reset),
            (self.drip, Fault::Drip),
            (self.hang, Fault::Hang),
        ];
        let hit = chances.into_iter().find(|(chance, _)| chance.hits(random));
        hit.map_or(Fault::None, |(_, fault)| fault)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// What happens to one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Lose,
    Drop,
    Late,
    Close,
    Garble,
    Foreign,
    Misnumber,
    Duplicate,
    Garbage,
    Reset,
    Drip,
    Hang,
}

/// Which requests a rule is about, and what it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Only this terminal.
    pub terminal: Option<TerminalId>,
    /// Only amounts in this range, in minor units.
    pub amount: Option<RangeInclusive<u64>>,
    /// Only requests of this type.
    pub kind: Option<RequestType>,
    /// Code to answer with instead of approving.
    pub code: Option<ResponseCode>,
    /// Misbehaviour instead of the general one.
    pub faults: Option<Faults>,
}

impl Rule {
    fn fits(&self, terminal: Option<TerminalId>, minor: Option<u64>, kind: RequestType) -> bool {
        let same_terminal = self.terminal.is_none() || self.terminal == terminal;
        let in_range = |range: &RangeInclusive<u64>| minor.is_some_and(|m| range.contains(&m));
        let same_kind = self.kind.is_none_or(|wanted| wanted == kind);
        same_terminal && same_kind && self.amount.as_ref().is_none_or(in_range)
    }
}

/// All that steers a host's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// General misbehaviour.
    pub faults: Faults,
    /// The first that fits decides.
    pub rules: Vec<Rule>,
}

impl Rules {
    /// Reads a rules file.
    ///
    /// # Errors
    /// Every mistake in it, with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let problems = Problems::new(file, text);
        let rules = {
            let document = Document::parse(&problems, text);
            let root = document.root(&problems);
            let faults = root.section("faults").map_or(Faults::NONE, |section| {
                let faults = read_faults(&section);
                section.finish();
                faults.unwrap_or_default()
            });
            let rules = root.sections("rule").into_iter().map(read_rule).collect();
            root.finish();
            Self { faults, rules }
        };
        if problems.any_errors() {
            Err(problems.into_vec())
        } else {
            Ok(rules)
        }
    }

    /// The code and misbehaviour for a request; no code means that it is approved.
    #[must_use]
    pub fn decide(
        &self,
        terminal: Option<TerminalId>,
        minor: Option<u64>,
        kind: RequestType,
    ) -> (Option<ResponseCode>, &Faults) {
        let rule = self.rules.iter().find(|r| r.fits(terminal, minor, kind));
        rule.map_or((None, &self.faults), |rule| {
            (rule.code, rule.faults.as_ref().unwrap_or(&self.faults))
        })
    }
}

fn read_rule(section: Section<'_, '_>) -> Rule {
    let rule = Rule {
        terminal: read_terminal(&section),
        amount: read_amounts(&section),
        kind: read_kind(&section),
        code: read_code(&section),
        faults: read_faults(&section),
    };
    if rule.code.is_none() && rule.faults.is_none() && !section.has("code") {
        section
            .error("the rule changes nothing; give it a `code` or a fault such as `drop = \"1%\"`");
    }
    section.finish();
    rule
}

fn read_terminal(section: &Section<'_, '_>) -> Option<TerminalId> {
    let text = section.text("terminal")?;
    TerminalId::parse(text.value)
        .map_err(|e| section.problems().error(&text.span, e.to_string()))
        .ok()
}

fn read_amounts(section: &Section<'_, '_>) -> Option<RangeInclusive<u64>> {
    let one = section.integer("amount", 0..=Amount::MAX_MINOR);
    let from = section.integer("amount_from", 0..=Amount::MAX_MINOR);
    let to = section.integer("amount_to", 0..=Amount::MAX_MINOR);
    if section.has("amount") && (section.has("amount_from") || section.has("amount_to")) {
        section.error("write either `amount` or `amount_from` and `amount_to`");
    }
    match (one, from, to) {
        (Some(one), _, _) => Some(one..=one),
        (None, None, None) => None,
        (None, from, to) => {
            let (from, to) = (from.unwrap_or(0), to.unwrap_or(Amount::MAX_MINOR));
            if from > to {
                section.error("amount_from is above amount_to");
            }
            Some(from..=to)
        }
    }
}

fn read_kind(section: &Section<'_, '_>) -> Option<RequestType> {
    let words = RequestType::ALL.map(|kind| (kind.name(), kind));
    section.choice_of("kind", &words)
}

fn read_code(section: &Section<'_, '_>) -> Option<ResponseCode> {
    let text = section.text("code")?;
    let code = ResponseCode::from_slice(text.value.as_bytes());
    if code.is_none() {
        let message = "code must have two characters, as in \"51\"";
        section.problems().error(&text.span, message);
    }
    code
}

/// `None` when the section names no fault.
fn read_faults(section: &Section<'_, '_>) -> Option<Faults> {
    let none = Faults::NONE;
    let range = Wait::RANGE;
    let read = Faults {
        lose: read_chance(section, "lose"),
        drop: read_chance(section, "drop"),
        late: read_chance(section, "late"),
        late_by: section.duration("late_by", range.clone(), none.late_by),
        close: read_chance(section, "close"),
        garble: read_chance(section, "garble"),
        foreign: read_chance(section, "foreign"),
        misnumber: read_chance(section, "misnumber"),
        garbage: read_chance(section, "garbage"),
        reset: read_chance(section, "reset"),
        drip: read_chance(section, "drip"),
        drip_every: section.duration("drip_every", range.clone(), none.drip_every),
        hang: read_chance(section, "hang"),
        hang_for: section.duration("hang_for", range, none.hang_for),
        duplicate: read_chance(section, "duplicate"),
        delay: read_wait(section, "delay"),
    };
    let keys = [
        "lose",
        "drop",
        "late",
        "late_by",
        "close",
        "garble",
        "foreign",
        "misnumber",
        "duplicate",
        "garbage",
        "reset",
        "drip",
        "drip_every",
        "hang",
        "hang_for",
        "delay",
    ];
    keys.iter().any(|key| section.has(key)).then_some(read)
}

fn read_chance(section: &Section<'_, '_>, key: &'static str) -> Chance {
    section.text(key).map_or(Chance::NEVER, |text| {
        Chance::parse(text.value).unwrap_or_else(|| {
            let message = format!("{key} must be a percentage from 0% to 100%, as in \"1%\"");
            section.problems().error(&text.span, message);
            Chance::NEVER
        })
    })
}

fn read_wait(section: &Section<'_, '_>, key: &'static str) -> Wait {
    section.text(key).map_or(Wait::NONE, |text| {
        Wait::parse(text.value).unwrap_or_else(|| {
            let message = format!("{key} must be a wait up to 1h, as in \"20ms\" or \"10ms..2s\"");
            section.problems().error(&text.span, message);
            Wait::NONE
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[faults]
drop = "1%"
late_by = "5s"

[[rule]]
amount = 5100
code = "51"

[[rule]]
terminal = "T1"
kind = "new-money"
amount_from = 100
amount_to = 200
delay = "1ms..2ms"
"#;

    fn decide(rules: &Rules, terminal: &str, minor: u64) -> (Option<ResponseCode>, Faults) {
        let terminal = TerminalId::parse(terminal).ok();
        let (code, faults) = rules.decide(terminal, Some(minor), RequestType::NewMoney);
        (code, *faults)
    }

    #[test]
    fn first_rule_that_fits_decides() {
        let rules = Rules::parse("r.toml", FILE).unwrap();
        assert_eq!(rules.faults.drop, Chance::percent(1));
        assert_eq!(rules.faults.late_by, Duration::from_secs(5));
        let code = ResponseCode::new(*b"51");
        assert_eq!(decide(&rules, "T1", 5100), (Some(code), rules.faults));
        let (code, faults) = decide(&rules, "T1", 150);
        assert_eq!((code, faults.drop), (None, Chance::NEVER));
        assert_eq!(faults.delay.max, Duration::from_millis(2));
        assert_eq!(decide(&rules, "T2", 150), (None, rules.faults));
    }

    #[test]
    fn empty_file_means_a_well_behaved_host() {
        assert_eq!(Rules::parse("r.toml", "").unwrap(), Rules::default());
    }

    #[test]
    fn every_mistake_has_its_place() {
        let text = "[faults]\ndrop = \"1\"\ndropp = \"1%\"\n\n[[rule]]\namount = 1\n\n\
                    [[rule]]\ncode = \"5\"\nterminal = \"123456789\"\nkind = \"sale\"\n";
        let found = Rules::parse("r.toml", text).unwrap_err();
        let places: Vec<_> = found.iter().map(|p| (p.line, p.column)).collect();
        let wanted = [(2, 8), (3, 1), (5, 1), (9, 8), (10, 12), (11, 8)];
        assert_eq!(places, wanted, "{found:#?}");
        assert_eq!(
            found[1].to_string(),
            "r.toml:3:1: error: unknown key `faults.dropp`; did you mean `drop`?"
        );
    }

    #[test]
    fn faults_are_drawn_in_their_order() {
        let all = Faults {
            drop: Chance::ALWAYS,
            duplicate: Chance::ALWAYS,
            ..Faults::NONE
        };
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(all.draw(&mut random), Fault::Drop);
        assert_eq!(Faults::NONE.draw(&mut random), Fault::None);
    }
}
