//! Damaged disks, pools and records: one clear error, everything else is served,
//! and no label is lost. (Docker drops a volume's labels on any error of Get.)

mod support;

use std::{fs, io::Write as _};

use serde_json::json;
use support::{
    daemon::{Daemon, Setup},
    loopfs::{Kind, LoopFs},
    mounts, namespace,
    poll::{self, SOON},
    stage::Stage,
};

#[test]
fn a_full_disk_refuses_what_needs_space_and_serves_the_rest() {
    let stage = stage("full");
    let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 48);
    let daemon = start_in(&stage, &disk);
    let filler = disk.fill();
    let plugin = daemon.plugin();

    clear(&plugin.create("more", &json!({})).expect_err("there is no space"));
    assert_served(&daemon, &["idle", "busy"]);
    plugin.unmount("busy", "one").expect("Docker never asks again");
    poll::holds("it is unmounted", SOON, || daemon.mounts().is_empty());
    for name in ["idle", "busy"] {
        // Whether a reference still fits is the file system's business.
        if let Err(text) = plugin.mount(name, "two") {
            clear(&text);
        }
    }
    assert!(plugin.get("more").is_err(), "a refused Create leaves nothing");

    fs::remove_file(filler).expect("ours");
    plugin.create("more", &json!({})).expect("there is space again");
    plugin.mount("idle", "three").expect("there is space again");
    assert_served(&daemon, &["idle", "busy", "more"]);
    assert_content(&daemon);
}

#[test]
fn a_full_disk_at_start_still_tells_of_every_volume() {
    let stage = stage("full");
    let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 48);
    let mut daemon = start_in(&stage, &disk);
    daemon.kill();
    let filler = disk.fill();
    daemon.restart();
    assert_served(&daemon, &["idle", "busy"]);
    fs::remove_file(filler).expect("ours");
    daemon.plugin().create("more", &json!({})).expect("there is space again");
    assert_content(&daemon);
}

#[test]
fn a_full_pool_leaves_the_root_alone() {
    let stage = stage("full");
    let disk = LoopFs::new(stage.path(), "pool", Kind::Ext4, 32);
    let daemon = start_with_pool(&stage, &disk);
    let filler = disk.fill();
    let plugin = daemon.plugin();
    // A directory may still fit into a full file system; many do not.
    let refused = (0..5000).find_map(|n| plugin.create(&format!("v{n}"), &json!({})).err());
    clear(&refused.expect("5,000 volumes do not fit into a full file system"));
    plugin.mount("idle", "two").expect("mounting needs no space in the pool");
    assert_served(&daemon, &["idle", "busy"]);
    fs::remove_file(filler).expect("ours");
    plugin.create("more", &json!({})).expect("there is space again");
}

#[test]
fn a_read_only_disk_at_start_serves_what_needs_no_writing() {
    let stage = stage("frozen");
    let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 48);
    let mut daemon = start_in(&stage, &disk);
    daemon.kill();
    disk.remount(true);
    daemon.restart();
    assert_eq!(daemon.control().info()["state"], "read-only");
    assert_read_only(&daemon);
    poll::holds("it is unmounted", SOON, || daemon.mounts().is_empty());
    daemon.stop();
    disk.remount(false);
    daemon.restart();
    assert_eq!(daemon.control().info()["state"], "ready");
    daemon.plugin().create("more", &json!({})).expect("writable again");
    assert_served(&daemon, &["idle", "busy", "more"]);
    assert_content(&daemon);
}

/// As ext4 does by itself after an I/O error (`errors=remount-ro`).
#[test]
fn a_disk_that_becomes_read_only_keeps_the_daemon_serving() {
    let stage = stage("frozen");
    let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 48);
    let mut daemon = start_in(&stage, &disk);
    disk.fail();
    let plugin = daemon.plugin();
    clear(&plugin.create("more", &json!({})).expect_err("nothing can be written"));
    clear(&plugin.mount("idle", "two").expect_err("no reference can be written"));
    assert_served(&daemon, &["idle", "busy"]);
    assert!(plugin.get("more").is_err(), "a refused Create leaves nothing");
    assert!(daemon.is_alive());
    daemon.kill();
    mounts::detach_below(&daemon.setup.root.join("mounts"));
    disk.unmount();
    disk.mount();
    daemon.restart();
    assert_served(&daemon, &["idle", "busy"]);
    assert_content(&daemon);
}

