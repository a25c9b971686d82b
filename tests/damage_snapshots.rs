//! Disks that are full, or fill, while content is copied: what does not fit is
//! refused, beforehand where that can be known; what was begun leaves nothing; the
//! volume is as it was, and removing a snapshot makes room.

mod support;

use std::{
    fs::{self, File},
    path::PathBuf,
};

use serde_json::json;
use support::{copies::Copies, loopfs::Kind};

/// The size of the file that fits twice but not three times.
const LARGE: u64 = 18 << 20;

#[test]
fn what_does_not_fit_is_refused_beforehand() {
    let (ground, _pause) = Copies::paused_on(Kind::Ext4, u64::MAX);
    write_large(&ground, "large");
    ground.done(ground.begin_snapshot("v", "s"));
    let job = ground.begin_snapshot("v", "t").expect("it begins");
    exhausted(&ground, &job);
    let text = ground.create("w", &json!({"from": "v"})).expect_err("it does not fit");
    assert!(text.contains("a copy of `v` takes"), "{text}");
    ground.daemon.plugin().get("w").expect_err("what was refused is not there");
    let job = ground.begin_rollback("v", "s").expect("it begins");
    exhausted(&ground, &job);
    assert_eq!(ground.snapshots("v"), ["s"]);
    ground.assert_tidy();
    assert_mounts(&ground);
    ground.remove_snapshot("v", "s").expect("nobody reads it");
    ground.assert_tidy();
    ground.done(ground.begin_snapshot("v", "t"));
}

#[test]
fn a_snapshot_that_fills_the_disk_leaves_nothing() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        // The very first: what its removal needs was there before.
        let (ground, pause) = Copies::paused_on(kind, 1);
        let job = ground.begin_snapshot("v", "s").expect("it begins");
        pause.reached();
        let filler = fill(&ground);
        pause.release();
        let failed = ended(&ground, &job, kind);
        assert_eq!(ground.snapshots("v").is_empty(), failed);
        assert_whole(&ground, filler);
        ground.done(ground.begin_snapshot("v", "t"));
    }
}

#[test]
fn a_rollback_that_fills_the_disk_leaves_the_volume_as_it_was() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        let (ground, pause) = Copies::paused_on(kind, 2);
        ground.done(ground.begin_snapshot("v", "s"));
        ground.write("v", "two");
        let job = ground.begin_rollback("v", "s").expect("it begins");
        pause.reached();
        let filler = fill(&ground);
        pause.release();
        let failed = ended(&ground, &job, kind);
        assert_eq!(ground.files("v").contains("two"), failed);
        assert_eq!(ground.snapshots("v").len(), if failed { 1 } else { 2 });
        assert_whole(&ground, filler);
        ground.done(ground.begin_rollback("v", "s"));
    }
}

#[test]
fn a_clone_that_fills_the_disk_leaves_nothing() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        let (ground, pause) = Copies::paused_on(kind, 1);
        let (answer, filler) = std::thread::scope(|scope| {
            let clone = scope.spawn(|| ground.create("w", &json!({"from": "v"})));
            pause.reached();
            let filler = fill(&ground);
            pause.release();
            (clone.join().expect("no panic"), filler)
        });
        if let Err(text) = &answer {
            assert!(text.contains("No space left"), "{kind:?}: {text}");
        } else {
            assert_ne!(kind, Kind::Ext4, "a copy needs space");
        }
        assert_eq!(ground.daemon.plugin().get("w").is_ok(), answer.is_ok());
        assert_whole(&ground, filler);
        ground.create("w", &json!({"from": "v"})).expect("there is space again");
    }
}

/// The way out of a full disk.
#[test]
fn removing_a_snapshot_makes_room_on_a_full_disk() {
    let (ground, _pause) = Copies::paused_on(Kind::Ext4, u64::MAX);
    write_large(&ground, "large");
    ground.done(ground.begin_snapshot("v", "s"));
    let filler = fill(&ground);
    ground.remove_snapshot("v", "s").expect("nobody reads it");
    ground.assert_tidy();
    let more = ground.folder("v").join("data/more");
    File::create(&more).expect("an inode");
    fs::write(&more, vec![1; 8 << 20]).expect("there is room again");
    fs::remove_file(filler).expect("ours");
}

fn write_large(ground: &Copies, name: &str) {
    let path = ground.folder("v").join("data").join(name);
    let block = vec![7; usize::try_from(LARGE).expect("small")];
    fs::write(&path, block).expect("it fits");
    File::open(&path).and_then(|file| file.sync_all()).expect("it fits");
}

fn fill(ground: &Copies) -> PathBuf {
    ground.disk.as_ref().expect("it has one").fill()
}

#[track_caller]
fn exhausted(ground: &Copies, job: &str) {
    let view = ground.end(job);
    assert_eq!((&view["state"], &view["error-kind"]), (&json!("failed"), &json!("exhausted")));
}

/// Whether the job failed for want of space, as it must where data is copied.
#[track_caller]
fn ended(ground: &Copies, job: &str, kind: Kind) -> bool {
    let view = ground.end(job);
    let failed = view["state"] == "failed";
    if failed {
        assert_eq!(view["error-kind"], "exhausted", "{kind:?}: {view}");
    } else {
        assert_ne!(kind, Kind::Ext4, "a copy needs space: {view}");
    }
    failed
}

/// The pool is in order and the volume mounts, while the disk is full and after.
#[track_caller]
fn assert_whole(ground: &Copies, filler: PathBuf) {
    ground.assert_tidy();
    assert_mounts(ground);
    fs::remove_file(filler).expect("ours");
    ground.assert_tidy();
    assert!(ground.files("v").contains("one"));
}

#[track_caller]
fn assert_mounts(ground: &Copies) {
    let plugin = ground.daemon.plugin();
    plugin.mount("v", "c").expect("mounting needs no space in the pool");
    plugin.unmount("v", "c").expect("it always is");
}
