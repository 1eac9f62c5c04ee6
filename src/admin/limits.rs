//! Limits: how much a terminal, an account or a merchant may take, and how much it took.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, merchant_id, one_of};
use super::extract::{IfMatch, Path, SeenVersion, Write, versioned};
use super::problem::{Refusal, blocking};
use super::terminals::{acquirer_of, called, key_of};
use crate::base::Currency;
use crate::binding::Directory;
use crate::binding::limit::{Day, LimitScope, Limits, Sum, Used};
use crate::store::command::{AccountName, Command, LimitRow, Limited};
use crate::store::{BindingRow, Registry, StoreError};
use crate::switch::day_of;

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new().routes(routes!(show, set))
}

/// A limit, and what was taken of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
pub(super) struct Shown {
    /// terminal, account or merchant
    scope: &'static str,
    acquirer: String,
    /// Terminal id, reference of the account, or merchant id
    name: String,
    /// Its ETag; 0 before it was set for the first time
    version: u32,
    /// As in DE49
    currency: String,
    day: Span,
    month: Span,
}

/// A day or a month.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitSpan)]
struct Span {
    /// Local date, 2026-11-22, or month, 2026-11
    of: String,
    /// Most that may be taken, in the currency's smallest unit; null for as much as there is
    amount_max: Option<u64>,
    /// What was taken; null where nobody counts
    amount_used: Option<u64>,
    /// Most transactions; null for as many as there are
    count_max: Option<u64>,
    /// How many there were; null where nobody counts
    count_used: Option<u64>,
}

/// What may be taken from now on. What is absent is not limited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLimits {
    /// As in DE49; needed with amounts
    #[serde(default)]
    currency: String,
    /// Most on a day, in the currency's smallest unit
    day_amount: Option<u64>,
    /// Most transactions on a day
    day_count: Option<u64>,
    /// Most in a month, in the currency's smallest unit
    month_amount: Option<u64>,
    /// Most transactions in a month
    month_count: Option<u64>,
    /// Why
    #[serde(default)]
    note: String,
    /// Number of the evidence (raise-limit) that another person filed, where more may be taken than before
    evidence: Option<u64>,
}

impl Shown {
    fn of(row: &LimitRow, acquirer: &str, name: &str, directory: &Directory, today: Day) -> Self {
        let used = directory.counters().used(row.name, today);
        let used = used.map(|(_, used)| used);
        let (day, month) = (today.0 % 100, today.0 / 100 % 100);
        let month_text = format!("{:04}-{month:02}", today.0 / 10_000);
        let sum = |part: fn(&Used) -> Sum| used.as_ref().map(part);
        let span = |of: String, sum: Option<Sum>, amount, count| Span {
            of,
            amount_max: amount,
            amount_used: sum.map(|sum| sum.minor),
            count_max: count,
            count_used: sum.map(|sum| sum.count),
        };
        Self {
            scope: row.name.scope.name(),
            acquirer: acquirer.to_owned(),
            name: name.to_owned(),
            version: row.version,
            currency: row.limits.currency.to_string(),
            day: span(
                format!("{month_text}-{day:02}"),
                sum(|used| used.today),
                row.limits.day_amount,
                row.limits.day_count,
            ),
            month: span(
                month_text,
                sum(|used| used.month),
                row.limits.month_amount,
                row.limits.month_count,
            ),
        }
    }
}

/// All limits that concern a terminal.
pub(super) fn concerning(
    registry: &mut dyn Registry,
    directory: &Directory,
    today: Day,
    row: &BindingRow,
    acquirer: &str,
) -> Result<Vec<Shown>, StoreError> {
    let acquirer_id = row.key.acquirer;
    let others = row.others.iter().map(|other| &other.reference);
    let accounts = std::iter::once(&row.account).chain(others);
    let accounts = accounts.map(|reference| {
        let account = AccountName {
            acquirer: acquirer_id,
            reference: reference.clone(),
        };
        (Limited::Account(account), reference.clone())
    });
    let merchant = row.admission.merchant;
    let terminal = (Limited::Terminal(row.key), row.key.terminal.to_string());
    let merchant = (
        Limited::Merchant(acquirer_id, merchant),
        merchant.to_string(),
    );
    let all = std::iter::once(terminal).chain(accounts).chain([merchant]);
    let mut shown = Vec::new();
    for (of, name) in all {
        if let Some(row) = registry.limit_row(&of)?.filter(|row| row.version > 0) {
            shown.push(Shown::of(&row, acquirer, &name, directory, today));
        }
    }
    Ok(shown)
}

