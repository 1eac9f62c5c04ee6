//! What a demonstration shows while it runs, and its summary.

use std::collections::BTreeMap;
use std::io;

use super::Args;
use super::world::{Books, World};
use crate::base::Counted;
use crate::base::TerminalId;
use crate::cli::output;
use crate::sim::load::stats::Latency;

/// The live view: a table that is drawn over itself on a terminal, plain lines elsewhere.
pub(super) struct View {
    live: bool,
    quiet: bool,
    drawn: usize,
}

impl View {
    pub(super) fn new(live: bool, quiet: bool) -> Self {
        Self {
            live,
            quiet,
            drawn: 0,
        }
    }

    pub(super) fn begin(&self, world: &World) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let terminals = world.gateway.addresses.first().map(ToString::to_string);
        output::line(format_args!(
            "gateway at {} (TLS), host at {}, metrics at http://{}/metrics",
            terminals.unwrap_or_default(),
            world.host.addr(),
            world.monitor
        ))
    }

    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        self.drawn = 0;
        output::line(format_args!("{text}"))
    }

    /// Shows how it stands after so many seconds.
    pub(super) fn show(&mut self, second: u64, world: &World) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let fleet = world.fleet.snapshot();
        let latency = Latency::of(&fleet.latency);
        let host = world.host.counters();
        let switch = &world.gateway.switch;
        let declined: Vec<_> = fleet
            .declined_by_code()
            .iter()
            .map(|(code, count)| format!("{code}: {count}"))
            .collect();
        let lines = [
            format!(
                "{second:>4} s   sent {}   approved {}",
                fleet.sent, fleet.approved
            ),
            format!(
                "declined {}   ({})",
                fleet.declined_total(),
                declined.join(", ")
            ),
            format!(
                "latency p50 {} us, p99 {} us, p99.9 {} us",
                latency.p50, latency.p99, latency.p999
            ),
            format!(
                "host: dropped {}, late {}, sent twice {}",
                host.dropped, host.late, host.duplicated
            ),
            format!(
                "in doubt {}, reversals sent by terminals {}, owed by the gateway {}",
                fleet.in_doubt,
                fleet.reversals_sent,
                switch.owed()
            ),
            format!(
                "sessions {}, in flight {}, mismatched {}",
                world.gateway.sessions.len(),
                switch.in_flight(),
                fleet.mismatched
            ),
        ];
        if !self.live {
            return output::line(format_args!("{}", lines.join("; ")));
        }
        let up = if self.drawn > 0 {
            format!("\x1b[{}A", self.drawn)
        } else {
            String::new()
        };
        self.drawn = lines.len();
        let body: Vec<_> = lines.iter().map(|line| format!("\x1b[2K{line}")).collect();
        output::line(format_args!("{up}{}", body.join("\n")))
    }
}

/// What came of a demonstration.
pub(super) struct Report {
    seconds: u64,
    terminals: u32,
    settled: bool,
    books: Books,
    host_differs: Vec<TerminalId>,
    journal_differs: Vec<TerminalId>,
}

impl Report {
    pub(super) fn new(args: &Args, settled: bool, books: Books) -> Self {
        let host_differs = books
            .terminals
            .diff(&books.host)
            .into_iter()
            .map(|d| d.terminal)
            .collect();
        let journal_differs = journal_differs(&books);
        Self {
            seconds: args.seconds,
            terminals: args.terminals,
            settled,
            books,
            host_differs,
            journal_differs,
        }
    }

    fn agree(&self) -> bool {
        self.host_differs.is_empty() && self.journal_differs.is_empty()
    }

    /// Whether the gateway did what it promises.
    pub(super) fn is_good(&self) -> bool {
        let fleet = &self.books.fleet;
        let traded = fleet.approved > 0;
        self.settled
            && self.books.drained
            && self.agree()
            && traded
            && fleet.mismatched == 0
            && fleet.unexpected == 0
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json {
            return output::line(format_args!("{}", self.json()));
        }
        self.summary()
    }

