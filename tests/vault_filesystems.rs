//! Backups of pools whose file system takes snapshots for nothing: Btrfs, where
//! they are subvolumes, and XFS, where files share their blocks.

#[path = "../src/vault/tests/stock/mod.rs"]
mod stock;
mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    process::Command,
};

use serde_json::{Value, json};
use stock::odd;
use support::{
    daemon::Setup,
    house::House,
    loopfs::Kind,
    pause::Pause,
    poll::{self, SOON},
    stage::Stage,
};

/// The inode of the top of a subvolume.
const SUBVOLUME: u64 = 256;

/// A house with a pool on this file system, and a volume `v` with an odd tree.
fn house(kind: Kind, change: impl FnOnce(Setup, &Stage) -> Setup) -> House {
    let house = House::on_disk("files", kind, change);
    house.ok(&["volume", "create", "v"]);
    odd::make(&house.folder("v").join("data"));
    house
}

/// Everything that can be said of the content of a volume.
fn facts(house: &House, volume: &str) -> String {
    odd::facts(&house.folder(volume).join("data"))
}

/// Each line that the two do not share is told, and not the hundreds that they do.
#[track_caller]
fn same(one: &str, other: &str) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (one, other) = (lines(one), lines(other));
    let difference: Vec<_> = one.symmetric_difference(&other).collect();
    assert!(difference.is_empty(), "{difference:#?}");
}

/// Backs up, and shows the backup.
#[track_caller]
fn back_up(house: &House, what: &str) -> Value {
    let id = house.ok(&["backup", "create", what]);
    house.json(&["backup", "inspect", &id])[0].clone()
}

#[track_caller]
fn gone(house: &House) {
    poll::holds("the snapshot is gone", SOON, || house.snapshots_on_disk("v").is_empty());
}

/// Every restic accepts what is in the repository.
fn judged(house: &House) {
    for restic in stock::all() {
        let mut check = Command::new(&restic);
        check.args(["--no-cache", "check", "--read-data", "--repo"]).arg(house.built_in());
        stock::run(check.arg("--password-file").arg(house.key("default")));
    }
}

/// The volume is mounted and written to all the while.
fn a_running_volume(kind: Kind, consistency: &str) {
    let mut pause = None;
    let house = house(kind, |setup, stage| {
        let made = Pause::at(stage.path(), "backup.snapshot.write", 1);
        let rule = made.rule().to_owned();
        pause = Some(made);
        setup.env("BERTH_FAILPOINTS", rule)
    });
    let pause = pause.expect("it was made");
    house.ok(&["volume", "mount", "v"]);
    let before = facts(&house, "v");
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    let [snapshot] = &house.snapshots_on_disk("v")[..] else { panic!("one snapshot") };
    let top = fs::metadata(snapshot.join("data")).expect("its content").ino();
    assert_eq!(top == SUBVOLUME, kind == Kind::Btrfs, "instant on Btrfs, shared on XFS");
    let beside = [snapshot.join("origins").exists(), house.folder("v").join("origins").exists()];
    assert_eq!(beside, [kind == Kind::Xfs, false], "a subvolume keeps its inodes");
    fs::write(house.folder("v").join("data/plain"), "written beside it").expect("it is there");
    assert_eq!(house.json(&["snapshot", "ls"]), json!([]), "nobody sees it");
    pause.release();
    house.ok(&["job", "wait", &job]);
    gone(&house);
    house.ok(&["volume", "unmount", "v"]);
    let view = &house.json(&["backup", "ls"])[0];
    assert_eq!(view["consistency"], consistency, "{view}");
    house.ok(&["backup", "restore", view["id"].as_str().expect("an id"), "w"]);
    same(&before, &facts(&house, "w"));
    judged(&house);
}

#[test]
fn a_running_volume_on_btrfs_is_backed_up_from_a_snapshot_of_one_moment() {
    a_running_volume(Kind::Btrfs, "atomic");
}

#[test]
fn a_running_volume_on_xfs_is_backed_up_from_a_copy_that_shares() {
    a_running_volume(Kind::Xfs, "per-file");
}

