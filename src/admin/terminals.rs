//! Terminals and accounts: show, export, set the state.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bindings::binding_numbered;
use super::caller::Caller;
use super::csv::{COLUMNS, export_record};
use super::extract::{IfMatch, Path, SeenVersion, Write, versioned};
use super::items::{Items, Told, each};
use super::problem::{Refusal, blocking};
use super::routes::ACCOUNT;
use super::{Admin, Pieces, limits};
use crate::base::{AcquirerId, TerminalId};
use crate::binding::limit::Day;
use crate::binding::{
    AccountStatus, BindingState, Life, ReasonSet, RependReason, TerminalKey, account,
};
use crate::store::registry::{Actor, BoundAccount, DirectoryChanges};
use crate::store::writes::Answer;
use crate::store::{BindingRow, Registry};
use crate::switch::{Dispatcher, SharedRegistry, day_of};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(export))
        .routes(routes!(show))
        .routes(routes!(set_state))
        .routes(routes!(set_states))
        .routes(routes!(show_binding))
        .routes(routes!(show_account))
        .routes(routes!(set_account))
}

/// A terminal with its binding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Terminal)]
struct Shown {
    acquirer: String,
    /// DE41
    terminal_id: String,
    /// Number of the binding
    binding: u64,
    /// Version of the binding; its ETag
    version: u32,
    state: &'static str,
    /// Why it is re-pending
    reasons: Vec<&'static str>,
    /// DE42
    merchant_id: String,
    merchant_name: String,
    mcc: String,
    /// The acquirer's reference of the settlement account
    account_id: String,
    account_kind: String,
    account_status: &'static str,
    /// Accounts of other kinds that it has too
    other_accounts: Vec<OtherAccount>,
    /// Of the device; may be empty
    serial: String,
    /// Where the device stands; empty where nobody said it
    placement: String,
    /// Microseconds since 1970-01-01 UTC
    opened_at_us: u64,
    /// Microseconds since 1970-01-01 UTC; null while it is open
    closed_at_us: Option<u64>,
    /// What it may take and what it took: its own limit, its account's and its merchant's
    limits: Vec<limits::Shown>,
}

/// An account that a terminal has beside its first, for what is paid otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OtherAccount {
    /// The acquirer's reference
    account_id: String,
    kind: String,
    status: &'static str,
}

impl OtherAccount {
    pub(super) fn of(account: BoundAccount) -> Self {
        Self {
            account_id: account.reference,
            kind: account.kind,
            status: account.status.name(),
        }
    }
}

/// A settlement account.
#[derive(Debug, Serialize, ToSchema)]
struct Account {
    acquirer: String,
    /// The acquirer's reference
    account_id: String,
    /// Its ETag
    version: u32,
    kind: String,
    status: &'static str,
}

impl Shown {
    fn of(row: BindingRow, acquirer: String, limits: Vec<limits::Shown>) -> Self {
        Self {
            acquirer,
            terminal_id: row.key.terminal.to_string(),
            binding: row.admission.binding.0,
            version: row.admission.version,
            state: row.admission.state.name(),
            reasons: row
                .admission
                .reasons
                .iter()
                .map(RependReason::name)
                .collect(),
            merchant_id: row.admission.merchant.to_string(),
            merchant_name: row.merchant_name,
            mcc: row.mcc,
            account_id: row.account,
            account_kind: row.account_kind,
            account_status: row.account_status.name(),
            other_accounts: row.others.into_iter().map(OtherAccount::of).collect(),
            serial: row.serial,
            placement: row.placement,
            opened_at_us: row.opened_at.0,
            closed_at_us: row.closed_at.map(|at| at.0),
            limits,
        }
    }
}

/// What a state change says.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewState {
    /// pending, activating, active, re-pending, suspended, unbinding or unbound (for good)
    state: String,
    /// Why it is re-pending; no other state has reasons
    #[serde(default)]
    reasons: Vec<String>,
}

/// State changes of several terminals.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStates {
    /// At most 1000; done one after the other
    items: Vec<NewStateOf>,
}

/// The state change of one terminal among several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStateOf {
    acquirer: String,
    terminal_id: String,
    /// pending, activating, active, re-pending, suspended, unbinding or unbound (for good)
    state: String,
    /// Why it is re-pending; no other state has reasons
    #[serde(default)]
    reasons: Vec<String>,
    /// The version that was seen; any when absent
    #[schema(value_type = Option<u64>, maximum = 4_294_967_295_u64)]
    version: Option<u32>,
}

/// What an account change says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// unverified, verified, invalid, frozen or closed
    status: String,
}

