//! Tests that see the crate from the outside.

mod allocations;
mod codec;
mod corpus;
mod samples;
mod sim;
mod vectors;
