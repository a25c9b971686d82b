//! A repository on S3, by the built binary alone: everything that is done with one,
//! servers that die, hang or are away, and what nobody may read of the secrets.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    House, all_restics,
    servers::{BUCKET, Canned, Guard, Moto, S3Server},
    support::{daemon::Setup, pause::Pause, stage::Stage},
};

/// As long as the server takes to find out that nobody is there, and some.
const FAST: Duration = Duration::from_secs(15);

/// A configuration whose repository `off` is on that server; `more` is what its section
/// says besides.
pub(super) fn off(setup: Setup, stage: &Stage, endpoint: &str, more: &str) -> Setup {
    let near = stage.join("near").display().to_string();
    let text = format!(
        "[repositories.near]\nurl = \"{near}\"\n\
         [repositories.off]\nurl = \"s3://{BUCKET}/some/where\"\nendpoint = \"{endpoint}\"\n\
         region = \"us-east-1\"\n{more}"
    );
    let setup = setup.config(stage, &text).env("AWS_EC2_METADATA_DISABLED", "true");
    S3Server::key().into_iter().fold(setup, |setup, (name, value)| setup.env(name, value))
}

fn house(endpoint: &str) -> House {
    House::with(|setup, stage| off(setup, stage, endpoint, ""))
}

/// What `berth backup ls` shows of `off`.
#[track_caller]
pub(super) fn listed(house: &House) -> Vec<Value> {
    let all = house.json(&["backup", "ls", "--repository", "off"]);
    all.as_array().expect("a list").clone()
}

