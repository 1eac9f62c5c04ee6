//! Which role may call which route, and what of it where one address does several things: both tables. A route that is
//! not here is nobody's; a test sees to it that each one is.

use crate::security::access::Role::{self, Admin, Checker, KeyCustodian, Operator, Risk, Viewer};

/// Who may look.
const READ: &[Role] = &[Viewer, Operator, Checker, Risk, KeyCustodian, Admin];
/// Who runs the day.
const RUN: &[Role] = &[Operator, Admin];
/// Who may stop something.
const STOP: &[Role] = &[Operator, Risk, Admin];
/// Who prepares and who approves: what two persons have to do is asked of their names.
const WORK: &[Role] = &[Operator, Checker, Risk, Admin];
/// Who handles devices.
const DEVICES: &[Role] = &[Operator, KeyCustodian, Admin];
/// Who says what is in them, and what was destroyed.
const KEYS: &[Role] = &[KeyCustodian, Admin];
/// Who approves what another person prepared.
const APPROVE: &[Role] = &[Checker, Admin];
/// Who prepares, and who approves.
const CASE: &[Role] = &[Operator, Checker, Admin];
/// Who restricts, and who lets go on what is restricted.
const RESTRICT: &[Role] = &[Checker, Risk, Admin];
/// Who gives rights and takes them.
const RULE: &[Role] = &[Admin];
/// Who reads the audit trail.
const AUDIT: &[Role] = &[Checker, Admin];

/// Method, address as the router has it, and roles; by address.
pub(super) const ROUTES: &[(&str, &str, &[Role])] = &[
    ("GET", "/healthz", READ),
    ("GET", "/metrics", READ),
    ("GET", "/openapi.json", READ),
    ("GET", "/readyz", READ),
    ("GET", "/v1/accounts/{acquirer}/{account}", READ),
    ("PUT", "/v1/accounts/{acquirer}/{account}/status", STOP),
    ("POST", "/v1/accounts/{acquirer}", RUN),
    ("POST", "/v1/accounts/{acquirer}/{account}/events", WORK),
    ("POST", "/v1/accounts/{acquirer}/{account}/release", APPROVE),
    ("GET", "/v1/acquirers", READ),
    ("GET", "/v1/acquirers/{acquirer}", READ),
    ("PUT", "/v1/acquirers/{acquirer}", RULE),
    ("GET", "/v1/alerts", READ),
    ("GET", "/v1/audit", AUDIT),
    ("GET", "/v1/audit/head", READ),
    ("GET", "/v1/audit/verdict", AUDIT),
    ("POST", "/v1/bindings", RUN),
    ("GET", "/v1/bindings/{binding}", READ),
    ("GET", "/v1/bindings/{binding}/history", READ),
    ("GET", "/v1/cases", READ),
    ("GET", "/v1/cases/{case}", READ),
    ("GET", "/v1/cases/{case}/export", RUN),
    ("GET", "/v1/cases/{case}/impact", READ),
    ("POST", "/v1/challenges", RUN),
    ("POST", "/v1/receipts", RUN),
    ("GET", "/v1/challenges/{challenge}", READ),
    ("POST", "/v1/challenges/{challenge}/cancel", RUN),
    ("POST", "/v1/challenges/{challenge}/check", RUN),
    ("POST", "/v1/contacts/{contact}/consent", RUN),
    ("POST", "/v1/contacts/{contact}/events", WORK),
    ("GET", "/v1/devices/{acquirer}", READ),
    ("POST", "/v1/devices/{acquirer}", DEVICES),
    ("GET", "/v1/devices/{acquirer}/{serial}", READ),
    ("POST", "/v1/devices/{acquirer}/{serial}/events", DEVICES),
    ("POST", "/v1/devices/{acquirer}/{serial}/keys", KEYS),
    ("GET", "/v1/disputes", READ),
    ("POST", "/v1/disputes", WORK),
    ("POST", "/v1/disputes/{dispute}/close", WORK),
    ("GET", "/v1/evidence", READ),
    ("POST", "/v1/evidence", WORK),
    ("POST", "/v1/evidence/{evidence}/refuse", WORK),
    ("GET", "/v1/exceptions", READ),
    ("POST", "/v1/exceptions/decisions", RUN),
    ("GET", "/v1/exceptions/{transaction}", READ),
    ("POST", "/v1/exceptions/{transaction}/close", RUN),
    ("POST", "/v1/exceptions/{transaction}/resend", RUN),
    ("POST", "/v1/holds/{hold}/appeal", RUN),
    ("POST", "/v1/holds/{hold}/lift", RESTRICT),
    ("POST", "/v1/import", RULE),
    ("GET", "/v1/limits/{scope}/{acquirer}/{name}", READ),
    ("PUT", "/v1/limits/{scope}/{acquirer}/{name}", WORK),
    ("GET", "/v1/merchants/{acquirer}/{merchant}", READ),
    ("PUT", "/v1/merchants/{acquirer}/{merchant}", RUN),
    ("GET", "/v1/merchants/{acquirer}/{merchant}/contacts", READ),
    ("POST", "/v1/merchants/{acquirer}/{merchant}/contacts", RUN),
    ("GET", "/v1/merchants/{acquirer}/{merchant}/terminals", READ),
    ("GET", "/v1/refunds", READ),
    ("POST", "/v1/refunds", RUN),
    ("GET", "/v1/refunds/{refund}", READ),
    ("POST", "/v1/refunds/{refund}/approve", APPROVE),
    ("POST", "/v1/refunds/{refund}/refuse", CASE),
    ("POST", "/v1/replacements", RUN),
    ("POST", "/v1/replacements/{case}/keys-destroyed", KEYS),
    ("POST", "/v1/replacements/{case}/steps", CASE),
    ("GET", "/v1/settlements/{date}", READ),
    ("GET", "/v1/terminals", READ),
    ("POST", "/v1/terminals/states", STOP),
    ("GET", "/v1/terminals/{acquirer}/{terminal}", READ),
    ("POST", "/v1/terminals/{acquirer}/{terminal}/actions", WORK),
    ("GET", "/v1/terminals/{acquirer}/{terminal}/batch", READ),
    (
        "POST",
        "/v1/terminals/{acquirer}/{terminal}/batch/close",
        RUN,
    ),
    ("GET", "/v1/terminals/{acquirer}/{terminal}/binding", READ),
    ("GET", "/v1/terminals/{acquirer}/{terminal}/history", READ),
    ("GET", "/v1/terminals/{acquirer}/{terminal}/holds", READ),
    (
        "POST",
        "/v1/terminals/{acquirer}/{terminal}/holds",
        RESTRICT,
    ),
    ("PUT", "/v1/terminals/{acquirer}/{terminal}/state", STOP),
    ("GET", "/v1/tokens", RULE),
    ("POST", "/v1/tokens", RULE),
    ("DELETE", "/v1/tokens/{token}", RULE),
    ("GET", "/v1/transactions", READ),
    ("GET", "/v1/transactions/{transaction}", READ),
    ("GET", "/v1/transactions/{transaction}/evidence", READ),
    ("POST", "/v1/unbindings", RUN),
    ("POST", "/v1/unbindings/{case}/keys-destroyed", KEYS),
    ("POST", "/v1/unbindings/{case}/steps", CASE),
];

