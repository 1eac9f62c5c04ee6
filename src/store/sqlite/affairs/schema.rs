//! The tables of what hangs on a binding. Histories are append-only, and closed bindings are left alone: the
//! database itself refuses what would change them.

/// What a payer's confirmation is for.
pub(in crate::store::sqlite) const PAYMENTS: &str = "
ALTER TABLE challenge ADD COLUMN stan INTEGER;
ALTER TABLE challenge ADD COLUMN amount INTEGER;        -- smallest unit
ALTER TABLE challenge ADD COLUMN currency TEXT;         -- DE49
CREATE INDEX challenge_contact ON challenge(contact, id);
";

/// Which terminals are spares: they may be idle.
pub(in crate::store::sqlite) const SPARES: &str = "
ALTER TABLE binding ADD COLUMN spare INTEGER NOT NULL DEFAULT 0;
";

/// Which account gets what a closed one cannot be paid.
pub(in crate::store::sqlite) const RELEASES: &str = "
ALTER TABLE account ADD COLUMN released_to INTEGER REFERENCES account;
";

/// Alerts of every kind, and contacts that are watched after they were given up.
pub(in crate::store::sqlite) const ALERTS: &str = "
CREATE TABLE alert (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,     -- as the audit trail names it
    terminal TEXT NOT NULL,     -- DE41; may be empty
    binding  INTEGER REFERENCES binding,
    detail   TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    count    INTEGER NOT NULL
);
CREATE INDEX alert_of ON alert(kind, subject, id);
INSERT INTO alert(kind, subject, terminal, binding, detail, first_at, last_at, count)
    SELECT 'late-message', 'terminal ' || a.name || '/' || t.terminal_id, t.terminal_id, l.binding, '',
        l.first_at, l.last_at, l.count
    FROM late_terminal l JOIN terminal t ON t.id = l.terminal JOIN acquirer a ON a.id = t.acquirer
    ORDER BY l.rowid;
DROP TABLE late_terminal;

ALTER TABLE contact ADD COLUMN watched_until INTEGER NOT NULL DEFAULT 0;
-- 90 days from when they were given up.
UPDATE contact SET watched_until = 7776000000000 + coalesce((
        SELECT max(c.at) FROM contact_change c WHERE c.contact = contact.id AND c.state = 'revoked'
    ), 0)
    WHERE state = 'revoked';
";

pub(in crate::store::sqlite) const MIGRATION: &str = "
ALTER TABLE acquirer ADD COLUMN licence TEXT NOT NULL DEFAULT '';

ALTER TABLE merchant ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE merchant ADD COLUMN kind TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE merchant ADD COLUMN identity_kind TEXT;
ALTER TABLE merchant ADD COLUMN identity BLOB;              -- sealed
ALTER TABLE merchant ADD COLUMN identity_hash BLOB;         -- keyed
ALTER TABLE merchant ADD COLUMN identity_tail TEXT NOT NULL DEFAULT '';
CREATE INDEX merchant_identity ON merchant(identity_hash) WHERE identity_hash IS NOT NULL;
CREATE TABLE merchant_change (
    merchant INTEGER NOT NULL REFERENCES merchant,
    version  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    name     TEXT NOT NULL,
    mcc      TEXT NOT NULL,
    kind     TEXT NOT NULL,
    identity_hash BLOB,
    PRIMARY KEY (merchant, version)
) WITHOUT ROWID;

-- Whether it was verified at any time.
ALTER TABLE account ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;
UPDATE account SET verified = 1 WHERE status = 'verified'
    OR id IN (SELECT account FROM account_change WHERE status = 'verified');
ALTER TABLE account_change ADD COLUMN event TEXT NOT NULL DEFAULT '';
ALTER TABLE account_change ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE account_change ADD COLUMN checker TEXT NOT NULL DEFAULT '';
CREATE INDEX account_change_of ON account_change(account);

