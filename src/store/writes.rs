//! Several changes as one, and what was answered to a write: a caller that did not get its answer asks again
//! under the same key and gets the first one.

use serde_json::Value;

use super::StoreError;
use super::audit::Hash;
use crate::base::Timestamp;

/// A write that may be asked for again: whose it is, its key, and a hash over all that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Keys of one caller are none of another's.
    pub caller: String,
    /// The caller's key.
    pub key: String,
    /// Over method, address, expected version and body.
    pub fingerprint: Hash,
    /// Now.
    pub at: Timestamp,
}

/// What a write answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// Version of what was changed, for the next change.
    pub version: Option<u32>,
    /// JSON.
    pub body: Value,
    /// Members of the body that are told once and stored nowhere: secrets.
    pub told_once: Vec<(&'static str, String)>,
}

impl Answer {
    /// Done.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self {
            status: 200,
            version: None,
            body,
            told_once: Vec::new(),
        }
    }

    /// Something new is there.
    #[must_use]
    pub fn created(body: Value) -> Self {
        Self {
            status: 201,
            ..Self::ok(body)
        }
    }

    /// With the version that the change led to.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Nothing: the write is new.
    Nothing,
    /// It was answered before.
    Answered(Answer),
    /// It was begun and its end is not known: it is under way, or the process ended in between.
    Begun,
    /// The key was used for something else.
    Other,
    /// It is new, and there is no room for one more.
    Full,
}

/// How a write went.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It was done now.
    Now(Answer),
    /// It was done before; this is what was answered then.
    Before(Answer),
    /// It was not done, for what is known of its key: never [`Known::Nothing`] or [`Known::Answered`].
    Not(Known),
}

/// Changes that belong together, and answers that are kept. A supertrait of the registry.
///
/// Answers are kept for [`limits::ANSWERS_KEPT`](crate::base::limits::ANSWERS_KEPT), and at most
/// [`limits::ANSWERS_MAX`](crate::base::limits::ANSWERS_MAX) of them.
pub trait Writes {
    /// Begins a transaction: what follows is durable with [`Self::commit`] or not at all. One that was left
    /// open is taken back first.
    ///
    /// # Errors
    /// When the store fails.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Makes everything since [`Self::begin`] durable. When it fails, nothing is changed.
    ///
    /// # Errors
    /// When the store fails.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Takes back everything since [`Self::begin`]. Does nothing when there was none.
    fn roll_back(&mut self);

    /// What is known of a key.
    ///
    /// # Errors
    /// When the store fails.
    fn known(&mut self, keyed: &Keyed) -> Result<Known, StoreError>;

    /// Keeps what is answered under a key; `None` says that it is begun.
    ///
    /// # Errors
    /// When the store fails.
    fn remember(&mut self, keyed: &Keyed, answer: Option<&Answer>) -> Result<(), StoreError>;

    /// Forgets a key whose write was begun and refused.
    ///
    /// # Errors
    /// When the store fails.
    fn forget(&mut self, keyed: &Keyed) -> Result<(), StoreError>;
}
