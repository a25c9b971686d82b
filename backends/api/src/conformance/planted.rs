//! Pools that are directories: what an attacker or a container may have put
//! there. A sentinel outside must stay as it is.

use std::{
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::{fs::symlink, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    DirectoryStage, Pool, Sentinel,
    directory::{live, trashed},
    op, refused, settled,
};
use crate::{Change, ErrorKind, Handle, Observed, Options, Sidecar};

/// A volume in the trash, with content.
fn removed<S: DirectoryStage>(pool: &Pool<S>, fill: impl FnOnce(&Path)) -> (Handle, Sidecar) {
    let (handle, sidecar) = pool.volume("db", &[]);
    fill(&live(pool, sidecar.spec.id).join("data"));
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    (handle, sidecar)
}

fn purged<S: DirectoryStage>(pool: &Pool<S>, handle: &Handle) {
    let purged = settled(|| pool.backend.purge(&op(), handle));
    assert_eq!(purged.expect("purged"), Change::Done);
    assert_eq!(pool.backend.inspect(&op(), handle).expect("evidence"), Observed::Absent);
}

/// `volumes/<id>` is a link to somewhere else.
pub fn a_link_in_a_volumes_place<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, sidecar) = pool.volume("db", &[]);
    let folder = live(&pool, sidecar.spec.id);
    fs::remove_dir_all(&folder).expect("removed");
    symlink(sentinel.path(), &folder).expect("planted");
    let backend = &pool.backend;
    refused(backend.attach(&op(), &handle, &Options::default()), "a link");
    refused(backend.inspect(&op(), &handle), "a link");
    refused(backend.create(&op(), &handle, &sidecar), "a link");
    refused(backend.describe(&op(), &handle, &sidecar), "a link");
    let found = pool.listed(sidecar.spec.id).expect("listed all the same");
    assert_eq!(refused(found.sidecar, "a link").kind(), ErrorKind::Corrupt);
    sentinel.check();
    purged(&pool, &handle);
    sentinel.check();
}

/// `data` is a link to somewhere else.
pub fn a_link_in_the_contents_place<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, mut sidecar) = pool.volume("db", &[]);
    let data = live(&pool, sidecar.spec.id).join("data");
    fs::remove_dir(&data).expect("removed");
    symlink(sentinel.path(), &data).expect("planted");
    refused(pool.backend.attach(&op(), &handle, &Options::default()), "a link");
    refused(pool.backend.inspect(&op(), &handle), "a link");
    sidecar.spec.options.uid = Some(65_534);
    refused(pool.backend.describe(&op(), &handle, &sidecar), "a link");
    sentinel.check();
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    purged(&pool, &handle);
    sentinel.check();
}

/// A container may link to wherever it likes.
pub fn links_in_the_content<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, _) = removed(&pool, |data| {
        symlink(sentinel.path(), data.join("absolute")).expect("planted");
        symlink("../../../..", data.join("up")).expect("planted");
        symlink("/", data.join("root")).expect("planted");
        symlink("loop", data.join("loop")).expect("planted");
        symlink(sentinel.path().join("below/precious"), data.join("file")).expect("planted");
    });
    purged(&pool, &handle);
    sentinel.check();
}

/// Something is mounted in a removed volume: it is named, and not crossed.
pub fn a_mount_in_the_content<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, sidecar) = removed(&pool, |data| {
        fs::create_dir_all(data.join("folder/mountpoint")).expect("made");
    });
    let at = trashed(&pool, sidecar.spec.id).join("data/folder/mountpoint");
    let mount = Mounted::bind(sentinel.path(), &at);
    let error = refused(settled(|| pool.backend.purge(&op(), &handle)), "a mount");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    assert!(error.chain().contains("mount"), "{error:?}");
    sentinel.check();
    drop(mount);
    purged(&pool, &handle);
    sentinel.check();
}

/// A bind mount that goes with its guard.
struct Mounted(PathBuf);

impl Mounted {
    fn bind(from: &Path, at: &Path) -> Self {
        let status = Command::new("mount").arg("--bind").args([from, at]).status();
        assert!(status.expect("mount(8) is there").success(), "this test mounts: run it as root");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A thousand levels, far beyond what a path can say.
pub fn a_deep_tree<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = removed(&pool, |data| {
        let name = "d".repeat(50);
        let mut folder = File::open(data).expect("readable");
        for _ in 0..1_000 {
            let below = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
            fs::create_dir(&below).expect("made");
            folder = File::open(&below).expect("readable");
        }
    });
    purged(&pool, &handle);
}

/// What must not be opened, lest it blocks or acts.
pub fn pipes_devices_and_sockets<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = removed(&pool, |data| {
        let make = |name: &str, words: &[&str]| {
            let status = Command::new("mknod").arg(data.join(name)).args(words).status();
            assert!(status.expect("mknod(1) is there").success(), "run this test as root");
        };
        make("pipe", &["p"]);
        make("character", &["c", "1", "3"]);
        make("nobody", &["c", "240", "77"]);
        make("block", &["b", "240", "77"]);
        // By a short path: addresses of sockets have 108 bytes.
        let folder = File::open(data).expect("a directory");
        let short = format!("/proc/self/fd/{}/socket", folder.as_raw_fd());
        UnixListener::bind(short).expect("bound");
    });
    purged(&pool, &handle);
}

/// A job that was cancelled, and its repetition.
pub fn a_cancelled_purge_goes_on<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = removed(&pool, |data| {
        for number in 0..100 {
            fs::write(data.join(number.to_string()), "x").expect("written");
        }
    });
    let op = op();
    op.cancel();
    let error = refused(settled(|| pool.backend.purge(&op, &handle)), "cancelled");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(trashed(&pool, sidecar.spec.id).exists());
    let op = super::op();
    assert_eq!(settled(|| pool.backend.purge(&op, &handle)).expect("purged"), Change::Done);
    // Where the content is a subvolume, it is one entry.
    assert!(op.counts().files_done > 0, "progress is counted");
    assert!(!trashed(&pool, sidecar.spec.id).exists());
}

/// Somebody's files between the volumes are shown, and left alone.
pub fn entries_that_are_no_volumes<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    let volumes = pool.stage.path().join("volumes");
    fs::write(volumes.join("notes.txt"), "x").expect("written");
    fs::create_dir(volumes.join("config")).expect("made");
    fs::write(volumes.join(crate::VolumeId::random().to_string()), "a file").expect("written");
    let found = pool.backend.list(&op()).expect("listed");
    assert_eq!(found.len(), 4);
    for entry in found.into_iter().filter(|entry| entry.handle != handle) {
        let error = refused(entry.sidecar, &entry.entry);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        refused(pool.backend.attach(&op(), &entry.handle, &Options::default()), &entry.entry);
    }
    assert!(volumes.join("notes.txt").exists() && volumes.join("config").exists());
}
