//! The audit trail in SQLite: a table of `registry.db`, so that an event commits with the change it tells of.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{SqliteRegistry, from_sql, to_sql};
use crate::store::StoreError;
use crate::store::audit::{
    AuditTrail, Entry, Events, Filed, Hash, Head, StoredEvent, Verdict, Walk, content,
};
use crate::store::registry::Actor;

/// The events, and where the chain ends. What is found by a column is indexed with the number, so that the
/// newest come first without sorting.
pub(super) const MIGRATION: &str = "
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,    -- from 1, without a gap
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor   TEXT NOT NULL,
    content TEXT NOT NULL,          -- canonical JSON
    hash    BLOB NOT NULL           -- SHA-256 of the content
);
CREATE INDEX audit_subject ON audit(subject, number);
CREATE INDEX audit_actor ON audit(actor, number);
CREATE TABLE audit_head (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
);
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
-- An account's version is the number of its changes.
CREATE INDEX account_change_account ON account_change(account);
";

/// Writes the next event, in the transaction that is under way on `db`.
pub(super) fn append(db: &Connection, actor: &Actor, entry: &Entry) -> rusqlite::Result<()> {
    let before = head(db)?;
    let content = content(before, actor, entry);
    let (number, hash) = (to_sql(before.number + 1), Hash::of(&content));
    db.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            number,
            to_sql(actor.at.0),
            entry.event,
            entry.subject,
            actor.name,
            content,
            hash.0
        ])?;
    db.prepare_cached("UPDATE audit_head SET number = ?1, hash = ?2")?
        .execute(params![number, hash.0])?;
    Ok(())
}

fn head(db: &Connection) -> rusqlite::Result<Head> {
    db.prepare_cached("SELECT number, hash FROM audit_head")?
        .query_row([], |row| {
            Ok(Head {
                number: from_sql(row.get(0)?),
                hash: Hash(row.get(1)?),
            })
        })
        .optional()
        .map(|head| head.unwrap_or(Head::NONE))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        number: from_sql(row.get(0)?),
        content: row.get(1)?,
        // A hash of another length is none that fits.
        hash: row.get(2).map_or(Hash::NONE, Hash),
    })
}

impl AuditTrail for SqliteRegistry {
    fn tell(&mut self, actor: &Actor, entry: &Entry) -> Result<(), StoreError> {
        self.within("writing an audit event", |db| append(db, actor, entry))
    }

    fn head(&mut self) -> Result<Head, StoreError> {
        head(self.db()).map_err(StoreError::engine("reading the audit trail's end"))
    }

