//! Looks after bindings beside the money path, on a thread of its own: what time brings about, once a minute,
//! and messages of terminals that are no longer bound.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Switch;
use super::dispatch::Dispatcher;
use super::entry::Entry;
use super::idle::IdleScan;
use super::shared::SharedRegistry;
use crate::base::Clock;
use crate::base::calendar::Civil;
use crate::base::clock::Moment;
use crate::binding::TerminalKey;
use crate::store::command::Command;
use crate::store::registry::{Actor, DirectoryChanges};
use crate::store::{RegistryError, StoreError};
use crate::telemetry::log::chain;

/// How often time has its turn.
const TICK_EVERY: Duration = Duration::from_secs(60);
/// What waits. Beyond it messages are not counted, so that a flood is one alert with a lower number, and codes are
/// not taken.
const HEARD_MAX: usize = 1_000;

/// From one write of what a terminal was heard of to the next.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);
/// Commands that are carried out as one.
const TOGETHER: usize = 100;
/// Terminals that are counted at a time; others are not.
const NOISY_MAX: usize = 10_000;

/// What sessions hand over.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A terminal whose binding is closed sent something, and which device it says it is.
    AfterEnd(TerminalKey, Option<Box<str>>),
    /// A bound terminal says that it is another device than is bound, and whether the message is authentic.
    OtherDevice(TerminalKey, Box<str>, bool),
    /// A code was entered at a terminal.
    Code(Entry),
}

/// Where sessions hand over what is not theirs to do.
#[derive(Clone, Debug)]
pub(crate) struct Alerts(SyncSender<Heard>);

impl Alerts {
    pub(super) fn new() -> (Self, Receiver<Heard>) {
        let (tell, heard) = sync_channel(HEARD_MAX);
        (Self(tell), heard)
    }

    /// Hands something over; false when there is no room. Never waits.
    pub(super) fn tell(&self, heard: Heard) -> bool {
        let taken = self.0.try_send(heard).is_ok();
        if !taken {
            tracing::debug!("a message is not counted: too many wait");
        }
        taken
    }
}

/// Who tells of what is done here: nobody until a dispatcher is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Teller(Arc<OnceLock<Weak<Dispatcher>>>);

impl Teller {
    /// The first one stays.
    pub(super) fn set(&self, dispatcher: Weak<Dispatcher>) {
        self.0.get_or_init(|| dispatcher);
    }

    pub(super) fn get(&self) -> Option<Arc<Dispatcher>> {
        self.0.get()?.upgrade()
    }
}

/// Starts the thread; it ends when the switch is gone.
pub(super) fn start_attendant(
    switch: &Arc<Switch>,
    registry: &Arc<SharedRegistry>,
    heard: Receiver<Heard>,
    teller: Teller,
    mut idle: IdleScan,
    clock: Arc<dyn Clock>,
) -> std::io::Result<JoinHandle<()>> {
    // Weak, because the switch holds the other end of the channel: when it goes, the thread ends.
    let (switch, registry) = (Arc::downgrade(switch), Arc::downgrade(registry));
    std::thread::Builder::new()
        .name("attendant".into())
        .spawn(move || {
            attend(
                &switch,
                &registry,
                &heard,
                &teller,
                &mut idle,
                clock.as_ref(),
            );
        })
}

fn attend(
    switch: &Weak<Switch>,
    registry: &Weak<SharedRegistry>,
    heard: &Receiver<Heard>,
    teller: &Teller,
    idle: &mut IdleScan,
    clock: &dyn Clock,
) {
    let mut ticked = clock.now();
    let mut noise = Noise::default();
    // The head is in the log from the start on, and then once a day.
    let mut day = String::new();
    loop {
        let wait = TICK_EVERY.saturating_sub(clock.now().since(ticked));
        let first = match heard.recv_timeout(wait) {
            Ok(heard) => Some(heard),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (Some(switch), Some(registry)) = (switch.upgrade(), registry.upgrade()) else {
            return;
        };
        for heard in first.into_iter().chain(heard.try_iter().take(HEARD_MAX)) {
            match heard {
                Heard::AfterEnd(key, serial) => noise.hear((key, Sort::AfterEnd), serial),
                Heard::OtherDevice(key, serial, authentic) => {
                    noise.hear((key, Sort::OtherDevice { authentic }), Some(serial));
                }
                // Somebody waits for it. What was heard before the code is of before what the code proves.
                Heard::Code(entry) => {
                    write_noise(&mut noise, &registry, teller, clock);
                    switch.code_entered(&entry, &registry, teller, idle);
                }
            }
        }
        write_noise(&mut noise, &registry, teller, clock);
        if clock.now().since(ticked) >= TICK_EVERY {
            ticked = clock.now();
            let today = Civil::utc(clock.wall()).date_text();
            if day != today {
                day = today;
                log_head(&registry);
            }
            carry_out(&registry, teller, clock, &[Command::Tick]);
            if let Err(problem) = tell_past(&switch, idle) {
                tracing::error!(
                    problem = chain(&problem),
                    "what was taken before a limit was set cannot be read"
                );
            }
            match idle.step(clock.wall()) {
                // A few at a time: other changes wait meanwhile, and what cannot be done takes few others along.
                Ok(found) => {
                    for some in found.chunks(TOGETHER) {
                        carry_out(&registry, teller, clock, some);
                    }
                }
                Err(problem) => {
                    tracing::error!(problem = chain(&problem), "who is idle cannot be read");
                }
            }
        }
    }
}

/// Writes what was heard and may be written now.
fn write_noise(noise: &mut Noise, registry: &SharedRegistry, teller: &Teller, clock: &dyn Clock) {
    let due = noise.due(clock.now());
    for some in due.chunks(TOGETHER) {
        carry_out(registry, teller, clock, some);
    }
}

/// What was taken before a limit was set by an import, or could not be read when one was set by hand.
fn tell_past(switch: &Switch, idle: &IdleScan) -> Result<(), StoreError> {
    if !switch.directory.counters().has_unknown() {
        return Ok(());
    }
    match idle.reader_up_to_date()? {
        Some(mut reader) => switch.tell_past(&mut reader),
        None => Ok(()),
    }
}

/// Writes the end of the audit trail into the log, which lies elsewhere: a trail that ends before it was cut off.
/// `posgate audit verify --head NUMBER:HASH` compares.
pub(super) fn log_head(registry: &SharedRegistry) {
    let head = registry.lock().head();
    match head {
        Ok(head) => tracing::info!(head = head.grouped(), "the end of the audit trail"),
        Err(problem) => {
            tracing::error!(
                problem = chain(&problem),
                "the end of the audit trail cannot be read"
            );
        }
    }
}

/// What sort of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    AfterEnd,
    OtherDevice { authentic: bool },
}

