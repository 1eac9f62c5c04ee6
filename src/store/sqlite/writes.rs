//! Transactions over several changes, and answers that are kept, in `registry.db`.

use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteRegistry, from_sql, to_sql};
use crate::base::failpoint::{self, Point};
use crate::base::limits;
use crate::store::StoreError;
use crate::store::audit::Hash;
use crate::store::writes::{Answer, Keyed, Known, Writes};

pub(super) const MIGRATION: &str = "
-- What was answered to a write, for who asks again under the same key.
CREATE TABLE answer (
    id          INTEGER PRIMARY KEY,
    caller      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    at          INTEGER NOT NULL,
    status      INTEGER,            -- NULL: begun
    version     INTEGER,
    body        TEXT NOT NULL,
    UNIQUE (caller, key)
);
";

/// Answers that are deleted with each one that is added: more than come in, so that none pile up.
const DELETED_AT_A_TIME: u32 = 16;

/// How long answers are kept, in microseconds.
const KEPT_MICROS: u64 = limits::ANSWERS_KEPT.as_secs() * 1_000_000;

impl SqliteRegistry {
    /// Runs changes in a transaction of their own, or in the one that is under way.
    pub(super) fn within<T>(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = |db: &mut Connection| {
            let step = db.savepoint()?;
            let done = change(&step)?;
            step.commit()?;
            Ok(done)
        };
        run(self.db_mut()).map_err(StoreError::engine(doing))
    }

    /// Reads several things as they are at one moment.
    pub(super) fn at_one_moment<T>(
        &mut self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let step = self.db_mut().savepoint()?;
        read(&step)
    }
}

