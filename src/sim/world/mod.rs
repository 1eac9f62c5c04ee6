//! A simulated world: the switch itself on virtual time, between terminals and a host that misbehave, over
//! lines that break, on a store that fails, in a process that is killed. Everything is drawn from one seed;
//! the same seed gives the same world.
//!
//! First everything goes wrong at the rates the seed has drawn, then all heals, and everything has to come
//! to its end: nothing owed, nothing in flight, and three books that agree to the cent. On the way, what
//! no gateway may ever do is found at the moment it does it (invariants of `ARCHITECTURE.md`).

mod event;
mod finding;
mod gateway;
mod host;
mod operator;
mod rates;
mod terminal;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::base::clock::ManualClock;
use crate::base::{Clock, Fate, MerchantId, Moment, TerminalId};
use crate::binding::AccountKind;
use crate::iso8583::{Dialect, Index};
use crate::sim::message::{Identity, Phrases};
use crate::sim::time::local_time;
use crate::store::Verb;
use crate::switch::StanPolicy;

use event::Event;
pub use finding::{Finding, Summary};
use gateway::{Gateway, Remains};
use host::{Host, Mood};
use rates::Rates;
use terminal::{Heard, Next, State, Terminal, message_of};

/// Terminals of a world.
pub const TERMINALS: u32 = 10;
/// Requests each of them makes, its repeats and reversals not counted.
pub const REQUESTS: u32 = 20;

/// From acceptance to the upstream's answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a terminal waits: longer than the gateway does.
const PATIENCE: Duration = Duration::from_secs(8);
/// Links to the host.
const LINKS: usize = 2;
/// How often a person looks at what is parked.
const EXCEPTIONS_EVERY: Duration = Duration::from_secs(10);
/// Events after which a world heals though not all terminals have done what they were to do.
const EVENTS_BEFORE_HEALING: u64 = 50_000;
/// Events after which a world runs in circles.
const EVENTS_MAX: u64 = 200_000;
/// How long a healed world may take to come to its end.
const DRAIN: Duration = Duration::from_mins(30);

/// See the module.
struct World<'t> {
    tell: Option<&'t mut dyn FnMut(Moment, String)>,
    random: fastrand::Rng,
    rates: Rates,
    clock: Arc<ManualClock>,
    phrases: Phrases,
    queue: BinaryHeap<Reverse<(Moment, u64, Slot)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    number: u64,
    gateway: Option<Gateway>,
    remains: Remains,
    life: u64,
    /// Connections of links, by how often they fell.
    epochs: [u64; LINKS],
    links_up: [bool; LINKS],
    syncing: bool,
    looking_up: bool,
    sessions: u64,
    terminals: Vec<Terminal>,
    host: Host,
    index: Index,
    summary: Summary,
    crashes_left: u32,
    healed: bool,
}

type Slot = usize;

/// Runs the world of one seed to its end.
///
/// # Errors
/// What was found, and when: virtual microseconds since the start.
pub fn run(seed: u64) -> Result<Summary, (Moment, Finding)> {
    run_world(World::new(seed, None))
}

/// Like [`run`], and tells `tell` of all that happens.
///
/// # Errors
/// As [`run`].
pub fn run_traced(
    seed: u64,
    tell: &mut dyn FnMut(Moment, String),
) -> Result<Summary, (Moment, Finding)> {
    let mut world = World::new(seed, Some(tell));
    let rates = format!("{:?} {:?}", world.remains.plan(), world.rates);
    world.tell(|_| rates);
    run_world(world)
}

fn run_world(mut world: World<'_>) -> Result<Summary, (Moment, Finding)> {
    world.live().map_err(|finding| (world.clock.now(), finding))
}

/// What worlds are drawn from. A longer list would change the world of every seed.
const DIALECTS: [&str; 2] = ["unionpay-pos", "iso8583-1987-ascii"];

impl<'t> World<'t> {
    /// Tells what happens, when somebody listens.
    fn tell(&mut self, what: impl FnOnce(&Dialect) -> String) {
        if let Some(tell) = &mut self.tell {
            tell(self.clock.now(), what(self.phrases.dialect()));
        }
    }

