-- registry.db of schema 7: what `posgate` wrote before there was an eighth one. A terminal that was unbound was heard
-- of twice, a contact was given up, and a code is on its way.
PRAGMA user_version=7;
PRAGMA application_id=1346851377;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE account (
    id        INTEGER PRIMARY KEY,
    acquirer  INTEGER NOT NULL REFERENCES acquirer,
    reference TEXT NOT NULL,        -- the acquirer's own; never a card number
    merchant  INTEGER NOT NULL REFERENCES merchant,
    kind      TEXT NOT NULL,
    status    TEXT NOT NULL, verified INTEGER NOT NULL DEFAULT 0,
    UNIQUE (acquirer, reference)
);
INSERT INTO "account" VALUES(1,1,'A-001',1,'bank-card','verified',1);
CREATE TABLE account_change (
    account INTEGER NOT NULL REFERENCES account,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    status  TEXT NOT NULL
, event TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', checker TEXT NOT NULL DEFAULT '');
CREATE TABLE acquirer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, licence TEXT NOT NULL DEFAULT '');
INSERT INTO "acquirer" VALUES(1,'acme','');
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
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,    -- from 1, without a gap
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor   TEXT NOT NULL,
    content TEXT NOT NULL,          -- canonical JSON
    hash    BLOB NOT NULL           -- SHA-256 of the content
);
INSERT INTO "audit" VALUES(1,1795373167574237,'terminals.imported','registry','posgate terminal import','{"actor":{"address":"","channel":"program","name":"posgate terminal import","rights":"all"},"at_us":1795373167574237,"details":{"accounts":1,"bound":3,"changed":0,"lines":3,"merchants":1,"unchanged":0},"event":"terminals.imported","number":1,"previous":"0000000000000000000000000000000000000000000000000000000000000000","request":"","subject":"registry"}',X'96D088AAC70FECC3563CEFA433B07ED8B62B7360061E9AE7A2BDDFDB882FD0A0');
CREATE TABLE audit_head (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
);
INSERT INTO "audit_head" VALUES(1,1,X'96D088AAC70FECC3563CEFA433B07ED8B62B7360061E9AE7A2BDDFDB882FD0A0');
CREATE TABLE binding (
    id        INTEGER PRIMARY KEY,
    terminal  INTEGER NOT NULL REFERENCES terminal,
    merchant  INTEGER NOT NULL REFERENCES merchant,
    account   INTEGER NOT NULL REFERENCES account,
    version   INTEGER NOT NULL,
    state     TEXT NOT NULL,
    reasons   INTEGER NOT NULL,     -- a bit each
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
, device INTEGER REFERENCES device, holds INTEGER NOT NULL DEFAULT 0, opened_by TEXT NOT NULL DEFAULT '', predecessor INTEGER REFERENCES binding, pended_at INTEGER);
INSERT INTO "binding" VALUES(1,1,1,1,1,'active',0,1795305600000000,NULL,1,0,'',NULL,NULL);
INSERT INTO "binding" VALUES(2,2,1,1,1,'re-pending',1,1795305600000000,NULL,2,0,'',NULL,1795373167574237);
INSERT INTO "binding" VALUES(3,3,1,1,2,'unbound',0,1795305600000000,1795305600000002,NULL,0,'',NULL,NULL);
CREATE TABLE binding_change (
    binding INTEGER NOT NULL REFERENCES binding,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    state   TEXT NOT NULL,
    reasons INTEGER NOT NULL, event TEXT NOT NULL DEFAULT '', account INTEGER, device INTEGER, holds INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '', checker TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (binding, version)
) WITHOUT ROWID;
INSERT INTO "binding_change" VALUES(3,2,1795305600000002,'Li Wei','unbound',0,'binding.unbound',NULL,NULL,0,'','');
CREATE TABLE case_change (
    case_file INTEGER NOT NULL REFERENCES case_file,
    version   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    event     TEXT NOT NULL,
    stage     TEXT NOT NULL,
    PRIMARY KEY (case_file, version)
) WITHOUT ROWID;
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
INSERT INTO "challenge" VALUES(1,'release-hold',1,1,X'0101010101010101010101010101010101010101010101010101010101010101',1,'',X'0707070707070707070707070707070707070707070707070707070707070707','sent',0,1795305600000006,1795305900000006,NULL);
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
INSERT INTO "contact" VALUES(1,1,'phone','owner',X'0102',X'0101010101010101010101010101010101010101010101010101010101010101','+86138****8001','verified',NULL,NULL,NULL,2,1795305600000000);
INSERT INTO "contact" VALUES(2,1,'phone','owner',X'0102',X'0202020202020202020202020202020202020202020202020202020202020202','+86138****8002','revoked',NULL,NULL,NULL,2,1795305600000000);
INSERT INTO "contact" VALUES(3,1,'phone','alert',X'0102',X'0303030303030303030303030303030303030303030303030303030303030303','+86138****8003','verified',NULL,NULL,NULL,2,1795305600000000);
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
INSERT INTO "contact_change" VALUES(1,1,1795305600000000,'Li Wei','contact.added','pending','','');
INSERT INTO "contact_change" VALUES(1,2,1795305600000005,'Li Wei','contact.verified','verified','','');
INSERT INTO "contact_change" VALUES(2,1,1795305600000000,'Li Wei','contact.added','pending','','');
INSERT INTO "contact_change" VALUES(2,2,1795305600000005,'Li Wei','contact.revoked','revoked','','');
INSERT INTO "contact_change" VALUES(3,1,1795305600000000,'Li Wei','contact.added','pending','','');
INSERT INTO "contact_change" VALUES(3,2,1795305600000005,'Li Wei','contact.verified','verified','','');
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
INSERT INTO "device" VALUES(1,1,'SN-1','','deployed','','[]',1);
INSERT INTO "device" VALUES(2,1,'SN-2','','deployed','','[]',1);
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
CREATE TABLE late_terminal (
    terminal INTEGER NOT NULL REFERENCES terminal,
    binding  INTEGER NOT NULL REFERENCES binding,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    count    INTEGER NOT NULL
);
INSERT INTO "late_terminal" VALUES(3,3,1795305600000003,1795305600000004,7);
INSERT INTO "late_terminal" VALUES(3,3,1795309200000003,1795309200000004,2);
CREATE TABLE merchant (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    merchant_id TEXT NOT NULL,      -- DE42
    name        TEXT NOT NULL,
    mcc         TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, kind TEXT NOT NULL DEFAULT 'unknown', identity_kind TEXT, identity BLOB, identity_hash BLOB, identity_tail TEXT NOT NULL DEFAULT '',
    UNIQUE (acquirer, merchant_id)
);
INSERT INTO "merchant" VALUES(1,1,'104110041200001','Noodles','5812',1,'unknown',NULL,NULL,NULL,'');
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
CREATE TABLE store (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    id            BLOB NOT NULL,
    journal_begun INTEGER NOT NULL  -- whether there must be a journal
);
INSERT INTO "store" VALUES(1,X'792D34C0994EE060AD18186878BE27EE',0);
CREATE TABLE terminal (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    terminal_id TEXT NOT NULL,      -- DE41
    serial      TEXT NOT NULL, quarantined_until INTEGER NOT NULL DEFAULT 0, watched_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (acquirer, terminal_id)
);
INSERT INTO "terminal" VALUES(1,1,'T0000001','SN-1',0,0);
INSERT INTO "terminal" VALUES(2,1,'T0000002','SN-2',0,0);
INSERT INTO "terminal" VALUES(3,1,'T0000003','',1810857600000000,1803081600000000);
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
CREATE TABLE wrong_code (target BLOB NOT NULL, at INTEGER NOT NULL);
CREATE UNIQUE INDEX binding_open ON binding(terminal) WHERE closed_at IS NULL;
CREATE INDEX binding_terminal ON binding(terminal);
CREATE INDEX merchant_identity ON merchant(identity_hash) WHERE identity_hash IS NOT NULL;
CREATE INDEX account_change_of ON account_change(account);
CREATE UNIQUE INDEX binding_device ON binding(device) WHERE closed_at IS NULL AND device IS NOT NULL;
CREATE INDEX binding_merchant ON binding(merchant) WHERE closed_at IS NULL;
CREATE INDEX binding_account ON binding(account) WHERE closed_at IS NULL;
CREATE INDEX binding_pended ON binding(pended_at) WHERE pended_at IS NOT NULL;
CREATE INDEX contact_merchant ON contact(merchant);
CREATE INDEX contact_value ON contact(value_hash);
CREATE INDEX hold_binding ON hold(binding);
CREATE INDEX challenge_target ON challenge(target, sent_at);
CREATE INDEX challenge_binding ON challenge(binding, sent_at) WHERE binding IS NOT NULL;
CREATE INDEX challenge_place ON challenge(asked_from, sent_at) WHERE asked_from <> '';
CREATE INDEX wrong_code_target ON wrong_code(target, at);
CREATE UNIQUE INDEX case_open ON case_file(binding) WHERE is_over = 0;
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
CREATE INDEX audit_subject ON audit(subject, number);
CREATE INDEX audit_actor ON audit(actor, number);
CREATE INDEX account_change_account ON account_change(account);
CREATE INDEX parcel_due ON parcel(due_at) WHERE due_at IS NOT NULL;
CREATE INDEX parcel_object ON parcel(way, object, number) WHERE due_at IS NOT NULL;
CREATE INDEX parcel_ended ON parcel(ended_at) WHERE ended_at IS NOT NULL;
COMMIT;