#[test]
fn a_pool_whose_disk_fails_is_one_error_and_the_rest_is_served() {
    let stage = stage("broken");
    let disk = LoopFs::new(stage.path(), "pool", Kind::Ext4, 32);
    let daemon = start_with_pool(&stage, &disk);
    daemon.plugin().create("elsewhere", &json!({"pool": "other"})).expect("a sound pool");
    disk.arm().now();
    let plugin = daemon.plugin();
    clear(&plugin.create("more", &json!({})).expect_err("the disk is gone"));
    clear(&plugin.remove("idle").map_or_else(|e| e, |()| "removal follows later".to_owned()));
    plugin.mount("elsewhere", "one").expect("the other pool is sound");
    plugin.unmount("elsewhere", "one").expect("the other pool is sound");
    assert_known(&daemon, &["busy", "elsewhere"]);
}

#[test]
fn a_pool_that_is_not_mounted_is_unavailable_and_not_made_anew() {
    let stage = stage("missing");
    let disk = LoopFs::new(stage.path(), "pool", Kind::Ext4, 32);
    let mut daemon = start_with_pool(&stage, &disk);
    daemon.plugin().create("elsewhere", &json!({"pool": "other"})).expect("a sound pool");
    daemon.kill();
    mounts::detach_below(&daemon.setup.root.join("mounts"));
    disk.unmount();
    // What a boot without the disk shows: an empty folder.
    fs::create_dir_all(disk.path().join("volumes")).expect("the bare mountpoint");
    daemon.restart();
    assert_unavailable(&daemon, "idle");
    assert_eq!(daemon.plugin().get("elsewhere").expect("it exists")["Status"]["state"], "ready");
    clear(&daemon.plugin().create("more", &json!({})).expect_err("the pool is away"));
    let made = fs::read_dir(disk.path().join("volumes")).expect("ours").count();
    assert_eq!(made, 0, "nothing is written beneath the mountpoint of a pool");
    assert_eq!(daemon.control().ok("GET", "/v1/pools/default", None)["state"], "unavailable");

    fs::remove_dir(disk.path().join("volumes")).expect("still empty");
    disk.mount();
    poll::holds("the pool is back", SOON, || daemon.plugin().mount("idle", "late").is_ok());
    assert_eq!(daemon.plugin().get("idle").expect("it exists")["Status"]["state"], "ready");
    assert_content(&daemon);
}

#[test]
fn a_pool_of_another_identity_is_not_used() {
    let stage = stage("swapped");
    let disk = LoopFs::new(stage.path(), "pool", Kind::Ext4, 32);
    let mut daemon = start_with_pool(&stage, &disk);
    daemon.kill();
    mounts::detach_below(&daemon.setup.root.join("mounts"));
    let identity = disk.path().join("volumes/.berth/pool.json");
    let sound = fs::read(&identity).expect("a pool has one");
    let mut foreign = Setup::new(&stage);
    foreign.root = stage.join("foreign");
    foreign.start().stop();
    let other = foreign_identity(&stage);
    for content in [other.as_slice(), b"", b"{}", &sound[..sound.len() / 2]] {
        fs::write(&identity, content).expect("ours");
        daemon.restart();
        assert_unavailable(&daemon, "idle");
        assert_eq!(fs::read(&identity).expect("still there"), content, "it is not repaired");
        daemon.kill();
    }
    fs::write(&identity, &sound).expect("ours");
    daemon.restart();
    daemon.plugin().mount("idle", "late").expect("its own pool again");
    assert_content(&daemon);
}

fn foreign_identity(stage: &Stage) -> Vec<u8> {
    fs::read(stage.join("foreign/pools/default/.berth/pool.json")).expect("a pool has one")
}

#[test]
fn a_pool_taken_out_of_the_configuration_is_still_answered_for() {
    let stage = stage("unconfigured");
    let disk = LoopFs::new(stage.path(), "pool", Kind::Ext4, 32);
    let mut daemon = start_with_pool(&stage, &disk);
    daemon.plugin().create("elsewhere", &json!({"pool": "other"})).expect("a sound pool");
    let both = fs::read_to_string(stage.join("berth.toml")).expect("ours");
    let text = both.split("[pools.other]").next().expect("the first part");
    stage.file("berth.toml", text);
    daemon.restart();
    assert_unavailable(&daemon, "elsewhere");
    let text = daemon.plugin().create("elsewhere", &json!({"uid": "9"})).expect_err("it exists");
    clear(&text);
    assert_served(&daemon, &["idle", "busy"]);
    stage.file("berth.toml", both);
    daemon.restart();
    daemon.plugin().mount("elsewhere", "late").expect("it is back");
}

