//! An upstream group: the links that lead to one party, any of which may carry a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use super::outbox::Outbox;
use crate::store::Durable;

/// A link chosen for a request, as it was at that moment: when it went down since, nothing is sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkChoice {
    /// Position in the group.
    pub link: usize,
    epoch: u64,
}

/// The shared part of one link.
#[derive(Debug, Default)]
pub struct LinkState {
    pub(super) outbox: Outbox,
    up: AtomicBool,
    epoch: AtomicU64,
}

impl LinkState {
    pub(crate) fn set_up(&self) {
        self.outbox.reopen();
        self.up.store(true, Ordering::Release);
    }

    /// Exchanges what waits to be sent for an empty buffer.
    pub(crate) fn take_output(&self, empty: &mut Vec<u8>) {
        let _frames = self.outbox.take(empty, std::task::Waker::noop());
    }

    /// Takes no more requests. Returns whether it was up.
    pub(crate) fn set_down(&self) -> bool {
        let was_up = self.up.swap(false, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.outbox.close();
        was_up
    }
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    links: Vec<Arc<LinkState>>,
    next: AtomicUsize,
    outbox_bytes_max: usize,
}

impl Group {
    /// A group of so many links, all down.
    #[must_use]
    pub fn new(links: usize, outbox_bytes_max: usize) -> Self {
        let links = (0..links).map(|_| Arc::new(LinkState::default())).collect();
        Self {
            links,
            next: AtomicUsize::new(0),
            outbox_bytes_max,
        }
    }

    /// The shared part of a link.
    #[must_use]
    pub fn link(&self, at: usize) -> Option<Arc<LinkState>> {
        self.links.get(at).cloned()
    }

    /// Links that are up.
    #[must_use]
    pub fn up(&self) -> usize {
        self.links
            .iter()
            .filter(|link| link.up.load(Ordering::Acquire))
            .count()
    }

    /// The next link that is up, in turn. `None` when none is.
    #[must_use]
    pub fn choose(&self) -> Option<LinkChoice> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.links.len();
        (0..count)
            .map(|step| start.wrapping_add(step) % count)
            .find_map(|at| {
                let link = self.links.get(at)?;
                let epoch = link.epoch.load(Ordering::Acquire);
                link.up
                    .load(Ordering::Acquire)
                    .then_some(LinkChoice { link: at, epoch })
            })
    }

    /// Whether the chosen link is up and has been since it was chosen.
    #[must_use]
    pub fn is_current(&self, choice: LinkChoice) -> bool {
        self.links.get(choice.link).is_some_and(|link| {
            link.up.load(Ordering::Acquire) && link.epoch.load(Ordering::Acquire) == choice.epoch
        })
    }

    /// Puts a frame on its way over the chosen link. Only what the journal made durable can be sent.
    /// `false` when the link went down since it was chosen or takes no more.
    pub fn send(&self, choice: LinkChoice, frame: &Durable<Bytes>) -> bool {
        let Some(link) = self.links.get(choice.link) else {
            return false;
        };
        link.epoch.load(Ordering::Acquire) == choice.epoch
            && link.outbox.push(frame.get(), self.outbox_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_take_turns_and_those_down_are_skipped() {
        let group = Group::new(3, 1_000);
        assert_eq!(group.choose(), None);
        group.link(0).unwrap().set_up();
        group.link(2).unwrap().set_up();
        let chosen: Vec<_> = (0..6)
            .filter_map(|_| group.choose())
            .map(|c| c.link)
            .collect();
        assert_eq!(group.up(), 2);
        assert!(chosen.contains(&0) && chosen.contains(&2) && !chosen.contains(&1));
    }

    #[test]
    fn a_choice_made_before_the_link_fell_is_not_used() {
        let group = Group::new(1, 1_000);
        let link = group.link(0).unwrap();
        link.set_up();
        let before = group.choose().unwrap();
        assert!(link.set_down());
        link.set_up();
        assert_ne!(group.choose().unwrap(), before);
        assert!(!link.set_down() || !link.set_down());
    }
}
