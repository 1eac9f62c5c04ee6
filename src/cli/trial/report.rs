//! What came of a trial.

use std::collections::BTreeMap;
use std::io;

use super::books::{JournalBooks, Wrong};
use super::operator::Changes;
use super::world::Done;
use crate::base::Counted;
use crate::cli::output;
use crate::sim::fleet::Snapshot;
use crate::sim::host::HostCounters;
use crate::sim::ledger::{Difference, Totals};

/// Differences that are told; the others are counted.
const TOLD_MAX: usize = 20;

/// All that is known at the end.
pub(super) struct Report {
    pub(super) seconds: u64,
    /// Every terminal came to its end.
    pub(super) settled: bool,
    /// The gateway finished what it owed and ended with 0.
    pub(super) drained: bool,
    pub(super) done: Done,
    pub(super) changes: Changes,
    pub(super) fleet: Snapshot,
    pub(super) terminals: Totals,
    pub(super) host: Totals,
    pub(super) host_did: HostCounters,
    pub(super) journal: JournalBooks,
    pub(super) by_host: Vec<Difference>,
    pub(super) by_journal: Vec<Difference>,
}

impl Report {
    /// Money lost and doubled, by all books.
    fn wrong(&self) -> Wrong {
        let forwarded_twice = Wrong {
            lost: 0,
            doubled: self.host_did.doubled + self.journal.numbers_twice,
        };
        Wrong::of(&self.by_host)
            .plus(Wrong::of(&self.by_journal))
            .plus(forwarded_twice)
    }

    /// Whether the gateway kept all its promises.
    pub(super) fn is_good(&self) -> bool {
        self.wrong().is_none()
            && self.settled
            && self.drained
            && self.journal.open + self.journal.parked == 0
            && self.journal.model_differs.is_empty()
            && self.changes.lost == 0
            && !self.operator_was_refused()
            && self.done.drains_failed == 0
            && self.done.points_missed.is_empty()
            && self.fleet.mismatched == 0
            && self.fleet.approved > 0
    }

    /// Not one of the operator's changes was taken: nothing can be said of them then.
    const fn operator_was_refused(&self) -> bool {
        self.changes.acknowledged == 0 && self.changes.broken_off > 0
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json {
            return output::line(format_args!("{}", self.json()));
        }
        let Self {
            done,
            fleet,
            changes,
            host_did,
            journal,
            ..
        } = self;
        let line = output::line;
        line(format_args!(
            "{}, {} of them before the first approval after a start; {}, {}, {}; {} s",
            Counted(done.kills, "kill"),
            done.early,
            Counted(done.stops, "stop"),
            Counted(done.drains, "drain"),
            Counted(done.points, "fail point"),
            self.seconds
        ))?;
        if done.ended > 0 {
            line(format_args!(
                "the gateway ended {} by itself",
                Counted(done.ended, "time")
            ))?;
        }
        line(format_args!(
            "{}, {} approved, {} unanswered, {}, {} acknowledged, {} broken",
            Counted(fleet.sent, "request"),
            fleet.approved,
            fleet.unanswered,
            Counted(fleet.repeats, "repeat"),
            Counted(fleet.reversals_acknowledged, "reversal"),
            Counted(fleet.broken, "session")
        ))?;
        let faults: Vec<_> = host_did
            .faults()
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        line(format_args!(
            "host: {}, answers: {}; {} reversed, {}",
            Counted(host_did.requests, "request"),
            faults.join(", "),
            host_did.reversed,
            Counted(host_did.repeats, "repeat")
        ))?;
        line(format_args!(
            "start to first approval: p50 {} ms, p99 {} ms, longest {} ms",
            self.recovered(50) / 1_000,
            self.recovered(99) / 1_000,
            self.recovered(100) / 1_000
        ))?;
        line(format_args!(
            "operator: {} changes acknowledged, {} broken off, {} lost",
            changes.acknowledged, changes.broken_off, changes.lost
        ))?;
        self.print_findings()?;
        let Wrong { lost, doubled } = self.wrong();
        line(format_args!(
            "books of terminals, host and journal ({}): {}, {} minor units; {lost} lost, {doubled} doubled",
            Counted(journal.records, "record"),
            Counted(self.terminals.approved, "approval"),
            self.terminals.net_minor
        ))
    }

