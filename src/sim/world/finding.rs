//! What a world can find, and what it counts when it finds nothing.

use std::fmt;

use crate::base::{Stan, TerminalId};
use crate::iso8583::ResponseCode;

/// What a gateway did that it may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A message that does not decode, or lacks what it must have.
    Unusable,
    /// An original reached the host twice (invariant 2).
    ForwardedTwice {
        /// STAN as the host saw it.
        stan: Stan,
    },
    /// Two requests reached the host under one number (invariant 9).
    NumberUsedTwice {
        /// STAN as the host saw it.
        stan: Stan,
    },
    /// A void or completion reached the host whose original does not stand there.
    OriginalNotThere {
        /// STAN that it named.
        stan: Stan,
    },
    /// More was given back of a sale than it had taken, or it was reversed although something follows it; or what was
    /// set aside was taken twice.
    UndoneTwice {
        /// STAN of the sale or pre-authorisation.
        stan: Stan,
    },
    /// A terminal got an answer that is not its own (invariant 9).
    ForeignAnswer {
        /// STAN of the answer.
        stan: Stan,
    },
    /// A terminal's reversal got a code on which terminals never stop repeating it (invariant 6).
    ReversalRefused {
        /// The code.
        code: ResponseCode,
    },
    /// A repeated request got another answer than before (invariant 5).
    AnswerChanged {
        /// STAN.
        stan: Stan,
        /// First code.
        first: ResponseCode,
        /// Code of the repeat.
        then: ResponseCode,
    },
    /// A request went to the host before its intent was durable (invariant 1).
    SentBeforeDurable {
        /// STAN as the host sees it.
        stan: Stan,
    },
    /// A terminal was told of an approval that was not durable (invariant 1).
    ToldBeforeDurable {
        /// STAN.
        stan: Stan,
    },
    /// A request was accepted by what did not hold at that moment: an older version of its binding, another
    /// account, or a state that takes no new money (invariant 7).
    AdmittedWrongly {
        /// STAN of the terminal.
        stan: Stan,
    },
    /// What follows an earlier transaction has gone into another account than that (invariant 7).
    BookedElsewhere {
        /// STAN of the terminal.
        stan: Stan,
    },
    /// What a person decided about something parked could not be done.
    NotDecided(String),
    /// The gateway could not start on what it left behind.
    NoRestart(String),
    /// Not everything came to its end after all had healed (invariant 3).
    NotSettled {
        /// What is owed to the host.
        owed: usize,
        /// What waits for the host.
        in_flight: usize,
        /// What waits for a person.
        parked: usize,
        /// Terminals that still have something to clear up.
        terminals: usize,
    },
    /// The books differ (minor units, how many and their sum).
    BooksDiffer {
        /// Terminal.
        terminal: TerminalId,
        /// By the terminal.
        terminals: (u64, i64),
        /// By the host.
        hosts: (u64, i64),
        /// By the journal.
        journals: (u64, i64),
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What happened in a world that found nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that terminals made.
    pub requests: u64,
    /// Those that stand approved.
    pub approved: u64,
    /// Reversals that undid something at the host.
    pub reversed: u64,
    /// Repeats that the host saw of what is repeated by its nature.
    pub repeats: u64,
    /// Times the process ended and was started again.
    pub crashes: u64,
    /// Times a link fell.
    pub links_lost: u64,
    /// Changes of bindings and accounts by an operator.
    pub changes: u64,
    /// Decisions of a person about what was parked.
    pub decisions: u64,
    /// Virtual time, seconds.
    pub seconds: u64,
}

impl Summary {
    /// Adds up worlds.
    pub const fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.approved += other.approved;
        self.reversed += other.reversed;
        self.repeats += other.repeats;
        self.crashes += other.crashes;
        self.links_lost += other.links_lost;
        self.changes += other.changes;
        self.decisions += other.decisions;
        self.seconds += other.seconds;
    }
}
