//! Every metric, once: name, unit, labels, help.
//!
//! Handles made before a recorder is installed count into nothing; [`install`] comes first in a
//! process that exports.

#![expect(
    clippy::disallowed_macros,
    reason = "the one place that registers metrics"
)]

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::base::RequestType;

/// Upper bounds of the latency buckets in seconds: fine where a sale's time is decided, coarse to the
/// longest deadline.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 15.0, 30.0, 60.0,
];
/// Upper bounds of the buckets for records per journal group.
const RECORDS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];

/// Installs the process's recorder. The handle renders `/metrics`; its owner calls
/// [`PrometheusHandle::run_upkeep`] every few seconds, or histograms grow.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_group_records".into()), RECORDS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $unit:ident, $kind:ident, $help:literal;)+) => {
        $($(#[$doc])* #[doc = $help] pub const $constant: &str = $name;)+

        /// Name and help of every metric, for the documentation and its test.
        pub const ALL: &[(&str, &str)] = &[$(($name, $help),)+];

        fn describe() {
            $(names!(@describe $kind, $constant, $unit, $help);)+
        }
    };
    (@describe counter, $constant:ident, $unit:ident, $help:literal) => {
        metrics::describe_counter!($constant, Unit::$unit, $help)
    };
    (@describe gauge, $constant:ident, $unit:ident, $help:literal) => {
        metrics::describe_gauge!($constant, Unit::$unit, $help)
    };
    (@describe histogram, $constant:ident, $unit:ident, $help:literal) => {
        metrics::describe_histogram!($constant, Unit::$unit, $help)
    };
}

