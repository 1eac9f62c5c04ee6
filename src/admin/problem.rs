//! Errors as answers: RFC 9457 problem details, with a text that says what to do.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::inquiry::InquiryError;
use crate::binding;
use crate::store::{QueryError, RegistryError, StoreError};

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
        }
    }

    pub(super) fn unknown(what: &str, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown",
            format!("no {what} {name}"),
        )
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail)
    }
}

impl From<StoreError> for Refusal {
    fn from(problem: StoreError) -> Self {
        // The cause may name files: it goes to the log, not to the caller.
        tracing::error!(
            problem = crate::telemetry::log::chain(&problem),
            "the store failed"
        );
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "store failed",
            problem.to_string(),
        )
    }
}

impl From<RegistryError> for Refusal {
    fn from(problem: RegistryError) -> Self {
        let detail = problem.to_string();
        match problem {
            RegistryError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown", detail),
            RegistryError::Closed { .. } => Self::new(StatusCode::CONFLICT, "closed", detail),
            RegistryError::Reasons => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "reasons", detail)
            }
            RegistryError::Stale { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "stale version", detail)
            }
            RegistryError::NotThere { .. } => Self::new(StatusCode::NOT_FOUND, "unknown", detail),
            RegistryError::Refused(why) => {
                let (status, title) = told_as(&why);
                Self::new(status, title, detail)
            }
            RegistryError::Lines(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong lines", detail)
            }
            RegistryError::Store(store) => store.into(),
        }
    }
}

/// How a state machine's refusal is told.
const fn told_as(why: &binding::Refusal) -> (StatusCode, &'static str) {
    match why {
        binding::Refusal::State { .. } => (StatusCode::CONFLICT, "not in this state"),
        binding::Refusal::Missing { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "something is missing")
        }
        binding::Refusal::Changed { .. } => (StatusCode::CONFLICT, "changed"),
        binding::Refusal::SamePerson { .. } => (StatusCode::FORBIDDEN, "another person needed"),
        binding::Refusal::Early { .. } => (StatusCode::CONFLICT, "too early"),
        binding::Refusal::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many codes"),
        binding::Refusal::Locked { .. } => (StatusCode::LOCKED, "locked"),
        binding::Refusal::Taken { .. } => (StatusCode::CONFLICT, "taken"),
        binding::Refusal::Value { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "does not fit"),
    }
}

impl From<InquiryError> for Refusal {
    fn from(problem: InquiryError) -> Self {
        let detail = problem.to_string();
        match problem {
            InquiryError::Bad(_) => Self::bad(detail),
            InquiryError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown", detail),
            InquiryError::Behind { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "behind", detail)
            }
            InquiryError::Query(QueryError::TooWide) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too wide", detail)
            }
            InquiryError::Query(QueryError::Store(store)) | InquiryError::Store(store) => {
                store.into()
            }
            InquiryError::Write(source) => {
                tracing::error!(problem = %source, "an answer cannot be written");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not written", detail)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.to_string()).into_response()
    }
}

/// Runs blocking work and waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_panicked| {
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed",
                "the work was cut off",
            ))
        })
}
