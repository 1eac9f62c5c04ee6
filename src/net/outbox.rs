//! Bytes on their way to a socket, put there by anybody and taken by the task that owns the socket. One
//! take carries all that gathered, so that a busy socket is written to with few calls.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    frames: u32,
    owner: Option<Waker>,
    closed: bool,
}

impl Inner {
    fn put(&mut self, frame: &[u8], bytes_max: usize) -> bool {
        if self.closed || self.bytes.len() > bytes_max {
            return false;
        }
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
        true
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Inner>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one frame and wakes the owner. `false`, and nothing is added, when the box is closed or
    /// holds more than `bytes_max`.
    pub fn push(&self, frame: &[u8], bytes_max: usize) -> bool {
        let mut inner = self.lock();
        let taken = inner.put(frame, bytes_max);
        let owner = inner.owner.take_if(|_| taken);
        drop(inner);
        if let Some(owner) = owner {
            owner.wake();
        }
        taken
    }

    /// Adds one frame like [`Self::push`] and leaves it to the caller to [`Self::wake`] the owner, once
    /// everything the owner will look at is as it should be.
    pub fn put(&self, frame: &[u8], bytes_max: usize) -> bool {
        self.lock().put(frame, bytes_max)
    }

    /// Exchanges what gathered for an empty buffer and returns how many frames that is. When there is
    /// nothing, `waker` is woken by the next push.
    pub fn take(&self, empty: &mut Vec<u8>, waker: &Waker) -> u32 {
        let mut inner = self.lock();
        if inner.frames == 0 {
            if inner
                .owner
                .as_ref()
                .is_none_or(|known| !known.will_wake(waker))
            {
                inner.owner = Some(waker.clone());
            }
            return 0;
        }
        mem::swap(&mut inner.bytes, empty);
        mem::take(&mut inner.frames)
    }

    /// Wakes the owner without adding anything.
    pub fn wake(&self) {
        let owner = self.lock().owner.take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Takes no more frames and forgets those it has.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.bytes = Vec::new();
        inner.frames = 0;
    }

    /// Takes frames again.
    pub fn reopen(&self) {
        self.lock().closed = false;
    }

    /// Whether frames are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_together_and_in_order() {
        let outbox = Outbox::default();
        assert!(outbox.push(b"one", 100));
        assert!(outbox.push(b"two", 100));
        let mut bytes = Vec::new();
        assert_eq!(outbox.take(&mut bytes, Waker::noop()), 2);
        assert_eq!(bytes, b"onetwo");
        bytes.clear();
        assert_eq!(outbox.take(&mut bytes, Waker::noop()), 0);
    }

    #[test]
    fn a_full_or_closed_box_takes_nothing() {
        let outbox = Outbox::default();
        assert!(outbox.push(b"0123456789", 5));
        assert!(!outbox.push(b"x", 5));
        outbox.close();
        assert!(!outbox.push(b"x", 100));
        outbox.reopen();
        assert!(outbox.push(b"x", 100));
    }
}
