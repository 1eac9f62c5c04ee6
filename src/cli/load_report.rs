//! How `posgate load` writes what it measured: a table, or one JSON object as the last line.

use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use super::output::line;
use crate::base::Counted;
use crate::sim::load::stats::{Latency, Spread, mebibytes};
use crate::sim::load::{BaselineReport, HandshakeReport, IdleReport, LoadReport, Repetition, Side};

/// A figure with one digit, or a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"))
}

pub(super) fn trade(as_json: bool, terminals: usize, found: &LoadReport) -> io::Result<()> {
    let window = &found.window;
    let latency = Latency::of(&window.latency);
    // Watched: this program, then the gateway if it was named, then the host.
    let gateway_cpu = found.gateway_cpu_per_million();
    let rss = found.gateway_resident_bytes;
    if as_json {
        return object(&json!({
            "terminals": terminals,
            "seconds": window.time().as_secs_f64(),
            "messages": window.answered,
            "messages_per_second": window.per_second(),
            "latency_us": latency,
            "codes": window.codes,
            "mismatched": window.mismatched,
            "stale": window.stale,
            "unusable": window.unusable,
            "unanswered": window.unanswered,
            "broken": window.broken,
            "left": window.left,
            "unsent": window.unsent,
            "gateway_cpu_seconds_per_million": gateway_cpu,
            "host_cpu_seconds_per_million": found.host_cpu_per_million(),
            "load_cpu_seconds_per_million": found.load_cpu_per_million(),
            "gateway_resident_bytes": rss,
        }));
    }
    let codes: Vec<_> = window
        .codes
        .iter()
        .map(|(code, n)| format!("{code}: {n}"))
        .collect();
    line(format_args!(
        "{:.0} messages/s over {:.1} s with {}",
        window.per_second(),
        window.time().as_secs_f64(),
        Counted(terminals, "terminal")
    ))?;
    line(format_args!(
        "latency p50 {} us, p99 {} us, p99.9 {} us, max {} us",
        latency.p50, latency.p99, latency.p999, latency.max
    ))?;
    line(format_args!("answers by code: {}", codes.join(", ")))?;
    line(format_args!(
        "mismatched {}, stale {}, unusable {}, unanswered {}, connections broken {}, closed by the peer when idle {}, due but not sent {}",
        window.mismatched,
        window.stale,
        window.unusable,
        window.unanswered,
        window.broken,
        window.left,
        window.unsent
    ))?;
    line(format_args!(
        "CPU seconds per million: gateway {}, host {}, load {}; gateway memory {} MiB",
        figure(gateway_cpu),
        figure(found.host_cpu_per_million()),
        figure(found.load_cpu_per_million()),
        figure(rss.map(mebibytes)),
    ))
}

pub(super) fn handshakes(as_json: bool, found: &HandshakeReport) -> io::Result<()> {
    let latency = Latency::of(&found.latency);
    let cpu = found.cpu_micros_each();
    if as_json {
        return object(&json!({
            "seconds": found.time.as_secs_f64(),
            "connections": found.connections,
            "connections_per_second": found.per_second(),
            "resumed": found.resumed,
            "failed": found.failed,
            "latency_us": latency,
            "gateway_cpu_us_each": cpu,
        }));
    }
    line(format_args!(
        "{:.0} connections/s over {:.1} s, {} of {} resumed, {} failed",
        found.per_second(),
        found.time.as_secs_f64(),
        found.resumed,
        found.connections,
        found.failed
    ))?;
    line(format_args!(
        "latency p50 {} us, p99 {} us; gateway CPU {} us each",
        latency.p50,
        latency.p99,
        figure(cpu)
    ))
}

pub(super) fn idle(as_json: bool, found: &IdleReport) -> io::Result<()> {
    if as_json {
        return object(&json!({
            "opened": found.opened,
            "alive": found.alive,
            "opening_seconds": found.opening.as_secs_f64(),
            "gateway_resident_bytes": found.resident_bytes.map(|[before, held, after]| {
                json!({ "before": before, "held": held, "after": after })
            }),
            "bytes_each": found.bytes_each(),
        }));
    }
    line(format_args!(
        "{} opened in {:.1} s, {} alive",
        Counted(found.opened, "session"),
        found.opening.as_secs_f64(),
        found.alive
    ))?;
    let Some([before, held, after]) = found.resident_bytes else {
        return Ok(());
    };
    line(format_args!(
        "gateway memory: {:.1} MiB before, {:.1} held, {:.1} after closing; {} bytes each",
        mebibytes(before),
        mebibytes(held),
        mebibytes(after),
        found
            .bytes_each()
            .map_or_else(|| "-".to_owned(), |b| format!("{b:.0}")),
    ))
}

