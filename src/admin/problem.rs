//! Errors as answers: RFC 9457 problem details, with a text that says what to do.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::inquiry::InquiryError;
use crate::base::note::NoteError;
use crate::binding;
use crate::store::writes::Known;
use crate::store::{QueryError, RegistryError, StoreError};

/// Where the kinds of problems are explained; a kind is a heading there.
const KINDS: &str = "https://posgate.invalid/problems/";

/// A problem as it is told (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Kind of the problem, a URI that ends with its title in lower case and with dashes
    #[serde(rename = "type")]
    kind: String,
    /// The kind in a few words; the same for all of its kind
    title: &'static str,
    /// HTTP status
    status: u16,
    /// What is wrong with this request, and what to do
    detail: String,
}

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// When to come again.
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            retry_after: None,
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

    /// Well formed, and still not what can be done.
    pub(super) fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "does not fit", detail)
    }

    /// Too often; come again after a while.
    pub(super) fn later(title: &'static str, detail: impl Into<String>, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, title, detail)
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// As a part of an answer that has several.
    pub(super) fn shown(self) -> Value {
        serde_json::to_value(self.problem()).unwrap_or_default()
    }

    fn problem(self) -> Problem {
        Problem {
            kind: format!("{KINDS}{}", self.title.replace(' ', "-")),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
        }
    }
}

/// What is not done for what is known of its key.
impl From<Known> for Refusal {
    fn from(known: Known) -> Self {
        match known {
            Known::Other => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key reused",
                "the Idempotency-Key was used for another request; take a new one for each thing to be done",
            ),
            Known::Full => Self::later(
                "too many writes",
                "as many answers are kept as there may be; the oldest expire after a day",
                Duration::from_secs(3_600),
            ),
            Known::Begun | Known::Nothing | Known::Answered(_) => Self::new(
                StatusCode::CONFLICT,
                "begun",
                "a request with this Idempotency-Key was begun, and whether it was done is not known; look at \
                 what it was to change, then go on with a new key",
            ),
        }
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
            RegistryError::Unknown { .. } | RegistryError::NotThere { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown", detail)
            }
            RegistryError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "too many", detail),
            RegistryError::Closed { .. } => Self::new(StatusCode::CONFLICT, "closed", detail),
            RegistryError::Reasons => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "reasons", detail)
            }
            RegistryError::Stale { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "stale version", detail)
            }
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
        binding::Refusal::Missing { .. } | binding::Refusal::Unproven { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "something is missing")
        }
        binding::Refusal::Changed { .. } => (StatusCode::CONFLICT, "changed"),
        binding::Refusal::SamePerson { .. } => (StatusCode::FORBIDDEN, "another person needed"),
        binding::Refusal::Early { .. } => (StatusCode::CONFLICT, "too early"),
        binding::Refusal::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many codes"),
        binding::Refusal::Locked { .. } => (StatusCode::LOCKED, "locked"),
        binding::Refusal::Undrained { .. } => (StatusCode::CONFLICT, "not drained"),
        binding::Refusal::Taken { .. } => (StatusCode::CONFLICT, "taken"),
        binding::Refusal::Words(NoteError::Empty { .. }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "something is missing")
        }
        binding::Refusal::Words(_) | binding::Refusal::Value { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "does not fit")
        }
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
        let (status, retry_after) = (self.status, self.retry_after);
        let body = serde_json::to_string(&self.problem()).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        if let Some(wait) = retry_after {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"posgate\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
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
