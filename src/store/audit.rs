//! The audit trail: who changed what, when, from where, from what to what. An event is written in the
//! transaction of the change that it tells of, so that neither is ever without the other.
//!
//! The events are chained. An event's *content* is one JSON object in canonical form (keys sorted, no spaces,
//! no fractions, as `jq -cS .` writes it); it has the number of the event, counted from 1 without a gap, and
//! as `previous` the hash of the event before it (64 zeros for the first). The hash of an event is the
//! SHA-256 of its content. So one hash, kept elsewhere, stands for all that was written up to it: a change of
//! an event, a missing one or one put in between shows, and so does an end that was cut off. Without a copy
//! of a hash elsewhere, somebody who may write the file can make the whole chain anew from any place on.
//!
//! No event ever holds a card number, a key, a code, a token, or the text of a notice.

use std::fmt;

use aws_lc_rs::digest;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::StoreError;
use super::registry::Actor;

/// What an event says of one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was done: object and participle, as `binding.suspended`.
    pub event: &'static str,
    /// What it was done to: kind and name, as `terminal acme/T0000001`.
    pub subject: String,
    /// What changed, as it was; null for what was not there.
    pub before: Value,
    /// The same as it is from now on; null for what is gone.
    pub after: Value,
    /// What else is worth knowing: case, evidence, note. Null for nothing.
    pub details: Value,
}

impl Entry {
    /// An event without before, after and details.
    #[must_use]
    pub fn new(event: &'static str, subject: impl Into<String>) -> Self {
        Self {
            event,
            subject: subject.into(),
            before: Value::Null,
            after: Value::Null,
            details: Value::Null,
        }
    }

    /// With what was there before and is there now.
    #[must_use]
    pub fn change(self, before: Value, after: Value) -> Self {
        Self {
            before,
            after,
            ..self
        }
    }

    /// With what else is worth knowing.
    #[must_use]
    pub fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// SHA-256 of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first event has as `previous`.
    pub const NONE: Self = Self([0; 32]);

    /// Of a content.
    #[must_use]
    pub fn of(content: &str) -> Self {
        Self::of_bytes(content.as_bytes())
    }

