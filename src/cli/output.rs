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

/// Writes a table to standard output: columns as wide as they need, the header first.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let all: Vec<_> = std::iter::once(&header).chain(rows).collect();
    padded(&all)
}

/// Writes names and values to standard output, below each other.
pub(super) fn columns(rows: &[Vec<String>]) -> io::Result<()> {
    padded(&rows.iter().collect::<Vec<_>>())
}

/// Writes rows whose columns are as wide as they need.
fn padded(rows: &[&Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(*row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    out.flush()
}

/// Writes a line to standard error.
pub(super) fn error_line(text: Arguments<'_>) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_fmt(text)?;
    err.write_all(b"\n")
}

/// Writes lines to standard output.
pub(super) fn lines(all: &[String]) -> io::Result<()> {
    let mut out = Stream::new();
    for line in all {
        out.line(line)?;
    }
    out.finish()
}

/// Writes bytes to standard output as they are.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Standard output for many lines; they are there when it is finished.
#[derive(Debug)]
pub(super) struct Stream(io::BufWriter<io::StdoutLock<'static>>);

impl Stream {
    pub(super) fn new() -> Self {
        Self(io::BufWriter::new(io::stdout().lock()))
    }

    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.write_all(b"\n")
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
