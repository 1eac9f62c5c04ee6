//! What people and programs are told of a command: in the transaction of the command, through the outbox.

use std::time::Duration;

use zeroize::Zeroizing;

use super::dispatch::{Dispatcher, NotQueued};
use crate::base::Timestamp;
use crate::base::notice::{Notice, OutsideEvent};
use crate::binding::AccountStatus;
use crate::binding::contact::ContactKind;
use crate::store::command::{ContactView, Done, admission_shown, status_told};
use crate::store::parcels::Way;
use crate::store::registry::DirectoryChanges;
use crate::store::{Registry, RegistryError, StoreError};
use crate::telemetry::metrics;

/// How long a notice is of use.
const NOTICE_LIFE: Duration = Duration::from_secs(86_400);

/// What values of contacts are sealed for.
pub const CONTACT: &str = "contact";

impl Dispatcher {
    /// Queues what a command's contacts and the webhooks have to be told, in the transaction under way.
    ///
    /// # Errors
    /// When too much waits already, or the store fails; the command must not be made then.
    pub fn tell(&self, registry: &mut dyn Registry, done: &Done) -> Result<(), RegistryError> {
        for notice in &done.notices {
            let Some(contact) = registry.contact_view(notice.contact)? else {
                continue;
            };
            let subject = format!("Posgate: {}", notice.event);
            let object = format!("contact {}", contact.contact);
            let texts = (subject.as_str(), notice.text.as_str());
            self.text(registry, &contact, &object, texts, NOTICE_LIFE)?;
        }
        for kind in &done.alerts {
            metrics::alert(kind.name());
        }
        for told in &done.told {
            let event = OutsideEvent {
                event: told.event.into(),
                object: told.object.clone(),
                version: told.version,
                at_us: told.at.0,
                data: told.data.clone(),
            };
            self.event(registry, &event).map_err(not_queued)?;
        }
        Ok(())
    }

    /// Queues the events of bindings of `terminal` (`acme/T1`) whose state was set by hand.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn states_set(
        &self,
        registry: &mut dyn Registry,
        terminal: &str,
        changes: &DirectoryChanges,
        at: Timestamp,
    ) -> Result<(), RegistryError> {
        for (_, admission) in &changes.bindings {
            let mut data = admission_shown(*admission);
            data["terminal"] = terminal.into();
            let event = OutsideEvent {
                event: "binding.state_set".into(),
                object: format!("binding {}", admission.binding.0),
                version: admission.version,
                at_us: at.0,
                data,
            };
            self.event(registry, &event).map_err(not_queued)?;
        }
        Ok(())
    }

    /// Queues the event of an account whose status was set by hand: before, and from now on.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn status_set(
        &self,
        registry: &mut dyn Registry,
        account: &str,
        version: u32,
        (before, after): (AccountStatus, AccountStatus),
        at: Timestamp,
    ) -> Result<(), RegistryError> {
        let event = OutsideEvent {
            event: "account.status_set".into(),
            object: format!("account {account}"),
            version,
            at_us: at.0,
            data: status_told(before, after),
        };
        self.event(registry, &event).map_err(not_queued)
    }

    /// Queues a text to a contact. `object` is what it is about, by number.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub(super) fn text(
        &self,
        registry: &mut dyn Registry,
        contact: &ContactView,
        object: &str,
        (subject, text): (&str, &str),
        life: Duration,
    ) -> Result<(), RegistryError> {
        let Some(to) = self.keys.open_value(&contact.sealed, CONTACT) else {
            // Sealed with data keys that are gone: nobody can be told there any more.
            tracing::error!(
                contact = contact.contact,
                "a contact cannot be unsealed; enter it anew"
            );
            return Ok(());
        };
        let way = match contact.kind {
            ContactKind::Phone => Way::Sms,
            ContactKind::Email => Way::Email,
        };
        let notice = Notice {
            to,
            subject: subject.to_owned(),
            text: Zeroizing::new(text.to_owned()),
        };
        self.notice(registry, way, object, &notice, life)
            .map_err(not_queued)
    }
}

fn not_queued(problem: NotQueued) -> RegistryError {
    match problem {
        NotQueued::Registry(refused) => refused,
        NotQueued::Keys(problem) => StoreError::Engine {
            doing: "sealing a message",
            source: Box::new(problem),
        }
        .into(),
    }
}
