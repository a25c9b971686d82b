//! The command line against a real daemon on a pool of its own.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::{
    said,
    support::{
        daemon::{Daemon, Setup},
        poll::{self, SOON},
        stage::Stage,
    },
};

/// A daemon, and what `berth` says of it.
struct Live {
    daemon: Daemon,
    stage: Stage,
}

impl Live {
    fn new(name: &str) -> Self {
        Self::configured(name, |setup, _| setup)
    }

    fn configured(name: &str, configure: impl FnOnce(Setup, &Stage) -> Setup) -> Self {
        let stage = Stage::new(name);
        let daemon = configure(Setup::new(&stage), &stage).env("TZ", "UTC").start();
        Self { daemon, stage }
    }

    fn run(&self, words: &[&str]) -> Output {
        self.daemon.command(words).env("TZ", "UTC").output().expect("the binary under test")
    }

    /// All that `berth WORDS` says.
    fn say(&self, words: &[&str]) -> String {
        said(&self.run(words))
    }

    /// What a command that must succeed prints.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// The JSON of a command that must succeed.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).expect("JSON on stdout")
    }

    /// One volume.
    #[track_caller]
    fn volume(&self, name: &str) -> Value {
        self.json(&["volume", "inspect", name])[0].clone()
    }

    /// A volume with a file in it.
    #[track_caller]
    fn written(&self, name: &str, options: &[&str]) {
        self.ok(&[&["volume", "create", name], options].concat());
        let place = PathBuf::from(self.ok(&["volume", "mount", name]));
        fs::write(place.join("file"), name).expect("written");
        self.ok(&["volume", "unmount", name]);
        poll::holds("unmounted", SOON, || !place.exists());
    }
}

/// Whether a refusal has this exit code and says all of this.
#[track_caller]
fn refused(text: &str, code: u8, parts: &[&str]) {
    assert!(text.starts_with(&format!("exit: {code}\n--- stderr\nerror: ")), "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn snapshots_are_taken_shown_gone_back_to_and_removed() {
    let live = Live::new("cli-snapshots");
    live.written("db", &[]);
    assert_eq!(live.ok(&["snapshot", "create", "db", "monday"]), "db@monday");
    let view = live.json(&["snapshot", "create", "db", "tuesday"]);
    assert_eq!((&view["name"], &view["volume"]), (&"db@tuesday".into(), &"db".into()), "{view}");
    assert_eq!(view["read-only"], true);
    let unnamed = live.ok(&["snapshot", "create", "db"]);
    assert!(unnamed.starts_with("db@2"), "named after the time: {unnamed}");
    refused(&live.say(&["snapshot", "create", "db", "monday"]), 1, &["`db@monday` exists"]);
    refused(&live.say(&["snapshot", "create", "db", "a/b"]), 2, &["snapshot name `a/b`"]);
    refused(&live.say(&["snapshot", "create", "none"]), 3, &["no such volume: `none`"]);

    let table = live.ok(&["snapshot", "ls", "db"]);
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "POOL", "CONSISTENCY", "USED", "CREATED"]);
    assert_eq!(lines[1][..2], ["db@monday", "default"]);
    assert_eq!(live.json(&["snapshot", "ls"]).as_array().expect("an array").len(), 3);
    for field in "name volume created size-used consistency read-only".split_whitespace() {
        assert!(view.get(field).is_some(), "{field} in {view}");
    }
    assert!(live.ok(&["snapshot", "inspect", "db@monday"]).contains("consistency:"));
    assert_eq!(live.volume("db")["snapshots"], 3);

    let place = PathBuf::from(live.ok(&["volume", "mount", "db"]));
    fs::write(place.join("file"), "spoilt").expect("written");
    refused(&live.say(&["volume", "rollback", "db@monday"]), 4, &["in use"]);
    live.ok(&["volume", "unmount", "db"]);
    let said = live.ok(&["volume", "rollback", "db@monday"]);
    assert!(said.contains("db@before-rollback-"), "{said}");
    let place = PathBuf::from(live.ok(&["volume", "mount", "db"]));
    assert_eq!(fs::read_to_string(place.join("file")).expect("there"), "db");
    live.ok(&["volume", "unmount", "db"]);

    assert_eq!(live.ok(&["snapshot", "restore", "db@tuesday", "copy"]), "copy");
    let job = live.ok(&["snapshot", "restore", "db@tuesday", "copy2", "--detach"]);
    live.ok(&["job", "wait", &job]);
    for name in ["copy", "copy2"] {
        let place = PathBuf::from(live.ok(&["volume", "mount", name]));
        assert_eq!(fs::read_to_string(place.join("file")).expect("there"), "db");
        live.ok(&["volume", "unmount", name]);
    }
    assert_eq!(live.ok(&["volume", "create", "copy", "-o", "from=db@tuesday"]), "copy");
    refused(&live.say(&["volume", "create", "copy", "-o", "from=db"]), 1, &["from"]);
    refused(&live.say(&["volume", "create", "x", "-o", "from=db@none"]), 3, &["`db@none`"]);
    refused(&live.say(&["volume", "create", "x", "-o", "from=a@b@c"]), 2, &["from"]);
    refused(&live.say(&["volume", "create", "x", "-o", "from=backup:1"]), 2, &["option `from`"]);

    live.ok(&["snapshot", "rm", "db@monday", "db@tuesday"]);
    refused(&live.say(&["snapshot", "rm", "db@monday"]), 3, &["no such snapshot: `db@monday`"]);
    refused(&live.say(&["snapshot", "inspect", "db"]), 2, &["VOLUME@NAME"]);
    assert_eq!(live.volume("db")["snapshots"], 2);
}

