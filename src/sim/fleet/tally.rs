//! What a fleet has seen so far: one set of counters for all its terminals.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;

use crate::iso8583::ResponseCode;

/// What a terminal is in the simulated population: "good", "unbound", "suspended", whatever the caller needs
/// to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(pub &'static str);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Counters of a fleet at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Financial requests sent, without repeats and reversals.
    pub sent: u64,
    /// Financial requests approved, enquiries included.
    pub approved: u64,
    /// Requests declined, signing on included, by role and code.
    pub declined: BTreeMap<(Role, ResponseCode), u64>,
    /// Outcomes that a role should not have: approved where a decline was due, or declined with another code.
    pub unexpected: u64,
    /// Successful sign-ons.
    pub signed_on: u64,
    /// Requests that got no usable answer in time.
    pub unanswered: u64,
    /// Requests whose fate is not known now: a reversal or repeat is owed.
    pub in_doubt: u64,
    /// Requests sent again with the same trace number.
    pub repeats: u64,
    /// Reversals sent, resends included.
    pub reversals_sent: u64,
    /// Reversals acknowledged.
    pub reversals_acknowledged: u64,
    /// Reversals given up after all tries. Each leaves a row in doubt.
    pub reversals_given_up: u64,
    /// Answers that belong to no request of the terminal that got them. Must be 0.
    pub mismatched: u64,
    /// Answers to a request given up before.
    pub late: u64,
    /// Second answers to a request.
    pub duplicates: u64,
    /// Answers that cannot be decoded.
    pub unusable: u64,
    /// Connections made.
    pub connections: u64,
    /// Of those, with a resumed TLS session.
    pub resumed: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections that broke in use.
    pub broken: u64,
    /// From sending a financial request to its answer, in microseconds.
    pub latency: Histogram<u64>,
}

impl Snapshot {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            approved: 0,
            declined: BTreeMap::new(),
            unexpected: 0,
            signed_on: 0,
            unanswered: 0,
            in_doubt: 0,
            repeats: 0,
            reversals_sent: 0,
            reversals_acknowledged: 0,
            reversals_given_up: 0,
            mismatched: 0,
            late: 0,
            duplicates: 0,
            unusable: 0,
            connections: 0,
            resumed: 0,
            connect_failures: 0,
            broken: 0,
            latency: crate::sim::load::latency_histogram(),
        }
    }

    /// Declines by code, over all roles.
    #[must_use]
    pub fn declined_by_code(&self) -> BTreeMap<ResponseCode, u64> {
        let mut sums = BTreeMap::new();
        for ((_, code), count) in &self.declined {
            *sums.entry(*code).or_default() += count;
        }
        sums
    }

    /// Declines of one role by code.
    #[must_use]
    pub fn declined_of(&self, role: Role) -> BTreeMap<ResponseCode, u64> {
        let of_role = self.declined.iter().filter(|((r, _), _)| *r == role);
        of_role.map(|((_, code), count)| (*code, *count)).collect()
    }

    /// All declines.
    #[must_use]
    pub fn declined_total(&self) -> u64 {
        self.declined.values().sum()
    }
}