/// A terminal and its binding
#[utoipa::path(
    get, path = "/v1/terminals/{acquirer}/{terminal}", tag = "terminals",
    params(("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding")),
    responses((status = 200, body = Shown))
)]
async fn show(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let eye = Eye::of(&admin);
        let mut registry = admin.registry.lock();
        let shown = terminal_shown(registry.as_mut(), &eye, &acquirer, &terminal)?;
        let version = shown.version;
        Ok(versioned(Json(shown), version))
    })
    .await
}

/// What is seen beside the registry.
struct Eye {
    shared: Arc<SharedRegistry>,
    /// Whom programs hear of it from.
    dispatcher: Arc<Dispatcher>,
    today: Day,
}

impl Eye {
    fn of(admin: &Admin) -> Self {
        Self {
            shared: Arc::clone(&admin.registry),
            dispatcher: Arc::clone(&admin.dispatcher),
            today: day_of(admin.clock.wall()),
        }
    }
}

fn terminal_shown(
    registry: &mut dyn Registry,
    eye: &Eye,
    acquirer: &str,
    terminal: &str,
) -> Result<Shown, Refusal> {
    let key = key_of(registry, acquirer, terminal)?;
    let row = registry.show(key)?;
    let row = row.ok_or_else(|| Refusal::unknown("terminal", terminal))?;
    let (acquirer, _terminal) = called(registry, key)?;
    let directory = eye.shared.directory();
    let limits = limits::concerning(registry, directory, eye.today, &row, &acquirer)?;
    Ok(Shown::of(row, acquirer, limits))
}

/// One binding by its number, open or closed
#[utoipa::path(
    get, path = "/v1/bindings/{binding}", tag = "bindings",
    params(("binding" = u64, Path)),
    responses((status = 200, body = Shown))
)]
async fn show_binding(
    State(admin): State<Admin>,
    Path(binding): Path<u64>,
) -> Result<Response, Refusal> {
    let eye = Eye::of(&admin);
    blocking(move || {
        let mut registry = admin.registry.lock();
        let row = binding_numbered(registry.as_mut(), binding)?;
        let acquirers = registry.acquirers()?;
        let named = acquirers
            .into_iter()
            .find(|(id, _)| *id == row.key.acquirer);
        let acquirer = named.map_or_else(|| row.key.acquirer.0.to_string(), |(_, name)| name);
        let directory = eye.shared.directory();
        let limits = limits::concerning(registry.as_mut(), directory, eye.today, &row, &acquirer)?;
        let shown = Shown::of(row, acquirer, limits);
        let version = shown.version;
        Ok(versioned(Json(shown), version))
    })
    .await
}

/// Set the state of a terminal's binding; the gate knows it when this answers. What does more than stop it is an admin's
#[utoipa::path(
    put, path = "/v1/terminals/{acquirer}/{terminal}/state", tag = "terminals",
    params(
        ("acquirer" = String, Path, description = "Its name; `-` where the number of a binding follows"),
        ("terminal" = String, Path, description = "DE41; behind `-` the number of the open binding"),
        SeenVersion,
    ),
    request_body = NewState,
    responses((status = 200, body = Shown))
)]
async fn set_state(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<NewState>,
) -> Result<Response, Refusal> {
    let (eye, caller) = (Eye::of(&admin), write.caller.clone());
    let work = move |registry: &mut dyn Registry, actor: &Actor, new: NewState| {
        may_set(registry, &caller, &acquirer, &terminal, &new)?;
        let (shown, changes) =
            state_set(registry, &eye, actor, &acquirer, &terminal, &new, version)?;
        let version = shown.version;
        let shown = serde_json::to_value(shown).unwrap_or_default();
        Ok((Answer::ok(shown).version(version), changes))
    };
    admin.change(write, work).await
}

impl NewState {
    fn read(&self) -> Result<Life, Refusal> {
        let state = BindingState::from_name(&self.state).ok_or_else(|| {
            let known: Vec<_> = BindingState::ALL.iter().map(|s| s.name()).collect();
            Refusal::unfit(format!("state must be one of {}", known.join(", ")))
        })?;
        let mut reasons = ReasonSet::EMPTY;
        for word in &self.reasons {
            let known: Vec<_> = RependReason::ALL.iter().map(|r| r.name()).collect();
            let reason = RependReason::from_name(word)
                .ok_or_else(|| Refusal::unfit(format!("reasons are {}", known.join(", "))))?;
            reasons = reasons.with(reason);
        }
        Ok(Life::new(state, reasons))
    }
}

/// What lets a terminal trade takes two persons, or an admin.
fn may_set(
    registry: &mut dyn Registry,
    caller: &Caller,
    acquirer: &str,
    terminal: &str,
    new: &NewState,
) -> Result<(), Refusal> {
    let key = key_of(registry, acquirer, terminal)?;
    let Some(row) = registry.show(key)? else {
        return Ok(());
    };
    let before = Life::new(row.admission.state, row.admission.reasons);
    let Life { state, reasons, .. } = new.read()?;
    if before.only_stops(before.by_hand(state, reasons)) {
        return Ok(());
    }
    caller.may_start(
        "approve, activate, clear or resume the binding, or open a case of unbinding: `posgate binding --help`, \
         `posgate case --help`",
    )
}

