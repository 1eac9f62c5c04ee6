//! What handlers take: parts of the address, parameters, and writes with their key and version. What does not
//! fit is refused as a problem before a handler sees it.
//!
//! A handler that changes something takes a [`Write`], and an [`IfMatch`] where what it changes has a version;
//! it does its work inside [`Admin::change`], which keeps the answer under the caller's key, in the
//! transaction of the change and of its audit event. What cannot be done in a transaction of the registry,
//! because it happens in the journal, goes through [`Admin::decide`].

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::Admin;
use super::caller::Caller;
use super::problem::{Refusal, blocking};
use crate::base::limits;
use crate::store::Registry;
use crate::store::audit::{Entry, Hash};
use crate::store::registry::{Actor, DirectoryChanges};
use crate::store::writes::{Answer, Keyed, Known, Written};

/// The header with a write's key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tells that an answer is one of before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Parts of the address.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refusal> {
        match AxumPath::<T>::from_request_parts(parts, admin).await {
            Ok(AxumPath(read)) => Ok(Self(read)),
            Err(rejected) => Err(Refusal::bad(rejected.body_text())),
        }
    }
}

/// Parameters behind the `?`.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Admin> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refusal> {
        match AxumQuery::<T>::from_request_parts(parts, admin).await {
            Ok(AxumQuery(read)) => Ok(Self(read)),
            Err(rejected) => Err(Refusal::bad(parameter_problem(&rejected.body_text()))),
        }
    }
}

/// What is wrong behind the `?`, with the parameter's name, out of what the reader of it says.
fn parameter_problem(said: &str) -> String {
    let said = said
        .strip_prefix("Failed to deserialize query string: ")
        .unwrap_or(said);
    // With or without the parameter that it was at.
    let (at, why) = match said.split_once(": ") {
        Some((at, why)) if at.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => (at, why),
        Some(_) | None => ("", said),
    };
    if let Some(missing) = why.strip_prefix("missing field ") {
        return format!("the parameter {missing} has to be given");
    }
    if let Some(unknown) = why.strip_prefix("unknown field ") {
        let (name, known) = unknown
            .split_once(", expected ")
            .unwrap_or((unknown, "none"));
        let known = known.strip_prefix("one of ").unwrap_or(known);
        return format!("there is no parameter {name} here; known are {known}");
    }
    if let Some(twice) = why.strip_prefix("duplicate field ") {
        return format!("the parameter {twice} is given twice");
    }
    let why = match why {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "it is a whole number, written in digits"
        }
        "number too large to fit in target type" => "the number is too large",
        "provided string was not `true` or `false`" => "it is `true` or `false`",
        other => other,
    };
    match at {
        "" => format!("the parameters cannot be read: {why}"),
        at => format!("the parameter `{at}` cannot be read: {why}"),
    }
}

/// The version that the caller saw, from `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IfMatch(pub(super) Option<u32>);

/// The header as the OpenAPI document has it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct SeenVersion {
    /// ETag of the version that was seen, or *
    #[param(rename = "If-Match")]
    _if_match: String,
}

impl FromRequestParts<Admin> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _admin: &Admin) -> Result<Self, Refusal> {
        if_match(&parts.headers)
    }
}

fn if_match(headers: &HeaderMap) -> Result<IfMatch, Refusal> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Err(Refusal::new(
            StatusCode::PRECONDITION_REQUIRED,
            "version needed",
            "say which version you saw: `If-Match: \"7\"`, the ETag it was shown with, or `If-Match: *` for any",
        ));
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(IfMatch(None));
    }
    let number = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(number) = number else {
        return Err(Refusal::bad(
            "If-Match is the ETag as it was shown, quotes included, or *",
        ));
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    // An ETag that is none of ours is of no version that is there.
    match digits.then(|| number.parse().ok()).flatten() {
        Some(version) => Ok(IfMatch(Some(version))),
        None => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "stale version",
            "If-Match names no version of ours; look at it again and write the ETag as it is shown",
        )),
    }
}

/// A request that changes something.
#[derive(Debug)]
pub(super) struct Write<T> {
    /// Who wants it.
    pub(super) caller: Caller,
    /// Its key.
    pub(super) keyed: Keyed,
    /// What it says.
    pub(super) body: T,
}

impl<T> Write<T> {
    /// Who changes something, now.
    pub(super) fn actor(&self) -> Actor {
        self.caller.actor(self.keyed.at)
    }
}

