//! Posgate: a POS terminal gateway and ISO 8583 transaction switch.
//!
//! `ARCHITECTURE.md` has the map; the rooms below stand in the order in which they may use each other.

pub mod base;
pub mod binding;
pub mod store;
pub mod telemetry;