/// What was heard of a terminal and is not written yet.
#[derive(Debug, Default)]
struct Counted {
    times: u32,
    serial: Option<Box<str>>,
    /// When it was written last.
    written: Option<Moment>,
}

/// Messages that are counted before they are written: the first at once, the others of a minute together, so that
/// a terminal that cannot stop costs a write a minute.
#[derive(Debug, Default)]
struct Noise(BTreeMap<(TerminalKey, Sort), Counted>);

impl Noise {
    fn hear(&mut self, what: (TerminalKey, Sort), serial: Option<Box<str>>) {
        if self.0.len() >= NOISY_MAX && !self.0.contains_key(&what) {
            return;
        }
        let counted = self.0.entry(what).or_default();
        counted.times = counted.times.saturating_add(1);
        if serial.is_some() {
            counted.serial = serial;
        }
    }

    /// What is to be written now. Who has been quiet for a while is forgotten.
    fn due(&mut self, now: Moment) -> Vec<Command> {
        let mut due = Vec::new();
        self.0.retain(|(key, sort), counted| {
            let rests = counted
                .written
                .is_some_and(|written| now.since(written) < WRITTEN_EVERY);
            if rests {
                return true;
            }
            if counted.times == 0 {
                return false;
            }
            let (key, times) = (*key, std::mem::take(&mut counted.times));
            counted.written = Some(now);
            let serial = counted.serial.take().map(String::from);
            due.push(match sort {
                Sort::AfterEnd => Command::HeardOf { key, times, serial },
                Sort::OtherDevice { authentic } => Command::OtherDevice {
                    key,
                    authentic: *authentic,
                    times,
                    serial: serial.unwrap_or_default(),
                },
            });
            true
        });
        due
    }
}

/// Carries commands out together: all of them or none.
fn carry_out(registry: &SharedRegistry, teller: &Teller, clock: &dyn Clock, commands: &[Command]) {
    let actor = Actor::program("posgate", clock.wall());
    let dispatcher = teller.get();
    let done = registry.change(|registry| {
        let mut changes = DirectoryChanges::default();
        for command in commands {
            let done = registry.carry_out(command, None, &actor)?;
            if let Some(dispatcher) = &dispatcher {
                dispatcher.tell(registry, &done)?;
            }
            for kind in &done.alerts {
                tracing::warn!(
                    kind = kind.name(),
                    "{}; see `posgate binding alerts`",
                    kind.event()
                );
            }
            changes.add(done.changes);
        }
        Ok::<_, RegistryError>(((), changes))
    });
    if let Some(dispatcher) = dispatcher {
        dispatcher.wake();
    }
    if let Err(problem) = done {
        tracing::error!(problem = chain(&problem), "what is due could not be done");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AcquirerId, TerminalId};

    #[test]
    fn the_first_is_written_at_once_and_the_others_of_a_minute_together() {
        let mut noise = Noise::default();
        let key = |terminal: &str| TerminalKey {
            acquirer: AcquirerId(1),
            terminal: TerminalId::parse(terminal).unwrap(),
        };
        let at = |seconds: u64| Moment(seconds * 1_000_000);
        let mut written = Vec::new();
        for second in 0..200 {
            for _ in 0..10 {
                noise.hear((key("T1"), Sort::AfterEnd), None);
            }
            for command in noise.due(at(second)) {
                let Command::HeardOf { times, .. } = command else {
                    panic!("{command:?}");
                };
                written.push((second, times));
            }
        }
        assert_eq!(written, [(0, 10), (60, 600), (120, 600), (180, 600)]);
        // Quiet from here on: what is left is written, and then it is forgotten.
        assert_eq!(noise.due(at(240)).len(), 1);
        assert_eq!(noise.due(at(300)).len(), 0);
        assert!(noise.0.is_empty());
        for number in 0..NOISY_MAX + 5 {
            let key = key(&format!("{number}"));
            noise.hear(
                (key, Sort::OtherDevice { authentic: false }),
                Some("SN".into()),
            );
        }
        assert_eq!(noise.0.len(), NOISY_MAX);
    }
}
