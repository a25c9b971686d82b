//! Snapshots, clones and rollback, on every backend that has them.

use std::fs;

use jiff::Timestamp;

use super::{Attached, Pool, Stage, op, refused, settled, sidecar};
use crate::{
    Change, Consistency, ErrorKind, Handle, Observed, Op, Origin, SnapshotId, SnapshotSidecar,
    Snapshots, VolumeId,
};

/// The accessor.
pub(crate) fn of<S: Stage>(pool: &Pool<S>) -> &dyn Snapshots {
    pool.backend.snapshots().expect("a backend of this suite has snapshots")
}

/// A description and a handle, and nothing else yet.
pub(crate) fn planned<S: Stage>(
    pool: &Pool<S>,
    volume: &Handle,
    id: VolumeId,
    name: &str,
) -> (Handle, SnapshotSidecar) {
    let sidecar = SnapshotSidecar {
        id: SnapshotId::random(),
        volume: id,
        name: name.parse().expect("a valid name"),
        created: Timestamp::UNIX_EPOCH,
        consistency: Consistency::Live,
        policy: None,
    };
    (of(pool).plan(&op(), volume, sidecar.id).expect("planned"), sidecar)
}

/// A snapshot of the volume.
pub(crate) fn taken<S: Stage>(
    pool: &Pool<S>,
    volume: &Handle,
    id: VolumeId,
    name: &str,
) -> (Handle, SnapshotSidecar) {
    let (handle, sidecar) = planned(pool, volume, id, name);
    let taken = settled(|| of(pool).create(&op(), volume, &handle, &sidecar, &|| false));
    (handle, taken.expect("taken"))
}

/// A new volume with the content of a snapshot, or of a volume as it is.
pub(crate) fn cloned<S: Stage>(
    pool: &Pool<S>,
    volume: &Handle,
    snapshot: Option<&Handle>,
    given: &[(&str, &str)],
) -> (Handle, Attached) {
    let (handle, sidecar) = pool.planned("clone", given);
    let origin = Origin { volume, snapshot };
    let made = settled(|| of(pool).clone_into(&op(), origin, &handle, &sidecar));
    assert_eq!(made.expect("cloned"), Change::Done);
    let attached = pool.attach(&handle);
    (handle, attached)
}

fn write<S: Stage>(pool: &Pool<S>, volume: &Handle, name: &str, text: &str) {
    fs::write(pool.attach(volume).path(name), text).expect("writable");
}

pub(crate) fn read(attached: &Attached, name: &str) -> Option<String> {
    fs::read_to_string(attached.path(name)).ok()
}

/// One snapshot through all its states, each seen by `inspect` and `list`.
pub fn a_snapshot_lives_and_dies<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    let (snapshot, planned) = planned(&pool, &volume, sidecar.spec.id, "one");
    let inspect = || of(&pool).inspect(&op(), &volume, &snapshot).expect("evidence");
    let listed = || of(&pool).list(&op(), &volume).expect("listed");
    assert_eq!(inspect(), Observed::Absent, "a plan has no effect");
    assert!(listed().is_empty());

    let taken = settled(|| of(&pool).create(&op(), &volume, &snapshot, &planned, &|| false));
    let taken = taken.expect("taken");
    assert_eq!(SnapshotSidecar { consistency: Consistency::Live, ..taken.clone() }, planned);
    assert!(matches!(inspect(), Observed::Present { .. }));
    let found = listed();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].handle, snapshot);
    assert_eq!(found[0].sidecar.as_ref().expect("readable"), &taken);

    let remove = || settled(|| of(&pool).remove(&op(), &volume, &snapshot)).expect("removed");
    assert_eq!((remove(), remove()), (Change::Done, Change::Already));
    assert!(listed().is_empty());
    assert!(!matches!(inspect(), Observed::Present { .. }));
    let purge = || settled(|| of(&pool).purge(&op(), &volume, &snapshot)).expect("purged");
    assert_eq!((purge(), purge()), (Change::Done, Change::Already));
    assert_eq!(inspect(), Observed::Absent);
}

