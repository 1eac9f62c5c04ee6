//! What may happen once a record is durable, and doing it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::UpstreamGroup;
use super::lookup::{Job, Lookups};
use super::owed::{Duty, Owed};
use super::stans::Block;
use crate::base::Clock;
use crate::base::clock::Moment;
use crate::base::failpoint::{self, Point};
use crate::net::{LinkChoice, Session, Tasks};
use crate::store::Durable;
use crate::telemetry::metrics::ListenerMetrics;

/// See the module.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing: the record itself was the point.
    Nothing,
    /// Send a request upstream.
    Forward {
        group: usize,
        choice: LinkChoice,
        frame: Bytes,
    },
    /// Use STANs that are reserved now.
    StanBlock { group: usize, block: Block },
    /// Look something up, now that everything before it is durable.
    Ask(Option<Box<Job>>),
    /// Give a terminal its answer.
    Answer {
        session: Arc<Session>,
        frame: Bytes,
        /// Where to record the time it took, for forwarded requests.
        timed: Option<(Arc<ListenerMetrics>, Moment)>,
    },
    /// Tell who waits that everything up to here is durable.
    Tell(Option<oneshot::Sender<()>>),
    /// Begin to undo a transaction upstream, or to repeat it.
    Owe {
        group: usize,
        owed: Option<Owed>,
        frame: Bytes,
    },
}

impl Effect {
    /// The frame it carries.
    fn into_frame(self) -> Bytes {
        match self {
            Self::Nothing | Self::StanBlock { .. } | Self::Ask(_) | Self::Tell(_) => Bytes::new(),
            Self::Forward { frame, .. } | Self::Answer { frame, .. } | Self::Owe { frame, .. } => {
                frame
            }
        }
    }
}

/// Durable effects on their way from the journal's thread to the runtime. Carried out there, they wake
/// sessions and links from within; from a foreign thread every wake would cross into the runtime by
/// itself.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    waiting: Mutex<Vec<Durable<Effect>>>,
    given: Notify,
}

impl Handoff {
    /// Takes a group's effects. Never blocks for long: the other side only swaps the list.
    pub(super) fn give(&self, effects: &mut dyn Iterator<Item = Durable<Effect>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(effects);
        drop(waiting);
        self.given.notify_one();
    }

    fn take(&self, empty: &mut Vec<Durable<Effect>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, empty);
    }
}

/// Carries out effects, on one task, in the order they became durable.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) groups: Arc<[UpstreamGroup]>,
    pub(super) lookups: Lookups,
    pub(super) clock: Arc<dyn Clock>,
}

impl Delivery {
    /// Delivers until everything stops. It only fills outboxes and wakes their owners.
    pub(super) async fn run(self, handoff: Arc<Handoff>, tasks: Tasks) {
        let mut effects = Vec::new();
        loop {
            tokio::select! {
                () = tasks.stopping() => return,
                () = handoff.given.notified() => {}
            }
            handoff.take(&mut effects);
            let now = self.clock.now();
            for effect in effects.drain(..) {
                self.one(effect, now);
            }
        }
    }

    /// Carries out one effect.
    pub(super) fn one(&self, mut effect: Durable<Effect>, now: Moment) {
        match effect.get_mut() {
            Effect::Nothing => {}
            Effect::Ask(job) => {
                if let Some(job) = job.take() {
                    self.lookups.ask_or_give_up(*job);
                }
            }
            Effect::Tell(waiting) => {
                if let Some(waiting) = waiting.take() {
                    // Whoever asked may have gone; the record stands.
                    let _gone = waiting.send(());
                }
            }
            Effect::StanBlock { group, block } => {
                failpoint::pass(Point::StansNext);
                self.groups[*group].stans.add_block(*block);
            }
            Effect::Forward { group, choice, .. } => {
                let (group, choice) = (&self.groups[*group], *choice);
                failpoint::pass(Point::ForwardNext);
                // A link that fell since has given up all that waited for it; nothing is sent then.
                let _sent = group.links.send(choice, &effect.map(Effect::into_frame));
                failpoint::pass(Point::ForwardDone);
            }
            Effect::Answer {
                session,
                frame,
                timed,
            } => {
                if let Some((metrics, received)) = timed {
                    metrics.answered_after(now.since(*received));
                }
                failpoint::pass(Point::AnswerNext);
                // The terminal may be gone; its repeat or its reversal finds the outcome.
                let _delivered = session.answer(frame);
                failpoint::pass(Point::AnswerDone);
            }
            Effect::Owe { group, owed, .. } => {
                failpoint::pass(Point::OweNext);
                let group = &self.groups[*group];
                if let Some(owed) = owed.take() {
                    group.owed.begin(owed, effect.map(Effect::into_frame), now);
                    match owed.duty {
                        Duty::Reversal { .. } => group.metrics.reversals_owed.increment(1.0),
                        Duty::Repeat { .. } => group.metrics.repeats_owed.increment(1.0),
                    }
                }
            }
        }
    }
}