    fn events(&mut self, asked: &Events) -> Result<Vec<StoredEvent>, StoreError> {
        let mut fits = vec!["number < ?1".to_owned()];
        let before = asked.before.map_or(i64::MAX, to_sql);
        let mut values = vec![Sql::Integer(before)];
        let mut also = |condition: &str, value: Sql| {
            values.push(value);
            fits.push(condition.replace('?', &format!("?{}", values.len())));
        };
        if let Some(subject) = &asked.subject {
            also("subject = ?", subject.clone().into());
        }
        if let Some(actor) = &asked.actor {
            also("actor = ?", actor.clone().into());
        }
        if let Some(event) = &asked.event {
            also("substr(event, 1, length(?)) = ?", event.clone().into());
        }
        let limit = i64::try_from(asked.limit).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT number, content, hash FROM audit WHERE {} ORDER BY number DESC LIMIT {limit}",
            fits.join(" AND ")
        );
        let read = |db: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = db.prepare(&sql)?;
            let rows = all.query_map(params_from_iter(&values), stored)?;
            rows.collect()
        };
        read(self.db()).map_err(StoreError::engine("reading the audit trail"))
    }

    fn verify(&mut self, kept: Option<&Head>) -> Result<Verdict, StoreError> {
        let walked = self.at_one_moment(|db| {
            let mut walk = Walk::new(kept);
            let mut all = db.prepare(
                "SELECT number, content, hash, at, event, subject, actor FROM audit ORDER BY number",
            )?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let filed = Filed {
                    at: from_sql(row.get(3)?),
                    event: row.get_ref(4)?.as_str()?,
                    subject: row.get_ref(5)?.as_str()?,
                    actor: row.get_ref(6)?.as_str()?,
                };
                if let Err(wrong) = walk.event(&stored(row)?, filed) {
                    return Ok(walk.broken(wrong));
                }
            }
            Ok(walk.end(head(db)?))
        });
        walked.map_err(StoreError::engine("reading the audit trail"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Timestamp;
    use crate::store::audit::Break;
    use crate::store::writes::Writes;

    fn actor(at: u64) -> Actor {
        Actor::program("Li Wei", Timestamp(at))
    }

    fn entry(number: u64) -> Entry {
        Entry::new("thing.changed", format!("thing {}", number % 3))
            .change(json!({ "at": number }), json!({ "at": number + 1 }))
    }

    /// A trail of ten events.
    fn trail() -> (tempfile::TempDir, SqliteRegistry) {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = SqliteRegistry::open(&folder.path().join("registry.db")).unwrap();
        for number in 1..=10 {
            registry.tell(&actor(number), &entry(number)).unwrap();
        }
        (folder, registry)
    }

    /// What is found after somebody had a hand on the file.
    fn found(forge: impl FnOnce(&Connection)) -> Option<Break> {
        let (_folder, mut registry) = trail();
        forge(registry.db());
        registry.verify(None).unwrap().wrong
    }

    fn run(sql: &'static str) -> impl FnOnce(&Connection) {
        move |db| {
            assert!(db.execute(sql, []).unwrap() > 0, "{sql} changes nothing");
        }
    }

    #[test]
    fn a_trail_that_nobody_touched_is_sound_and_ends_where_it_says() {
        let (_folder, mut registry) = trail();
        let verdict = registry.verify(None).unwrap();
        assert_eq!((verdict.sound, &verdict.wrong), (10, &None));
        assert_eq!(verdict.head, registry.head().unwrap());
    }

    #[test]
    fn whatever_is_changed_is_found_and_the_event_is_named() {
        let number = 4;
        let content =
            "UPDATE audit SET content = replace(content, 'Li Wei', 'Li Wej') WHERE number = 4";
        assert_eq!(found(run(content)), Some(Break::Changed { number }));
        let hash = "UPDATE audit SET hash = zeroblob(32) WHERE number = 4";
        assert_eq!(found(run(hash)), Some(Break::Changed { number }));
        let short = "UPDATE audit SET hash = x'00' WHERE number = 4";
        assert_eq!(found(run(short)), Some(Break::Changed { number }));
        for (column, value) in [
            ("at", "at + 1"),
            ("event", "'thing.kept'"),
            ("subject", "'thing 9'"),
            ("actor", "'Wang Fang'"),
        ] {
            let sql = format!("UPDATE audit SET {column} = {value} WHERE number = 4");
            let misfiled = found(|db| assert_eq!(db.execute(&sql, []).unwrap(), 1));
            let column = column.to_owned();
            assert_eq!(misfiled, Some(Break::Misfiled { number, column }));
        }
    }

    #[test]
    fn every_byte_of_a_content_counts() {
        let (_folder, mut registry) = trail();
        let content: String = registry
            .db()
            .query_row("SELECT content FROM audit WHERE number = 7", [], |row| {
                row.get(0)
            })
            .unwrap();
        for at in 0..content.len() {
            let mut forged = content.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            let set = "UPDATE audit SET content = ?1 WHERE number = 7";
            registry.db().execute(set, [forged]).unwrap();
            let wrong = registry.verify(None).unwrap().wrong;
            assert_eq!(wrong, Some(Break::Changed { number: 7 }), "byte {at}");
        }
    }

    #[test]
    fn an_event_that_is_removed_is_missed_wherever_it_stood() {
        for number in [1, 5] {
            let sql = format!("DELETE FROM audit WHERE number = {number}");
            let wrong = found(|db| assert_eq!(db.execute(&sql, []).unwrap(), 1));
            assert_eq!(wrong, Some(Break::Missing { number }));
        }
        // Closing the gap does not help.
        let closed = found(|db| {
            db.execute("DELETE FROM audit WHERE number = 5", [])
                .unwrap();
            db.execute("UPDATE audit SET number = number - 1 WHERE number > 5", [])
                .unwrap();
        });
        assert_eq!(closed, Some(Break::Unchained { number: 5 }));
    }

    #[test]
    fn events_that_change_places_are_found() {
        let swapped = found(|db| {
            for (from, to) in [(3, 99), (4, 3), (99, 4)] {
                let sql = "UPDATE audit SET number = ?2 WHERE number = ?1";
                db.execute(sql, [from, to]).unwrap();
            }
        });
        assert_eq!(swapped, Some(Break::Unchained { number: 3 }));
    }

    #[test]
    fn an_end_that_is_cut_off_is_found() {
        let (found_last, expected) = (7, 10);
        let cut = found(run("DELETE FROM audit WHERE number > 7"));
        let expected = Break::CutOff {
            found: found_last,
            expected,
        };
        assert_eq!(cut, Some(expected));
        let all = found(run("DELETE FROM audit"));
        assert!(
            matches!(all, Some(Break::CutOff { found: 0, .. })),
            "{all:?}"
        );
        // Somebody who forgets that the head has a hash as well.
        let half = found(|db| {
            db.execute("DELETE FROM audit WHERE number > 7", [])
                .unwrap();
            db.execute("UPDATE audit_head SET number = 7", []).unwrap();
        });
        assert_eq!(half, Some(Break::Unchained { number: 7 }));
    }

    /// The chain alone cannot tell: whoever may write the file may make it anew. A head that was kept elsewhere
    /// can.
    #[test]
    fn a_chain_made_anew_is_found_by_a_head_that_was_kept_elsewhere() {
        let (_folder, mut registry) = trail();
        let kept = registry.head().unwrap();
        let forge = |registry: &mut SqliteRegistry| {
            registry
                .db()
                .execute("DELETE FROM audit WHERE number > 7", [])
                .unwrap();
            let seventh = "UPDATE audit_head SET number = 7, \
                           hash = (SELECT hash FROM audit WHERE number = 7)";
            registry.db().execute(seventh, []).unwrap();
            for number in 8..=12 {
                registry.tell(&actor(number + 1), &entry(number)).unwrap();
            }
        };
        forge(&mut registry);
        assert_eq!(registry.verify(None).unwrap().wrong, None);
        let verdict = registry.verify(Some(&kept)).unwrap();
        let kept = kept.to_string();
        assert_eq!(verdict.wrong, Some(Break::NotOurs { kept }));
    }

    #[test]
    fn a_head_that_was_kept_stays_on_the_trail_as_it_grows() {
        let (_folder, mut registry) = trail();
        let kept = registry.head().unwrap();
        registry.tell(&actor(11), &entry(11)).unwrap();
        assert_eq!(registry.verify(Some(&kept)).unwrap().wrong, None);
        assert_eq!(registry.verify(Some(&Head::NONE)).unwrap().wrong, None);
    }

    #[test]
    fn what_is_taken_back_was_never_told() {
        let (_folder, mut registry) = trail();
        let before = registry.head().unwrap();
        registry.begin().unwrap();
        registry.tell(&actor(11), &entry(11)).unwrap();
        registry.roll_back();
        assert_eq!(registry.head().unwrap(), before);
        registry.begin().unwrap();
        registry.tell(&actor(11), &entry(11)).unwrap();
        registry.commit().unwrap();
        assert_eq!(registry.verify(Some(&before)).unwrap().sound, 11);
    }

    #[test]
    fn events_are_found_by_subject_actor_and_name_page_by_page() {
        let (_folder, mut registry) = trail();
        let other = Actor::program("Wang Fang", Timestamp(11));
        registry
            .tell(&other, &Entry::new("token.created", "token 1"))
            .unwrap();
        let mut numbers = |asked: Events| -> Vec<u64> {
            let limit = asked.limit.max(1);
            let found = registry.events(&Events { limit, ..asked }).unwrap();
            found.iter().map(|event| event.number).collect()
        };
        let limit = 100;
        let all = Events {
            limit,
            ..Events::default()
        };
        assert_eq!(numbers(all.clone()), (1..=11).rev().collect::<Vec<_>>());
        let subject = Some("thing 0".to_owned());
        assert_eq!(
            numbers(Events {
                subject,
                ..all.clone()
            }),
            [9, 6, 3]
        );
        let actor = Some("Wang Fang".to_owned());
        assert_eq!(
            numbers(Events {
                actor,
                ..all.clone()
            }),
            [11]
        );
        let event = Some("token.".to_owned());
        assert_eq!(numbers(Events { event, ..all }), [11]);
        let before = Some(4);
        assert_eq!(
            numbers(Events {
                before,
                limit: 2,
                ..Events::default()
            }),
            [3, 2]
        );
    }
}