/// Who lost the records deletes what was removed, and nothing else.
pub fn a_sweep_deletes_what_was_removed<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    let (gone, _) = taken(&pool, &volume, sidecar.spec.id, "gone");
    let (kept, _) = taken(&pool, &volume, sidecar.spec.id, "kept");
    settled(|| of(&pool).remove(&op(), &volume, &gone)).expect("removed");
    of(&pool).sweep(&op()).expect("swept");
    let inspect = |snapshot| of(&pool).inspect(&op(), &volume, snapshot).expect("evidence");
    assert_eq!(inspect(&gone), Observed::Absent);
    assert!(matches!(inspect(&kept), Observed::Present { .. }));
}

/// What is written later is not in it; what it shows stays when the volume changes.
pub fn a_snapshot_shows_its_moment<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    write(&pool, &volume, "kept", "as it was");
    write(&pool, &volume, "gone", "removed later");
    let (snapshot, _) = taken(&pool, &volume, sidecar.spec.id, "one");
    write(&pool, &volume, "kept", "changed");
    write(&pool, &volume, "later", "new");
    fs::remove_file(pool.attach(&volume).path("gone")).expect("removed");
    let (_, clone) = cloned(&pool, &volume, Some(&snapshot), &[]);
    assert_eq!(read(&clone, "kept").as_deref(), Some("as it was"));
    assert_eq!(read(&clone, "gone").as_deref(), Some("removed later"));
    assert_eq!(read(&clone, "later"), None);
}

/// Taking it again answers what is there, and changes nothing.
pub fn a_repeated_snapshot_is_the_same<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    write(&pool, &volume, "file", "first");
    let (snapshot, first) = taken(&pool, &volume, sidecar.spec.id, "one");
    write(&pool, &volume, "file", "second");
    let again = settled(|| of(&pool).create(&op(), &volume, &snapshot, &first, &|| true));
    assert_eq!(again.expect("there already"), first);
    let (_, clone) = cloned(&pool, &volume, Some(&snapshot), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("first"));
}

/// Only who says that nobody wrote gets the best word.
pub fn quiet_volumes_are_quiesced<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    let (_, loud) = taken(&pool, &volume, sidecar.spec.id, "loud");
    assert_ne!(loud.consistency, Consistency::Quiesced);
    let (handle, sidecar) = planned(&pool, &volume, sidecar.spec.id, "quiet");
    let quiet = settled(|| of(&pool).create(&op(), &volume, &handle, &sidecar, &|| true));
    assert_eq!(quiet.expect("taken").consistency, Consistency::Quiesced);
}

/// A clone has the content and is a volume of its own.
pub fn a_clone_equals_its_origin<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, _) = pool.volume("db", &[("mode", "0711")]);
    write(&pool, &volume, "file", "content");
    let estimate = of(&pool)
        .estimate(&op(), Origin { volume: &volume, snapshot: None }, true)
        .expect("an estimate");
    assert!(estimate.bytes.0 < 1 << 20, "{estimate:?}");
    let (clone, attached) = cloned(&pool, &volume, None, &[]);
    assert_eq!(read(&attached, "file").as_deref(), Some("content"));
    assert_eq!(attached.access(), pool.attach(&volume).access());
    write(&pool, &clone, "file", "its own");
    assert_eq!(read(&pool.attach(&volume), "file").as_deref(), Some("content"));
    // It does not need its origin any more.
    settled(|| pool.backend.remove(&op(), &volume)).expect("removed");
    settled(|| pool.backend.purge(&op(), &volume)).expect("purged");
    assert_eq!(read(&pool.attach(&clone), "file").as_deref(), Some("its own"));
}

