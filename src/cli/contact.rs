//! `posgate merchant`, `contact`, `challenge` and `evidence`: who the shops are and how they are reached.

use std::process::ExitCode;

use serde_json::json;

use super::affairs::{Ask, Everything, Listed, With};
use super::case::begins;
use crate::admin::escaped;
use crate::base::Timestamp;

/// Merchants.
#[derive(Debug, clap::Args)]
pub struct MerchantArgs {
    #[command(subcommand)]
    verb: MerchantVerb,
}

#[derive(Debug, clap::Subcommand)]
enum MerchantVerb {
    /// Show a merchant
    Show(With<Merchant>),
    /// List a merchant's terminals that are bound
    Terminals(With<Merchant>),
    /// Enter a merchant, or what is known of it by now
    Set(With<MerchantSet>),
}

/// A merchant by its names.
#[derive(Debug, clap::Args)]
struct Merchant {
    /// Acquirer
    acquirer: String,
    /// Merchant id (DE42)
    merchant: String,
}

impl Merchant {
    fn path(&self) -> String {
        let (acquirer, merchant) = (escaped(&self.acquirer), escaped(&self.merchant));
        format!("/v1/merchants/{acquirer}/{merchant}")
    }
}

#[derive(Debug, clap::Args)]
struct MerchantSet {
    #[command(flatten)]
    merchant: Merchant,
    /// Name
    #[arg(long, default_value = "")]
    name: String,
    /// Merchant category code, four digits
    #[arg(long, default_value = "")]
    mcc: String,
    /// enterprise, sole-trader, individual or institution
    #[arg(long)]
    kind: Option<String>,
    /// licence, identity-card or passport
    #[arg(long, requires = "identity")]
    identity_kind: Option<String>,
    /// Number of that document; it is kept sealed
    #[arg(long, requires = "identity_kind")]
    identity: Option<String>,
}

/// Runs `posgate merchant`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn merchant(args: MerchantArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        MerchantVerb::Show(with) => with.run(|merchant| Ok(Ask::See(merchant.path()))),
        MerchantVerb::Terminals(with) => {
            with.run(|merchant| Ok(Ask::See(format!("{}/terminals", merchant.path()))))
        }
        MerchantVerb::Set(with) => with.run(|set| {
            let body = json!({
                "name": set.name, "mcc": set.mcc, "kind": set.kind,
                "identity_kind": set.identity_kind, "identity": set.identity,
            });
            Ok(Ask::Put(set.merchant.path(), body))
        }),
    }
}

