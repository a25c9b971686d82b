//! Backups to S3 and restores from it, by the built binary, while servers and daemons
//! are killed in the middle, and lines are slow or dead.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    House,
    s3::{listed, off},
    servers::{Canned, Line, S3Server},
    support::{pause::Pause, poll, random::Random, stage::Stage},
};

/// What patience with servers is divided by: a minute becomes 12 seconds.
const PARTS: &str = "5";
/// Later than a server is given up, then; with the time that a busy machine takes.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// What these tests wait for while much is packed by an unoptimised build.
const LONG: Duration = Duration::from_secs(120);
/// Files in a volume, a mebibyte each; a pack, too.
const FILES: u64 = 24;
const MIB: u64 = 1 << 20;
/// Packs that are in an index by the time that one is there.
const INDEXED: u64 = 8;

/// So slow that a restore has most before it when its first files are written.
const SLOWLY: &str = "limit-download = \"2MiB\"\n";

/// Packs are small, so that there are many; `more` is what the section of the repository
/// says besides.
fn house(endpoint: &str, more: &str, failpoints: impl FnOnce(&Stage) -> String) -> House {
    let house = House::with(|setup, stage| {
        let rules = failpoints(stage);
        off(setup, stage, endpoint, more)
            .env("BERTH_FAILPOINTS", rules)
            .env("BERTH_TEST_S3_PATIENCE", PARTS)
            .env("BERTH_TEST_PACK_BYTES", MIB.to_string())
    });
    house.ok(&["repository", "init", "off"]);
    house
}

/// One that waits at that pass of a failpoint.
fn paused(endpoint: &str, more: &str, name: &str, nth: u64) -> (House, Pause) {
    let mut pause = None;
    let house = house(endpoint, more, |stage| {
        let here = Pause::at(stage.path(), name, nth);
        pause.insert(here).rule().to_owned()
    });
    (house, pause.expect("it was made"))
}

impl House {
    /// A volume `v` with much in it that does not compress.
    fn filled(&self) {
        self.ok(&["volume", "create", "v"]);
        let mut random = Random::new(7);
        for number in 0..FILES {
            let bytes: Vec<u8> = (0..MIB / 8).flat_map(|_| random.next().to_le_bytes()).collect();
            self.write("v", &format!("{number:02}"), &bytes);
        }
    }

    fn back_up(&self) -> String {
        self.ok(&["backup", "create", "v", "--repository", "off"])
    }

    /// Begins to back `v` up; the job.
    fn begin(&self) -> String {
        self.ok(&["backup", "create", "v", "--repository", "off", "--detach"])
    }

    /// Waits until a volume is in this state.
    #[track_caller]
    fn becomes(&self, name: &str, state: &str) {
        poll::holds(&format!("{name} is {state}"), LONG, || {
            let all = self.json(&["volume", "ls"]);
            let all = all.as_array().expect("a list");
            all.iter().any(|volume| volume["name"] == name && volume["state"] == state)
        });
    }

    fn job(&self, id: &str) -> Value {
        self.json(&["job", "inspect", id])[0].clone()
    }