/// Owner and mode that were asked for win over those of the origin.
pub fn a_clone_takes_options_of_its_own<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, _) = pool.volume("db", &[("mode", "0700")]);
    let options = [("uid", "7"), ("gid", "8"), ("mode", "0750")];
    let (_, attached) = cloned(&pool, &volume, None, &options);
    assert_eq!(attached.access(), (7, 8, 0o750));
}

/// Neither a volume nor a snapshot that is not there can be cloned, and nothing
/// whole is left of the attempt.
pub fn a_clone_of_what_is_gone_is_refused<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, own) = pool.volume("db", &[]);
    let (snapshot, _) = planned(&pool, &volume, own.spec.id, "never-taken");
    let (absent, _) = pool.planned("absent", &[]);
    for (volume, snapshot) in [(&volume, Some(&snapshot)), (&absent, None)] {
        let (handle, sidecar) = pool.planned("clone", &[]);
        let origin = Origin { volume, snapshot };
        let error = refused(
            settled(|| of(&pool).clone_into(&op(), origin, &handle, &sidecar)),
            "nothing to clone",
        );
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
        assert!(matches!(observed, Observed::Absent | Observed::Incomplete), "{observed:?}");
        settled(|| pool.backend.purge(&op(), &handle)).expect("purged");
    }
}

/// Going back, and going back from that: nothing is lost.
pub fn going_back_keeps_what_was_there<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    write(&pool, &volume, "file", "old");
    let (snapshot, _) = taken(&pool, &volume, sidecar.spec.id, "one");
    write(&pool, &volume, "file", "new");
    settled(|| pool.backend.detach(&op(), &volume)).expect("detached");

    let (kept, description) = planned(&pool, &volume, sidecar.spec.id, "kept");
    let back = || {
        settled(|| of(&pool).roll_back(&op(), &volume, &snapshot, &kept, &description))
            .expect("rolled back")
    };
    back();
    assert_eq!(read(&pool.attach(&volume), "file").as_deref(), Some("old"));
    let (_, clone) = cloned(&pool, &volume, Some(&kept), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("new"));
    // Once more, as recovery does: nothing moves.
    back();
    assert_eq!(read(&pool.attach(&volume), "file").as_deref(), Some("old"));
    assert_eq!(of(&pool).list(&op(), &volume).expect("listed").len(), 2);
    // The snapshot is as it was, and can be used again.
    write(&pool, &volume, "file", "newer");
    let (again, description) = planned(&pool, &volume, sidecar.spec.id, "again");
    settled(|| of(&pool).roll_back(&op(), &volume, &snapshot, &again, &description))
        .expect("rolled back");
    assert_eq!(read(&pool.attach(&volume), "file").as_deref(), Some("old"));
}

/// Where nothing was exchanged, undoing leaves the content as it is.
pub fn an_unbegun_rollback_is_undone<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    write(&pool, &volume, "file", "content");
    let (kept, _) = planned(&pool, &volume, sidecar.spec.id, "kept");
    assert!(of(&pool).undo_roll_back(&op(), &volume, &kept).expect("undone"));
    assert_eq!(read(&pool.attach(&volume), "file").as_deref(), Some("content"));
    assert!(of(&pool).list(&op(), &volume).expect("listed").is_empty());
}

/// A removed volume takes its snapshots along; `restore` brings them back, and
/// `purge` deletes them too.
pub fn snapshots_go_into_the_trash_and_back<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, sidecar) = pool.volume("db", &[]);
    write(&pool, &volume, "file", "content");
    let (snapshot, _) = taken(&pool, &volume, sidecar.spec.id, "one");
    settled(|| pool.backend.remove(&op(), &volume)).expect("removed");
    assert_eq!(of(&pool).list(&op(), &volume).expect("listed").len(), 1, "in the trash");
    settled(|| pool.backend.restore(&op(), &volume)).expect("restored");
    assert_eq!(of(&pool).list(&op(), &volume).expect("listed").len(), 1);
    let (_, clone) = cloned(&pool, &volume, Some(&snapshot), &[]);
    assert_eq!(read(&clone, "file").as_deref(), Some("content"));
    settled(|| pool.backend.remove(&op(), &volume)).expect("removed");
    settled(|| pool.backend.purge(&op(), &volume)).expect("purged");
    assert_eq!(pool.backend.inspect(&op(), &volume).expect("evidence"), Observed::Absent);
    assert!(of(&pool).list(&op(), &volume).expect("listed").is_empty());
}

