//! Pools that are directories: what a crash or an operator may have left.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{DirectoryStage, Pool, op, refused, settled};
use crate::{Change, ErrorKind, Health, HostId, Observed, Options, VolumeId};

/// The folder of a live volume.
pub(super) fn live<S: DirectoryStage>(pool: &Pool<S>, id: VolumeId) -> PathBuf {
    pool.stage.path().join("volumes").join(id.to_string())
}

/// The folder of a removed volume.
pub(super) fn trashed<S: DirectoryStage>(pool: &Pool<S>, id: VolumeId) -> PathBuf {
    pool.stage.path().join(".berth/trash").join(id.to_string())
}

/// A path with a missing parent is a typing error or a missing mount.
pub fn only_the_last_component_is_made<S: DirectoryStage>() {
    let stage = S::fresh();
    let _ = fs::remove_dir(stage.path());
    let parent = stage.path().parent().expect("not the root").to_owned();
    let aside = parent.with_extension("aside");
    fs::rename(&parent, &aside).expect("renamed");
    let backend = stage.open();
    let error = refused(backend.identify(&op(), None, HostId::random()), "no parent");
    let made = parent.exists();
    fs::rename(&aside, &parent).expect("renamed back");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(!made);
    backend.identify(&op(), None, HostId::random()).expect("now there is a parent");
}

/// Somebody's documents are no pool.
pub fn a_foreign_folder_is_refused<S: DirectoryStage>() {
    let stage = S::fresh();
    fs::create_dir_all(stage.path().join("documents")).expect("made");
    let backend = stage.open();
    let error = refused(backend.identify(&op(), None, HostId::random()), "foreign content");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("documents"), "{error:?}");
    assert!(!stage.path().join(".berth").exists());
    assert!(!stage.path().join("volumes").exists());
    // A folder that looks like ours but has content neither.
    fs::remove_dir(stage.path().join("documents")).expect("removed");
    fs::create_dir_all(stage.path().join("volumes/of-something-else")).expect("made");
    let error = refused(backend.identify(&op(), None, HostId::random()), "foreign content");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    // A file in the pool's place.
    fs::remove_dir_all(stage.path()).expect("removed");
    fs::write(stage.path(), "x").expect("written");
    refused(backend.identify(&op(), None, HostId::random()), "a file");
}

/// `mkfs` leaves a `lost+found`.
pub fn a_new_file_system_is_empty<S: DirectoryStage>() {
    let stage = S::fresh();
    fs::create_dir_all(stage.path().join("lost+found")).expect("made");
    stage.open().identify(&op(), None, HostId::random()).expect("as good as empty");
    assert!(stage.path().join("lost+found").exists());
}

/// Killed between the first folder and the identity.
pub fn an_interrupted_beginning_goes_on<S: DirectoryStage>() {
    let stage = S::fresh();
    fs::create_dir_all(stage.path().join(".berth/trash")).expect("made");
    fs::create_dir(stage.path().join("volumes")).expect("made");
    fs::write(stage.path().join(".berth/.pool.json.new"), "{").expect("written");
    let host = HostId::random();
    let made = stage.open().identify(&op(), None, host).expect("it goes on");
    assert_eq!(stage.open().identify(&op(), None, host).expect("and is done"), made);
}

/// The disk goes away and comes back: nothing is absent meanwhile.
pub fn a_vanished_pool_is_no_absence<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    fs::write(pool.attach(&handle).path("file"), "content").expect("writable");
    let aside = pool.stage.path().with_extension("aside");
    let unavailable = |why: &str| {
        let (backend, id) = (&pool.backend, Some(pool.identity.pool));
        let errors = [
            refused(backend.inspect(&op(), &handle), why),
            refused(backend.list(&op()), why),
            refused(backend.plan(&op(), &sidecar.spec), why),
            refused(backend.create(&op(), &handle, &sidecar), why),
            refused(backend.describe(&op(), &handle, &sidecar), why),
            refused(backend.attach(&op(), &handle, &Options::default()), why),
            refused(backend.remove(&op(), &handle), why),
            refused(backend.restore(&op(), &handle), why),
            refused(backend.purge(&op(), &handle), why),
            refused(backend.capacity(&op()), why),
            refused(backend.identify(&op(), id, pool.host), why),
            refused(backend.take_over(&op(), pool.host, true), why),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{why}: {error:?}");
        }
        assert!(matches!(backend.health(), Health::Unavailable(_)), "{why}");
    };
    fs::rename(pool.stage.path(), &aside).expect("renamed");
    unavailable("nothing there");
    fs::create_dir(pool.stage.path()).expect("made");
    unavailable("an empty mountpoint");
    assert_eq!(fs::read_dir(pool.stage.path()).expect("readable").count(), 0);
    fs::remove_dir(pool.stage.path()).expect("removed");
    fs::write(pool.stage.path(), "x").expect("written");
    unavailable("a file");
    fs::remove_file(pool.stage.path()).expect("removed");
    fs::rename(&aside, pool.stage.path()).expect("renamed back");
    let observed = pool.backend.inspect(&op(), &handle).expect("evidence again");
    assert_eq!(observed, Observed::Present { empty: false });
    pool.backend.identify(&op(), Some(pool.identity.pool), pool.host).expect("back");
    assert_eq!(pool.backend.health(), Health::Ready);
}

