//! `berth backup`, and what stock restic makes of it.

use std::{fs, path::Path, sync::Arc};

use berth_api::Op;
use berth_vault::{Lock, Password, Repository, repository::Who, store::directory::Directory};
use serde_json::Value;

use crate::{House, judged, restic_ok, support::poll::SOON};

/// All texts that no log may have.
fn secrets(house: &House) -> String {
    fs::read_to_string(house.key("default")).expect("the key file").trim().to_owned()
}

#[test]
fn the_first_backup_makes_the_built_in_repository() {
    let house = House::new();
    house.volume("v");
    let output = house.daemon.berth(&["backup", "create", "v"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("worthless"), "it says where the key is: {said}");
    let id = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
    assert_eq!(id.len(), 64, "{id}");
    let all = house.json(&["backup", "ls"]);
    let view = &all[0];
    assert_eq!((&view["id"], &view["volume"]), (&id.clone().into(), &"v".into()));
    assert_eq!((&view["mode"], &view["snapshot"]), (&"full".into(), &Value::Null));
    assert_eq!((&view["repository"], &view["files"]), (&"default".into(), &1.into()));
    for key in ["created", "bytes-read", "bytes-added", "size", "consistency", "host", "pool"] {
        assert!(!view[key].is_null(), "{key}: {view}");
    }
    assert_eq!(house.json(&["backup", "inspect", &id[..4]])[0], *view);
    let table = house.ok(&["backup", "ls", "v"]);
    assert!(table.contains(&id[..12]) && !table.contains(&id[..13]), "{table}");
    assert_eq!(house.ok(&["backup", "ls", "w"]).lines().count(), 1, "only the header");
    let volume = &house.json(&["volume", "inspect", "v"])[0];
    assert_eq!(volume["last-backup"], view["created"], "{volume}");
    assert_eq!(volume["last-backup-id"], view["id"], "{volume}");
    assert!(house.json(&["snapshot", "ls"]).as_array().expect("a list").is_empty());
    assert!(!house.daemon.log().contains(&secrets(&house)), "the key is in the log");
}

#[test]
fn restic_lists_and_restores_what_was_backed_up() {
    let house = House::new();
    house.volume("v");
    house.write("v", "large", &vec![7; 5 << 20]);
    let id = house.ok(&["backup", "create", "v"]);
    let (repository, key) = (house.built_in(), house.key("default"));
    let listed: Value =
        serde_json::from_str(&restic_ok(&repository, &key, &["snapshots", "--json"]))
            .expect("JSON");
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["paths"][0], "/v");
    judged(&repository, &key);
    let to = house.stage.folder("out");
    restic_ok(&repository, &key, &["restore", &id, "--target", to.to_str().expect("UTF-8")]);
    let same = |file: &str| {
        let restored = fs::read(to.join("data").join(file)).expect("restored");
        assert_eq!(restored, fs::read(house.daemon.data("v").join(file)).expect("there"), "{file}");
    };
    same("file");
    same("large");
    let described = fs::read(to.join("volume.json")).expect("restored");
    let described: Value = serde_json::from_slice(&described).expect("JSON");
    assert_eq!(described["name"], "v");
}

#[test]
fn a_snapshot_is_backed_up_as_it_was() {
    let house = House::new();
    house.volume("v");
    house.ages("v");
    house.ok(&["snapshot", "create", "v", "before"]);
    house.write("v", "file", b"after");
    house.refused(&["backup", "create", "v@never"], 3);
    let id = house.ok(&["backup", "create", "v@before"]);
    let view = &house.json(&["backup", "inspect", &id])[0];
    assert_eq!(view["snapshot"], "before");
    let snapshot = &house.json(&["snapshot", "inspect", "v@before"])[0];
    assert_eq!(
        (&view["created"], &view["consistency"]),
        (&snapshot["created"], &snapshot["consistency"])
    );
    let (repository, key) = (house.built_in(), house.key("default"));
    assert_eq!(restic_ok(&repository, &key, &["dump", &id, "/data/file"]), "v");
    // A second one of the same snapshot reads no file.
    let second = house.ok(&["backup", "create", "v@before"]);
    let view = &house.json(&["backup", "inspect", &second])[0];
    assert_eq!((&view["mode"], &view["bytes-read"]), (&"incremental".into(), &0.into()), "{view}");
}

