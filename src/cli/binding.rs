//! `posgate binding`, `hold` and `device`: what may trade, and with which hardware.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::affairs::{self, Ask, Everything, Listed, With};
use crate::admin::escaped;

/// Bindings of terminals through their life.
#[derive(Debug, clap::Args)]
pub struct BindingArgs {
    #[command(subcommand)]
    verb: BindingVerb,
}

#[derive(Debug, clap::Subcommand)]
enum BindingVerb {
    /// Ask for a binding; its device is reserved
    Request(With<Request>),
    /// Approve a binding that somebody else asked for
    Approve(With<Networked>),
    /// Refuse a binding that was never active
    Reject(With<Noted>),
    /// Activate a binding with the code that was sent
    Activate(With<Activate>),
    /// Make a terminal verify something anew
    Repend(With<Repend>),
    /// Clear one reason with evidence that somebody else filed
    Clear(With<Clear>),
    /// Say that a terminal is a spare, which may be idle, or with --ended that it is none any more
    Spare(With<Spare>),
    /// Say where a terminal's device stands; another address than before has to be verified
    Place(With<Placed>),
    /// Stop a terminal
    Suspend(With<Noted>),
    /// Let a suspended terminal go on, with evidence that somebody else filed
    Resume(With<Evidenced>),
    /// Ask that a terminal's money settle elsewhere
    RequestAccount(With<NewAccount>),
    /// Ask that a terminal have no account of a kind any more: what is paid into it is declined
    RequestAccountEnd(With<EndedAccount>),
    /// Say that the merchant itself wants it, by a code or by evidence that somebody else filed
    ConfirmAccount(With<Confirmed>),
    /// Agree that it does; somebody else asked for it
    ApproveAccount(With<Networked>),
    /// Take such a change back
    CancelAccount(With<Noted>),
    /// Everything that changed a terminal's binding
    History(With<Terminal>),
    /// Whose a terminal was at a time, in which state, on which device, and where its money went
    At(With<AtTime>),
    /// Show one binding by its number, open or closed
    Show(With<Numbered>),
    /// Everything that changed one binding, open or closed
    Changes(With<Numbered>),
    /// Terminals that were heard of after their end
    Alerts(With<Listed<Everything>>),
}

/// A terminal at a time.
#[derive(Debug, clap::Args)]
struct AtTime {
    #[command(flatten)]
    terminal: Terminal,
    /// 2026-11-22 for its beginning, 2026-11-22T10:00 or 2026-11-22T10:00:00+08:00
    time: String,
}

/// A binding by its number.
#[derive(Debug, clap::Args)]
struct Numbered {
    /// Number of the binding
    binding: u64,
}

/// A terminal by its names.
#[derive(Debug, clap::Args)]
struct Terminal {
    /// Acquirer; - where the number of a binding follows
    acquirer: String,
    /// Terminal id (DE41), or behind - the number of its open binding
    terminal: String,
}

impl Terminal {
    fn path(&self, what: &str) -> String {
        let (acquirer, terminal) = (escaped(&self.acquirer), escaped(&self.terminal));
        format!("/v1/terminals/{acquirer}/{terminal}/{what}")
    }

    fn act(&self, body: Value) -> Ask {
        Ask::Do(self.path("actions"), body)
    }
}

