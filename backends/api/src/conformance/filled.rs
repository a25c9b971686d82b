//! Volumes whose content somebody puts there, and content that is read.

use std::{
    cell::Cell,
    fs,
    io::Write as _,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use super::{Pool, Stage, op, refused, settled};
use crate::{
    Change, Content, Context as _, Error, ErrorKind, Fill, Handle, Observed, Op, Result, Target,
};

/// A path to the top of what is to be filled.
pub(crate) fn top(target: Target<'_>) -> PathBuf {
    let Target::Directory { top, .. } = target;
    PathBuf::from(format!("/proc/self/fd/{}", top.as_raw_fd()))
}

/// A path to the place for what is needed meanwhile.
pub(crate) fn aside(target: Target<'_>) -> PathBuf {
    let Target::Directory { aside, .. } = target;
    PathBuf::from(format!("/proc/self/fd/{}", aside.as_raw_fd()))
}

/// Content as it can be read.
pub(crate) struct Reading {
    data: OwnedFd,
    pub(crate) origins: Option<OwnedFd>,
}

impl Reading {
    pub(crate) fn of<S: Stage>(pool: &Pool<S>, volume: &Handle, snapshot: Option<&Handle>) -> Self {
        let content = pool.backend.content(&op(), volume, snapshot).expect("readable");
        let Content::Directory { data, origins } = content;
        Self { data, origins }
    }

    pub(crate) fn file<S: Stage>(&self, name: &str) -> Option<String> {
        let top = PathBuf::from(format!("/proc/self/fd/{}", self.data.as_raw_fd()));
        S::read(&top.join(name)).ok()
    }
}

/// Puts one file there.
pub(crate) fn one_file(_: &Op, target: Target<'_>) -> Result<()> {
    fs::write(top(target).join("file"), "restored").context(|| "write")
}

/// Puts half of it there and gives up.
pub(crate) fn half(_: &Op, target: Target<'_>) -> Result<()> {
    fs::create_dir(top(target).join("folder")).expect("writable");
    fs::write(top(target).join("folder/half"), "half").expect("writable");
    Err(Error::unavailable("the source went away"))
}

/// Nothing is there, and it is the daemon's until the fill says otherwise.
fn assert_new(path: &Path) {
    assert_eq!(fs::read_dir(path).expect("readable").count(), 0, "it begins empty");
    let mode = fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o755, "as a volume of which nothing was asked");
}

fn make<S: Stage>(pool: &Pool<S>, given: &[(&str, &str)], fill: Fill<'_>) -> Handle {
    let (handle, sidecar) = pool.planned("restored", given);
    let made = settled(|| pool.backend.create_from(&op(), &handle, &sidecar, fill));
    assert_eq!(made.expect("made"), Change::Done);
    let listed = pool.listed(sidecar.spec.id).expect("listed").sidecar;
    assert_eq!(listed.expect("readable"), sidecar);
    handle
}

/// What was put there is there, also after a restart; once is enough.
pub fn a_volume_is_made_of_what_is_put_there<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("restored", &[]);
    let calls = Cell::new(0);
    let fill = |op: &Op, target: Target<'_>| {
        calls.set(calls.get() + 1);
        assert_new(&top(target));
        one_file(op, target)
    };
    let create = || settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &fill));
    assert_eq!(create().expect("made"), Change::Done);
    assert_eq!(create().expect("there"), Change::Already);
    assert_eq!(calls.get(), 1, "what is whole is not filled again");
    let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
    assert_eq!(observed, Observed::Present { empty: false });
    let pool = pool.restart();
    let read = fs::read(pool.attach(&handle).path("file"));
    assert_eq!(read.expect("readable"), b"restored");
}

/// Owner and mode that were asked for win over those that were put there.
pub fn what_is_put_there_has_owner_and_mode<S: Stage>() {
    let pool = Pool::<S>::new();
    let fill = |_: &Op, target: Target<'_>| {
        chown(top(target), Some(70), Some(71)).expect("root may");
        fs::set_permissions(top(target), fs::Permissions::from_mode(0o2700)).expect("it may");
        Ok(())
    };
    let asked = make(&pool, &[("uid", "7"), ("gid", "8"), ("mode", "0750")], &fill);
    assert_eq!(pool.attach(&asked).access(), (7, 8, 0o750));
    let half = make(&pool, &[("uid", "7")], &fill);
    let (uid, gid, _) = pool.attach(&half).access();
    assert_eq!((uid, gid), (7, 71));
    let left = make(&pool, &[], &fill);
    assert_eq!(pool.attach(&left).access(), (70, 71, 0o2700));
    let plain = make(&pool, &[], &one_file);
    assert_eq!(pool.attach(&plain).access(), (0, 0, 0o755));
}

