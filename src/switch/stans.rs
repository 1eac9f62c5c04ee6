//! STANs towards a group: the terminal's own, or the group's.
//!
//! A group's own STANs are unique per business date across its links and across restarts: blocks are
//! reserved in the registry before they are used, and what is left of a block after a crash is skipped.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::Stan;
use crate::iso8583::{MatchKey, Message};

/// How a group numbers its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StanPolicy {
    /// The terminal's STAN goes through; answers match on DE41, DE11 and class.
    #[default]
    Pass,
    /// The group counts by itself; references to earlier STANs are rewritten.
    Own,
}

/// STANs reserved at a time.
const BLOCK: u32 = 20_000;
/// STANs in the first two blocks after a start. What is left of them is lost with the process, and the numbers of a
/// date must outlast many starts.
const FIRST_BLOCK: u32 = 1_000;

/// Numbers to be reserved, or reserved: running numbers of one date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Business date.
    pub(super) date: u32,
    /// First running number.
    pub(super) first: u64,
    pub(super) count: u32,
}

impl Block {
    /// First running number behind it.
    pub(super) fn end(self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stans {
    own: Option<Mutex<Blocks>>,
    /// Set when a new block should be reserved.
    wanted: AtomicBool,
    reserved: Mutex<Reserved>,
}

/// Up to where numbers were asked for, on which date.
#[derive(Debug, Default)]
struct Reserved {
    date: u32,
    end: u64,
    /// Blocks asked for since the start.
    blocks: u32,
}

/// Running numbers, from 1 on each date; the STAN is what is left of them modulo 999999.
#[derive(Debug, Default)]
struct Blocks {
    next: u64,
    end: u64,
    spare: Option<(u64, u64)>,
}

impl Stans {
    pub(super) fn new(policy: StanPolicy) -> Self {
        let own = match policy {
            StanPolicy::Pass => None,
            StanPolicy::Own => Some(Mutex::default()),
        };
        let wanted = AtomicBool::new(own.is_some());
        Self {
            own,
            wanted,
            reserved: Mutex::default(),
        }
    }

    pub(crate) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Takes a reserved block in. One of an earlier date than the present one is too late.
    pub(super) fn add_block(&self, block: Block) {
        let Some(own) = &self.own else { return };
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if reserved.date != block.date {
            return;
        }
        let mut blocks = own.lock().unwrap_or_else(PoisonError::into_inner);
        let block = (block.first, block.end());
        if blocks.next == blocks.end {
            (blocks.next, blocks.end) = block;
        } else {
            blocks.spare = Some(block);
        }
    }

    /// Goes on after what was reserved before a restart.
    pub(super) fn resume(&self, date: u32, end: u64) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        (reserved.date, reserved.end) = (date, end);
    }

    /// The block to reserve now, if one is wanted. A later date starts at 1
    /// again, and what is left of the day before is forgotten. A clock that is set back does not bring an
    /// earlier date back, whose numbers were used: its requests are counted on.
    pub(super) fn wants_block(&self, today: u32) -> Option<Block> {
        let own = self.own.as_ref()?;
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if reserved.date < today {
            (reserved.date, reserved.end) = (today, 1);
            *own.lock().unwrap_or_else(PoisonError::into_inner) = Blocks::default();
            self.wanted.store(true, Ordering::Release);
        }
        if !self.wanted.swap(false, Ordering::AcqRel) {
            return None;
        }
        let block = Block {
            date: reserved.date,
            first: reserved.end.max(1),
            count: if reserved.blocks < 2 {
                FIRST_BLOCK
            } else {
                BLOCK
            },
        };
        reserved.end = block.end();
        reserved.blocks = reserved.blocks.saturating_add(1);
        Some(block)
    }

    /// The STAN for a request: the terminal's, or the group's next.
    ///
    /// `None` when nothing is reserved: a number that was not reserved could be used twice.
    pub(super) fn next(&self, terminals: Stan) -> Option<Stan> {
        let Some(own) = &self.own else {
            return Some(terminals);
        };
        let mut blocks = own.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.next == blocks.end {
            self.wanted.store(true, Ordering::Release);
            (blocks.next, blocks.end) = blocks.spare.take()?;
        }
        if blocks.spare.is_none() {
            self.wanted.store(true, Ordering::Release);
        }
        let running = blocks.next;
        blocks.next += 1;
        Some(stan_of(running))
    }

    /// Key a request waits under.
    pub(super) fn match_key(&self, message: &Message<'_>, upstream: Stan) -> Option<MatchKey> {
        if self.is_own() {
            return Some(MatchKey::own(message.mti().class_key(), upstream));
        }
        message.match_key()
    }

    /// Key an answer is looked up by.
    pub(super) fn answer_key(&self, message: &Message<'_>) -> Option<MatchKey> {
        self.match_key(message, message.stan()?)
    }
}

/// 1 to 999999, again and again.
fn stan_of(running: u64) -> Stan {
    let within = running.saturating_sub(1) % u64::from(Stan::MAX);
    u32::try_from(within + 1)
        .ok()
        .and_then(Stan::new)
        .unwrap_or(Stan::FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_stans_run_through_blocks_without_a_gap_or_a_repeat() {
        let stans = Stans::new(StanPolicy::Own);
        for first in [1, 4] {
            stans.add_block(Block {
                date: 0,
                first,
                count: 3,
            });
        }
        // Of another day, whose record was still on its way to the disk.
        stans.add_block(Block {
            date: 1,
            first: 7,
            count: 3,
        });
        let taken: Vec<_> = (0..6)
            .filter_map(|_| stans.next(Stan::FIRST))
            .map(Stan::get)
            .collect();
        assert_eq!(taken, [1, 2, 3, 4, 5, 6]);
        assert!(stans.wanted.load(Ordering::Acquire));
        assert_eq!(stans.next(Stan::FIRST), None);
    }

    #[test]
    fn a_clock_that_is_set_back_over_midnight_brings_no_number_back() {
        let stans = Stans::new(StanPolicy::Own);
        let block = |date, first| {
            Some(Block {
                date,
                first,
                count: FIRST_BLOCK,
            })
        };
        assert_eq!(stans.wants_block(20_261_122), block(20_261_122, 1));
        assert_eq!(stans.wants_block(20_261_123), block(20_261_123, 1));
        for date in [20_261_122, 20_261_123] {
            assert_eq!(stans.wants_block(date), None);
        }
        stans.wanted.store(true, Ordering::Release);
        let third = stans.wants_block(20_261_122).unwrap();
        let behind = 1 + u64::from(FIRST_BLOCK);
        assert_eq!((third.date, third.first), (20_261_123, behind));
        assert_eq!(third.count, BLOCK, "the process lives on");
        // Nor does a restart.
        let after = Stans::new(StanPolicy::Own);
        after.resume(20_261_123, behind);
        assert_eq!(after.wants_block(20_261_122), block(20_261_123, behind));
    }

    #[test]
    fn passed_stans_are_the_terminals() {
        let stans = Stans::new(StanPolicy::Pass);
        let theirs = Stan::new(77).unwrap();
        assert_eq!(stans.next(theirs), Some(theirs));
    }

    #[test]
    fn numbers_wrap_to_one() {
        assert_eq!(stan_of(1).get(), 1);
        assert_eq!(stan_of(999_999).get(), 999_999);
        assert_eq!(stan_of(1_000_000).get(), 1);
    }
}
