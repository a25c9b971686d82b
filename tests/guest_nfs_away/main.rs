//! A server that is away hurts only its own volumes: Docker is answered, other pools
//! notice nothing, containers wait and go on, and nobody has to help.
//!
//! Beside the default pool, which is of this machine, stands `nas` on a server.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

#[path = "../support/mod.rs"]
mod support;

mod dropped;
mod stale;
mod starts;
mod stopped;
mod writer;

use std::{
    fs,
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::{Control, Plugin},
    daemon::{Daemon, Setup},
    nfs::{self, Server},
    poll::{self},
    stage::Stage,
};

/// Nothing that is answered from memory takes longer, on an emulated machine that does
/// other things too.
const AT_ONCE: Duration = Duration::from_secs(1);

/// When a call that needs a server which is away must be answered.
const ANSWERED: Duration = Duration::from_secs(24);

/// How long a pool may take to be used again once its server is back, and the pause
/// that a restarted server makes.
const BACK: Duration = Duration::from_secs(45);

/// A server and a daemon.
struct Scene {
    daemon: Daemon,
    server: Server,
    stage: Stage,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Nothing can be unmounted while the server is away, nor while somebody mounts.
        self.daemon.signal(nix::sys::signal::Signal::SIGKILL);
        self.server.pass_packets();
        if thread::panicking() {
            for line in self.daemon.log().lines() {
                if !line.contains("refused docker") {
                    tell(line);
                }
            }
            self.server.start();
        }
    }
}

impl Scene {
    fn new(name: &str) -> Self {
        let stage = Stage::new(name);
        let server = nfs::Setup::new().start(&stage);
        let text = format!(
            "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n\
             [pools.nas]\nbackend = \"nfs\"\nserver = \"{}\"\nexport = \"{}\"\n",
            stage.join("local").display(),
            server.address().v4,
            server.export()
        );
        let daemon = Setup::new(&stage).config(&stage, &text).start();
        let scene = Self { daemon, server, stage };
        // The first mount of a kernel that has just booted takes its time.
        poll::holds("the pool is there", BACK * 2, || scene.is_ready());
        scene
    }

    fn plugin(&self) -> Plugin {
        self.daemon.plugin()
    }

    fn control(&self) -> Control {
        self.daemon.control()
    }

    /// A volume on the server.
    #[track_caller]
    fn volume(&self, name: &str) {
        self.plugin().create(name, &json!({"pool": "nas"})).expect("made");
    }

    /// The pool on the server, as `pool inspect` shows it.
    #[track_caller]
    fn pool(&self) -> Value {
        self.control().ok("GET", "/v1/pools/nas", None)
    }

    /// Nobody asks for anything but for the state, and the pool is used again.
    #[track_caller]
    fn is_back(&self) {
        poll::holds("the pool is used again", BACK, || self.is_ready());
    }

    /// From memory alone.
    fn is_ready(&self) -> bool {
        self.metric("berth_pool_ready{pool=\"nas\"}") == 1
    }

    /// A number that the daemon exposes.
    #[track_caller]
    fn metric(&self, name: &str) -> u64 {
        let socket = &self.daemon.setup.control_socket;
        let reply = support::http::request(socket, "GET", "/metrics", b"").expect("an answer");
        let text = reply.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim().parse().expect("a number")
    }

    /// An error that names the server, and since when.
    #[track_caller]
    fn tells(&self, error: &str) {
        let server = self.server.address().v4.to_string();
        for word in [server.as_str(), "has not answered for"] {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }

    /// Threads and children of the daemon.
    fn load(&self) -> (usize, usize) {
        let pid = self.daemon.pid();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
        let tasks: Vec<_> = tasks.map(|task| task.path()).collect();
        let children =
            tasks.iter().filter_map(|task| fs::read_to_string(task.join("children")).ok());
        let children = children.map(|list| list.split_whitespace().count()).sum();
        (tasks.len(), children)
    }

    /// How long a Mount in the other pool takes, in the middle of several.
    #[track_caller]
    fn mount_elsewhere(&self) -> Duration {
        let plugin = self.plugin();
        let mut times: Vec<_> = (0..5)
            .map(|number| {
                let id = format!("elsewhere-{number}");
                let begun = Instant::now();
                plugin.mount("web", &id).expect("mounted");
                let took = begun.elapsed();
                plugin.unmount("web", &id).expect("unmounted");
                took
            })
            .collect();
        times.sort();
        times[2]
    }
}

/// A figure, for whoever runs this by hand.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What `call` answers, and how long it took.
fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let answer = call();
    (answer, begun.elapsed())
}

/// What `call` answers, which must not take long.
#[track_caller]
fn at_once<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let (answer, took) = timed(call);
    assert!(took < AT_ONCE, "{what} took {took:?}");
    answer
}

/// The error of a call that must be answered in time.
#[track_caller]
fn refused<T: std::fmt::Debug>(what: &str, call: impl FnOnce() -> Result<T, String>) -> String {
    let (answer, took) = timed(call);
    assert!(took < ANSWERED, "{what} took {took:?}");
    tell(&format!("{what}: {took:?}"));
    answer.expect_err(what)
}
