//! How often what goes wrong in one world. Each seed draws its own rates, so that worlds differ in kind and
//! not just in luck: one has a host that answers late, another a line that breaks, a third nothing at all.

use std::time::Duration;

use crate::sim::chance::Chance;

/// So often nothing is sent in a world that comes to its end.
const ATTEMPTS_MAX: u32 = 10_000;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// The host declines.
    pub(super) declined: Chance,
    /// The host books and its answer is lost.
    pub(super) answer_lost: Chance,
    /// The host answers twice.
    pub(super) answer_doubled: Chance,
    /// The host answers after the gateway has given up.
    pub(super) answer_late: Chance,
    /// Beside its answer the host sends one that belongs to nobody.
    pub(super) answer_foreign: Chance,
    /// The host refuses a reversal for now.
    pub(super) reversal_refused: Chance,
    /// The host takes its time to book.
    pub(super) booked_slowly: Chance,
    /// A request makes its link fall.
    pub(super) link_falls: Chance,
    /// A terminal's connection ends right after it has sent.
    pub(super) terminal_vanishes: Chance,
    /// A terminal's request is overtaken by all that the terminal sends after it.
    pub(super) overtaken: Chance,
    /// A terminal gives up before the gateway does: somebody has pressed the red key.
    pub(super) impatient: Chance,
    /// A terminal sends an unanswered request again before it reverses it.
    pub(super) repeats: Chance,
    /// A terminal sends an answered request again.
    pub(super) repeats_answered: Chance,
    /// A terminal reverses what was approved (it could not check the answer).
    pub(super) reverses_approved: Chance,
    /// A sync fails.
    pub(super) sync_fails: Chance,
    /// The read model is lost with the process.
    pub(super) model_lost: Chance,
    /// What the terminals do beside selling.
    pub(super) voids: Chance,
    pub(super) refunds: Chance,
    pub(super) refunds_elsewhere: Chance,
    /// A refund gives back a part only.
    pub(super) refunds_parts: Chance,
    pub(super) authorises: Chance,
    pub(super) completes: Chance,
    /// A shop completes once more what it completed.
    pub(super) completes_again: Chance,
    /// Times the process is killed.
    pub(super) crashes: u32,
    /// Longest time a frame travels between terminal and gateway, or gateway and host.
    pub(super) travel_max: Duration,
    /// Longest time until what was asked of the read model is answered.
    pub(super) look_up_max: Duration,
    /// Longest sync.
    pub(super) sync_max: Duration,
    /// Times a reversal or repeat is sent before a person has to decide.
    pub(super) attempts_max: u32,
    /// Longest time between two changes of a binding or account; zero for none.
    pub(super) operator_rests: Duration,
    /// Whether the host remembers a reversal that came before its original.
    pub(super) host_bars: bool,
}

impl Rates {
    /// Draws a world's rates. A crash in every second one.
    pub(super) fn draw(random: &mut fastrand::Rng) -> Self {
        let mut some = |most: u32| match random.u32(0..4) {
            0 | 1 => Chance::NEVER,
            _ => Chance::percent(random.u32(0..=most)),
        };
        let rates = Self {
            declined: some(30),
            answer_lost: some(30),
            answer_doubled: some(30),
            answer_late: some(20),
            answer_foreign: some(20),
            reversal_refused: some(50),
            booked_slowly: some(30),
            link_falls: some(6),
            terminal_vanishes: some(20),
            overtaken: some(10),
            impatient: Chance::NEVER,
            repeats: some(60),
            repeats_answered: some(20),
            reverses_approved: some(20),
            sync_fails: some(1),
            model_lost: some(100),
            voids: some(30),
            refunds: some(30),
            refunds_elsewhere: some(30),
            refunds_parts: some(100),
            authorises: some(40),
            completes: Chance::percent(60),
            completes_again: some(60),
            crashes: 0,
            travel_max: Duration::ZERO,
            look_up_max: Duration::ZERO,
            sync_max: Duration::ZERO,
            attempts_max: ATTEMPTS_MAX,
            operator_rests: Duration::ZERO,
            host_bars: false,
        };
        Self {
            crashes: if random.bool() { random.u32(1..=3) } else { 0 },
            travel_max: Duration::from_micros(random.u64(100..300_000)),
            look_up_max: match random.u32(0..3) {
                0 => Duration::ZERO,
                1 => Duration::from_micros(random.u64(100..50_000)),
                // A read model that is far behind.
                _ => Duration::from_millis(random.u64(50..5_000)),
            },
            sync_max: Duration::from_micros(random.u64(100..50_000)),
            attempts_max: match random.u32(0..4) {
                0 => random.u32(1..=4),
                _ => ATTEMPTS_MAX,
            },
            operator_rests: match random.u32(0..3) {
                0 => Duration::from_millis(random.u64(100..10_000)),
                _ => Duration::ZERO,
            },
            host_bars: random.bool(),
            impatient: match random.bool() {
                true => Chance::percent(random.u32(0..=20)),
                false => Chance::NEVER,
            },
            ..rates
        }
    }

    /// Nothing goes wrong any more.
    pub(super) const fn healed(self) -> Self {
        Self {
            answer_lost: Chance::NEVER,
            answer_doubled: Chance::NEVER,
            answer_late: Chance::NEVER,
            answer_foreign: Chance::NEVER,
            reversal_refused: Chance::NEVER,
            booked_slowly: Chance::NEVER,
            link_falls: Chance::NEVER,
            terminal_vanishes: Chance::NEVER,
            overtaken: Chance::NEVER,
            impatient: Chance::NEVER,
            repeats_answered: Chance::NEVER,
            reverses_approved: Chance::NEVER,
            sync_fails: Chance::NEVER,
            ..self
        }
    }
}
