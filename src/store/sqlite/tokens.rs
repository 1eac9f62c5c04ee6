//! Tokens of the admin API in `registry.db`.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{SqliteRegistry, audit, from_sql, to_sql};
use crate::base::{PersonName, Timestamp, limits};
use crate::security::access::{Role, TokenHash};
use crate::store::StoreError;
use crate::store::audit::Entry;
use crate::store::registry::{Actor, RegistryError};
use crate::store::tokens::{NewToken, Token, TokenBook};

pub(super) const MIGRATION: &str = "
CREATE TABLE token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given out twice
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       BLOB NOT NULL,                       -- SHA-256 of the secret
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
);
";

const ALL: &str =
    "SELECT id, name, role, hash, created_at, created_by, expires_at, revoked_at FROM token ";

/// `None` for a role that this build does not know: it opens nothing.
fn token(row: &Row<'_>) -> rusqlite::Result<Option<Token>> {
    let Some(role) = Role::from_name(row.get_ref(2)?.as_str()?) else {
        return Ok(None);
    };
    let revoked_at: Option<i64> = row.get(7)?;
    Ok(Some(Token {
        number: from_sql(row.get(0)?),
        name: PersonName::from_stored(row.get_ref(1)?.as_str()?),
        role,
        hash: TokenHash(row.get(3)?),
        created_at: Timestamp(from_sql(row.get(4)?)),
        created_by: row.get(5)?,
        expires_at: Timestamp(from_sql(row.get(6)?)),
        revoked_at: revoked_at.map(|at| Timestamp(from_sql(at))),
    }))
}

fn told(token: &Token) -> Value {
    json!({
        "name": token.name.as_str(),
        "role": token.role.name(),
        "expires_at_us": token.expires_at.0,
    })
}

impl TokenBook for SqliteRegistry {
    fn tokens(&mut self) -> Result<Vec<Token>, StoreError> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = db.prepare(&format!("{ALL} ORDER BY id"))?;
            let rows = all.query_map([], token)?;
            rows.filter_map(Result::transpose).collect()
        };
        read(self.db()).map_err(StoreError::engine("reading the tokens"))
    }

    fn add_token(&mut self, new: &NewToken, actor: &Actor) -> Result<Token, RegistryError> {
        let good = self.tokens()?;
        let good = good.iter().filter(|token| token.is_good(actor.at)).count();
        if good >= limits::TOKENS_MAX {
            return Err(RegistryError::TooMany {
                what: "tokens",
                max: limits::TOKENS_MAX,
                remedy: "revoke what nobody needs",
            });
        }
        let added = self.within("writing a token", |db| {
            let number = db
                .prepare_cached(
                    "INSERT INTO token(name, role, hash, created_at, created_by, expires_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .insert(params![
                    new.name.as_str(),
                    new.role.name(),
                    new.hash.0,
                    to_sql(actor.at.0),
                    actor.name,
                    to_sql(new.expires_at.0)
                ])?;
            let added = Token {
                number: from_sql(number),
                name: new.name.clone(),
                role: new.role,
                hash: new.hash,
                created_at: actor.at,
                created_by: actor.name.clone(),
                expires_at: new.expires_at,
                revoked_at: None,
            };
            let entry = Entry::new("token.created", format!("token {number}"))
                .change(Value::Null, told(&added));
            audit::append(db, actor, &entry)?;
            Ok(added)
        })?;
        Ok(added)
    }

    fn revoke_token(&mut self, number: u64, actor: &Actor) -> Result<Token, RegistryError> {
        let revoked = self.within("revoking a token", |db| {
            let mut one = db.prepare_cached(&format!("{ALL} WHERE id = ?1"))?;
            let found = one.query_row([to_sql(number)], token).optional()?.flatten();
            let Some(before) = found else { return Ok(None) };
            if before.revoked_at.is_some() {
                return Ok(Some(before));
            }
            db.prepare_cached("UPDATE token SET revoked_at = ?2 WHERE id = ?1")?
                .execute(params![to_sql(number), to_sql(actor.at.0)])?;
            let entry = Entry::new("token.revoked", format!("token {number}"))
                .change(told(&before), Value::Null);
            audit::append(db, actor, &entry)?;
            Ok(Some(Token {
                revoked_at: Some(actor.at),
                ..before
            }))
        })?;
        revoked.ok_or(RegistryError::NotThere {
            what: "token",
            name: number.to_string(),
        })
    }
}