fn state_set(
    registry: &mut dyn Registry,
    eye: &Eye,
    actor: &Actor,
    acquirer: &str,
    terminal: &str,
    new: &NewState,
    version: Option<u32>,
) -> Result<(Shown, DirectoryChanges), Refusal> {
    let key = key_of(registry, acquirer, terminal)?;
    let Life { state, reasons, .. } = new.read()?;
    let changes = registry.set_state(key, state, reasons, version, actor)?;
    let (acquirer, terminal) = called(registry, key)?;
    let name = format!("{acquirer}/{terminal}");
    eye.dispatcher
        .states_set(registry, &name, &changes, actor.at)?;
    let shown = terminal_shown(registry, eye, &acquirer, &terminal)?;
    Ok((shown, changes))
}

/// Set the states of several terminals; each item is answered for itself
#[utoipa::path(
    post, path = "/v1/terminals/states", tag = "terminals",
    request_body = NewStates,
    responses((status = 200, body = Items))
)]
async fn set_states(
    State(admin): State<Admin>,
    write: Write<NewStates>,
) -> Result<Response, Refusal> {
    let (eye, caller) = (Eye::of(&admin), write.caller.clone());
    let work = move |registry: &mut dyn Registry, actor: &Actor, new: NewStates| {
        let mut changes = DirectoryChanges::default();
        let told = each(new.items, |item| {
            let new = NewState {
                state: item.state,
                reasons: item.reasons,
            };
            let (acquirer, terminal) = (item.acquirer, item.terminal_id);
            let set = may_set(registry, &caller, &acquirer, &terminal, &new).and_then(|()| {
                let seen = item.version;
                state_set(registry, &eye, actor, &acquirer, &terminal, &new, seen)
            });
            let of = json!({ "acquirer": acquirer, "terminal_id": terminal });
            let shown = set.map(|(shown, made)| {
                changes.add(made);
                serde_json::to_value(shown).unwrap_or_default()
            });
            Told::new(of, shown)
        })?;
        Ok((Answer::ok(told), changes))
    };
    admin.change(write, work).await
}

/// A settlement account
#[utoipa::path(
    get, path = "/v1/accounts/{acquirer}/{account}", tag = "accounts",
    params(("acquirer" = String, Path), ("account" = String, Path, description = "The acquirer's reference")),
    responses((status = 200, body = Account))
)]
async fn show_account(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let shown = account_shown(registry.as_mut(), &acquirer, &account)?;
        let version = shown.version;
        Ok(versioned(Json(shown), version))
    })
    .await
}

/// Set an account's status, for every terminal that settles into it, at once. What lets money flow is an admin's
#[utoipa::path(
    put, path = "/v1/accounts/{acquirer}/{account}/status", tag = "accounts",
    params(
        ("acquirer" = String, Path), ("account" = String, Path, description = "The acquirer's reference"),
        SeenVersion,
    ),
    request_body = NewStatus,
    responses((status = 200, body = Account))
)]
async fn set_account(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<NewStatus>,
) -> Result<Response, Refusal> {
    // For good: by hand as well it is for those only who may say it of the account.
    if write.body.status == AccountStatus::Closed.name() {
        admin.permit_act(&write.caller, ACCOUNT, "close").await?;
    }
    let (caller, dispatcher) = (write.caller.clone(), Arc::clone(&admin.dispatcher));
    let work = move |registry: &mut dyn Registry, actor: &Actor, new: NewStatus| {
        let id = acquirer_of(registry, &acquirer)?;
        let status = AccountStatus::from_name(&new.status).ok_or_else(|| {
            let known: Vec<_> = AccountStatus::ALL.iter().map(|s| s.name()).collect();
            Refusal::unfit(format!("status must be one of {}", known.join(", ")))
        })?;
        let before = registry.account(id, &account)?.map(|(_, _, status)| status);
        if before.is_some_and(|before| !account::only_stops(before, status)) {
            caller.may_start(
                "verify or unfreeze it with evidence that another person filed: `posgate account event --help`",
            )?;
        }
        let changes = registry.set_account(id, &account, status, version, actor)?;
        let shown = account_shown(registry, &acquirer, &account)?;
        let version = shown.version;
        let name = format!("{acquirer}/{account}");
        let statuses = (before.unwrap_or(status), status);
        dispatcher.status_set(registry, &name, version, statuses, actor.at)?;
        let shown = serde_json::to_value(shown).unwrap_or_default();
        Ok((Answer::ok(shown).version(version), changes))
    };
    admin.change(write, work).await
}

