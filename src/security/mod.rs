//! Keys and TLS.
//!
//! [`access`] has the roles and tokens of the admin API; [`keys`] seals and hashes card numbers under keys of
//! this installation; [`tls`] makes the rustls configurations of listeners and links. MACs, PIN translation
//! and the security-module trait come here with the issue that needs them; until then a listener must say
//! `mac = "none"`.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]

pub mod access;
pub mod keys;
pub mod tls;

pub use keys::{DataKeys, KeyError};
