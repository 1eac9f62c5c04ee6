//! Room on the disk: what keeps outcomes and reversals durable when nothing new fits (invariant 11).
//!
//! ```text
//!            free < reserve                      an append finds the disk full
//!   Roomy ──────────────────▶ Short ─────────────────────────────────────────▶ Released
//!     ▲  (new money is refused)  │                      (the reserve's file is gone)  │
//!     └──────────────────────────┘◀───────────────────────────────────────────────────┘
//!       free ≥ 5/4 reserve               free for the reserve and that: it is made again
//! ```
//!
//! The reserve is a file of a set size in the store's folder. While it is there, what ends something has
//! that much room, whatever fills the disk. An append that finds the disk full releases it and is tried
//! again; when even that does not help it waits, and nothing is given out meanwhile. A failed sync is
//! another thing and final: see [`super::journal`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{JournalStore, StoreError};

/// Name of the reserve's file.
const FILE: &str = "reserve";

/// What opening the store's files may take: the memory that SQLite shares, and a checkpoint.
const START_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Roomy,
    Short,
    Released,
}

/// See the module. Shared by the journal's writer, those who append, and who looks once a second.
#[derive(Debug)]
pub struct Room {
    folder: PathBuf,
    /// Size of the reserve; 0 for none.
    bytes: u64,
    /// Whether new money is refused: what [`State`] comes to, readable without a lock.
    is_short: AtomicBool,
    state: Mutex<State>,
}

impl Room {
    /// Room in a store's folder, with a reserve of `bytes`, made or found there. Without room for it new
    /// money is refused from the start; with next to none a reserve that is there is given up, because
    /// opening the store's files takes some.
    ///
    /// # Errors
    /// When the file cannot be made for another reason than a full disk.
    pub fn new(folder: &Path, bytes: u64) -> io::Result<Self> {
        let room = Self {
            folder: folder.to_owned(),
            bytes,
            is_short: AtomicBool::new(false),
            state: Mutex::new(State::Roomy),
        };
        if free_bytes(folder)? < START_BYTES {
            room.release();
            return Ok(room);
        }
        match room.make_reserve() {
            Ok(()) => {}
            Err(problem) if is_full(&problem) => {
                room.change(&mut room.lock(), State::Released);
            }
            Err(other) => return Err(other),
        }
        Ok(room)
    }

    /// Without a reserve and without looking at the disk, for stores that are not on one.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            folder: PathBuf::new(),
            bytes: 0,
            is_short: AtomicBool::new(false),
            state: Mutex::new(State::Roomy),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether only what ends something is taken.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Looks at the disk, and takes new money again or refuses it. Returns the bytes that are free beside
    /// the reserve. Blocks while the reserve is made again.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn look(&self) -> io::Result<u64> {
        let free = free_bytes(&self.folder)?;
        let mut state = self.lock();
        let enough = self.bytes + self.bytes / 4;
        match *state {
            State::Roomy if free < self.bytes => self.change(&mut state, State::Short),
            State::Short if free >= enough => self.change(&mut state, State::Roomy),
            State::Released if free >= self.bytes + enough => match self.make_reserve() {
                Ok(()) => self.change(&mut state, State::Roomy),
                // Somebody else was faster; the next look sees it.
                Err(problem) if is_full(&problem) => {}
                Err(other) => return Err(other),
            },
            State::Roomy | State::Short | State::Released => {}
        }
        Ok(free)
    }

    /// Appends a group; on a full disk the reserve is released and the append tried again, as often as
    /// `wait` lets it. Nothing of the group is written meanwhile.
    ///
    /// # Errors
    /// What the store says, other than that the disk is full; that too when `wait` gives up.
    pub(super) fn append(
        &self,
        store: &mut dyn JournalStore,
        group: &[u8],
        records: u32,
        mut wait: impl FnMut() -> bool,
    ) -> Result<u64, StoreError> {
        loop {
            match store.append(group, records) {
                Err(StoreError::Full { .. }) if self.release() || wait() => {}
                other => return other,
            }
        }
    }

    /// Gives up the reserve. Returns whether there was one.
    fn release(&self) -> bool {
        let mut state = self.lock();
        if *state == State::Released {
            return false;
        }
        self.change(&mut state, State::Released);
        self.bytes > 0 && fs::remove_file(self.folder.join(FILE)).is_ok()
    }

    fn change(&self, state: &mut State, to: State) {
        if *state == to {
            return;
        }
        let was_short = *state != State::Roomy;
        *state = to;
        self.is_short.store(to != State::Roomy, Ordering::Relaxed);
        let reserve = self.bytes;
        match to {
            State::Roomy => tracing::info!(reserve, "the disk has room again: new money is taken"),
            State::Short => tracing::error!(
                reserve,
                "the disk is nearly full: new money is declined, outcomes and reversals are taken"
            ),
            State::Released => tracing::error!(
                reserve,
                was_short,
                "the disk is full: new money is declined, outcomes and reversals use the reserve"
            ),
        }
    }

    /// Makes the reserve's file, all of it allocated.
    fn make_reserve(&self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let path = self.folder.join(FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        let made = allocate(&file, self.bytes);
        if made.is_err() {
            drop(fs::remove_file(&path));
        }
        made
    }
}

/// Gives a file its size, with blocks behind it.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    file.set_len(bytes)?;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        // Not every file system can: zeros take as many blocks there.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let mut writer = io::BufWriter::with_capacity(1 << 20, file);
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut writer)?;
            io::Write::flush(&mut writer)?;
        }
        Err(other) => return Err(other.into()),
    }
    file.sync_all()
}

/// Whether it is room that lacks, on the disk or within a quota.
fn is_full(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Bytes that this process may still use on the disk of a folder.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