names! {
    SESSIONS = "posgate_sessions", Count, gauge,
        "Terminal connections open now, by listener.";
    HANDSHAKES = "posgate_handshakes_total", Count, counter,
        "TLS handshakes of terminals, by listener and result (full, resumed, failed, timeout, refused).";
    SESSIONS_CLOSED = "posgate_sessions_closed_total", Count, counter,
        "Terminal connections closed, by listener and reason.";
    FRAMES_REJECTED = "posgate_frames_rejected_total", Count, counter,
        "Frames from terminals that could not be processed, by listener and problem.";
    REQUESTS = "posgate_requests_total", Count, counter,
        "Requests of terminals, by listener and type.";
    ANSWERS = "posgate_answers_total", Count, counter,
        "Answers to terminals, by listener and code class (approved, declined, failed).";
    DECLINED = "posgate_declined_total", Count, counter,
        "Requests declined here and not by an upstream, by reason.";
    ALERTS = "posgate_alerts_total", Count, counter,
        "Alerts that began, by kind (late-message, late-device: of a terminal or device whose binding is closed; \
         other-device: than is bound; revoked-contact: given up by one merchant, entered for another).";
    REPEATED = "posgate_repeated_total", Count, counter,
        "Requests answered without being forwarded again, by kind (joined: the same one was in flight; repeated: \
         it was answered before; reversal-of-unknown: a reversal whose original was never seen; reversal-of-voided: there \
         was nothing left to undo; reversal-refused: the original is not undone by a reversal, or something \
         follows it; reversal-differs: it named another amount or card than its original, which was undone \
         as it was).";
    SETTLEMENTS = "posgate_settlements_total", Count, counter,
        "Totals that terminals sent to be compared, by result (balanced, not-balanced, undecided: a request of the \
         batch was in flight).";
    BATCH_LINES = "posgate_batch_lines_total", Count, counter,
        "Lines of batch uploads, by what the journal says (equal, different, unknown).";
    BATCHES_CLOSED = "posgate_batches_closed_total", Count, counter,
        "Batches that ended, a sign-off not counted, by who ended them (terminal: its upload was complete; operator).";
    REQUEST_SECONDS = "posgate_request_seconds", Seconds, histogram,
        "From a request's last byte to the hand-over of its answer, forwarded requests only, by listener.";
    UPSTREAM_SECONDS = "posgate_upstream_seconds", Seconds, histogram,
        "From a request's acceptance to the upstream's answer, the wait for the journal included, by group.";
    IN_FLIGHT = "posgate_in_flight", Count, gauge,
        "Requests that wait for an upstream, by group.";
    LINKS_UP = "posgate_links_up", Count, gauge,
        "Upstream links that are signed on, by group.";
    LINK_EVENTS = "posgate_link_events_total", Count, counter,
        "Changes of upstream links, by group and event (up, down, connect-failed).";
    UPSTREAM_UNMATCHED = "posgate_upstream_unmatched_total", Count, counter,
        "Answers of an upstream that belong to no waiting request, by group and kind (late, duplicate, \
         unmatched, undecodable).";
    TIMEOUTS = "posgate_upstream_timeouts_total", Count, counter,
        "Requests without an answer in time, by group.";
    REVERSALS = "posgate_reversals_total", Count, counter,
        "Reversals, by group and step (owed, sent, acknowledged, refused, parked).";
    REVERSALS_OWED = "posgate_reversals_owed", Count, gauge,
        "Reversals that the upstream has not acknowledged yet, by group.";
    REPEATS = "posgate_repeats_to_upstream_total", Count, counter,
        "Advices and refunds that nobody answered and that are sent again, by group and step (owed, sent, \
         answered, parked).";
    REPEATS_OWED = "posgate_repeats_owed", Count, gauge,
        "Advices and refunds that the upstream has not answered yet and that are sent again, by group.";
    EXCEPTIONS = "posgate_exceptions", Count, gauge,
        "Transactions that are parked until a person resends or closes them, by group.";
    RECOVERED = "posgate_recovered_total", Count, counter,
        "Transactions that were open when the process last ended, by what was done (reversal, repeat, \
         expired, parked, stranded).";
    STAN_WRAPS = "posgate_stan_wraps_total", Count, counter,
        "Times a group's own STANs started again within one business date.";
    JOURNAL_GROUPS = "posgate_journal_groups_total", Count, counter,
        "Groups synced to the journal.";
    JOURNAL_RECORDS = "posgate_journal_records_total", Count, counter,
        "Records written to the journal.";
    JOURNAL_BYTES = "posgate_journal_bytes_total", Bytes, counter,
        "Bytes written to the journal.";
    JOURNAL_GROUP_RECORDS = "posgate_journal_group_records", Count, histogram,
        "Records in one synced group.";
    JOURNAL_WRITE_SECONDS = "posgate_journal_write_seconds", Seconds, histogram,
        "What writing and syncing one group took; waits for room on a full disk included.";
    PROJECTION_LAG = "posgate_projection_lag_groups", Count, gauge,
        "Journal groups that the read model does not show yet.";
    STORE_FREE_BYTES = "posgate_store_free_bytes", Bytes, gauge,
        "Free room on the store's disk, the reserve not counted.";
    STORE_FULL = "posgate_store_full", Count, gauge,
        "1 while new money is declined because the store's disk is full or nearly so, else 0.";
    STORE_FINDINGS = "posgate_store_findings", Count, gauge,
        "What the check after the start found wrong with the store's files; 0 when they are sound or not read yet.";
    STORE_DELETED = "posgate_store_deleted_total", Count, counter,
        "What was deleted because it was kept long enough, by kind (groups: of the journal; shortened: groups \
         of which only what is open or owed is left; transactions: of the read model).";
    CARDS_ERASED = "posgate_store_card_numbers_erased_total", Count, counter,
        "Closed transactions whose sealed card number was erased from the journal.";
    PARCELS = "posgate_parcels_total", Count, counter,
        "Attempts to deliver texts and events, by way (sms, email, event) and result (delivered, put-off, \
         refused, expired).";
    PARCELS_WAITING = "posgate_parcels_waiting", Count, gauge,
        "Texts and events that wait to be delivered.";
    TERMINALS = "posgate_terminals", Count, gauge,
        "Terminals in the directory, bound or once bound.";
    LIMITS = "posgate_limits", Count, gauge,
        "Limits that are set, of terminals, accounts and merchants together. What they decline is in \
         posgate_declined_total under limit-day-amount, limit-day-count, limit-month-amount, limit-month-count and \
         limit-currency.";
    RESIDENT_BYTES = "posgate_resident_bytes", Bytes, gauge,
        "Memory of the process.";
}

/// Of the journal.
#[derive(Clone)]
pub struct JournalMetrics {
    groups: Counter,
    records: Counter,
    bytes: Counter,
    group_records: Histogram,
    write_seconds: Histogram,
}

impl std::fmt::Debug for JournalMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalMetrics")
    }
}

impl Default for JournalMetrics {
    fn default() -> Self {
        Self {
            groups: metrics::counter!(JOURNAL_GROUPS),
            records: metrics::counter!(JOURNAL_RECORDS),
            bytes: metrics::counter!(JOURNAL_BYTES),
            group_records: metrics::histogram!(JOURNAL_GROUP_RECORDS),
            write_seconds: metrics::histogram!(JOURNAL_WRITE_SECONDS),
        }
    }
}

impl JournalMetrics {
    /// A group of that many records and bytes was synced, in that time.
    pub fn group_written(&self, records: u32, bytes: usize, took: Duration) {
        self.groups.increment(1);
        self.records.increment(u64::from(records));
        self.bytes.increment(bytes as u64);
        self.group_records.record(f64::from(records));
        self.write_seconds.record(took);
    }
}