/// Another disk is mounted in the pool's place.
pub fn a_swapped_pool_is_refused<S: DirectoryStage>() {
    let (pool, other) = (Pool::<S>::new(), Pool::<S>::new());
    let (handle, _) = pool.volume("db", &[]);
    let aside = pool.stage.path().with_extension("aside");
    fs::rename(pool.stage.path(), &aside).expect("renamed");
    std::os::unix::fs::symlink(other.stage.path(), pool.stage.path()).expect("swapped");
    let error = refused(pool.backend.inspect(&op(), &handle), "another pool");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let error = refused(pool.backend.purge(&op(), &handle), "another pool");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    fs::remove_file(pool.stage.path()).expect("swapped back");
    fs::rename(&aside, pool.stage.path()).expect("swapped back");
    assert!(pool.backend.inspect(&op(), &handle).is_ok());
}

/// Damage is told, and never repaired by forgetting.
pub fn a_damaged_identity_is_no_new_pool<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    let file = pool.stage.path().join(".berth/pool.json");
    let good = fs::read(&file).expect("readable");
    for damaged in [&b""[..], b"{", &good[..good.len() / 2], &vec![b'x'; 100_000]] {
        fs::write(&file, damaged).expect("written");
        let backend = pool.stage.open();
        for expected in [None, Some(pool.identity.pool)] {
            refused(backend.identify(&op(), expected, pool.host), "a damaged identity");
        }
        refused(pool.backend.inspect(&op(), &handle), "a damaged identity");
        assert_eq!(fs::read(&file).expect("readable"), damaged, "left as it was");
    }
    fs::write(&file, good).expect("written");
    assert!(pool.backend.inspect(&op(), &handle).is_ok());
}

/// What a killed create left, step by step, is completed by repeating it.
pub fn incomplete_creates_are_completed<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    for (number, leave) in STEPS.iter().enumerate() {
        let (handle, sidecar) = pool.planned("db", &[("uid", "999"), ("mode", "0700")]);
        leave(&live(&pool, sidecar.spec.id));
        let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
        assert_eq!(observed, Observed::Incomplete, "step {number}");
        let created = settled(|| pool.backend.create(&op(), &handle, &sidecar));
        assert_eq!(created.expect("completed"), Change::Done, "step {number}");
        let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
        assert_eq!(observed, Observed::Present { empty: true }, "step {number}");
        assert_eq!(pool.attach(&handle).access(), (999, 0, 0o700), "step {number}");
        let found = pool.listed(sidecar.spec.id).expect("listed");
        assert_eq!(found.sidecar.expect("readable"), sidecar, "step {number}");
        let left = fs::read_dir(live(&pool, sidecar.spec.id)).expect("readable").count();
        assert_eq!(left, 2, "step {number}: only `data` and `volume.json`");
    }
}

/// … and taken away by a purge.
pub fn incomplete_creates_are_purged<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    for (number, leave) in STEPS.iter().enumerate() {
        let (handle, sidecar) = pool.planned("db", &[]);
        leave(&live(&pool, sidecar.spec.id));
        let purged = settled(|| pool.backend.purge(&op(), &handle));
        assert_eq!(purged.expect("purged"), Change::Done, "step {number}");
        let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
        assert_eq!(observed, Observed::Absent, "step {number}");
        assert!(!live(&pool, sidecar.spec.id).exists(), "step {number}");
    }
}

/// What a create leaves if it is killed after its first, second, … step.
const STEPS: [fn(&Path); 4] = [
    |folder| fs::create_dir(folder).expect("made"),
    |folder| fs::create_dir_all(folder.join("data")).expect("made"),
    |folder| {
        fs::create_dir_all(folder.join("data")).expect("made");
        fs::write(folder.join(".volume.json.new"), "{\"vol").expect("written");
    },
    // No file system of ours shows this, but a power cut on others may.
    |folder| {
        fs::create_dir_all(folder.join("data")).expect("made");
        fs::write(folder.join("volume.json"), "").expect("written");
    },
];

