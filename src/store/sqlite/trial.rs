//! A small store for the tests of this folder, with everything defaulted.

use std::fs;
use std::path::PathBuf;

use super::{FolderLock, SqliteFolder, Stamp, StoreFile};
use crate::base::{AcquirerId, BatchNumber, BindingId, MerchantId, TerminalId, Timestamp, TxnId};
use crate::binding::{AccountStatus, ReasonSet, TerminalKey};
use crate::store::projection::project_round;
use crate::store::record::{self, tests::intent};
use crate::store::registry::{Actor, ImportLine};
use crate::store::{
    JournalStore, Outcome, OutcomeKind, ReadModel, Record, Registry, StoreError, TransactionRow,
};

/// A day, in the microseconds of records.
pub(super) const DAY: u64 = 86_400_000_000;

/// A store with one terminal.
pub(super) struct Trial {
    place: tempfile::TempDir,
    pub(super) folder: SqliteFolder,
}

/// What a start takes from the read model.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) last_txn: TxnId,
    pub(super) stan_block: Option<(u32, u64)>,
    pub(super) terminals: Vec<(TerminalKey, BatchNumber, bool)>,
    pub(super) mark: u64,
}

impl Trial {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = SqliteFolder::open(&place.path().join("store")).unwrap();
        let mut registry = folder.registry().unwrap();
        let line = ImportLine {
            line: 2,
            acquirer: registry.acquirer("acme").unwrap(),
            terminal: TerminalId::parse("T0000001").unwrap(),
            merchant: MerchantId::parse("104512541110001").unwrap(),
            merchant_name: "Shop".into(),
            mcc: "5411".into(),
            account: "A1".into(),
            account_kind: "bank-card".into(),
            account_status: AccountStatus::Verified,
            serial: "".into(),
            state: None,
            reasons: ReasonSet::EMPTY,
            limits: None,
            others: Vec::new(),
            placement: "".into(),
        };
        let actor = Actor::program("test", Timestamp(1));
        registry
            .import(&mut std::iter::once(Ok(line)), &actor, &mut |_| {})
            .unwrap();
        drop(registry);
        let trial = Self { place, folder };
        trial.start().unwrap();
        trial
    }

    /// A store in which ten sales were approved, a group for each intent and each outcome, after a sign-on
    /// and a reservation of STANs.
    pub(super) fn with_ten_sales() -> Self {
        let trial = Self::new();
        let mut groups = vec![vec![signed_on(3), stan_block(20_001)]];
        for txn in 1..=10 {
            groups.push(vec![sale(txn)]);
            groups.push(vec![outcome(txn, OutcomeKind::Approved)]);
        }
        trial.append_all(&groups);
        trial.project();
        trial
    }

    pub(super) fn path(&self, file: StoreFile) -> PathBuf {
        self.folder.file(file)
    }

    /// A folder beside the store's.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(super) fn lock(&self) -> FolderLock {
        self.folder.lock().unwrap()
    }

    /// What a start looks at first.
    pub(super) fn start(&self) -> Result<(), StoreError> {
        self.folder.prepare(&self.lock())
    }

    /// Appends a group; its sequence number.
    pub(super) fn append(&self, records: &[Record]) -> u64 {
        self.append_all(&[records.to_vec()])
    }

    fn append_all(&self, groups: &[Vec<Record>]) -> u64 {
        let mut journal = self.folder.journal().unwrap();
        // A test survives no power cut.
        let unsynced = "PRAGMA synchronous=OFF";
        journal.db().execute_batch(unsynced).unwrap();
        for records in groups {
            let count = u32::try_from(records.len()).unwrap();
            journal.append(&group_of(records), count).unwrap();
        }
        journal.last_sequence().unwrap()
    }

    pub(super) fn project(&self) {
        let (mut journal, mut model) = (
            self.folder.journal().unwrap(),
            self.folder.read_model().unwrap(),
        );
        while project_round(&mut journal, &mut model).unwrap() > 0 {}
    }

    pub(super) fn shown(&self) -> Shown {
        let mut model = self.folder.read_model().unwrap();
        let mut terminals = Vec::new();
        model
            .terminals(&mut |key, batch, on| terminals.push((key, batch, on)))
            .unwrap();
        Shown {
            last_txn: model.last_txn().unwrap(),
            stan_block: model.stan_block("bank").unwrap(),
            terminals,
            mark: model.mark().unwrap(),
        }
    }

    pub(super) fn row(&self, txn: u64) -> Option<TransactionRow> {
        let stan = intent(txn).stan;
        let mut model = self.folder.read_model().unwrap();
        model.find(BindingId(1), BatchNumber::FIRST, stan).unwrap()
    }

    /// The groups that are there.
    pub(super) fn groups(&self) -> Vec<u64> {
        let mut seen = Vec::new();
        let each = &mut |sequence, _: &[u8]| {
            seen.push(sequence);
            true
        };
        self.folder.journal().unwrap().replay(0, each).unwrap();
        seen
    }

    /// Runs SQL behind the store's back.
    pub(super) fn sql(&self, file: StoreFile, text: &str) {
        let db = rusqlite::Connection::open(self.path(file)).unwrap();
        db.execute_batch(text).unwrap();
    }

    /// Changes one byte of a group.
    pub(super) fn damage(&self, sequence: u32) {
        let db = rusqlite::Connection::open(self.path(StoreFile::Journal)).unwrap();
        let read = "SELECT body FROM journal WHERE sequence = ?1";
        let mut body: Vec<u8> = db.query_row(read, [sequence], |row| row.get(0)).unwrap();
        *body.last_mut().unwrap() ^= 1;
        let write = "UPDATE journal SET body = ?2 WHERE sequence = ?1";
        db.execute(write, (sequence, body)).unwrap();
    }

    /// Empties the write-ahead logs, so that the files themselves hold everything.
    pub(super) fn settle(&self) {
        for file in StoreFile::ALL {
            self.sql(file, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    /// Every file of the store and its bytes.
    pub(super) fn bytes(&self) -> Vec<Vec<u8>> {
        let read = |file| fs::read(self.path(file)).unwrap();
        StoreFile::ALL.map(read).into()
    }
}

pub(super) fn stamp(name: &str) -> Stamp {
    Stamp {
        name: name.into(),
        at: Timestamp(1_795_349_092_000_000),
        date: 20_261_122,
    }
}

pub(super) fn group_of(records: &[Record]) -> Vec<u8> {
    let mut group = Vec::new();
    record::begin_group(&mut group);
    records.iter().for_each(|r| r.encode(&mut group));
    record::end_group(&mut group);
    group
}

/// A sale, a day after the one before.
pub(super) fn sale(txn: u64) -> Record {
    Record::Intent(Box::new(crate::store::Intent {
        at: Timestamp(txn * DAY),
        key: key(),
        ..intent(txn)
    }))
}

pub(super) fn outcome(txn: u64, kind: OutcomeKind) -> Record {
    Record::Outcome(Outcome {
        txn: TxnId(txn),
        at: Timestamp(txn * DAY + 1),
        kind,
        code: *b"00",
        booked: 1_050,
        answer: Box::default(),
    })
}

pub(super) fn key() -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(1),
        terminal: TerminalId::parse("T0000001").unwrap(),
    }
}

pub(super) fn signed_on(batch: u32) -> Record {
    Record::SignedOn {
        key: key(),
        batch: BatchNumber::new(batch).unwrap(),
        at: Timestamp(1),
    }
}

pub(super) fn stan_block(end: u64) -> Record {
    Record::StanBlock {
        group: "bank".into(),
        date: 20_261_122,
        end,
    }
}