/// Addresses that do more than one thing.
pub(super) const ACTIONS: &str = "/v1/terminals/{acquirer}/{terminal}/actions";
pub(super) const UNBINDING: &str = "/v1/unbindings/{case}/steps";
pub(super) const REPLACEMENT: &str = "/v1/replacements/{case}/steps";
pub(super) const ACCOUNT: &str = "/v1/accounts/{acquirer}/{account}/events";
pub(super) const CONTACT: &str = "/v1/contacts/{contact}/events";

/// Who may do what there: address, action, step or event, and roles. Who prepares does not approve under another name
/// of a role either.
pub(super) const ACTS: &[(&str, &str, &[Role])] = &[
    (ACTIONS, "approve", APPROVE),
    (ACTIONS, "reject", CASE),
    (ACTIONS, "activate", RUN),
    (ACTIONS, "repend", WORK),
    (ACTIONS, "clear", RESTRICT),
    (ACTIONS, "spare", CASE),
    (ACTIONS, "place", WORK),
    (ACTIONS, "suspend", WORK),
    (ACTIONS, "resume", RESTRICT),
    (ACTIONS, "request-account", RUN),
    (ACTIONS, "request-account-end", RUN),
    (ACTIONS, "confirm-account", RUN),
    (ACTIONS, "approve-account", APPROVE),
    (ACTIONS, "cancel-account", CASE),
    (UNBINDING, "confirm", RUN),
    (UNBINDING, "prove", RUN),
    (UNBINDING, "add-document", RUN),
    (UNBINDING, "review", APPROVE),
    (UNBINDING, "acknowledge", RUN),
    (UNBINDING, "exported", RUN),
    (UNBINDING, "submit", RUN),
    (UNBINDING, "approve", APPROVE),
    (UNBINDING, "reject", APPROVE),
    (UNBINDING, "start", CASE),
    (UNBINDING, "close", CASE),
    (UNBINDING, "force", APPROVE),
    (UNBINDING, "wiped", RUN),
    (UNBINDING, "reported", RUN),
    (UNBINDING, "cancel", CASE),
    (REPLACEMENT, "agreed", RUN),
    (REPLACEMENT, "tested", RUN),
    (REPLACEMENT, "cut-over", APPROVE),
    // By another person than cut over: where there is one checker, an operator.
    (REPLACEMENT, "roll-back", CASE),
    (REPLACEMENT, "cancel", CASE),
    (REPLACEMENT, "close", CASE),
    (REPLACEMENT, "force", APPROVE),
    (REPLACEMENT, "wiped", RUN),
    (ACCOUNT, "verify", APPROVE),
    (ACCOUNT, "invalidate", WORK),
    (ACCOUNT, "freeze", WORK),
    (ACCOUNT, "unfreeze", RESTRICT),
    (ACCOUNT, "close", CASE),
    (CONTACT, "verify", WORK),
    (CONTACT, "confirm", RESTRICT),
    (CONTACT, "suspect", WORK),
    (CONTACT, "revoke", WORK),
];

/// Who may do this at an address that does several things. An act that is not in the table is nobody's.
pub(super) fn act_roles(path: &str, act: &str) -> &'static [Role] {
    acts(path)
        .find(|(known, _)| *known == act)
        .map_or(&[], |(_, roles)| roles)
}

/// What an address does beside others, each with its roles; none for one that does one thing.
pub(super) fn acts(path: &str) -> impl Iterator<Item = (&'static str, &'static [Role])> {
    ACTS.iter()
        .filter(move |(at, ..)| *at == path)
        .map(|(_, act, roles)| (*act, *roles))
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These may make it.
    Roles(&'static [Role]),
    /// The address is there, and has no such method.
    OtherMethod,
    /// Nobody may make it.
    Nothing,
}

/// Who may call a route.
pub(super) fn roles(method: &str, path: &str) -> Found {
    let mut found = Found::Nothing;
    for (known, at, roles) in ROUTES {
        if *at == path {
            if *known == method {
                return Found::Roles(roles);
            }
            found = Found::OtherMethod;
        }
    }
    found
}
