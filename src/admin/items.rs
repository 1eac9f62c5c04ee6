//! Verbs over several things: each is answered for itself, and what is refused for one leaves the others done.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::Refusal;
use crate::base::limits;

/// What a verb over several things answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Items {
    /// In the order of the request
    items: Vec<Item>,
    /// How many were done
    done: usize,
    /// How many were refused
    refused: usize,
}

/// What came of one of them.
#[derive(Debug, Serialize, ToSchema)]
struct Item {
    /// Which one, by the names of the request
    of: Value,
    /// HTTP status, as if it had been asked for by itself
    status: u16,
    /// What it is now; null when it was refused
    result: Value,
    /// Why it was refused; null when it was done
    problem: Value,
}

/// What came of one thing.
#[derive(Debug)]
pub(super) struct Told {
    of: Value,
    came: Result<Value, Refusal>,
}

impl Told {
    /// Of the thing that `of` names.
    pub(super) const fn new(of: Value, came: Result<Value, Refusal>) -> Self {
        Self { of, came }
    }
}

/// Does each, one after the other in one transaction, and tells of all of them. What a refused one began to
/// change, it has to take back itself: a change of the registry does. A failure of ours fails all of them.
pub(super) fn each<T>(items: Vec<T>, mut act: impl FnMut(T) -> Told) -> Result<Value, Refusal> {
    checked_count(items.len())?;
    let mut told = Vec::with_capacity(items.len());
    for item in items {
        let one = act(item);
        match one.came {
            Err(failure) if failure.status().is_server_error() => return Err(failure),
            Ok(_) | Err(_) => told.push(one),
        }
    }
    Ok(all(told))
}

/// Whether so many may be asked for at once.
pub(super) fn checked_count(count: usize) -> Result<(), Refusal> {
    if (1..=limits::ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Refusal::unfit(format!(
        "1 to {} at once, not {count}",
        limits::ITEMS_MAX
    )))
}

/// The answer about all of them.
pub(super) fn all(told: Vec<Told>) -> Value {
    let done = told.iter().filter(|told| told.came.is_ok()).count();
    let refused = told.len() - done;
    let item = |told: Told| match told.came {
        Ok(result) => Item {
            of: told.of,
            status: 200,
            result,
            problem: Value::Null,
        },
        Err(refusal) => Item {
            of: told.of,
            status: refusal.status().as_u16(),
            result: Value::Null,
            problem: refusal.shown(),
        },
    };
    let items = told.into_iter().map(item).collect();
    let all = Items {
        items,
        done,
        refused,
    };
    serde_json::to_value(all).unwrap_or_else(|_never| json!({}))
}
