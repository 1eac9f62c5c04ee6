//! What is to be delivered outside: texts to people, and events to programs. A parcel is written in the
//! transaction of what it tells of, and stays until it is delivered, refused for good, or too late; so a crash
//! loses none, and may deliver one twice.
//!
//! What is in a parcel is sealed, and erased when it ends: a text may hold a code.

use std::borrow::Cow;

use super::StoreError;
use super::registry::RegistryError;
use crate::base::Timestamp;

/// How a parcel travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
    /// An event to the webhook with that name.
    Event(Box<str>),
}

impl Way {
    /// As it is stored and logged.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Sms => "sms".into(),
            Self::Email => "email".into(),
            Self::Event(webhook) => format!("event:{webhook}").into(),
        }
    }

    /// For metrics: without the webhook's name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Event(_) => "event",
        }
    }

    /// The way with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sms" => Some(Self::Sms),
            "email" => Some(Self::Email),
            other => Some(Self::Event(other.strip_prefix("event:")?.into())),
        }
    }
}

/// A parcel to be.
#[derive(Clone, Debug)]
pub struct NewParcel {
    /// How it travels.
    pub way: Way,
    /// What it is about, as `binding 7`. Events about one thing are delivered one after the other.
    pub object: String,
    /// Version of that thing.
    pub version: u32,
    /// What is in it, sealed.
    pub sealed: Vec<u8>,
    /// When it is of no use any more.
    pub expires_at: Timestamp,
}

/// A parcel under way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// From 1, in the order in which they were written.
    pub number: u64,
    /// How it travels.
    pub way: Way,
    /// What it is about.
    pub object: String,
    /// Times that it was tried.
    pub attempts: u32,
    /// What is in it, sealed.
    pub sealed: Vec<u8>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is of no use any more.
    pub expires_at: Timestamp,
}

/// How a parcel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its receiver has it.
    Delivered,
    /// Its receiver will never take it.
    Refused,
    /// It was of no use any more.
    Expired,
}

impl End {
    /// As it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// Where the parcels are. A supertrait of the registry, whose transactions they share.
pub trait ParcelBook {
    /// Writes one; its number.
    ///
    /// # Errors
    /// When there are too many, or the store fails.
    fn add_parcel(&mut self, new: &NewParcel, now: Timestamp) -> Result<u64, RegistryError>;

    /// Those whose time has come, earliest first. Of the events about one thing only the first: the next one
    /// waits until that has ended.
    ///
    /// # Errors
    /// When the store fails.
    fn due_parcels(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Parcel>, StoreError>;

    /// Those that wait.
    ///
    /// # Errors
    /// When the store fails.
    fn waiting_parcels(&mut self) -> Result<u64, StoreError>;

    /// Puts one off after an attempt.
    ///
    /// # Errors
    /// When the store fails.
    fn put_off(&mut self, number: u64, until: Timestamp, reason: &str) -> Result<(), StoreError>;

    /// What a text is about, also when it has ended; `None` for an event, and when nothing is known of it (any more).
    ///
    /// # Errors
    /// When the store fails.
    fn parcel_object(&mut self, number: u64) -> Result<Option<String>, StoreError>;

    /// Ends one and erases what is in it. Those that ended long ago are forgotten on the way.
    ///
    /// # Errors
    /// When the store fails.
    fn end_parcel(
        &mut self,
        number: u64,
        end: End,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}