#[test]
fn volumes_are_created_listed_and_inspected() {
    let live = Live::new("cli-list");
    assert_eq!(live.ok(&["volume", "create", "db", "-o", "uid=7", "-o", "mode=750"]), "db");
    assert_eq!(live.ok(&["volume", "create", "web"]), "web");
    // Equal is success, in any spelling; different is refused with what differs.
    assert_eq!(live.ok(&["volume", "create", "db", "-o", "uid=007", "-o", "mode=0750"]), "db");
    refused(&live.say(&["volume", "create", "db", "-o", "uid=8"]), 1, &["uid"]);

    let table = live.ok(&["volume", "ls"]);
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    assert_eq!(lines[0], ["NAME", "POOL", "STATE", "USED", "REFS", "CREATED"]);
    assert_eq!(lines[1][..3], ["db", "default", "ready"]);
    assert_eq!(lines[2][..3], ["web", "default", "ready"]);
    assert_eq!(lines.len(), 3);

    let volumes = live.json(&["volume", "ls"]);
    for field in "name id pool backend state size used mountpoint references created snapshots \
                  last-backup host capabilities"
        .split_whitespace()
    {
        assert!(volumes[0].get(field).is_some(), "{field} in {volumes}");
    }
    let both = live.json(&["volume", "inspect", "db", "web"]);
    assert_eq!(both.as_array().map(Vec::len), Some(2));
    assert_eq!(both[0]["options"]["uid"], 7);
    assert_eq!(both[0]["given"]["mode"], "0750");
    assert_eq!(both[0]["backend"], "vfs");
}