    fn new(seed: u64, tell: Option<&'t mut dyn FnMut(Moment, String)>) -> Self {
        // Neighbouring seeds must not give neighbouring draws.
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rates = Rates::draw(&mut random);
        let dialect = DIALECTS[random.usize(0..DIALECTS.len())];
        let dialect = Dialect::shipped(dialect)
            .unwrap_or_else(|| unreachable!("a shipped name has a shipped dialect"));
        let stan = if random.bool() {
            StanPolicy::Own
        } else {
            StanPolicy::Pass
        };
        let clock = Arc::new(ManualClock::default());
        let whole: Vec<_> = (1..=TERMINALS).map(identity).collect();
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let attempts_max = rates.attempts_max;
        // Of its own, so that what else happens is what it would be with accounts of one kind.
        let mut kinds = fastrand::Rng::with_seed(!seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let remains = Remains::new(
            Arc::clone(&dialect),
            stan,
            shared,
            attempts_max,
            &whole,
            kinds.fork(),
        );
        let phrases = Phrases::new(dialect);
        let mut terminal = |who| {
            let takes = phrases.has_codes() && remains.operator.takes_wallets(gateway::key_of(who));
            Terminal::new(who, REQUESTS, takes.then(|| kinds.fork()))
        };
        let terminals = whole.into_iter().map(&mut terminal).collect();
        Self {
            tell,
            rates,
            clock,
            phrases,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            number: 0,
            gateway: None,
            remains,
            life: 0,
            epochs: [0; LINKS],
            links_up: [false; LINKS],
            syncing: false,
            looking_up: false,
            sessions: 0,
            terminals,
            host: Host::default(),
            index: Index::new(),
            summary: Summary::default(),
            crashes_left: rates.crashes,
            healed: false,
            random,
        }
    }

    fn live(&mut self) -> Result<Summary, Finding> {
        self.restart()?;
        for terminal in 0..self.terminals.len() {
            self.rest(terminal);
        }
        if self.crashes_left > 0 {
            let wait = self.within(Duration::from_secs(60));
            self.after(wait, Event::Crash);
        }
        if self.rates.operator_rests > Duration::ZERO {
            let wait = self.within(self.rates.operator_rests);
            self.after(wait, Event::Operator);
        }
        self.after(EXCEPTIONS_EVERY, Event::Exceptions);
        let mut end = Moment(u64::MAX);
        while let Some(Reverse((at, _, slot))) = self.queue.pop() {
            if at > end {
                return Err(self.not_settled());
            }
            self.clock.advance(at.since(self.clock.now()));
            self.free.push(slot);
            if let Some(event) = self.events[slot].take() {
                self.happens(event)?;
                self.carry()?;
            }
            if self.terminals.iter().all(Terminal::is_done) && self.is_quiet() {
                break;
            }
            let at_their_end = self.terminals.iter().all(Terminal::is_done);
            if !self.healed && (at_their_end || self.number > EVENTS_BEFORE_HEALING) {
                self.heal();
            }
            if self.number > EVENTS_MAX {
                return Err(self.not_settled());
            }
            if self.healed && end == Moment(u64::MAX) {
                end = self.clock.now().after(DRAIN);
            }
        }
        self.audit()
    }

    /// Nothing is owed, in flight, or on its way any more.
    fn is_quiet(&self) -> bool {
        let underway = |event: &Option<Event>| match event {
            Some(
                Event::ToGateway { .. }
                | Event::ToHost { .. }
                | Event::Booked { .. }
                | Event::FromHost { .. }
                | Event::SyncDone { .. }
                | Event::LookedUp { .. }
                | Event::Restart,
            ) => true,
            Some(
                Event::Act { .. }
                | Event::ToTerminal { .. }
                | Event::HangUp { .. }
                | Event::LinkUp { .. }
                | Event::Operator
                | Event::Exceptions
                | Event::SyncBegins
                | Event::Tick { .. }
                | Event::Crash,
            )
            | None => false,
        };
        self.gateway.as_ref().is_some_and(Gateway::is_quiet)
            && !self.syncing
            && !self.looking_up
            && !self.events.iter().any(underway)
    }

    fn heal(&mut self) {
        self.healed = true;
        self.crashes_left = 0;
        self.rates = self.rates.healed();
        self.remains.operator.heal(self.clock.wall());
    }

    fn not_settled(&self) -> Finding {
        let gateway = self.gateway.as_ref();
        Finding::NotSettled {
            owed: gateway.map_or(0, Gateway::owed),
            in_flight: gateway.map_or(0, Gateway::in_flight),
            parked: gateway.map_or(0, Gateway::parked),
            terminals: self.terminals.iter().filter(|t| !t.is_done()).count(),
        }
    }

    fn after(&mut self, wait: Duration, event: Event) {
        let at = self.clock.now().after(wait);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.number += 1;
        self.queue.push(Reverse((at, self.number, slot)));
    }

    fn within(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.u64(0..=micros))
    }