fn limited(
    registry: &mut dyn Registry,
    scope: &str,
    acquirer: &str,
    name: &str,
) -> Result<Limited, Refusal> {
    Ok(match one_of!(LimitScope, "scope", scope)? {
        LimitScope::Terminal => Limited::Terminal(key_of(registry, acquirer, name)?),
        LimitScope::Account => Limited::Account(AccountName {
            acquirer: acquirer_of(registry, acquirer)?,
            reference: name.to_owned(),
        }),
        LimitScope::Merchant => {
            Limited::Merchant(acquirer_of(registry, acquirer)?, merchant_id(name)?)
        }
    })
}

/// What a limit is of, as it stands in the address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct Of {
    /// terminal, account or merchant
    scope: String,
    acquirer: String,
    /// Terminal id, reference of the account, or merchant id
    name: String,
}

/// How much may be taken, and how much was taken today and this month
#[utoipa::path(
    get, path = "/v1/limits/{scope}/{acquirer}/{name}", tag = "limits",
    params(Of),
    responses((status = 200, body = Shown))
)]
async fn show(
    State(admin): State<Admin>,
    Path(Of {
        scope,
        acquirer,
        name,
    }): Path<Of>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let of = limited(registry.as_mut(), &scope, &acquirer, &name)?;
        let row = registry.limit_row(&of)?;
        let row = row.ok_or_else(|| match of {
            Limited::Terminal(_) => Refusal::unknown("terminal", &name),
            Limited::Account(_) => Refusal::unknown("account", &name),
            Limited::Merchant(..) => Refusal::unknown("merchant", &name),
        })?;
        let (acquirer, name) = match of {
            Limited::Terminal(key) => called(registry.as_mut(), key)?,
            Limited::Account(_) | Limited::Merchant(..) => (acquirer, name),
        };
        let today = day_of(admin.clock.wall());
        let shown = Shown::of(&row, &acquirer, &name, admin.registry.directory(), today);
        Ok(versioned(Json(shown), row.version))
    })
    .await
}

/// Set how much may be taken; the gate knows it, and what was taken already, when this answers
#[utoipa::path(
    put, path = "/v1/limits/{scope}/{acquirer}/{name}", tag = "limits",
    params(Of, SeenVersion),
    request_body = NewLimits, responses((status = 200, body = Outcome))
)]
async fn set(
    State(admin): State<Admin>,
    Path(Of {
        scope,
        acquirer,
        name,
    }): Path<Of>,
    IfMatch(version): IfMatch,
    write: Write<NewLimits>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewLimits| {
        let currency = match new.currency.as_str() {
            "" => Currency::NONE,
            text => Currency::from_slice(text.as_bytes())
                .ok_or_else(|| Refusal::unfit("currency must be three digits, as 156"))?,
        };
        Ok(Command::SetLimits {
            of: limited(registry, &scope, &acquirer, &name)?,
            limits: Limits {
                currency,
                day_amount: new.day_amount,
                day_count: new.day_count,
                month_amount: new.month_amount,
                month_count: new.month_count,
            },
            note: new.note,
            evidence: new.evidence,
        })
    };
    let answer = admin.command(write, version, make).await?;
    admin.tell_past().await;
    Ok(answer)
}

impl Admin {
    /// Tells the counters of limits that were just set what was taken before. The limit stands whatever comes of it:
    /// what cannot be read now is read within a minute.
    async fn tell_past(&self) {
        let told = async {
            if let Ok(durable) = self.switch.flushed() {
                // Its other end goes only when the process ends.
                let _ending = durable.await;
            }
            self.questions.caught_up().await?;
            let switch = self.switch.clone();
            self.questions
                .ask(move |inquiry| Ok(switch.tell_past(&mut inquiry.reader)?))
                .await
        };
        if let Err(problem) = told.await {
            tracing::warn!(
                ?problem,
                "what was taken before a limit was set cannot be read yet"
            );
        }
    }
}
