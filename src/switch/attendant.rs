//! Looks after bindings beside the money path, on a thread of its own: what time brings about, once a minute,
//! and messages of terminals that are no longer bound.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::shared::SharedRegistry;
use crate::base::Clock;
use crate::binding::TerminalKey;
use crate::store::RegistryError;
use crate::store::command::Command;
use crate::store::registry::Actor;
use crate::telemetry::log::chain;

/// How often time has its turn.
const TICK_EVERY: Duration = Duration::from_secs(60);
/// Messages that wait to be counted. Beyond it they are not: a flood is one alert with a lower number.
const HEARD_MAX: usize = 1_000;

/// Where messages of terminals that are no longer bound are reported.
#[derive(Clone, Debug)]
pub(crate) struct Alerts(SyncSender<TerminalKey>);

impl Alerts {
    pub(super) fn new() -> (Self, Receiver<TerminalKey>) {
        let (tell, heard) = sync_channel(HEARD_MAX);
        (Self(tell), heard)
    }

    /// A terminal whose binding is closed was heard of. Never waits.
    pub(super) fn heard_of(&self, key: TerminalKey) {
        if self.0.try_send(key).is_err() {
            tracing::debug!("a message of a terminal that is no longer bound is not counted");
        }
    }
}

/// Starts the thread; it ends when the switch is gone.
pub(super) fn start_attendant(
    registry: &Arc<SharedRegistry>,
    heard: Receiver<TerminalKey>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<JoinHandle<()>> {
    let registry = Arc::downgrade(registry);
    std::thread::Builder::new()
        .name("attendant".into())
        .spawn(move || attend(&registry, &heard, clock.as_ref()))
}

fn attend(registry: &Weak<SharedRegistry>, heard: &Receiver<TerminalKey>, clock: &dyn Clock) {
    let mut ticked = clock.now();
    loop {
        let wait = TICK_EVERY.saturating_sub(clock.now().since(ticked));
        let first = match heard.recv_timeout(wait) {
            Ok(key) => Some(key),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(registry) = registry.upgrade() else {
            return;
        };
        let mut counted: BTreeMap<TerminalKey, u32> = BTreeMap::new();
        for key in first.into_iter().chain(heard.try_iter().take(HEARD_MAX)) {
            let times = counted.entry(key).or_default();
            *times = times.saturating_add(1);
        }
        for (key, times) in counted {
            tracing::warn!(terminal = %key.terminal, times, "a terminal that is no longer bound was heard of");
            carry_out(&registry, clock, Command::HeardOf { key, times });
        }
        if clock.now().since(ticked) >= TICK_EVERY {
            ticked = clock.now();
            carry_out(&registry, clock, Command::Tick);
        }
    }
}

fn carry_out(registry: &SharedRegistry, clock: &dyn Clock, command: Command) {
    let actor = Actor::program("posgate", clock.wall());
    let done = registry.change(|registry| {
        let done = registry.carry_out(&command, None, &actor)?;
        Ok::<_, RegistryError>(((), done.changes))
    });
    if let Err(problem) = done {
        tracing::error!(problem = chain(&problem), "what is due could not be done");
    }
}
