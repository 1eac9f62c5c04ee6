//! Sees to it that what is to be delivered outside is: takes parcels from the registry when their time has
//! come, tries them, puts them off or ends them.
//!
//! At least once: a process that ends between a delivery and its entry delivers again, under the same number.
//! Events about one thing go out one after the other, in the order of their versions.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::Running;
use super::codes::challenge_of;
use super::shared::SharedRegistry;
use crate::base::notice::{Notice, OutsideEvent};
use crate::base::{Clock, limits};
use crate::binding::challenge::Delivery;
use crate::net::Tasks;
use crate::net::notify::{
    EventReceiver, EventWebhook, MailError, MailServer, Mailer, Notifier, OutboxFile, SmsSettings,
    SmsWebhook, Undelivered, WebhookSettings, Why,
};
use crate::security::{DataKeys, KeyError};
use crate::store::audit::Entry;
use crate::store::command::Command;
use crate::store::parcels::{End, NewParcel, Parcel, Way};
use crate::store::registry::{Actor, DirectoryChanges};
use crate::store::{Registry, RegistryError, StoreError};
use crate::telemetry::log::chain;
use crate::telemetry::metrics;

/// What parcels are sealed for.
const SEALED_FOR: &str = "parcel";
/// How often somebody looks what is due when nobody says that something is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Wait after the first attempt that failed; each later one doubles it.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// How long an event is tried.
const EVENT_LIFE: Duration = Duration::from_secs(3 * 86_400);

/// What `[notify]` and `[[webhook]]` say.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// Text messages; into the file when absent.
    pub sms: Option<SmsSettings>,
    /// E-mails; into the file when absent.
    pub email: Option<MailServer>,
    /// Receivers of events, by name.
    pub webhooks: BTreeMap<String, WebhookSettings>,
}

/// The ways that are set up.
#[derive(Clone, Debug)]
pub struct Ways {
    sms: Arc<dyn Notifier>,
    email: Arc<dyn Notifier>,
    webhooks: BTreeMap<Box<str>, Arc<dyn EventReceiver>>,
}

impl Ways {
    /// As the settings say; what they leave out goes into the file.
    ///
    /// # Errors
    /// When the mail server's settings do not fit together.
    pub fn new(
        settings: &NotifySettings,
        outbox: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, MailError> {
        let file: Arc<dyn Notifier> = Arc::new(OutboxFile::new(outbox));
        let webhook = |(name, settings): (&String, &WebhookSettings)| {
            let webhook: Arc<dyn EventReceiver> =
                Arc::new(EventWebhook::new(settings.endpoint(clock)));
            (name.as_str().into(), webhook)
        };
        Ok(Self {
            sms: match &settings.sms {
                Some(sms) => Arc::new(SmsWebhook::new(
                    sms.webhook.endpoint(clock),
                    sms.template.clone(),
                )),
                None => Arc::clone(&file),
            },
            email: match &settings.email {
                Some(server) => Arc::new(Mailer::new(server)?),
                None => file,
            },
            webhooks: settings.webhooks.iter().map(webhook).collect(),
        })
    }

    /// Everything into the file, and events nowhere.
    #[must_use]
    pub fn to_file(outbox: &Path) -> Self {
        let file: Arc<dyn Notifier> = Arc::new(OutboxFile::new(outbox));
        Self {
            sms: Arc::clone(&file),
            email: file,
            webhooks: BTreeMap::new(),
        }
    }
}

/// Why something is not queued.
#[derive(Debug, thiserror::Error)]
pub enum NotQueued {
    /// It cannot be sealed.
    #[error("it cannot be sealed")]
    Keys(#[from] KeyError),
    /// There are too many, or the store failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    pub(super) keys: Arc<DataKeys>,
    registry: Arc<SharedRegistry>,
    clock: Arc<dyn Clock>,
    ways: Ways,
    due: Notify,
    /// Numbers of the parcels that are being tried.
    under_way: Mutex<HashSet<u64>>,
}

impl Dispatcher {
    /// For a running switch; [`Self::run`] begins the deliveries.
    #[must_use]
    pub fn new(running: &Running, ways: Ways, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let dispatcher = Arc::new(Self {
            keys: Arc::clone(&running.switch.keys),
            registry: Arc::clone(&running.registry),
            clock: Arc::clone(clock),
            ways,
            due: Notify::new(),
            under_way: Mutex::default(),
        });
        // What time brings about is told too.
        running.teller.set(Arc::downgrade(&dispatcher));
        dispatcher
    }

