//! Parcels in `registry.db`.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteRegistry, from_sql, to_sql};
use crate::base::{Timestamp, limits};
use crate::store::StoreError;
use crate::store::parcels::{End, NewParcel, Parcel, ParcelBook, Way};
use crate::store::registry::RegistryError;

/// Events about one thing are found by it; whatever waits, by when it is due.
pub(super) const MIGRATION: &str = "
CREATE TABLE parcel (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    way        TEXT NOT NULL,
    object     TEXT NOT NULL,
    version    INTEGER NOT NULL,
    sealed     BLOB,               -- NULL once it has ended
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at     INTEGER,            -- NULL once it has ended
    attempts   INTEGER NOT NULL DEFAULT 0,
    ended_at   INTEGER,
    end        TEXT,
    reason     TEXT                -- of the last attempt that failed
);
CREATE INDEX parcel_due ON parcel(due_at) WHERE due_at IS NOT NULL;
CREATE INDEX parcel_object ON parcel(way, object, number) WHERE due_at IS NOT NULL;
CREATE INDEX parcel_ended ON parcel(ended_at) WHERE ended_at IS NOT NULL;
";

/// How long is remembered how a parcel ended, in microseconds.
const REMEMBERED_MICROS: u64 = limits::PARCELS_REMEMBERED.as_secs() * 1_000_000;
/// Parcels that are forgotten with each that ends.
const FORGOTTEN_AT_A_TIME: u32 = 16;

fn parcel(row: &Row<'_>) -> rusqlite::Result<Option<Parcel>> {
    // A way that this build does not know stays for the one that does.
    let Some(way) = Way::from_name(row.get_ref(1)?.as_str()?) else {
        return Ok(None);
    };
    Ok(Some(Parcel {
        number: from_sql(row.get(0)?),
        way,
        object: row.get(2)?,
        attempts: row.get(3)?,
        sealed: row.get(4)?,
        created_at: Timestamp(from_sql(row.get(5)?)),
        expires_at: Timestamp(from_sql(row.get(6)?)),
    }))
}

impl ParcelBook for SqliteRegistry {
    fn add_parcel(&mut self, new: &NewParcel, now: Timestamp) -> Result<u64, RegistryError> {
        if self.waiting_parcels()? >= limits::PARCELS_MAX as u64 {
            return Err(RegistryError::TooMany {
                what: "notices that wait",
                max: limits::PARCELS_MAX,
                remedy: "see why none is delivered: posgate_parcels_waiting and the log",
            });
        }
        let number = self.within("writing a parcel", |db| {
            db.prepare_cached(
                "INSERT INTO parcel(way, object, version, sealed, created_at, expires_at, due_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)",
            )?
            .insert(params![
                new.way.name(),
                new.object,
                new.version,
                new.sealed,
                to_sql(now.0),
                to_sql(new.expires_at.0)
            ])
        })?;
        Ok(from_sql(number))
    }