/// Of one listener.
pub struct ListenerMetrics {
    /// Open sessions.
    pub sessions: Gauge,
    requests: [Counter; RequestType::ALL.len()],
    approved: Counter,
    declined: Counter,
    failed: Counter,
    request_seconds: Histogram,
    listener: String,
}

impl std::fmt::Debug for ListenerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListenerMetrics")
            .field("listener", &self.listener)
            .finish()
    }
}

/// How an answer to a terminal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerClass {
    /// An approval.
    Approved,
    /// A decline by us or the upstream.
    Declined,
    /// No usable answer came from the upstream, or we could not decide.
    Failed,
}

impl ListenerMetrics {
    /// Registers the handles of a listener.
    #[must_use]
    pub fn new(listener: &str) -> Self {
        let name = listener.to_owned();
        let answers = |class: &'static str| metrics::counter!(ANSWERS, "listener" => name.clone(), "class" => class);
        Self {
            sessions: metrics::gauge!(SESSIONS, "listener" => name.clone()),
            requests: RequestType::ALL.map(
                |kind| metrics::counter!(REQUESTS, "listener" => name.clone(), "type" => kind.name()),
            ),
            approved: answers("approved"),
            declined: answers("declined"),
            failed: answers("failed"),
            request_seconds: metrics::histogram!(REQUEST_SECONDS, "listener" => name.clone()),
            listener: name,
        }
    }

    /// A request of a kind came in.
    pub fn request(&self, kind: RequestType) {
        if let Some(at) = RequestType::ALL.iter().position(|each| *each == kind) {
            self.requests[at].increment(1);
        }
    }

    /// An answer went out.
    pub fn answer(&self, class: AnswerClass) {
        match class {
            AnswerClass::Approved => self.approved.increment(1),
            AnswerClass::Declined => self.declined.increment(1),
            AnswerClass::Failed => self.failed.increment(1),
        }
    }

    /// A forwarded request was answered after that time.
    pub fn answered_after(&self, took: Duration) {
        self.request_seconds.record(took.as_secs_f64());
    }

    /// A handshake ended so.
    pub fn handshake(&self, result: &'static str) {
        metrics::counter!(HANDSHAKES, "listener" => self.listener.clone(), "result" => result)
            .increment(1);
    }

    /// A session was closed for a reason (a bounded set of words).
    pub fn closed(&self, reason: &'static str) {
        metrics::counter!(SESSIONS_CLOSED, "listener" => self.listener.clone(), "reason" => reason)
            .increment(1);
    }

    /// A frame could not be processed (a bounded set of words).
    pub fn rejected(&self, problem: &'static str) {
        metrics::counter!(FRAMES_REJECTED, "listener" => self.listener.clone(), "problem" => problem)
            .increment(1);
    }
}

/// A request was declined here for a reason (a bounded set of words).
pub fn declined(reason: &'static str) {
    metrics::counter!(DECLINED, "reason" => reason).increment(1);
}

/// A request was answered without being forwarded again (joined, repeated, reversal-of-unknown).
pub fn repeated(kind: &'static str) {
    metrics::counter!(REPEATED, "kind" => kind).increment(1);
}

/// A terminal's totals were compared.
pub fn settled(result: crate::base::BatchResult) {
    metrics::counter!(SETTLEMENTS, "result" => result.name()).increment(1);
}

/// An uploaded line was held against the journal.
pub fn batch_line(verdict: crate::base::LineVerdict) {
    metrics::counter!(BATCH_LINES, "verdict" => verdict.name()).increment(1);
}

/// A batch ended (terminal, operator).
pub fn batch_closed(by: &'static str) {
    metrics::counter!(BATCHES_CLOSED, "by" => by).increment(1);
}

/// A transaction that was open when the process last ended was taken up (reversal, repeat, expired, parked,
/// stranded).
pub fn recovered(what: &'static str) {
    metrics::counter!(RECOVERED, "what" => what).increment(1);
}

/// So many transactions of a group are parked for a person.
pub fn exceptions(group: &str, count: u32) {
    metrics::gauge!(EXCEPTIONS, "group" => group.to_owned()).set(f64::from(count));
}

/// Of one upstream group.
pub struct GroupMetrics {
    /// Requests waiting.
    pub in_flight: Gauge,
    /// Links that are up.
    pub links_up: Gauge,
    /// Reversals not acknowledged.
    pub reversals_owed: Gauge,
    /// Repeats not answered.
    pub repeats_owed: Gauge,
    /// Requests without an answer in time.
    pub timeouts: Counter,
    /// Own STANs that started again.
    pub stan_wraps: Counter,
    upstream_seconds: Histogram,
    group: String,
}

impl std::fmt::Debug for GroupMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupMetrics")
            .field("group", &self.group)
            .finish()
    }
}

