//! Ways out for texts and events: HTTP webhooks, SMTP, and a file where neither is set up.
//!
//! A way is tried by whoever keeps the parcels; it says whether to try again. What it sends is in no log and in
//! no error.

mod file;
mod http;
mod mail;
mod template;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::base::notice::{Notice, OutsideEvent};

pub use file::OutboxFile;
pub use http::{Endpoint, EndpointError, EventWebhook, SmsSettings, SmsWebhook, WebhookSettings};
pub use mail::{MailError, MailSecurity, MailServer, Mailer};
pub use template::{Escape, Template, TemplateError};

/// Why something was not delivered. Never what was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nobody is there, or they do not trust each other.
    #[error("there is no connection")]
    Connection,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// The receiver answered with a status of HTTP.
    #[error("the receiver answered {0}")]
    Http(u16),
    /// The receiver answered with a code of SMTP.
    #[error("the mail server answered {0}")]
    Smtp(u16),
    /// What it is to be sent to is no address.
    #[error("the address cannot be used")]
    Address,
    /// A file cannot be written.
    #[error("the file cannot be written")]
    File,
    /// No such way is set up.
    #[error("no such way is configured")]
    NotConfigured,
    /// It cannot be unsealed: the data keys are others than when it was written.
    #[error("it cannot be unsealed")]
    Sealed,
}

/// What came of an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Try again later.
    Later(Why),
    /// It will never be taken.
    Never(Why),
}

/// What comes of an attempt, when it has ended. Dropping it leaves open whether it was delivered.
pub type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send + 'a>>;

/// A way to people.
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Delivers a text. `number` is the same for each attempt at one text, so that a receiver can tell a second
    /// copy.
    fn deliver<'a>(&'a self, number: u64, notice: &'a Notice) -> Attempt<'a>;
}

/// A way to programs.
pub trait EventReceiver: Send + Sync + fmt::Debug {
    /// Delivers an event. `number` is the same for each attempt at one event.
    fn deliver<'a>(&'a self, number: u64, event: &'a OutsideEvent) -> Attempt<'a>;
}
