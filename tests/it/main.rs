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
mod gateway;
mod manual;
mod order;
mod samples;
mod sim;
mod tidy;
mod upgrade;
mod vectors;
