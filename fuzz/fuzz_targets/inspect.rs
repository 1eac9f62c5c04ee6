//! Arbitrary bytes as somebody gives them to be looked at.
#![no_main]

#[path = "../bodies.rs"]
#[expect(dead_code, reason = "the other targets' bodies stand in the same file")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::inspect(data));