impl Writes for SqliteRegistry {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.roll_back();
        let begun = self.db().execute_batch("BEGIN IMMEDIATE");
        begun.map_err(StoreError::engine("beginning a change"))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        failpoint::pass(Point::RegistryWritten);
        let done = self.db().execute_batch("COMMIT");
        failpoint::pass(Point::RegistryCommitted);
        done.map_err(|problem| {
            self.roll_back();
            StoreError::engine("committing a change")(problem)
        })
    }

    fn roll_back(&mut self) {
        if !self.db().is_autocommit()
            && let Err(problem) = self.db().execute_batch("ROLLBACK")
        {
            tracing::error!(%problem, "a change could not be taken back");
        }
    }

    fn known(&mut self, keyed: &Keyed) -> Result<Known, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<Known> {
            let since = to_sql(keyed.at.0.saturating_sub(KEPT_MICROS));
            let found = db
                .prepare_cached(
                    "SELECT fingerprint, status, version, body FROM answer \
                     WHERE caller = ?1 AND key = ?2 AND at >= ?3",
                )?
                .query_row(params![keyed.caller, keyed.key, since], |row| {
                    let fingerprint = row.get(0).map_or(Hash::NONE, Hash);
                    let status: Option<u16> = row.get(1)?;
                    let version: Option<u32> = row.get(2)?;
                    let body: String = row.get(3)?;
                    Ok((fingerprint, status, version, body))
                })
                .optional()?;
            let Some((fingerprint, status, version, body)) = found else {
                let room = "SELECT coalesce(max(id) - min(id) + 1, 0) FROM answer";
                let held: i64 = db.query_row(room, [], |row| row.get(0))?;
                let full = from_sql(held) >= limits::ANSWERS_MAX + u64::from(DELETED_AT_A_TIME);
                return Ok(if full { Known::Full } else { Known::Nothing });
            };
            Ok(match status {
                _ if fingerprint != keyed.fingerprint => Known::Other,
                None => Known::Begun,
                Some(status) => Known::Answered(Answer {
                    status,
                    version,
                    body: serde_json::from_str(&body).unwrap_or_default(),
                    told_once: Vec::new(),
                }),
            })
        };
        read(self.db()).map_err(StoreError::engine("looking up an answer"))
    }

    fn remember(&mut self, keyed: &Keyed, answer: Option<&Answer>) -> Result<(), StoreError> {
        let since = to_sql(keyed.at.0.saturating_sub(KEPT_MICROS));
        self.within("keeping an answer", |db| {
            db.prepare_cached(
                "DELETE FROM answer WHERE id IN \
                 (SELECT id FROM answer ORDER BY id LIMIT ?2) AND at < ?1",
            )?
            .execute(params![since, DELETED_AT_A_TIME])?;
            db.prepare_cached("DELETE FROM answer WHERE caller = ?1 AND key = ?2")?
                .execute(params![keyed.caller, keyed.key])?;
            db.prepare_cached(
                "INSERT INTO answer(caller, key, fingerprint, at, status, version, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                keyed.caller,
                keyed.key,
                keyed.fingerprint.0,
                to_sql(keyed.at.0),
                answer.map(|answer| answer.status),
                answer.and_then(|answer| answer.version),
                answer.map_or_else(String::new, |answer| answer.body.to_string()),
            ])?;
            Ok(())
        })
    }

    fn forget(&mut self, keyed: &Keyed) -> Result<(), StoreError> {
        self.within("forgetting a key", |db| {
            db.prepare_cached("DELETE FROM answer WHERE caller = ?1 AND key = ?2")?
                .execute(params![keyed.caller, keyed.key])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;

    fn registry() -> (tempfile::TempDir, SqliteRegistry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = SqliteRegistry::open(&folder.path().join("registry.db")).unwrap();
        (folder, registry)
    }

    fn keyed(key: &str, said: &str, at: u64) -> Keyed {
        Keyed {
            caller: "token 1".into(),
            key: key.into(),
            fingerprint: Hash::of(said),
            at: Timestamp(at),
        }
    }

    #[test]
    fn an_answer_is_known_by_caller_key_and_content_for_a_day() {
        let (_folder, mut registry) = registry();
        let first = keyed("k", "this", KEPT_MICROS);
        assert_eq!(registry.known(&first).unwrap(), Known::Nothing);
        registry.remember(&first, None).unwrap();
        assert_eq!(registry.known(&first).unwrap(), Known::Begun);
        let answer = Answer::created(json!({ "id": 7 })).version(3);
        registry.remember(&first, Some(&answer)).unwrap();
        let last = KEPT_MICROS * 2;
        assert_eq!(
            registry.known(&keyed("k", "this", last)).unwrap(),
            Known::Answered(answer)
        );
        assert_eq!(
            registry.known(&keyed("k", "that", last)).unwrap(),
            Known::Other
        );
        let mut stranger = keyed("k", "this", last);
        stranger.caller = "token 2".into();
        assert_eq!(registry.known(&stranger).unwrap(), Known::Nothing);
        let late = keyed("k", "that", last + 1);
        assert_eq!(registry.known(&late).unwrap(), Known::Nothing);
        registry.remember(&late, None).unwrap();
        registry.forget(&late).unwrap();
        assert_eq!(registry.known(&late).unwrap(), Known::Nothing);
    }

    #[test]
    fn what_is_told_once_is_not_kept() {
        let (folder, mut registry) = registry();
        let mut answer = Answer::ok(json!({ "id": 7 }));
        answer.told_once.push(("token", "pgt_1_secret".into()));
        let key = keyed("k", "this", 1);
        registry.remember(&key, Some(&answer)).unwrap();
        let Known::Answered(kept) = registry.known(&key).unwrap() else {
            panic!("it is not kept");
        };
        assert!(kept.told_once.is_empty());
        drop(registry);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"pgt_1_secret"));
        }
    }

    #[test]
    fn old_answers_make_room_as_new_ones_come() {
        let (_folder, mut registry) = registry();
        for number in 0..100 {
            let key = keyed(&format!("old {number}"), "this", 1);
            registry.remember(&key, None).unwrap();
        }
        for number in 0..20 {
            let key = keyed(&format!("new {number}"), "this", KEPT_MICROS + 2);
            registry.remember(&key, None).unwrap();
        }
        let count = "SELECT count(*) FROM answer";
        let left: u32 = registry
            .db()
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 20);
    }

    #[test]
    fn a_transaction_that_was_left_open_is_taken_back_by_the_next() {
        let (_folder, mut registry) = registry();
        let key = keyed("k", "this", 1);
        registry.begin().unwrap();
        registry.remember(&key, None).unwrap();
        registry.begin().unwrap();
        assert_eq!(registry.known(&key).unwrap(), Known::Nothing);
        registry.roll_back();
        registry.roll_back();
    }
}