    /// Writes a text to be delivered, in the transaction that is under way: with `life` it is of no use any more.
    /// `object` is what it goes to, as `contact 17`, by number and never by address.
    ///
    /// # Errors
    /// When too many wait, it cannot be sealed, or the store fails; the change that it tells of must not be made
    /// then.
    pub fn notice(
        &self,
        registry: &mut dyn Registry,
        way: Way,
        object: &str,
        notice: &Notice,
        life: Duration,
    ) -> Result<(), NotQueued> {
        self.add(registry, way, object, 0, notice, life)
    }

    /// Writes an event to be delivered to every webhook, in the transaction that is under way.
    ///
    /// # Errors
    /// As [`Self::notice`].
    pub fn event(
        &self,
        registry: &mut dyn Registry,
        event: &OutsideEvent,
    ) -> Result<(), NotQueued> {
        for name in self.ways.webhooks.keys() {
            let way = Way::Event(name.clone());
            let (object, version) = (event.object.as_str(), event.version);
            self.add(registry, way, object, version, event, EVENT_LIFE)?;
        }
        Ok(())
    }

    fn add(
        &self,
        registry: &mut dyn Registry,
        way: Way,
        object: &str,
        version: u32,
        content: &impl Serialize,
        life: Duration,
    ) -> Result<(), NotQueued> {
        let now = self.clock.wall();
        let content = Zeroizing::new(serde_json::to_vec(content).unwrap_or_default());
        let new = NewParcel {
            way,
            object: object.to_owned(),
            version,
            sealed: self.keys.seal_value(&content, SEALED_FOR)?,
            expires_at: now.after(life),
        };
        registry.add_parcel(&new, now)?;
        Ok(())
    }

    /// Says that something was committed that may be due.
    pub fn wake(&self) {
        self.due.notify_one();
    }