/// A purge takes the sidecar first; from then on there is no way back.
pub fn a_half_deleted_volume_does_not_come_back<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    fs::remove_file(trashed(&pool, sidecar.spec.id).join("volume.json")).expect("removed");
    let inspect = || pool.backend.inspect(&op(), &handle).expect("evidence");
    assert_eq!(inspect(), Observed::Incomplete);
    let error = refused(settled(|| pool.backend.restore(&op(), &handle)), "half deleted");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    settled(|| pool.backend.purge(&op(), &handle)).expect("purged");
    assert_eq!(inspect(), Observed::Absent);
}

/// convoy's defect 5: one damaged record, and List answered nothing.
pub fn a_damaged_sidecar_is_listed<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (good, _) = pool.volume("good", &[]);
    let (bad, sidecar) = pool.volume("bad", &[]);
    let (removed, gone) = pool.volume("removed", &[]);
    fs::write(pool.attach(&bad).path("file"), "content").expect("writable");
    settled(|| pool.backend.remove(&op(), &removed)).expect("removed");
    let file = live(&pool, sidecar.spec.id).join("volume.json");
    let text = fs::read_to_string(&file).expect("readable");
    for damaged in ["", "{}", &text[..100], &text.replace("bad", "bud"), &"x".repeat(1 << 20)] {
        fs::write(&file, damaged).expect("written");
        fs::write(trashed(&pool, gone.spec.id).join("volume.json"), damaged).expect("written");
        for id in [sidecar.spec.id, gone.spec.id] {
            let found = pool.listed(id).expect("listed all the same");
            let error = refused(found.sidecar, "damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
        assert_eq!(pool.backend.list(&op()).expect("listed").len(), 3);
        // Its data is not touched by that, and reachable.
        assert_eq!(fs::read(pool.attach(&bad).path("file")).expect("readable"), b"content");
        let observed = pool.backend.inspect(&op(), &removed).expect("evidence");
        assert_eq!(observed, Observed::Trashed, "not to be deleted for that");
    }
    settled(|| pool.backend.describe(&op(), &bad, &sidecar)).expect("the record writes it anew");
    let found = pool.listed(sidecar.spec.id).expect("listed");
    assert_eq!(found.sidecar.expect("whole again"), sidecar);
    assert!(pool.backend.inspect(&op(), &good).is_ok());
}

/// A sidecar that was copied from another volume.
pub fn a_sidecar_of_another_is_damage<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (_, one) = pool.volume("one", &[]);
    let (_, two) = pool.volume("two", &[]);
    let file = |id| live(&pool, id).join("volume.json");
    fs::copy(file(one.spec.id), file(two.spec.id)).expect("copied");
    let found = pool.listed(two.spec.id).expect("listed");
    assert_eq!(refused(found.sidecar, "another's").kind(), ErrorKind::Corrupt);
    assert!(pool.listed(one.spec.id).expect("listed").sidecar.is_ok());
}

/// Nobody but the daemon looks into the pool's own folders.
pub fn folders_are_private<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (_, sidecar) = pool.volume("db", &[("mode", "0777")]);
    for folder in [".berth", ".berth/trash", "volumes"] {
        let mode = fs::metadata(pool.stage.path().join(folder)).expect("there").permissions();
        assert_eq!(mode.mode() & 0o7777, 0o700, "{folder}");
    }
    let mode = fs::metadata(live(&pool, sidecar.spec.id)).expect("there").permissions();
    assert_eq!(mode.mode() & 0o7777, 0o700);
}

/// A pool whose inner folder is gone cannot tell what is absent.
pub fn a_lost_folder_of_volumes_is_no_absence<S: DirectoryStage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    for folder in ["volumes", ".berth/trash"] {
        let path = pool.stage.path().join(folder);
        let aside = pool.stage.path().join("aside");
        fs::rename(&path, &aside).expect("renamed");
        let error = refused(pool.backend.list(&op()), folder);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let error = refused(pool.backend.purge(&op(), &handle), folder);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        fs::rename(&aside, &path).expect("renamed back");
    }
    let (absent, _) = pool.planned("absent", &[]);
    let path = pool.stage.path().join("volumes");
    fs::rename(&path, path.with_extension("aside")).expect("renamed");
    let error = refused(pool.backend.inspect(&op(), &absent), "volumes");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}