/// Nothing whole is left, and nothing of the half is in the next.
pub fn a_failed_fill_leaves_a_half<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("restored", &[]);
    let failed = settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &half));
    let error = refused(failed, "the fill failed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "its own kind: {error:?}");
    assert!(error.chain().contains("the source went away"), "{error:?}");
    let pool = pool.restart();
    let inspect = || pool.backend.inspect(&op(), &handle).expect("evidence");
    assert_eq!(inspect(), Observed::Incomplete);
    let error = refused(pool.backend.content(&op(), &handle, None), "a half");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let made = settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &one_file));
    assert_eq!(made.expect("made"), Change::Done);
    assert!(!pool.attach(&handle).path("folder").exists(), "it began anew");
    // And one that nobody repeats goes for good.
    let (handle, sidecar) = pool.planned("again", &[]);
    refused(settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &half)), "it failed");
    settled(|| pool.backend.purge(&op(), &handle)).expect("purged");
    assert_eq!(pool.backend.inspect(&op(), &handle).expect("evidence"), Observed::Absent);
}

/// A cancelled one too; before the fill it is not even called.
pub fn a_cancelled_fill_leaves_a_half<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("restored", &[]);
    let cancelled = Op::new(op().remaining());
    let fill = |op: &Op, target: Target<'_>| {
        fs::write(top(target).join("half"), "half").expect("writable");
        cancelled.cancel();
        op.check()
    };
    let failed = pool.backend.create_from(&cancelled, &handle, &sidecar, &fill);
    assert_eq!(refused(failed, "cancelled").kind(), ErrorKind::Conflict);
    let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
    assert_eq!(observed, Observed::Incomplete);
    let never = |_: &Op, _: Target<'_>| -> Result<()> { panic!("it was cancelled before") };
    let failed = pool.backend.create_from(&cancelled, &handle, &sidecar, &never);
    assert_eq!(refused(failed, "cancelled").kind(), ErrorKind::Conflict);
    settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &one_file)).expect("made");
    assert!(!pool.attach(&handle).path("half").exists(), "it began anew");
}

/// A volume in the trash is not made again over it.
pub fn what_is_in_the_trash_is_not_filled<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    let made = settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &one_file));
    assert_eq!(refused(made, "in the trash").kind(), ErrorKind::Conflict);
    let error = refused(pool.backend.content(&op(), &handle, None), "in the trash");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    settled(|| pool.backend.restore(&op(), &handle)).expect("restored");
    assert!(!pool.attach(&handle).path("file").exists(), "nothing was put there");
}

/// What is read is what the volume holds now; what is not there is told so.
pub fn the_content_is_what_a_volume_holds<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    fs::write(pool.attach(&handle).path("file"), "content").expect("writable");
    let reading = Reading::of(&pool, &handle, None);
    assert_eq!(reading.file::<S>("file").as_deref(), Some("content"));
    assert!(reading.origins.is_none(), "its files are its own");
    let attached = pool.attach(&handle);
    let mut file = fs::File::create(attached.path("file")).expect("writable");
    file.write_all(b"changed").expect("written");
    // What nobody synced may be in the cache of one mount alone.
    file.sync_all().expect("synced");
    assert_eq!(reading.file::<S>("file").as_deref(), Some("changed"));
    let (absent, _) = pool.planned("absent", &[]);
    let error = refused(pool.backend.content(&op(), &absent, None), "absent");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let forged = Handle(serde_json::json!({ "id": "../../x" }));
    refused(pool.backend.content(&op(), &forged, None), "forged");
    let other = super::sidecar("other", &[]);
    let made = pool.backend.create_from(&op(), &handle, &other, &one_file);
    refused(made, "the description of another");
}
