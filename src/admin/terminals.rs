//! Terminals and accounts: show, export, set the state.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::csv::{COLUMNS, export_record};
use super::problem::{Refusal, blocking};
use super::{Admin, Pieces};
use crate::base::{AcquirerId, TerminalId};
use crate::binding::{AccountStatus, BindingState, ReasonSet, RependReason, TerminalKey};
use crate::store::BindingRow;
use crate::store::registry::Actor;
use crate::switch::SharedRegistry;

/// A terminal as the API shows it.
#[derive(Debug, Serialize)]
struct Shown {
    acquirer: String,
    terminal_id: String,
    binding: u64,
    version: u32,
    state: &'static str,
    reasons: Vec<&'static str>,
    merchant_id: String,
    merchant_name: String,
    mcc: String,
    account_id: String,
    account_kind: String,
    account_status: &'static str,
    serial: String,
    opened_at_us: u64,
    closed_at_us: Option<u64>,
}

impl Shown {
    fn of(row: BindingRow, acquirer: String) -> Self {
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
            serial: row.serial,
            opened_at_us: row.opened_at.0,
            closed_at_us: row.closed_at.map(|at| at.0),
        }
    }
}

/// What a state change says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewState {
    state: String,
    #[serde(default)]
    reasons: Vec<String>,
    /// Version the caller saw; any when absent.
    version: Option<u32>,
}

/// What an account change says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStatus {
    status: String,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let key = key_of(&admin.registry, &acquirer, &terminal)?;
        let row = admin.registry.lock().show(key)?;
        let row = row.ok_or_else(|| Refusal::unknown("terminal", &terminal))?;
        Ok(Json(Shown::of(row, acquirer)).into_response())
    })
    .await
}

pub(super) async fn set_state(
    State(admin): State<Admin>,
    Path((acquirer, terminal)): Path<(String, String)>,
    Json(new): Json<NewState>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let key = key_of(&admin.registry, &acquirer, &terminal)?;
        let state = BindingState::from_name(&new.state).ok_or_else(|| {
            let known: Vec<_> = BindingState::ALL.iter().map(|s| s.name()).collect();
            Refusal::bad(format!("state must be one of {}", known.join(", ")))
        })?;
        let mut reasons = ReasonSet::EMPTY;
        for word in &new.reasons {
            let known: Vec<_> = RependReason::ALL.iter().map(|r| r.name()).collect();
            let reason = RependReason::from_name(word)
                .ok_or_else(|| Refusal::bad(format!("reasons are {}", known.join(", "))))?;
            reasons = reasons.with(reason);
        }
        let actor = actor(&admin);
        admin.registry.change(|registry| {
            let changes = registry.set_state(key, state, reasons, new.version, &actor)?;
            Ok::<_, crate::store::RegistryError>(((), changes))
        })?;
        let row = admin.registry.lock().show(key)?;
        let row = row.ok_or_else(|| Refusal::unknown("terminal", &terminal))?;
        Ok(Json(Shown::of(row, acquirer)).into_response())
    })
    .await
}

pub(super) async fn show_account(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || account_shown(&admin.registry, &acquirer, &account)).await
}

pub(super) async fn set_account(
    State(admin): State<Admin>,
    Path((acquirer, account)): Path<(String, String)>,
    Json(new): Json<NewStatus>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let id = acquirer_of(&admin.registry, &acquirer)?;
        let status = AccountStatus::from_name(&new.status).ok_or_else(|| {
            let known: Vec<_> = AccountStatus::ALL.iter().map(|s| s.name()).collect();
            Refusal::bad(format!("status must be one of {}", known.join(", ")))
        })?;
        let actor = actor(&admin);
        admin.registry.change(|registry| {
            let changes = registry.set_account(id, &account, status, &actor)?;
            Ok::<_, crate::store::RegistryError>(((), changes))
        })?;
        account_shown(&admin.registry, &acquirer, &account)
    })
    .await
}

/// All terminals as CSV, written while it is read.
pub(super) async fn export(State(admin): State<Admin>) -> Response {
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
    registry: &SharedRegistry,
    acquirer: &str,
    account: &str,
) -> Result<Response, Refusal> {
    let id = acquirer_of(registry, acquirer)?;
    let found = registry.lock().account(id, account)?;
    let (_, kind, status) = found.ok_or_else(|| Refusal::unknown("account", account))?;
    let shown = serde_json::json!({
        "acquirer": acquirer, "account_id": account, "kind": kind, "status": status.name(),
    });
    Ok(Json(shown).into_response())
}

pub(super) fn key_of(
    registry: &SharedRegistry,
    acquirer: &str,
    terminal: &str,
) -> Result<TerminalKey, Refusal> {
    let acquirer = acquirer_of(registry, acquirer)?;
    let terminal = TerminalId::parse(terminal).map_err(|bad| Refusal::bad(bad.to_string()))?;
    Ok(TerminalKey { acquirer, terminal })
}

fn acquirer_of(registry: &SharedRegistry, name: &str) -> Result<AcquirerId, Refusal> {
    let all = registry.lock().acquirers()?;
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

fn actor(admin: &Admin) -> Actor {
    Actor {
        name: "admin-socket".into(),
        at: admin.clock.wall(),
    }
}
