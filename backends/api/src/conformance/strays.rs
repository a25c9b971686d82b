//! Pools that are directories: what an interruption or an attacker may have left
//! of snapshots and rollbacks.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink},
    path::Path,
    process::Command,
};

use super::{
    DirectoryStage, Pool, Sentinel,
    directory::live,
    filled::one_file,
    op, refused, settled,
    snapshots::{cloned, of, planned, read, taken},
};
use crate::{Change, Error, ErrorKind, Handle, Observed, Op, Sidecar, Target};

fn volume<S: DirectoryStage>(pool: &Pool<S>, text: &str) -> (Handle, Sidecar) {
    let (handle, sidecar) = pool.volume("db", &[]);
    fs::write(pool.attach(&handle).path("file"), text).expect("writable");
    (handle, sidecar)
}

/// `snapshots` is a link to somewhere else.
pub fn a_link_in_the_snapshots_place<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, own) = volume(&pool, "content");
    symlink(sentinel.path(), live(&pool, own.spec.id).join("snapshots")).expect("planted");
    let (snapshot, sidecar) = planned(&pool, &handle, own.spec.id, "one");
    refused(of(&pool).create(&op(), &handle, &snapshot, &sidecar, &|| false), "a link");
    refused(of(&pool).list(&op(), &handle), "a link");
    refused(of(&pool).remove(&op(), &handle, &snapshot), "a link");
    sentinel.check();
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    settled(|| pool.backend.purge(&op(), &handle)).expect("purged");
    sentinel.check();
}

/// Files, links and strange names in the folder of snapshots are listed as damage.
pub fn entries_that_are_no_snapshots<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, own) = volume(&pool, "content");
    let (_, sound) = taken(&pool, &handle, own.spec.id, "sound");
    let folder = live(&pool, own.spec.id).join("snapshots");
    fs::write(folder.join("file"), "").expect("planted");
    fs::create_dir(folder.join("no-id")).expect("planted");
    symlink(sentinel.path(), folder.join("0".repeat(32))).expect("planted");
    let mut whole = 0;
    for found in of(&pool).list(&op(), &handle).expect("listed") {
        match found.sidecar {
            Ok(sidecar) => {
                assert_eq!(sidecar, sound);
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", found.entry),
        }
    }
    assert_eq!(whole, 1);
    sentinel.check();
}

/// Without its description, or without its content, a snapshot is none.
pub fn a_half_snapshot_is_never_whole<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "content");
    for missing in ["snapshot.json", "data"] {
        let (snapshot, sidecar) = taken(&pool, &handle, own.spec.id, "half");
        let folder =
            live(&pool, own.spec.id).join("snapshots").join(sidecar.id.to_string()).join(missing);
        if folder.is_dir() {
            fs::rename(&folder, folder.with_extension("aside")).expect("moved");
        } else {
            fs::remove_file(&folder).expect("removed");
        }
        let observed = of(&pool).inspect(&op(), &handle, &snapshot).expect("evidence");
        assert_eq!(observed, Observed::Incomplete, "{missing}");
        settled(|| of(&pool).remove(&op(), &handle, &snapshot)).expect("removed");
        settled(|| of(&pool).purge(&op(), &handle, &snapshot)).expect("purged");
        let observed = of(&pool).inspect(&op(), &handle, &snapshot).expect("evidence");
        assert_eq!(observed, Observed::Absent, "{missing}");
    }
}

/// A description that was copied from another snapshot is damage.
pub fn the_description_of_another_snapshot<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "content");
    let (first, one) = taken(&pool, &handle, own.spec.id, "one");
    let (_, two) = taken(&pool, &handle, own.spec.id, "two");
    let folder = live(&pool, own.spec.id).join("snapshots");
    let file = |id: String| folder.join(id).join("snapshot.json");
    fs::copy(file(two.id.to_string()), file(one.id.to_string())).expect("copied");
    let observed = of(&pool).inspect(&op(), &handle, &first).expect("evidence");
    assert_eq!(observed, Observed::Incomplete);
    let found = of(&pool).list(&op(), &handle).expect("listed");
    let damaged = found.iter().find(|found| found.entry == one.id.to_string()).expect("listed");
    assert_eq!(damaged.sidecar.as_ref().expect_err("another's").kind(), ErrorKind::Corrupt);
}

/// A half copy that a killed rollback left is not taken for the whole.
pub fn an_interrupted_rollback_goes_on<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let (snapshot, _) = taken(&pool, &handle, own.spec.id, "one");
    fs::write(pool.attach(&handle).path("file"), "new").expect("writable");
    let folder = live(&pool, own.spec.id);
    fs::create_dir_all(folder.join(".rollback/data")).expect("planted");
    fs::write(folder.join(".rollback/data/file"), "half").expect("planted");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let back = settled(|| of(&pool).roll_back(&op(), &handle, &snapshot, &kept, &description));
    assert_eq!(back.expect("rolled back"), Change::Done);
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("old"));
    assert_eq!(entries(&folder), ["data", "snapshots", "volume.json"]);
    // The same, undone.
    fs::create_dir_all(folder.join(".rollback/data")).expect("planted");
    let (kept, _) = planned(&pool, &handle, own.spec.id, "again");
    assert!(of(&pool).undo_roll_back(&op(), &handle, &kept).expect("undone"));
    assert_eq!(entries(&folder), ["data", "snapshots", "volume.json"]);
}

