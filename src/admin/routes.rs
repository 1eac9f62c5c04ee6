//! Which role may call which route: the whole table. A route that is not here is nobody's; a test sees to
//! it that each one is.

use crate::security::access::Role::{self, Admin, Checker, KeyCustodian, Operator, Risk, Viewer};

/// Who may look.
const READ: &[Role] = &[Viewer, Operator, Checker, Risk, KeyCustodian, Admin];
/// Who runs the day.
const RUN: &[Role] = &[Operator, Admin];
/// Who may stop something.
const STOP: &[Role] = &[Operator, Risk, Admin];
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
    ("GET", "/v1/audit", AUDIT),
    ("GET", "/v1/audit/head", READ),
    ("GET", "/v1/audit/verdict", AUDIT),
    ("GET", "/v1/exceptions", READ),
    ("POST", "/v1/exceptions/decisions", RUN),
    ("GET", "/v1/exceptions/{transaction}", READ),
    ("POST", "/v1/exceptions/{transaction}/close", RUN),
    ("POST", "/v1/exceptions/{transaction}/resend", RUN),
    ("POST", "/v1/import", RULE),
    ("GET", "/v1/settlements/{date}", READ),
    ("GET", "/v1/terminals", READ),
    ("POST", "/v1/terminals/states", STOP),
    ("GET", "/v1/terminals/{acquirer}/{terminal}", READ),
    ("GET", "/v1/terminals/{acquirer}/{terminal}/batch", READ),
    (
        "POST",
        "/v1/terminals/{acquirer}/{terminal}/batch/close",
        RUN,
    ),
    ("PUT", "/v1/terminals/{acquirer}/{terminal}/state", STOP),
    ("GET", "/v1/tokens", RULE),
    ("POST", "/v1/tokens", RULE),
    ("DELETE", "/v1/tokens/{token}", RULE),
    ("GET", "/v1/transactions", READ),
    ("GET", "/v1/transactions/{transaction}", READ),
    ("GET", "/v1/transactions/{transaction}/evidence", READ),
];

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
