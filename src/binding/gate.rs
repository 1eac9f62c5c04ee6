//! The gate: may this terminal do this, now? One pure function, decided once per request, before
//! anything is journalled or forwarded.
//!
//! Order of checks (the caller has done format and MAC): terminal known, merchant number, state, holds,
//! settlement account; device; and for what turns out to be new, the [limits](super::limit). Reversals
//! branch off first: they pass in every state and for closed bindings, because a terminal clears its stored
//! reversal only on 00, 12 or 25 and wedges otherwise.
//!
//! No answer of the gate is ever a code on which a shop keeps the customer's card.

use super::account::AccountKind;
use super::device::SerialPrint;
use super::directory::Admission;
use super::hold::{HoldScope, HoldSet};
use super::limit::LimitKind;
use super::state::{AccountStatus, BindingState, ReasonSet, RependReason};
use crate::base::{MerchantId, PayoutPart, RequestType};

/// Why the gate declines. A dialect gives each the code it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeclineReason {
    /// No binding was ever made for the terminal id at this acquirer.
    UnknownTerminal,
    /// The binding is closed.
    Unbound,
    /// The request carries another merchant's number, or none.
    WrongMerchant,
    /// The binding's state does not allow the request; the state says which.
    State(BindingState),
    /// The settlement account cannot take money; the status says why.
    Account(AccountStatus),
    /// The binding has no account for what it is paid with.
    NoAccount(NoAccount),
    /// A hold stops it; the scope says which.
    Held(HoldScope),
    /// The message names another device than is bound, or none where it has to.
    OtherDevice,
    /// It does not fit a limit; the kind says which.
    OverLimit(LimitKind),
    /// The store could not say. Money fails closed.
    CannotDecide,
}

impl DeclineReason {
    /// Name for metrics, logs and summaries: a bounded set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownTerminal => "unknown-terminal",
            Self::Unbound => "unbound",
            Self::WrongMerchant => "wrong-merchant",
            Self::State(BindingState::Pending) => "pending",
            Self::State(BindingState::Activating) => "activating",
            Self::State(BindingState::Active) => "active",
            Self::State(BindingState::RePending) => "re-pending",
            Self::State(BindingState::Suspended) => "suspended",
            Self::State(BindingState::Unbinding) => "unbinding",
            Self::State(BindingState::Unbound) => "unbound",
            Self::Account(AccountStatus::Unverified) => "account-unverified",
            Self::Account(AccountStatus::Verified) => "account-verified",
            Self::Account(AccountStatus::Invalid) => "account-invalid",
            Self::Account(AccountStatus::Frozen) => "account-frozen",
            Self::Account(AccountStatus::Closed) => "account-closed",
            Self::NoAccount(NoAccount::Of(AccountKind::BankCard)) => "no-bank-card-account",
            Self::NoAccount(NoAccount::Of(AccountKind::WeChat)) => "no-wechat-account",
            Self::NoAccount(NoAccount::Of(AccountKind::Alipay)) => "no-alipay-account",
            Self::NoAccount(NoAccount::UnknownMeans) => "unknown-means",
            Self::Held(HoldScope::Acceptance) => "hold-acceptance",
            Self::Held(HoldScope::Settlement) => "hold-settlement",
            Self::Held(HoldScope::Refund) => "hold-refund",
            Self::Held(HoldScope::Download) => "hold-download",
            Self::OtherDevice => "other-device",
            Self::OverLimit(kind) => kind.name(),
            Self::CannotDecide => "cannot-decide",
        }
    }
}

/// Why a binding has no account that gets what is paid so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoAccount {
    /// It has none of this kind.
    Of(AccountKind),
    /// The message names a means of payment that its dialect does not list.
    UnknownMeans,
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Process it under this binding. `held`: its payout waits until the binding is verified again, and nothing
    /// holds it.
    Pass {
        /// The binding as it was at this moment; the transaction keeps it for good.
        admission: Admission,
        /// Whether the money is held.
        held: bool,
    },
    /// Answer with this reason's code, forward nothing.
    Decline(DeclineReason),
}

/// The most that a device may sell while it is tested, in the smallest unit of the currency.
pub const TEST_AMOUNT_MAX: u64 = 1;

