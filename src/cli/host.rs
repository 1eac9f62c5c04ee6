//! `posgate host`: a simulated upstream host.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::ServerConfig;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::output::line;
use crate::base::document::parse_duration;
use crate::base::{BatchNumber, Counted, SystemClock, TerminalId};
use crate::iso8583::{Dialect, ResponseCode};
use crate::sim::certs::{MadeCerts, server_config};
use crate::sim::chance::{Chance, Wait};
use crate::sim::host::{Host, HostCounters, HostSettings, RunningHost};
use crate::sim::ledger::Totals;
use crate::sim::rules::{Faults, Rule, Rules};

/// A simulated upstream host: approves, keeps books, and misbehaves as told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Dialect to speak
    #[arg(long, value_name = "NAME", default_value = "unionpay-pos", value_parser = dialect)]
    dialect: Arc<Dialect>,
    /// Take TLS; without --cert a certificate is made on the spot
    #[arg(long)]
    tls: bool,
    /// Server certificate, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Key of the server certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Where to write the authority of a certificate made on the spot, for clients to trust
    #[arg(long, value_name = "FILE")]
    write_ca: Option<PathBuf>,
    /// Rules: which requests get which code or fault. Flags below add to it
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Decline an amount in minor units with a code; may be repeated
    #[arg(long, value_name = "AMOUNT=CODE", value_parser = amount_rule)]
    decline_amount: Vec<Rule>,
    /// Decline a terminal with a code; may be repeated
    #[arg(long, value_name = "TERMINAL=CODE", value_parser = terminal_rule)]
    decline_terminal: Vec<Rule>,
    #[command(flatten)]
    faults: FaultArgs,
    /// Batch given to terminals that sign on here
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=999_999))]
    batch: u32,
    /// Keep no books: approve everything, also what was seen before
    #[arg(long)]
    no_books: bool,
    /// Where randomness starts; the same seed and requests give the same answers
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Write counters and totals as often as this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    report_every: Option<Duration>,
    /// Write reports as JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Misbehaviour of every answer, as in the rules file's `[faults]`.
#[derive(Debug, clap::Args)]
struct FaultArgs {
    /// Requests thrown away unprocessed
    #[arg(long, value_name = "PERCENT")]
    lose: Option<Chance>,
    /// Answers never sent though processed
    #[arg(long, value_name = "PERCENT")]
    drop: Option<Chance>,
    /// Answers sent late
    #[arg(long, value_name = "PERCENT")]
    late: Option<Chance>,
    /// How late, 20s unless given
    #[arg(long, value_name = "TIME", value_parser = duration)]
    late_by: Option<Duration>,
    /// Connections closed instead of answering
    #[arg(long, value_name = "PERCENT")]
    close: Option<Chance>,
    /// Answers that cannot be decoded
    #[arg(long, value_name = "PERCENT")]
    garble: Option<Chance>,
    /// Answers under another terminal's id
    #[arg(long, value_name = "PERCENT")]
    foreign: Option<Chance>,
    /// Answers under another STAN
    #[arg(long, value_name = "PERCENT")]
    misnumber: Option<Chance>,
    /// Answers sent twice
    #[arg(long, value_name = "PERCENT")]
    duplicate: Option<Chance>,
    /// Random bytes sent instead of an answer
    #[arg(long, value_name = "PERCENT")]
    garbage: Option<Chance>,
    /// Connections reset behind half an answer
    #[arg(long, value_name = "PERCENT")]
    reset: Option<Chance>,
    /// Answers sent byte by byte
    #[arg(long, value_name = "PERCENT")]
    drip: Option<Chance>,
    /// Wait between two such bytes, 50ms unless given
    #[arg(long, value_name = "TIME", value_parser = duration)]
    drip_every: Option<Duration>,
    /// Connections left open that neither read nor answer any more
    #[arg(long, value_name = "PERCENT")]
    hang: Option<Chance>,
    /// For how long, 30s unless given
    #[arg(long, value_name = "TIME", value_parser = duration)]
    hang_for: Option<Duration>,
    /// Wait before every answer, as "20ms" or "10ms..2s"
    #[arg(long, value_name = "TIME")]
    delay: Option<Wait>,
}

