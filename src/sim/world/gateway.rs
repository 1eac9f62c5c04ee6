//! The gateway of a simulated world: the switch, its connections, and what its store holds on to when the
//! process ends. What it sends is checked against what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::operator::Operator;
use super::{Finding, LINKS, TIMEOUT};
use crate::base::{
    AccountId, AcquirerId, BindingId, Clock, Note, PersonName, RequestType, Stan, TerminalId,
    Timestamp, TxnId,
};
use crate::binding::{
    AccountKind, Accounts, Admission, BindingState, Directory, HoldSet, ReasonSet, SerialPrint,
    TerminalKey,
};
use crate::iso8583::{Dialect, Index, Message};
use crate::net::{Handled, Session};
use crate::security::DataKeys;
use crate::sim::message::Identity;
use crate::store::memory::{MemoryJournal, MemoryReadModel};
use crate::store::projection::project_round;
use crate::store::read_model::{Query, QueryState, TerminalTotal};
use crate::store::record::{self, Record};
use crate::store::{
    Intent, Intervention, OutcomeKind, ReadModel, StoreError, TransactionRow, Verb,
};
use crate::switch::driven::{Driven, Plan, Stores};
use crate::switch::{ExceptionError, StanPolicy};
use crate::telemetry::metrics::{GroupMetrics, ListenerMetrics};

/// What outlives the process.
#[derive(Debug)]
pub(super) struct Remains {
    plan: Plan,
    journal: MemoryJournal,
    model: MemoryReadModel,
    pub(super) operator: Operator,
}

/// The key of a terminal in a world, where there is one acquirer.
pub(super) const fn key_of(who: Identity) -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(0),
        terminal: who.terminal,
    }
}

impl Remains {
    pub(super) fn new(
        dialect: Arc<Dialect>,
        stan: StanPolicy,
        clock: Arc<dyn Clock>,
        attempts_max: u32,
        terminals: &[Identity],
        random: fastrand::Rng,
    ) -> Self {
        let directory = Directory::new();
        let directory = Arc::new(directory);
        let mut operator = Operator::new(Arc::clone(&directory), random);
        for (at, who) in terminals.iter().enumerate() {
            let number = u32::try_from(at).unwrap_or(0) + 1;
            let admission = Admission {
                binding: BindingId(number.into()),
                version: 1,
                accounts: Accounts::one(AccountKind::BankCard, AccountId(0)),
                merchant: who.merchant,
                state: BindingState::Active,
                reasons: ReasonSet::EMPTY,
                holds: HoldSet::EMPTY,
                device: SerialPrint::NONE,
            };
            operator.bind(key_of(*who), admission);
        }
        directory.set_trusted(true);
        let keys = DataKeys::simulated().unwrap_or_else(|_refused| {
            unreachable!("the key has the length that the cipher wants")
        });
        let plan = Plan {
            dialect,
            stan,
            timeout: TIMEOUT,
            attempts_max,
            links: LINKS,
            directory,
            keys: Arc::new(keys),
            clock,
            listener_metrics: Arc::new(ListenerMetrics::new("shops")),
            group_metrics: Arc::new(GroupMetrics::new("bank")),
        };
        Self {
            plan,
            journal: MemoryJournal::default(),
            model: MemoryReadModel::default(),
            operator,
        }
    }

    /// What tells this world from others.
    pub(super) fn plan(&self) -> (&str, StanPolicy) {
        (self.plan.dialect.name(), self.plan.stan)
    }

    /// The read model is gone; the journal has everything it showed.
    pub(super) fn lose_model(&self) {
        self.model.clear();
    }

    /// Net money by terminal, as the journal has it.
    pub(super) fn totals(&self) -> Result<Vec<TerminalTotal>, StoreError> {
        let (mut journal, mut model) = (self.journal.clone(), self.model.clone());
        while project_round(&mut journal, &mut model)? > 0 {}
        model.totals()
    }

    /// Which account has what stands approved, by terminal and its number.
    pub(super) fn accounts(&self) -> Result<BTreeMap<(TerminalId, Stan), AccountId>, StoreError> {
        let (mut journal, mut model) = (self.journal.clone(), self.model.clone());
        while project_round(&mut journal, &mut model)? > 0 {}
        let approved = Query {
            state: Some(QueryState::Ended(OutcomeKind::Approved)),
            ..Query::default()
        };
        let rows = model.latest(&approved, usize::MAX)?;
        let of = |row: TransactionRow| ((row.key.terminal, row.stan), AccountId(row.account));
        Ok(rows.into_iter().map(of).collect())
    }