#[test]
fn what_is_removed_is_pruned_and_the_rest_verifies() {
    let house = House::new();
    for name in ["vol1", "vol10"] {
        house.volume(name);
        house.write(name, "much", &noise(name, 3 << 20));
    }
    let one = house.ok(&["backup", "create", "vol1"]);
    let ten = house.ok(&["backup", "create", "vol10"]);
    assert!(house.ok(&["backup", "verify"]).contains('2'));
    house.ok(&["backup", "verify", &ten]);
    house.ok(&["repository", "check", "--read-data"]);
    let checked = &house.json(&["repository", "inspect"])[0];
    assert!(checked["checked"].is_string() && checked["problems"] == 0, "{checked}");
    // Of a volume that is gone, too.
    house.ok(&["volume", "rm", "--now", "vol1"]);
    assert_eq!(house.json(&["backup", "ls", "vol1"])[0]["id"], one.as_str());
    let output = house.daemon.berth(&["backup", "rm", &one[..8]]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("repository prune"), "{output:?}");
    house.refused(&["backup", "rm", &one], 3);
    let left = house.json(&["backup", "ls"]);
    assert_eq!(left.as_array().expect("a list").len(), 1);
    assert_eq!(left[0]["volume"], "vol10");
    let size = |house: &House| {
        house.json(&["repository", "inspect"])[0]["size"].as_u64().expect("a number")
    };
    let before = size(&house);
    house.ok(&["repository", "prune", "--dry-run"]);
    assert_eq!(size(&house), before, "a dry run changes nothing");
    house.ok(&["repository", "prune"]);
    assert!(size(&house) < before - (2 << 20), "{before} → {}", size(&house));
    assert!(house.json(&["repository", "inspect"])[0]["pruned"].is_string());
    house.ok(&["backup", "verify", &ten]);
    judged(&house.built_in(), &house.key("default"));
}

#[test]
fn the_last_backup_is_remembered_and_forgotten_with_it() {
    let mut house = House::new();
    house.volume("v");
    let first = house.ok(&["backup", "create", "v"]);
    let second = house.ok(&["backup", "create", "v"]);
    let last = |house: &House| house.json(&["volume", "inspect", "v"])[0]["last-backup-id"].clone();
    assert_eq!(last(&house), second.as_str());
    assert!(house.daemon.stop().success());
    house.daemon.restart();
    assert_eq!(last(&house), second.as_str());
    house.ok(&["backup", "rm", &second]);
    assert_eq!(last(&house), first.as_str());
    house.ok(&["backup", "rm", &first]);
    assert_eq!(last(&house), Value::Null);
}

#[test]
fn damage_is_named_by_verify_and_check() {
    let house = House::new();
    house.volume("v");
    house.write("v", "much", &noise("v", 3 << 20));
    let id = house.ok(&["backup", "create", "v"]);
    let pack = largest(&house.built_in().join("data"));
    let mut bytes = fs::read(&pack).expect("a pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).expect("ours");
    fs::write(&pack, bytes).expect("ours");
    for words in [&["backup", "verify"][..], &["repository", "check", "--read-data"]] {
        let said = house.refused(words, 1);
        assert!(said.contains(&id[..8]), "{words:?} names the backup: {said}");
    }
    let checked = &house.json(&["repository", "inspect"])[0];
    assert!(checked["problems"].as_u64().is_some_and(|count| count > 0), "{checked}");
    assert!(house.doctor("default").iter().any(|(severity, _)| severity == "error"));
}

#[test]
fn a_repository_that_another_uses_alone_is_busy() {
    let house = House::new();
    house.volume("v");
    house.ok(&["backup", "create", "v"]);
    let (op, store) = (Op::new(SOON), Arc::new(Directory::new(house.built_in())));
    let password = Password::from_file(&house.key("default")).expect("the key");
    let who = Who { hostname: "elsewhere".to_owned(), username: "them".to_owned() };
    let there = Repository::open(&op, "there", store, &password, who).expect("the same key");
    let lock = Lock::exclusive(&op, &there).expect("nobody uses it");
    for words in [&["backup", "create", "v"][..], &["repository", "prune"]] {
        let said = house.refused(words, 4);
        assert!(said.contains("elsewhere"), "{words:?} names who has it: {said}");
    }
    assert_eq!(house.json(&["backup", "ls"]).as_array().expect("a list").len(), 1);
    lock.release().expect("ours");
    house.ok(&["backup", "create", "v"]);
}

#[test]
fn backups_are_copied_into_a_second_repository() {
    let house = House::named(&["default", "second"]);
    house.ok(&["repository", "init"]);
    house.ok(&["repository", "init", "second"]);
    house.volume("v");
    house.ok(&["backup", "create", "v"]);
    house.refused(&["repository", "copy", "--to", "default"], 2);
    house.ok(&["repository", "copy", "--to", "second"]);
    house.ok(&["repository", "copy", "--to", "second"]);
    let there = house.json(&["backup", "ls", "--repository", "second"]);
    assert_eq!(there.as_array().expect("a list").len(), 1, "{there}");
    assert_eq!(house.json(&["backup", "ls", "v"]).as_array().expect("a list").len(), 2);
    judged(&house.stage.join("second"), &house.key("second"));
}

/// Bytes that do not compress, the same for the same name.
pub(crate) fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// The largest file below a folder.
fn largest(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder).expect("a folder").flatten().flat_map(|entry| {
        fs::read_dir(entry.path()).expect("a folder").flatten().map(|file| file.path())
    });
    files.max_by_key(|file| fs::metadata(file).map_or(0, |file| file.len())).expect("a pack")
}