    fn print_findings(&self) -> io::Result<()> {
        let line = output::line;
        for (point, hit) in &self.done.points_missed {
            line(format_args!(
                "  fail point {}: passage {hit} did not come",
                point.name()
            ))?;
        }
        for (what, count) in [
            ("drains that did not end with 0", self.done.drains_failed),
            ("answers to the wrong terminal", self.fleet.mismatched),
            ("terminals that did not settle", u64::from(!self.settled)),
            (
                "last drains that did not end with 0",
                u64::from(!self.drained),
            ),
            (
                "operators of whose changes none was taken",
                u64::from(self.operator_was_refused()),
            ),
            ("transactions open in the journal", self.journal.open),
            ("transactions parked", self.journal.parked),
            (
                "numbers used twice in the journal",
                self.journal.numbers_twice,
            ),
            ("requests that the host got twice", self.host_did.doubled),
        ] {
            if count > 0 {
                line(format_args!("  {what}: {count}"))?;
            }
        }
        for terminal in self.journal.model_differs.iter().take(TOLD_MAX) {
            line(format_args!(
                "  {terminal}: the read model differs from the journal"
            ))?;
        }
        for (whose, differences) in [("host", &self.by_host), ("journal", &self.by_journal)] {
            for difference in differences.iter().take(TOLD_MAX) {
                line(format_args!(
                    "  {}: {} minor units, the {whose} has {}",
                    difference.terminal, difference.ours.net_minor, difference.theirs.net_minor
                ))?;
                for row in difference.rows.iter().take(TOLD_MAX) {
                    line(format_args!(
                        "    batch {} STAN {}: {:?}, the {whose} has {:?}",
                        row.batch,
                        row.stan,
                        row.ours.map(|row| (row.kind, row.state, row.minor)),
                        row.theirs.map(|row| (row.kind, row.state, row.minor))
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// Microseconds from a start to the first approval that so many of a hundred starts did not exceed.
    fn recovered(&self, percent: u64) -> u64 {
        let starts = self.done.recovery.len();
        let wanted = (starts * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for step in self.done.recovery.iter_recorded() {
            seen += step.count_at_value();
            if seen >= wanted {
                return step.value_iterated_to();
            }
        }
        0
    }

    fn json(&self) -> serde_json::Value {
        let Wrong { lost, doubled } = self.wrong();
        let missed: Vec<_> = self
            .done
            .points_missed
            .iter()
            .map(|(point, hit)| format!("{}:{hit}", point.name()))
            .collect();
        serde_json::json!({
            "good": self.is_good(),
            "seconds": self.seconds,
            "kills": self.done.kills,
            "kills_before_first_approval": self.done.early,
            "stops": self.done.stops,
            "drains": self.done.drains,
            "drains_failed": self.done.drains_failed,
            "ended_by_itself": self.done.ended,
            "fail_points": self.done.points,
            "fail_points_missed": missed,
            "first_approval_ms": {
                "p50": self.recovered(50) / 1_000,
                "p99": self.recovered(99) / 1_000,
                "max": self.recovered(100) / 1_000,
            },
            "sent": self.fleet.sent,
            "approved": self.fleet.approved,
            "unanswered": self.fleet.unanswered,
            "repeats": self.fleet.repeats,
            "late": self.fleet.late,
            "mismatched": self.fleet.mismatched,
            "reversals_acknowledged": self.fleet.reversals_acknowledged,
            "host": {
                "requests": self.host_did.requests,
                "faults": self.host_did.faults().into_iter().collect::<BTreeMap<_, _>>(),
                "reversed": self.host_did.reversed,
                "repeats": self.host_did.repeats,
                "doubled": self.host_did.doubled,
            },
            "operator": {
                "acknowledged": self.changes.acknowledged,
                "broken_off": self.changes.broken_off,
                "lost": self.changes.lost,
            },
            "journal_records": self.journal.records,
            "journal_open": self.journal.open,
            "journal_parked": self.journal.parked,
            "settled": self.settled,
            "drained": self.drained,
            "standing": self.terminals.approved,
            "net_minor": i64::try_from(self.terminals.net_minor).ok(),
            "host_net_minor": i64::try_from(self.host.net_minor).ok(),
            "journal_net_minor": i64::try_from(self.journal.ledger.totals().net_minor).ok(),
            "lost": lost,
            "doubled": doubled,
        })
    }
}
