//! What stands in an evidence bundle, member by member: what `evidence` fills and `/openapi.json` describes. A change here
//! changes the checksum of every bundle that is asked for again.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::transactions::Money;

/// Data elements by number, as `DE38`, in hexadecimal.
pub(super) type Elements = BTreeMap<String, String>;

/// The bundle of a transaction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceBundle)]
pub(super) struct Bundle {
    pub(super) content: Content,
    /// SHA-256 over the content in canonical form: keys sorted, no spaces
    pub(super) sha256: String,
}

/// All that is known of a transaction. Times are in UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceContent)]
pub(super) struct Content {
    /// What the document is
    pub(super) format: &'static str,
    /// Its number
    pub(super) transaction: u64,
    /// open, approved, declined, reversal-owed, reversed, repeat-owed, expired, parked or closed
    pub(super) state: &'static str,
    /// What was written before it was forwarded; null when the journal no longer has it
    pub(super) intent: Option<IntentShown>,
    pub(super) outcomes: Vec<OutcomeShown>,
    /// Steps of its reversal, which are among the outcomes too
    pub(super) reversal: Vec<ReversalShown>,
    pub(super) interventions: Vec<InterventionShown>,
    /// The binding that admitted it
    pub(super) binding: Option<BindingShown>,
    /// The code by which its payer confirmed it
    pub(super) payer_confirmation: Option<Confirmation>,
}

/// Where a record stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JournalPlace {
    pub(super) group: u64,
    /// Place in the group, from 0
    pub(super) record: usize,
    /// Checksum of the whole group, in hexadecimal
    pub(super) group_crc32c: String,
}

/// A request as it was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceIntent)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of its own to whoever reads the bundle"
)]
pub(super) struct IntentShown {
    pub(super) journal: JournalPlace,
    pub(super) at: String,
    /// Microseconds since 1970-01-01 UTC
    pub(super) at_us: u64,
    pub(super) acquirer: String,
    /// DE41
    pub(super) terminal_id: String,
    /// DE42
    pub(super) merchant_id: String,
    /// The acquirer's reference of the settlement account
    pub(super) account_id: String,
    /// Number of the binding
    pub(super) binding: u64,
    pub(super) binding_version: u32,
    /// Whether its settlement waits
    pub(super) held: bool,
    pub(super) kind: &'static str,
    /// What happens when it is not answered: reverse, repeat or expire
    pub(super) fate: &'static str,
    /// 1 in the merchant's favour, -1 against it, 0 neither
    pub(super) sign: i8,
    /// As the dialect calls it
    pub(super) request: String,
    pub(super) dialect: String,
    pub(super) batch: String,
    pub(super) stan: String,
    /// Group of links
    pub(super) upstream: String,
    pub(super) upstream_stan: String,
    pub(super) amount: Money,
    /// Masked
    pub(super) card: String,
    pub(super) card_number_sealed: bool,
    /// Some days after its end
    pub(super) card_number_erased: bool,
    pub(super) kept_for_reversal: Elements,
    pub(super) fields_sealed: bool,
    /// Bytes before the message, in hexadecimal
    pub(super) envelope: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceOutcome)]
pub(super) struct OutcomeShown {
    pub(super) journal: JournalPlace,
    pub(super) at: String,
    /// Microseconds since 1970-01-01 UTC
    pub(super) at_us: u64,
    pub(super) kind: &'static str,
    /// As in DE39; may be empty
    pub(super) code: String,
    pub(super) booked: Money,
    pub(super) kept_of_answer: Elements,
}

/// A step of its reversal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceReversal)]
pub(super) struct ReversalShown {
    pub(super) at: String,
    /// reversal-owed or reversed
    pub(super) step: &'static str,
    /// As in DE39; may be empty
    pub(super) code: String,
    pub(super) journal: JournalPlace,
}

/// What a person did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceIntervention)]
pub(super) struct InterventionShown {
    pub(super) journal: JournalPlace,
    pub(super) at: String,
    /// Microseconds since 1970-01-01 UTC
    pub(super) at_us: u64,
    /// resend or close
    pub(super) verb: &'static str,
    pub(super) name: String,
    pub(super) note: String,
}

/// A binding, and every change of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceBinding)]
pub(super) struct BindingShown {
    pub(super) binding: u64,
    /// The version that admitted the transaction
    pub(super) version: u32,
    /// Null when it is no longer kept
    pub(super) state_at_that_version: Option<&'static str>,
    pub(super) acquirer: String,
    /// DE41
    pub(super) terminal_id: String,
    /// Of the device; may be empty
    pub(super) serial: String,
    /// DE42
    pub(super) merchant_id: String,
    pub(super) merchant_name: String,
    pub(super) mcc: String,
    /// The acquirer's reference of the settlement account
    pub(super) account_id: String,
    pub(super) account_kind: String,
    /// Those of its other accounts; left out when it has none
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) other_account_ids: Vec<String>,
    pub(super) opened_at: String,
    /// Null while it is open
    pub(super) closed_at: Option<String>,
    pub(super) changes: Vec<BindingStep>,
}

/// A change of a binding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceBindingChange)]
pub(super) struct BindingStep {
    pub(super) version: u32,
    pub(super) at: String,
    pub(super) by: String,
    pub(super) state: &'static str,
    /// Why it is re-pending
    pub(super) reasons: Vec<&'static str>,
}

/// A payer's confirmation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceConfirmation)]
pub(super) struct Confirmation {
    /// Number of the challenge
    pub(super) challenge: u64,
    /// Number of the contact
    pub(super) contact: u64,
    /// Masked
    pub(super) sent_to: String,
    pub(super) approved_at: Option<String>,
}
