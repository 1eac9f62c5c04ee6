//! What the commands of the registry have in common: carried out and told in one transaction, and shown alike.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::extract::Write;
use super::problem::Refusal;
use crate::base::MerchantId;
use crate::binding::challenge::Verdict;
use crate::store::Registry;
use crate::store::command::{Command, Done};
use crate::store::registry::{Actor, RegistryError};
use crate::store::writes::Answer;
use crate::switch::Dispatcher;

/// What a command came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Done)]
pub(super) struct Outcome {
    /// Number of the binding, contact, hold, challenge or case that was made or changed
    number: u64,
    /// Its version from now on
    version: u32,
    /// What is said of a code: approved, wrong, exhausted, expired or used; null when there was none
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// Codes that may still be offered, after a wrong one
    #[serde(skip_serializing_if = "Option::is_none")]
    tries_left: Option<u8>,
    /// true where a case went back to the merchant instead of on: more hangs on the terminal than was acknowledged, and
    /// the new report has to be acknowledged before it is submitted again
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    returned: bool,
}

impl Outcome {
    pub(super) fn of(done: &Done) -> Self {
        let (verdict, tries_left) = match done.verdict {
            None => (None, None),
            Some(Verdict::Approved) => (Some("approved"), None),
            Some(Verdict::Wrong { left }) => (Some("wrong"), Some(left)),
            Some(Verdict::Exhausted) => (Some("exhausted"), Some(0)),
            Some(Verdict::Expired) => (Some("expired"), None),
            Some(Verdict::Used) => (Some("used"), None),
        };
        Self {
            number: done.number,
            version: done.version,
            verdict,
            tries_left,
            returned: done.returned,
        }
    }
}

/// Carries a command out and queues what it has to tell.
pub(super) fn carry_out(
    registry: &mut dyn Registry,
    dispatcher: &Dispatcher,
    command: &Command,
    version: Option<u32>,
    actor: &Actor,
) -> Result<Done, RegistryError> {
    let done = registry.carry_out(command, version, actor)?;
    dispatcher.tell(registry, &done)?;
    Ok(done)
}

impl Admin {
    /// Makes a write of one command.
    pub(super) async fn command<T: Send + 'static>(
        &self,
        write: Write<T>,
        version: Option<u32>,
        make: impl FnOnce(&mut dyn Registry, T) -> Result<Command, Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let dispatcher = self.dispatcher.clone();
        let work = move |registry: &mut dyn Registry, actor: &Actor, body: T| {
            let command = make(registry, body)?;
            let done = carry_out(registry, &dispatcher, &command, version, actor)?;
            let shown = serde_json::to_value(Outcome::of(&done)).unwrap_or_default();
            Ok((Answer::ok(shown).version(done.version), done.changes))
        };
        self.change(write, work).await
    }
}

/// Reads a name out of a closed set.
pub(super) fn named<T>(
    what: &str,
    text: &str,
    from_name: impl FnOnce(&str) -> Option<T>,
    known: &[&str],
) -> Result<T, Refusal> {
    from_name(text)
        .ok_or_else(|| Refusal::unfit(format!("{what} must be one of {}", known.join(", "))))
}

/// The names of an enum of the domain.
macro_rules! one_of {
    ($kind:ty, $what:literal, $text:expr) => {{
        let known: Vec<_> = <$kind>::ALL.iter().map(|each| each.name()).collect();
        $crate::admin::affairs::named($what, $text, <$kind>::from_name, &known)
    }};
}
pub(super) use one_of;

pub(super) fn merchant_id(text: &str) -> Result<MerchantId, Refusal> {
    MerchantId::parse(text).map_err(|wrong| Refusal::bad(wrong.to_string()))
}

pub(super) fn unfit(refused: crate::binding::Refusal) -> Refusal {
    RegistryError::from(refused).into()
}

pub(super) fn no_key(problem: &crate::security::KeyError) -> Refusal {
    tracing::error!(%problem, "a value cannot be sealed");
    Refusal::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "failed",
        "the value cannot be sealed",
    )
}
