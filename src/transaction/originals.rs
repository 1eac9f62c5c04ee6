//! What follows an earlier transaction: may it, and for how much?
//!
//! | request | wants of its original | and of the amount |
//! |---|---|---|
//! | void | known, standing, nothing follows it | the same |
//! | completion | standing, not voided, not completed | at most 115 % of it |
//! | refund | standing, not voided | with all refunds before, not more than it |
//!
//! An original that is not known here may be known to the host, which decides then: it was made elsewhere,
//! or is older than what is kept. Only a void, which undoes what this terminal did in its open batch,
//! must find its own.

use crate::base::RequestType;

/// An original as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is approved and nothing undoes it.
    pub approved: bool,
    /// Amount that counts, minor units.
    pub booked: u64,
    /// What follows it already.
    pub follow_ups: FollowUps,
}

/// What follows a transaction and stands, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowUps {
    /// Whether it is voided.
    pub voided: bool,
    /// Whether it is completed.
    pub completed: bool,
    /// Sum of its refunds, minor units.
    pub refunded: u64,
}

/// Why a request may not follow its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowing {
    /// It is not known here.
    Unknown,
    /// It does not stand, or has been followed as far as it can be.
    NotStanding,
    /// The amount is more than is left, or not the same.
    Amount,
}

/// Completions may exceed their pre-authorisation by so much, per cent (tips; the rule of the card schemes).
const COMPLETION_PERCENT_MAX: u64 = 115;

/// Whether a request for `asked` minor units may follow its original.
///
/// # Errors
/// Why it may not.
pub fn may_follow(
    kind: RequestType,
    asked: u64,
    original: Option<&Standing>,
) -> Result<(), NotFollowing> {
    let Some(original) = original else {
        return if kind == RequestType::Void {
            Err(NotFollowing::Unknown)
        } else {
            Ok(())
        };
    };
    let FollowUps {
        voided,
        completed,
        refunded,
    } = original.follow_ups;
    let (free, fits) = match kind {
        RequestType::Void => (
            !voided && !completed && refunded == 0,
            asked == original.booked,
        ),
        RequestType::Completion => (
            !voided && !completed,
            asked <= original.booked.saturating_mul(COMPLETION_PERCENT_MAX) / 100,
        ),
        RequestType::Refund => (!voided, asked.saturating_add(refunded) <= original.booked),
        RequestType::Echo
        | RequestType::SignOn
        | RequestType::SignOff
        | RequestType::CodeEntry
        | RequestType::Download
        | RequestType::Enquiry
        | RequestType::NewMoney
        | RequestType::Reversal
        | RequestType::QrQuery
        | RequestType::Advice
        | RequestType::Settlement
        | RequestType::Trailer => return Ok(()),
    };
    if !original.approved || !free {
        return Err(NotFollowing::NotStanding);
    }
    if fits {
        Ok(())
    } else {
        Err(NotFollowing::Amount)
    }
}

/// Whether a request of this kind is judged by the original that it names.
#[must_use]
pub const fn follows(kind: RequestType) -> bool {
    matches!(
        kind,
        RequestType::Void | RequestType::Completion | RequestType::Refund
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use RequestType::{Completion, NewMoney, Refund, Void};

    const SALE: Standing = Standing {
        approved: true,
        booked: 1_000,
        follow_ups: FollowUps {
            voided: false,
            completed: false,
            refunded: 0,
        },
    };

    fn check(
        kind: RequestType,
        asked: u64,
        original: Option<Standing>,
        expect: Result<(), NotFollowing>,
    ) {
        let found = may_follow(kind, asked, original.as_ref());
        assert_eq!(found, expect, "{kind:?} of {asked} after {original:?}");
    }

    #[test]
    fn a_void_undoes_the_whole_of_what_stands_and_nobody_else_has_touched() {
        use NotFollowing::{Amount, NotStanding, Unknown};
        check(Void, 1_000, Some(SALE), Ok(()));
        check(Void, 1_000, None, Err(Unknown));
        check(Void, 999, Some(SALE), Err(Amount));
        let undone = Standing {
            approved: false,
            ..SALE
        };
        check(Void, 1_000, Some(undone), Err(NotStanding));
        for follow_ups in [
            FollowUps {
                voided: true,
                ..FollowUps::default()
            },
            FollowUps {
                completed: true,
                ..FollowUps::default()
            },
            FollowUps {
                refunded: 1,
                ..FollowUps::default()
            },
        ] {
            let followed = Standing { follow_ups, ..SALE };
            check(Void, 1_000, Some(followed), Err(NotStanding));
        }
    }

    #[test]
    fn refunds_together_do_not_exceed_their_original() {
        use NotFollowing::{Amount, NotStanding};
        let refunded = |refunded| Standing {
            follow_ups: FollowUps {
                refunded,
                ..FollowUps::default()
            },
            ..SALE
        };
        check(Refund, 1_000, Some(SALE), Ok(()));
        check(Refund, 1_001, Some(SALE), Err(Amount));
        check(Refund, 400, Some(refunded(600)), Ok(()));
        check(Refund, 401, Some(refunded(600)), Err(Amount));
        check(Refund, u64::MAX, Some(refunded(1)), Err(Amount));
        check(Refund, 5_000, None, Ok(()));
        let voided = Standing {
            follow_ups: FollowUps {
                voided: true,
                ..FollowUps::default()
            },
            ..SALE
        };
        check(Refund, 1, Some(voided), Err(NotStanding));
    }

    #[test]
    fn a_pre_authorisation_is_completed_once_and_for_little_more() {
        use NotFollowing::{Amount, NotStanding};
        check(Completion, 1_150, Some(SALE), Ok(()));
        check(Completion, 1_151, Some(SALE), Err(Amount));
        let completed = Standing {
            follow_ups: FollowUps {
                completed: true,
                ..FollowUps::default()
            },
            ..SALE
        };
        check(Completion, 1, Some(completed), Err(NotStanding));
        check(Completion, 1, None, Ok(()));
        check(NewMoney, u64::MAX, Some(completed), Ok(()));
    }
}
