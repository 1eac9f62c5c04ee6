-- registry.db of schema 12: what `posgate` wrote before there was a thirteenth one. A binding has one account, of whatever kind,
-- and a replacement is being tested.
PRAGMA user_version=12;
PRAGMA application_id=1346851377;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE acquirer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, licence TEXT NOT NULL DEFAULT '');
INSERT INTO acquirer VALUES(1,'acme','');
CREATE TABLE merchant (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    merchant_id TEXT NOT NULL,      -- DE42
    name        TEXT NOT NULL,
    mcc         TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, kind TEXT NOT NULL DEFAULT 'unknown', identity_kind TEXT, identity BLOB, identity_hash BLOB, identity_tail TEXT NOT NULL DEFAULT '',
    UNIQUE (acquirer, merchant_id)
);
INSERT INTO merchant VALUES(1,1,'104110041200001','','',1,'unknown',NULL,NULL,NULL,'');
CREATE TABLE account (
    id        INTEGER PRIMARY KEY,
    acquirer  INTEGER NOT NULL REFERENCES acquirer,
    reference TEXT NOT NULL,        -- the acquirer's own; never a card number
    merchant  INTEGER NOT NULL REFERENCES merchant,
    kind      TEXT NOT NULL,
    status    TEXT NOT NULL, verified INTEGER NOT NULL DEFAULT 0, released_to INTEGER REFERENCES account,
    UNIQUE (acquirer, reference)
);
INSERT INTO account VALUES(1,1,'ACC-001',1,'bank-card','verified',1,NULL);
INSERT INTO account VALUES(2,1,'WX-001',1,'wechat','verified',1,NULL);
INSERT INTO account VALUES(3,1,'ALI-001',1,'alipay','frozen',0,NULL);
CREATE TABLE terminal (
    id          INTEGER PRIMARY KEY,
    acquirer    INTEGER NOT NULL REFERENCES acquirer,
    terminal_id TEXT NOT NULL,      -- DE41
    serial      TEXT NOT NULL, quarantined_until INTEGER NOT NULL DEFAULT 0, watched_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (acquirer, terminal_id)
);
INSERT INTO terminal VALUES(1,1,'T0000001','SN-1',0,0);
INSERT INTO terminal VALUES(2,1,'T0000002','SN-2',0,0);
INSERT INTO terminal VALUES(3,1,'T0000003','SN-3',0,0);
INSERT INTO terminal VALUES(4,1,'T0000009','SN-9',0,0);
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
, device INTEGER REFERENCES device, holds INTEGER NOT NULL DEFAULT 0, opened_by TEXT NOT NULL DEFAULT '', predecessor INTEGER REFERENCES binding, pended_at INTEGER, spare INTEGER NOT NULL DEFAULT 0);
INSERT INTO binding VALUES(1,1,1,1,1,'active',0,1795410855139281,NULL,1,0,'',NULL,NULL,0);
INSERT INTO binding VALUES(2,2,1,2,1,'active',0,1795410855139281,NULL,2,0,'',NULL,NULL,0);
INSERT INTO binding VALUES(3,3,1,3,1,'unbound',0,1795410855139281,1795410855139281,NULL,0,'',NULL,NULL,0);
INSERT INTO binding VALUES(4,4,1,1,2,'activating',0,1795410855517743,NULL,3,0,'root',1,NULL,0);
CREATE TABLE binding_change (
    binding INTEGER NOT NULL REFERENCES binding,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    state   TEXT NOT NULL,
    reasons INTEGER NOT NULL, event TEXT NOT NULL DEFAULT '', account INTEGER, device INTEGER, holds INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '', checker TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (binding, version)
) WITHOUT ROWID;
INSERT INTO binding_change VALUES(4,2,1795410855517743,'root','activating',0,'binding.approved',1,3,0,'replacement','root');
CREATE TABLE account_change (
    account INTEGER NOT NULL REFERENCES account,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    status  TEXT NOT NULL
, event TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', checker TEXT NOT NULL DEFAULT '');
CREATE TABLE store (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    id            BLOB NOT NULL,
    journal_begun INTEGER NOT NULL  -- whether there must be a journal
);
INSERT INTO store VALUES(1,X'f109d41f6c0e9382f9744a4340c3e2ce',1);
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
INSERT INTO device VALUES(1,1,'SN-1','','deployed','','[]',1);
INSERT INTO device VALUES(2,1,'SN-2','','deployed','','[]',1);
INSERT INTO device VALUES(3,1,'SN-9','P1','reserved','store','[]',2);
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
INSERT INTO device_change VALUES(3,1,1795410855349488,'root','device.registered','stocked','store','[]','');
INSERT INTO device_change VALUES(3,2,1795410855517743,'root','device.reserved','reserved','store','[]','');
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
, watched_until INTEGER NOT NULL DEFAULT 0);
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
, stan INTEGER, amount INTEGER, currency TEXT);
CREATE TABLE wrong_code (target BLOB NOT NULL, at INTEGER NOT NULL);
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
INSERT INTO case_file VALUES(1,'replacement',1,'testing',0,1,'{"checker":null,"cut_over_at":null,"forced":null,"keys":null,"maker":"root","network":null,"new_binding":4,"note":"worn out","opened_at":1795410855517743,"passed":[],"rolled_back_at":null,"stage":"testing","wipe":null}',1795410855517743);
CREATE TABLE case_change (
    case_file INTEGER NOT NULL REFERENCES case_file,
    version   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    event     TEXT NOT NULL,
    stage     TEXT NOT NULL,
    PRIMARY KEY (case_file, version)
) WITHOUT ROWID;
INSERT INTO case_change VALUES(1,1,1795410855517743,'root','case.opened','testing');
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY,    -- from 1, without a gap
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor   TEXT NOT NULL,
    content TEXT NOT NULL,          -- canonical JSON
    hash    BLOB NOT NULL           -- SHA-256 of the content
);
INSERT INTO audit VALUES(1,1795410855139281,'terminals.imported','registry','root','{"actor":{"address":"uid 0 pid 6556","channel":"socket","name":"root","rights":"all"},"at_us":1795410855139281,"details":{"accounts":3,"bound":3,"changed":0,"lines":3,"merchants":1,"unchanged":0},"event":"terminals.imported","number":1,"previous":"0000000000000000000000000000000000000000000000000000000000000000","request":"c880869d19c553b9","subject":"registry"}',X'9dca1f2df796eba6cd9e58fc159f3f9c1ff669368453fd1a7f7521c3352e709d');
INSERT INTO audit VALUES(2,1795410855349488,'device.registered','device acme/SN-9','root','{"actor":{"address":"uid 0 pid 6565","channel":"socket","name":"root","rights":"all"},"after":{"custody":"store","state":"stocked","version":1},"at_us":1795410855349488,"event":"device.registered","number":2,"previous":"9dca1f2df796eba6cd9e58fc159f3f9c1ff669368453fd1a7f7521c3352e709d","request":"ec04dc55d12b1822","subject":"device acme/SN-9"}',X'594cbb5d9bc9a0c6def78305fc9e1071bdde082b7fcacde404075f3f83ea9590');
INSERT INTO audit VALUES(3,1795410855517743,'device.reserved','device acme/SN-9','root','{"actor":{"address":"uid 0 pid 6567","channel":"socket","name":"root","rights":"all"},"after":{"custody":"store","state":"reserved","version":2},"at_us":1795410855517743,"event":"device.reserved","number":3,"previous":"594cbb5d9bc9a0c6def78305fc9e1071bdde082b7fcacde404075f3f83ea9590","request":"782440331480394e","subject":"device acme/SN-9"}',X'8ba67c5791d1c543ae989473772d7e22de7f510cd0ead21262f255aa37d07823');
INSERT INTO audit VALUES(4,1795410855517743,'binding.requested','terminal acme/T0000009','root','{"actor":{"address":"uid 0 pid 6567","channel":"socket","name":"root","rights":"all"},"after":{"account":1,"binding":4,"holds":[],"reasons":[],"state":"pending","version":1},"at_us":1795410855517743,"details":{"predecessor":1,"serial":"SN-9"},"event":"binding.requested","number":4,"previous":"8ba67c5791d1c543ae989473772d7e22de7f510cd0ead21262f255aa37d07823","request":"782440331480394e","subject":"terminal acme/T0000009"}',X'68c267bb5ac2f1656acb9d50715491e73546dff5b1322f7cae198c38eede436b');
INSERT INTO audit VALUES(5,1795410855517743,'binding.approved','terminal acme/T0000009','root','{"actor":{"address":"uid 0 pid 6567","channel":"socket","name":"root","rights":"all"},"after":{"account":1,"binding":4,"holds":[],"reasons":[],"state":"activating","version":2},"at_us":1795410855517743,"before":{"account":1,"binding":4,"holds":[],"reasons":[],"state":"pending","version":1},"details":{"checker":"root","note":"replacement"},"event":"binding.approved","number":5,"previous":"68c267bb5ac2f1656acb9d50715491e73546dff5b1322f7cae198c38eede436b","request":"782440331480394e","subject":"terminal acme/T0000009"}',X'd8566b2a04f8d025b82375c8538142685e36a16587f415d647f153357b2607d0');
INSERT INTO audit VALUES(6,1795410855517743,'case.opened','case 1','root','{"actor":{"address":"uid 0 pid 6567","channel":"socket","name":"root","rights":"all"},"after":{"kind":"replacement","stage":"testing","terminal":"acme/T0000001"},"at_us":1795410855517743,"event":"case.opened","number":6,"previous":"d8566b2a04f8d025b82375c8538142685e36a16587f415d647f153357b2607d0","request":"782440331480394e","subject":"case 1"}',X'df3b3285d8dc90227ddf6b7109f15799c9dd24e4a1410211db6e277df4b481ef');
CREATE TABLE audit_head (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL
);
INSERT INTO audit_head VALUES(1,6,X'df3b3285d8dc90227ddf6b7109f15799c9dd24e4a1410211db6e277df4b481ef');
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
INSERT INTO answer VALUES(1,'user root','4ba45e90b0e02a8ac7a9a1709825c4fa',X'a09dc994b9e1b91b59c02b21dc79335bbe81f7dbcf401bebfdc1fd196e9f0254',1795410855139281,200,NULL,'{"accounts":3,"bound":3,"changed":0,"lines":3,"merchants":1,"unchanged":0}');
INSERT INTO answer VALUES(2,'user root','c78b1c27b271216cd91763882339a02c',X'5c69a438933202e1097d03ff02bf22bba3ee155ecd9a6ba7da2cd342cdb6f185',1795410855349488,200,1,'{"number":3,"version":1}');
INSERT INTO answer VALUES(3,'user root','950325162cea856e34043e97a3254340',X'b8b9cc64a8be4aefe5dc8df8ddbb24f0b703b63208d96f71c535a4981f59fb46',1795410855517743,200,1,'{"number":1,"version":1}');
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
CREATE TABLE sales_limit (
    scope        TEXT NOT NULL,     -- terminal, account, merchant
    subject      INTEGER NOT NULL,  -- binding, account or merchant
    counter      INTEGER NOT NULL,  -- the subject that had it first; several share one
    version      INTEGER NOT NULL,
    currency     TEXT NOT NULL,     -- DE49
    day_amount   INTEGER,           -- smallest unit; NULL: no limit
    day_count    INTEGER,
    month_amount INTEGER,
    month_count  INTEGER,
    PRIMARY KEY (scope, subject)
) WITHOUT ROWID;
CREATE TABLE sales_limit_change (
    scope        TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    currency     TEXT NOT NULL,
    day_amount   INTEGER,
    day_count    INTEGER,
    month_amount INTEGER,
    month_count  INTEGER,
    note         TEXT NOT NULL,
    checker      TEXT NOT NULL,
    PRIMARY KEY (scope, counter, version)
) WITHOUT ROWID;
DELETE FROM sqlite_sequence;
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
CREATE INDEX challenge_contact ON challenge(contact, id);
CREATE INDEX alert_of ON alert(kind, subject, id);
CREATE INDEX sales_limit_counter ON sales_limit(scope, counter);
CREATE TRIGGER sales_limit_change_fixed BEFORE UPDATE ON sales_limit_change
    BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER sales_limit_change_kept BEFORE DELETE ON sales_limit_change
    BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
COMMIT;