#[derive(Debug, clap::Args)]
struct Confirmed {
    #[command(flatten)]
    terminal: Terminal,
    /// Number of a challenge (change-account) that came back from a phone of the owner within 20 minutes
    #[arg(
        long,
        required_unless_present = "evidence",
        conflicts_with = "evidence"
    )]
    challenge: Option<u64>,
    /// Number of the evidence (change-account) that somebody else filed
    #[arg(long)]
    evidence: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Request {
    #[command(flatten)]
    terminal: Terminal,
    /// Merchant id (DE42)
    merchant: String,
    /// Reference of the settlement account
    account: String,
    /// Serial number of a device in stock
    serial: String,
    /// Reference of an account of another kind, for what is paid otherwise; may be given twice
    #[arg(long = "other-account", value_name = "ACCOUNT")]
    others: Vec<String>,
    /// Number of the evidence (reuse-terminal) that another person filed, for a terminal id that is kept from others
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Networked {
    #[command(flatten)]
    terminal: Terminal,
    /// Reference of the network's acknowledgement
    network: String,
}

#[derive(Debug, clap::Args)]
struct Noted {
    #[command(flatten)]
    terminal: Terminal,
    /// Why
    note: String,
}

#[derive(Debug, clap::Args)]
struct Evidenced {
    #[command(flatten)]
    terminal: Terminal,
    /// Number of the evidence
    evidence: u64,
}

#[derive(clap::Args)]
struct Activate {
    #[command(flatten)]
    terminal: Terminal,
    /// Serial number that the device says
    serial: String,
    /// Number of the challenge
    challenge: u64,
    /// Six digits
    code: String,
    /// Number of the evidence (activate) that another person filed, where no test was approved here or no keys are on
    /// record
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
}

impl std::fmt::Debug for Activate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Activate({:?})", self.terminal)
    }
}

