//! Who calls, and what they may do. The one place where rights are checked: a request that passes here
//! carries its [`Caller`]. Handlers of addresses that do several things ask here once more, which of them it is.
//!
//! The Unix socket is trusted by its file mode: who may open it may do everything, under the name of the
//! user at its other end. With a token, a caller has the token's name and role, on the socket too. Over
//! HTTPS nobody is anybody without a token.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::rand;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::net::UnixStream;

use super::Admin;
use super::problem::{Refusal, blocking};
use super::routes;
use super::throttle::{Failed, Throttle};
use crate::base::{Moment, PersonName, Timestamp};
use crate::security::access::{Rights, Role, TokenHash, token_parts};
use crate::store::audit::Entry;
use crate::store::registry::{Actor, Channel, Origin};
use crate::store::tokens::Token;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// Of the Unix socket.
    Socket {
        /// Name of its user, or its number.
        user: Arc<str>,
        /// User and process, for the audit trail.
        address: Arc<str>,
    },
    /// Of an HTTPS connection.
    Https {
        /// Where it comes from.
        address: SocketAddr,
        /// SHA-256 of its certificate, if it showed one.
        certificate: Option<Arc<str>>,
    },
}

impl Peer {
    /// Who is at the other end of the Unix socket, as the system says.
    pub(super) fn of_socket(stream: &UnixStream) -> Self {
        match stream.peer_cred() {
            Ok(cred) => {
                let (uid, pid) = (cred.uid(), cred.pid());
                let pid = pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
                Self::Socket {
                    user: user_name(uid).into(),
                    address: format!("uid {uid}{pid}").into(),
                }
            }
            Err(_unknown) => Self::Socket {
                user: "unknown".into(),
                address: "unknown".into(),
            },
        }
    }
}

/// A user's name as the system's list of users has it, or its number.
fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    let known = name.filter(|name| PersonName::parse(name).is_ok());
    known.unwrap_or_else(|| format!("uid {uid}"))
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Name of the person or program.
    pub(super) name: String,
    /// Whose keys are whose: a token, or a user of the machine.
    pub(super) identity: String,
    rights: Rights,
    origin: Origin,
}

impl Caller {
    /// Who changes something now.
    pub(super) fn actor(&self, at: Timestamp) -> Actor {
        Actor {
            name: self.name.clone(),
            at,
            origin: self.origin.clone(),
        }
    }
}

/// Who lets money flow by hand, alone: whoever gives rights too.
const STARTERS: &[Role] = &[Role::Admin];

impl Caller {
    /// Refuses who may stop things by hand, when this would start one: `instead` says how two persons do it.
    pub(super) fn may_start(&self, instead: &str) -> Result<(), Refusal> {
        if self.rights.include(STARTERS) {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "another person needed",
            format!(
                "the role {} stops by hand and starts nothing; {instead}",
                self.rights.name()
            ),
        ))
    }
}

impl FromRequestParts<Admin> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _admin: &Admin) -> Result<Self, Refusal> {
        // Without the guard there is nobody, and nobody may do anything.
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Tokens in memory, so that asking for one never waits for an import; and what was refused.
#[derive(Debug, Default)]
pub(super) struct Gatekeeper {
    tokens: RwLock<Vec<Token>>,
    throttle: Mutex<Throttle>,
}

/// A token that fits.
struct Known {
    number: u64,
    name: String,
    role: Role,
}

impl Gatekeeper {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self {
            tokens: RwLock::new(tokens),
            throttle: Mutex::default(),
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a token that was given out or taken back.
    pub(super) fn put(&self, token: Token) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|known| known.number != token.number);
        tokens.push(token);
    }

