//! Holds: restrictions beside the state of a binding, each on one scope and each explained.
//!
//! ```text
//!            appeal
//!  PLACED ───────────▶ APPEALED
//!     │                   │
//!     └───────lift────────┴──────▶ LIFTED
//! ```
//!
//! Whoever is restricted must be told the reason, the remedy and how to appeal, and is freed at once when
//! the check passes (the law against telecom fraud, article 32): a hold without them is not placed. Who
//! placed a hold does not lift it alone.

use crate::base::note::words;

use super::named::{named_enum, named_set};
use super::refusal::{Refusal, only_in, two_persons};

named_enum!(
    /// What a hold stops.
    HoldScope {
        /// New money, enquiries, completions and refunds, as if the binding were suspended.
        Acceptance = "acceptance",
        /// Payout: transactions are taken and their settlement is held.
        Settlement = "settlement",
        /// Refunds.
        Refund = "refund",
        /// Downloads of keys and parameters.
        Download = "download",
    }
);

named_set!(
    /// The scopes that are held for a binding.
    HoldSet of HoldScope
);

named_enum!(
    /// Where a hold stands.
    HoldState {
        /// In force.
        Placed = "placed",
        /// In force; the merchant objects.
        Appealed = "appealed",
        /// Over.
        Lifted = "lifted",
    }
);

impl HoldState {
    /// Whether it restricts anything.
    #[must_use]
    pub const fn is_in_force(self) -> bool {
        match self {
            Self::Placed | Self::Appealed => true,
            Self::Lifted => false,
        }
    }

    /// The merchant objects.
    ///
    /// # Errors
    /// When it did already, or the hold is over.
    pub fn appeal(self) -> Result<Self, Refusal> {
        let remedy = "the appeal is being looked at, or the hold is over";
        only_in(
            ("hold", self, self.name()),
            &[Self::Placed],
            "appealed against",
            remedy,
        )?;
        Ok(Self::Appealed)
    }

    /// Somebody other than who placed it ends it.
    ///
    /// # Errors
    /// When it is over already, or the same person placed it.
    pub fn lift(self, placed_by: &str, by: &str) -> Result<Self, Refusal> {
        let thing = ("hold", self, self.name());
        only_in(
            thing,
            &[Self::Placed, Self::Appealed],
            "lifted",
            "nothing is held by it",
        )?;
        two_persons(placed_by, by)?;
        Ok(Self::Lifted)
    }
}

/// What has to be said when a hold is placed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Explained {
    /// Why.
    pub reason: String,
    /// What ends it.
    pub remedy: String,
    /// What the merchant has to bring; may be empty when nothing is needed.
    pub documents: String,
    /// Where and how to appeal.
    pub appeal: String,
}

impl Explained {
    /// # Errors
    /// When something is not said.
    pub fn check(&self) -> Result<(), Refusal> {
        for (what, text) in [
            ("the reason of the hold", &self.reason),
            ("the remedy of the hold", &self.remedy),
            ("the way to appeal against the hold", &self.appeal),
        ] {
            if text.trim().is_empty() {
                let remedy = "the merchant has a right to be told";
                return Err(Refusal::Missing { what, remedy });
            }
            words(what, text)?;
        }
        if !self.documents.is_empty() {
            words("the documents that end the hold", &self.documents)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_once_and_by_a_second_person() {
        let placed = HoldState::Placed;
        assert!(matches!(
            placed.lift("Li Wei", " li wei"),
            Err(Refusal::SamePerson { .. })
        ));
        let appealed = placed.appeal().unwrap();
        assert!(appealed.is_in_force());
        assert!(matches!(appealed.appeal(), Err(Refusal::State { .. })));
        let lifted = appealed.lift("Li Wei", "Wang Fang").unwrap();
        assert!(!lifted.is_in_force());
        assert!(matches!(
            lifted.lift("Li Wei", "Wang Fang"),
            Err(Refusal::State { .. })
        ));
        assert!(matches!(lifted.appeal(), Err(Refusal::State { .. })));
    }

    #[test]
    fn a_hold_that_explains_nothing_is_not_placed() {
        let full = Explained {
            reason: "position does not match".into(),
            remedy: "an inspection of the shop".into(),
            documents: String::new(),
            appeal: "service desk".into(),
        };
        assert_eq!(full.check(), Ok(()));
        for empty in [
            Explained {
                reason: " ".into(),
                ..full.clone()
            },
            Explained {
                remedy: String::new(),
                ..full.clone()
            },
            Explained {
                appeal: String::new(),
                ..full
            },
        ] {
            assert!(matches!(empty.check(), Err(Refusal::Missing { .. })));
        }
    }

    #[test]
    fn sets_come_back_from_their_bits() {
        let set = HoldSet::EMPTY
            .with(HoldScope::Settlement)
            .with(HoldScope::Download);
        assert_eq!(set.bits(), 0b1010, "as it is stored");
        assert_eq!(HoldSet::from_bits(set.bits()), set);
        assert_eq!(HoldSet::from_bits(0xF0), HoldSet::EMPTY);
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [HoldScope::Settlement, HoldScope::Download]
        );
    }
}