/// A request as far as the gate looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it asks for.
    pub kind: RequestType,
    /// DE42 as received.
    pub merchant: Option<MerchantId>,
    /// DE4 in the smallest unit, where it has one.
    pub amount: Option<u64>,
}

/// Decides one request.
///
/// `found` is the terminal's binding, open or closed, from the directory: `Err(())` when the directory
/// could not be trusted to answer. `account` is the status of the
/// settlement account that what is paid so belongs to, or why the binding has none.
#[must_use]
pub fn decide(
    found: Result<Option<Admission>, Undecidable>,
    account: Result<AccountStatus, NoAccount>,
    asked: Asked,
) -> Decision {
    let Asked {
        kind,
        merchant,
        amount,
    } = asked;
    let admission = match found {
        Ok(Some(admission)) => admission,
        Ok(None) => return Decision::Decline(DeclineReason::UnknownTerminal),
        Err(Undecidable) => return Decision::Decline(DeclineReason::CannotDecide),
    };
    if kind == RequestType::Reversal {
        return Decision::Pass {
            admission,
            held: false,
        };
    }
    if admission.state == BindingState::Unbound {
        return Decision::Decline(DeclineReason::Unbound);
    }
    // Line tests and downloads of some terminals carry no DE42; what carries one must carry the right one.
    let merchant_agrees = match merchant {
        Some(merchant) => merchant == admission.merchant,
        None => !needs_merchant(kind),
    };
    if !merchant_agrees {
        return Decision::Decline(DeclineReason::WrongMerchant);
    }
    let held = match by_state(kind, admission.state, admission.reasons) {
        Verdict::Test if amount.is_none_or(|amount| amount > TEST_AMOUNT_MAX) => {
            return Decision::Decline(DeclineReason::State(admission.state));
        }
        // What is tested is nobody's payout.
        Verdict::Test => true,
        Verdict::Process => false,
        Verdict::Hold => true,
        Verdict::Refuse => return Decision::Decline(DeclineReason::State(admission.state)),
    };
    let held = match by_holds(kind, admission) {
        Ok(by_hold) => held || by_hold,
        Err(scope) => return Decision::Decline(DeclineReason::Held(scope)),
    };
    let account = match account {
        Ok(account) if account.is_usable() => return Decision::Pass { admission, held },
        Ok(account) => account,
        // Money that nobody's account would get is not taken. What undoes something belongs to the account of
        // what it undoes.
        Err(none) if needs_account(kind) => {
            return Decision::Decline(DeclineReason::NoAccount(none));
        }
        Err(_) => return Decision::Pass { admission, held },
    };
    // An account that cannot take money makes every binding on it wait for re-verification of the
    // account, from the moment its status changes and without touching the bindings one by one.
    let (state, reasons) = match admission.state {
        BindingState::Active => (BindingState::RePending, ReasonSet::EMPTY),
        other => (other, admission.reasons),
    };
    match by_state(kind, state, reasons.with(RependReason::Account)) {
        // Whether the account can be paid is asked again when it is to be paid.
        Verdict::Process | Verdict::Hold => Decision::Pass { admission, held },
        // A test of new money wants an account as any other does.
        Verdict::Test | Verdict::Refuse => Decision::Decline(DeclineReason::Account(account)),
    }
}

/// What holds make of a request: whether its settlement is held, or which scope stops it. A hold on acceptance
/// stops what a suspension stops.
fn by_holds(kind: RequestType, admission: Admission) -> Result<bool, HoldScope> {
    let holds = admission.holds;
    if holds.is_empty() {
        return Ok(false);
    }
    let suspended = by_state(kind, BindingState::Suspended, ReasonSet::EMPTY);
    if holds.contains(HoldScope::Acceptance) {
        match suspended {
            // Downloads have a hold of their own.
            Verdict::Refuse if kind != RequestType::Download => return Err(HoldScope::Acceptance),
            Verdict::Process | Verdict::Hold | Verdict::Test | Verdict::Refuse => {}
        }
    }
    if holds.contains(HoldScope::Refund) && kind == RequestType::Refund {
        return Err(HoldScope::Refund);
    }
    if holds.contains(HoldScope::Download) && kind == RequestType::Download {
        return Err(HoldScope::Download);
    }
    Ok(holds.contains(HoldScope::Settlement) && kind.payout() == PayoutPart::Adds)
}

