//! Pools that are directories: things that stand where something else belongs,
//! and trees that a container made hard to delete.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    DirectoryStage, Pool,
    directory::{live, trashed},
    op, refused, settled,
};
use crate::{Change, ErrorKind, Handle, HostId, Observed, Options};

/// The engine's threads have no larger stack.
const STACK: usize = 512 << 10;
/// Levels of the deepest tree.
const LEVELS: usize = 5_000;

/// What `work` answers, on a thread like the engine's: opening the wrong thing
/// hangs, and a walk by recursion ends the process.
fn in_time<S: DirectoryStage, T: Send + 'static>(
    pool: Pool<S>,
    work: impl FnOnce(&Pool<S>) -> T + Send + 'static,
) -> (Pool<S>, T) {
    let (done, answer) = mpsc::channel();
    let call = move || {
        let value = work(&pool);
        let _ = done.send((pool, value));
    };
    thread::Builder::new().stack_size(STACK).spawn(call).expect("a thread");
    answer.recv_timeout(Duration::from_mins(2)).expect("an answer, without a panic")
}

/// Into the trash and deleted; nothing is left.
fn deleted<S: DirectoryStage>(pool: Pool<S>, handle: &Handle) -> Pool<S> {
    let target = handle.clone();
    let (pool, purged) = in_time(pool, move |pool| {
        settled(|| pool.backend.remove(&op(), &target)).expect("removed");
        settled(|| pool.backend.purge(&op(), &target))
    });
    assert_eq!(purged.expect("deleted"), Change::Done);
    assert_eq!(pool.backend.inspect(&op(), handle).expect("evidence"), Observed::Absent);
    pool
}

/// `volume.json` is a pipe that nobody writes to, a folder, a device without an
/// end.
pub fn a_sidecar_that_is_no_file<S: DirectoryStage>() {
    let mut pool = Pool::<S>::new();
    let plant: [fn(&Path); 4] = [
        |path| {
            let status = Command::new("mkfifo").arg(path).status();
            assert!(status.expect("mkfifo(1) is there").success());
        },
        |path| fs::create_dir(path).expect("made"),
        |path| symlink("nowhere", path).expect("planted"),
        |path| symlink("/dev/zero", path).expect("planted"),
    ];
    for (number, plant) in plant.iter().enumerate() {
        let (handle, sidecar) = pool.volume("db", &[]);
        let file = live(&pool, sidecar.spec.id).join("volume.json");
        fs::remove_file(&file).expect("removed");
        plant(&file);
        let (back, (found, observed)) = in_time(pool, move |pool| {
            (pool.listed(sidecar.spec.id), pool.backend.inspect(&op(), &handle))
        });
        let error = refused(found.expect("listed all the same").sidecar, "no file");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{number}: {error:?}");
        let wrong = matches!(observed, Ok(Observed::Present { .. } | Observed::Absent));
        assert!(!wrong, "{number}: {observed:?}");
        pool = back;
    }
}

/// `volume.json` is a link to a whole one elsewhere: not read, not written.
pub fn a_sidecar_behind_a_link<S: DirectoryStage>() {
    let (pool, outside) = (Pool::<S>::new(), tempfile::tempdir().expect("a folder"));
    let (handle, mut sidecar) = pool.volume("db", &[]);
    let file = live(&pool, sidecar.spec.id).join("volume.json");
    let moved = outside.path().join("volume.json");
    fs::copy(&file, &moved).expect("copied");
    fs::remove_file(&file).expect("removed");
    symlink(&moved, &file).expect("planted");
    let before = fs::read(&moved).expect("readable");
    let found = pool.listed(sidecar.spec.id).expect("listed all the same");
    assert_eq!(refused(found.sidecar, "a link").kind(), ErrorKind::Corrupt);
    sidecar.spec.options.on_remove = crate::OnRemove::Retain;
    // Refused or replaced, both are right.
    let described = settled(|| pool.backend.describe(&op(), &handle, &sidecar));
    assert_eq!(fs::read(&moved).expect("readable"), before, "it was followed");
    if described.is_ok() {
        let found = pool.listed(sidecar.spec.id).expect("listed");
        assert_eq!(found.sidecar.expect("written anew"), sidecar);
    }
}

