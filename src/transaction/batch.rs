//! Comparing a batch: the terminal's totals with ours, and its lines with what we know.
//!
//! Which network a card belongs to is not in the journal: what the terminal counts apart for domestic and
//! foreign cards is compared as one.

use crate::base::{BatchLine, BatchResult, BatchTotals, LineVerdict, MaskedPan};

/// What we know of the transaction that a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is approved and stands: the amount that counts, and the card.
    Standing {
        /// Minor units.
        minor: u64,
        /// Card, masked.
        pan: MaskedPan,
    },
    /// It was here and counts nothing: declined, undone, or not ended.
    Fallen,
    /// It was never here.
    Never,
}

/// What a line claims of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineClaim {
    /// It counts.
    Counts,
    /// It came to nothing: a card that refused after all, an offline decline.
    Failed,
}

/// Whether both sides count the same.
#[must_use]
pub fn compare(claimed: &[BatchTotals], ours: &BatchTotals) -> BatchResult {
    if together(claimed) == *ours {
        BatchResult::Balanced
    } else {
        BatchResult::NotBalanced
    }
}

/// What each block of an answer says. Balanced totals are confirmed as they were claimed. Otherwise the first
/// block has all of ours, and a block is confirmed only if there is nothing in it.
#[must_use]
pub fn told(
    claimed: &[BatchTotals],
    ours: &BatchTotals,
    result: BatchResult,
) -> Vec<(BatchTotals, BatchResult)> {
    let each = |(at, claim): (usize, &BatchTotals)| match result {
        BatchResult::Balanced | BatchResult::Undecided => (*claim, result),
        BatchResult::NotBalanced if at == 0 => (*ours, result),
        BatchResult::NotBalanced if *claim == BatchTotals::ZERO => (*claim, BatchResult::Balanced),
        BatchResult::NotBalanced => (BatchTotals::ZERO, result),
    };
    claimed.iter().enumerate().map(each).collect()
}

/// What a line is against what we know. Cards are compared where both sides name one, by the digits that may
/// be kept of them.
#[must_use]
pub fn reconcile(line: &BatchLine, claim: LineClaim, known: Known) -> LineVerdict {
    let same =
        |pan: MaskedPan| line.pan == pan || line.pan == MaskedPan::NONE || pan == MaskedPan::NONE;
    match (claim, known) {
        (LineClaim::Counts, Known::Standing { minor, pan }) if line.minor == minor && same(pan) => {
            LineVerdict::Equal
        }
        (LineClaim::Counts | LineClaim::Failed, Known::Standing { .. })
        | (LineClaim::Counts, Known::Fallen) => LineVerdict::Different,
        (LineClaim::Counts, Known::Never) => LineVerdict::Unknown,
        (LineClaim::Failed, Known::Fallen | Known::Never) => LineVerdict::Equal,
    }
}

fn together(claimed: &[BatchTotals]) -> BatchTotals {
    claimed
        .iter()
        .fold(BatchTotals::ZERO, |sum, each| sum.and(*each))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{Stan, Sum};

    fn sums() -> impl Strategy<Value = Sum> {
        let some = (1..4_u64, 1..4_u64).prop_map(|(count, minor)| Sum { count, minor });
        prop_oneof![Just(Sum::default()), some]
    }

    fn totals() -> impl Strategy<Value = BatchTotals> {
        (sums(), sums()).prop_map(|(debit, credit)| BatchTotals { debit, credit })
    }

    proptest! {
        #[test]
        fn every_answer_tells_all_of_ours_and_confirms_only_what_agrees(
            claimed in proptest::collection::vec(totals(), 2..=2),
            ours in totals(),
        ) {
            let result = compare(&claimed, &ours);
            let told = told(&claimed, &ours, result);
            // Added up by another way than `Sum::and`.
            let count: u64 = claimed.iter().map(|t| t.debit.count).sum();
            let minor: u64 = claimed.iter().map(|t| t.debit.minor).sum();
            let back: u64 = claimed.iter().map(|t| t.credit.minor).sum();
            let backs: u64 = claimed.iter().map(|t| t.credit.count).sum();
            let agrees = (count, minor) == (ours.debit.count, ours.debit.minor)
                && (backs, back) == (ours.credit.count, ours.credit.minor);
            prop_assert_eq!(agrees, result == BatchResult::Balanced);
            prop_assert_eq!(told.len(), claimed.len());
            let blocks: Vec<_> = told.iter().map(|(totals, _)| *totals).collect();
            prop_assert_eq!(together(&blocks), ours);
            if agrees {
                prop_assert_eq!(blocks, claimed);
                prop_assert!(told.iter().all(|(_, r)| *r == BatchResult::Balanced));
            } else {
                prop_assert_eq!(told[0].1, BatchResult::NotBalanced);
                for ((_, result), claim) in told.iter().zip(&claimed).skip(1) {
                    prop_assert_eq!(*result == BatchResult::Balanced, *claim == BatchTotals::ZERO);
                }
            }
        }

        #[test]
        fn one_cent_or_one_transaction_more_is_never_balanced(ours in totals(), side in 0..4) {
            let mut claim = ours;
            match side {
                0 => claim.debit.minor += 1,
                1 => claim.debit.count += 1,
                2 => claim.credit.minor += 1,
                _ => claim.credit.count += 1,
            }
            let claimed = [claim, BatchTotals::ZERO];
            prop_assert_eq!(compare(&claimed, &ours), BatchResult::NotBalanced);
        }
    }

    #[test]
    fn every_line_is_one_thing() {
        let pan = MaskedPan::of(b"6228489137264085196");
        let line = BatchLine {
            stan: Stan::FIRST,
            minor: 1_000,
            pan,
        };
        let standing = |minor, pan| Known::Standing { minor, pan };
        let check = |claim, known, expect| {
            assert_eq!(
                reconcile(&line, claim, known),
                expect,
                "{claim:?} {known:?}"
            );
        };
        let counts = LineClaim::Counts;
        check(counts, standing(1_000, pan), LineVerdict::Equal);
        check(counts, standing(1_000, MaskedPan::NONE), LineVerdict::Equal);
        check(counts, standing(1_001, pan), LineVerdict::Different);
        let other = MaskedPan::of(b"6228489999000000018");
        check(counts, standing(1_000, other), LineVerdict::Different);
        check(counts, Known::Fallen, LineVerdict::Different);
        check(counts, Known::Never, LineVerdict::Unknown);
        check(
            LineClaim::Failed,
            standing(1_000, pan),
            LineVerdict::Different,
        );
        check(LineClaim::Failed, Known::Fallen, LineVerdict::Equal);
        check(LineClaim::Failed, Known::Never, LineVerdict::Equal);
    }
}