impl<T: DeserializeOwned + Send> FromRequest<Admin> for Write<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, admin).await?;
        let key = key(&parts.headers)?;
        // A write without a body, as a DELETE, says nothing about its kind.
        let has_kind = parts.headers.contains_key(header::CONTENT_TYPE);
        if (has_kind || parts.method != Method::DELETE) && !is_json(&parts.headers) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not JSON",
                "the body has to be JSON: `Content-Type: application/json`",
            ));
        }
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(whole, admin)
            .await
            .map_err(broken_off)?;
        let fingerprint = fingerprint(&parts, &bytes);
        let keyed = Keyed {
            caller: caller.identity.clone(),
            key,
            fingerprint,
            at: admin.clock.wall(),
        };
        let empty = bytes.is_empty() && parts.method == Method::DELETE;
        let body =
            serde_json::from_slice(if empty { b"null" } else { &bytes }).map_err(|wrong| {
                let told = format!("the body is not what this takes: {wrong}");
                if wrong.is_data() {
                    Refusal::unfit(told)
                } else {
                    Refusal::bad(told)
                }
            })?;
        Ok(Self {
            caller,
            keyed,
            body,
        })
    }
}

/// The key of a write.
pub(super) fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Err(Refusal::bad(
            "a change needs a key, so that it can be asked for again without being made twice: \
             `Idempotency-Key: ` and a text of your own, as `uuidgen` gives one",
        ));
    };
    let text = value.to_str().unwrap_or_default().trim();
    // A space or a tab passes as text in a header, and not by the schema.
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > limits::KEY_CHARS_MAX || !printable {
        return Err(Refusal::bad(format!(
            "Idempotency-Key is 1 to {} printable ASCII characters without spaces",
            limits::KEY_CHARS_MAX
        )));
    }
    Ok(text.to_owned())
}

/// A hash over all that a request says.
pub(super) fn fingerprint(parts: &Parts, body: &[u8]) -> Hash {
    let version = parts.headers.get(header::IF_MATCH);
    let version = version.map_or(&[][..], HeaderValue::as_bytes);
    let address = parts.uri.path_and_query();
    let address = address.map_or("", |address| address.as_str());
    let mut all = Vec::with_capacity(body.len() + 256);
    for part in [
        parts.method.as_str().as_bytes(),
        address.as_bytes(),
        version,
    ] {
        all.extend_from_slice(part);
        // In none of the three there can be a line end.
        all.push(b'\n');
    }
    all.extend_from_slice(body);
    Hash::of_bytes(&all)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn broken_off(rejected: BytesRejection) -> Refusal {
    match rejected {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too large",
                format!("a body has at most {} bytes", super::BODY_BYTES_MAX),
            )
        }
        other => Refusal::bad(other.body_text()),
    }
}

