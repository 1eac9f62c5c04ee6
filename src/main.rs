//! The `posgate` program.

use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    posgate::cli::run().unwrap_or_else(|problem| {
        // One line, outermost first; standard error that cannot be written must not panic.
        drop(writeln!(std::io::stderr().lock(), "posgate: {problem:#}"));
        ExitCode::FAILURE
    })
}
