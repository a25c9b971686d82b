//! Power cuts right after a snapshot, a clone or a rollback was acknowledged.
//!
//! What a container wrote and did not sync is nobody's promise; what was copied of
//! it is. So nothing here is synced but by Berth.

mod support;

use std::{collections::BTreeMap, fs};

use serde_json::json;
use support::{
    content,
    loopfs::Kind,
    machine::{Layout, Machine},
    poll::{self, SOON},
};

#[test]
fn a_snapshot_is_whole_after_a_cut() {
    each_kind(|machine| {
        let written = written(machine, "one");
        machine.client.job("/v1/volumes/v/snapshots", &json!({"name": "s"})).done();
        machine.cut();
        machine.boot(1);
        assert_eq!(of_snapshot(machine, "s"), written);
    });
}

#[test]
fn a_clone_is_whole_after_a_cut() {
    each_kind(|machine| {
        let written = written(machine, "one");
        machine.client.create("w", &json!({"from": "v"})).done();
        machine.cut();
        machine.boot(1);
        assert_eq!(of_volume(machine, "w"), written);
    });
}

#[test]
fn a_rollback_is_whole_after_a_cut() {
    each_kind(|machine| {
        let first = written(machine, "one");
        machine.client.job("/v1/volumes/v/snapshots", &json!({"name": "s"})).done();
        let second = written(machine, "two");
        // What is kept was the container's to sync.
        let data = folder(machine, "v").join("data");
        fs::File::open(data.join("two")).and_then(|file| file.sync_all()).expect("ours");
        machine.client.job("/v1/volumes/v/rollback", &json!({"snapshot": "s"})).done();
        machine.cut();
        machine.boot(1);
        assert_eq!(of_volume(machine, "v"), first);
        assert_eq!(of_snapshot(machine, "s"), first);
        let before = machine.look().snapshots("v")[1].0.clone();
        assert!(before.starts_with("before-rollback-"), "{before}");
        assert_eq!(of_snapshot(machine, &before).get("two"), second.get("two"));
    });
}

#[test]
fn a_removed_snapshot_stays_removed_after_a_cut() {
    each_kind(|machine| {
        written(machine, "one");
        machine.client.job("/v1/volumes/v/snapshots", &json!({"name": "s"})).done();
        machine.client.control("DELETE", "/v1/volumes/v/snapshots/s", None).done();
        machine.cut();
        machine.boot(1);
        assert!(machine.look().snapshots("v").is_empty());
    });
}

/// Afterwards nothing is left over.
fn each_kind(act: impl Fn(&mut Machine)) {
    for kind in Kind::ALL {
        let mut machine = Machine::new(kind, Layout::Apart);
        machine.client.create("v", &json!({})).done();
        act(&mut machine);
        poll::equal("what is left over", SOON, &Vec::new(), || machine.look().leftovers());
    }
}

/// Writes a file, as a container does, and returns all that are there.
fn written(machine: &mut Machine, name: &str) -> BTreeMap<String, String> {
    let data = folder(machine, "v").join("data");
    fs::write(data.join(name), name.repeat(5000)).expect("the pool has space");
    content::files(&data)
}

fn folder(machine: &mut Machine, volume: &str) -> std::path::PathBuf {
    let id = machine.look().id(volume).expect("it is there");
    machine.pool.join("volumes").join(id)
}

fn of_volume(machine: &mut Machine, volume: &str) -> BTreeMap<String, String> {
    content::files(&folder(machine, volume).join("data"))
}

fn of_snapshot(machine: &mut Machine, name: &str) -> BTreeMap<String, String> {
    let world = machine.look();
    let listed = world.snapshots("v").iter().find(|(listed, _)| listed == name);
    let (_, id) = listed.unwrap_or_else(|| panic!("`{name}` is gone: {:?}", world.snapshots("v")));
    content::files(&folder(machine, "v").join("snapshots").join(id).join("data"))
}