/// The identity is a link: whatever it leads to is not this pool's.
pub fn an_identity_behind_a_link<S: DirectoryStage>() {
    let (pool, outside) = (Pool::<S>::new(), tempfile::tempdir().expect("a folder"));
    let file = pool.stage.path().join(".berth/pool.json");
    let moved = outside.path().join("pool.json");
    fs::copy(&file, &moved).expect("copied");
    fs::remove_file(&file).expect("removed");
    symlink(&moved, &file).expect("planted");
    let before = fs::read(&moved).expect("readable");
    for expected in [None, Some(pool.identity.pool)] {
        refused(pool.stage.open().identify(&op(), expected, pool.host), "a link");
    }
    refused(pool.stage.open().take_over(&op(), HostId::random(), true), "a link");
    assert_eq!(fs::read(&moved).expect("readable"), before, "it was followed");
}

/// `data` leads to another volume of the same pool.
pub fn the_content_of_another_volume<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (one, described) = pool.volume("one", &[]);
    let (two, sidecar) = pool.volume("two", &[]);
    fs::write(pool.attach(&one).path("file"), "content").expect("writable");
    let data = live(&pool, sidecar.spec.id).join("data");
    fs::remove_dir(&data).expect("empty");
    symlink(format!("../{}/data", described.spec.id), &data).expect("planted");
    refused(pool.backend.attach(&op(), &two, &Options::default()), "another's content");
    settled(|| pool.backend.remove(&op(), &two)).expect("removed");
    settled(|| pool.backend.purge(&op(), &two)).expect("deleted");
    assert_eq!(fs::read(pool.attach(&one).path("file")).expect("readable"), b"content");
}

/// Something of that id is in the trash already: neither of both is lost.
pub fn two_of_one_id<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    fs::write(pool.attach(&handle).path("file"), "content").expect("writable");
    let older = trashed(&pool, sidecar.spec.id);
    fs::create_dir_all(older.join("data")).expect("made");
    fs::write(older.join("data/older"), "content").expect("written");
    refused(settled(|| pool.backend.remove(&op(), &handle)), "two would become one");
    assert_eq!(fs::read(pool.attach(&handle).path("file")).expect("readable"), b"content");
    assert_eq!(fs::read(older.join("data/older")).expect("readable"), b"content");
}

/// Names that are no text, folders that nobody may enter, second names of files
/// outside.
pub fn odd_names_and_closed_folders<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    let data = live(&pool, sidecar.spec.id).join("data");
    for name in [b"\xff\xfe".as_slice(), b"new\nline", b"-rf", b"...", b"volume.json", &[b'x'; 255]]
    {
        fs::write(data.join(OsStr::from_bytes(name)), "x").expect("written");
    }
    let closed = data.join("closed");
    fs::create_dir_all(closed.join("inner")).expect("made");
    fs::write(closed.join("sealed"), "x").expect("written");
    for path in ["sealed", "inner", "."] {
        fs::set_permissions(closed.join(path), fs::Permissions::from_mode(0o000)).expect("ours");
    }
    // On one file system with the content there can be a second name; a Btrfs
    // subvolume is one by itself.
    let linked = pool.stage.path().with_extension("linked");
    fs::write(&linked, "content").expect("written");
    match fs::hard_link(&linked, data.join("hard")) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
        other => other.expect("a hard link"),
    }
    let _pool = deleted(pool, &handle);
    assert_eq!(fs::read(&linked).expect("still there"), b"content");
    assert_eq!(fs::metadata(&linked).expect("still there").nlink(), 1);
}

/// Neither stack nor open files grow with the depth of a tree.
pub fn a_tree_deeper_than_the_stack<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    let _live = Deep::make(live(&pool, sidecar.spec.id).join("data"));
    let _trashed = Deep(trashed(&pool, sidecar.spec.id).join("data"));
    deleted(pool, &handle);
}

/// The top of a deep tree. Dropped, what is left of it goes level by level, so
/// that the stage can be taken away.
struct Deep(PathBuf);

impl Deep {
    /// Made from the bottom up: no path is ever long.
    fn make(top: PathBuf) -> Self {
        let (deep, next) = (top.join("deep"), top.join("next"));
        fs::create_dir(&deep).expect("made");
        for _ in 0..LEVELS {
            fs::create_dir(&next).expect("made");
            fs::rename(&deep, next.join("deep")).expect("moved down");
            fs::rename(&next, &deep).expect("the new top");
        }
        Self(top)
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        let (deep, next) = (self.0.join("deep"), self.0.join("next"));
        while fs::rename(deep.join("deep"), &next).is_ok() {
            if fs::remove_dir(&deep).and_then(|()| fs::rename(&next, &deep)).is_err() {
                break;
            }
        }
    }
}