/// All terminals as CSV, written while it is read, as an import takes them
#[utoipa::path(
    get, path = "/v1/terminals", tag = "terminals",
    responses((status = 200, body = String, content_type = "text/csv"))
)]
async fn export(State(admin): State<Admin>) -> Response {
    let (tell, told) = tokio::sync::mpsc::channel::<Bytes>(16);
    tokio::task::spawn_blocking(move || {
        let written = write_export(&admin.registry, &mut |bytes| {
            tell.blocking_send(bytes).is_ok()
        });
        if let Err(problem) = written {
            tracing::error!(problem = problem.as_str(), "an export broke off");
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    (kind, Body::new(Pieces(told))).into_response()
}

/// Writes an export in pieces until `give` says that nobody reads any more.
pub fn write_export(
    registry: &SharedRegistry,
    give: &mut dyn FnMut(Bytes) -> bool,
) -> Result<(), String> {
    let mut registry = registry.lock();
    let acquirers = registry
        .acquirers()
        .map_err(|problem| problem.to_string())?;
    let mut out = csv::Writer::from_writer(Vec::with_capacity(1 << 16));
    out.write_record(COLUMNS)
        .map_err(|problem| problem.to_string())?;
    let mut open = true;
    let mut failed = None;
    registry
        .export(&mut |row| {
            let acquirer = name_of(&acquirers, row.key.acquirer);
            if let Err(problem) = out.write_record(export_record(&row, acquirer)) {
                failed = Some(problem.to_string());
                return false;
            }
            if out.get_ref().len() > 1 << 15 {
                open = hand_over(&mut out, give);
            }
            open
        })
        .map_err(|problem| problem.to_string())?;
    if open {
        hand_over(&mut out, give);
    }
    failed.map_or(Ok(()), Err)
}

/// Gives away what is written so far.
fn hand_over(out: &mut csv::Writer<Vec<u8>>, give: &mut dyn FnMut(Bytes) -> bool) -> bool {
    let fresh = csv::Writer::from_writer(Vec::with_capacity(1 << 16));
    match std::mem::replace(out, fresh).into_inner() {
        Ok(bytes) => give(Bytes::from(bytes)),
        Err(_unflushed) => false,
    }
}

fn account_shown(
    registry: &mut dyn Registry,
    acquirer: &str,
    account: &str,
) -> Result<Account, Refusal> {
    let id = acquirer_of(registry, acquirer)?;
    let found = registry.account(id, account)?;
    let (number, kind, status) = found.ok_or_else(|| Refusal::unknown("account", account))?;
    Ok(Account {
        acquirer: acquirer.to_owned(),
        account_id: account.to_owned(),
        version: registry.account_version(number)?,
        kind,
        status: status.name(),
    })
}

/// What stands in the acquirer's place where a terminal is named by the number of its open binding.
pub(super) const BY_NUMBER: &str = "-";

/// The terminal that is meant: by its acquirer and DE41, or by `-` and the number of its open binding. A number whose
/// binding is closed means nothing that could still be done: whoever has the terminal id by now is another.
pub(super) fn key_of(
    registry: &mut dyn Registry,
    acquirer: &str,
    terminal: &str,
) -> Result<TerminalKey, Refusal> {
    if acquirer == BY_NUMBER {
        let plain = terminal.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| terminal.parse().ok()).flatten();
        let number = number.ok_or_else(|| {
            Refusal::bad(
                "behind `-` stands the number of a binding, as `posgate terminal show` has it",
            )
        })?;
        let row = binding_numbered(registry, number)?;
        if !row.admission.state.is_open() {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "closed",
                format!(
                    "binding {number} is closed; `posgate binding show {number}` shows what it was"
                ),
            ));
        }
        return Ok(row.key);
    }
    let acquirer = acquirer_of(registry, acquirer)?;
    let terminal = TerminalId::parse(terminal).map_err(|bad| Refusal::bad(bad.to_string()))?;
    Ok(TerminalKey { acquirer, terminal })
}

/// Names of acquirer and terminal, however it was named.
pub(super) fn called(
    registry: &mut dyn Registry,
    key: TerminalKey,
) -> Result<(String, String), Refusal> {
    let acquirers = registry.acquirers()?;
    let acquirer = name_of(&acquirers, key.acquirer).to_owned();
    Ok((acquirer, key.terminal.to_string()))
}

pub(super) fn acquirer_of(registry: &mut dyn Registry, name: &str) -> Result<AcquirerId, Refusal> {
    let all = registry.acquirers()?;
    all.into_iter()
        .find(|(_, known)| known == name)
        .map(|(id, _)| id)
        .ok_or_else(|| Refusal::unknown("acquirer", name))
}

fn name_of(acquirers: &[(AcquirerId, String)], id: AcquirerId) -> &str {
    acquirers
        .iter()
        .find(|(known, _)| *known == id)
        .map_or("", |(_, name)| name)
}