impl FaultArgs {
    fn over(&self, file: Faults) -> Faults {
        Faults {
            lose: self.lose.unwrap_or(file.lose),
            drop: self.drop.unwrap_or(file.drop),
            late: self.late.unwrap_or(file.late),
            late_by: self.late_by.unwrap_or(file.late_by),
            close: self.close.unwrap_or(file.close),
            garble: self.garble.unwrap_or(file.garble),
            foreign: self.foreign.unwrap_or(file.foreign),
            misnumber: self.misnumber.unwrap_or(file.misnumber),
            duplicate: self.duplicate.unwrap_or(file.duplicate),
            garbage: self.garbage.unwrap_or(file.garbage),
            reset: self.reset.unwrap_or(file.reset),
            drip: self.drip.unwrap_or(file.drip),
            drip_every: self.drip_every.unwrap_or(file.drip_every),
            hang: self.hang.unwrap_or(file.hang),
            hang_for: self.hang_for.unwrap_or(file.hang_for),
            delay: self.delay.unwrap_or(file.delay),
        }
    }
}

/// Serves until it is interrupted or ended, then writes what it saw.
///
/// # Errors
/// When a file, the certificate or the address cannot be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(settings, args))
}

fn settings(args: &Args) -> anyhow::Result<HostSettings> {
    let tls = server_tls(args.tls, args.cert.as_deref(), args.key.as_deref())?;
    if let Some(path) = &args.write_ca {
        let made = tls.as_ref().and_then(|tls| tls.made_ca_pem.as_ref());
        let pem = made.context("--write-ca needs --tls without --cert")?;
        fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut rules = match &args.rules {
        Some(path) => read_rules(path)?,
        None => Rules::default(),
    };
    rules.faults = args.faults.over(rules.faults);
    let own = args.decline_amount.iter().chain(&args.decline_terminal);
    rules.rules.splice(0..0, own.cloned());
    Ok(HostSettings {
        listen: args.listen,
        tls: tls.map(|tls| tls.config),
        rules,
        batch: BatchNumber::new(args.batch).unwrap_or(BatchNumber::FIRST),
        books: !args.no_books,
        seed: args.seed,
        ..HostSettings::new(Arc::clone(&args.dialect), Arc::new(SystemClock::new()))
    })
}

fn read_rules(path: &Path) -> anyhow::Result<Rules> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Rules::parse(&name, &text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the rules cannot be used\n{}", lines.join("\n"))
    })
}

async fn serve(settings: HostSettings, args: &Args) -> anyhow::Result<ExitCode> {
    let listen = settings.listen;
    let host = Host::start(settings)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    line(format_args!("listening on {}", host.addr()))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = next_report(args.report_every) => {
                report(args.json, &host.counters(), &host.totals())?;
            }
        }
    }
    finish(host, args.json).await
}

async fn finish(host: RunningHost, json: bool) -> anyhow::Result<ExitCode> {
    let (ledger, counters) = host.shutdown().await;
    report(json, &counters, &ledger.totals())?;
    Ok(ExitCode::SUCCESS)
}

async fn next_report(every: Option<Duration>) {
    match every {
        Some(every) => tokio::time::sleep(every).await,
        None => std::future::pending().await,
    }
}

fn report(as_json: bool, c: &HostCounters, totals: &Totals) -> anyhow::Result<()> {
    let faults = c.faults();
    if as_json {
        let faults: serde_json::Map<_, _> = faults
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        let object = json!({
            "connections": c.connections, "requests": c.requests, "answers": c.answers,
            "approved": c.approved, "declined": c.declined, "repeats": c.repeats,
            "conflicts": c.conflicts, "unusable": c.unusable, "reversed": c.reversed,
            "reversed_before": c.reversed_before, "reversed_unknown": c.reversed_unknown,
            "faults": faults, "standing": totals.approved, "net_minor": totals.net_minor.to_string(),
        });
        line(format_args!("{object}"))?;
        return Ok(());
    }
    line(format_args!(
        "{}, {}, {}: {} approved, {} declined, {} repeated, {} unusable",
        Counted(c.connections, "connection"),
        Counted(c.requests, "request"),
        Counted(c.answers, "answer"),
        c.approved,
        c.declined,
        c.repeats,
        c.unusable
    ))?;
    line(format_args!(
        "reversals: {} undid, {} came again, {} found nothing; books: {} stand, net {} minor units",
        c.reversed, c.reversed_before, c.reversed_unknown, totals.approved, totals.net_minor
    ))?;
    let happened: Vec<_> = faults
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if !happened.is_empty() {
        line(format_args!("faults: {}", happened.join(", ")))?;
    }
    Ok(())
}

