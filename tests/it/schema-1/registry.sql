-- registry.db of schema 1: what `posgate` wrote before there was a second one. Made by a gateway that was killed.
PRAGMA user_version=1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE acquirer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO acquirer VALUES(1,'acme');
CREATE TABLE merchant (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    merchant_id TEXT NOT NULL,      -- DE42
    name        TEXT NOT NULL,
    mcc         TEXT NOT NULL,
    UNIQUE (acquirer, merchant_id)
);
INSERT INTO merchant VALUES(1,1,'104110041200001','','');
CREATE TABLE account (
    id        INTEGER PRIMARY KEY,
    acquirer  INTEGER NOT NULL REFERENCES acquirer,
    reference TEXT NOT NULL,        -- the acquirer's own; never a card number
    merchant  INTEGER NOT NULL REFERENCES merchant,
    kind      TEXT NOT NULL,
    status    TEXT NOT NULL,
    UNIQUE (acquirer, reference)
);
INSERT INTO account VALUES(1,1,'ACC-001',1,'bank-card','verified');
INSERT INTO account VALUES(2,1,'ACC-002',1,'bank-card','verified');
INSERT INTO account VALUES(3,1,'ACC-003',1,'bank-card','verified');
CREATE TABLE terminal (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    terminal_id TEXT NOT NULL,      -- DE41
    serial      TEXT NOT NULL,
    UNIQUE (acquirer, terminal_id)
);
INSERT INTO terminal VALUES(1,1,'T0000001','');
INSERT INTO terminal VALUES(2,1,'T0000002','');
INSERT INTO terminal VALUES(3,1,'T0000003','');
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
INSERT INTO binding VALUES(1,1,1,1,1,'active',0,1795349090590320,NULL);
INSERT INTO binding VALUES(2,2,1,2,1,'active',0,1795349090590320,NULL);
INSERT INTO binding VALUES(3,3,1,3,2,'suspended',0,1795349090590320,NULL);
CREATE TABLE binding_change (
    binding INTEGER NOT NULL REFERENCES binding,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    state   TEXT NOT NULL,
    reasons INTEGER NOT NULL,
    PRIMARY KEY (binding, version)
) WITHOUT ROWID;
INSERT INTO binding_change VALUES(3,2,1795349095428843,'admin-socket','suspended',0);
CREATE TABLE account_change (
    account INTEGER NOT NULL REFERENCES account,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    status  TEXT NOT NULL
);
CREATE UNIQUE INDEX binding_open ON binding(terminal) WHERE closed_at IS NULL;
CREATE INDEX binding_terminal ON binding(terminal);
COMMIT;
