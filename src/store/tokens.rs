//! The tokens of the admin API: whose they are, what they may do, until when. Their secrets are not here.

use super::StoreError;
use super::registry::{Actor, RegistryError};
use crate::base::{PersonName, Timestamp};
use crate::security::access::{Role, TokenHash};

/// A token to be given out.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Who carries it.
    pub name: PersonName,
    /// What it may do.
    pub role: Role,
    /// What is kept of its secret.
    pub hash: TokenHash,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token that was given out.
#[derive(Clone, Debug)]
pub struct Token {
    /// By which it is known.
    pub number: u64,
    /// Who carries it.
    pub name: PersonName,
    /// What it may do.
    pub role: Role,
    /// What is kept of its secret.
    pub hash: TokenHash,
    /// When it was given out.
    pub created_at: Timestamp,
    /// Who gave it out.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it is good at a time.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// Where the tokens are. A supertrait of the registry.
pub trait TokenBook {
    /// All that were ever given out, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    fn tokens(&mut self) -> Result<Vec<Token>, StoreError>;

    /// Writes a new one down.
    ///
    /// # Errors
    /// When there are too many, or the store fails.
    fn add_token(&mut self, new: &NewToken, actor: &Actor) -> Result<Token, RegistryError>;

    /// Takes one back, at once and for good. One that was taken back stays as it is.
    ///
    /// # Errors
    /// When it is not there, or the store fails.
    fn revoke_token(&mut self, number: u64, actor: &Actor) -> Result<Token, RegistryError>;
}
