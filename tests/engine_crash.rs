//! Engine lane: the Engine and Berth are killed under containers that write.
//!
//! Each test asks the same three things: the writer saw no error, the references
//! are right at once, and the last unmount really unmounts.

mod support;

use std::path::PathBuf;

use support::{
    mounts,
    poll::{self, SOON},
    rig::{Rig, writes_on},
};

const WITH_DB: [&str; 3] = ["--volume-driver=berth", "-v", "db:/data"];

/// A rig with a container `box` that writes to the volume `db`, and where.
#[track_caller]
fn writing(live_restore: bool, arguments: &[&str]) -> (Rig, PathBuf) {
    let rig = Rig::with("crash", live_restore, |setup| setup.env("BERTH_TEST_SWEEP_SECONDS", "1"));
    rig.writer("box", &[&WITH_DB[..], arguments].concat());
    let data = rig.berth.data("db");
    writes_on(&data);
    (rig, data)
}

/// One reference now, and none and no mount after the container has stopped.
#[track_caller]
fn ends_well(rig: &Rig) {
    assert!(rig.engine.is_running("box"), "the writer met an error");
    assert_eq!(rig.berth.control().references("db"), 1);
    rig.engine.ok(&["stop", "-t", "5", "box"]);
    assert_eq!(rig.engine.inspect("container", "box", "{{.State.ExitCode}}"), "0");
    rig.references("db", 0);
    rig.unmounted("db");
    rig.engine.ok(&["rm", "box"]);
    rig.engine.ok(&["volume", "rm", "db"]);
}

#[test]
fn berth_is_killed_under_a_writer() {
    let (mut rig, data) = writing(false, &[]);
    for _ in 0..3 {
        rig.berth.kill();
        writes_on(&data);
        rig.berth.restart();
        assert_eq!(rig.berth.control().references("db"), 1);
        writes_on(&data);
    }
    assert_eq!(rig.mounts_of("db").len(), 1, "the mount is adopted, not made again");
    ends_well(&rig);
}

/// A stop leaves the mounts alone, as a kill does.
#[test]
fn berth_is_stopped_under_a_writer() {
    let (mut rig, data) = writing(false, &[]);
    assert!(rig.berth.stop().success());
    writes_on(&data);
    rig.berth.restart();
    ends_well(&rig);
}

/// A second container joins and leaves after the kill: counts are of both lives.
#[test]
fn containers_come_and_go_after_berth_was_killed() {
    let (mut rig, data) = writing(false, &[]);
    rig.berth.kill();
    rig.berth.restart();
    rig.sleeper("other", &["-v", "db:/data"]);
    rig.references("db", 2);
    rig.engine.ok(&["rm", "-f", "other"]);
    rig.references("db", 1);
    writes_on(&data);
    ends_well(&rig);
}

/// dockerd stopped in order: Unmount for each container, and new IDs afterwards.
#[test]
fn dockerd_is_restarted() {
    let (mut rig, data) = writing(false, &["--restart=always"]);
    rig.engine.stop();
    rig.references("db", 0);
    rig.unmounted("db");
    rig.engine.start_again();
    writes_on(&data);
    ends_well(&rig);
}

/// Without live-restore the next dockerd kills the containers it finds, and starts
/// again those that want it: their Mount comes with the old ID.
#[test]
fn dockerd_is_killed_and_starts_the_container_again() {
    let (mut rig, data) = writing(false, &["--restart=always"]);
    rig.engine.kill();
    rig.engine.start_again();
    poll::holds("the container runs again", SOON, || rig.engine.is_running("box"));
    writes_on(&data);
    ends_well(&rig);
}

/// A container that is not started again is never unmounted by Docker. Nobody
/// holds its volume: the sweep lets go, and removal does not wait for it.
#[test]
fn dockerd_is_killed_and_forgets_the_container() {
    let (mut rig, _) = writing(false, &[]);
    rig.sh(&["--volume-driver=berth", "-v", "idle:/data"], "echo kept >/data/x");
    rig.engine.kill();
    rig.engine.start_again();
    poll::holds("dockerd ends the container", SOON, || !rig.engine.is_running("box"));

    rig.references("db", 0);
    rig.unmounted("db");
    rig.engine.ok(&["rm", "-f", "box"]);
    rig.engine.ok(&["volume", "rm", "db"]);
    assert_eq!(rig.sh(&["-v", "idle:/data"], "cat /data/x"), "kept");
}