    /// A transaction of which more was given back than it had taken, or that was undone although another
    /// follows it, as the journal has it.
    pub(super) fn overdone(&self) -> Result<Option<Stan>, StoreError> {
        let (mut journal, mut model) = (self.journal.clone(), self.model.clone());
        while project_round(&mut journal, &mut model)? > 0 {}
        let approved = Query {
            state: Some(QueryState::Ended(OutcomeKind::Approved)),
            ..Query::default()
        };
        let mut given_back: BTreeMap<TxnId, u64> = BTreeMap::new();
        let mut completed = BTreeSet::new();
        for row in model.latest(&approved, usize::MAX)? {
            if row.original.0 > 0 && row.kind == RequestType::Completion {
                if !completed.insert(row.original) {
                    return Ok(Some(row.stan));
                }
            } else if row.original.0 > 0 {
                let booked = row.outcome.map_or(0, |outcome| outcome.booked);
                *given_back.entry(row.original).or_default() += booked;
            }
        }
        for (original, given_back) in given_back {
            let Some(original) = model.transaction(original)? else {
                continue;
            };
            let stands = original
                .outcome
                .filter(|outcome| outcome.kind == OutcomeKind::Approved);
            if stands.is_none_or(|outcome| given_back > outcome.booked) {
                return Ok(Some(original.stan));
            }
        }
        Ok(None)
    }
}

/// What is durable, as the world sees it.
#[derive(Debug, Default)]
struct Durable {
    groups: usize,
    /// Numbers towards the host that an intent has.
    sent: BTreeSet<(TerminalId, Stan)>,
    /// The terminals' numbers of intents, by transaction.
    asked: BTreeMap<TxnId, (TerminalId, Stan)>,
    /// The terminals' numbers of what is approved.
    approved: BTreeSet<(TerminalId, Stan)>,
    /// Intents that became durable since somebody looked.
    admitted: Vec<Intent<'static>>,
}

/// A life of the process.
#[derive(Debug)]
pub(super) struct Gateway {
    driven: Driven,
    dialect: Arc<Dialect>,
    journal: MemoryJournal,
    durable: Durable,
    sessions: BTreeMap<u64, Arc<Session>>,
    bytes: Vec<u8>,
}

impl Gateway {
    pub(super) fn start(remains: &Remains) -> Result<Self, StoreError> {
        let stores = Stores {
            writer: Box::new(remains.journal.clone()),
            reader: Box::new(remains.journal.clone()),
            model: Box::new(remains.model.clone()),
        };
        let mut gateway = Self {
            driven: Driven::start(&remains.plan, stores)?,
            dialect: Arc::clone(&remains.plan.dialect),
            journal: remains.journal.clone(),
            durable: Durable::default(),
            sessions: BTreeMap::new(),
            bytes: Vec::new(),
        };
        gateway.note_durable();
        Ok(gateway)
    }

    pub(super) fn connect(&mut self, session: u64) {
        self.sessions.insert(session, Driven::session(session));
    }

    /// `false` when the connection ends.
    pub(super) fn on_frame(&mut self, session: u64, frame: &BytesMut) -> bool {
        let Some(known) = self.sessions.get(&session) else {
            return true;
        };
        let prefix = self.dialect.framing().prefix_bytes();
        let handled = self
            .driven
            .on_frame(known, frame.get(prefix..).unwrap_or_default());
        match handled {
            Handled::Pending | Handled::Ignored => true,
            Handled::Close(_) => {
                self.hang_up(session);
                false
            }
        }
    }

    pub(super) fn hang_up(&mut self, session: u64) {
        if let Some(session) = self.sessions.remove(&session) {
            session.hang_up();
        }
    }

    pub(super) fn on_link_frame(&self, link: usize, frame: &[u8], index: &mut Index) {
        let prefix = self.dialect.framing().prefix_bytes();
        let frame = frame.get(prefix..).unwrap_or_default();
        self.driven.on_link_frame(link, frame, index);
    }

    pub(super) fn link_up(&self, link: usize) {
        self.driven.link_up(link);
    }

    pub(super) fn link_down(&self, link: usize) {
        self.driven.link_down(link);
    }

    /// Whether there is something to look up.
    pub(super) fn begin_look_up(&mut self) -> bool {
        self.driven.begin_look_up()
    }

    pub(super) fn look_up(&mut self) -> Result<(), StoreError> {
        self.driven.look_up()
    }

    /// Answers that wait to be written, and connections that the gateway ends.
    ///
    /// # Errors
    /// When one of them tells of an approval that is not durable.
    pub(super) fn answers(
        &mut self,
        out: &mut Vec<(u64, Vec<u8>)>,
        index: &mut Index,
    ) -> Result<Vec<u64>, Finding> {
        let mut closed = Vec::new();
        let mut checked = Ok(());
        let prefix = self.dialect.framing().prefix_bytes();
        for (number, session) in &self.sessions {
            self.bytes.clear();
            session.take_output(&mut self.bytes);
            frames(&self.dialect, &self.bytes, |frame| {
                if let Ok(message) = self.dialect.decode(&frame[prefix..], index)
                    && let Some(stan) = tells_of_approval(&message)
                    && let Some(terminal) = message.terminal()
                    && !self.durable.approved.contains(&(terminal, stan))
                {
                    checked = Err(Finding::ToldBeforeDurable { stan });
                }
                out.push((*number, frame.to_vec()));
            });
            if session.is_closing() {
                closed.push(*number);
            }
        }
        checked.map(|()| closed)
    }

