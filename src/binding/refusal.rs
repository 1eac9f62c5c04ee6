//! Why a state machine does not take an event. Nothing has changed then.

use crate::base::Timestamp;
use crate::base::alike::look_alike;
use crate::base::note::NoteError;

/// See the module. Each says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot happen in the state that the thing is in.
    #[error("the {thing} is {state} and cannot be {verb}; {remedy}")]
    State {
        /// "binding", "account", "contact", "case" …
        thing: &'static str,
        /// Name of its state.
        state: &'static str,
        /// What was to be done, as a participle.
        verb: &'static str,
        /// The way out.
        remedy: &'static str,
    },
    /// Something has to be there first.
    #[error("{what} is missing; {remedy}")]
    Missing {
        /// What.
        what: &'static str,
        /// How it comes about.
        remedy: &'static str,
    },
    /// It takes evidence that another person filed.
    #[error(
        "{problem}; another person than who acts on it files it with \
         `posgate evidence file \"{about}\" {allows} \"what was seen\"`, and who acts names its number"
    )]
    Unproven {
        /// What is wrong with the evidence that was named, if any was.
        problem: Box<str>,
        /// What it has to be about.
        about: Box<str>,
        /// What it has to allow.
        allows: Box<str>,
    },
    /// What was read or acknowledged is no longer so.
    #[error("{what} has changed meanwhile; {remedy}")]
    Changed {
        /// What.
        what: &'static str,
        /// The way out.
        remedy: &'static str,
    },
    /// One person would be maker and checker.
    #[error("{person} asked for this and cannot approve it too; another person has to")]
    SamePerson {
        /// Name.
        person: Box<str>,
    },
    /// Its time has not come.
    #[error("{what} is possible in {} s at the earliest", wait_seconds(*.now, *.at))]
    Early {
        /// What.
        what: &'static str,
        /// From when.
        at: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// Too many codes were asked for.
    #[error("{why}; the next code can be sent in {} s", wait_seconds(*.now, *.until))]
    Throttled {
        /// Which limit it is.
        why: &'static str,
        /// When it is over.
        until: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// Too many codes were wrong.
    #[error("too many wrong codes: this contact takes none for {} s; use another contact, or the counter", wait_seconds(*.now, *.until))]
    Locked {
        /// When it is over.
        until: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// A terminal still has something open.
    #[error("the drain has not ended: there are {what}; {remedy}")]
    Undrained {
        /// What is open.
        what: &'static str,
        /// What ends it.
        remedy: &'static str,
    },
    /// Another thing has it.
    #[error("{what} belongs to {holder} already; {remedy}")]
    Taken {
        /// What.
        what: &'static str,
        /// Who has it.
        holder: Box<str>,
        /// The way out.
        remedy: &'static str,
    },
    /// A person's words that cannot be kept. Never holds them.
    #[error(transparent)]
    Words(#[from] NoteError),
    /// A value that is none.
    #[error("{what} {problem}")]
    Value {
        /// What.
        what: &'static str,
        /// What is wrong with it; never the value itself.
        problem: &'static str,
    },
}

/// Whole seconds, rounded up.
const fn wait_seconds(now: Timestamp, until: Timestamp) -> u64 {
    until.0.saturating_sub(now.0).div_ceil(1_000_000)
}

/// `Ok` when `state` is among `allowed`; otherwise the refusal that says so.
pub(super) fn only_in<S: Copy + PartialEq>(
    (thing, state, name): (&'static str, S, &'static str),
    allowed: &[S],
    verb: &'static str,
    remedy: &'static str,
) -> Result<(), Refusal> {
    if allowed.contains(&state) {
        return Ok(());
    }
    Err(Refusal::State {
        thing,
        state: name,
        verb,
        remedy,
    })
}

/// `Ok` when the checker is not the maker.
///
/// # Errors
/// [`Refusal::SamePerson`].
pub fn two_persons(maker: &str, checker: &str) -> Result<(), Refusal> {
    // Spelling is no second person, nor is a letter that looks like another.
    if look_alike(maker, checker) {
        return Err(Refusal::SamePerson {
            person: checker.into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_no_second_person() {
        let same = |checker| {
            let refused = two_persons("Li Na", checker);
            assert!(
                matches!(refused, Err(Refusal::SamePerson { .. })),
                "{checker}"
            );
        };
        same(" li na ");
        same("Li  Na");
        same("LiNa");
        same("Li\u{3000}Na");
        same("\u{FF2C}\u{FF49} \u{FF2E}\u{FF41}");
        // With a Cyrillic а.
        same("Li N\u{430}");
        assert_eq!(two_persons("Li Na", "Li Nan"), Ok(()));
        assert_eq!(two_persons("李娜", "李娜娜"), Ok(()));
    }
}