    fn due_parcels(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |db: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = db.prepare_cached(
                "SELECT number, way, object, attempts, sealed, created_at, expires_at FROM parcel p \
                 WHERE due_at IS NOT NULL AND due_at <= ?1 AND (way IN ('sms', 'email') OR NOT EXISTS \
                 (SELECT 1 FROM parcel q WHERE q.way = p.way AND q.object = p.object \
                 AND q.number < p.number AND q.due_at IS NOT NULL)) \
                 ORDER BY due_at, number LIMIT ?2",
            )?;
            let rows = all.query_map(params![to_sql(now.0), limit], parcel)?;
            rows.filter_map(Result::transpose).collect()
        };
        read(self.db()).map_err(StoreError::engine("reading what is to be delivered"))
    }

    fn waiting_parcels(&mut self) -> Result<u64, StoreError> {
        self.db()
            .prepare_cached("SELECT count(*) FROM parcel WHERE due_at IS NOT NULL")
            .and_then(|mut one| one.query_row([], |row| row.get(0)))
            .map(from_sql)
            .map_err(StoreError::engine("counting what is to be delivered"))
    }

    fn put_off(&mut self, number: u64, until: Timestamp, reason: &str) -> Result<(), StoreError> {
        self.within("putting a parcel off", |db| {
            db.prepare_cached(
                "UPDATE parcel SET due_at = ?2, attempts = attempts + 1, reason = ?3 \
                 WHERE number = ?1 AND due_at IS NOT NULL",
            )?
            .execute(params![to_sql(number), to_sql(until.0), reason])?;
            Ok(())
        })
    }

    fn parcel_object(&mut self, number: u64) -> Result<Option<String>, StoreError> {
        let read = |db: &Connection| {
            db.prepare_cached(
                "SELECT object FROM parcel WHERE number = ?1 AND way IN ('sms', 'email')",
            )?
            .query_row([to_sql(number)], |row| row.get(0))
            .optional()
        };
        read(self.db()).map_err(StoreError::engine("reading what a message is about"))
    }

    fn end_parcel(
        &mut self,
        number: u64,
        end: End,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let since = to_sql(now.0.saturating_sub(REMEMBERED_MICROS));
        self.within("ending a parcel", |db| {
            db.prepare_cached(
                "UPDATE parcel SET sealed = NULL, due_at = NULL, attempts = attempts + 1, ended_at = ?2, \
                 end = ?3, reason = ?4 WHERE number = ?1 AND due_at IS NOT NULL",
            )?
            .execute(params![to_sql(number), to_sql(now.0), end.name(), reason])?;
            db.prepare_cached(
                "DELETE FROM parcel WHERE number IN (SELECT number FROM parcel \
                 WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
            )?
            .execute(params![since, FORGOTTEN_AT_A_TIME])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::writes::Writes;

    fn registry() -> (tempfile::TempDir, SqliteRegistry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = SqliteRegistry::open(&folder.path().join("registry.db")).unwrap();
        (folder, registry)
    }

    fn add(registry: &mut SqliteRegistry, way: &str, object: &str, at: u64) -> u64 {
        let new = NewParcel {
            way: Way::from_name(way).unwrap(),
            object: object.into(),
            version: 1,
            sealed: b"what nobody may find later".to_vec(),
            expires_at: Timestamp(at + 1_000),
        };
        registry.add_parcel(&new, Timestamp(at)).unwrap()
    }

    fn due(registry: &mut SqliteRegistry, now: u64) -> Vec<u64> {
        let due = registry.due_parcels(Timestamp(now), 100).unwrap();
        due.iter().map(|parcel| parcel.number).collect()
    }

    #[test]
    fn events_about_one_thing_wait_for_each_other_and_texts_do_not() {
        let (_folder, mut registry) = registry();
        let first = add(&mut registry, "event:shop", "binding 7", 10);
        let second = add(&mut registry, "event:shop", "binding 7", 11);
        let elsewhere = add(&mut registry, "event:agent", "binding 7", 12);
        let other = add(&mut registry, "event:shop", "binding 8", 13);
        let texts = [14, 15].map(|at| add(&mut registry, "sms", "contact 1", at));
        let now = 20;
        let [text, another] = texts;
        assert_eq!(
            due(&mut registry, now),
            [first, elsewhere, other, text, another]
        );
        // Also while the first is put off.
        registry.put_off(first, Timestamp(100), "busy").unwrap();
        assert_eq!(due(&mut registry, now), [elsewhere, other, text, another]);
        registry
            .end_parcel(first, End::Delivered, "", Timestamp(101))
            .unwrap();
        assert_eq!(due(&mut registry, now)[0], second);
        assert_eq!(registry.waiting_parcels().unwrap(), 5);
        let tried = registry.due_parcels(Timestamp(100), 100).unwrap();
        assert!(tried.iter().all(|parcel| parcel.attempts == 0));
    }

    #[test]
    fn what_was_in_a_parcel_is_gone_when_it_has_ended_and_ends_once() {
        let (_folder, mut registry) = registry();
        let number = add(&mut registry, "sms", "contact 1", 10);
        for end in [End::Delivered, End::Expired] {
            registry
                .end_parcel(number, end, "late", Timestamp(11))
                .unwrap();
        }
        let (sealed, end): (Option<Vec<u8>>, String) = registry
            .db()
            .query_row("SELECT sealed, end FROM parcel", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!((sealed, end.as_str()), (None, "delivered"));
        assert_eq!(due(&mut registry, 1_000), [0; 0]);
    }

    #[test]
    fn a_parcel_is_written_with_what_it_tells_of_or_not_at_all() {
        let (_folder, mut registry) = registry();
        registry.begin().unwrap();
        add(&mut registry, "sms", "contact 1", 10);
        registry.roll_back();
        assert_eq!(registry.waiting_parcels().unwrap(), 0);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let (_folder, mut registry) = registry();
        let old = add(&mut registry, "sms", "contact 1", 1);
        registry
            .end_parcel(old, End::Refused, "no", Timestamp(2))
            .unwrap();
        let new = add(&mut registry, "sms", "contact 1", 3);
        let late = Timestamp(REMEMBERED_MICROS + 3);
        registry.end_parcel(new, End::Delivered, "", late).unwrap();
        let count = "SELECT count(*) FROM parcel";
        let left: u32 = registry
            .db()
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 1);
    }
}