impl GroupMetrics {
    /// Registers the handles of a group.
    #[must_use]
    pub fn new(group: &str) -> Self {
        let name = group.to_owned();
        Self {
            in_flight: metrics::gauge!(IN_FLIGHT, "group" => name.clone()),
            links_up: metrics::gauge!(LINKS_UP, "group" => name.clone()),
            reversals_owed: metrics::gauge!(REVERSALS_OWED, "group" => name.clone()),
            repeats_owed: metrics::gauge!(REPEATS_OWED, "group" => name.clone()),
            timeouts: metrics::counter!(TIMEOUTS, "group" => name.clone()),
            stan_wraps: metrics::counter!(STAN_WRAPS, "group" => name.clone()),
            upstream_seconds: metrics::histogram!(UPSTREAM_SECONDS, "group" => name.clone()),
            group: name,
        }
    }

    /// The upstream answered after that time.
    pub fn answered_after(&self, took: Duration) {
        self.upstream_seconds.record(took.as_secs_f64());
    }

    /// A link changed (up, down, connect-failed).
    pub fn link(&self, event: &'static str) {
        metrics::counter!(LINK_EVENTS, "group" => self.group.clone(), "event" => event)
            .increment(1);
    }

    /// An answer belongs to no waiting request (late, duplicate, unmatched, undecodable).
    pub fn unmatched(&self, kind: &'static str) {
        metrics::counter!(UPSTREAM_UNMATCHED, "group" => self.group.clone(), "kind" => kind)
            .increment(1);
    }

    /// A repeat took a step (owed, sent, answered, parked).
    pub fn repeat(&self, step: &'static str) {
        metrics::counter!(REPEATS, "group" => self.group.clone(), "step" => step).increment(1);
    }

    /// A reversal took a step (owed, sent, acknowledged, refused, parked).
    pub fn reversal(&self, step: &'static str) {
        metrics::counter!(REVERSALS, "group" => self.group.clone(), "step" => step).increment(1);
    }
}

/// A text or an event was tried, with that result.
pub fn parcel(way: &'static str, result: &'static str) {
    metrics::counter!(PARCELS, "way" => way, "result" => result).increment(1);
}

/// An alert begins.
pub fn alert(kind: &'static str) {
    metrics::counter!(ALERTS, "kind" => kind).increment(1);
}

/// So many texts and events wait.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub fn parcels_waiting(count: u64) {
    metrics::gauge!(PARCELS_WAITING).set(count as f64);
}

/// Of who looks after the store.
pub struct KeeperMetrics {
    free: Gauge,
    full: Gauge,
    findings: Gauge,
    groups: Counter,
    shortened: Counter,
    transactions: Counter,
    erased: Counter,
}

impl std::fmt::Debug for KeeperMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeeperMetrics")
    }
}

impl Default for KeeperMetrics {
    fn default() -> Self {
        Self {
            free: metrics::gauge!(STORE_FREE_BYTES),
            full: metrics::gauge!(STORE_FULL),
            findings: metrics::gauge!(STORE_FINDINGS),
            groups: metrics::counter!(STORE_DELETED, "kind" => "groups"),
            shortened: metrics::counter!(STORE_DELETED, "kind" => "shortened"),
            transactions: metrics::counter!(STORE_DELETED, "kind" => "transactions"),
            erased: metrics::counter!(CARDS_ERASED),
        }
    }
}

impl KeeperMetrics {
    /// The store's disk has that much room, and is it too little?
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn room(&self, free: u64, is_short: bool) {
        self.free.set(free as f64);
        self.full.set(f64::from(u8::from(is_short)));
    }

    /// So much is wrong with the store's files.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn findings(&self, count: u64) {
        self.findings.set(count as f64);
    }

    /// That many card numbers were erased.
    pub fn erased(&self, transactions: u64) {
        self.erased.increment(transactions);
    }

    /// Something was deleted.
    pub fn deleted(&self, groups: u64, shortened: u64, transactions: u64) {
        self.groups.increment(groups);
        self.shortened.increment(shortened);
        self.transactions.increment(transactions);
    }
}

/// Of the process.
pub struct ProcessMetrics {
    /// Groups the read model lacks.
    pub projection_lag: Gauge,
    /// Terminals in the directory.
    pub terminals: Gauge,
    /// Limits that are set.
    pub limits: Gauge,
    /// Memory.
    pub resident_bytes: Gauge,
}

impl std::fmt::Debug for ProcessMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessMetrics")
    }
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self {
            projection_lag: metrics::gauge!(PROJECTION_LAG),
            terminals: metrics::gauge!(TERMINALS),
            limits: metrics::gauge!(LIMITS),
            resident_bytes: metrics::gauge!(RESIDENT_BYTES),
        }
    }
}
