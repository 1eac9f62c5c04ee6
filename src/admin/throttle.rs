//! How often an address may fail to say who it is, and how many requests a caller may make.
//!
//! Pure: time is handed in. Ten failures of one address within ten minutes lock it out for half an hour
//! (PCI DSS 8.3.4); a good token from there does not help then. What is counted is bounded: when too many
//! addresses fail at a time, the one that was quiet longest is forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::base::Moment;
use crate::base::limits::SOURCES_COUNTED_MAX;

/// Failures that lock an address out.
const FAILURES_MAX: u32 = 10;
/// Within which they count.
const WINDOW: Duration = Duration::from_secs(600);
/// How long it is locked out.
const LOCKED: Duration = Duration::from_secs(1_800);
/// Requests a second that a caller may make for long.
const REQUESTS_PER_SECOND: u32 = 50;
/// Requests that it may make at once.
const BURST: u32 = 200;
/// How often at most the audit trail tells that a caller was refused what it may not do.
const TOLD_EVERY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    first: Moment,
    last: Moment,
    locked_until: Option<Moment>,
}

/// A caller's requests, as a bucket that runs empty.
#[derive(Clone, Copy, Debug)]
struct Requests {
    free_at: Moment,
    told_at: Option<Moment>,
}

/// What came of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is counted.
    Counted,
    /// The address is locked out from now on.
    LockedOut,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: HashMap<IpAddr, Failures>,
    requests: HashMap<u64, Requests>,
}

/// Whoever has one address of an IPv6 network has all of its 2^64.
fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

impl Throttle {
    /// How long an address is still locked out.
    pub(super) fn locked(&self, address: IpAddr, now: Moment) -> Option<Duration> {
        let failures = self.failures.get(&source(address))?;
        let until = failures.locked_until.filter(|until| now < *until)?;
        Some(until.since(now))
    }

    /// Counts a failure to say who it is.
    pub(super) fn failed(&mut self, address: IpAddr, now: Moment) -> Failed {
        let source = source(address);
        if !self.failures.contains_key(&source) && self.failures.len() >= SOURCES_COUNTED_MAX {
            self.forget_one(now);
        }
        let fresh = Failures {
            count: 0,
            first: now,
            last: now,
            locked_until: None,
        };
        let failures = self.failures.entry(source).or_insert(fresh);
        let over = failures.locked_until.is_some_and(|until| now >= until);
        if over || now.since(failures.first) > WINDOW && failures.locked_until.is_none() {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if failures.count == FAILURES_MAX {
            failures.locked_until = Some(now.after(LOCKED));
            return Failed::LockedOut;
        }
        Failed::Counted
    }

    /// Forgets all that no longer counts, and else whoever was quiet longest; one that is locked out last.
    fn forget_one(&mut self, now: Moment) {
        self.failures
            .retain(|_, failures| match failures.locked_until {
                Some(until) => now < until,
                None => now.since(failures.first) <= WINDOW,
            });
        if self.failures.len() < SOURCES_COUNTED_MAX {
            return;
        }
        let quiet = self
            .failures
            .iter()
            .min_by_key(|(_, failures)| (failures.locked_until.is_some(), failures.last));
        if let Some(quiet) = quiet.map(|(source, _)| *source) {
            self.failures.remove(&quiet);
        }
    }

    /// Counts a request of a token; how long to wait when there were too many.
    pub(super) fn request(&mut self, token: u64, now: Moment) -> Option<Duration> {
        // There are no more of them than there are tokens.
        let requests = self.requests.entry(token).or_insert(Requests {
            free_at: now,
            told_at: None,
        });
        let each = Duration::from_secs(1) / REQUESTS_PER_SECOND;
        let free_at = requests.free_at.max(now);
        let ahead = free_at.since(now);
        if ahead >= each * BURST {
            return Some(ahead.saturating_sub(each * BURST).max(each));
        }
        requests.free_at = free_at.after(each);
        None
    }

    /// Whether the audit trail tells that a token was refused something, or did so a moment ago.
    pub(super) fn tells(&mut self, token: u64, now: Moment) -> bool {
        let Some(requests) = self.requests.get_mut(&token) else {
            return true;
        };
        let tells = requests
            .told_at
            .is_none_or(|at| now.since(at) >= TOLD_EVERY);
        if tells {
            requests.told_at = Some(now);
        }
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn ten_failures_lock_an_address_out_for_half_an_hour_and_no_other() {
        let mut throttle = Throttle::default();
        let mut now = Moment(1_000_000);
        for _ in 1..FAILURES_MAX {
            assert_eq!(throttle.failed(address(1), now), Failed::Counted);
            now = now.after(SECOND);
        }
        assert_eq!(throttle.locked(address(1), now), None);
        assert_eq!(throttle.failed(address(1), now), Failed::LockedOut);
        assert_eq!(throttle.locked(address(1), now), Some(LOCKED));
        assert_eq!(throttle.locked(address(2), now), None);
        // Who goes on trying is not locked out anew each time.
        assert_eq!(throttle.failed(address(1), now), Failed::Counted);
        let later = now.after(LOCKED);
        assert_eq!(throttle.locked(address(1), later), None);
        assert_eq!(throttle.failed(address(1), later), Failed::Counted);
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut throttle = Throttle::default();
        let mut now = Moment(0);
        for _ in 0..100 {
            assert_eq!(throttle.failed(address(1), now), Failed::Counted);
            now = now.after(WINDOW / 8);
        }
    }

    #[test]
    fn what_is_counted_is_bounded_and_a_lock_outlives_a_flood() {
        let mut throttle = Throttle::default();
        let now = Moment(0);
        for _ in 0..FAILURES_MAX {
            throttle.failed(address(1), now);
        }
        for number in 0..u32::try_from(SOURCES_COUNTED_MAX).unwrap() + 500 {
            throttle.failed(IpAddr::from((0x0A00_0000 + number).to_be_bytes()), now);
        }
        assert_eq!(throttle.failures.len(), SOURCES_COUNTED_MAX);
        assert!(throttle.locked(address(1), now).is_some());
    }

    #[test]
    fn one_network_of_addresses_is_one_source() {
        let mut throttle = Throttle::default();
        for host in 1..=10_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, host);
            throttle.failed(IpAddr::V6(address), Moment(0));
        }
        let neighbour = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 9, 9, 9, 9);
        assert!(throttle.locked(IpAddr::V6(neighbour), Moment(0)).is_some());
        let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201);
        assert_eq!(source(IpAddr::V6(mapped)), address(1));
    }

    #[test]
    fn a_token_may_burst_and_then_goes_at_its_rate() {
        let mut throttle = Throttle::default();
        let mut now = Moment(5_000_000);
        for _ in 0..BURST {
            assert_eq!(throttle.request(1, now), None);
        }
        assert!(throttle.request(1, now).is_some());
        assert_eq!(throttle.request(2, now), None);
        now = now.after(SECOND);
        let passed = (0..1_000).filter(|_| throttle.request(1, now).is_none());
        assert_eq!(passed.count(), REQUESTS_PER_SECOND as usize);
    }
}
