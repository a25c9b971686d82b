//! Pools that wait, hang, fail and lie: one clear answer in time, nothing lost,
//! and nobody else notices.
//!
//! Beside the default pool stands `slow`, a fake that does what the file beside
//! it says.

#[path = "../support/mod.rs"]
mod support;

mod creates;
mod liars;
mod mounts;
mod stuck;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::{Control, Plugin},
    daemon::{Daemon, Setup},
    poll::{self, SOON},
    stage::Stage,
};

/// Nothing that is answered at once takes longer, on a machine that does other
/// things too.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A daemon with both pools. Fields go in this order: the stage last.
struct Scene {
    daemon: Daemon,
    stage: Stage,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// With these environment variables.
    fn with(name: &str, env: &[(&str, &str)]) -> Self {
        Self::told(name, env, "")
    }

    /// With orders that hold from the start on.
    fn told(name: &str, env: &[(&str, &str)], orders: &str) -> Self {
        let stage = Stage::new(name);
        let [plain, slow] = ["plain", "slow"].map(|pool| stage.join(pool).display().to_string());
        let text = format!(
            "[pools.default]\nbackend = \"vfs\"\npath = \"{plain}\"\n\
             [pools.slow]\nbackend = \"fake\"\npath = \"{slow}\"\n"
        );
        stage.file("slow.fake", orders);
        let mut setup = Setup::new(&stage).config(&stage, &text);
        for (name, value) in env {
            setup = setup.env(name, *value);
        }
        Self { daemon: setup.start(), stage }
    }

    /// Gives the slow pool new orders; an empty text lets it work.
    fn tell(&self, orders: &str) {
        let new = self.stage.file("slow.fake.new", orders);
        fs::rename(new, self.stage.join("slow.fake")).expect("on our stage");
    }

    fn plugin(&self) -> Plugin {
        self.daemon.plugin()
    }

    fn control(&self) -> Control {
        self.daemon.control()
    }

    /// A volume in the slow pool, made.
    #[track_caller]
    fn volume(&self, name: &str) {
        self.plugin().create(name, &in_slow()).expect("made");
    }

    #[track_caller]
    fn state(&self, name: &str) -> String {
        self.control().volume(name)["state"].as_str().expect("a text").to_owned()
    }

    #[track_caller]
    fn becomes(&self, name: &str, state: &str) {
        let what = format!("state of `{name}`");
        poll::equal(&what, SOON, &state.to_owned(), || self.state(name));
    }

    /// Jobs of this kind on this volume.
    #[track_caller]
    fn jobs(&self, kind: &str, volume: &str) -> Vec<Value> {
        let jobs = self.control().ok("GET", "/v1/jobs", None);
        let jobs = jobs.as_array().expect("an array").iter();
        jobs.filter(|job| job["kind"] == kind && job["volume"] == volume).cloned().collect()
    }

    /// What lies in the slow pool: live volumes, then the trash.
    #[track_caller]
    fn content(&self) -> (usize, usize) {
        let entries = |path: PathBuf| fs::read_dir(path).map_or(0, Iterator::count);
        let pool = self.stage.join("slow");
        (entries(pool.join("volumes")), entries(pool.join(".berth/trash")))
    }

    /// Waits until nothing of any volume is left in the slow pool.
    #[track_caller]
    fn empties(&self) {
        poll::equal("what lies in the slow pool", SOON, &(0, 0), || self.content());
    }

    /// Docker is told that there is no such volume.
    #[track_caller]
    fn gone(&self, name: &str) {
        let error = self.plugin().get(name).expect_err("it is gone");
        assert!(error.contains("no such volume"), "{error}");
        let listed = self.plugin().list();
        assert!(listed.iter().all(|volume| volume["Name"] != name), "{listed:?}");
    }

    /// The mounts of a volume, as the daemon sees them.
    fn mounts_of(&self, name: &str) -> usize {
        let point = self.daemon.setup.root.join("mounts").join(name);
        self.daemon.mounts().iter().filter(|mount| mount.point == point).count()
    }

    #[track_caller]
    fn unmounts(&self, name: &str) {
        poll::equal(&format!("mounts of `{name}`"), SOON, &0, || self.mounts_of(name));
    }
}

/// Options of a volume in the slow pool.
fn in_slow() -> Value {
    json!({"pool": "slow"})
}

/// What `call` answers, which must not take long.
#[track_caller]
fn at_once<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let answer = call();
    let took = begun.elapsed();
    assert!(took < AT_ONCE, "{what} took {took:?}");
    answer
}

/// The error has these words.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, String>, words: &[&str]) {
    let error = answer.expect_err("refused");
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}