impl Admin {
    /// Makes a change of the registry, once for each key. The work runs on a blocking thread, in one
    /// transaction with its audit events and its answer; when it refuses, nothing is changed and the key may be
    /// used again. What the directory has to learn is in the gate when this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        write: Write<T>,
        work: impl FnOnce(&mut dyn Registry, &Actor, T) -> Result<(Answer, DirectoryChanges), Refusal>
        + Send
        + 'static,
    ) -> Result<Response, Refusal> {
        let shared = self.registry.clone();
        let written = blocking(move || {
            let actor = write.actor();
            shared.write(&write.keyed, |registry| work(registry, &actor, write.body))
        });
        let written = written.await?;
        self.dispatcher.wake();
        answered(written)
    }

    /// Does something that takes effect in the journal, once for each key. Before it, `asked` is in the audit
    /// trail and the key is known to be begun; after it, the answer is kept with `done` in the trail. Between the
    /// two lies the journal, which has a file of its own: when the process ends there, the key stays begun,
    /// asking again is answered with 409, and the journal says whether it was done.
    ///
    /// A refusal other than 503 says that nothing was done: the key may be used again then.
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        write: &Write<T>,
        asked: Entry,
        done: &'static str,
        work: impl Future<Output = Result<Answer, Refusal>>,
    ) -> Result<Response, Refusal> {
        if let Some(written) = self.begun(write, asked.clone()).await? {
            return answered(written);
        }
        let ended = work.await;
        let (keyed, actor) = (write.keyed.clone(), write.actor());
        let kept = match &ended {
            Ok(answer) => Some(answer.clone()),
            Err(refusal) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
                return ended.map(|answer| told(answer, false));
            }
            Err(_refused) => None,
        };
        let shared = self.registry.clone();
        let closed = blocking(move || {
            let mut registry = shared.lock();
            registry.begin()?;
            let write = |registry: &mut dyn Registry| match &kept {
                Some(answer) => {
                    let told = Entry::new(done, asked.subject).with(asked.details);
                    registry.tell(&actor, &told)?;
                    registry.remember(&keyed, Some(answer))
                }
                None => registry.forget(&keyed),
            };
            let written = write(registry.as_mut());
            match written.and_then(|()| registry.commit()) {
                Ok(()) => Ok(()),
                Err(problem) => {
                    registry.roll_back();
                    Err(problem.into())
                }
            }
        });
        if let Err(problem) = closed.await {
            // It is done, and its beginning is in the trail.
            tracing::error!(?problem, "the end of a decision could not be kept");
        }
        ended.map(|answer| told(answer, false))
    }

    /// Writes that something is begun; `Some` when its key was known already.
    async fn begun<T>(&self, write: &Write<T>, asked: Entry) -> Result<Option<Written>, Refusal> {
        let (keyed, actor) = (write.keyed.clone(), write.actor());
        let shared = self.registry.clone();
        blocking(move || {
            let mut registry = shared.lock();
            registry.begin()?;
            let begin = |registry: &mut dyn Registry| match registry.known(&keyed)? {
                Known::Nothing => {
                    registry.tell(&actor, &asked)?;
                    registry.remember(&keyed, None)?;
                    registry.commit()?;
                    Ok(None)
                }
                Known::Answered(answer) => Ok(Some(Written::Before(answer))),
                other @ (Known::Begun | Known::Other | Known::Full) => {
                    Ok(Some(Written::Not(other)))
                }
            };
            let begun = begin(registry.as_mut());
            registry.roll_back();
            begun
        })
        .await
    }
}

/// What is told of a write.
fn answered(written: Written) -> Result<Response, Refusal> {
    match written {
        Written::Now(answer) => Ok(told(answer, false)),
        Written::Before(answer) => Ok(told(answer, true)),
        Written::Not(known) => Err(known.into()),
    }
}

fn told(answer: Answer, replayed: bool) -> Response {
    let Answer {
        status,
        version,
        mut body,
        told_once,
    } = answer;
    for (name, secret) in told_once {
        body[name] = secret.into();
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(version) = version {
        response.headers_mut().insert(header::ETAG, etag(version));
    }
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    response
}

/// The ETag of a version.
pub(super) fn etag(version: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Something that has a version, shown with its ETag.
pub(super) fn versioned(body: impl IntoResponse, version: u32) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::ETAG, etag(version));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_etag_or_any() {
        let read = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            }
            if_match(&headers)
                .map(|version| version.0)
                .map_err(|refused| refused.status().as_u16())
        };
        assert_eq!(read(None), Err(428));
        assert_eq!(read(Some("*")), Ok(None));
        assert_eq!(read(Some("\"7\"")), Ok(Some(7)));
        for (wrong, status) in [
            ("", 400),
            ("7", 400),
            ("W/\"7\"", 400),
            ("\"\"", 412),
            ("\"+7\"", 412),
            ("\"7\", \"8\"", 412),
            ("\"99999999999\"", 412),
        ] {
            assert_eq!(read(Some(wrong)), Err(status), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_says_all_that_a_request_says() {
        let of = |method: &str, uri: &str, version: Option<&str>, body: &str| {
            let mut request = axum::http::Request::builder().method(method).uri(uri);
            if let Some(version) = version {
                request = request.header(header::IF_MATCH, version);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            fingerprint(&parts, body.as_bytes())
        };
        let first = of("PUT", "/v1/a?b=1", Some("\"1\""), "{}");
        assert_eq!(first, of("PUT", "/v1/a?b=1", Some("\"1\""), "{}"));
        for other in [
            of("POST", "/v1/a?b=1", Some("\"1\""), "{}"),
            of("PUT", "/v1/a?b=2", Some("\"1\""), "{}"),
            of("PUT", "/v1/a?b=1", Some("\"2\""), "{}"),
            of("PUT", "/v1/a?b=1", None, "{}"),
            of("PUT", "/v1/a?b=1", Some("\"1\""), "{ }"),
        ] {
            assert_ne!(first, other);
        }
    }
}
