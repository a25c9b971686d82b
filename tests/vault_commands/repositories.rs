//! `berth repository`, and what `berth doctor` says of repositories.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::{House, restic_ok};

#[test]
fn a_new_repository_has_a_key_that_only_its_owner_reads() {
    let house = House::new();
    assert!(house.doctor("default").is_empty(), "nobody uses it yet");
    assert_eq!(house.json(&["repository", "ls"])[0]["state"], "uninitialised");
    let output = house.daemon.berth(&["repository", "init"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "default\n");
    let key = house.key("default");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(key.to_str().expect("UTF-8")), "{said}");
    assert!(said.contains("worthless"), "{said}");
    let mode = fs::metadata(&key).expect("the key file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let config: Value =
        serde_json::from_str(&restic_ok(&house.built_in(), &key, &["cat", "config"]))
            .expect("restic opens it");
    let view = &house.json(&["repository", "inspect"])[0];
    assert_eq!(view["id"], config["id"], "{view}");
    assert_eq!((&view["state"], &view["backups"]), (&"ready".into(), &0.into()));
    assert_eq!((&view["keys"], &view["default"]), (&1.into(), &true.into()));
    let said = house.refused(&["repository", "init"], 1);
    assert!(said.contains("there is one"), "{said}");
    let text = house.ok(&["repository", "inspect"]);
    assert!(text.contains("nobody said that there is one"), "{text}");
}

#[test]
fn doctor_warns_until_the_key_is_elsewhere() {
    let mut house = House::new();
    house.ok(&["repository", "init"]);
    let about = |house: &House, what: &str| {
        house.doctor("default").into_iter().find(|(_, message)| message.contains(what))
    };
    assert_eq!(about(&house, "copy of its key").expect("a finding").0, "warning");
    assert_eq!(about(&house, "device of pool `default`").expect("a finding").0, "warning");
    house.ok(&["repository", "key", "--confirm"]);
    assert_eq!(about(&house, "copy of its key"), None);
    house.daemon.kill();
    house.daemon.restart();
    assert_eq!(about(&house, "copy of its key"), None, "it is remembered");
    assert!(house.json(&["repository", "inspect"])[0]["key-confirmed"].is_string());
    // Another repository has another key.
    fs::remove_dir_all(house.built_in()).expect("it was there");
    house.daemon.restart();
    house.ok(&["repository", "init"]);
    assert!(about(&house, "copy of its key").is_some(), "that was of another one");
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let mut house = House::new();
    house.ok(&["repository", "init"]);
    let key = house.key("default");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    house.daemon.restart();
    let said = house.refused(&["repository", "key"], 2);
    assert!(said.contains("mode 0644"), "{said}");
    assert!(said.contains("chmod 600"), "{said}");
    let findings = house.doctor("default");
    assert_eq!(findings[0].0, "error", "{findings:?}");
    assert!(findings[0].1.contains("mode 0644"), "{findings:?}");
    assert_eq!(house.json(&["repository", "ls"])[0]["state"], "unavailable");
    fs::remove_file(&key).expect("ours");
    let said = house.refused(&["backup", "ls"], 1);
    assert!(said.contains("default.key"), "{said}");
    assert!(said.contains("bring it back"), "{said}");
    // A lost key is not made anew: it would open nothing.
    house.refused(&["repository", "init"], 1);
    assert!(!key.exists());
}

#[test]
fn one_repository_that_is_away_hides_no_other() {
    let house = House::named(&["near", "far"]);
    house.ok(&["repository", "init", "near"]);
    house.ok(&["repository", "init", "far"]);
    let (far, away) = (house.stage.join("far"), house.stage.join("away"));
    fs::rename(&far, &away).expect("ours");
    fs::write(&far, "no directory").expect("ours");
    let names = house.json(&["repository", "ls"]);
    assert_eq!(names[0]["state"], "unavailable", "{names}");
    assert_eq!(names[1]["state"], "ready", "{names}");
    assert_eq!(house.doctor("far")[0].0, "error");
    let output = house.daemon.berth(&["backup", "ls", "--json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[]\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("far"), "{output:?}");
    assert!(!output.status.success());
    house.ok(&["backup", "ls", "--repository", "near"]);
    fs::remove_file(&far).expect("ours");
    fs::rename(&away, &far).expect("ours");
    house.ok(&["backup", "ls"]);
}

#[test]
fn which_repository_is_asked_where_it_is_not_clear() {
    let house = House::named(&["near", "far"]);
    let said = house.refused(&["repository", "init"], 2);
    assert!(said.contains("far, near"), "{said}");
    let said = house.refused(&["repository", "inspect", "naer"], 3);
    assert!(said.contains("did you mean `near`?"), "{said}");
    // One that is configured is not made by itself.
    house.volume("v");
    let said = house.refused(&["backup", "create", "v", "--repository", "near"], 3);
    assert!(said.contains("berth repository init near"), "{said}");
    assert_eq!(house.doctor("near")[0].0, "warning");
}

#[test]
fn keys_are_added_and_taken_away() {
    let house = House::new();
    house.ok(&["repository", "init"]);
    let second = house.stage.file("second.key", "correct horse battery staple\n");
    let path = second.to_str().expect("UTF-8");
    let said = house.refused(&["repository", "key", "--add", path], 2);
    assert!(said.contains("chmod 600"), "{said}");
    fs::set_permissions(&second, fs::Permissions::from_mode(0o600)).expect("ours");
    house.ok(&["repository", "key", "--add", path]);
    restic_ok(&house.built_in(), &second, &["cat", "config"]);
    let keys = house.json(&["repository", "key"]);
    let keys = keys.as_array().expect("a list");
    assert_eq!(keys.len(), 2);
    let id = |current: bool| {
        let key = keys.iter().find(|key| key["current"] == current).expect("one of each");
        key["id"].as_str().expect("a text")
    };
    house.refused(&["repository", "key", "--remove", id(true)], 1);
    house.refused(&["repository", "key", "--remove", "zz"], 3);
    house.ok(&["repository", "key", "--remove", &id(false)[..10]]);
    assert_eq!(house.json(&["repository", "key"]).as_array().expect("a list").len(), 1);
    assert!(!house.daemon.log().contains("correct horse"), "a password is in the log");
}