/// What a listener makes of the serial number that a message names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SerialRule {
    /// Nothing: it is not even looked for. Serial numbers that people imported may be written otherwise than
    /// terminals write theirs, and then every one of them would raise alerts.
    #[default]
    Ignore,
    /// Another device raises an alert, and trades.
    Watch,
    /// Another device takes no new money.
    Check,
    /// Nor does one that does not say which it is, where a device is bound.
    Require,
}

/// What the device says about a request that the gate let pass: only new money is stopped, and never anything that
/// undoes or ends something, because terminals name their device in sales only.
///
/// # Errors
/// Why it is declined.
pub const fn check_device(
    rule: SerialRule,
    kind: RequestType,
    bound: SerialPrint,
    said: SerialPrint,
) -> Result<(), DeclineReason> {
    let missing = said.is_none() && !bound.is_none();
    let stops = match rule {
        SerialRule::Ignore | SerialRule::Watch => false,
        SerialRule::Check => !bound.agrees(said),
        SerialRule::Require => missing || !bound.agrees(said),
    };
    if stops && matches!(kind, RequestType::NewMoney) {
        return Err(DeclineReason::OtherDevice);
    }
    Ok(())
}

/// The directory cannot be trusted: not loaded yet, or cut off from its store for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecidable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Process,
    Hold,
    /// For the smallest amount only, and held.
    Test,
    Refuse,
}

/// The table of state × request type. `UNBOUND` never gets here.
fn by_state(kind: RequestType, state: BindingState, reasons: ReasonSet) -> Verdict {
    use Verdict::{Hold, Process, Refuse, Test};
    match (kind, state) {
        // A line test tells nothing and moves nothing; a reversal was let through before.
        (RequestType::Echo | RequestType::Reversal, _) => Process,
        (_, BindingState::Unbound) => Refuse,
        (_, BindingState::Active) => Process,

        (
            RequestType::SignOn | RequestType::SignOff | RequestType::CodeEntry,
            BindingState::Pending,
        ) => Refuse,
        // Re-pending terminals sign on again after a MAC error, and need to for their reversals;
        // suspended and unbinding ones to drain. A code may be what they wait for.
        (RequestType::SignOn | RequestType::SignOff | RequestType::CodeEntry, _) => Process,

        (RequestType::Download, BindingState::Activating) => Process,
        (RequestType::Download, BindingState::RePending) => {
            if reasons.contains(RependReason::Device) {
                Refuse
            } else {
                Process
            }
        }
        (RequestType::Download, _) => Refuse,

        // A device that is not active yet is tested with a sale and its void, a reversal, a QR payment and its query.
        (RequestType::NewMoney, BindingState::Activating) => Test,
        (RequestType::Enquiry | RequestType::NewMoney | RequestType::Refund, _) => Refuse,

        (RequestType::Completion, BindingState::RePending) => {
            let redirects = reasons.contains(RependReason::Account)
                || reasons.contains(RependReason::Device)
                || reasons.contains(RependReason::Identity);
            if redirects { Refuse } else { Hold }
        }
        (RequestType::Completion, BindingState::Unbinding) => Hold,
        (RequestType::Completion, _) => Refuse,

        (RequestType::Void, BindingState::Pending) => Refuse,
        // Of what was tested, which is held too.
        (RequestType::Void, BindingState::Activating) => Hold,
        (RequestType::Void, _) => Process,

        (RequestType::QrQuery | RequestType::Trailer, BindingState::Pending) => Refuse,
        (RequestType::QrQuery | RequestType::Trailer, _) => Process,

        (RequestType::Advice, BindingState::Pending | BindingState::Activating) => Refuse,
        (RequestType::Advice, _) => Hold,

        (RequestType::Settlement, BindingState::Pending | BindingState::Activating) => Refuse,
        (RequestType::Settlement, _) => Process,
    }
}

