//! Places where a build for proofs ends the process at will, as a kill at that very moment would.
//!
//! Around each step that makes something durable there is a point. With the feature `failpoints` the variable
//! [`VARIABLE`], as in `POSGATE_FAIL_AT=journal-synced:2`, names the point and how many times it is passed until
//! the process aborts there. Without the feature nothing is compiled in.

/// The environment variable that arms a point.
pub const VARIABLE: &str = "POSGATE_FAIL_AT";

/// Whether this build can end itself.
pub const BUILT_IN: bool = cfg!(feature = "failpoints");

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// A place in the code, in the order of a transaction's life.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])* $point,)*
        }

        impl Point {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// Its name in [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The data keys are written under their temporary name.
    KeysWritten = "keys-written",
    /// The data keys are in place.
    KeysInPlace = "keys-in-place",
    /// A migration of a store file has run and is not committed.
    MigrationRun = "migration-run",
    /// A migration of a store file is committed.
    MigrationCommitted = "migration-committed",
    /// Recovery has read what is open and written nothing.
    RecoveryRead = "recovery-read",
    /// Recovery is about to take up one transaction.
    RecoveryNext = "recovery-next",
    /// Recovery has put its records into the journal's queue.
    RecoveryQueued = "recovery-queued",
    /// The listeners are bound, and no terminal was taken.
    Listening = "listening",
    /// A record and its effect are in the journal's queue.
    JournalQueued = "journal-queued",
    /// A group is taken and not written.
    JournalTaken = "journal-taken",
    /// A group is written and synced, no effect is given out.
    JournalSynced = "journal-synced",
    /// The effects of a group are given out.
    JournalGiven = "journal-given",
    /// A request is about to be handed to its link.
    ForwardNext = "forward-next",
    /// A request is with its link.
    ForwardDone = "forward-done",
    /// An answer is about to be handed to its terminal.
    AnswerNext = "answer-next",
    /// An answer is with its terminal's session.
    AnswerDone = "answer-done",
    /// What is owed is durable and about to go on the book.
    OweNext = "owe-next",
    /// Reserved STANs are durable and about to be used.
    StansNext = "stans-next",
    /// A round of journal groups is read, the read model is untouched.
    ProjectionRead = "projection-read",
    /// The read model has the round, uncommitted.
    ProjectionWritten = "projection-written",
    /// The read model has the round.
    ProjectionCommitted = "projection-committed",
    /// An operator's change is written and not committed.
    RegistryWritten = "registry-written",
    /// An operator's change is committed and not yet in the gate.
    RegistryCommitted = "registry-committed",
    /// An operator's change is in the gate and not yet acknowledged.
    RegistryInGate = "registry-in-gate",
}

/// Passes a point.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn pass(_point: Point) {}

/// Passes a point; does not return the time that [`VARIABLE`] says.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let armed = ARMED.get_or_init(|| armed_by(&std::env::var(VARIABLE).ok()?));
    let Some((name, hit)) = armed else {
        return;
    };
    if name == point.name() && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *hit {
        std::process::abort();
    }
}

/// Point and hit of `name:hit`.
#[cfg(any(feature = "failpoints", test))]
fn armed_by(text: &str) -> Option<(String, u32)> {
    let (name, hit) = text.split_once(':')?;
    let known = Point::ALL.iter().any(|point| point.name() == name);
    let hit = hit.parse().ok().filter(|hit| *hit > 0)?;
    known.then(|| (name.to_owned(), hit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_armed_by_its_name_and_a_count() {
        assert_eq!(
            armed_by("journal-synced:2"),
            Some(("journal-synced".to_owned(), 2))
        );
        for text in ["journal-synced", "journal-synced:0", "nowhere:1", ""] {
            assert_eq!(armed_by(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