/// One repetition as it ends, for those who watch. Nobody reads on when it cannot be written: the summary
/// will say so.
pub(super) fn repetition(as_json: bool, r: &Repetition) {
    if as_json {
        return;
    }
    let ratio = r
        .cpu_ratio()
        .map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
    for (name, side) in [("gateway", &r.gateway), ("proxy", &r.proxy)] {
        line(format_args!("{name:<8} {}", side_text(side))).unwrap_or_default();
    }
    line(format_args!("         CPU ratio {ratio}")).unwrap_or_default();
}

fn side_text(side: &Side) -> String {
    format!(
        "{:>8.0} msg/s  p50 {:>6} us  p99 {:>7} us  CPU s/M {:>6}  (host {}, load {})  errors {}  declined {}",
        side.per_second,
        side.latency.p50,
        side.latency.p99,
        figure(side.cpu_per_million),
        figure(side.host_cpu_per_million),
        figure(side.load_cpu_per_million),
        side.errors,
        side.declined,
    )
}

pub(super) fn baseline(as_json: bool, found: &BaselineReport) -> io::Result<()> {
    if as_json {
        return object(&json!({
            "repetitions": found.repetitions.len(),
            "gateway": sides(found, |r| r.gateway),
            "proxy": sides(found, |r| r.proxy),
            "cpu_ratio": found.spread(Repetition::cpu_ratio),
            "rate_ratio": found.spread(Repetition::rate_ratio),
        }));
    }
    line(format_args!(
        "medians of {} (range)",
        Counted(found.repetitions.len(), "repetition")
    ))?;
    for (name, side) in [
        (
            "gateway",
            (|r: &Repetition| r.gateway) as fn(&Repetition) -> Side,
        ),
        ("proxy", |r| r.proxy),
    ] {
        line(format_args!(
            "{name:<8} msg/s {}  CPU s/M {}  p50 us {}  p99 us {}",
            range(found.spread(|r| Some(side(r).per_second)), 0),
            range(found.spread(|r| side(r).cpu_per_million), 1),
            range(found.spread(|r| micros(side(r).latency.p50)), 0),
            range(found.spread(|r| micros(side(r).latency.p99)), 0),
        ))?;
    }
    line(format_args!(
        "gateway as a multiple of the proxy: CPU per message {}, msg/s {}",
        range(found.spread(Repetition::cpu_ratio), 2),
        range(found.spread(Repetition::rate_ratio), 2),
    ))
}

fn sides(found: &BaselineReport, of: impl Fn(&Repetition) -> Side) -> Value {
    let total =
        |count: fn(&Side) -> u64| found.repetitions.iter().map(|r| count(&of(r))).sum::<u64>();
    json!({
        "messages_per_second": found.spread(|r| Some(of(r).per_second)),
        "cpu_seconds_per_million": found.spread(|r| of(r).cpu_per_million),
        "host_cpu_seconds_per_million": found.spread(|r| of(r).host_cpu_per_million),
        "load_cpu_seconds_per_million": found.spread(|r| of(r).load_cpu_per_million),
        "latency_us": {
            "p50": found.spread(|r| micros(of(r).latency.p50)),
            "p99": found.spread(|r| micros(of(r).latency.p99)),
            "p999": found.spread(|r| micros(of(r).latency.p999)),
        },
        "errors": total(|s| s.errors),
        "mismatched": total(|s| s.mismatched),
        "declined": total(|s| s.declined),
    })
}

/// Microseconds below 2^32, over an hour, as a float.
fn micros(value: u64) -> Option<f64> {
    u32::try_from(value).ok().map(f64::from)
}

fn range(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |s| {
            format!(
                "{:.digits$} ({:.digits$}-{:.digits$})",
                s.median, s.min, s.max
            )
        },
    )
}

fn object(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    line(format_args!("{text}"))
}
