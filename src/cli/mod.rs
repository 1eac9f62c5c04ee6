//! The commands, one file each.

pub mod account;
pub mod acquirer;
mod affairs;
pub mod audit;
pub mod bare_proxy;
pub mod batch;
pub mod binding;
pub mod case;
pub mod check;
mod client;
pub mod contact;
pub mod demo;
mod dialects;
pub mod dispute;
pub mod exception;
pub mod host;
mod inquire;
pub mod limit;
pub mod load;
mod load_report;
pub mod manual;
pub mod message;
mod output;
pub mod protocol;
pub mod refund;
pub mod serve;
pub mod settlement;
mod shown;
pub mod simulate;
pub mod store;
pub mod terminal;
pub mod token;
pub mod transaction;
pub mod trial;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// POS terminal gateway and ISO 8583 transaction switch.
#[derive(Debug, Parser)]
#[command(name = "posgate", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Protocol(protocol::Args),
    Terminal(terminal::Args),
    Acquirer(acquirer::Args),
    Account(account::Args),
    Merchant(contact::MerchantArgs),
    Contact(contact::ContactArgs),
    Challenge(contact::ChallengeArgs),
    Evidence(contact::EvidenceArgs),
    Device(binding::DeviceArgs),
    Binding(binding::BindingArgs),
    Hold(binding::HoldArgs),
    Limit(limit::Args),
    Case(case::Args),
    Batch(batch::Args),
    Token(token::Args),
    Audit(audit::Args),
    Store(store::Args),
    Backup(store::BackupArgs),
    Restore(store::RestoreArgs),
    Transaction(transaction::Args),
    Exception(exception::Args),
    Refund(refund::Args),
    Dispute(dispute::Args),
    Settlement(settlement::Args),
    Message(message::Args),
    Host(host::Args),
    Load(load::Args),
    Simulate(simulate::Args),
    Trial(trial::Args),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
    #[command(hide = true)]
    BareProxy(bare_proxy::Args),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// What the command reports.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command).or_else(output::unless_unread),
        Err(refused) => told(&refused),
    }
}

/// Tells what is wrong with the arguments. One that nobody asked for may be a card number.
fn told(refused: &clap::Error) -> anyhow::Result<ExitCode> {
    let text = refused.to_string();
    let guarded = output::guarded(&text);
    // Help is asked for, and has examples with many digits.
    if guarded == text || !refused.use_stderr() {
        refused.exit();
    }
    output::error_line(format_args!("{}", guarded.trim_end()))?;
    Ok(ExitCode::from(2))
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Protocol(args) => protocol::run(&args),
        Command::Terminal(args) => terminal::run(args),
        Command::Acquirer(args) => acquirer::run(args),
        Command::Account(args) => account::run(args),
        Command::Merchant(args) => contact::merchant(args),
        Command::Contact(args) => contact::contact(args),
        Command::Challenge(args) => contact::challenge(args),
        Command::Evidence(args) => contact::evidence(args),
        Command::Device(args) => binding::device(args),
        Command::Binding(args) => binding::binding(args),
        Command::Hold(args) => binding::hold(args),
        Command::Limit(args) => limit::run(args),
        Command::Case(args) => case::run(args),
        Command::Batch(args) => batch::run(args),
        Command::Token(args) => token::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Store(args) => store::run(&args),
        Command::Backup(args) => store::backup(&args),
        Command::Restore(args) => store::restore(&args),
        Command::Transaction(args) => transaction::run(args),
        Command::Exception(args) => exception::run(args),
        Command::Refund(args) => refund::run(args),
        Command::Dispute(args) => dispute::run(args),
        Command::Settlement(args) => settlement::run(&args),
        Command::Message(args) => message::run(&args),
        Command::Host(args) => host::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Trial(args) => trial::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::BareProxy(args) => bare_proxy::run(&args),
    }
}
