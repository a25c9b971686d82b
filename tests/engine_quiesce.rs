//! Engine lane: `--quiesce pause` freezes the containers that use the volume while
//! its content is copied, and nothing else.

mod support;

use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::Value;
use support::{
    daemon::{Daemon, Setup},
    docker::{Engine, IMAGE},
    host::Host,
    loopfs::{Kind, LoopFs},
    poll::{self, SOON},
    rig::{Rig, writes_on},
    stage::Stage,
};

/// The copy stops before its first file until the test lets it go on.
fn held(setup: Setup) -> Setup {
    held_at(setup, 1)
}

/// As [`held`], before another file.
fn held_at(setup: Setup, file: u32) -> Setup {
    let go = setup.root.with_file_name("go");
    setup.env("BERTH_FAILPOINTS", format!("copy.file=pause:{}@{file}", go.display()))
}

fn state(engine: &Engine, container: &str) -> String {
    engine.inspect("container", container, "{{.State.Status}}")
}

fn volumes(engine: &Engine, names: &[&str]) {
    for name in names {
        engine.ok(&["volume", "create", "-d", "berth", name]);
    }
}

/// Takes a snapshot of `db`; it hangs in its copy.
fn begin(berth: &Daemon, words: &[&str]) -> Child {
    let mut command = berth.command(&[&["snapshot", "create", "db"], words].concat());
    let child = command.stdout(Stdio::null()).spawn().expect("the binary under test");
    let reached = berth.setup.root.with_file_name("go.reached");
    poll::holds("the copy has begun", SOON, || reached.exists());
    child
}

fn go_on(berth: &Daemon) {
    fs::write(berth.setup.root.with_file_name("go"), "").expect("ours");
}

fn snapshots(berth: &Daemon) -> Vec<Value> {
    let snapshots = berth.control().ok("GET", "/v1/snapshots", None);
    snapshots.as_array().expect("an array").clone()
}

#[test]
fn who_uses_the_volume_is_paused_and_nobody_else() {
    let rig = Rig::with("pause", false, held);
    let engine = &rig.engine;
    volumes(engine, &["db", "other", "third"]);
    rig.writer("writer", &["-v", "db:/data"]);
    rig.sleeper("reader", &["-v", "db:/data:ro"]);
    rig.sleeper("by-hand", &["-v", "db:/data"]);
    rig.sleeper("other", &["-v", "other:/data"]);
    // Docker's filter finds this one too: it has a mount *at* the name.
    rig.sleeper("elsewhere", &["-v", "third:/db"]);
    engine.ok(&["pause", "by-hand"]);
    let log = rig.berth.data("db").join("log");
    writes_on(&rig.berth.data("db"));

    let mut taking = begin(&rig.berth, &["one", "--quiesce", "pause"]);
    let states = || ["writer", "reader", "by-hand", "other", "elsewhere"].map(|c| state(engine, c));
    assert_eq!(states(), ["paused", "paused", "paused", "running", "running"]);
    let frozen = fs::read(&log).expect("there");
    go_on(&rig.berth);
    assert!(taking.wait().expect("our child").success());

    assert_eq!(states(), ["running", "running", "paused", "running", "running"]);
    writes_on(&rig.berth.data("db"));
    let snapshot = &snapshots(&rig.berth)[0];
    assert_eq!(snapshot["consistency"], "quiesced");
    let id = snapshot["id"].as_str().expect("an id");
    let copy = rig.berth.data("db").with_file_name("snapshots").join(id).join("data/log");
    assert!(fs::read(copy).expect("copied") == frozen, "it was written meanwhile");
}

/// Whoever is started, or let go on by hand, while others rest may write.
#[test]
fn a_snapshot_that_was_written_under_does_not_claim_rest() {
    for intruder in ["started", "unpaused", "ended"] {
        let rig = Rig::with("pause", false, held);
        volumes(&rig.engine, &["db"]);
        rig.writer("writer", &["-v", "db:/data"]);
        let mut taking = begin(&rig.berth, &["one", "--quiesce", "pause"]);
        assert_eq!(state(&rig.engine, "writer"), "paused");
        match intruder {
            "started" => rig.writer("second", &["-v", "db:/data"]),
            "unpaused" => drop(rig.engine.ok(&["unpause", "writer"])),
            _ => drop(rig.engine.ok(&["rm", "-f", "writer"])),
        }
        go_on(&rig.berth);
        assert!(taking.wait().expect("our child").success(), "{intruder}");
        let rests = snapshots(&rig.berth)[0]["consistency"] == "quiesced";
        // Who ended does not write either.
        assert_eq!(rests, intruder == "ended", "{intruder}");
    }
}

/// Also where Docker itself comes back only later.
#[test]
fn a_killed_daemon_lets_containers_go_on_when_it_is_back() {
    let mut rig = Rig::with("pause", true, held);
    volumes(&rig.engine, &["db"]);
    rig.writer("writer", &["-v", "db:/data"]);
    rig.sleeper("by-hand", &["-v", "db:/data"]);
    rig.engine.ok(&["pause", "by-hand"]);
    let mut taking = begin(&rig.berth, &["one", "--quiesce", "pause"]);
    rig.berth.kill();
    let _ = taking.wait();
    assert_eq!(state(&rig.engine, "writer"), "paused");
    rig.engine.stop();
    rig.berth.setup.env.clear();
    rig.berth.restart();
    poll::holds("doctor says so", SOON, || {
        let output = rig.berth.berth(&["doctor"]);
        String::from_utf8_lossy(&output.stdout).contains("hook `pause`")
    });

    rig.engine.start_again();

    poll::equal("the container", 3 * SOON, &"running".to_owned(), || state(&rig.engine, "writer"));
    assert_eq!(state(&rig.engine, "by-hand"), "paused");
    assert_eq!(snapshots(&rig.berth).len(), 0);
    writes_on(&rig.berth.data("db"));
    assert!(rig.berth.berth(&["snapshot", "create", "db", "--quiesce", "pause"]).status.success());
}