/// Phones and e-mail addresses of merchants.
#[derive(Debug, clap::Args)]
pub struct ContactArgs {
    #[command(subcommand)]
    verb: ContactVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ContactVerb {
    /// List a merchant's contacts, masked
    List(With<Listed<Merchant>>),
    /// Enter a contact; with --replaces, one that takes another's place once both agreed
    Add(With<ContactAdd>),
    /// Verify a contact by evidence, where no code can be sent
    Verify(With<ContactEvent>),
    /// Say, as another person than entered it, that a verified phone is the owner's: it speaks for the merchant
    Confirm(With<ContactConfirm>),
    /// Doubt a contact that was verified
    Suspect(With<ContactEvent>),
    /// Give a contact up
    Revoke(With<ContactEvent>),
    /// The holder of the contact that is to go agrees
    Consent(With<Consent>),
}

#[derive(Debug, clap::Args)]
struct ContactAdd {
    #[command(flatten)]
    merchant: Merchant,
    /// phone or email
    kind: String,
    /// owner, finance, operator, service or alert; payer for a customer who confirms payments by a code
    role: String,
    /// The number or address
    value: String,
    /// Number of the contact whose place it is to take
    #[arg(long, value_name = "NUMBER")]
    replaces: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct ContactEvent {
    /// Number of the contact
    contact: u64,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Number of the evidence that another person filed
    #[arg(long, value_name = "NUMBER")]
    evidence: Option<u64>,
    /// Also when it is the owner's last verified phone: the shop's terminals wait for another
    #[arg(long)]
    last_too: bool,
}

#[derive(Debug, clap::Args)]
struct ContactConfirm {
    /// Number of the contact
    contact: u64,
    /// What was seen
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Consent {
    /// Number of the new contact
    contact: u64,
    /// Number of the challenge that was approved
    #[arg(long, value_name = "NUMBER", required_unless_present = "evidence")]
    challenge: Option<u64>,
    /// Number of the evidence (replace-contact) that another person filed who saw the originals too
    #[arg(long, value_name = "NUMBER", conflicts_with = "challenge")]
    evidence: Option<u64>,
    /// When it is to take effect at the earliest, as 2026-11-30T20:00 (local) or 2026-11-30T20:00:00+08:00, at most 90
    /// days ahead; as soon as it may if not said
    #[arg(long, value_name = "TIME", value_parser = begins)]
    at: Option<Timestamp>,
}

/// Runs `posgate contact`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn contact(args: ContactArgs) -> anyhow::Result<ExitCode> {
    let happens = |event: &'static str| {
        move |asked: ContactEvent| {
            let body = json!({
                "event": event, "note": asked.note, "evidence": asked.evidence,
                "last_too": asked.last_too,
            });
            Ok(Ask::Do(
                format!("/v1/contacts/{}/events", asked.contact),
                body,
            ))
        }
    };
    match args.verb {
        ContactVerb::List(with) => with.run(|asked| {
            let contacts = format!("{}/contacts", asked.of.path());
            Ok(Ask::See(asked.page.of(&contacts)))
        }),
        ContactVerb::Add(with) => with.run(|add| {
            let body = json!({
                "kind": add.kind, "role": add.role, "value": add.value, "replaces": add.replaces,
            });
            Ok(Ask::Make(format!("{}/contacts", add.merchant.path()), body))
        }),
        ContactVerb::Verify(with) => with.run(happens("verify")),
        ContactVerb::Confirm(with) => with.run(|asked| {
            let body = json!({ "event": "confirm", "note": asked.note });
            let path = format!("/v1/contacts/{}/events", asked.contact);
            Ok(Ask::Do(path, body))
        }),
        ContactVerb::Suspect(with) => with.run(happens("suspect")),
        ContactVerb::Revoke(with) => with.run(happens("revoke")),
        ContactVerb::Consent(with) => with.run(|asked| {
            let body = json!({
                "challenge": asked.challenge, "evidence": asked.evidence,
                "effective_at_us": asked.at.map(|at| at.0),
            });
            let path = format!("/v1/contacts/{}/consent", asked.contact);
            Ok(Ask::Do(path, body))
        }),
    }
}

/// Codes that are sent to contacts.
#[derive(Debug, clap::Args)]
pub struct ChallengeArgs {
    #[command(subcommand)]
    verb: ChallengeVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ChallengeVerb {
    /// Send a code; a newer one voids the older ones for the same
    Send(With<Send>),
    /// Show a challenge, without its code
    Show(With<Challenge>),
    /// Check the code that came back
    Check(With<Check>),
    /// Give up a challenge
    Cancel(With<Challenge>),
    /// Say what became of a message with a code, as its carrier reports it
    Receipt(With<Receipt>),
}

#[derive(Debug, clap::Args)]
struct Receipt {
    /// Number that the message was handed over with (posgate-id)
    id: u64,
    /// What became of it
    #[arg(value_enum)]
    became: Became,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Became {
    /// It arrived
    Arrived,
    /// It will never arrive
    Bounced,
}

#[derive(Debug, clap::Args)]
struct Send {
    /// Number of the contact
    contact: u64,
    /// bind, verify-contact, change-phone-old, change-phone-new, change-account, unbind, replace, release-hold or
    /// payer-confirm
    purpose: String,
    /// Number of the binding, case or new contact that it is for; 0 for the contact itself
    #[arg(default_value_t = 0)]
    subject: u64,
    #[command(flatten)]
    payment: Payment,
    /// Where the person who asks for it is
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    asked_from: String,
}

/// The payment that its payer confirms.
#[derive(Debug, clap::Args)]
struct Payment {
    /// Trace number (DE11) that the terminal will send the payment under; for payer-confirm
    #[arg(long, requires = "amount", value_name = "NUMBER")]
    stan: Option<u32>,
    /// Its amount, in the currency's smallest unit
    #[arg(long, requires = "stan", value_name = "MINOR")]
    amount: Option<u64>,
    /// Its currency, as in DE49
    #[arg(long, default_value = "156", value_name = "DIGITS")]
    currency: String,
}

impl Payment {
    fn body(&self) -> Option<serde_json::Value> {
        let (stan, amount) = self.stan.zip(self.amount)?;
        Some(json!({ "stan": stan, "amount": amount, "currency": self.currency }))
    }
}

#[derive(Debug, clap::Args)]
struct Challenge {
    /// Number of the challenge
    challenge: u64,
}

#[derive(clap::Args)]
struct Check {
    /// Number of the challenge
    challenge: u64,
    /// What it is offered for
    purpose: String,
    /// Six digits
    code: String,
    /// Number of the binding, case or new contact that it is for; 0 for the contact itself
    #[arg(default_value_t = 0)]
    subject: u64,
    #[command(flatten)]
    payment: Payment,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.challenge)
    }
}

/// Runs `posgate challenge`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn challenge(args: ChallengeArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        ChallengeVerb::Send(with) => with.run(|send| {
            let body = json!({
                "contact": send.contact, "purpose": send.purpose, "subject": send.subject,
                "payment": send.payment.body(), "asked_from": send.asked_from,
            });
            Ok(Ask::Make("/v1/challenges".into(), body))
        }),
        ChallengeVerb::Show(with) => {
            with.run(|asked| Ok(Ask::See(format!("/v1/challenges/{}", asked.challenge))))
        }
        ChallengeVerb::Check(with) => with.run(|check| {
            let body = json!({
                "code": check.code, "purpose": check.purpose, "subject": check.subject,
                "payment": check.payment.body(),
            });
            let path = format!("/v1/challenges/{}/check", check.challenge);
            Ok(Ask::Make(path, body))
        }),
        ChallengeVerb::Cancel(with) => with.run(|asked| {
            let path = format!("/v1/challenges/{}/cancel", asked.challenge);
            Ok(Ask::Make(path, json!({})))
        }),
        ChallengeVerb::Receipt(with) => with.run(|said| {
            let body = json!({ "id": said.id, "arrived": said.became == Became::Arrived });
            Ok(Ask::Make("/v1/receipts".to_owned(), body))
        }),
    }
}