CREATE TABLE device (
    id       INTEGER PRIMARY KEY,
    acquirer INTEGER NOT NULL REFERENCES acquirer,
    serial   TEXT NOT NULL,
    model    TEXT NOT NULL DEFAULT '',
    state    TEXT NOT NULL,
    custody  TEXT NOT NULL DEFAULT '',
    keys     TEXT NOT NULL DEFAULT '[]',    -- JSON: names and check values, never keys
    version  INTEGER NOT NULL DEFAULT 1,
    UNIQUE (acquirer, serial)
);
CREATE TABLE device_change (
    device  INTEGER NOT NULL REFERENCES device,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    event   TEXT NOT NULL,
    state   TEXT NOT NULL,
    custody TEXT NOT NULL,
    keys    TEXT NOT NULL,
    note    TEXT NOT NULL,
    PRIMARY KEY (device, version)
) WITHOUT ROWID;

ALTER TABLE terminal ADD COLUMN quarantined_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE terminal ADD COLUMN watched_until INTEGER NOT NULL DEFAULT 0;

ALTER TABLE binding ADD COLUMN device INTEGER REFERENCES device;
ALTER TABLE binding ADD COLUMN holds INTEGER NOT NULL DEFAULT 0;        -- a bit a scope
ALTER TABLE binding ADD COLUMN opened_by TEXT NOT NULL DEFAULT '';
ALTER TABLE binding ADD COLUMN predecessor INTEGER REFERENCES binding;  -- of another terminal id
ALTER TABLE binding ADD COLUMN pended_at INTEGER;                       -- since when re-pending
ALTER TABLE binding_change ADD COLUMN event TEXT NOT NULL DEFAULT '';
ALTER TABLE binding_change ADD COLUMN account INTEGER;
ALTER TABLE binding_change ADD COLUMN device INTEGER;
ALTER TABLE binding_change ADD COLUMN holds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE binding_change ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE binding_change ADD COLUMN checker TEXT NOT NULL DEFAULT '';

-- Serial numbers that terminals had so far are devices. Where several open terminals had one, the first has it.
INSERT OR IGNORE INTO device(acquirer, serial, state)
    SELECT t.acquirer, t.serial,
        CASE WHEN max(b.closed_at IS NULL) THEN 'deployed' ELSE 'in-repair' END
    FROM terminal t JOIN binding b ON b.terminal = t.id WHERE t.serial <> ''
    GROUP BY t.acquirer, t.serial;
UPDATE binding SET device = (
        SELECT d.id FROM terminal t JOIN device d ON d.acquirer = t.acquirer AND d.serial = t.serial
        WHERE t.id = binding.terminal
    )
    WHERE id IN (
        SELECT min(b.id) FROM binding b JOIN terminal t ON t.id = b.terminal
        WHERE b.closed_at IS NULL AND t.serial <> '' GROUP BY t.acquirer, t.serial
    );
-- At most one open binding a device.
CREATE UNIQUE INDEX binding_device ON binding(device) WHERE closed_at IS NULL AND device IS NOT NULL;
CREATE INDEX binding_merchant ON binding(merchant) WHERE closed_at IS NULL;
CREATE INDEX binding_account ON binding(account) WHERE closed_at IS NULL;
CREATE INDEX binding_pended ON binding(pended_at) WHERE pended_at IS NOT NULL;

CREATE TABLE contact (
    id         INTEGER PRIMARY KEY,
    merchant   INTEGER NOT NULL REFERENCES merchant,
    kind       TEXT NOT NULL,
    role       TEXT NOT NULL,
    value      BLOB NOT NULL,       -- sealed
    value_hash BLOB NOT NULL,       -- keyed
    masked     TEXT NOT NULL,
    state      TEXT NOT NULL,
    replaces   INTEGER REFERENCES contact,
    consent    TEXT,                -- JSON: how the holder of the replaced one agreed
    consent_at INTEGER,
    version    INTEGER NOT NULL DEFAULT 1,
    added_at   INTEGER NOT NULL
);
CREATE INDEX contact_merchant ON contact(merchant);
CREATE INDEX contact_value ON contact(value_hash);
CREATE TABLE contact_change (
    contact INTEGER NOT NULL REFERENCES contact,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    event   TEXT NOT NULL,
    state   TEXT NOT NULL,
    note    TEXT NOT NULL,
    checker TEXT NOT NULL,
    PRIMARY KEY (contact, version)
) WITHOUT ROWID;