/// TLS of a server, and the authority when its certificate was made on the spot.
#[derive(Debug)]
pub(super) struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) made_ca_pem: Option<String>,
}

/// TLS from files, or made on the spot when wanted without files; none when not wanted.
pub(super) fn server_tls(
    wanted: bool,
    cert: Option<&Path>,
    key: Option<&Path>,
) -> anyhow::Result<Option<ServerTls>> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (cert_pem, key_pem, made_ca_pem) = match (cert, key) {
        (Some(cert), Some(key)) => (read(cert)?, read(key)?, None),
        _ if wanted => {
            let made = MadeCerts::for_localhost()?;
            (made.cert_pem, made.key_pem, Some(made.ca_pem))
        }
        _ => return Ok(None),
    };
    Ok(Some(ServerTls {
        config: server_config(&cert_pem, &key_pem)?,
        made_ca_pem,
    }))
}

/// A shipped dialect by name, one that messages can be served in.
pub(super) fn dialect(name: &str) -> anyhow::Result<Arc<Dialect>> {
    let shipped = || {
        Dialect::shipped_names()
            .iter()
            .filter_map(|name| Dialect::shipped(name))
    };
    let found = shipped().find(|dialect| dialect.name() == name && dialect.serves());
    found.with_context(|| {
        let serving = shipped().filter(|dialect| dialect.serves());
        let names: Vec<_> = serving.map(|dialect| dialect.name().to_owned()).collect();
        format!(
            "there is no dialect of that name that serves; shipped are {}",
            names.join(", ")
        )
    })
}

/// A duration with its unit.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    parse_duration(text).context("a time needs a number and a unit (ms, s, m, h), as in \"15s\"")
}

fn amount_rule(text: &str) -> anyhow::Result<Rule> {
    let (amount, code) = split_rule(text)?;
    let amount: u64 = amount
        .parse()
        .context("the amount must be a whole number of minor units")?;
    Ok(Rule {
        amount: Some(amount..=amount),
        code: Some(code),
        ..Rule::default()
    })
}

fn terminal_rule(text: &str) -> anyhow::Result<Rule> {
    let (terminal, code) = split_rule(text)?;
    Ok(Rule {
        terminal: Some(TerminalId::parse(terminal)?),
        code: Some(code),
        ..Rule::default()
    })
}

fn split_rule(text: &str) -> anyhow::Result<(&str, ResponseCode)> {
    let Some((what, code)) = text.rsplit_once('=') else {
        bail!("a rule is written as WHAT=CODE, as in 5100=51");
    };
    let code = ResponseCode::from_slice(code.as_bytes())
        .context("a response code has two characters, as in 51, or three or four digits")?;
    Ok((what, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_rules_file() {
        let file = Faults {
            drop: Chance::percent(1),
            late: Chance::percent(2),
            ..Faults::NONE
        };
        let flags = FaultArgs {
            drop: Some(Chance::percent(5)),
            lose: None,
            late: None,
            late_by: None,
            close: None,
            garble: None,
            foreign: None,
            misnumber: None,
            duplicate: None,
            garbage: None,
            reset: None,
            drip: None,
            drip_every: None,
            hang: None,
            hang_for: None,
            delay: None,
        };
        let both = flags.over(file);
        assert_eq!(both.drop, Chance::percent(5));
        assert_eq!(both.late, Chance::percent(2));
    }

    #[test]
    fn rules_of_flags_are_read() {
        let rule = amount_rule("5100=51").unwrap();
        assert_eq!(rule.amount, Some(5_100..=5_100));
        assert_eq!(
            terminal_rule("T1=58").unwrap().code,
            Some(ResponseCode::new(*b"58"))
        );
        assert!(amount_rule("5100").is_err());
        assert!(amount_rule("x=51").is_err());
        assert!(terminal_rule("T1=5").is_err());
    }
}