#[test]
fn all_that_is_done_with_a_repository_is_done_on_s3_and_restic_agrees() {
    let moto = Moto::start();
    let house = house(&moto.endpoint());
    for name in ["near", "off"] {
        house.ok(&["repository", "init", name]);
    }
    house.volume("v");
    house.write("v", "large", &vec![7; 5 << 20]);
    let create = ["backup", "create", "v", "--repository"];
    let first = house.ok(&[&create[..], &["off"]].concat());
    house.write("v", "file", b"other");
    let second = house.ok(&[&create[..], &["off"]].concat());
    house.ok(&[&create[..], &["near"]].concat());
    house.ok(&["repository", "copy", "near", "--to", "off"]);
    assert_eq!(listed(&house).len(), 3);
    house.ok(&["backup", "verify", &second, "--repository", "off"]);
    house.ok(&["backup", "rm", &first, "--repository", "off"]);
    house.ok(&["repository", "prune", "off"]);
    house.ok(&["repository", "check", "off", "--read-data"]);
    assert_eq!(listed(&house).len(), 2);
    for restic in all_restics() {
        let ask = |words: &[&str]| {
            let output = Command::new(&restic)
                .args(["--no-cache", "--repo"])
                .arg(format!("s3:{}/{BUCKET}/some/where", moto.endpoint()))
                .arg("--password-file")
                .arg(house.key("off"))
                .args(words)
                .envs(S3Server::key())
                .output()
                .expect("it runs");
            assert!(output.status.success(), "{}: {output:?}", restic.display());
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        ask(&["check", "--read-data"]);
        let snapshots: Value = serde_json::from_str(&ask(&["snapshots", "--json"])).expect("JSON");
        assert_eq!(snapshots.as_array().expect("a list").len(), 2);
        assert_eq!(ask(&["dump", &second, "/data/file"]), "other");
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_costs_one_backup() {
    let mut server = S3Server::start();
    let mut pause = None;
    let house = House::with(|setup, stage| {
        let here = Pause::at(stage.path(), "backup.snapshot.write", 1);
        let rule = here.rule().to_owned();
        pause = Some(here);
        off(setup, stage, &server.endpoint(), "").env("BERTH_FAILPOINTS", rule)
    });
    let pause = pause.expect("it was made");
    house.ok(&["repository", "init", "off"]);
    house.volume("v");
    let job = house.ok(&["backup", "create", "v", "--repository", "off", "--detach"]);
    pause.reached();
    server.kill();
    house.ok(&["job", "cancel", &job]);
    pause.release();
    house.daemon.berth(&["job", "wait", &job]);
    server.restart();
    assert!(listed(&house).is_empty(), "half a backup is listed");
    house.ok(&["backup", "create", "v", "--repository", "off"]);
    house.ok(&["repository", "prune", "off"]);
    assert_eq!(listed(&house).len(), 1);
}

#[test]
fn whoever_is_away_or_wrong_is_said_at_once_with_what_to_do() {
    // Nobody listens at port 1.
    let away = house("http://127.0.0.1:1");
    let started = Instant::now();
    let said = away.refused(&["repository", "init", "off"], 1);
    assert!(started.elapsed() < FAST, "{:?}: {said}", started.elapsed());
    assert!(said.contains("hint") && said.contains("127.0.0.1:1"), "{said}");

    let late = Canned::saying("403 Forbidden", "RequestTimeTooSkewed");
    let skewed = house(&late.endpoint());
    let said = skewed.refused(&["repository", "init", "off"], 1);
    assert!(said.contains("clock"), "{said}");

    let server = S3Server::start();
    let mut wrong = house(&server.endpoint());
    wrong.ok(&["repository", "init", "off"]);
    fs::write(wrong.key("off"), "another password\n").expect("ours");
    wrong.daemon.restart();
    let said = wrong.daemon.berth(&["backup", "ls", "--repository", "off"]);
    assert!(!said.status.success());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("opens with this password") && said.contains("password-file"), "{said}");
}

/// The command lines of all processes.
fn command_lines() -> String {
    let processes = fs::read_dir("/proc").expect("/proc");
    let lines = processes
        .filter_map(|entry| fs::read(entry.expect("an entry").path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

#[test]
fn nobody_reads_a_secret_while_a_backup_runs() {
    let server = S3Server::start();
    let mut pause = None;
    let house = House::with(|setup, stage| {
        let here = Pause::at(stage.path(), "backup.snapshot.write", 1);
        let rule = here.rule().to_owned();
        pause = Some(here);
        off(setup, stage, &server.endpoint(), "")
            .env("BERTH_FAILPOINTS", rule)
            .env("BERTH_LOG", "debug")
    });
    let pause = pause.expect("it was made");
    house.ok(&["repository", "init", "off"]);
    house.volume("v");
    let job = house.ok(&["backup", "create", "v", "--repository", "off", "--detach"]);
    pause.reached();
    let password = fs::read_to_string(house.key("off")).expect("the key file");
    let [_, (_, secret)] = S3Server::key();
    let ps = command_lines();
    // The test's own server is told its secret there.
    let own = |line: &&str| !line.contains("--secret-key");
    let ps: String = ps.lines().filter(own).collect();
    let mut seen = vec![("ps", ps)];
    for words in [
        &["job", "inspect", &job][..],
        &["repository", "inspect", "off"],
        &["repository", "ls"],
        &["doctor"],
        &["volume", "inspect", "v"],
    ] {
        let output = house.daemon.berth(&[words, &["--json"]].concat());
        seen.push((words[0], format!("{output:?}")));
    }
    pause.release();
    house.ok(&["job", "wait", &job]);
    seen.push(("backups", house.ok(&["backup", "ls", "--repository", "off", "--json"])));
    seen.push(("the log", house.daemon.log()));
    for (what, text) in seen {
        assert!(!text.is_empty(), "{what} says nothing");
        for hidden in [password.trim(), secret] {
            assert!(!text.contains(hidden), "a secret is in {what}");
        }
    }
}

#[test]
fn keys_that_may_only_read_are_enough_for_restores() {
    let server = S3Server::start();
    let guard = Guard::before(server.address());
    let house = house(&guard.endpoint());
    house.ok(&["repository", "init", "off"]);
    house.volume("v");
    let id = house.ok(&["backup", "create", "v", "--repository", "off"]);
    guard.deny_writing();
    let said = house.refused(&["backup", "create", "v", "--repository", "off"], 1);
    assert!(said.contains("AccessDenied") && said.contains("s3:PutObject"), "{said}");
    let before = guard.denied();
    house.ok(&["backup", "restore", &id, "w"]);
    assert!(guard.denied() > before, "it tried to lock it");
    assert_eq!(fs::read(house.daemon.data("w").join("file")).expect("restored"), b"v");
    house.ok(&["backup", "verify", &id]);
    assert_eq!(listed(&house).len(), 1);
}