CREATE TABLE hold (
    id          INTEGER PRIMARY KEY,
    binding     INTEGER NOT NULL REFERENCES binding,
    scope       TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    remedy      TEXT NOT NULL,
    documents   TEXT NOT NULL,
    appeal      TEXT NOT NULL,
    placed_at   INTEGER NOT NULL,
    placed_by   TEXT NOT NULL,
    appealed_at INTEGER,
    appeal_note TEXT NOT NULL DEFAULT '',
    lifted_at   INTEGER,
    lifted_by   TEXT NOT NULL DEFAULT '',
    lift_note   TEXT NOT NULL DEFAULT ''
);
CREATE INDEX hold_binding ON hold(binding);

CREATE TABLE challenge (
    id         INTEGER PRIMARY KEY,
    purpose    TEXT NOT NULL,
    contact    INTEGER NOT NULL REFERENCES contact,
    subject    INTEGER NOT NULL,
    target     BLOB NOT NULL,       -- the contact's keyed hash
    binding    INTEGER,             -- what its limits count by
    asked_from TEXT NOT NULL,
    code       BLOB NOT NULL,       -- keyed hash
    state      TEXT NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    sent_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER
);
CREATE INDEX challenge_target ON challenge(target, sent_at);
CREATE INDEX challenge_binding ON challenge(binding, sent_at) WHERE binding IS NOT NULL;
CREATE INDEX challenge_place ON challenge(asked_from, sent_at) WHERE asked_from <> '';
-- Wrong codes since the last right one, by contact.
CREATE TABLE wrong_code (target BLOB NOT NULL, at INTEGER NOT NULL);
CREATE INDEX wrong_code_target ON wrong_code(target, at);

-- What one person filed for another to act on.
CREATE TABLE evidence (
    id       INTEGER PRIMARY KEY,
    about    TEXT NOT NULL,
    allows   TEXT NOT NULL,
    note     TEXT NOT NULL,
    sha256   TEXT NOT NULL,
    filed_by TEXT NOT NULL,
    filed_at INTEGER NOT NULL,
    used_by  TEXT NOT NULL DEFAULT '',
    used_at  INTEGER
);

CREATE TABLE case_file (
    id        INTEGER PRIMARY KEY,
    kind      TEXT NOT NULL,
    binding   INTEGER NOT NULL REFERENCES binding,
    stage     TEXT NOT NULL,
    is_over   INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL,        -- JSON
    opened_at INTEGER NOT NULL
);
-- One at a time for a binding.
CREATE UNIQUE INDEX case_open ON case_file(binding) WHERE is_over = 0;
CREATE TABLE case_change (
    case_file INTEGER NOT NULL REFERENCES case_file,
    version   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    event     TEXT NOT NULL,
    stage     TEXT NOT NULL,
    PRIMARY KEY (case_file, version)
) WITHOUT ROWID;

-- Terminals that were heard of after their end, by the hour.
CREATE TABLE late_terminal (
    terminal INTEGER NOT NULL REFERENCES terminal,
    binding  INTEGER NOT NULL REFERENCES binding,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    count    INTEGER NOT NULL
);
CREATE INDEX late_terminal_of ON late_terminal(terminal, first_at);

CREATE TRIGGER binding_closed BEFORE UPDATE ON binding WHEN OLD.closed_at IS NOT NULL
    BEGIN SELECT raise(ABORT, 'closed bindings are never changed'); END;
CREATE TRIGGER binding_kept BEFORE DELETE ON binding
    BEGIN SELECT raise(ABORT, 'bindings are never deleted'); END;
CREATE TRIGGER binding_change_fixed BEFORE UPDATE ON binding_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER binding_change_kept BEFORE DELETE ON binding_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
CREATE TRIGGER account_change_fixed BEFORE UPDATE ON account_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER account_change_kept BEFORE DELETE ON account_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
CREATE TRIGGER device_change_fixed BEFORE UPDATE ON device_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER device_change_kept BEFORE DELETE ON device_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
CREATE TRIGGER contact_change_fixed BEFORE UPDATE ON contact_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER contact_change_kept BEFORE DELETE ON contact_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
CREATE TRIGGER merchant_change_fixed BEFORE UPDATE ON merchant_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER merchant_change_kept BEFORE DELETE ON merchant_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
CREATE TRIGGER case_change_fixed BEFORE UPDATE ON case_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER case_change_kept BEFORE DELETE ON case_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
";

