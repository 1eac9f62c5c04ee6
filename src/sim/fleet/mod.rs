//! A fleet of terminals that behave as terminals do.
//!
//! Each signs on, trades with ascending trace numbers, and keeps the reversal of a sale *before* it sends the
//! sale, to drop it only when an acceptable answer came. Without one it may repeat the sale, then reverses it
//! before anything else is sent, until the reversal is acknowledged. Every answer is checked against its
//! request; what belongs to none is counted as mismatched, which a right gateway never causes.
//!
//! The fleet's ledger is what the *shops* believe. [`Ledger::diff`] against a host's tells whether the gateway
//! between them lost or doubled money.

mod line;
mod slots;
mod tally;
mod terminal;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use tally::{Role, Snapshot};

use super::chance::Chance;
use super::ledger::{Ledger, Totals};
use super::message::{Identity, Phrases};
use super::transport::Target;
use crate::base::Clock;
use crate::iso8583::{Dialect, ResponseCode};
use slots::Slots;
use terminal::Terminal;

/// One terminal of the population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it says it is.
    pub identity: Identity,
    /// What it is counted as.
    pub role: Role,
    /// The code with which everything but reversals should be declined; `None` for one that should trade.
    pub declined_with: Option<ResponseCode>,
}

/// What else terminals do beside sales. The rest are sales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Balance enquiries.
    pub balance: Chance,
    /// Voids of the terminal's last sale.
    pub void: Chance,
    /// Refunds of the terminal's last sale.
    pub refund: Chance,
}

impl Mix {
    /// Nothing but sales.
    pub const SALES: Self = Self {
        balance: Chance::NEVER,
        void: Chance::NEVER,
        refund: Chance::NEVER,
    };
}

impl Default for Mix {
    /// Sales, with 3 % balance enquiries and 2 % voids.
    fn default() -> Self {
        Self {
            balance: Chance::percent(3),
            void: Chance::percent(2),
            refund: Chance::NEVER,
        }
    }
}

/// How a fleet behaves.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// The gateway, or a host.
    pub target: Target,
    /// What they speak.
    pub dialect: Arc<Dialect>,
    /// The terminals.
    pub members: Vec<Member>,
    /// Requests a second over all terminals, sign-ons included; 0 sends as fast as answers come.
    pub per_second: u32,
    /// What they do.
    pub mix: Mix,
    /// Amounts of sales in minor units.
    pub amounts: RangeInclusive<u64>,
    /// How long a terminal waits for an answer. Must be longer than the gateway's own deadline, or the two
    /// will disagree about what was answered; terminals in the field wait 60 s.
    pub answer_timeout: Duration,
    /// How long it waits for a connection.
    pub connect_timeout: Duration,
    /// How often it repeats a request that was not answered, before it reverses.
    pub repeats: Chance,
    /// How often it sends a reversal before it gives up.
    pub reversal_tries: u32,
    /// Where randomness starts.
    pub seed: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl FleetSettings {
    /// Well-behaved terminals that send as fast as they get answers.
    #[must_use]
    pub fn new(
        target: Target,
        dialect: Arc<Dialect>,
        members: Vec<Member>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            target,
            dialect,
            members,
            per_second: 0,
            mix: Mix::default(),
            amounts: 100..=50_000,
            answer_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            repeats: Chance::percent(30),
            reversal_tries: 10,
            seed: 1,
            clock,
        }
    }
}

/// What all terminals of a fleet share.
#[derive(Debug)]
struct Shared {
    settings: FleetSettings,
    phrases: Phrases,
    slots: Slots,
    tally: Mutex<Snapshot>,
    ledger: Mutex<Ledger>,
    stop: CancellationToken,
}

impl Shared {
    /// A terminal that panicked left whole counts behind: each change is one addition.
    fn tally(&self) -> MutexGuard<'_, Snapshot> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulated fleet. See [`Fleet::start`].
#[derive(Debug)]
pub struct Fleet;

impl Fleet {
    /// Starts all terminals on the current runtime.
    #[must_use]
    pub fn start(settings: FleetSettings) -> RunningFleet {
        let shared = Arc::new(Shared {
            phrases: Phrases::new(Arc::clone(&settings.dialect)),
            slots: Slots::new(settings.per_second),
            tally: Mutex::new(Snapshot::new()),
            ledger: Mutex::new(Ledger::default()),
            stop: CancellationToken::new(),
            settings,
        });
        let mut terminals = JoinSet::new();
        for (number, member) in shared.settings.members.iter().enumerate() {
            let terminal = Terminal::new(Arc::clone(&shared), *member, number);
            terminals.spawn(terminal.run());
        }
        RunningFleet { shared, terminals }
    }
}

/// A fleet at work. Dropping it ends all terminals at once, reversals owed or not.
#[derive(Debug)]
pub struct RunningFleet {
    shared: Arc<Shared>,
    terminals: JoinSet<()>,
}

impl RunningFleet {
    /// Counters as they stand.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.tally().clone()
    }

    /// Financial requests approved so far, enquiries included.
    #[must_use]
    pub fn approved(&self) -> u64 {
        self.shared.tally().approved
    }

    /// A copy of the terminals' ledger as it stands.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger().clone()
    }

    /// Sums over the terminals' ledger.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.ledger().totals()
    }

    /// Sends no new requests, waits for the answers under way, sends every reversal and repeat owed, and
    /// hangs up. True when all of that was done within `limit`; terminals that were not are ended.
    pub async fn stop_and_settle(&mut self, limit: Duration) -> bool {
        self.shared.stop.cancel();
        let all = async { while self.terminals.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(limit, all).await.is_ok();
        self.terminals.shutdown().await;
        in_time && self.shared.tally().in_doubt == 0
    }
}
