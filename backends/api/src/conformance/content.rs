//! Content, owner and mode, and what a volume says of itself.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{Pool, Stage, op, settled};
use crate::{Change, Observed, Options};

/// What was written is there again after the trash.
pub fn the_trash_keeps_content<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    let attached = pool.attach(&handle);
    fs::create_dir(attached.path("folder")).expect("writable");
    fs::write(attached.path("folder/file"), "content").expect("writable");
    drop(attached);
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    let pool = pool.restart();
    settled(|| pool.backend.restore(&op(), &handle)).expect("restored");
    let read = fs::read(pool.attach(&handle).path("folder/file"));
    assert_eq!(read.expect("readable"), b"content");
}

/// convoy's defect 13: the next volume of that name showed the old data.
pub fn a_name_used_again_shows_nothing_old<S: Stage>() {
    let pool = Pool::<S>::new();
    let (old, _) = pool.volume("db", &[]);
    fs::write(pool.attach(&old).path("secret"), "content").expect("writable");
    settled(|| pool.backend.remove(&op(), &old)).expect("removed");
    let (new, _) = pool.volume("db", &[]);
    let observed = pool.backend.inspect(&op(), &new).expect("evidence");
    assert_eq!(observed, Observed::Present { empty: true });
    assert!(!pool.attach(&new).path("secret").exists());
    assert_eq!(pool.backend.inspect(&op(), &old).expect("evidence"), Observed::Trashed);
}

/// `uid`, `gid` and `mode` of a new volume; 0755 of the daemon otherwise.
pub fn owner_and_mode_are_in_force<S: Stage>() {
    let pool = Pool::<S>::new();
    let (plain, _) = pool.volume("plain", &[]);
    let (uid, gid, mode) = pool.attach(&plain).access();
    assert_eq!((uid, gid, mode), (0, 0, 0o755), "as root, without options");
    let (asked, _) = pool.volume("asked", &[("uid", "999"), ("gid", "998"), ("mode", "2770")]);
    assert_eq!(pool.attach(&asked).access(), (999, 998, 0o2770));
    let (half, _) = pool.volume("half", &[("uid", "70")]);
    assert_eq!(pool.attach(&half).access(), (70, 0, 0o755));
    let (open, _) = pool.volume("open", &[("mode", "1777")]);
    assert_eq!(pool.attach(&open).access(), (0, 0, 0o1777));
}

/// `volume set` answers after `apply`; `describe` follows, perhaps much later.
pub fn options_are_in_force_before_they_are_described<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, mut sidecar) = pool.volume("db", &[("uid", "999")]);
    sidecar.spec.options.uid = Some(42);
    let applied = settled(|| pool.backend.apply(&op(), &handle, &sidecar));
    assert_eq!(applied.expect("applied"), Change::Done);
    assert_eq!(pool.attach(&handle).access(), (42, 0, 0o755));
    let described = settled(|| pool.backend.describe(&op(), &handle, &sidecar));
    assert_eq!(described.expect("described"), Change::Done);
    assert_eq!(pool.attach(&handle).access(), (42, 0, 0o755));
    let again = settled(|| pool.backend.apply(&op(), &handle, &sidecar));
    assert_eq!(again.expect("applied"), Change::Already);
}

/// `volume set`, also for a volume that holds data.
pub fn changed_options_are_in_force<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, mut sidecar) = pool.volume("db", &[("uid", "999"), ("mode", "0700")]);
    fs::write(pool.attach(&handle).path("file"), "content").expect("writable");
    let options = &mut sidecar.spec.options;
    options.gid = Some(42);
    options.mode = Some("0750".parse().expect("a mode"));
    let described = settled(|| pool.backend.describe(&op(), &handle, &sidecar));
    assert_eq!(described.expect("described"), Change::Done);
    assert_eq!(pool.attach(&handle).access(), (999, 42, 0o750));
    assert_eq!(fs::read(pool.attach(&handle).path("file")).expect("readable"), b"content");
}

/// Databases give their directory a mode of their own; an undelete (which
/// describes) must not take it away.
pub fn what_a_container_changed_stays<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, mut sidecar) = pool.volume("db", &[("uid", "999")]);
    let top = pool.attach(&handle);
    fs::set_permissions(top.path("."), fs::Permissions::from_mode(0o700)).expect("its owner may");
    std::os::unix::fs::chown(top.path("."), Some(70), Some(70)).expect("root may");
    drop(top);
    settled(|| pool.backend.describe(&op(), &handle, &sidecar)).expect("described");
    assert_eq!(pool.attach(&handle).access(), (70, 70, 0o700));
    sidecar.spec.options.on_remove = crate::OnRemove::Retain;
    settled(|| pool.backend.describe(&op(), &handle, &sidecar)).expect("described");
    assert_eq!(pool.attach(&handle).access(), (70, 70, 0o700));
}

/// What `describe` wrote is what `list` reads, now and after a restart.
pub fn describe_writes_the_sidecar<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, mut sidecar) = pool.volume("db", &[("uid", "999"), ("on-remove", "retain")]);
    let read = |pool: &Pool<S>| {
        let found = pool.listed(sidecar.spec.id).expect("listed");
        found.sidecar.expect("readable")
    };
    assert_eq!(read(&pool), sidecar);
    let given = sidecar.spec.given.clone();
    sidecar.spec.options = Options { uid: Some(5), ..Options::default() };
    settled(|| pool.backend.describe(&op(), &handle, &sidecar)).expect("described");
    let read = |pool: &Pool<S>| {
        let found = pool.listed(sidecar.spec.id).expect("listed");
        found.sidecar.expect("readable")
    };
    assert_eq!(read(&pool), sidecar);
    let pool = pool.restart();
    assert_eq!(read(&pool), sidecar);
    assert_eq!(read(&pool).spec.given, given, "what was asked for at creation stays");
}