    /// The job ends by itself as failed, with one line, and what to do.
    #[track_caller]
    fn fails(&self, job: &str, text: &str) {
        let started = Instant::now();
        poll::holds("the job ends", GIVEN_UP, || self.job(job)["state"] != "running");
        let job = self.job(job);
        assert_eq!(job["state"], "failed", "after {:?}: {job}", started.elapsed());
        let error = job["error"].as_str().expect("an error");
        assert!(error.contains(text) && error.lines().count() == 1, "{error}");
        assert!(job["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{job}");
    }

    /// What a finished backup stored, in bytes.
    fn added(&self, id: &str) -> u64 {
        let backup = &self.json(&["backup", "inspect", id, "--repository", "off"])[0];
        backup["bytes-added"].as_u64().expect("a number")
    }

    /// Whether `name` has what `v` has.
    #[track_caller]
    fn same(&self, name: &str) {
        for number in 0..FILES {
            let file = format!("{number:02}");
            let read = |volume: &str| fs::read(self.daemon.data(volume).join(&file)).expect("it");
            assert!(read(name) == read("v"), "{file} of {name}");
        }
    }

    /// Whether the next backup stores only what was not stored by then.
    #[track_caller]
    fn goes_on(&self) {
        assert!(listed(self).is_empty(), "half a backup is listed");
        let id = self.back_up();
        let added = self.added(&id);
        assert!(added > 0 && added < (FILES - INDEXED + 1) * MIB, "{added} bytes once more");
        self.ok(&["repository", "check", "off", "--read-data"]);
        assert_eq!(listed(self).len(), 1);
    }
}

/// How many files of that kind the server has.
fn files(server: &S3Server, folder: &str) -> usize {
    let place: PathBuf = server.bucket().join("some/where").join(folder);
    fs::read_dir(place).map_or(0, Iterator::count)
}

#[test]
fn a_backup_whose_server_is_killed_fails_and_the_next_one_stores_the_rest() {
    let mut server = S3Server::start();
    let (house, pause) = paused(&server.endpoint(), "", "writer.pack.write", 14);
    house.filled();
    let job = house.begin();
    pause.reached();
    poll::holds("an index is written", LONG, || files(&server, "index") > 0);
    server.kill();
    pause.release();
    house.fails(&job, "the connection is refused");
    server.restart();
    house.goes_on();
    assert_eq!(files(&server, "locks"), 0, "a lock is left");
}

#[test]
fn a_backup_whose_daemon_is_killed_is_gone_and_the_next_one_stores_the_rest() {
    let server = S3Server::start();
    let (mut house, pause) = paused(&server.endpoint(), "", "writer.pack.write", 14);
    house.filled();
    let job = house.begin();
    pause.reached();
    poll::holds("an index is written", LONG, || files(&server, "index") > 0);
    house.daemon.kill();
    assert_eq!(files(&server, "locks"), 1, "its lock is left");
    house.restart("");
    house.fails(&job, "");
    house.goes_on();
    house.ok(&["repository", "prune", "off"]);
    assert_eq!(files(&server, "locks"), 0, "a lock is left");
}

#[test]
fn a_restore_whose_server_is_killed_goes_on_once_it_is_back() {
    let mut server = S3Server::start();
    let (house, pause) = paused(&server.endpoint(), SLOWLY, "restore.file.write", 5);
    house.filled();
    let id = house.back_up();
    let mut restore = house.daemon.command(&["backup", "restore", &id, "w"]).spawn().expect("runs");
    pause.reached();
    house.becomes("w", "creating");
    server.kill();
    pause.release();
    poll::holds("the job says what it waits for", GIVEN_UP, || {
        let waiting = &house.json(&["job", "ls"])[0]["waiting"];
        waiting.as_str().is_some_and(|text| text.contains("cannot be read now"))
    });
    server.restart();
    assert!(restore.wait().expect("it ends").success());
    house.same("w");
}

#[test]
fn a_restore_in_place_whose_server_is_killed_fails_and_changes_nothing() {
    let mut server = S3Server::start();
    let (house, pause) = paused(&server.endpoint(), SLOWLY, "restore.file.write", 5);
    house.filled();
    let id = house.back_up();
    house.write("v", "00", b"other");
    let words = ["backup", "restore", &id, "--in-place"];
    let job = house.ok(&[&words[..], &["--detach"]].concat());
    pause.reached();
    server.kill();
    pause.release();
    house.fails(&job, "the connection is refused");
    let there = house.daemon.data("v").join("00");
    assert_eq!(fs::read(&there).expect("it is there"), b"other", "the content was exchanged");
    assert_eq!(house.json(&["snapshot", "ls", "v"]), Value::Array(Vec::new()));
    server.restart();
    house.ok(&words);
    assert_eq!(fs::metadata(there).expect("it is there").len(), MIB);
}

#[test]
fn a_restore_whose_daemon_is_killed_is_taken_up() {
    let server = S3Server::start();
    let (mut house, pause) = paused(&server.endpoint(), "", "restore.file.write", 5);
    house.filled();
    let id = house.back_up();
    let mut restore = house.daemon.command(&["backup", "restore", &id, "w"]).spawn().expect("runs");
    pause.reached();
    house.becomes("w", "creating");
    house.daemon.kill();
    assert!(!restore.wait().expect("it ends").success(), "nobody answers it");
    house.restart("");
    house.becomes("w", "ready");
    house.same("w");
    house.ok(&["repository", "prune", "off"]);
    assert_eq!(files(&server, "locks"), 0, "a lock is left");
}

#[test]
fn a_line_on_which_bytes_trickle_is_slow_and_no_error() {
    let server = S3Server::start();
    let line = Line::trickling(server.address(), 256 << 10);
    let house = House::with(|setup, stage| off(setup, stage, &line.endpoint(), ""));
    house.ok(&["repository", "init", "off"]);
    house.ok(&["volume", "create", "v"]);
    let mut random = Random::new(8);
    let bytes: Vec<u8> = (0..MIB / 4).flat_map(|_| random.next().to_le_bytes()).collect();
    house.write("v", "file", &bytes);
    let started = Instant::now();
    let id = house.back_up();
    house.ok(&["backup", "restore", &id, "w"]);
    assert!(started.elapsed() > Duration::from_secs(8), "the line is not slow");
    assert!(fs::read(house.daemon.data("w").join("file")).expect("restored") == bytes);
}

#[test]
fn who_accepts_and_never_answers_is_given_up() {
    let silent = Canned::silent();
    let first = House::with(|setup, stage| {
        off(setup, stage, &silent.endpoint(), "").env("BERTH_TEST_S3_PATIENCE", PARTS)
    });
    let said = first.refused(&["repository", "init", "off"], 1);
    assert!(said.contains("did not answer in 2 s") && said.contains("hint"), "{said}");

    let server = S3Server::start();
    let line = Line::to(server.address(), Duration::ZERO);
    let (house, pause) = paused(&line.endpoint(), "", "writer.pack.write", 14);
    house.filled();
    let job = house.begin();
    pause.reached();
    line.die();
    pause.release();
    house.fails(&job, "did not answer in");
}