/// That a binding was suspended outlasts its unbinding, as its reasons do. Those that drain get back what they had.
pub(in crate::store::sqlite) const SUSPENSIONS: &str = "
ALTER TABLE binding ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
UPDATE binding SET suspended = 1 WHERE state = 'suspended';
UPDATE binding SET
    reasons = coalesce((SELECT c.reasons FROM binding_change c WHERE c.binding = binding.id
        AND c.state <> 'unbinding' ORDER BY c.version DESC LIMIT 1), reasons),
    suspended = coalesce((SELECT c.state = 'suspended' FROM binding_change c WHERE c.binding = binding.id
        AND c.state <> 'unbinding' ORDER BY c.version DESC LIMIT 1), 0)
    WHERE state = 'unbinding' AND closed_at IS NULL;
-- What was rolled back is about the end of the binding that leaves.
UPDATE OR IGNORE case_file SET binding = json_extract(body, '$.new_binding')
    WHERE is_over = 0 AND kind = 'replacement' AND json_extract(body, '$.rolled_back_at') IS NOT NULL;
CREATE INDEX binding_predecessor ON binding(predecessor) WHERE predecessor IS NOT NULL;
";

/// Bindings that are one line: a device took over from another one. Follows a `line(id)` that begins somewhere. A binding
/// that never took over is in no line but its own.
macro_rules! line_from {
    ($begin:literal) => {
        concat!(
            "WITH RECURSIVE line(id) AS (",
            $begin,
            " UNION SELECT b.id FROM line l JOIN binding b ON b.predecessor = l.id \
             WHERE EXISTS (SELECT 1 FROM binding_change c WHERE c.binding = b.id AND c.event = 'binding.activated') \
             UNION SELECT b.predecessor FROM line l JOIN binding b ON b.id = l.id \
             WHERE b.predecessor IS NOT NULL AND EXISTS (SELECT 1 FROM binding_change c WHERE c.binding = b.id \
             AND c.event = 'binding.activated')) "
        )
    };
}
pub(super) use line_from;

/// Who an acquirer is beside the name it goes by here and its licence.
pub(in crate::store::sqlite) const ACQUIRERS: &str = "
ALTER TABLE acquirer ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE acquirer ADD COLUMN legal_name TEXT NOT NULL DEFAULT '';
ALTER TABLE acquirer ADD COLUMN institution TEXT NOT NULL DEFAULT '';    -- as in DE32
ALTER TABLE acquirer ADD COLUMN licence_until TEXT NOT NULL DEFAULT '';  -- as 2030-12-31
";

/// Accounts that a binding has beside its first, one of a kind. What a binding had so far is its first.
pub(in crate::store::sqlite) const ACCOUNTS: &str = "
-- `binding.account` is the first in the order of the kinds: bank-card, wechat, alipay.
CREATE TABLE account_beside (
    binding INTEGER NOT NULL REFERENCES binding,
    kind    TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account,
    PRIMARY KEY (binding, kind)
) WITHOUT ROWID;
CREATE INDEX account_beside_of ON account_beside(account);
ALTER TABLE binding_change ADD COLUMN others TEXT NOT NULL DEFAULT '';  -- as 'wechat:7 alipay:9'
CREATE TRIGGER account_beside_fixed BEFORE UPDATE ON account_beside
    BEGIN SELECT raise(ABORT, 'accounts of a binding are written anew'); END;
CREATE TRIGGER account_beside_closed BEFORE DELETE ON account_beside
    WHEN (SELECT closed_at FROM binding WHERE id = OLD.binding) IS NOT NULL
    BEGIN SELECT raise(ABORT, 'closed bindings are never changed'); END;
";

/// When the contacts of a binding that waits for re-verification are reminded next: 1, 3, 7 and 14 days after it began,
/// each once. They were told when it began, and after 30 days it is suspended.
macro_rules! reminder_due {
    () => {
        "CASE WHEN reminded_at IS NULL OR reminded_at < pended_at + 86400000000 THEN pended_at + 86400000000 \
         WHEN reminded_at < pended_at + 259200000000 THEN pended_at + 259200000000 \
         WHEN reminded_at < pended_at + 604800000000 THEN pended_at + 604800000000 \
         WHEN reminded_at < pended_at + 1209600000000 THEN pended_at + 1209600000000 END"
    };
}
pub(super) use reminder_due;