    fn summary(&self) -> io::Result<()> {
        let fleet = &self.books.fleet;
        let latency = Latency::of(&fleet.latency);
        output::line(format_args!(""))?;
        output::line(format_args!(
            "{}, {} s: {}, {} approved, {} declined",
            Counted(self.terminals, "terminal"),
            self.seconds,
            Counted(fleet.sent, "request"),
            fleet.approved,
            fleet.declined_total()
        ))?;
        for ((role, code), count) in &fleet.declined {
            output::line(format_args!(
                "  declined with {code}: {count:>7}  terminals: {role}"
            ))?;
        }
        output::line(format_args!(
            "latency: p50 {} us, p99 {} us, p99.9 {} us",
            latency.p50, latency.p99, latency.p999
        ))?;
        let host = &self.books.host_did;
        output::line(format_args!(
            "the host dropped {} answers, sent {} too late and {} twice",
            host.dropped, host.late, host.duplicated
        ))?;
        output::line(format_args!(
            "terminals: {} without an answer, {} repeats, {} reversals acknowledged; host: {} reversed",
            fleet.unanswered, fleet.repeats, fleet.reversals_acknowledged, host.reversed
        ))?;
        output::line(format_args!("mismatched answers: {}", fleet.mismatched))?;
        output::line(format_args!(
            "answers a binding does not allow: {}",
            fleet.unexpected
        ))?;
        if !self.settled {
            output::line(format_args!(
                "not settled in time: {} in doubt, {} reversals owed",
                fleet.in_doubt, self.books.reversals_left
            ))?;
        }
        for (what, differs) in [
            ("host", &self.host_differs),
            ("journal", &self.journal_differs),
        ] {
            for terminal in differs.iter().take(20) {
                output::line(format_args!(
                    "  {terminal}: the {what}'s books differ from its own"
                ))?;
            }
        }
        let net = self.books.terminals.totals().net_minor;
        output::line(format_args!(
            "books of host, terminals and journal: {} ({net} minor units)",
            if self.agree() {
                "agree to the cent"
            } else {
                "DIFFER"
            }
        ))
    }

    fn json(&self) -> serde_json::Value {
        let fleet = &self.books.fleet;
        let host = &self.books.host_did;
        let latency = Latency::of(&fleet.latency);
        let declined: BTreeMap<String, u64> = fleet
            .declined_by_code()
            .iter()
            .map(|(code, n)| (code.to_string(), *n))
            .collect();
        let mut by_reason: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for ((role, code), count) in &fleet.declined {
            by_reason
                .entry(role.0)
                .or_default()
                .insert(code.to_string(), *count);
        }
        serde_json::json!({
            "seconds": self.seconds,
            "terminals": self.terminals,
            "sent": fleet.sent,
            "approved": fleet.approved,
            "declined": declined,
            "declined_by_terminals": by_reason,
            "mismatched": fleet.mismatched,
            "unexpected": fleet.unexpected,
            "unanswered": fleet.unanswered,
            "repeats": fleet.repeats,
            "reversals_acknowledged": fleet.reversals_acknowledged,
            "host": {
                "dropped": host.dropped,
                "late": host.late,
                "duplicated": host.duplicated,
                "reversed": host.reversed,
            },
            "settled": self.settled,
            "ledgers_agree": self.agree(),
            "net_minor": i64::try_from(self.books.terminals.totals().net_minor).ok(),
            "latency_us": { "p50": latency.p50, "p99": latency.p99, "p999": latency.p999 },
        })
    }
}

/// Terminals whose net money the journal has otherwise than they have themselves.
fn journal_differs(books: &Books) -> Vec<TerminalId> {
    let mut journal: BTreeMap<TerminalId, i128> = books
        .journal
        .iter()
        .map(|total| (total.key.terminal, i128::from(total.net)))
        .collect();
    let mut differs: Vec<_> = books
        .terminals
        .terminals()
        .into_iter()
        .filter(|terminal| {
            let theirs = journal.remove(terminal).unwrap_or(0);
            theirs != books.terminals.totals_of(*terminal).net_minor
        })
        .collect();
    differs.extend(
        journal
            .into_iter()
            .filter(|(_, net)| *net != 0)
            .map(|(terminal, _)| terminal),
    );
    differs
}
