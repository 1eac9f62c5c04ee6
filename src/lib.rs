//! Posgate: a POS terminal gateway and ISO 8583 transaction switch.
//!
//! `ARCHITECTURE.md` has the map. The rooms stand in the order in which they may use each other: each
//! uses only those above it.

pub mod base;

pub mod telemetry;

pub mod iso8583;

pub mod wire;

pub mod inspect;

pub mod security;

pub mod binding;

pub mod transaction;

pub mod store;

pub mod net;

pub mod switch;

pub mod admin;

pub mod sim;

pub mod config;

pub mod cli;
