//! Tests that see the crate from the outside.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod allocations;
mod codec;
mod corpus;
mod docs;
mod explain;
mod gateway;
mod interop;
mod json_schema;
mod lengths;
mod manual;
mod masking;
mod messages;
mod mistakes;
mod order;
mod power;
mod rewriting;
mod samples;
mod schema;
mod sim;
mod tidy;
mod trace;
mod traced;
mod upgrade;
mod vectors;