    /// Requests that wait to be written to a link.
    ///
    /// # Errors
    /// When one of them is not durable.
    pub(super) fn requests(
        &mut self,
        link: usize,
        out: &mut Vec<(usize, Vec<u8>)>,
        index: &mut Index,
    ) -> Result<(), Finding> {
        self.bytes.clear();
        self.driven.take_from_link(link, &mut self.bytes);
        let prefix = self.dialect.framing().prefix_bytes();
        let mut checked = Ok(());
        frames(&self.dialect, &self.bytes, |frame| {
            let message = self.dialect.decode(&frame[prefix..], index);
            let number = message
                .ok()
                .and_then(|message| Some((message.terminal()?, message.stan()?)));
            match number {
                Some(number) if self.durable.sent.contains(&number) => {}
                Some((_, stan)) => checked = Err(Finding::SentBeforeDurable { stan }),
                None => checked = Err(Finding::Unusable),
            }
            out.push((link, frame.to_vec()));
        });
        checked
    }

    pub(super) fn has_unsynced(&self) -> bool {
        self.driven.has_unsynced()
    }

    pub(super) fn begin_sync(&mut self) {
        self.driven.begin_sync();
    }

    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.driven.sync()?;
        self.note_durable();
        Ok(())
    }

    pub(super) fn take_effect(&mut self) {
        self.driven.take_effect();
    }

    pub(super) fn tick(&self) {
        self.driven.tick();
    }

    /// Deadlines are looked at often while something may be due.
    pub(super) fn next_tick(&self) -> Duration {
        if self.driven.in_flight() + self.driven.owed() > 0 {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(1)
        }
    }

    pub(super) fn owed(&self) -> usize {
        self.driven.owed()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.driven.in_flight()
    }

    pub(super) fn parked(&self) -> usize {
        self.driven.parked()
    }

    /// What waits for a person, by the read model.
    pub(super) fn exceptions(&mut self) -> Result<Vec<TransactionRow>, StoreError> {
        self.driven.exceptions()
    }

    /// A person decides about something parked. `false` when it is not parked any more.
    pub(super) fn decide(
        &mut self,
        row: &TransactionRow,
        verb: Verb,
        at: Timestamp,
    ) -> Result<bool, ExceptionError> {
        let sound = "a sound name, and a sound note";
        let done = Intervention {
            txn: row.txn,
            at,
            verb,
            name: PersonName::parse("Li Wei").unwrap_or_else(|_wrong| unreachable!("{sound}")),
            note: Note::parse("asked the bank").unwrap_or_else(|_wrong| unreachable!("{sound}")),
        };
        match self.driven.decide(row, &done) {
            Ok(()) => Ok(true),
            Err(ExceptionError::NotParked) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Nothing is awaited, owed or parked, and nothing waits for the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.owed() + self.in_flight() + self.parked() == 0 && !self.has_unsynced()
    }

    /// Intents that became durable since this was asked last.
    pub(super) fn admitted(&mut self) -> Vec<Intent<'static>> {
        std::mem::take(&mut self.durable.admitted)
    }

    pub(super) fn sessions(&self) -> Vec<u64> {
        self.sessions.keys().copied().collect()
    }

    fn note_durable(&mut self) {
        let Self {
            journal, durable, ..
        } = self;
        let mut groups = 0;
        journal.groups_from(durable.groups, |group| {
            groups += 1;
            let _sound = record::read_group(group, |record| match record {
                Record::Intent(intent) => {
                    let terminal = intent.key.terminal;
                    durable.sent.insert((terminal, intent.upstream_stan));
                    durable.asked.insert(intent.txn, (terminal, intent.stan));
                    durable.admitted.push(*intent);
                }
                Record::Outcome(outcome) if outcome.kind == OutcomeKind::Approved => {
                    durable.approved.extend(durable.asked.get(&outcome.txn));
                }
                Record::Outcome(_)
                | Record::Intervention(_)
                | Record::Tombstone { .. }
                | Record::SignedOn { .. }
                | Record::SignedOff { .. }
                | Record::Batch(_)
                | Record::StanBlock { .. } => {}
            });
        });
        durable.groups += groups;
    }
}

/// The STAN of an approval of something that moves money.
fn tells_of_approval(message: &Message<'_>) -> Option<Stan> {
    let code = message.response_code()?;
    let moves_money = matches!(message.mti().class_key() & 0x0f, 1 | 2);
    (moves_money && message.dialect().is_approval(code)).then(|| message.stan())?
}

/// Calls `each` with every frame, its length prefix included. The dialects shipped have two bytes of it.
fn frames(dialect: &Dialect, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let prefix = dialect.framing().prefix_bytes();
    while let Some(len) = bytes.first_chunk::<2>() {
        let end = prefix + usize::from(u16::from_be_bytes(*len));
        let Some((frame, rest)) = bytes.split_at_checked(end) else {
            return;
        };
        each(frame);
        bytes = rest;
    }
}