    /// Of any bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        let sum = digest::digest(&digest::SHA256, bytes);
        hash.iter_mut()
            .zip(sum.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self(hash)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The end of the chain: the number of the last event and its hash. Written as `NUMBER:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the last event; 0 when there is none.
    pub number: u64,
    /// Of the last event; [`Hash::NONE`] when there is none.
    pub hash: Hash,
}

impl Head {
    /// Of a trail without events.
    pub const NONE: Self = Self {
        number: 0,
        hash: Hash::NONE,
    };

    /// As for a log: the hash in groups, so that nothing in it looks like a card number.
    #[must_use]
    pub fn grouped(&self) -> String {
        let hash = self.hash.to_string();
        let groups: Vec<_> = hash
            .as_bytes()
            .chunks(8)
            .map(String::from_utf8_lossy)
            .collect();
        format!("{}:{}", self.number, groups.join("-"))
    }

    /// Reads what its `Display` or [`Head::grouped`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, hash) = text.split_once(':')?;
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        Some(Self {
            number: digits.then(|| number.parse().ok()).flatten()?,
            hash: Hash::parse(&hash.replace('-', ""))?,
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// The canonical content of the event that comes after `head`.
#[must_use]
pub fn content(head: Head, actor: &Actor, entry: &Entry) -> String {
    let mut content = Map::new();
    let who = json!({
        "name": actor.name,
        "rights": actor.origin.rights,
        "channel": actor.origin.channel.name(),
        "address": actor.origin.address,
    });
    content.insert("number".into(), (head.number + 1).into());
    content.insert("previous".into(), head.hash.to_string().into());
    content.insert("at_us".into(), actor.at.0.into());
    content.insert("actor".into(), who);
    content.insert("request".into(), actor.origin.request.as_str().into());
    content.insert("event".into(), entry.event.into());
    content.insert("subject".into(), entry.subject.as_str().into());
    for (name, value) in [
        ("before", &entry.before),
        ("after", &entry.after),
        ("details", &entry.details),
    ] {
        if !value.is_null() {
            content.insert(name.into(), value.clone());
        }
    }
    Value::Object(content).to_string()
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// From 1, without a gap.
    pub number: u64,
    /// Canonical content.
    pub content: String,
    /// The hash that was stored with it.
    pub hash: Hash,
}

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Only of this subject.
    pub subject: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only those whose name begins so.
    pub event: Option<String>,
    /// Only those before this number, which come newest first.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What is wrong with a trail. The first place is named; what comes after it proves nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Break {
    /// The next event is not there.
    #[error("event {number} is not there: it was removed")]
    Missing {
        /// Its number.
        number: u64,
    },
    /// Its content is not what it was when it was written.
    #[error("event {number} was changed: its content does not have the hash that stands beside it")]
    Changed {
        /// Its number.
        number: u64,
    },
    /// It does not follow on the event before it.
    #[error("event {number} does not follow on the one before it: one of the two was replaced")]
    Unchained {
        /// Its number.
        number: u64,
    },
    /// A column by which events are found says something else than the content.
    #[error(
        "event {number} is filed under something that it does not say: its {column} was changed"
    )]
    Misfiled {
        /// Its number.
        number: u64,
        /// Which column.
        column: String,
    },
    /// The trail does not end where it says it does.
    #[error(
        "the trail ends with event {found}, and says itself that it ends with {expected}: its end was cut off"
    )]
    CutOff {
        /// Last event that is there.
        found: u64,
        /// Last one that was written.
        expected: u64,
    },
    /// A head that was kept elsewhere is not on this chain.
    #[error("the head {kept} that was kept is not on this trail: it was cut off or made anew")]
    NotOurs {
        /// As it was kept.
        kept: String,
    },
}

/// What looking through a trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Events that are as they were written, from the first on.
    pub sound: u64,
    /// The end of the chain as far as it is sound.
    pub head: Head,
    /// The first thing that is wrong.
    pub wrong: Option<Break>,
}

/// Walks a chain, event by event.
#[derive(Debug)]
pub struct Walk<'k> {
    head: Head,
    kept: Option<&'k Head>,
    met: bool,
}

/// The columns by which an event is found, as they are stored beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Filed<'c> {
    /// Microseconds since 1970-01-01 UTC.
    pub at: u64,
    /// Name of the event.
    pub event: &'c str,
    /// Subject.
    pub subject: &'c str,
    /// Name of the actor.
    pub actor: &'c str,
}

impl<'k> Walk<'k> {
    /// Begins before the first event. A head that was kept elsewhere has to be met on the way.
    #[must_use]
    pub fn new(kept: Option<&'k Head>) -> Self {
        Self {
            head: Head::NONE,
            met: kept.is_none_or(|kept| *kept == Head::NONE),
            kept,
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn event(&mut self, stored: &StoredEvent, filed: Filed<'_>) -> Result<(), Break> {
        let number = self.head.number + 1;
        if stored.number != number {
            return Err(Break::Missing { number });
        }
        if Hash::of(&stored.content) != stored.hash {
            return Err(Break::Changed { number });
        }
        let Ok(content) = serde_json::from_str::<Value>(&stored.content) else {
            return Err(Break::Changed { number });
        };
        let previous = content["previous"].as_str().and_then(Hash::parse);
        if content["number"].as_u64() != Some(number) || previous != Some(self.head.hash) {
            return Err(Break::Unchained { number });
        }
        let columns = [
            ("at", content["at_us"].as_u64() == Some(filed.at)),
            ("event", content["event"].as_str() == Some(filed.event)),
            (
                "subject",
                content["subject"].as_str() == Some(filed.subject),
            ),
            (
                "actor",
                content["actor"]["name"].as_str() == Some(filed.actor),
            ),
        ];
        if let Some((column, _)) = columns.into_iter().find(|(_, fits)| !fits) {
            let column = column.to_owned();
            return Err(Break::Misfiled { number, column });
        }
        self.head = Head {
            number,
            hash: stored.hash,
        };
        self.met |= self.kept == Some(&self.head);
        Ok(())
    }

    /// Ends behind the last event, with the end that the trail names itself.
    #[must_use]
    pub fn end(self, named: Head) -> Verdict {
        let wrong = if named.number > self.head.number {
            Some(Break::CutOff {
                found: self.head.number,
                expected: named.number,
            })
        } else if named != self.head {
            Some(Break::Unchained {
                number: self.head.number,
            })
        } else {
            let kept = self.kept.filter(|_| !self.met);
            kept.map(|kept| Break::NotOurs {
                kept: kept.to_string(),
            })
        };
        self.verdict(wrong)
    }

    /// Ends at something that is wrong.
    #[must_use]
    pub fn broken(self, wrong: Break) -> Verdict {
        self.verdict(Some(wrong))
    }

    fn verdict(self, wrong: Option<Break>) -> Verdict {
        Verdict {
            sound: self.head.number,
            head: self.head,
            wrong,
        }
    }
}

/// Where the events are. A supertrait of the registry, whose file and transactions they share.
pub trait AuditTrail {
    /// Writes an event of something that is no change of the registry: in the transaction that is under way,
    /// or in one of its own. A change of the registry writes its own.
    ///
    /// # Errors
    /// When the store fails; nothing may be changed then.
    fn tell(&mut self, actor: &Actor, entry: &Entry) -> Result<(), StoreError>;

    /// The end of the chain.
    ///
    /// # Errors
    /// When the store fails.
    fn head(&mut self) -> Result<Head, StoreError>;

    /// Events that fit, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn events(&mut self, asked: &Events) -> Result<Vec<StoredEvent>, StoreError>;

    /// Looks through the whole trail. A head that was kept elsewhere has to be on it.
    ///
    /// # Errors
    /// When the store fails; what is wrong with the trail is no error.
    fn verify(&mut self, kept: Option<&Head>) -> Result<Verdict, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn the_canonical_form_is_what_other_programs_write() {
        let actor = Actor::program("test", Timestamp(7));
        let entry = Entry::new("binding.suspended", "terminal acme/T1").change(
            json!({"state": "active", "a": 1}),
            json!({"state": "suspended"}),
        );
        let told = content(Head::NONE, &actor, &entry);
        let zeros = "0".repeat(64);
        assert_eq!(
            told,
            format!(
                "{{\"actor\":{{\"address\":\"\",\"channel\":\"program\",\"name\":\"test\",\"rights\":\"all\"}},\
                 \"after\":{{\"state\":\"suspended\"}},\"at_us\":7,\"before\":{{\"a\":1,\"state\":\"active\"}},\
                 \"event\":\"binding.suspended\",\"number\":1,\"previous\":\"{zeros}\",\"request\":\"\",\
                 \"subject\":\"terminal acme/T1\"}}"
            )
        );
        // `printf %s "$content" | sha256sum`
        assert_eq!(
            Hash::of("{\"a\":1}").to_string(),
            "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
        );
    }

    #[test]
    fn a_head_is_read_back() {
        let head = Head {
            number: 12,
            hash: Hash::of("x"),
        };
        assert_eq!(Head::parse(&head.to_string()), Some(head));
        // Not a run of digits as long as a card number's, whatever the hash.
        let grouped = head.grouped();
        assert_eq!(Head::parse(&grouped), Some(head));
        let runs = grouped.split(|c: char| !c.is_ascii_digit());
        assert!(runs.map(str::len).max() <= Some(8), "{grouped}");
        for wrong in ["", "12", "12:", "+1:00", &format!("1:{}", "g".repeat(64))] {
            assert_eq!(Head::parse(wrong), None, "{wrong}");
        }
    }
}