    /// Whose token this is, if it is good now.
    fn holder(&self, text: &str, now: Timestamp) -> Option<Known> {
        let (number, secret) = token_parts(text)?;
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.iter().find(|token| token.number == number);
        // A number that nobody has takes as long as one that somebody has.
        let hash = known.map_or(TokenHash([0; 32]), |token| token.hash);
        let fits = hash.fits(&secret);
        let good = known.filter(|token| fits && token.is_good(now))?;
        Some(Known {
            number,
            name: good.name.as_str().to_owned(),
            role: good.role,
        })
    }
}

fn nobody() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "a good token is needed: `Authorization: Bearer pgt_…`; `posgate token create` gives one out",
    )
}

/// Sixteen hexadecimal digits by which a request is found in the audit trail and the log.
fn request_number() -> String {
    let mut bytes = [0; 8];
    if rand::fill(&mut bytes).is_err() {
        // Requests of one number are only harder to tell apart.
        bytes = [0; 8];
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets a request through to its handler, or refuses it.
pub(super) async fn guard(
    State(admin): State<Admin>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = request_number();
    let asked = Asked::of(&request);
    let mut response = match admit(&admin, asked, &number).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if let Ok(number) = HeaderValue::from_str(&number) {
        response.headers_mut().insert("x-request-id", number);
    }
    let sniffed = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, sniffed);
    let kept = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}

/// What is asked of whom: all that rights depend on.
struct Asked {
    peer: Option<Peer>,
    token: Option<String>,
    /// GET for HEAD, which is answered alike.
    method: Method,
    /// As the table has it; `None` for an address that is not there.
    path: Option<MatchedPath>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            peer: request.extensions().get().cloned(),
            token: bearer(request.headers()).map(str::to_owned),
            method: match request.method() {
                &Method::HEAD => Method::GET,
                other => other.clone(),
            },
            path: request.extensions().get().cloned(),
        }
    }
}

async fn admit(admin: &Admin, asked: Asked, number: &str) -> Result<Caller, Refusal> {
    let peer = asked.peer.as_ref().ok_or_else(nobody)?;
    let now = admin.clock.now();
    let caller = match (asked.token.as_deref(), peer) {
        (Some(text), _) => match admin.gatekeeper.holder(text, admin.clock.wall()) {
            Some(known) => {
                let wait = admin.gatekeeper.throttle().request(known.number, now);
                if let Some(wait) = wait {
                    let told = "this token makes more requests than it may";
                    return Err(Refusal::later("too many requests", told, wait));
                }
                Caller {
                    identity: format!("token {}", known.number),
                    rights: Rights::Of(known.role),
                    origin: origin(peer, known.role.name(), number),
                    name: known.name,
                }
            }
            None => return Err(failed(admin, peer, now, number).await),
        },
        (None, Peer::Socket { user, .. }) => Caller {
            name: user.to_string(),
            identity: format!("user {user}"),
            rights: Rights::All,
            origin: origin(peer, Rights::All.name(), number),
        },
        (None, Peer::Https { .. }) => return Err(failed(admin, peer, now, number).await),
    };
    permit(admin, &asked, &caller).await?;
    Ok(caller)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    // What cannot be read is a wrong token, not none.
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    Some(if scheme.eq_ignore_ascii_case("bearer") {
        token.trim()
    } else {
        ""
    })
}

fn origin(peer: &Peer, rights: &str, request: &str) -> Origin {
    let (channel, address) = match peer {
        Peer::Socket { address, .. } => (Channel::Socket, address.to_string()),
        Peer::Https {
            address,
            certificate: None,
        } => (Channel::Https, address.to_string()),
        Peer::Https {
            address,
            certificate: Some(certificate),
        } => (
            Channel::Https,
            format!("{address} certificate {certificate}"),
        ),
    };
    Origin {
        channel,
        address,
        rights: rights.to_owned(),
        request: request.to_owned(),
    }
}