/// Whether it is declined where the binding has no account for it.
const fn needs_account(kind: RequestType) -> bool {
    match kind {
        RequestType::Enquiry
        | RequestType::NewMoney
        | RequestType::Completion
        | RequestType::Refund
        | RequestType::Advice => true,
        RequestType::Echo
        | RequestType::SignOn
        | RequestType::SignOff
        | RequestType::CodeEntry
        | RequestType::Download
        | RequestType::Void
        | RequestType::Reversal
        | RequestType::QrQuery
        | RequestType::Settlement
        | RequestType::Trailer => false,
    }
}

/// Whether staff, two of them, may give back money that was taken under a binding: also where the terminal itself may not,
/// because it waits for evidence, drains, or is gone; not where it is suspended, or held.
///
/// # Errors
/// Why not.
pub fn staff_may_refund(state: BindingState, holds: HoldSet) -> Result<(), DeclineReason> {
    match state {
        BindingState::Active | BindingState::RePending | BindingState::Unbinding => {}
        // What is held of a closed binding is no more in its admission once it is lifted; whoever agrees looks.
        BindingState::Unbound => return Ok(()),
        BindingState::Pending | BindingState::Activating | BindingState::Suspended => {
            return Err(DeclineReason::State(state));
        }
    }
    for scope in [HoldScope::Acceptance, HoldScope::Refund] {
        if holds.contains(scope) {
            return Err(DeclineReason::Held(scope));
        }
    }
    Ok(())
}