#[test]
fn a_stopped_daemon_lets_containers_go_on() {
    let mut rig = Rig::with("pause", false, held);
    volumes(&rig.engine, &["db"]);
    rig.writer("writer", &["-v", "db:/data"]);
    let mut taking = begin(&rig.berth, &["one", "--quiesce", "pause"]);
    assert_eq!(state(&rig.engine, "writer"), "paused");
    rig.berth.signal(nix::sys::signal::Signal::SIGTERM);
    go_on(&rig.berth);
    assert!(rig.berth.wait(SOON).success());
    let _ = taking.wait();
    assert_eq!(state(&rig.engine, "writer"), "running");
}

/// A database: what is done is written to a log and synced, then to a table.
const DATABASE: &str = "i=0; while :; do i=$((i+1)); \
    echo $i | dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null; \
    printf '%010d\\n' $i | dd of=/data/table conv=notrunc,fsync 2>/dev/null; done";

/// A pool that shares data between files. Between log and table the copy stops.
struct Shared {
    engine: Engine,
    berth: Daemon,
    // Dropped in this order.
    _host: Host,
    pool: LoopFs,
    _stage: Stage,
}

impl Shared {
    fn new() -> Self {
        let stage = Stage::new("reflink");
        let pool = LoopFs::new(stage.path(), "pool", Kind::Xfs, 400);
        let host = Host::boot(&stage);
        let text = format!(
            "[pools.default]\nbackend = 'vfs'\npath = '{}'\n",
            pool.path().join("p").display()
        );
        fs::create_dir(pool.path().join("p")).expect("ours");
        let berth = held_at(Setup::on(&stage, &host).config(&stage, &text), 2).start();
        let engine = Engine::start(&stage, &host);
        let shared = Self { engine, berth, _host: host, pool, _stage: stage };
        volumes(&shared.engine, &["db"]);
        let head = ["run", "-d", "--init", "--network=none", "--name", "database"];
        let tail = ["-v", "db:/data", IMAGE, "sh", "-c", DATABASE];
        shared.engine.ok(&[&head[..], &tail].concat());
        poll::holds("it works", SOON, || shared.done().1 > 5);
        shared
    }

    fn volume(&self) -> PathBuf {
        let id = self.berth.control().volume("db")["id"].as_str().expect("an id").to_owned();
        self.pool.path().join("p/volumes").join(id)
    }

    /// How far log and table are now.
    fn done(&self) -> (u64, u64) {
        numbers(&self.volume().join("data"))
    }

    /// Takes a snapshot while the database writes as much as it can; how far log
    /// and table are in it, and what it says of itself.
    fn snapshot(&self, words: &[&str], meanwhile: impl FnOnce()) -> (u64, u64, String) {
        let mut taking = begin(&self.berth, words);
        meanwhile();
        go_on(&self.berth);
        assert!(taking.wait().expect("our child").success());
        let snapshot = &snapshots(&self.berth)[0];
        let id = snapshot["id"].as_str().expect("an id");
        let (log, table) = numbers(&self.volume().join("snapshots").join(id).join("data"));
        (log, table, snapshot["consistency"].as_str().expect("a text").to_owned())
    }
}

/// The last line of a log that has every number up to it, and the table's number.
fn numbers(data: &std::path::Path) -> (u64, u64) {
    let log = fs::read_to_string(data.join("log")).unwrap_or_default();
    let lines: Vec<u64> = log.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(lines.iter().copied().eq(1..=lines.len() as u64), "not a prefix of what was written");
    let table = fs::read_to_string(data.join("table")).unwrap_or_default();
    (lines.len() as u64, table.trim().parse().unwrap_or_default())
}

#[test]
fn a_database_at_rest_is_one_moment() {
    let shared = Shared::new();
    let (log, table, consistency) = shared.snapshot(&["one", "--quiesce", "pause"], || {
        assert_eq!(state(&shared.engine, "database"), "paused");
    });
    assert_eq!(consistency, "quiesced");
    assert!(log > 5 && (table == log || table + 1 == log), "log {log}, table {table}");
    let then = shared.done();
    poll::holds("it works on", SOON, || shared.done().1 > then.1 + 5);
}

/// Without a hook each file is whole by itself, and that is all that is said.
#[test]
fn a_database_at_work_is_one_moment_for_each_file() {
    let shared = Shared::new();
    let (log, table, consistency) = shared.snapshot(&["one"], || {
        let then = shared.done();
        poll::holds("it works on", SOON, || shared.done().1 > then.1 + 20);
    });
    assert_eq!(consistency, "per-file");
    // What the test above is about: the one is of before, the other of after.
    assert!(log.abs_diff(table) > 10, "log {log}, table {table}");
}
