//! A disk that is full, and one that does not keep what it was given (invariant 11).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use posgate::switch::StoreKeeping;

use super::admin::Api;
use super::fixture::{Setup, Stored, eventually};
use super::serving::{Place, lacks};

/// A small disk of its own, gone when it is dropped.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at.path())
            .output();
        let mounted = mount.is_ok_and(|told| told.status.success());
        mounted.then_some(Self { at })
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        // What a whole block was too much for.
        while file.write_all(&[1]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

const RESERVE: u64 = 4 << 20;

/// A gateway to be, with its store on that disk.
fn on(disk: &SmallDisk) -> Setup {
    let folder = tempfile::tempdir_in(disk.path()).unwrap();
    Setup {
        keeping: StoreKeeping {
            reserve_bytes: RESERVE,
            ..StoreKeeping::default()
        },
        stored: Some(Stored::nothing_in(folder)),
        ..Setup::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_declines_new_money_takes_what_ends_something_and_recovers() {
    let Some(disk) = SmallDisk::mount(48) else {
        return lacks("the right to mount one", "a full disk");
    };
    let (world, mut link) = on(&disk).start_with_link().await;
    let reserve = world.folder.path().join("store/reserve");
    assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
    let mut till = world.till(1).await;
    let mut other = world.till(2).await;
    let (_, told) = till.sell(&mut link, 7, "00").await;
    assert_eq!(told.code(), "00");
    let pages = Api::serve(&world);
    other.send(&other.who.sale(8, 100)).await;
    let in_flight = link.next().await;

    let filler = disk.fill();
    let switch = &world.running.switch;
    eventually("the disk is found full", || switch.is_disk_full()).await;
    let (status, text) = pages.get("/readyz").await;
    assert!(status == 503 && text.contains("the disk is full"), "{text}");
    let (status, text) = pages.get("/healthz").await;
    assert!(status == 200 && text.contains("the disk is full"), "{text}");
    // Nothing new.
    assert_eq!(till.code(&till.who.sale(9, 100)).await, "96");
    assert_eq!(till.code(&till.who.sign_on(10)).await, "96");
    // What is in flight ends, and what stands can be undone.
    link.send(&in_flight.answered("00")).await;
    assert_eq!(other.next().await.code(), "00");
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    let reversal = link.next().await;
    assert_eq!(
        (reversal.mti.as_str(), reversal.text(11)),
        ("0400", "000007")
    );
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || switch.owed() == 0).await;
    assert!(
        !reserve.exists(),
        "the journal went on in the reserve's room"
    );
    assert!(switch.is_journal_open());

    fs::remove_file(filler).unwrap();
    eventually("there is room again", || !switch.is_disk_full()).await;
    assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
    let (_, told) = till.sell(&mut link, 11, "00").await;
    assert_eq!(told.code(), "00");
    assert_eq!(pages.get("/readyz").await.0, 200);
    assert_eq!(pages.get("/healthz").await.1, "ok\n");
    drop(world.stop((till, other)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_nearly_full_keeps_its_reserve() {
    let Some(disk) = SmallDisk::mount(32) else {
        return lacks("the right to mount one", "a full disk");
    };
    let (world, mut link) = on(&disk).start_with_link().await;
    let reserve = world.folder.path().join("store/reserve");
    let switch = &world.running.switch;
    let filler = disk.fill();
    let room = File::options().write(true).open(&filler).unwrap();
    let filled = room.metadata().unwrap().len();
    room.set_len(filled - RESERVE / 2).unwrap();
    eventually("the disk is found nearly full", || switch.is_disk_full()).await;
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sale(9, 100)).await, "96");
    assert!(reserve.exists());
    room.set_len(0).unwrap();
    eventually("there is room again", || !switch.is_disk_full()).await;
    let (_, told) = till.sell(&mut link, 10, "00").await;
    assert_eq!(told.code(), "00");
    drop(world.stop(till).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_starts_on_a_full_disk_serves_reversals() {
    let Some(disk) = SmallDisk::mount(32) else {
        return lacks("the right to mount one", "a full disk");
    };
    let (world, mut link) = on(&disk).start_with_link().await;
    let mut till = world.till(1).await;
    let (_, told) = till.sell(&mut link, 7, "00").await;
    assert_eq!(told.code(), "00");
    let filler = disk.fill();
    drop(link);
    let stored = world.stop(till).await;
    // What the end gave back is taken too.
    let rest = disk.path().join("rest");
    fs::rename(&filler, &rest).unwrap();
    let filler = disk.fill();

    let again = Setup {
        stored: Some(stored),
        // Binding them again would write.
        terminals: 0,
        ..on(&disk)
    };
    let (world, mut link) = again.start_with_link().await;
    let switch = &world.running.switch;
    assert!(switch.is_disk_full());
    let mut till = world.till(1).await;
    assert_eq!(till.code(&till.who.sale(8, 100)).await, "96");
    assert_eq!(till.code(&till.who.reversal(7, 1_000)).await, "00");
    let reversal = link.next().await;
    assert_eq!(
        (reversal.mti.as_str(), reversal.text(11)),
        ("0400", "000007")
    );
    link.send(&reversal.answered("00")).await;
    eventually("nothing is owed", || switch.owed() == 0).await;
    fs::remove_file(filler).unwrap();
    fs::remove_file(rest).unwrap();
    eventually("there is room again", || !switch.is_disk_full()).await;
    let (_, told) = till.sell(&mut link, 9, "00").await;
    assert_eq!(told.code(), "00");
    drop(world.stop(till).await);
}

/// The control pipe of a process under `fiu-run`, and the process.
fn control(folder: &Path) -> Option<u32> {
    let names = fs::read_dir(folder).ok()?.flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.find_map(|name| name.strip_prefix("fiu-")?.strip_suffix(".in")?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_final() {
    if !["fiu-run", "fiu-ctrl"]
        .iter()
        .all(|tool| Command::new(tool).arg("-h").output().is_ok())
    {
        return lacks("fiu-run (Debian: fiu-utils)", "a sync that fails");
    }
    let place = Place::new().await;
    let pipes = place.path().join("fiu").display().to_string();
    let (mut serving, mut link) = place.serve(&["fiu-run", "-x", "-f", &pipes]).await;
    let mut till = place.till(&serving, 1).await;
    let mut stan = 1;
    let request = loop {
        till.send(&till.who.sale(stan, 100)).await;
        tokio::select! {
            request = link.next() => break request,
            told = till.next() => assert_eq!(told.code(), "91"),
        }
        stan += 1;
    };
    // The intent is durable, and the host approves; its outcome will not be.
    let process = control(place.path()).expect("fiu-run has no control pipe");
    for point in ["posix/io/sync/fdatasync", "posix/io/sync/fsync"] {
        let enable = format!("enable name={point},failinfo=5");
        let told = Command::new("fiu-ctrl")
            .args(["-f", &pipes, "-c", &enable, &process.to_string()])
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
    }
    link.send(&request.answered("00")).await;
    // The terminal hears nothing; its connection ends.
    till.wire.ends().await;
    let status = serving.ended().await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(serving.said("the journal cannot be written"));
    assert!(place.succeeds(&["store", "check"]).contains("sound"));
}