/// Calls on a volume that is not there.
pub fn snapshots_of_what_is_absent<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, own) = pool.planned("absent", &[]);
    let (snapshot, sidecar) = planned(&pool, &volume, own.spec.id, "one");
    let taken = settled(|| of(&pool).create(&op(), &volume, &snapshot, &sidecar, &|| false));
    assert_eq!(refused(taken, "no volume").kind(), ErrorKind::NotFound);
    assert!(of(&pool).list(&op(), &volume).expect("listed").is_empty());
    assert_eq!(of(&pool).inspect(&op(), &volume, &snapshot).expect("evidence"), Observed::Absent);
    let remove = settled(|| of(&pool).remove(&op(), &volume, &snapshot));
    assert_eq!(remove.expect("absent"), Change::Already);
    let purge = settled(|| of(&pool).purge(&op(), &volume, &snapshot));
    assert_eq!(purge.expect("absent"), Change::Already);
}

/// Nothing but what `plan` made is a handle.
pub fn forged_snapshot_handles_are_refused<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, own) = pool.volume("db", &[]);
    let (good, sidecar) = taken(&pool, &volume, own.spec.id, "one");
    for text in ["null", "{}", r#"{"snapshot":"../../x"}"#, r#"{"snapshot":""}"#, r#""a""#] {
        let forged = Handle(serde_json::from_str(text).expect("JSON"));
        refused(of(&pool).inspect(&op(), &volume, &forged), text);
        refused(of(&pool).remove(&op(), &volume, &forged), text);
        refused(of(&pool).purge(&op(), &volume, &forged), text);
        refused(of(&pool).create(&op(), &volume, &forged, &sidecar, &|| false), text);
        refused(of(&pool).undo_roll_back(&op(), &volume, &forged), text);
    }
    // A handle of one with the description of another.
    let other = SnapshotSidecar { id: SnapshotId::random(), ..sidecar.clone() };
    refused(of(&pool).create(&op(), &volume, &good, &other, &|| false), "another's");
    refused(of(&pool).roll_back(&op(), &volume, &good, &good, &other), "another's");
    // And a volume of another id.
    let strange = SnapshotSidecar { volume: VolumeId::random(), ..sidecar };
    refused(of(&pool).roll_back(&op(), &volume, &good, &good, &strange), "another volume's");
    let clone = self::sidecar("clone", &[]);
    let origin = Origin { volume: &volume, snapshot: Some(&good) };
    refused(of(&pool).clone_into(&op(), origin, &volume, &clone), "another's");
}

/// Cancelled before it began: nothing whole, and nothing that is in the way.
pub fn a_cancelled_snapshot_is_a_half<S: Stage>() {
    let pool = Pool::<S>::new();
    let (volume, own) = pool.volume("db", &[]);
    write(&pool, &volume, "file", "content");
    let (snapshot, sidecar) = planned(&pool, &volume, own.spec.id, "one");
    let cancelled = Op::new(op().remaining());
    cancelled.cancel();
    let taken = of(&pool).create(&cancelled, &volume, &snapshot, &sidecar, &|| false);
    assert_eq!(refused(taken, "cancelled").kind(), ErrorKind::Conflict);
    let observed = of(&pool).inspect(&op(), &volume, &snapshot).expect("evidence");
    assert!(!matches!(observed, Observed::Present { .. }), "{observed:?}");
    settled(|| of(&pool).create(&op(), &volume, &snapshot, &sidecar, &|| false)).expect("taken");
}