/// Counts an attempt without a good token; the audit trail tells when an address is locked out for it. Who has a good
/// one gets in all the same: many may share an address, and nobody guesses a token.
async fn failed(admin: &Admin, peer: &Peer, now: Moment, number: &str) -> Refusal {
    let Peer::Https { address, .. } = peer else {
        return nobody();
    };
    let locked = admin.gatekeeper.throttle().locked(address.ip(), now);
    if let Some(wait) = locked {
        return Refusal::later(
            "locked out",
            "too many attempts without a good token came from this address; wait",
            wait,
        );
    }
    tracing::info!(%address, request = number, "a request without a good token");
    if admin.gatekeeper.throttle().failed(address.ip(), now) == Failed::LockedOut {
        tracing::warn!(address = %address.ip(), "an address is locked out: too many attempts without a good token");
        let mut actor = Actor::program("unknown", admin.clock.wall());
        actor.origin = origin(peer, "none", number);
        let subject = format!("address {}", address.ip());
        tell(admin, actor, Entry::new("access.locked_out", subject)).await;
    }
    nobody()
}

/// Whether the caller may do this: the table of routes says so.
async fn permit(admin: &Admin, asked: &Asked, caller: &Caller) -> Result<(), Refusal> {
    let Some(path) = &asked.path else {
        return Ok(());
    };
    let method = &asked.method;
    let roles = match routes::roles(method.as_str(), path.as_str()) {
        routes::Found::Roles(roles) => roles,
        // It will be told that there is no such method.
        routes::Found::OtherMethod => return Ok(()),
        routes::Found::Nothing => &[],
    };
    allow(admin, caller, roles, &format!("{method} {}", path.as_str())).await
}

impl Admin {
    /// Whether the caller may do this one of the things that an address does: the table of acts says so.
    pub(super) async fn permit_act(
        &self,
        caller: &Caller,
        path: &'static str,
        act: &str,
    ) -> Result<(), Refusal> {
        let roles = routes::act_roles(path, act);
        allow(self, caller, roles, &format!("POST {path} {act}")).await
    }

    /// Writes into the audit trail who is given a document. What cannot be written there is not given.
    pub(super) async fn tell_read(&self, caller: &Caller, read: Entry) -> Result<(), Refusal> {
        let actor = caller.actor(self.clock.wall());
        let registry = Arc::clone(&self.registry);
        blocking(move || Ok(registry.lock().tell(&actor, &read)?)).await
    }
}

/// Refuses who has none of these roles, and tells of it, though not each time.
async fn allow(admin: &Admin, caller: &Caller, roles: &[Role], what: &str) -> Result<(), Refusal> {
    if caller.rights.include(roles) {
        return Ok(());
    }
    let may: Vec<_> = roles.iter().map(|role| role.name()).collect();
    let (may, has) = (may.join(", "), caller.rights.name());
    let number = caller.identity.strip_prefix("token ");
    let number = number.and_then(|number| number.parse().ok());
    if number.is_none_or(|number| admin.gatekeeper.throttle().tells(number, admin.clock.now())) {
        let entry = Entry::new("access.denied", format!("route {what}"));
        tell(admin, caller.actor(admin.clock.wall()), entry).await;
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("the role {has} may not do this; it takes one of: {may}"),
    ))
}

/// Writes an event by itself. What it tells of was refused in any case.
async fn tell(admin: &Admin, actor: Actor, entry: Entry) {
    let registry = Arc::clone(&admin.registry);
    let told = blocking(move || Ok(registry.lock().tell(&actor, &entry)?)).await;
    if let Err(problem) = told {
        tracing::error!(?problem, "an audit event could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_as_the_system_names_them() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_000), "uid 4000000000");
    }

    #[test]
    fn only_a_bearer_token_is_one() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer pgt_1_x").as_deref(), Some("pgt_1_x"));
        assert_eq!(read("bearer  pgt_1_x ").as_deref(), Some("pgt_1_x"));
        // Not nobody: somebody with a wrong one.
        assert_eq!(read("Basic cGd0").as_deref(), Some(""));
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