/// A daemon whose root and pool lie on `disk`, with a written volume `idle` and
/// a mounted one, `busy`.
fn start_in(stage: &Stage, disk: &LoopFs) -> Daemon {
    let mut setup = Setup::new(stage);
    setup.root = disk.path().join("root");
    furnish(setup.start())
}

/// A daemon whose root is on the stage, its default pool on `disk`, and a pool
/// `other` on the stage.
fn start_with_pool(stage: &Stage, disk: &LoopFs) -> Daemon {
    let pool = disk.path().join("volumes");
    fs::create_dir(&pool).expect("an empty file system");
    let text = format!(
        "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n\
         [pools.other]\nbackend = \"vfs\"\npath = \"{}\"\n",
        pool.display(),
        stage.folder("other").display(),
    );
    furnish(Setup::new(stage).config(stage, &text).start())
}

fn furnish(daemon: Daemon) -> Daemon {
    let plugin = daemon.plugin();
    for name in ["idle", "busy"] {
        plugin.create(name, &json!({})).expect("a fresh daemon");
        let mountpoint = plugin.mount(name, "one").expect("a fresh daemon");
        let mut file = fs::File::create(mountpoint.join("kept")).expect("a mounted volume");
        file.write_all(name.as_bytes()).expect("a mounted volume");
        file.sync_all().expect("a mounted volume");
    }
    plugin.unmount("idle", "one").expect("it was mounted");
    poll::holds("only one is mounted", SOON, || daemon.mounts().len() == 1);
    daemon
}

/// Get, List and Path answer for these; nothing is unavailable.
#[track_caller]
fn assert_served(daemon: &Daemon, names: &[&str]) {
    assert_known(daemon, names);
    for name in names {
        let volume = daemon.plugin().get(name).expect("just asked");
        assert_eq!(volume["Status"]["state"], "ready", "{volume}");
    }
}

/// Get, List and Path answer for these.
#[track_caller]
fn assert_known(daemon: &Daemon, names: &[&str]) {
    let plugin = daemon.plugin();
    let list = plugin.list();
    for name in names {
        let volume = plugin.get(name).expect("an error would cost its labels");
        assert_eq!(volume["Name"], *name);
        let path = plugin.path(name).expect("Path is answered from memory");
        assert_eq!(volume["Mountpoint"], path.to_str().expect("text"), "always the same");
        assert!(list.iter().any(|volume| volume["Name"] == *name), "{name} in {list:?}");
    }
}

#[track_caller]
fn assert_unavailable(daemon: &Daemon, name: &str) {
    assert_known(daemon, &[name]);
    let volume = daemon.plugin().get(name).expect("it exists");
    assert_eq!(volume["Status"]["state"], "unavailable", "{volume}");
    clear(&daemon.plugin().mount(name, "no").expect_err("its pool is away"));
    let diagnosis = daemon.control().ok("GET", "/v1/doctor", None);
    assert_eq!(diagnosis["healthy"], false, "{diagnosis}");
}

#[track_caller]
fn assert_read_only(daemon: &Daemon) {
    let plugin = daemon.plugin();
    assert_served(daemon, &["idle", "busy"]);
    clear(&plugin.create("more", &json!({})).expect_err("nothing can be written"));
    clear(&plugin.mount("idle", "two").expect_err("nothing can be written"));
    assert!(plugin.get("more").is_err(), "a refused Create leaves nothing");
    plugin.unmount("busy", "one").expect("unmounting needs no writing");
}

/// What was written before the damage is there.
#[track_caller]
fn assert_content(daemon: &Daemon) {
    for name in ["idle", "busy"] {
        let mountpoint = daemon.plugin().mount(name, "look").expect("a sound volume");
        let text = fs::read_to_string(mountpoint.join("kept")).expect("it was written");
        assert_eq!(text, name);
        daemon.plugin().unmount(name, "look").expect("just mounted");
    }
}

/// One line, and something in it.
#[track_caller]
fn clear(text: &str) {
    let plain = !text.trim().is_empty() && !text.contains('\n') && text.len() < 500;
    assert!(plain && !text.contains("panicked"), "not a clear error: {text:?}");
}

/// A stage whose mounts nobody else sees.
fn stage(name: &str) -> Stage {
    namespace::apart();
    Stage::new(name)
}
