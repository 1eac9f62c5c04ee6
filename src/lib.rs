//! Posgate: a POS terminal gateway and ISO 8583 transaction switch.
//!
//! `ARCHITECTURE.md` has the map. The rooms stand in the order in which they may use each other: each
//! uses only those above it.

pub mod base;

pub mod telemetry;

pub mod binding;

pub mod transaction;

pub mod store;