    fn travel(&mut self) -> Duration {
        self.within(self.rates.travel_max)
    }

    fn rest(&mut self, terminal: usize) {
        let wait = self.within(Duration::from_secs(2));
        self.turn(terminal, wait);
    }

    /// The terminal acts after that time, unless something else comes first.
    fn turn(&mut self, terminal: usize, wait: Duration) {
        let due = self.clock.now().after(wait);
        self.terminals[terminal].deadline = due;
        self.after(wait, Event::Act { terminal, due });
    }

    fn happens(&mut self, event: Event) -> Result<(), Finding> {
        if self.tell.is_some() && !matches!(event, Event::Tick { .. } | Event::Act { .. }) {
            self.tell(|dialect| event.describe(dialect));
        }
        match event {
            Event::Act { terminal, due } => {
                if self.terminals[terminal].deadline == due {
                    self.act(terminal)?;
                }
            }
            Event::ToGateway { session, frame } => {
                if let Some(gateway) = &mut self.gateway
                    && !gateway.on_frame(session, &frame)
                {
                    self.hung_up(session);
                }
            }
            Event::ToTerminal { session, frame } => self.reaches_terminal(session, &frame)?,
            Event::HangUp { session } => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.hang_up(session);
                }
                self.hung_up(session);
            }
            Event::ToHost { link, epoch, frame } => self.reaches_host(link, epoch, frame),
            Event::Booked { link, epoch, frame } => self.book(link, epoch, &frame)?,
            Event::FromHost { link, epoch, frame } => {
                if self.links_up[link]
                    && self.epochs[link] == epoch
                    && let Some(gateway) = &mut self.gateway
                {
                    gateway.on_link_frame(link, &frame, &mut self.index);
                }
            }
            Event::LinkUp { link } => {
                if let Some(gateway) = &mut self.gateway
                    && !self.links_up[link]
                {
                    self.links_up[link] = true;
                    gateway.link_up(link);
                }
            }
            Event::Operator => self.operate(),
            Event::Exceptions => self.decide()?,
            Event::LookedUp { life } => {
                if life == self.life
                    && let Some(gateway) = &mut self.gateway
                {
                    self.looking_up = false;
                    gateway.look_up().map_err(restart_failed)?;
                }
            }
            Event::SyncBegins => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.begin_sync();
                    let life = self.life;
                    let wait = self.within(self.rates.sync_max);
                    self.after(wait, Event::SyncDone { life });
                }
            }
            Event::SyncDone { life } => {
                if life == self.life {
                    self.sync_done()?;
                }
            }
            Event::Tick { life } => {
                if life == self.life
                    && let Some(gateway) = &mut self.gateway
                {
                    gateway.tick();
                    let wait = gateway.next_tick();
                    self.after(wait, Event::Tick { life });
                }
            }
            Event::Crash => {
                if self.crashes_left > 0 && self.gateway.is_some() {
                    self.crashes_left -= 1;
                    self.crash();
                    if self.crashes_left > 0 {
                        let wait = self.within(Duration::from_secs(60));
                        self.after(wait, Event::Crash);
                    }
                }
            }
            Event::Restart => self.restart()?,
        }
        Ok(())
    }

    /// The operator changes something, rests, and comes again.
    fn operate(&mut self) {
        if self.healed {
            return;
        }
        let who = self.terminals[self.random.usize(0..self.terminals.len())].who;
        let key = gateway::key_of(who);
        let now = self.clock.wall();
        let told = self.remains.operator.change(key, now, &mut self.random);
        self.tell(|_| told);
        let wait = self.within(self.rates.operator_rests);
        self.after(wait, Event::Operator);
    }

    /// A person has what is parked sent again, or has the host undo it by hand and closes it.
    fn decide(&mut self) -> Result<(), Finding> {
        self.after(EXCEPTIONS_EVERY, Event::Exceptions);
        let at = self.clock.wall();
        let Some(gateway) = &mut self.gateway else {
            return Ok(());
        };
        if gateway.parked() == 0 {
            return Ok(());
        }
        for row in gateway.exceptions().map_err(restart_failed)? {
            if !self.healed && self.random.bool() {
                continue;
            }
            // What is to be repeated is not undone, and what the host has never seen may still come there.
            let undone = row.fate == Fate::Reverse
                && self.random.bool()
                && self.host.undo(row.key.terminal, row.upstream_stan);
            let verb = if undone { Verb::Close } else { Verb::Resend };
            let decided = gateway.decide(&row, verb, at);
            let decided = decided.map_err(|problem| Finding::NotDecided(problem.to_string()))?;
            self.summary.decisions += u64::from(decided);
            if let Some(tell) = &mut self.tell {
                let (terminal, stan) = (row.key.terminal, row.stan.get());
                let told = format!("{} {terminal} stan {stan}: {decided}", verb.name());
                tell(self.clock.now(), told);
            }
        }
        Ok(())
    }

    /// Carries away what the gateway has put out, and lets it look up and sync.
    fn carry(&mut self) -> Result<(), Finding> {
        let begins =
            !self.looking_up && (self.gateway.as_mut()).is_some_and(Gateway::begin_look_up);
        if begins {
            self.looking_up = true;
            let (life, wait) = (self.life, self.within(self.rates.look_up_max));
            self.after(wait, Event::LookedUp { life });
        }
        let Some(gateway) = &mut self.gateway else {
            return Ok(());
        };
        let mut to_terminals = Vec::new();
        let closed = gateway.answers(&mut to_terminals, &mut self.index)?;
        let mut to_host = Vec::new();
        for link in 0..LINKS {
            gateway.requests(link, &mut to_host, &mut self.index)?;
        }
        let must_sync = !self.syncing && gateway.has_unsynced();
        for (session, frame) in to_terminals {
            let wait = self.travel();
            self.after(wait, Event::ToTerminal { session, frame });
        }
        for session in closed {
            let wait = self.travel();
            self.after(wait, Event::HangUp { session });
        }
        for (link, frame) in to_host {
            let (wait, epoch) = (self.travel(), self.epochs[link]);
            self.after(wait, Event::ToHost { link, epoch, frame });
            if self.rates.link_falls.hits(&mut self.random) {
                self.link_falls(link);
            }
        }
        if must_sync {
            self.syncing = true;
            self.after(Duration::ZERO, Event::SyncBegins);
        }
        Ok(())
    }

    fn act(&mut self, terminal: usize) -> Result<(), Finding> {
        let now = local_time(self.clock.wall());
        // Two terminals stand in each shop.
        let elsewhere = self.terminals.get(terminal ^ 1);
        let elsewhere = elsewhere.and_then(|other| Some((other.who.terminal, other.last_sale()?)));
        let elsewhere = elsewhere.filter(|_| self.phrases.refunds_by_number());
        let it = &mut self.terminals[terminal];
        let next = it.act(
            &self.phrases,
            &self.rates,
            now,
            elsewhere.as_ref().map(|(other, sale)| (*other, sale)),
            &mut self.random,
        )?;
        match next {
            Next::Send(frame) => {
                // Whoever got no answer dials again.
                if it.waits() && self.random.bool() {
                    it.session = None;
                }
                self.send(terminal, frame);
            }
            Next::Rest => self.rest(terminal),
            Next::Done => {}
        }
        Ok(())
    }

    fn send(&mut self, terminal: usize, frame: BytesMut) {
        self.summary.requests += 1;
        let Some(gateway) = &mut self.gateway else {
            // Nobody answers the telephone.
            self.terminals[terminal].session = None;
            self.turn(terminal, Duration::from_secs(1));
            return;
        };
        let it = &mut self.terminals[terminal];
        it.sends(it.session.is_none());
        let session = *it.session.get_or_insert_with(|| {
            self.sessions += 1;
            gateway.connect(self.sessions);
            self.sessions
        });
        let mut wait = self.travel();
        if self.rates.overtaken.hits(&mut self.random) {
            wait += self.within(PATIENCE * 4);
            self.terminals[terminal].session = None;
        } else if self.rates.terminal_vanishes.hits(&mut self.random) {
            let gone = wait + self.within(TIMEOUT);
            self.after(gone, Event::HangUp { session });
            self.terminals[terminal].session = None;
        }
        self.after(wait, Event::ToGateway { session, frame });
        let patience = if self.rates.impatient.hits(&mut self.random) {
            self.within(TIMEOUT)
        } else {
            PATIENCE
        };
        self.turn(terminal, patience);
    }

    fn reaches_terminal(&mut self, session: u64, frame: &[u8]) -> Result<(), Finding> {
        let of = |t: &Terminal| t.session == Some(session);
        let Some(terminal) = self.terminals.iter().position(of) else {
            return Ok(());
        };
        let mut index = Index::new();
        let message = message_of(self.phrases.dialect(), frame, &mut index)?;
        let it = &mut self.terminals[terminal];
        let heard = it.on_answer(
            self.phrases.dialect(),
            &message,
            &self.rates,
            &mut self.random,
        )?;
        match heard {
            Heard::Late => {}
            Heard::AtOnce => self.turn(terminal, Duration::ZERO),
            Heard::Rest => match it.again() {
                Some(again) => self.send(terminal, again),
                None => self.rest(terminal),
            },
        }
        Ok(())
    }

    /// A connection has ended: its terminal does not wait for an answer on it.
    fn hung_up(&mut self, session: u64) {
        let of = |t: &Terminal| t.session == Some(session);
        if let Some(terminal) = self.terminals.iter().position(of) {
            self.terminals[terminal].session = None;
            self.rest(terminal);
        }
    }

    fn reaches_host(&mut self, link: usize, epoch: u64, frame: Vec<u8>) {
        // What a fallen link still carried may have arrived or not.
        if self.epochs[link] != epoch && self.random.bool() {
            return;
        }
        let slowly = self.rates.booked_slowly.hits(&mut self.random);
        let wait = if slowly {
            self.within(TIMEOUT / 10 * 9)
        } else {
            self.within(Duration::from_millis(20))
        };
        self.after(wait, Event::Booked { link, epoch, frame });
    }

    fn book(&mut self, link: usize, epoch: u64, frame: &[u8]) -> Result<(), Finding> {
        let rates = self.rates;
        let random = &mut self.random;
        let mood = Mood {
            declines: rates.declined.hits(random),
            refuses_reversal: rates.reversal_refused.hits(random),
            bars: rates.host_bars,
        };
        let dialect = self.phrases.dialect();
        let mut answer = BytesMut::new();
        let message = message_of(dialect, frame, &mut self.index)?;
        self.host.take(&message, mood, &mut answer)?;
        let mut copies = 1 + u32::from(rates.answer_doubled.hits(random));
        if rates.answer_lost.hits(random) {
            copies = 0;
        }
        let late = rates.answer_late.hits(random);
        if rates.answer_foreign.hits(random) {
            let mut index = Index::new();
            let mut foreign = BytesMut::new();
            let real = message_of(dialect, &answer, &mut index)?;
            host::foreign(dialect, &real, random, &mut foreign)?;
            let wait = self.travel();
            let frame = foreign;
            self.after(wait, Event::FromHost { link, epoch, frame });
        }
        for _ in 0..copies {
            let mut wait = self.travel();
            if late {
                wait += TIMEOUT + self.within(TIMEOUT);
            }
            let frame = answer.clone();
            self.after(wait, Event::FromHost { link, epoch, frame });
        }
        Ok(())
    }

    fn link_falls(&mut self, link: usize) {
        if !self.links_up[link] {
            return;
        }
        self.tell(|_| format!("link {link} falls"));
        self.summary.links_lost += 1;
        self.links_up[link] = false;
        self.epochs[link] += 1;
        if let Some(gateway) = &mut self.gateway {
            gateway.link_down(link);
        }
        let wait = Duration::from_millis(50) + self.within(Duration::from_secs(5));
        self.after(wait, Event::LinkUp { link });
    }

    fn sync_done(&mut self) -> Result<(), Finding> {
        self.syncing = false;
        let fails = self.rates.sync_fails.hits(&mut self.random);
        let Some(gateway) = &mut self.gateway else {
            return Ok(());
        };
        if fails {
            // What a sync that failed has written, nobody knows.
            if self.random.bool() {
                gateway.sync().map_err(restart_failed)?;
            }
            self.crash();
            return Ok(());
        }
        gateway.sync().map_err(restart_failed)?;
        gateway.take_effect();
        for intent in gateway.admitted() {
            let who = |t: &&Terminal| t.who.terminal == intent.key.terminal;
            let asked = self.terminals.iter().find(who);
            let paid = asked.map_or(AccountKind::BankCard, |t| t.paid(intent.stan));
            if !self.remains.operator.admits(&intent, paid) {
                return Err(Finding::AdmittedWrongly { stan: intent.stan });
            }
        }
        Ok(())
    }

    /// The process ends here and now.
    fn crash(&mut self) {
        let Some(mut gateway) = self.gateway.take() else {
            return;
        };
        self.summary.crashes += 1;
        self.life += 1;
        // A group that was being written may have become durable.
        if self.syncing && self.random.bool() {
            let _written = gateway.sync();
        }
        self.syncing = false;
        self.looking_up = false;
        for link in 0..LINKS {
            // What the process had handed to the system may still be on its way.
            if self.links_up[link] {
                self.links_up[link] = false;
                self.epochs[link] += 1;
            }
        }
        for session in gateway.sessions() {
            let wait = self.travel();
            self.after(wait, Event::HangUp { session });
        }
        if self.rates.model_lost.hits(&mut self.random) {
            self.remains.lose_model();
        }
        let wait = Duration::from_millis(100) + self.within(Duration::from_secs(3));
        self.after(wait, Event::Restart);
    }

    fn restart(&mut self) -> Result<(), Finding> {
        let gateway = Gateway::start(&self.remains).map_err(restart_failed)?;
        self.gateway = Some(gateway);
        for link in 0..LINKS {
            let wait = self.within(Duration::from_millis(500));
            self.after(wait, Event::LinkUp { link });
        }
        let life = self.life;
        self.after(Duration::ZERO, Event::Tick { life });
        Ok(())
    }

    /// The three books, when everything has come to its end.
    fn audit(&mut self) -> Result<Summary, Finding> {
        let settled = self.gateway.as_ref().is_some_and(Gateway::is_quiet)
            && self.terminals.iter().all(Terminal::is_done);
        if !settled {
            return Err(self.not_settled());
        }
        let journal = self.remains.totals().map_err(restart_failed)?;
        for terminal in &self.terminals {
            let id = terminal.who.terminal;
            let journals = journal
                .iter()
                .find(|total| total.key.terminal == id)
                .map_or((0, 0), |total| (total.count, total.net));
            let (terminals, hosts) = (terminal.stands(), self.host.stands(id));
            if terminals != hosts || hosts != journals {
                return Err(Finding::BooksDiffer {
                    terminal: id,
                    terminals,
                    hosts,
                    journals,
                });
            }
            self.summary.approved += terminals.0;
        }
        self.audit_accounts()?;
        let journals = self.remains.overdone().map_err(restart_failed)?;
        if let Some(stan) = journals.or_else(|| self.host.overdone()) {
            return Err(Finding::UndoneTwice { stan });
        }
        self.summary.reversed = self.host.reversed;
        self.summary.repeats = self.host.repeats;
        self.summary.changes = self.remains.operator.changes;
        self.summary.seconds = self.clock.now().since(Moment::default()).as_secs();
        Ok(self.summary)
    }

    /// What followed something, as the terminals know it, is booked where that is.
    fn audit_accounts(&self) -> Result<(), Finding> {
        let accounts = self.remains.accounts().map_err(restart_failed)?;
        for terminal in &self.terminals {
            let standing = terminal
                .rows
                .iter()
                .filter(|row| row.state == State::Approved);
            for row in standing {
                let account = accounts.get(&(terminal.who.terminal, row.stan));
                let of = row.follows.map(|original| accounts.get(&original));
                if of.is_some_and(|of| of != account) {
                    return Err(Finding::BookedElsewhere { stan: row.stan });
                }
            }
        }
        Ok(())
    }
}

fn restart_failed(problem: impl std::error::Error) -> Finding {
    Finding::NoRestart(crate::telemetry::log::chain(&problem))
}

/// Terminal `number`; each shop has two.
fn identity(number: u32) -> Identity {
    let padded = |text: String| {
        let mut bytes = [b' '; 15];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    };
    let terminal = format!("T{number:07}");
    let mut id = [b' '; 8];
    id.copy_from_slice(terminal.as_bytes());
    Identity {
        terminal: TerminalId::from_padded(id),
        merchant: MerchantId::from_padded(padded(format!("M{:014}", number.div_ceil(2)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_world_each_time() {
        assert_eq!(run(7), run(7));
    }

    #[test]
    fn some_worlds_find_nothing() {
        for seed in 0..200 {
            if let Err((at, finding)) = run(seed) {
                panic!("seed {seed}: {finding} after {} us", at.0);
            }
        }
    }
}