/// Who was reminded, and who is to be.
pub(in crate::store::sqlite) const REMINDERS: &str = concat!(
    "ALTER TABLE binding ADD COLUMN reminded_at INTEGER;     -- last time, of whatever wait\n\
     CREATE INDEX binding_reminder ON binding(",
    reminder_due!(),
    ") WHERE pended_at IS NOT NULL;"
);

/// By what is looked up who may be paid, and when that changed.
pub(in crate::store::sqlite) const PAYOUTS: &str = "
CREATE INDEX binding_change_at ON binding_change(at);
CREATE INDEX hold_lifted ON hold(lifted_at) WHERE lifted_at IS NOT NULL;
";

/// From when a phone speaks for its merchant: what was verified before has done so. And how evidence ends.
pub(in crate::store::sqlite) const SECOND_PERSONS: &str = "
ALTER TABLE contact ADD COLUMN speaks_from INTEGER;     -- NULL: not before another person confirms it
UPDATE contact SET speaks_from = 0 WHERE state IN ('verified', 'suspect');
ALTER TABLE evidence ADD COLUMN refused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE evidence ADD COLUMN refused_at INTEGER;
ALTER TABLE evidence ADD COLUMN lapse_told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX evidence_open ON evidence(filed_at)
    WHERE used_at IS NULL AND refused_at IS NULL AND lapse_told = 0;
";

/// Changes of a phone that are agreed to for a day to come.
pub(in crate::store::sqlite) const PLANNED: &str = "
ALTER TABLE contact ADD COLUMN effective_at INTEGER NOT NULL DEFAULT 0;  -- 0: as soon as it may
";

/// Where the device of a binding stands; empty where nobody said it.
pub(in crate::store::sqlite) const PLACES: &str = "
ALTER TABLE binding ADD COLUMN placement TEXT NOT NULL DEFAULT '';
";

/// Disputes, as staff record them. And refunds without the terminal: who asked for one, and who decided. Money moves in the journal, under the binding of the
/// original, in the batch of staff, with the number here as its trace number.
pub(in crate::store::sqlite) const REFUNDS: &str = "
CREATE TABLE staff_refund (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    binding      INTEGER NOT NULL REFERENCES binding,
    txn          INTEGER NOT NULL,                      -- what is given back
    amount       INTEGER NOT NULL,                      -- smallest unit
    currency     TEXT NOT NULL,
    state        TEXT NOT NULL,                         -- asked, approved, refused
    version      INTEGER NOT NULL,
    note         TEXT NOT NULL,
    asked_by     TEXT NOT NULL,
    asked_at     INTEGER NOT NULL,
    decided_by   TEXT NOT NULL DEFAULT '',
    decided_at   INTEGER,
    decided_note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX staff_refund_of ON staff_refund(binding);
CREATE TABLE dispute (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    binding     INTEGER NOT NULL REFERENCES binding,
    txn         INTEGER NOT NULL,                       -- what is contested
    reference   TEXT NOT NULL,
    note        TEXT NOT NULL,
    state       TEXT NOT NULL,                          -- open, won, lost, withdrawn
    version     INTEGER NOT NULL,
    opened_by   TEXT NOT NULL,
    opened_at   INTEGER NOT NULL,
    closed_by   TEXT NOT NULL DEFAULT '',
    closed_at   INTEGER,
    closed_note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX dispute_open ON dispute(binding) WHERE state = 'open';
CREATE INDEX dispute_of ON dispute(txn);
CREATE TRIGGER dispute_kept BEFORE DELETE ON dispute
    BEGIN SELECT raise(ABORT, 'what people did is never deleted'); END;
CREATE TRIGGER dispute_fixed BEFORE UPDATE ON dispute WHEN OLD.state <> 'open'
    BEGIN SELECT raise(ABORT, 'what was decided is never changed'); END;
CREATE TRIGGER staff_refund_kept BEFORE DELETE ON staff_refund
    BEGIN SELECT raise(ABORT, 'what people did is never deleted'); END;
CREATE TRIGGER staff_refund_fixed BEFORE UPDATE ON staff_refund WHEN OLD.state <> 'asked'
    BEGIN SELECT raise(ABORT, 'what was decided is never changed'); END;
";
