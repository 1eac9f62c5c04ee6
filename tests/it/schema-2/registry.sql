-- registry.db of schema 2: what `posgate` wrote before there was a third one. Serial numbers are texts of
-- terminals, and two open ones share one.
PRAGMA user_version=2;
PRAGMA application_id=1346851377;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE account (
    id        INTEGER PRIMARY KEY,
    acquirer  INTEGER NOT NULL REFERENCES acquirer,
    reference TEXT NOT NULL,        -- the acquirer's own; never a card number
    merchant  INTEGER NOT NULL REFERENCES merchant,
    kind      TEXT NOT NULL,
    status    TEXT NOT NULL,
    UNIQUE (acquirer, reference)
);
INSERT INTO "account" VALUES(1,1,'ACC-001',1,'bank-card','verified');
INSERT INTO "account" VALUES(2,1,'ACC-002',1,'wechat','frozen');
INSERT INTO "account" VALUES(3,1,'ACC-003',2,'alipay','unverified');
CREATE TABLE account_change (
    account INTEGER NOT NULL REFERENCES account,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    status  TEXT NOT NULL
);
INSERT INTO "account_change" VALUES(2,1795305600000003,'admin-socket','verified');
INSERT INTO "account_change" VALUES(2,1795305600000004,'admin-socket','frozen');
CREATE TABLE acquirer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO "acquirer" VALUES(1,'acme');
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
);
INSERT INTO "binding" VALUES(1,1,1,1,1,'active',0,1795305600000000,NULL);
INSERT INTO "binding" VALUES(2,2,1,2,3,'re-pending',3,1795305600000000,NULL);
INSERT INTO "binding" VALUES(3,3,1,1,1,'active',0,1795305600000000,NULL);
INSERT INTO "binding" VALUES(4,4,2,3,1,'active',0,1795305600000000,NULL);
INSERT INTO "binding" VALUES(5,5,2,3,2,'unbound',0,1795305600000000,1795305600000005);
CREATE TABLE binding_change (
    binding INTEGER NOT NULL REFERENCES binding,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    state   TEXT NOT NULL,
    reasons INTEGER NOT NULL,
    PRIMARY KEY (binding, version)
) WITHOUT ROWID;
INSERT INTO "binding_change" VALUES(2,2,1795305600000001,'admin-socket','suspended',0);
INSERT INTO "binding_change" VALUES(2,3,1795305600000002,'admin-socket','re-pending',3);
INSERT INTO "binding_change" VALUES(5,2,1795305600000005,'admin-socket','unbound',0);
CREATE TABLE merchant (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    merchant_id TEXT NOT NULL,      -- DE42
    name        TEXT NOT NULL,
    mcc         TEXT NOT NULL,
    UNIQUE (acquirer, merchant_id)
);
INSERT INTO "merchant" VALUES(1,1,'104110041200001','Shop','5411');
INSERT INTO "merchant" VALUES(2,1,'104110041200002','Other','5812');
CREATE TABLE store (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    id            BLOB NOT NULL,
    journal_begun INTEGER NOT NULL  -- whether there must be a journal
);
INSERT INTO "store" VALUES(1,X'00112233445566778899AABBCCDDEEFF',0);
CREATE TABLE terminal (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    terminal_id TEXT NOT NULL,      -- DE41
    serial      TEXT NOT NULL,
    UNIQUE (acquirer, terminal_id)
);
INSERT INTO "terminal" VALUES(1,1,'T0000001','SN-1');
INSERT INTO "terminal" VALUES(2,1,'T0000002','SN-2');
INSERT INTO "terminal" VALUES(3,1,'T0000003','SN-1');
INSERT INTO "terminal" VALUES(4,1,'T0000004','');
INSERT INTO "terminal" VALUES(5,1,'T0000005','SN-5');
CREATE UNIQUE INDEX binding_open ON binding(terminal) WHERE closed_at IS NULL;
CREATE INDEX binding_terminal ON binding(terminal);
COMMIT;