    /// Delivers until everything stops.
    pub async fn run(self: Arc<Self>, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.stopping() => return,
                () = self.due.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looked = Arc::clone(&self);
            let found = tokio::task::spawn_blocking(move || looked.found()).await;
            match found {
                Ok(Ok(parcels)) => {
                    for parcel in parcels {
                        let (dispatcher, stopped) = (Arc::clone(&self), tasks.clone());
                        tasks.spawn(async move {
                            tokio::select! {
                                () = stopped.stopping() => {}
                                () = dispatcher.deliver(parcel) => {}
                            }
                        });
                    }
                }
                Ok(Err(problem)) => {
                    tracing::error!(
                        problem = chain(&problem),
                        "what is to be delivered cannot be read"
                    );
                    tokio::time::sleep(LOOK_EVERY * 10).await;
                }
                Err(_stopped) => return,
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due and not under way, as much as there is room for; it is under way from now on.
    fn found(&self) -> Result<Vec<Parcel>, StoreError> {
        let mut registry = self.registry.lock();
        let mut under_way = self.under_way();
        let due = registry.due_parcels(
            self.clock.wall(),
            limits::PARCELS_AT_A_TIME + under_way.len(),
        )?;
        metrics::parcels_waiting(registry.waiting_parcels()?);
        let room = limits::PARCELS_AT_A_TIME.saturating_sub(under_way.len());
        let new = due
            .into_iter()
            .filter(|parcel| !under_way.contains(&parcel.number));
        let found: Vec<_> = new.take(room).collect();
        under_way.extend(found.iter().map(|parcel| parcel.number));
        Ok(found)
    }

    async fn deliver(self: Arc<Self>, parcel: Parcel) {
        let came = if self.clock.wall() >= parcel.expires_at {
            None
        } else {
            Some(self.attempt(&parcel).await)
        };
        let number = parcel.number;
        let entering = Arc::clone(&self);
        let entered = tokio::task::spawn_blocking(move || entering.enter(&parcel, came)).await;
        if let Ok(Err(problem)) = entered {
            // It stays due, and is delivered once more.
            tracing::error!(
                parcel = number,
                problem = chain(&problem),
                "how a delivery ended cannot be entered"
            );
        }
        self.under_way().remove(&number);
        self.wake();
    }

    async fn attempt(&self, parcel: &Parcel) -> Result<(), Undelivered> {
        let opened = self.keys.open_value(&parcel.sealed, SEALED_FOR);
        let opened = opened.ok_or(Undelivered::Never(Why::Sealed))?;
        let sealed = |_wrong| Undelivered::Never(Why::Sealed);
        let (number, text) = (parcel.number, opened.as_str());
        match &parcel.way {
            Way::Sms => {
                let notice: Notice = serde_json::from_str(text).map_err(sealed)?;
                self.ways.sms.deliver(number, &notice).await
            }
            Way::Email => {
                let notice: Notice = serde_json::from_str(text).map_err(sealed)?;
                self.ways.email.deliver(number, &notice).await
            }
            Way::Event(name) => {
                let event: OutsideEvent = serde_json::from_str(text).map_err(sealed)?;
                match self.ways.webhooks.get(name) {
                    Some(webhook) => webhook.deliver(number, &event).await,
                    // It may be back with the next configuration.
                    None => Err(Undelivered::Later(Why::NotConfigured)),
                }
            }
        }
    }

    /// Enters what came of an attempt; `None`: there was none, because it was too late.
    fn enter(
        &self,
        parcel: &Parcel,
        came: Option<Result<(), Undelivered>>,
    ) -> Result<(), StoreError> {
        let now = self.clock.wall();
        let way = parcel.way.name();
        let (end, reason) = match came {
            Some(Ok(())) => (End::Delivered, String::new()),
            Some(Err(Undelivered::Never(why))) => (End::Refused, why.to_string()),
            None => (End::Expired, "it was too late".to_owned()),
            Some(Err(Undelivered::Later(why))) => {
                metrics::parcel(parcel.way.kind(), "put-off");
                tracing::info!(parcel = parcel.number, %way, object = parcel.object, %why, "a delivery is put off");
                let until = now.after(wait_after(parcel.attempts, parcel.number));
                let mut registry = self.registry.lock();
                return registry.put_off(
                    parcel.number,
                    until.min(parcel.expires_at),
                    &why.to_string(),
                );
            }
        };
        metrics::parcel(parcel.way.kind(), end.name());
        let given_up = (end != End::Delivered).then(|| {
            tracing::warn!(
                parcel = parcel.number, %way, object = parcel.object, reason, end = end.name(),
                "a delivery is given up"
            );
            // Who waits for it in vain has to be found.
            Entry::new("notice.given_up", parcel.object.clone()).with(serde_json::json!({
                "parcel": parcel.number, "way": way, "end": end.name(), "reason": reason,
                "attempts": parcel.attempts,
            }))
        });
        let actor = Actor::program("posgate", now);
        let enter = |became: Option<&Command>| {
            self.registry.change(|registry| {
                registry.end_parcel(parcel.number, end, &reason, now)?;
                if let Some(entry) = &given_up {
                    registry.tell(&actor, entry)?;
                }
                let Some(became) = became else {
                    return Ok(((), DirectoryChanges::default()));
                };
                let done = registry.carry_out(became, None, &actor)?;
                self.tell(registry, &done)?;
                Ok(((), done.changes))
            })
        };
        let became = became(parcel, end);
        match enter(became.as_ref()) {
            Err(RegistryError::Store(problem)) => Err(problem),
            Err(refused) if became.is_some() => {
                tracing::warn!(
                    object = parcel.object,
                    problem = chain(&refused),
                    "what became of a code's message is not entered with it"
                );
                enter(None).or_else(|refused| match refused {
                    RegistryError::Store(problem) => Err(problem),
                    _ => Ok(()),
                })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What the challenge is told whose code was in a message. That a message came too late says nothing about its number.
fn became(parcel: &Parcel, end: End) -> Option<Command> {
    let challenge = challenge_of(&parcel.object)?;
    let what = match end {
        End::Delivered => Delivery::Sent,
        End::Refused => Delivery::Failed,
        End::Expired => return None,
    };
    Some(Command::Delivered { challenge, what })
}

/// How long to wait after so many attempts that failed before this one: doubling, bounded, and spread by a
/// quarter, so that what failed together does not come back together.
fn wait_after(attempts: u32, number: u64) -> Duration {
    let doubled = WAIT_MIN.saturating_mul(1 << attempts.min(16));
    let wait = doubled.min(WAIT_MAX);
    // 0 to 255.
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
    let spread = u32::try_from(spread).unwrap_or_default();
    wait * 3 / 4 + wait / 2 * spread / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_bound_and_spread_by_a_quarter() {
        for number in 0..1_000 {
            for (attempts, expect) in [(0, 1_000), (3, 8_000), (9, 300_000), (u32::MAX, 300_000)] {
                let wait = wait_after(attempts, number).as_millis();
                assert!((expect * 3 / 4..=expect * 5 / 4).contains(&wait), "{wait}");
            }
        }
        let waits: HashSet<_> = (0..100).map(|number| wait_after(5, number)).collect();
        assert!(waits.len() > 50);
    }
}
