//! Damaged records: a row is one faulty volume; a catalog that cannot be trusted
//! as a whole keeps the plugin socket closed, so that Docker keeps its own
//! records, and `pool rebuild` brings everything back.

mod support;

use std::{
    fs,
    os::unix::{fs::FileExt as _, net::UnixStream},
    path::PathBuf,
};

use serde_json::json;
use support::{
    catalog,
    daemon::{Daemon, Setup},
    mounts, namespace,
    poll::{self, SOON},
    stage::Stage,
};

#[test]
fn a_damaged_row_is_one_faulty_volume() {
    let stage = stage("row");
    let mut daemon = furnished(&stage);
    let row = "UPDATE volumes SET body = replace(body, 'vfs', 'vfz') WHERE name = 'one'";
    damage(&mut daemon, row);
    daemon.restart();
    assert_eq!(daemon.control().info()["state"], "ready");
    let volume = daemon.plugin().get("one").expect("an error would cost its labels");
    assert_eq!(volume["Status"]["state"], "faulty", "{volume}");
    let text = daemon.plugin().mount("one", "x").expect_err("its record is damaged");
    assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    daemon.plugin().mount("two", "x").expect("another volume");
    let diagnosis = daemon.control().ok("GET", "/v1/doctor", None);
    assert_eq!(diagnosis["healthy"], false, "{diagnosis}");

    rebuild(&daemon);
    assert_whole(&daemon);
}

#[test]
fn a_damaged_row_can_be_removed() {
    let stage = stage("row");
    let mut daemon = furnished(&stage);
    damage(&mut daemon, "UPDATE volumes SET seal = 'x' WHERE name = 'one'");
    daemon.restart();
    daemon.plugin().remove("one").expect("Remove clears a faulty volume");
    assert!(daemon.plugin().get("one").is_err());
    daemon.restart();
    assert!(daemon.plugin().get("one").is_err());
    assert_eq!(daemon.control().info()["state"], "ready");
}

#[test]
fn a_row_whose_name_cannot_be_told_makes_the_catalog_untrusted() {
    let stage = stage("row");
    let mut daemon = furnished(&stage);
    let id = daemon.control().volume("one")["id"].as_str().expect("an id").to_owned();
    damage(&mut daemon, "UPDATE volumes SET seal = 'x' WHERE name = 'one'");
    fs::remove_file(pool(&daemon).join("volumes").join(id).join("volume.json")).expect("ours");
    daemon.restart();
    assert_untrusted(&daemon);
}

#[test]
fn damaged_references_and_jobs_harm_no_volume() {
    let stage = stage("row");
    let mut daemon = furnished(&stage);
    damage(&mut daemon, "UPDATE refs SET seal = 'x'; UPDATE jobs SET seal = 'x'");
    daemon.restart();
    assert_eq!(daemon.control().info()["state"], "ready");
    assert_whole(&daemon);
}

#[test]
fn a_damaged_database_is_not_served_and_can_be_rebuilt() {
    untrusted_and_rebuilt(|daemon| {
        let file = fs::OpenOptions::new().write(true).open(database(daemon)).expect("ours");
        let length = file.metadata().expect("ours").len();
        for offset in (4096..length).step_by(4096) {
            file.write_all_at(&[0x5a; 3000], offset).expect("ours");
        }
    });
}

#[test]
fn a_truncated_database_is_not_served_and_can_be_rebuilt() {
    untrusted_and_rebuilt(|daemon| {
        let file = fs::OpenOptions::new().write(true).open(database(daemon)).expect("ours");
        file.set_len(5000).expect("ours");
    });
}

#[test]
fn a_file_that_is_no_database_is_not_served_and_can_be_rebuilt() {
    untrusted_and_rebuilt(|daemon| fs::write(database(daemon), "no database\n").expect("ours"));
}

#[test]
fn an_empty_database_is_not_served_and_can_be_rebuilt() {
    untrusted_and_rebuilt(|daemon| fs::write(database(daemon), "").expect("ours"));
}

#[test]
fn a_missing_database_is_not_served_and_can_be_rebuilt() {
    untrusted_and_rebuilt(|daemon| fs::remove_file(database(daemon)).expect("ours"));
}

#[test]
fn the_database_of_another_root_is_not_served_and_can_be_rebuilt() {
    let other = stage("other");
    let mut foreign = furnished(&other);
    checkpoint(&mut foreign);
    untrusted_and_rebuilt(|daemon| {
        fs::copy(database(&foreign), database(daemon)).expect("ours");
    });
}

#[test]
fn a_newer_schema_is_not_served_and_not_touched() {
    let stage = stage("newer");
    let mut daemon = furnished(&stage);
    damage(&mut daemon, "PRAGMA user_version = 999");
    let before = fs::read(database(&daemon)).expect("ours");
    daemon.restart();
    let diagnosis = assert_untrusted(&daemon);
    assert!(diagnosis.contains("newer"), "{diagnosis}");
    daemon.stop();
    assert!(fs::read(database(&daemon)).expect("ours") == before, "it was touched");
    catalog::execute(&database(&daemon), "PRAGMA user_version = 4");
    daemon.restart();
    assert_whole(&daemon);
}