/// Between the two renames a volume has no content: it goes forward from there.
pub fn an_exchanged_rollback_is_not_undone<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "new");
    let (snapshot, _) = taken(&pool, &handle, own.spec.id, "one");
    let folder = live(&pool, own.spec.id);
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let place = folder.join("snapshots").join(description.id.to_string());
    fs::create_dir(&place).expect("planted");
    fs::write(place.join("snapshot.json"), description.to_bytes()).expect("planted");
    fs::rename(folder.join("data"), place.join("data")).expect("planted");
    fs::create_dir_all(folder.join(".rollback.ready/data")).expect("planted");
    fs::write(folder.join(".rollback.ready/data/file"), "old").expect("planted");
    assert!(!of(&pool).undo_roll_back(&op(), &handle, &kept).expect("told"));
    let back = settled(|| of(&pool).roll_back(&op(), &handle, &snapshot, &kept, &description));
    back.expect("completed");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("old"));
    let (_, clone) = cloned(&pool, &handle, Some(&kept), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("new"));
    assert_eq!(entries(&folder), ["data", "snapshots", "volume.json"]);
}

/// A catalog that was made anew knows of no rollback: the volume has its content
/// back all the same.
pub fn a_rollback_that_nobody_remembers<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "copy");
    let folder = live(&pool, own.spec.id);
    fs::create_dir(folder.join(".rollback.ready")).expect("planted");
    fs::rename(folder.join("data"), folder.join(".rollback.ready/data")).expect("planted");
    settled(|| pool.backend.describe(&op(), &handle, &own)).expect("described");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("copy"));
    assert_eq!(entries(&folder), ["data", "volume.json"]);
}

/// What a killed replacement left is not taken for the whole.
pub fn a_half_replacement_begins_anew<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let folder = live(&pool, own.spec.id);
    fs::create_dir_all(folder.join(".rollback/data")).expect("planted");
    fs::write(folder.join(".rollback/data/half"), "half").expect("planted");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &one_file))
        .expect("replaced");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("restored"));
    assert_eq!(read(&pool.attach(&handle), "half"), None);
    assert_eq!(entries(&folder), ["data", "snapshots", "volume.json"]);
}

/// Whole content goes into its place without its source, which may be away by now.
pub fn a_whole_replacement_is_not_filled_again<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let folder = live(&pool, own.spec.id);
    fs::create_dir_all(folder.join(".rollback.ready/data")).expect("planted");
    fs::write(folder.join(".rollback.ready/data/file"), "whole").expect("planted");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let never = |_: &Op, _: Target<'_>| Err(Error::unavailable("the source went away"));
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &never)).expect("replaced");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("whole"));
    let (_, clone) = cloned(&pool, &handle, Some(&kept), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("old"));
    assert_eq!(entries(&folder), ["data", "snapshots", "volume.json"]);
}

/// A link stays a link, a pipe is not read, and nothing outside is.
pub fn links_and_pipes_in_the_content<S: DirectoryStage>() {
    let (pool, sentinel) = (Pool::<S>::new(), Sentinel::new());
    let (handle, own) = volume(&pool, "content");
    let attached = pool.attach(&handle);
    symlink(sentinel.path(), attached.path("outside")).expect("planted");
    symlink("/dev/zero", attached.path("endless")).expect("planted");
    let pipe = live(&pool, own.spec.id).join("data/pipe");
    let made = Command::new("mkfifo").arg(pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is installed (coreutils)");
    fs::hard_link(attached.path("file"), attached.path("twin")).expect("linked");
    drop(attached);
    let (snapshot, _) = taken(&pool, &handle, own.spec.id, "one");
    let (_, clone) = cloned(&pool, &handle, Some(&snapshot), &[]);
    assert_eq!(fs::read_link(clone.path("outside")).expect("a link"), sentinel.path());
    assert_eq!(fs::read_link(clone.path("endless")).expect("a link"), Path::new("/dev/zero"));
    assert!(fs::symlink_metadata(clone.path("pipe")).expect("there").file_type().is_fifo());
    let inode = |name: &str| fs::metadata(clone.path(name)).expect("there").ino();
    assert_eq!(inode("file"), inode("twin"));
    sentinel.check();
}

/// What is in a folder, but for the files that tell where copies came from.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "origins")
        .collect();
    names.sort_unstable();
    names
}
