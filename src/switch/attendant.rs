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
use super::shared::SharedRegistry;
use crate::base::Clock;
use crate::binding::TerminalKey;
use crate::store::RegistryError;
use crate::store::command::Command;
use crate::store::registry::Actor;
use crate::telemetry::log::chain;

/// How often time has its turn.
const TICK_EVERY: Duration = Duration::from_secs(60);
/// What waits. Beyond it messages are not counted, so that a flood is one alert with a lower number, and codes are
/// not taken.
const HEARD_MAX: usize = 1_000;

/// What sessions hand over.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A terminal whose binding is closed sent something.
    AfterEnd(TerminalKey),
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
    clock: Arc<dyn Clock>,
) -> std::io::Result<JoinHandle<()>> {
    // Weak, because the switch holds the other end of the channel: when it goes, the thread ends.
    let (switch, registry) = (Arc::downgrade(switch), Arc::downgrade(registry));
    std::thread::Builder::new()
        .name("attendant".into())
        .spawn(move || attend(&switch, &registry, &heard, &teller, clock.as_ref()))
}

fn attend(
    switch: &Weak<Switch>,
    registry: &Weak<SharedRegistry>,
    heard: &Receiver<Heard>,
    teller: &Teller,
    clock: &dyn Clock,
) {
    let mut ticked = clock.now();
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
        let mut counted: BTreeMap<TerminalKey, u32> = BTreeMap::new();
        for heard in first.into_iter().chain(heard.try_iter().take(HEARD_MAX)) {
            match heard {
                Heard::AfterEnd(key) => {
                    let times = counted.entry(key).or_default();
                    *times = times.saturating_add(1);
                }
                // Somebody waits for it.
                Heard::Code(entry) => switch.code_entered(&entry, &registry, teller),
            }
        }
        for (key, times) in counted {
            tracing::warn!(terminal = %key.terminal, times, "a terminal that is no longer bound was heard of");
            carry_out(&registry, teller, clock, &Command::HeardOf { key, times });
        }
        if clock.now().since(ticked) >= TICK_EVERY {
            ticked = clock.now();
            carry_out(&registry, teller, clock, &Command::Tick);
        }
    }
}

fn carry_out(registry: &SharedRegistry, teller: &Teller, clock: &dyn Clock, command: &Command) {
    let actor = Actor::program("posgate", clock.wall());
    let dispatcher = teller.get();
    let done = registry.change(|registry| {
        let done = registry.carry_out(command, None, &actor)?;
        if let Some(dispatcher) = &dispatcher {
            dispatcher.tell(registry, &done)?;
        }
        Ok::<_, RegistryError>(((), done.changes))
    });
    if let Some(dispatcher) = dispatcher {
        dispatcher.wake();
    }
    if let Err(problem) = done {
        tracing::error!(problem = chain(&problem), "what is due could not be done");
    }
}
