//! Where commands write their results.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Writes a line to standard output. A closed pipe is an error like any other: nobody reads on.
pub(super) fn line(text: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a line to standard error.
pub(super) fn error_line(text: Arguments<'_>) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_fmt(text)?;
    err.write_all(b"\n")
}
