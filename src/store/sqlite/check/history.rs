//! The registry's rows against their histories. Every change by the program writes both in one transaction, and
//! histories refuse to be changed: a row that differs was edited past the program.

use rusqlite::{Connection, Row};

use super::{Mend, Report};
use crate::store::sqlite::StoreFile;

/// Bindings whose row is not what their last change left; the first version of one has no history. What drained at
/// an upgrade was given its reasons back without one, so they count only where they decide.
const BINDINGS: &str = "SELECT t.terminal_id, b.id, \
    iif(c.version IS NULL, 'version', iif(c.state <> b.state, 'state', iif(c.account <> b.account, 'account', 'reasons'))) \
    FROM binding b JOIN terminal t ON t.id = b.terminal \
    LEFT JOIN binding_change c ON c.binding = b.id AND c.version = b.version \
    WHERE (c.version IS NULL AND b.version > 1) OR c.state <> b.state OR c.account <> b.account \
    OR (b.state = 're-pending' AND c.reasons <> b.reasons) ORDER BY b.id";

/// Accounts whose status is not what their last change left.
const ACCOUNTS: &str = "SELECT a.reference, c.status, a.status FROM account a \
    JOIN account_change c ON c.rowid = (SELECT max(rowid) FROM account_change WHERE account = a.id) \
    WHERE c.status <> a.status ORDER BY a.id";

/// Says which rows were edited.
pub(super) fn compare(registry: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut tell = |query: &str, what: &dyn Fn(&Row<'_>) -> rusqlite::Result<String>| {
        let mut all = registry.prepare(query)?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            report.add(StoreFile::Registry, Mend::Restore, what(row)?);
        }
        Ok::<_, rusqlite::Error>(())
    };
    tell(BINDINGS, &|row| {
        let (terminal, binding, column): (String, i64, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "the {column} of binding {binding} of terminal {terminal} is not what its history says"
        ))
    })?;
    tell(ACCOUNTS, &|row| {
        let (reference, told, found): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "account {reference} is {found}, and {told} by its history"
        ))
    })
}
