//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Refusal;
use crate::base::Counted;

/// Metrics as Prometheus text
#[utoipa::path(
    get, path = "/metrics", tag = "monitor",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    match &admin.prometheus {
        Some(handle) => {
            let kind = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (kind, handle.0.render()).into_response()
        }
        None => Refusal::unknown("metrics", "are exported").into_response(),
    }
}

/// Alive: the journal takes records
///
/// A process that is not should be restarted.
#[utoipa::path(
    get, path = "/healthz", tag = "monitor",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn healthz(State(admin): State<Admin>) -> Response {
    if admin.switch.is_journal_open() {
        // A restart makes no room: the process is as well as it can be.
        let mut text = "ok".to_owned();
        if admin.switch.is_disk_full() {
            text.push_str(", but the disk is full: new money is declined");
        }
        // Neither does a restart mend what is damaged, and what is new is sound.
        let findings = admin.findings.load(Ordering::Relaxed);
        if findings > 0 {
            let found = Counted(findings, "finding");
            text.push_str(&format!(
                ", but the store is damaged ({found}): run `posgate store check`"
            ));
        }
        text.push('\n');
        text.into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the journal takes no records\n",
        )
            .into_response()
    }
}

/// Ready for terminals: not draining, directory loaded, and some upstream group has a link up
#[utoipa::path(
    get, path = "/readyz", tag = "monitor",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    let (up, all) = admin.switch.groups_up();
    let missing = if admin.tasks.is_draining() {
        Some("draining".to_owned())
    } else if !admin.switch.is_journal_open() {
        Some("the journal takes no records".to_owned())
    } else if !admin.switch.directory().is_trusted() {
        Some("the bindings are not loaded".to_owned())
    } else if admin.switch.is_disk_full() {
        Some("the disk is full: new money is declined".to_owned())
    } else if up == 0 {
        Some(format!("no upstream link is up (0 of {all} groups)"))
    } else {
        None
    };
    match missing {
        None => format!("ready: {up} of {all} upstream groups up\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