#[test]
fn refusals_have_their_exit_codes() {
    let live = Live::new("cli-codes");
    refused(&live.say(&["volume", "create", "../x"]), 2, &["hint: "]);
    refused(&live.say(&["volume", "create", "x", "-o", "uidd=1"]), 2, &["did you mean `uid`?"]);
    refused(&live.say(&["volume", "create", "x", "-o", "size=1G"]), 5, &["`size`"]);
    refused(&live.say(&["volume", "create", "x", "-o", "pool=none"]), 2, &["`none`"]);
    refused(&live.say(&["volume", "inspect", "none"]), 3, &["`none`"]);
    refused(&live.say(&["volume", "rm", "none"]), 3, &["`none`"]);
    refused(&live.say(&["volume", "mount", "none"]), 3, &["`none`"]);
    refused(&live.say(&["volume", "undelete", "none"]), 3, &["`none`"]);
    refused(&live.say(&["pool", "inspect", "none"]), 3, &["`none`"]);
    refused(&live.say(&["pool", "rebuild", "none"]), 3, &["`none`"]);
    refused(&live.say(&["job", "inspect", "none"]), 3, &["`none`"]);
    live.ok(&["volume", "create", "x"]);
    refused(&live.say(&["volume", "set", "x", "access=single"]), 5, &["`access`"]);
    live.ok(&["volume", "mount", "x"]);
    refused(&live.say(&["volume", "rm", "x"]), 4, &["`x`", "hint: "]);
    let json = live.say(&["volume", "rm", "x", "--json"]);
    assert!(json.contains(r#"{"error":{"kind":"busy","message":"#), "{json}");
    // The others are done, the code is that of the first error.
    live.ok(&["volume", "create", "y"]);
    refused(&live.say(&["volume", "rm", "x", "none", "y"]), 4, &["`x`", "`none`"]);
    refused(&live.say(&["volume", "inspect", "y"]), 3, &["`y`"]);
    live.ok(&["volume", "unmount", "x"]);
}

#[test]
fn removed_volumes_come_back_with_what_was_in_them() {
    let live = Live::new("cli-trash");
    live.written("db", &[]);
    let text = live.say(&["volume", "rm", "db"]);
    assert!(text.starts_with("exit: 0\n--- stderr\n`db` is in the trash until 20"), "{text}");
    assert!(text.ends_with(" UTC: berth volume undelete db\n"), "{text}");
    assert_eq!(live.json(&["volume", "ls"]), serde_json::json!([]));
    let removed = live.json(&["volume", "ls", "--removed"]);
    assert_eq!(removed[0]["name"], "db");
    assert!(removed[0]["expires"].is_string(), "{removed}");

    // The name is free; while it is taken, the old one stays where it is.
    live.ok(&["volume", "create", "db"]);
    refused(&live.say(&["volume", "undelete", "db"]), 1, &["`db`", "hint: "]);
    let text = live.say(&["volume", "rm", "db"]);
    assert_eq!(text, "exit: 0\n--- stderr\n`db` is removed for good\n", "nobody wrote to it");
    assert_eq!(live.ok(&["volume", "undelete", "db"]), "db");
    let place = PathBuf::from(live.ok(&["volume", "mount", "db"]));
    assert_eq!(fs::read_to_string(place.join("file")).expect("it came back"), "db");
    live.ok(&["volume", "unmount", "db"]);

    // By id, where the name alone would not do.
    let id = live.volume("db")["id"].as_str().expect("an id").to_owned();
    live.ok(&["volume", "rm", "db"]);
    assert_eq!(live.ok(&["volume", "undelete", &id]), "db");
}

#[test]
fn retained_volumes_stay_until_somebody_says_otherwise() {
    let live = Live::new("cli-retain");
    live.written("ledger", &["-o", "on-remove=retain"]);
    let text = live.say(&["volume", "rm", "ledger"]);
    let kept = "`ledger` is kept without expiry: berth volume undelete ledger\n";
    assert_eq!(text, format!("exit: 0\n--- stderr\n{kept}"));
    assert!(live.ok(&["volume", "ls", "--removed"]).contains("never"));
    refused(&live.say(&["volume", "rm", "ledger"]), 3, &["undelete", "--now"]);
    let text = live.say(&["volume", "rm", "--now", "ledger"]);
    assert_eq!(text, "exit: 0\n--- stderr\n`ledger` is removed for good\n");
    poll::holds("it is gone", SOON, || {
        live.json(&["volume", "ls", "--removed"]) == serde_json::json!([])
    });
    // Now, without the trash.
    live.written("db", &[]);
    let text = live.say(&["volume", "rm", "--now", "db"]);
    assert_eq!(text, "exit: 0\n--- stderr\n`db` is removed for good\n");
}

#[test]
fn set_changes_the_folder_and_what_removal_does() {
    let live = Live::new("cli-set");
    live.written("db", &["-o", "mode=0755"]);
    assert_eq!(
        live.ok(&["volume", "set", "db", "mode=0710", "uid=12", "gid=34", "on-remove=retain"]),
        ""
    );
    let folder = fs::metadata(live.daemon.data("db")).expect("the volume's folder");
    assert_eq!((folder.mode() & 0o7777, folder.uid(), folder.gid()), (0o710, 12, 34));
    let volume = live.volume("db");
    assert_eq!(volume["options"]["on-remove"], "retain");
    assert_eq!(volume["given"], serde_json::json!({ "mode": "0755" }), "as it was created");
    assert!(live.say(&["volume", "rm", "db"]).contains("kept without expiry"));
}

#[test]
fn mounts_of_the_command_line_are_counted_by_id() {
    let live = Live::new("cli-mount");
    live.ok(&["volume", "create", "db"]);
    let place = live.ok(&["volume", "mount", "db"]);
    assert_eq!(place, live.volume("db")["mountpoint"]);
    assert_eq!(live.json(&["volume", "mount", "db", "--id", "other"])["mountpoint"], place);
    assert_eq!(live.volume("db")["references"], 2);
    assert_eq!(live.volume("db")["mounted"], true);
    live.ok(&["volume", "unmount", "db", "--id", "nobody"]);
    assert_eq!(live.volume("db")["references"], 2);
    live.ok(&["volume", "unmount", "db"]);
    assert_eq!(live.volume("db")["references"], 1);
    assert!(PathBuf::from(&place).is_dir(), "the other one still has it");
    live.ok(&["volume", "unmount", "db", "--id", "other"]);
    poll::holds("the folder is gone", SOON, || !PathBuf::from(&place).exists());
}

#[test]
fn pools_are_shown_and_rebuilt() {
    let live = Live::new("cli-pools");
    live.written("db", &[]);
    let table = live.ok(&["pool", "ls"]);
    let cells: Vec<_> = table.lines().nth(1).expect("a pool").split_whitespace().collect();
    assert_eq!(cells[..6], ["default", "*", "vfs", "ready", "1", "0"]);
    let view = &live.json(&["pool", "inspect", "default"])[0];
    assert_eq!(view["trash"], 86400);
    assert!(view["total"].as_u64() > Some(0), "{view}");
    let outcome = live.ok(&["pool", "rebuild"]);
    assert!(outcome.contains("known before: 1"), "{outcome}");
    let id = live.ok(&["pool", "rebuild", "default", "--detach"]);
    assert!(live.ok(&["job", "wait", &id]).contains("known before: 1"));
    let job = &live.json(&["job", "inspect", &id])[0];
    for field in ["id", "kind", "volume", "state", "progress", "error"] {
        assert!(job.get(field).is_some(), "{field} in {job}");
    }
    for field in ["bytes-done", "bytes-total", "files-done", "rate", "eta"] {
        assert!(job["progress"].get(field).is_some(), "{field} in {job}");
    }
    assert_eq!((&job["state"], &job["kind"]), (&"done".into(), &"rebuild".into()));
    assert!(live.ok(&["job", "ls"]).contains(&id));
}

#[test]
fn doctor_tells_a_pool_that_is_away() {
    let live = Live::configured("cli-doctor", |setup, stage| {
        let text = format!(
            "[pools.default]\nbackend = \"vfs\"\npath = {:?}\ntrash = \"36h\"\nuid = 5\n",
            stage.folder("disk")
        );
        setup.config(stage, &text)
    });
    live.ok(&["volume", "create", "db"]);
    assert_eq!(live.volume("db")["options"]["uid"], 5, "the pool's default");
    assert!(live.ok(&["pool", "inspect"]).contains("trash:    36 hours"));
    let text = live.say(&["doctor"]);
    assert!(text.starts_with("exit: 0\n"), "{text}");
    assert!(text.contains("ok       pool `default`: "), "{text}");

    let disk = live.stage.join("disk");
    fs::rename(&disk, live.stage.join("elsewhere")).expect("taken away");
    poll::holds("it is noticed", SOON, || {
        live.run(&["volume", "create", "new"]);
        live.say(&["doctor"]).starts_with("exit: 1\n--- stdout\nerror    pool `default`: ")
    });
    assert_eq!(live.json(&["volume", "ls"])[0]["state"], "unavailable");
    refused(&live.say(&["volume", "mount", "db"]), 1, &["default"]);
    fs::rename(live.stage.join("elsewhere"), &disk).expect("brought back");
    poll::holds("it is used again", SOON, || live.volume("db")["state"] == "ready");
}

/// Writes `bytes` over the catalog, and starts the daemon on it.
fn overwrite_catalog(live: &mut Live, bytes: &[u8]) {
    live.daemon.kill();
    fs::write(live.daemon.setup.root.join("berth.db"), bytes).expect("damaged");
    for log in ["berth.db-wal", "berth.db-shm"] {
        let _ = fs::remove_file(live.daemon.setup.root.join(log));
    }
    live.daemon.restart();
}

#[test]
fn a_catalog_that_was_emptied_is_not_an_empty_one() {
    let mut live = Live::new("cli-emptied");
    live.ok(&["volume", "create", "db"]);
    overwrite_catalog(&mut live, b"");
    assert_eq!(live.json(&["info"])["state"], "untrusted");
    refused(&live.say(&["volume", "ls"]), 1, &["`berth.db` is empty"]);
}

#[test]
fn an_untrusted_catalog_is_told_and_rebuilt() {
    let mut live = Live::new("cli-untrusted");
    live.written("db", &[]);
    overwrite_catalog(&mut live, b"this is no database");

    let info = live.json(&["info"]);
    assert_eq!(info["state"], "untrusted");
    refused(&live.say(&["volume", "ls"]), 1, &["berth doctor"]);
    let text = live.say(&["doctor"]);
    assert!(text.starts_with("exit: 1\n--- stdout\nerror    catalog: "), "{text}");
    assert!(text.contains("berth pool rebuild"), "{text}");
    let outcome = live.ok(&["pool", "rebuild"]);
    assert!(outcome.contains("records made: 1 "), "{outcome}");
    poll::holds("it is served again", SOON, || live.json(&["info"])["state"] == "ready");
    assert_eq!(live.volume("db")["state"], "ready");
}

#[test]
fn a_listing_that_nobody_reads_to_its_end_is_no_error() {
    let live = Live::new("cli-pipe");
    for number in 0..40 {
        live.ok(&["volume", "create", &format!("{}{number}", "v".repeat(100))]);
    }
    let mut child = live
        .daemon
        .command(&["volume", "ls", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(said(&output), "exit: 0\n");
}