/// The same without waiting for a sweep: removal looks at the kernel at once.
#[test]
fn unconfirmed_reference_does_not_block_removal() {
    let mut rig = Rig::new("crash");
    rig.sleeper("box", &WITH_DB);
    rig.engine.kill();
    rig.engine.start_again();
    poll::holds("dockerd ends the container", SOON, || !rig.engine.is_running("box"));

    rig.engine.ok(&["rm", "-f", "box"]);
    rig.engine.ok(&["volume", "rm", "db"]);

    let gone = mounts::below(rig.host.mounts(), &rig.mountpoint("db"));
    assert_eq!(gone, []);
}

#[test]
fn dockerd_is_killed_under_live_restore() {
    let (mut rig, data) = writing(true, &[]);
    for _ in 0..2 {
        rig.engine.kill();
        writes_on(&data);
        rig.engine.start_again();
        writes_on(&data);
    }
    ends_well(&rig);
}

#[test]
fn dockerd_is_restarted_under_live_restore() {
    let (mut rig, data) = writing(true, &[]);
    rig.engine.stop();
    writes_on(&data);
    rig.engine.start_again();
    ends_well(&rig);
}

#[test]
fn both_are_killed_dockerd_first() {
    let (mut rig, data) = writing(true, &[]);
    rig.engine.kill();
    rig.berth.kill();
    writes_on(&data);
    rig.berth.restart();
    rig.engine.start_again();
    writes_on(&data);
    ends_well(&rig);
}

#[test]
fn both_are_killed_berth_first() {
    let (mut rig, data) = writing(true, &[]);
    rig.berth.kill();
    rig.engine.kill();
    writes_on(&data);
    rig.engine.spawn_again();
    rig.berth.restart();
    rig.engine.wait_ready();
    writes_on(&data);
    ends_well(&rig);
}

/// In a fresh epoch `docker cp` makes the count one and then zero, though the
/// container lives: the kernel's evidence keeps its mount. When the container
/// stops Docker does not tell, and the mount goes all the same.
#[test]
fn copy_under_live_restore_does_not_detach_a_live_volume() {
    let (mut rig, data) = writing(true, &[]);
    rig.engine.kill();
    rig.engine.start_again();
    let back = rig.stage.join("out").display().to_string();
    rig.engine.ok(&["cp", "box:/data/log", &back]);

    writes_on(&data);
    assert_eq!(rig.mounts_of("db").len(), 1);
    let output = rig.berth.berth(&["volume", "rm", "db"]);
    assert_eq!(output.status.code(), Some(4), "a live volume is busy: {output:?}");
    rig.sleeper("other", &["-v", "db:/data"]);
    rig.engine.ok(&["rm", "-f", "other"]);
    writes_on(&data);

    rig.engine.ok(&["stop", "-t", "5", "box"]);
    assert_eq!(rig.engine.inspect("container", "box", "{{.State.ExitCode}}"), "0");
    rig.references("db", 0);
    rig.unmounted("db");
}

/// A container that died while dockerd was down is never unmounted by Docker.
#[test]
fn container_dies_while_dockerd_is_down() {
    let (mut rig, _) = writing(true, &[]);
    let pid = rig.engine.inspect("container", "box", "{{.State.Pid}}");
    rig.engine.kill();
    rig.host.sh(&format!("kill -9 {pid}"));
    rig.engine.start_again();
    poll::holds("dockerd notices", SOON, || !rig.engine.is_running("box"));

    rig.references("db", 0);
    rig.unmounted("db");
}

/// The stop takes 16 s and its Unmount is lost; the next start has the old ID.
#[test]
fn container_stops_while_berth_is_down() {
    let (mut rig, data) = writing(false, &[]);
    rig.berth.kill();
    rig.engine.ok(&["stop", "-t", "5", "box"]);
    rig.berth.restart();
    rig.engine.ok(&["start", "box"]);
    writes_on(&data);
    ends_well(&rig);
}
