//! Content of snapshots that is read, and content that takes the place of a volume's.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
};

use super::{
    Pool, Stage,
    filled::{Reading, half, one_file, top},
    op, refused, settled,
    snapshots::{cloned, of, planned, read, taken},
};
use crate::{Change, ErrorKind, Handle, Observed, Op, Sidecar, SnapshotId, Target, VolumeId};

/// A volume with one file.
fn volume<S: Stage>(pool: &Pool<S>, text: &str) -> (Handle, Sidecar) {
    let (handle, sidecar) = pool.volume("db", &[]);
    fs::write(pool.attach(&handle).path("file"), text).expect("writable");
    (handle, sidecar)
}

/// As it was then, however often it is opened, also after the volume was replaced.
pub fn the_content_of_a_snapshot_stays<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let (snapshot, _) = taken(&pool, &handle, own.spec.id, "one");
    let early = Reading::of(&pool, &handle, Some(&snapshot));
    fs::write(pool.attach(&handle).path("file"), "new").expect("writable");
    let live = Reading::of(&pool, &handle, None);
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &one_file))
        .expect("replaced");
    let late = Reading::of(&pool, &handle, Some(&snapshot));
    for reading in [&early, &late] {
        assert_eq!(reading.file::<S>("file").as_deref(), Some("old"));
    }
    assert_eq!(live.file::<S>("file").as_deref(), Some("new"), "what was opened stays what it was");
    let now = Reading::of(&pool, &handle, None);
    assert_eq!(now.file::<S>("file").as_deref(), Some("restored"));
    let before = Reading::of(&pool, &handle, Some(&kept));
    assert_eq!(before.file::<S>("file").as_deref(), Some("new"));
    assert!(before.origins.is_none(), "its files were the volume's own");
}

/// A snapshot that is not there, removed, or of another volume.
pub fn no_content_of_what_is_no_snapshot<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "content");
    let (other, _) = pool.volume("other", &[]);
    let (snapshot, _) = taken(&pool, &handle, own.spec.id, "one");
    let (never, _) = planned(&pool, &handle, own.spec.id, "never-taken");
    let kind = |volume: &Handle, snapshot: &Handle| {
        let content = pool.backend.content(&op(), volume, Some(snapshot));
        refused(content, "no snapshot of it").kind()
    };
    assert_eq!(kind(&handle, &never), ErrorKind::NotFound);
    assert_eq!(kind(&other, &snapshot), ErrorKind::NotFound);
    settled(|| of(&pool).remove(&op(), &handle, &snapshot)).expect("removed");
    assert_eq!(kind(&handle, &snapshot), ErrorKind::NotFound);
    let forged = Handle(serde_json::json!({ "snapshot": "../../x" }));
    kind(&handle, &forged);
}

/// The old content is a snapshot then, and a repetition changes nothing.
pub fn a_replacement_keeps_what_was_there<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let calls = Cell::new(0);
    let fill = |op: &Op, target: Target<'_>| {
        calls.set(calls.get() + 1);
        assert_eq!(fs::read_dir(top(target)).expect("readable").count(), 0, "it begins empty");
        one_file(op, target)
    };
    let replace = || {
        settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &fill)).expect("replaced")
    };
    replace();
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("restored"));
    let found = of(&pool).list(&op(), &handle).expect("listed");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sidecar.as_ref().expect("readable"), &description);
    fs::write(pool.attach(&handle).path("file"), "newer").expect("writable");
    replace();
    assert_eq!(calls.get(), 1, "what is in its place is not filled again");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("newer"));
    assert!(!of(&pool).undo_roll_back(&op(), &handle, &kept).expect("told"), "it is done");
    // And back again, as from any snapshot.
    let (_, clone) = cloned(&pool, &handle, Some(&kept), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("old"));
    let (again, description) = planned(&pool, &handle, own.spec.id, "again");
    let back = settled(|| of(&pool).roll_back(&op(), &handle, &kept, &again, &description));
    assert_eq!(back.expect("rolled back"), Change::Done);
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("old"));
}

/// Owner and mode of the top are those that were put there.
pub fn a_replacement_has_owner_and_mode<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = pool.volume("db", &[("uid", "999"), ("mode", "0700")]);
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let fill = |_: &Op, target: Target<'_>| {
        chown(top(target), Some(70), Some(71)).expect("root may");
        fs::set_permissions(top(target), fs::Permissions::from_mode(0o2750)).expect("it may");
        Ok(())
    };
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &fill)).expect("replaced");
    assert_eq!(pool.attach(&handle).access(), (70, 71, 0o2750));
}

/// Everything is as it was, and the next attempt begins anew.
pub fn a_failed_replacement_changes_nothing<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = volume(&pool, "old");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let unchanged = |pool: &Pool<S>| {
        assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("old"));
        assert!(!pool.attach(&handle).path("folder").exists());
        let observed = of(pool).inspect(&op(), &handle, &kept).expect("evidence");
        assert!(!matches!(observed, Observed::Present { .. }), "{observed:?}");
    };
    let failed = settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &half));
    let error = refused(failed, "the fill failed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("the source went away"), "{error:?}");
    unchanged(&pool);

    let cancelled = Op::new(op().remaining());
    let fill = |op: &Op, target: Target<'_>| {
        half(op, target).expect_err("it gives up");
        cancelled.cancel();
        op.check()
    };
    let failed = of(&pool).replace(&cancelled, &handle, &kept, &description, &fill);
    assert_eq!(refused(failed, "cancelled").kind(), ErrorKind::Conflict);
    unchanged(&pool);

    let pool = pool.restart();
    assert!(of(&pool).undo_roll_back(&op(), &handle, &kept).expect("undone"));
    unchanged(&pool);
    assert!(of(&pool).list(&op(), &handle).expect("listed").is_empty());
    settled(|| of(&pool).purge(&op(), &handle, &kept)).expect("purged");

    let (kept, description) = planned(&pool, &handle, own.spec.id, "again");
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &half))
        .expect_err("the fill failed");
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &one_file))
        .expect("replaced");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("restored"));
    assert!(!pool.attach(&handle).path("folder").exists(), "it began anew");
}

/// A volume that is not there, and descriptions of others.
pub fn nothing_is_replaced_where_nothing_is<S: Stage>() {
    let pool = Pool::<S>::new();
    let (absent, own) = pool.planned("absent", &[]);
    let (kept, description) = planned(&pool, &absent, own.spec.id, "kept");
    let replaced = settled(|| of(&pool).replace(&op(), &absent, &kept, &description, &one_file));
    assert_eq!(refused(replaced, "no volume").kind(), ErrorKind::NotFound);
    let (handle, own) = volume(&pool, "content");
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let mut other = description.clone();
    other.id = SnapshotId::random();
    refused(of(&pool).replace(&op(), &handle, &kept, &other, &one_file), "another's");
    let mut strange = description;
    strange.volume = VolumeId::random();
    refused(of(&pool).replace(&op(), &handle, &kept, &strange, &one_file), "another volume's");
    assert_eq!(read(&pool.attach(&handle), "file").as_deref(), Some("content"));
}