#[test]
fn an_older_schema_is_copied_and_migrated() {
    let stage = stage("older");
    let mut daemon = furnished(&stage);
    let newer = "DROP TABLE quiesced; DROP TABLE last_backups; DROP TABLE repositories;
                 DROP TABLE policies;";
    damage(&mut daemon, &format!("{newer} PRAGMA user_version = 1"));
    daemon.restart();
    assert_whole(&daemon);
    assert!(database(&daemon).with_file_name("berth.db.schema-1").exists());
}

/// Damages the files of a stopped daemon; afterwards only the control socket is
/// served, doctor knows what to do, and that helps.
fn untrusted_and_rebuilt(harm: impl FnOnce(&Daemon)) {
    let stage = stage("trust");
    let mut daemon = furnished(&stage);
    checkpoint(&mut daemon);
    harm(&daemon);
    daemon.restart();
    assert_untrusted(&daemon);
    // Once more: the damage does not heal by being looked at.
    daemon.restart();
    assert_untrusted(&daemon);
    rebuild(&daemon);
    assert_whole(&daemon);
    daemon.restart();
    assert_whole(&daemon);
}

/// Two volumes with content and options, one of them mounted, and a removed one.
fn furnished(stage: &Stage) -> Daemon {
    let daemon = Setup::new(stage).start();
    let plugin = daemon.plugin();
    for name in ["one", "two", "removed"] {
        plugin.create(name, &json!({"mode": "0750"})).expect("a fresh daemon");
        let mountpoint = plugin.mount(name, "x").expect("a fresh daemon");
        fs::write(mountpoint.join("kept"), name).expect("a mounted volume");
    }
    for name in ["one", "removed"] {
        plugin.unmount(name, "x").expect("it was mounted");
    }
    daemon.control().ok("PATCH", "/v1/volumes/one", Some(&json!({"options": {"uid": "11"}})));
    plugin.remove("removed").expect("it is not mounted");
    daemon
}

/// Everything that [`furnished`] made is there again.
#[track_caller]
fn assert_whole(daemon: &Daemon) {
    poll::holds("the plugin socket is served", SOON, || {
        UnixStream::connect(&daemon.setup.plugin_socket).is_ok()
    });
    let plugin = daemon.plugin();
    daemon.control().ok("POST", "/v1/volumes/removed/undelete", None);
    for name in ["one", "two", "removed"] {
        let volume = plugin.get(name).expect("it exists");
        assert_eq!(volume["Status"]["state"], "ready", "{volume}");
        let mountpoint = plugin.mount(name, "look").expect("a sound volume");
        let text = fs::read_to_string(mountpoint.join("kept")).expect("it was written");
        assert_eq!(text, name);
        plugin.unmount(name, "look").expect("just mounted");
        assert_eq!(daemon.control().volume(name)["options"]["mode"], "0750");
    }
    assert_eq!(daemon.control().volume("one")["options"]["uid"], 11);
    plugin.create("one", &json!({"mode": "750"})).expect("equal to what it was created with");
    plugin.create("one", &json!({"mode": "0755"})).expect_err("not equal");
    plugin.remove("removed").expect("it is not mounted");
}

/// The plugin socket is not served, the control socket is; what doctor says.
#[track_caller]
fn assert_untrusted(daemon: &Daemon) -> String {
    assert!(UnixStream::connect(&daemon.setup.plugin_socket).is_err(), "the plugin is served");
    assert!(!daemon.setup.plugin_socket.exists(), "a dead socket costs Docker 15 s a call");
    let info = daemon.control().info();
    assert_eq!(info["state"], "untrusted", "{info}");
    assert!(info["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{info}");
    let diagnosis = daemon.control().ok("GET", "/v1/doctor", None);
    assert_eq!(diagnosis["healthy"], false, "{diagnosis}");
    let worst = &diagnosis["findings"][0];
    assert_eq!(worst["severity"], "error", "{diagnosis}");
    assert!(worst["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{diagnosis}");
    let (status, answer) = daemon.control().request("GET", "/v1/volumes", None);
    assert!(status >= 400, "an untrusted catalog answered {answer}");
    assert!(answer["error"]["message"].is_string(), "{answer}");
    diagnosis.to_string()
}

#[track_caller]
fn rebuild(daemon: &Daemon) {
    let job = daemon.control().ok("POST", "/v1/pools/rebuild", Some(&json!({})));
    let path = format!("/v1/jobs/{}", job["id"].as_str().expect("a job has an id"));
    let last = poll::until("the rebuild ends", SOON, || {
        let job = daemon.control().ok("GET", &path, None);
        let state = job["state"].as_str().expect("a job has a state");
        matches!(state, "done" | "failed" | "cancelled").then(|| job.clone())
    });
    assert_eq!(last["state"], "done", "{last}");
}

/// Stops the daemon and changes its database.
fn damage(daemon: &mut Daemon, statements: &str) {
    checkpoint(daemon);
    catalog::execute(&database(daemon), statements);
}

/// Stops the daemon, with everything in the database file itself.
fn checkpoint(daemon: &mut Daemon) {
    daemon.stop();
    mounts::detach_below(&daemon.setup.root.join("mounts"));
    catalog::execute(&database(daemon), "PRAGMA wal_checkpoint(TRUNCATE)");
}

fn database(daemon: &Daemon) -> PathBuf {
    daemon.setup.root.join("berth.db")
}

fn pool(daemon: &Daemon) -> PathBuf {
    daemon.setup.root.join("pools/default")
}

/// A stage whose mounts nobody else sees.
fn stage(name: &str) -> Stage {
    namespace::apart();
    Stage::new(name)
}