#[derive(Debug, clap::Args)]
struct Repend {
    #[command(flatten)]
    terminal: Terminal,
    /// phone, account, device, location, dormant, identity or reconfirm, with commas between several
    #[arg(value_delimiter = ',')]
    reasons: Vec<String>,
    /// Why
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Spare {
    #[command(flatten)]
    terminal: Terminal,
    /// Why
    note: String,
    /// It is none any more
    #[arg(long)]
    ended: bool,
}

#[derive(Debug, clap::Args)]
struct Placed {
    #[command(flatten)]
    terminal: Terminal,
    /// The address, in one line
    address: String,
    /// Why it is another one, or who said so
    note: String,
}

#[derive(Debug, clap::Args)]
struct Clear {
    #[command(flatten)]
    terminal: Terminal,
    /// Which reason
    reason: String,
    /// Number of the evidence
    evidence: u64,
}

#[derive(Debug, clap::Args)]
struct NewAccount {
    #[command(flatten)]
    terminal: Terminal,
    /// Reference of a verified account of the same merchant; it takes the place of the terminal's account of its kind,
    /// or is added
    account: String,
    /// Why
    note: String,
}

#[derive(Debug, clap::Args)]
struct EndedAccount {
    #[command(flatten)]
    terminal: Terminal,
    /// Reference of one of the terminal's accounts, not its only one
    account: String,
    /// Why
    note: String,
}

/// Runs `posgate binding`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn binding(args: BindingArgs) -> anyhow::Result<ExitCode> {
    let noted = |action: &'static str| {
        move |asked: Noted| {
            let body = json!({ "action": action, "note": asked.note });
            Ok(asked.terminal.act(body))
        }
    };
    let networked = |action: &'static str| {
        move |asked: Networked| {
            let body = json!({ "action": action, "network": asked.network });
            Ok(asked.terminal.act(body))
        }
    };
    match args.verb {
        BindingVerb::Request(with) => with.run(|asked| {
            let body = json!({
                "acquirer": asked.terminal.acquirer, "terminal_id": asked.terminal.terminal,
                "merchant_id": asked.merchant, "account_id": asked.account, "serial": asked.serial,
                "other_account_ids": asked.others, "evidence": asked.evidence,
            });
            Ok(Ask::Make("/v1/bindings".into(), body))
        }),
        BindingVerb::Approve(with) => with.run(networked("approve")),
        BindingVerb::Reject(with) => with.run(noted("reject")),
        BindingVerb::Activate(with) => with.run(|asked| {
            let body = json!({
                "action": "activate", "serial": asked.serial, "challenge": asked.challenge,
                "code": asked.code, "evidence": asked.evidence,
            });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::Repend(with) => with.run(|asked| {
            let body = json!({ "action": "repend", "reasons": asked.reasons, "note": asked.note });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::Clear(with) => with.run(|asked| {
            let body = json!({
                "action": "clear", "reason": asked.reason, "evidence": asked.evidence,
            });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::Spare(with) => with.run(|asked| {
            let body = json!({ "action": "spare", "spare": !asked.ended, "note": asked.note });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::Place(with) => with.run(|asked| {
            let body = json!({ "action": "place", "address": asked.address, "note": asked.note });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::Suspend(with) => with.run(noted("suspend")),
        BindingVerb::Resume(with) => with.run(|asked| {
            let body = json!({ "action": "resume", "evidence": asked.evidence });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::RequestAccount(with) => with.run(|asked| {
            let body = json!({
                "action": "request-account", "account_id": asked.account, "note": asked.note,
            });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::RequestAccountEnd(with) => with.run(|asked| {
            let body = json!({
                "action": "request-account-end", "account_id": asked.account, "note": asked.note,
            });
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::ConfirmAccount(with) => with.run(|asked| {
            let mut body = json!({ "action": "confirm-account" });
            for (name, number) in [("challenge", asked.challenge), ("evidence", asked.evidence)] {
                if let Some(number) = number {
                    body[name] = number.into();
                }
            }
            Ok(asked.terminal.act(body))
        }),
        BindingVerb::ApproveAccount(with) => with.run(networked("approve-account")),
        BindingVerb::CancelAccount(with) => with.run(noted("cancel-account")),
        BindingVerb::History(with) => with.run(|terminal| Ok(Ask::See(terminal.path("history")))),
        BindingVerb::At(with) => with.run(|asked| {
            let path = asked.terminal.path("binding");
            Ok(Ask::See(format!("{path}?at={}", escaped(&asked.time))))
        }),
        BindingVerb::Show(with) => {
            with.run(|asked| Ok(Ask::See(format!("/v1/bindings/{}", asked.binding))))
        }
        BindingVerb::Changes(with) => {
            with.run(|asked| Ok(Ask::See(format!("/v1/bindings/{}/history", asked.binding))))
        }
        BindingVerb::Alerts(with) => with.run(|asked| Ok(Ask::See(asked.page.of("/v1/alerts")))),
    }
}

/// Restrictions beside a terminal's state.
#[derive(Debug, clap::Args)]
pub struct HoldArgs {
    #[command(subcommand)]
    verb: HoldVerb,
}

#[derive(Debug, clap::Subcommand)]
enum HoldVerb {
    /// List a terminal's holds
    List(With<Listed<Terminal>>),
    /// Hold something for a terminal; the merchant is told why and how to appeal
    Place(With<Place>),
    /// The merchant objects
    Appeal(With<Appealed>),
    /// End a hold that somebody else placed
    Lift(With<HoldNoted>),
}

#[derive(Debug, clap::Args)]
struct Place {
    #[command(flatten)]
    terminal: Terminal,
    /// acceptance, settlement, refund or download
    scope: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// What ends it
    #[arg(long)]
    remedy: String,
    /// What the merchant has to bring
    #[arg(long, default_value = "")]
    documents: String,
    /// Where and how to appeal
    #[arg(long)]
    appeal: String,
}

#[derive(Debug, clap::Args)]
struct Appealed {
    /// Number of the hold
    hold: u64,
    /// What the merchant says
    note: String,
    /// Number of a challenge (release-hold) that came back from a contact of the merchant
    #[arg(long)]
    challenge: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct HoldNoted {
    /// Number of the hold
    hold: u64,
    /// Why
    note: String,
}

/// Runs `posgate hold`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn hold(args: HoldArgs) -> anyhow::Result<ExitCode> {
    let noted = |verb: &'static str| {
        move |asked: HoldNoted| {
            let path = format!("/v1/holds/{}/{verb}", asked.hold);
            Ok(Ask::Make(path, json!({ "note": asked.note })))
        }
    };
    match args.verb {
        HoldVerb::List(with) => {
            with.run(|asked| Ok(Ask::See(asked.page.of(&asked.of.path("holds")))))
        }
        HoldVerb::Place(with) => with.run(|place| {
            let body = json!({
                "scope": place.scope, "reason": place.reason, "remedy": place.remedy,
                "documents": place.documents, "appeal": place.appeal,
            });
            Ok(Ask::Make(place.terminal.path("holds"), body))
        }),
        HoldVerb::Appeal(with) => with.run(|asked| {
            let mut body = json!({ "note": asked.note });
            if let Some(challenge) = asked.challenge {
                body["challenge"] = challenge.into();
            }
            Ok(Ask::Make(format!("/v1/holds/{}/appeal", asked.hold), body))
        }),
        HoldVerb::Lift(with) => with.run(noted("lift")),
    }
}

/// Devices: serial numbers, custody, check values of their keys.
#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    #[command(subcommand)]
    verb: DeviceVerb,
}

#[derive(Debug, clap::Subcommand)]
enum DeviceVerb {
    /// Put a device on the inventory
    Add(With<DeviceAdd>),
    /// An acquirer's devices
    List(With<Listed<DeviceList>>),
    /// Show a device
    Show(With<Device>),
    /// Say what happened to a device
    Event(With<DeviceEvent>),
    /// Say which keys were loaded, by their check values
    Keys(With<DeviceKeys>),
}

/// A device by its names.
#[derive(Debug, clap::Args)]
struct Device {
    /// Acquirer
    acquirer: String,
    /// Serial number
    serial: String,
}

impl Device {
    fn path(&self) -> String {
        let (acquirer, serial) = (escaped(&self.acquirer), escaped(&self.serial));
        format!("/v1/devices/{acquirer}/{serial}")
    }
}

#[derive(Debug, clap::Args)]
struct DeviceList {
    /// Acquirer
    acquirer: String,
    /// Only those in one state: stocked, reserved, deployed, in-repair, lost, wipe-pending, wiped, wipe-failed or retired
    #[arg(long)]
    state: Option<String>,
}

#[derive(Debug, clap::Args)]
struct DeviceAdd {
    #[command(flatten)]
    device: Device,
    /// Maker and model
    #[arg(long, default_value = "")]
    model: String,
    /// Who has it
    #[arg(long, default_value = "")]
    custody: String,
}

#[derive(Debug, clap::Args)]
struct DeviceEvent {
    #[command(flatten)]
    device: Device,
    /// reserve, release, deploy, repair, lose, find, order-wipe, wiped, wipe-failed, restock or retire; what came of the
    /// wipe that a case ordered is said there
    event: String,
    /// Who has it from now on
    #[arg(long, default_value = "")]
    custody: String,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, clap::Args)]
struct DeviceKeys {
    #[command(flatten)]
    device: Device,
    /// Name and check value of each key, as `tmk=A1B2C3`
    #[arg(required = true, value_name = "NAME=VALUE")]
    check_values: Vec<String>,
}

/// Runs `posgate device`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn device(args: DeviceArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        DeviceVerb::Add(with) => with.run(|add| {
            let body = json!({
                "serial": add.device.serial, "model": add.model, "custody": add.custody,
            });
            let path = format!("/v1/devices/{}", escaped(&add.device.acquirer));
            Ok(Ask::Make(path, body))
        }),
        DeviceVerb::List(with) => with.run(|asked| {
            let mut list = format!("/v1/devices/{}", escaped(&asked.of.acquirer));
            if let Some(state) = &asked.of.state {
                list = format!("{list}?state={}", escaped(state));
            }
            Ok(Ask::See(asked.page.of(&list)))
        }),
        DeviceVerb::Show(with) => with.run(|device| Ok(Ask::See(device.path()))),
        DeviceVerb::Event(with) => with.run(|asked| {
            let body = json!({
                "event": asked.event, "custody": asked.custody, "note": asked.note,
            });
            Ok(Ask::Do(format!("{}/events", asked.device.path()), body))
        }),
        DeviceVerb::Keys(with) => with.run(|asked| {
            let values = affairs::check_values(&asked.check_values)?;
            let body = json!({ "check_values": values });
            Ok(Ask::Make(format!("{}/keys", asked.device.path()), body))
        }),
    }
}
