//! What follows an earlier transaction: may it, and for how much?
//!
//! | request | wants of its original | and of the amount |
//! |---|---|---|
//! | void | known, standing, nothing follows it, books the opposite | the same |
//! | completion | standing, new money that books nothing, not voided, not completed | at most 115 % of it |
//! | refund | standing, not voided, books the opposite, is no refund itself | with all refunds before, not more than it |
//!
//! All of them want the same card, as far as both show one, and the same currency. What a request books (its
//! dialect's `books`) tells a sale from a pre-authorisation: a void that gives back what was never taken, or a
//! refund of a refund, is not its opposite.
//!
//! An original that is not known here may be known to the host, which decides then: it was made elsewhere,
//! or is older than what is kept. Only a void, which undoes what this terminal did in its open batch,
//! must find its own.

use std::collections::HashMap;

use crate::base::{Currency, MaskedPan, RequestType, TxnId};

/// An original as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is approved and nothing undoes it.
    pub approved: bool,
    /// Amount that counts, minor units.
    pub booked: u64,
    /// Its currency; `None` when it is not known.
    pub currency: Option<Currency>,
    /// Kind for the gate.
    pub kind: RequestType,
    /// What it books: +1 the merchant's favour, -1 the customer's, 0 nothing.
    pub sign: i8,
    /// Its card, masked.
    pub card: MaskedPan,
    /// What follows it already.
    pub follow_ups: FollowUps,
}

/// A request that names an original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// Kind for the gate.
    pub kind: RequestType,
    /// What it books, as [`Standing::sign`].
    pub sign: i8,
    /// Amount, minor units.
    pub amount: u64,
    /// Its currency; `None` when it names none.
    pub currency: Option<Currency>,
    /// Its card, masked.
    pub card: MaskedPan,
}

/// Whether what follows a transaction may still come to nothing. Of several the last one named here counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// It stands.
    #[default]
    Stands,
    /// A person has to decide about it.
    Parked,
    /// It may, by itself and soon.
    Open,
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
    /// That of the least certain of them.
    pub certainty: Certainty,
}

impl FollowUps {
    /// Counts one more.
    pub fn count(&mut self, kind: RequestType, amount: u64, certainty: Certainty) {
        match kind {
            RequestType::Void => self.voided = true,
            RequestType::Completion => self.completed = true,
            RequestType::Refund => self.refunded = self.refunded.saturating_add(amount),
            _ => return,
        }
        self.certainty = self.certainty.max(certainty);
    }
}

/// Why a request may not follow its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowing {
    /// It is not known here.
    Unknown,
    /// It is no transaction that a request of this kind follows.
    Kind,
    /// It was made with another card.
    Card,
    /// It was made in another currency.
    Currency,
    /// It does not stand, or has been followed as far as it can be.
    NotStanding,
    /// The amount is more than is left, or not the same.
    Amount,
}

/// Completions may exceed their pre-authorisation by so much, per cent (tips; the rule of the card schemes).
const COMPLETION_PERCENT_MAX: u64 = 115;

