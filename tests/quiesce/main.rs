//! `berth snapshot create --quiesce`: applications are brought to rest by the
//! commands of a hook, and go on whatever happens.

mod commands;
mod interrupted;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::Value;
use support::{
    daemon::{Daemon, Setup},
    poll::{self, SOON},
    stage::Stage,
};

/// A daemon with one mounted volume `db`, and the hook `app`.
struct Scene {
    daemon: Daemon,
    stage: Stage,
}

/// Says what happens, and what state the data is in meanwhile.
const APP: &str = "[hooks.app]\n\
    before = 'echo before >>STAGE/trace; echo resting >$BERTH_MOUNTPOINT/state'\n\
    after = 'echo after >>STAGE/trace; echo running >$BERTH_MOUNTPOINT/state'\n\
    timeout = '20s'\n";

impl Scene {
    fn new(config: &str) -> Self {
        Self::with(config, |_, setup| setup)
    }

    fn with(config: &str, change: impl Fn(&Stage, Setup) -> Setup) -> Self {
        let stage = Stage::new("quiesce");
        let config = config.replace("STAGE", stage.path().to_str().expect("ASCII"));
        let setup = change(&stage, Setup::new(&stage).config(&stage, &config));
        let scene = Self { daemon: setup.start(), stage };
        scene.ok(&["volume", "create", "db"]);
        let place = PathBuf::from(scene.ok(&["volume", "mount", "db"]));
        fs::write(place.join("state"), "running\n").expect("mounted");
        scene
    }

    /// With a failpoint at work.
    fn failing(config: &str, rule: &str) -> Self {
        Self::with(config, |stage, setup| {
            let rule = rule.replace("STAGE", stage.path().to_str().expect("ASCII"));
            setup.env("BERTH_FAILPOINTS", rule)
        })
    }

    fn snapshot(&self, name: &str) -> Output {
        self.daemon.berth(&["snapshot", "create", "db", name, "--quiesce", "app"])
    }

    /// Begins to take a snapshot; it may never be answered.
    fn begin(&self, name: &str) {
        let mut command = self.daemon.command(&["snapshot", "create", "db", name]);
        command.args(["--quiesce", "app", "--detach"]).stdout(Stdio::null());
        // It prints the job's id, or the daemon is gone by then.
        command.status().expect("the binary under test");
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let output = self.daemon.berth(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// What the hook's parts wrote down so far.
    fn trace(&self) -> String {
        fs::read_to_string(self.stage.join("trace")).unwrap_or_default()
    }

    #[track_caller]
    fn traced(&self, expected: &str) {
        poll::equal("the trace", SOON, &expected.to_owned(), || self.trace());
    }

    #[track_caller]
    fn reached(&self, file: &str) -> PathBuf {
        let path = self.stage.join(file);
        poll::holds("it comes there", SOON, || path.exists());
        path
    }

    fn snapshots(&self) -> Vec<Value> {
        serde_json::from_str(&self.ok(&["snapshot", "ls", "--json"])).expect("JSON")
    }

    fn findings(&self) -> String {
        said(&self.daemon.berth(&["doctor"]))
    }

    /// Kills the daemon and starts it without failpoints.
    fn revive(&mut self) {
        self.daemon.kill();
        self.daemon.setup.env.retain(|(name, _)| name != "BERTH_FAILPOINTS");
        self.daemon.restart();
    }
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).expect("UTF-8")
}

fn is_alive(process: &Path) -> bool {
    let number = fs::read_to_string(process).expect("it was written");
    let stat = fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
