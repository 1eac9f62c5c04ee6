//! `/v1/tokens`: who may do what over the API, and until when.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::extract::{Parameters, Path, Write};
use super::page::Asked;
use super::problem::{Refusal, blocking};
use crate::base::alike::{check_letters, look_alike};
use crate::base::{PersonName, Timestamp, limits};
use crate::security::access::{Role, TokenSecret};
use crate::store::registry::{Actor, DirectoryChanges};
use crate::store::tokens::{NewToken, Token};
use crate::store::writes::Answer;
use crate::store::{Registry, StoreError};

/// Life of a token when nobody says how long.
const DAYS: u64 = 90;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct Shown {
    /// Its number
    id: u64,
    /// Who carries it
    name: String,
    role: &'static str,
    /// Microseconds since 1970-01-01 UTC
    created_at_us: u64,
    /// Who gave it out
    created_by: String,
    /// Microseconds since 1970-01-01 UTC
    expires_at_us: u64,
    /// Microseconds since 1970-01-01 UTC; null while it is not
    revoked_at_us: Option<u64>,
    /// good, expired or revoked
    status: &'static str,
}

impl Shown {
    fn of(token: &Token, now: Timestamp) -> Self {
        Self {
            id: token.number,
            name: token.name.as_str().to_owned(),
            role: token.role.name(),
            created_at_us: token.created_at.0,
            created_by: token.created_by.clone(),
            expires_at_us: token.expires_at.0,
            revoked_at_us: token.revoked_at.map(|at| at.0),
            status: match token.revoked_at {
                Some(_) => "revoked",
                None if token.is_good(now) => "good",
                None => "expired",
            },
        }
    }
}

/// What a new token says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Who carries it
    name: String,
    /// viewer, operator, checker, risk, key-custodian or admin
    role: String,
    /// Days until it ends, 1 to 366; 90 when absent
    days: Option<u64>,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
struct Tokens {
    tokens: Vec<Shown>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Tokens, oldest first, without their secrets
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", params(Asked),
    responses((status = 200, body = Tokens))
)]
async fn list(
    State(admin): State<Admin>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let page = asked.page()?;
    let now = admin.clock.wall();
    blocking(move || {
        let all = admin.registry.lock().tokens()?;
        let (behind, most) = (page.part().behind.unwrap_or(0), page.part().most);
        let rest = all.iter().filter(|token| token.number > behind);
        let found: Vec<_> = rest.take(most as usize).collect();
        let (found, next) = page.cut(found, |token| token.number);
        let tokens = found.iter().map(|token| Shown::of(token, now)).collect();
        Ok(Json(Tokens { tokens, next }).into_response())
    })
    .await
}

/// Give out a token
///
/// `token` in the answer is the token itself: it is shown once, and is not in the answer when the request is
/// repeated under its key.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", request_body = Create,
    responses((status = 201, body = Shown))
)]
async fn create(State(admin): State<Admin>, write: Write<Create>) -> Result<Response, Refusal> {
    let gatekeeper = admin.gatekeeper.clone();
    let work = move |registry: &mut dyn Registry, actor: &Actor, new: Create| {
        let secret = TokenSecret::generate().ok_or_else(no_random)?;
        let new = new.checked(&secret, actor.at)?;
        nobody_elses(registry, new.name.as_str())?;
        let token = registry.add_token(&new, actor)?;
        let shown = serde_json::to_value(Shown::of(&token, actor.at)).unwrap_or_default();
        let text = secret.token(token.number);
        let mut answer = Answer::created(shown);
        answer.told_once.push(("token", text.as_str().to_owned()));
        // A token that is not committed after all has a secret that nobody was told.
        gatekeeper.put(token);
        Ok((answer, DirectoryChanges::default()))
    };
    admin.change(write, work).await
}

impl Create {
    fn checked(&self, secret: &TokenSecret, now: Timestamp) -> Result<NewToken, Refusal> {
        let role = Role::from_name(&self.role).ok_or_else(|| {
            let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
            Refusal::unfit(format!("role must be one of {}", known.join(", ")))
        })?;
        let days = self.days.unwrap_or(DAYS);
        let most = limits::TOKEN_LIFE_MAX.as_secs() / 86_400;
        if !(1..=most).contains(&days) {
            return Err(Refusal::unfit(format!("days are 1 to {most}")));
        }
        let life = Duration::from_secs(days * 86_400).as_micros();
        let life = u64::try_from(life).unwrap_or(u64::MAX);
        let name = PersonName::parse(&self.name);
        let name = name.map_err(|wrong| Refusal::unfit(wrong.to_string()))?;
        check_letters(name.as_str()).map_err(|wrong| Refusal::unfit(wrong.to_string()))?;
        Ok(NewToken {
            name,
            role,
            hash: secret.hash(),
            expires_at: Timestamp(now.0.saturating_add(life)),
        })
    }
}

/// That a name passes for nobody else's who has, or had, a token: the audit trail would show one for the other, and the
/// second could never be a second person to the first.
fn nobody_elses(registry: &mut dyn Registry, name: &str) -> Result<(), Refusal> {
    let all = registry.tokens()?;
    let other = all
        .iter()
        .find(|token| token.name.as_str() != name && look_alike(token.name.as_str(), name));
    let Some(other) = other else { return Ok(()) };
    Err(Refusal::unfit(format!(
        "the name passes for that of token {} ({}); write it in the same way if it is the same person's, and give \
         another one if it is not",
        other.number,
        other.name.as_str()
    )))
}

fn no_random() -> Refusal {
    StoreError::Engine {
        doing: "making a token",
        source: "the system gives no random bytes".into(),
    }
    .into()
}

/// Take a token back, at once and for good
#[utoipa::path(
    delete, path = "/v1/tokens/{token}", tag = "tokens",
    params(("token" = u64, Path, description = "Its number")),
    responses((status = 200, body = Shown))
)]
async fn revoke(
    State(admin): State<Admin>,
    Path(number): Path<u64>,
    write: Write<Value>,
) -> Result<Response, Refusal> {
    let gatekeeper = admin.gatekeeper.clone();
    let work = move |registry: &mut dyn Registry, actor: &Actor, _nothing: Value| {
        let token = registry.revoke_token(number, actor)?;
        let shown = serde_json::to_value(Shown::of(&token, actor.at)).unwrap_or_default();
        // Before it is durable: what fails to be revoked is refused for as long as this process lives.
        gatekeeper.put(token);
        Ok((Answer::ok(shown), DirectoryChanges::default()))
    };
    admin.change(write, work).await
}