/// Whether a request may follow its original.
///
/// # Errors
/// Why it may not.
pub fn may_follow(following: &Following, original: Option<&Standing>) -> Result<(), NotFollowing> {
    let asked = following.amount;
    let Some(original) = original else {
        return if following.kind == RequestType::Void {
            Err(NotFollowing::Unknown)
        } else {
            Ok(())
        };
    };
    let FollowUps {
        voided,
        completed,
        refunded,
        certainty: _,
    } = original.follow_ups;
    let (free, fits) = match following.kind {
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
    if !is_of_its_kind(following, original) {
        return Err(NotFollowing::Kind);
    }
    let (card, other) = (following.card, original.card);
    if card != MaskedPan::NONE && other != MaskedPan::NONE && card != other {
        return Err(NotFollowing::Card);
    }
    if let (Some(currency), Some(other)) = (following.currency, original.currency)
        && currency != other
    {
        return Err(NotFollowing::Currency);
    }
    if !original.approved || !free {
        return Err(NotFollowing::NotStanding);
    }
    if fits {
        Ok(())
    } else {
        Err(NotFollowing::Amount)
    }
}

/// Which of the transactions at one place a request means, given by their reference numbers, its own binding's first.
/// A terminal that took over from another one numbers like that one, so there may be several: the number that the request
/// names decides. Where it names none of theirs it means another one, unless they have none.
#[must_use]
pub fn meant_by(found: &[Option<&str>], named: Option<&str>) -> Option<usize> {
    if found.len() > 1
        && let Some(named) = named
    {
        let same = found.iter().position(|rrn| *rrn == Some(named));
        return same.or_else(|| found.iter().position(Option::is_none));
    }
    (!found.is_empty()).then_some(0)
}

/// Whether the original is something that a void, completion or refund of this sign follows.
const fn is_of_its_kind(following: &Following, original: &Standing) -> bool {
    let takes = matches!(
        original.kind,
        RequestType::NewMoney | RequestType::Completion | RequestType::Advice
    );
    match following.kind {
        RequestType::Completion => {
            matches!(original.kind, RequestType::NewMoney) && original.sign == 0
        }
        RequestType::Refund => takes && original.sign == -following.sign,
        // A void of a load is not among the totals: it books nothing though the load did.
        RequestType::Void if following.sign == 0 => takes && original.sign <= 0,
        // What a refund gave may be taken back by a void that books the other way.
        RequestType::Void => {
            (takes || matches!(original.kind, RequestType::Refund))
                && original.sign == -following.sign
        }
        _ => true,
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

/// What a reversal does to an original that others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undoing {
    /// Nothing follows it: it is undone.
    Free,
    /// It is voided: there is nothing left to undo.
    Voided,
    /// It is completed or refunded, or may be once a person has decided: undoing it too could give the money back
    /// twice.
    Followed,
    /// What follows it is on its way: nobody can say yet.
    Open,
}

impl Undoing {
    /// By what follows the original.
    #[must_use]
    pub const fn of(follow_ups: &FollowUps) -> Self {
        match *follow_ups {
            FollowUps {
                certainty: Certainty::Open,
                ..
            } => Self::Open,
            FollowUps {
                certainty: Certainty::Parked,
                ..
            } => Self::Followed,
            FollowUps { voided: true, .. } => Self::Voided,
            FollowUps {
                completed,
                refunded,
                ..
            } if completed || refunded > 0 => Self::Followed,
            FollowUps { .. } => Self::Free,
        }
    }
}

/// Follow-ups that were accepted and that the store may not show yet, by what they follow.
///
/// Of two that are judged before the first one stands in the store, the second would not know of it. Whoever
/// accepts claims, whoever judges counts the claims too, and both are done by one thread.
#[derive(Debug, Default)]
pub struct Claims {
    by_original: HashMap<TxnId, Vec<Claim>>,
    claims: usize,
    /// How many there may be before those that the store shows are looked for.
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    follower: TxnId,
    kind: RequestType,
    amount: u64,
}

/// Claims that are kept without asking whether the store shows them by now.
const CLAIMS_UNASKED: usize = 1_024;

impl Claims {
    /// A follow-up was accepted.
    pub fn claim(&mut self, original: TxnId, follower: TxnId, kind: RequestType, amount: u64) {
        let claim = Claim {
            follower,
            kind,
            amount,
        };
        self.by_original.entry(original).or_default().push(claim);
        self.claims += 1;
    }

    /// Counts what was claimed of an original and is not shown yet; forgets what is.
    ///
    /// # Errors
    /// Those of `shown`.
    pub fn count_in<E>(
        &mut self,
        original: TxnId,
        follow_ups: &mut FollowUps,
        mut shown: impl FnMut(TxnId) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Some(claims) = self.by_original.get_mut(&original) else {
            return Ok(());
        };
        let mut kept = Vec::new();
        for claim in claims.iter() {
            if !shown(claim.follower)? {
                follow_ups.count(claim.kind, claim.amount, Certainty::Open);
                kept.push(*claim);
            }
        }
        self.claims -= claims.len() - kept.len();
        if kept.is_empty() {
            self.by_original.remove(&original);
        } else {
            *claims = kept;
        }
        Ok(())
    }

    /// Forgets what the store shows, when there are many.
    ///
    /// # Errors
    /// Those of `shown`.
    pub fn sweep<E>(&mut self, mut shown: impl FnMut(TxnId) -> Result<bool, E>) -> Result<(), E> {
        if self.claims < self.sweep_at.max(CLAIMS_UNASKED) {
            return Ok(());
        }
        let originals: Vec<_> = self.by_original.keys().copied().collect();
        for original in originals {
            self.count_in(original, &mut FollowUps::default(), &mut shown)?;
        }
        self.sweep_at = self.claims * 2;
        Ok(())
    }

    #[cfg(test)]
    const fn len(&self) -> usize {
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RequestType::{Completion, NewMoney, Refund, Void};

    const SALE: Standing = Standing {
        approved: true,
        booked: 1_000,
        currency: Some(Currency::CNY),
        kind: NewMoney,
        sign: 1,
        card: MaskedPan::NONE,
        follow_ups: FollowUps {
            voided: false,
            completed: false,
            refunded: 0,
            certainty: Certainty::Stands,
        },
    };
    const PRE_AUTHORISATION: Standing = Standing { sign: 0, ..SALE };

    fn following(kind: RequestType, amount: u64) -> Following {
        Following {
            kind,
            sign: match kind {
                Void | Refund => -1,
                Completion => 1,
                _ => 0,
            },
            amount,
            currency: Some(Currency::CNY),
            card: MaskedPan::NONE,
        }
    }

    fn check(
        kind: RequestType,
        asked: u64,
        original: Option<Standing>,
        expect: Result<(), NotFollowing>,
    ) {
        let found = may_follow(&following(kind, asked), original.as_ref());
        assert_eq!(found, expect, "{kind:?} of {asked} after {original:?}");
    }

    #[test]
    fn of_several_at_one_place_the_reference_number_decides() {
        let check = |found: &[Option<&str>], named, expect| {
            assert_eq!(meant_by(found, named), expect, "{found:?} {named:?}");
        };
        check(&[], Some("A"), None);
        // A place that is one transaction's alone is enough.
        check(&[Some("A")], Some("B"), Some(0));
        check(&[Some("A"), Some("B")], Some("A"), Some(0));
        check(&[Some("A"), Some("B")], Some("B"), Some(1));
        check(&[Some("A"), Some("B")], Some("C"), None);
        check(&[Some("A"), Some("A")], Some("A"), Some(0));
        check(&[Some("A"), Some("B")], None, Some(0));
        check(&[Some("A"), None], Some("B"), Some(1));
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
        check(Completion, 1_150, Some(PRE_AUTHORISATION), Ok(()));
        check(Completion, 1_151, Some(PRE_AUTHORISATION), Err(Amount));
        let completed = Standing {
            follow_ups: FollowUps {
                completed: true,
                ..FollowUps::default()
            },
            ..PRE_AUTHORISATION
        };
        check(Completion, 1, Some(completed), Err(NotStanding));
        check(Completion, 1, None, Ok(()));
        check(NewMoney, u64::MAX, Some(completed), Ok(()));
    }

    #[test]
    fn only_what_was_taken_is_given_back_and_only_what_was_reserved_is_completed() {
        use NotFollowing::Kind;
        let refund = Standing {
            kind: Refund,
            sign: -1,
            ..SALE
        };
        let void = Standing {
            kind: Void,
            sign: -1,
            ..SALE
        };
        let completed = Standing {
            kind: Completion,
            ..SALE
        };
        let load = Standing { sign: -1, ..SALE };
        check(Void, 1_000, Some(PRE_AUTHORISATION), Err(Kind));
        check(Void, 1_000, Some(void), Err(Kind));
        check(Void, 1_000, Some(refund), Err(Kind));
        check(Void, 1_000, Some(completed), Ok(()));
        check(Refund, 1_000, Some(PRE_AUTHORISATION), Err(Kind));
        check(Refund, 1_000, Some(refund), Err(Kind));
        check(Refund, 1_000, Some(void), Err(Kind));
        check(Refund, 1_000, Some(completed), Ok(()));
        check(Completion, 1_000, Some(SALE), Err(Kind));
        check(Completion, 1_000, Some(load), Err(Kind));
        let books = |kind, sign, original: Standing| {
            let one = Following {
                sign,
                ..following(kind, 1_000)
            };
            may_follow(&one, Some(&original))
        };
        assert_eq!(books(Void, 0, PRE_AUTHORISATION), Ok(()));
        assert_eq!(books(Void, 0, load), Ok(()));
        assert_eq!(books(Void, 0, SALE), Err(Kind));
        assert_eq!(books(Void, 1, refund), Ok(()));
        // A network that books at clearing gives back what it booked nothing for.
        assert_eq!(books(Refund, 0, PRE_AUTHORISATION), Ok(()));
        assert_eq!(books(Refund, 0, SALE), Err(Kind));
    }

    #[test]
    fn card_and_currency_are_the_originals_where_both_name_one() {
        let card = MaskedPan::of(b"6226220000000048");
        let other = MaskedPan::of(b"6226220000000055");
        let asks = |card, currency| Following {
            card,
            currency,
            ..following(Refund, 10)
        };
        let sold = Standing { card, ..SALE };
        let yuan = Some(Currency::CNY);
        let dollars = Currency::from_slice(b"840");
        assert_eq!(may_follow(&asks(card, yuan), Some(&sold)), Ok(()));
        assert_eq!(
            may_follow(&asks(MaskedPan::NONE, yuan), Some(&sold)),
            Ok(())
        );
        assert_eq!(may_follow(&asks(card, None), Some(&sold)), Ok(()));
        assert_eq!(may_follow(&asks(other, yuan), Some(&SALE)), Ok(()));
        assert_eq!(
            may_follow(&asks(other, yuan), Some(&sold)),
            Err(NotFollowing::Card)
        );
        assert_eq!(
            may_follow(&asks(card, dollars), Some(&sold)),
            Err(NotFollowing::Currency)
        );
    }

    #[test]
    fn what_is_followed_is_not_undone_too() {
        let of = |kind, certainty| {
            let mut follow_ups = FollowUps::default();
            follow_ups.count(kind, 10, certainty);
            Undoing::of(&follow_ups)
        };
        assert_eq!(Undoing::of(&FollowUps::default()), Undoing::Free);
        assert_eq!(of(NewMoney, Certainty::Open), Undoing::Free);
        assert_eq!(of(Void, Certainty::Stands), Undoing::Voided);
        assert_eq!(of(Refund, Certainty::Stands), Undoing::Followed);
        assert_eq!(of(Completion, Certainty::Stands), Undoing::Followed);
        for kind in [Void, Refund, Completion] {
            assert_eq!(of(kind, Certainty::Open), Undoing::Open);
            assert_eq!(of(kind, Certainty::Parked), Undoing::Followed);
        }
        assert_eq!(of(NewMoney, Certainty::Parked), Undoing::Free);
    }

    #[test]
    fn what_was_claimed_counts_until_the_store_shows_it() {
        let sale = TxnId(1);
        let mut claims = Claims::default();
        let count = |claims: &mut Claims, shown: u64| {
            let mut follow_ups = FollowUps::default();
            let is_shown = |txn: TxnId| Ok::<_, ()>(txn.0 <= shown);
            claims.count_in(sale, &mut follow_ups, is_shown).unwrap();
            follow_ups.refunded
        };
        claims.claim(sale, TxnId(2), Refund, 5);
        claims.claim(sale, TxnId(3), Refund, 7);
        claims.claim(TxnId(9), TxnId(4), Void, 7);
        assert_eq!(count(&mut claims, 1), 12);
        assert_eq!(count(&mut claims, 2), 7);
        // Whoever said that it is shown says so again.
        assert_eq!(count(&mut claims, 1), 7);
        assert_eq!(count(&mut claims, 3), 0);
        assert_eq!(claims.len(), 1);
    }

    #[test]
    fn voids_completions_and_refunds_follow_an_original() {
        let follow: Vec<_> = RequestType::ALL
            .into_iter()
            .filter(|kind| follows(*kind))
            .collect();
        assert_eq!(follow.len(), 3);
        assert!(
            [Void, Completion, Refund]
                .iter()
                .all(|kind| follow.contains(kind))
        );
    }

    #[test]
    fn claims_are_asked_about_when_there_are_as_many_as_are_left_alone() {
        let mut claims = Claims::default();
        let many = u64::try_from(CLAIMS_UNASKED).unwrap();
        for n in 1..many {
            claims.claim(TxnId(n), TxnId(n + many), Void, 1);
        }
        claims.sweep(|_| Err(())).unwrap();
        claims.claim(TxnId(many), TxnId(2 * many), Void, 1);
        claims.sweep(|_| Ok::<_, ()>(true)).unwrap();
        assert_eq!(claims.len(), 0);
    }

    #[test]
    fn many_claims_are_looked_through() {
        let mut claims = Claims::default();
        for n in 0..10 * u64::try_from(CLAIMS_UNASKED).unwrap() {
            claims.claim(TxnId(n), TxnId(n + 1), Void, 1);
            claims.sweep(|_| Ok::<_, ()>(true)).unwrap();
            assert!(claims.len() <= CLAIMS_UNASKED);
        }
        // None of them is shown: they are kept, and asked about ever more seldom.
        let mut asked = 0;
        for n in 0..10 * u64::try_from(CLAIMS_UNASKED).unwrap() {
            claims.claim(TxnId(n), TxnId(n + 1), Void, 1);
            let shown = |_| {
                asked += 1;
                Ok::<_, ()>(false)
            };
            claims.sweep(shown).unwrap();
        }
        assert!(claims.len() >= 10 * CLAIMS_UNASKED);
        assert!(asked < 40 * CLAIMS_UNASKED, "{asked}");
    }
}