/// Evidence that one person files for another to act on.
#[derive(Debug, clap::Args)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    verb: EvidenceVerb,
}

#[derive(Debug, clap::Subcommand)]
enum EvidenceVerb {
    /// List what was filed and waits for another person to act on it
    List(With<Listed<Everything>>),
    /// File what shows that something may be done
    File(With<Evidence>),
    /// Take evidence back, or refuse what another person filed
    Refuse(With<EvidenceRefuse>),
}

#[derive(Debug, clap::Args)]
struct EvidenceRefuse {
    /// Number of the evidence
    evidence: u64,
    /// Why
    #[arg(long)]
    note: String,
}

#[derive(Debug, clap::Args)]
struct Evidence {
    /// `terminal ACQUIRER/ID`, `account ACQUIRER/REFERENCE`, `merchant ACQUIRER/ID`, `contact NUMBER` or `case NUMBER`
    about: String,
    /// verify-account, unfreeze-account, verify-contact, resume, force-drain, reuse-terminal, raise-limit,
    /// release-suspense, change-account, replace-contact, prove-identity, activate or clear-REASON
    allows: String,
    /// What it is
    note: String,
    /// SHA-256 of a file
    #[arg(long, default_value = "")]
    sha256: String,
}

/// Runs `posgate evidence`.
///
/// # Errors
/// What the gateway refuses, with what to do.
pub fn evidence(args: EvidenceArgs) -> anyhow::Result<ExitCode> {
    match args.verb {
        EvidenceVerb::List(with) => with.run(|asked| Ok(Ask::See(asked.page.of("/v1/evidence")))),
        EvidenceVerb::File(with) => with.run(|filed| {
            let body = json!({
                "about": filed.about, "allows": filed.allows, "note": filed.note, "sha256": filed.sha256,
            });
            Ok(Ask::Make("/v1/evidence".into(), body))
        }),
        EvidenceVerb::Refuse(with) => with.run(|refused| {
            let path = format!("/v1/evidence/{}/refuse", refused.evidence);
            Ok(Ask::Make(path, json!({ "note": refused.note })))
        }),
    }
}
