//! Upper bounds of everything a peer or an operator can make grow, in one place.
//!
//! Settings move within these; nothing moves beyond them.

use std::time::Duration;

/// Longest frame any framing may announce, in bytes without its length prefix.
pub const FRAME_BYTES_MAX: usize = 65_535;

/// Longest configuration or dialect file read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Listeners of one process.
pub const LISTENERS_MAX: usize = 256;

/// Addresses of one upstream group.
pub const GROUP_ADDRESSES_MAX: usize = 64;

/// Problems reported for one file before the rest is only counted.
pub const PROBLEMS_MAX: usize = 1_000;

/// Bytes that may wait for the journal's writer before new requests are refused.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Records the projection folds into one transaction of the read model.
pub const PROJECTION_ROUND_RECORDS: usize = 50_000;

/// Transactions of one page of a query.
pub const QUERY_PAGE_MAX: usize = 1_000;

/// Steps of the storage engine that one page of a query may take: a row that is looked at and does not fit
/// takes about four. A question that needs more is refused with how to narrow it.
pub const QUERY_STEPS_MAX: u64 = 100_000_000;

/// Questions to the read model that are worked on at a time; others wait.
pub const QUERIES_AT_A_TIME: usize = 4;

/// Journal groups that may be read beyond the read model's mark for one transaction's evidence.
pub const EVIDENCE_GROUPS_MAX: u64 = 20_000;

/// Parked transactions of one page of the exceptions list.
pub const EXCEPTIONS_PAGE_MAX: usize = 1_000;

/// Characters of the name that a person decides under.
pub const NAME_CHARS_MAX: usize = 64;

/// Characters of the note that a person leaves with a decision.
pub const NOTE_CHARS_MAX: usize = 500;

/// Bytes of one settlement file served over HTTP.
pub const SETTLEMENT_BYTES_MAX: u64 = 4 << 30;

/// Lines that a terminal may upload for one batch.
pub const BATCH_LINES_MAX: usize = 10_000;

/// Lines of one import file.
pub const IMPORT_LINES_MAX: usize = 10_000_000;

/// Mistakes of one import reported before the rest is only counted.
pub const IMPORT_PROBLEMS_MAX: usize = 10_000;

/// Rows one simulated ledger holds, about 100 bytes each. A host whose ledger is full declines new money.
pub const SIM_LEDGER_ROWS_MAX: usize = 20_000_000;

/// Answers that wait on one connection of a simulated host. Beyond it the earliest is sent ahead of its time.
pub const SIM_WAITING_MAX: usize = 100_000;

/// Frames of one session that may break their dialect before it is closed: each costs a log line.
pub const BAD_FRAMES_MAX: u32 = 16;

/// Bytes of one import file.
pub const IMPORT_BYTES_MAX: u64 = 4 << 30;

/// Elements of one message format of another program that is imported: fields and parts of fields together.
pub const IMPORT_ITEMS_MAX: usize = 20_000;

/// How deep the elements of such a format may stand inside each other.
pub const IMPORT_DEPTH_MAX: usize = 8;

/// Parts that are read of one value of a field, and of one part of it.
pub const SUBFIELDS_MAX: usize = 512;

/// How deep parts within parts are followed.
pub const SUBFIELD_DEPTH_MAX: usize = 6;

/// Dialects that one file may build on, one on the other.
pub const EXTENDS_MAX: usize = 8;

/// Bytes of one sample message's file.
pub const SAMPLE_BYTES_MAX: u64 = 1 << 20;

/// How long the answer to a write is kept for who asks again under the same key.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Answers to writes that are kept at a time; when there are more, writes are refused until the oldest expire.
pub const ANSWERS_MAX: u64 = 1_000_000;

/// Characters of the key under which a write may be asked for again.
pub const KEY_CHARS_MAX: usize = 128;

/// Audit events of one page.
pub const AUDIT_PAGE_MAX: usize = 1_000;

/// Items of one write that answers for each.
pub const ITEMS_MAX: usize = 1_000;

/// Tokens that are neither expired nor revoked.
pub const TOKENS_MAX: usize = 10_000;

/// Longest life of a token.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Addresses whose failed attempts are counted at a time; beyond it the one that has been quiet longest is forgotten.
pub const SOURCES_COUNTED_MAX: usize = 10_000;

/// Notices and events that wait to be delivered.
pub const PARCELS_MAX: usize = 100_000;

/// How long is remembered how one of them ended.
pub const PARCELS_REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// Notices and events that are being delivered at a time.
pub const PARCELS_AT_A_TIME: usize = 16;

/// Bytes of the file that takes notices when nothing else is configured; the one before it is kept as well.
pub const OUTBOX_FILE_BYTES_MAX: u64 = 16 << 20;