/// Not of the volume, nor of a snapshot of it, nor of a clone.
fn unchanged(kind: Kind) {
    let house = house(kind, |setup, _| setup);
    house.ages("v");
    house.ok(&["snapshot", "create", "v", "s"]);
    let of_snapshot = back_up(&house, "v@s");
    let read = |view: &Value| (view["mode"].clone(), view["bytes-read"].clone());
    assert_eq!(read(&of_snapshot), ("incremental".into(), 0.into()), "{of_snapshot}");
    house.ok(&["volume", "create", "w", "-o", "from=v@s"]);
    let first = back_up(&house, "w");
    assert_eq!(first["mode"], "full", "a clone is a volume of its own: {first}");
    assert_eq!(first["bytes-added"].as_u64().map(|bytes| bytes < 1 << 20), Some(true), "{first}");
    house.ages("w");

    let path = house.folder("v").join("data/second big");
    let file = File::options().write(true).open(&path).expect("it is there");
    let stat = file.metadata().expect("a stat");
    file.write_all_at(b"other", 2_000_000).expect("writes");
    let times = FileTimes::new()
        .set_accessed(stat.accessed().expect("it has one"))
        .set_modified(stat.modified().expect("it has one"));
    file.set_times(times).expect("ours");
    assert_eq!(file.metadata().expect("a stat").len(), stat.len());
    let noticed = back_up(&house, "v");
    let length = noticed["bytes-read"].as_u64().expect("a number");
    assert_eq!(length, stat.len(), "one file, once, with all its names: {noticed}");
    let id = noticed["id"].as_str().expect("an id");
    house.ok(&["backup", "restore", id, "x"]);
    same(&facts(&house, "v"), &facts(&house, "x"));
    // The snapshot is as it was.
    let again = back_up(&house, "v@s");
    house.ok(&["backup", "restore", again["id"].as_str().expect("an id"), "y"]);
    same(&facts(&house, "w"), &facts(&house, "y"));
    judged(&house);
}

#[test]
fn what_is_unchanged_on_btrfs_is_not_read_and_what_hides_its_change_is() {
    unchanged(Kind::Btrfs);
}

#[test]
fn what_is_unchanged_on_xfs_is_not_read_and_what_hides_its_change_is() {
    unchanged(Kind::Xfs);
}

/// At each step that a backup passes the first time.
#[test]
fn a_kill_at_any_step_of_a_backup_leaves_no_snapshot_on_btrfs() {
    let mut house = house(Kind::Btrfs, |setup, _| setup);
    house.ok(&["backup", "create", "v"]);
    let trace = house.stage.join("trace");
    let setup = house.daemon.setup.clone();
    house.daemon.setup = setup.clone().env("BERTH_FAILPOINTS_TRACE", trace.display().to_string());
    house.restart("");
    let passed = || fs::read_to_string(&trace).expect("a trace");
    let start = passed().lines().count();
    house.ok(&["backup", "create", "v"]);
    gone(&house);
    let trace = passed();
    let mut seen = BTreeSet::new();
    let steps: Vec<_> = trace.lines().skip(start).filter(|name| seen.insert(*name)).collect();
    assert!(seen.contains("backup.snapshot.write"), "{steps:?}");
    house.daemon.setup = setup;
    let mut backups = 2;
    for name in &steps {
        // Counted from the start, so that what the start itself passes is not meant.
        let nth = trace.lines().take(start).filter(|line| line == name).count() + 1;
        house.arm(&format!("{name}=kill@{nth}"));
        house.daemon.berth(&["backup", "create", "v"]);
        house.restart("");
        gone(&house);
        assert_eq!(house.json(&["snapshot", "ls"]), json!([]), "killed at {name}");
        let all = house.json(&["backup", "ls"]).as_array().expect("a list").len();
        assert!(all == backups || all == backups + 1, "killed at {name}: {all} of {backups}");
        backups = all;
    }
    let view = back_up(&house, "v");
    house.ok(&["backup", "restore", view["id"].as_str().expect("an id"), "w"]);
    same(&facts(&house, "v"), &facts(&house, "w"));
    house.ok(&["repository", "prune"]);
    judged(&house);
}