const fn needs_merchant(kind: RequestType) -> bool {
    match kind {
        RequestType::Echo | RequestType::Download | RequestType::SignOff => false,
        RequestType::SignOn
        | RequestType::CodeEntry
        | RequestType::Enquiry
        | RequestType::NewMoney
        | RequestType::Completion
        | RequestType::Void
        | RequestType::Refund
        | RequestType::Reversal
        | RequestType::QrQuery
        | RequestType::Advice
        | RequestType::Settlement
        | RequestType::Trailer => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AccountId, BindingId};
    use crate::binding::account::Accounts;
    use crate::binding::device::SerialPrint;
    use crate::binding::hold::HoldSet;

    #[test]
    fn staff_refund_where_the_terminal_may_not_but_not_what_is_suspended_or_held() {
        let none = HoldSet::EMPTY;
        for state in BindingState::ALL {
            let may = matches!(
                state,
                BindingState::Active
                    | BindingState::RePending
                    | BindingState::Unbinding
                    | BindingState::Unbound
            );
            assert_eq!(staff_may_refund(*state, none).is_ok(), may, "{state}");
        }
        for (scope, may) in [
            (HoldScope::Acceptance, false),
            (HoldScope::Refund, false),
            (HoldScope::Settlement, true),
            (HoldScope::Download, true),
        ] {
            let found = staff_may_refund(BindingState::Active, none.with(scope));
            assert_eq!(found.is_ok(), may, "{scope}");
        }
    }

    const SHOP: &str = "104512541110001";

    fn admission(state: BindingState, reasons: ReasonSet) -> Admission {
        Admission {
            binding: BindingId(7),
            version: 1,
            accounts: Accounts::one(AccountKind::BankCard, AccountId(3)),
            merchant: MerchantId::parse(SHOP).unwrap(),
            state,
            reasons,
            holds: HoldSet::EMPTY,
            device: SerialPrint::NONE,
        }
    }

    /// Requests without an amount.
    fn decide(
        found: Result<Option<Admission>, Undecidable>,
        account: Result<AccountStatus, NoAccount>,
        kind: RequestType,
        merchant: Option<MerchantId>,
    ) -> Decision {
        let amount = None;
        let asked = Asked {
            kind,
            merchant,
            amount,
        };
        super::decide(found, account, asked)
    }

    #[test]
    fn a_device_is_tested_with_the_smallest_amount_and_nobody_is_paid_for_it() {
        let shop = MerchantId::parse(SHOP).ok();
        let sale = |state, account, amount| {
            let asked = Asked {
                kind: RequestType::NewMoney,
                merchant: shop,
                amount,
            };
            let found = Ok(Some(admission(state, ReasonSet::EMPTY)));
            super::decide(found, account, asked)
        };
        let verified = Ok(AccountStatus::Verified);
        let tested = sale(BindingState::Activating, verified, Some(TEST_AMOUNT_MAX));
        assert!(matches!(tested, Decision::Pass { held: true, .. }));
        for more in [Some(TEST_AMOUNT_MAX + 1), None] {
            let refused = Decision::Decline(DeclineReason::State(BindingState::Activating));
            assert_eq!(sale(BindingState::Activating, verified, more), refused);
        }
        let frozen = Ok(AccountStatus::Frozen);
        let refused = Decision::Decline(DeclineReason::Account(AccountStatus::Frozen));
        assert_eq!(
            sale(BindingState::Activating, frozen, Some(TEST_AMOUNT_MAX)),
            refused
        );
        for state in [
            BindingState::Pending,
            BindingState::RePending,
            BindingState::Suspended,
            BindingState::Unbinding,
        ] {
            let refused = Decision::Decline(DeclineReason::State(state));
            assert_eq!(sale(state, verified, Some(TEST_AMOUNT_MAX)), refused);
        }
    }

    /// One letter a cell: `p` process, `h` hold, `x` refuse by state, `u` refuse as unbound.
    fn cell(kind: RequestType, state: BindingState, reasons: ReasonSet) -> char {
        let found = Ok(Some(admission(state, reasons)));
        let shop = MerchantId::parse(SHOP).ok();
        match decide(found, Ok(AccountStatus::Verified), kind, shop) {
            Decision::Pass { held: false, .. } => 'p',
            Decision::Pass { held: true, .. } => 'h',
            Decision::Decline(DeclineReason::State(s)) if s == state => 'x',
            Decision::Decline(DeclineReason::Unbound) => 'u',
            Decision::Decline(other) => panic!("{kind:?} in {state:?}: {other:?}"),
        }
    }

    #[test]
    fn every_state_and_request_type_is_decided_as_the_table_says() {
        // Columns: pending, activating, active, re-pending (phone), suspended, unbinding, unbound.
        let table = [
            (RequestType::Echo, "ppppppu"),
            (RequestType::SignOn, "xpppppu"),
            (RequestType::SignOff, "xpppppu"),
            (RequestType::CodeEntry, "xpppppu"),
            (RequestType::Download, "xpppxxu"),
            (RequestType::Enquiry, "xxpxxxu"),
            (RequestType::NewMoney, "xxpxxxu"),
            (RequestType::Completion, "xxphxhu"),
            (RequestType::Void, "xhppppu"),
            (RequestType::Refund, "xxpxxxu"),
            (RequestType::Reversal, "ppppppp"),
            (RequestType::QrQuery, "xpppppu"),
            (RequestType::Advice, "xxphhhu"),
            (RequestType::Settlement, "xxppppu"),
            (RequestType::Trailer, "xpppppu"),
        ];
        assert_eq!(table.len(), RequestType::ALL.len());
        for (kind, want) in table {
            let got: String = BindingState::ALL
                .iter()
                .map(|state| {
                    let reasons = if *state == BindingState::RePending {
                        ReasonSet::EMPTY.with(RependReason::Phone)
                    } else {
                        ReasonSet::EMPTY
                    };
                    cell(kind, *state, reasons)
                })
                .collect();
            assert_eq!(got, want, "{kind:?}");
        }
    }

    #[test]
    fn the_reason_decides_completions_and_downloads_of_re_pending_bindings() {
        for (reason, completion, download) in [
            (RependReason::Phone, 'h', 'p'),
            (RependReason::Dormant, 'h', 'p'),
            (RependReason::Location, 'h', 'p'),
            (RependReason::Reconfirm, 'h', 'p'),
            (RependReason::Account, 'x', 'p'),
            (RependReason::Identity, 'x', 'p'),
            (RependReason::Device, 'x', 'x'),
        ] {
            let reasons = ReasonSet::EMPTY.with(reason);
            let state = BindingState::RePending;
            assert_eq!(
                cell(RequestType::Completion, state, reasons),
                completion,
                "{reason}"
            );
            assert_eq!(
                cell(RequestType::Download, state, reasons),
                download,
                "{reason}"
            );
        }
    }

    #[test]
    fn another_shops_number_is_declined_and_never_for_reversals() {
        let active = admission(BindingState::Active, ReasonSet::EMPTY);
        let other = MerchantId::parse("999999999999999").ok();
        for kind in RequestType::ALL {
            let decision = decide(Ok(Some(active)), Ok(AccountStatus::Verified), kind, other);
            if kind == RequestType::Reversal {
                assert!(matches!(decision, Decision::Pass { .. }));
            } else {
                assert_eq!(
                    decision,
                    Decision::Decline(DeclineReason::WrongMerchant),
                    "{kind:?}"
                );
            }
        }
        let without = decide(
            Ok(Some(active)),
            Ok(AccountStatus::Verified),
            RequestType::NewMoney,
            None,
        );
        assert_eq!(without, Decision::Decline(DeclineReason::WrongMerchant));
    }

    #[test]
    fn the_merchant_number_is_checked_before_the_state() {
        let suspended = admission(BindingState::Suspended, ReasonSet::EMPTY);
        let other = MerchantId::parse("999999999999999").ok();
        let decision = decide(
            Ok(Some(suspended)),
            Ok(AccountStatus::Verified),
            RequestType::NewMoney,
            other,
        );
        assert_eq!(decision, Decision::Decline(DeclineReason::WrongMerchant));
    }

    #[test]
    fn an_account_that_cannot_take_money_counts_as_re_pending_for_the_account() {
        let shop = MerchantId::parse(SHOP).ok();
        let reasons = ReasonSet::EMPTY.with(RependReason::Account);
        for status in AccountStatus::ALL {
            for kind in RequestType::ALL {
                let active = admission(BindingState::Active, ReasonSet::EMPTY);
                let waiting = admission(BindingState::RePending, reasons);
                let on_account = decide(Ok(Some(active)), Ok(*status), kind, shop);
                let want = match decide(Ok(Some(waiting)), Ok(AccountStatus::Verified), kind, shop)
                {
                    _ if *status == AccountStatus::Verified => Decision::Pass {
                        admission: active,
                        held: false,
                    },
                    // What such an account has coming is not paid in any case.
                    Decision::Pass { .. } => Decision::Pass {
                        admission: active,
                        held: false,
                    },
                    Decision::Decline(_) => Decision::Decline(DeclineReason::Account(*status)),
                };
                assert_eq!(on_account, want, "{status} {kind:?}");
            }
        }
        let sale = decide(
            Ok(Some(admission(BindingState::Active, ReasonSet::EMPTY))),
            Ok(AccountStatus::Frozen),
            RequestType::NewMoney,
            shop,
        );
        assert_eq!(
            sale,
            Decision::Decline(DeclineReason::Account(AccountStatus::Frozen))
        );
    }

    /// Every state first: what is declined for its state is declined so whatever it is paid with.
    #[test]
    fn what_no_account_gets_is_not_taken_and_what_undoes_passes() {
        let shop = MerchantId::parse(SHOP).ok();
        let none = NoAccount::Of(AccountKind::WeChat);
        for kind in RequestType::ALL {
            for state in BindingState::ALL {
                let reasons = if *state == BindingState::RePending {
                    ReasonSet::EMPTY.with(RependReason::Phone)
                } else {
                    ReasonSet::EMPTY
                };
                let found = Ok(Some(admission(*state, reasons)));
                let with = decide(found, Ok(AccountStatus::Verified), kind, shop);
                let without = decide(found, Err(none), kind, shop);
                let money = matches!(
                    kind,
                    RequestType::Enquiry
                        | RequestType::NewMoney
                        | RequestType::Completion
                        | RequestType::Refund
                        | RequestType::Advice
                );
                if money && matches!(with, Decision::Pass { .. }) {
                    let declined = Decision::Decline(DeclineReason::NoAccount(none));
                    assert_eq!(without, declined, "{kind:?} {state}");
                } else {
                    assert_eq!(without, with, "{kind:?} {state}");
                }
            }
        }
    }

    #[test]
    fn a_hold_stops_its_scope_and_nothing_else() {
        let shop = MerchantId::parse(SHOP).ok();
        // `p` process, `h` settlement held, `x` stopped. Columns: acceptance, settlement, refund, download.
        let table = [
            (RequestType::Echo, "pppp"),
            (RequestType::SignOn, "pppp"),
            (RequestType::SignOff, "pppp"),
            (RequestType::CodeEntry, "pppp"),
            (RequestType::Download, "pppx"),
            (RequestType::Enquiry, "xppp"),
            (RequestType::NewMoney, "xhpp"),
            (RequestType::Completion, "xhpp"),
            (RequestType::Void, "pppp"),
            (RequestType::Refund, "xpxp"),
            (RequestType::Reversal, "pppp"),
            (RequestType::QrQuery, "pppp"),
            (RequestType::Advice, "phpp"),
            (RequestType::Settlement, "pppp"),
            (RequestType::Trailer, "pppp"),
        ];
        assert_eq!(table.len(), RequestType::ALL.len());
        for (kind, want) in table {
            let got: String = HoldScope::ALL
                .iter()
                .map(|scope| {
                    let held = Admission {
                        holds: HoldSet::EMPTY.with(*scope),
                        ..admission(BindingState::Active, ReasonSet::EMPTY)
                    };
                    match decide(Ok(Some(held)), Ok(AccountStatus::Verified), kind, shop) {
                        Decision::Pass { held: false, .. } => 'p',
                        Decision::Pass { held: true, .. } => 'h',
                        Decision::Decline(DeclineReason::Held(by)) if by == *scope => 'x',
                        Decision::Decline(other) => panic!("{kind:?}: {other:?}"),
                    }
                })
                .collect();
            assert_eq!(got, want, "{kind:?}");
        }
    }

    /// bindings test 3: a reversal does not name its device, and is taken; a sale that has to, and does not, is not.
    #[test]
    fn t03_only_new_money_depends_on_the_device_that_a_message_names() {
        use SerialRule::{Check, Ignore, Require, Watch};
        let (own, other, none) = (
            SerialPrint::of(b"SN-1"),
            SerialPrint::of(b"SN-2"),
            SerialPrint::NONE,
        );
        // By rule: own device, another one, none said, none bound.
        for (rule, expect) in [
            (Ignore, [true, true, true, true]),
            (Watch, [true, true, true, true]),
            (Check, [true, false, true, true]),
            (Require, [true, false, false, true]),
        ] {
            for kind in RequestType::ALL {
                let pairs = [(own, own), (own, other), (own, none), (none, other)];
                let got = pairs.map(|(bound, said)| check_device(rule, kind, bound, said).is_ok());
                let always = kind != RequestType::NewMoney;
                assert_eq!(
                    got,
                    expect.map(|passes| passes || always),
                    "{rule:?} {kind:?}"
                );
            }
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let mut reasons = vec![
            DeclineReason::UnknownTerminal,
            DeclineReason::WrongMerchant,
            DeclineReason::CannotDecide,
            DeclineReason::OtherDevice,
        ];
        reasons.extend(
            HoldScope::ALL
                .iter()
                .map(|scope| DeclineReason::Held(*scope)),
        );
        reasons.extend(BindingState::ALL.iter().map(|s| DeclineReason::State(*s)));
        reasons.extend(
            AccountStatus::ALL
                .iter()
                .map(|s| DeclineReason::Account(*s)),
        );
        let none = AccountKind::ALL.iter().map(|kind| NoAccount::Of(*kind));
        let none = none.chain([NoAccount::UnknownMeans]);
        reasons.extend(none.map(DeclineReason::NoAccount));
        let names: std::collections::BTreeSet<_> = reasons.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), reasons.len());
    }

    #[test]
    fn a_terminal_never_bound_and_a_store_that_cannot_say_differ() {
        for kind in RequestType::ALL {
            let unknown = decide(Ok(None), Ok(AccountStatus::Verified), kind, None);
            assert_eq!(
                unknown,
                Decision::Decline(DeclineReason::UnknownTerminal),
                "{kind:?}"
            );
            let cut_off = decide(Err(Undecidable), Ok(AccountStatus::Verified), kind, None);
            assert_eq!(
                cut_off,
                Decision::Decline(DeclineReason::CannotDecide),
                "{kind:?}"
            );
        }
    }
}
