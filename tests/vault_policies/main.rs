//! Policies by the built binary, on a clock that a test moves: days go by in moments.

mod by_hand;
mod calendar;
mod crashes;
mod failures;
mod hosts;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::PathBuf};

use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use support::{
    daemon::{Daemon, Setup},
    poll::{self, SOON},
    stage::Stage,
};

/// When the clocks of these tests begin.
const BEGIN: &str = "2026-03-02T00:10:00Z";

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn new(stage: &Stage) -> Self {
        let clock = Self { file: stage.join("clock") };
        clock.set(BEGIN);
        clock
    }

    fn set(&self, time: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, time).expect("ours");
        fs::rename(&next, &self.file).expect("ours");
    }

    fn now(&self) -> Timestamp {
        fs::read_to_string(&self.file).expect("ours").parse().expect("a time")
    }

    fn minutes(&self, minutes: i64) {
        self.set(&(self.now() + minutes.minutes()).to_string());
    }
}

/// A daemon with policies, and its clock.
struct House {
    daemon: Daemon,
    clock: Clock,
    _stage: Stage,
}

impl House {
    /// With these sections in its configuration.
    #[track_caller]
    fn new(policies: &str) -> Self {
        Self::with(policies, |setup, _| setup)
    }

    #[track_caller]
    fn with(policies: &str, change: impl FnOnce(Setup, &Stage) -> Setup) -> Self {
        support::namespace::apart();
        let stage = Stage::new("policies");
        let clock = Clock::new(&stage);
        let setup = Setup::new(&stage).config(&stage, policies).env("TZ", "UTC");
        let setup = setup.env("BERTH_TEST_CLOCK", clock.file.display().to_string());
        let daemon = change(setup, &stage).start();
        Self { daemon, clock, _stage: stage }
    }

    /// What a command that must succeed prints.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.daemon.ok(words)
    }

    /// The JSON of a command that must succeed.
    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["--json"]].concat())).expect("JSON on stdout")
    }

    /// A volume with these policies and a file in it.
    #[track_caller]
    fn volume(&self, name: &str, policy: &str) {
        self.ok(&["volume", "create", name, "-o", &format!("policy={policy}")]);
        fs::write(self.daemon.data(name).join("file"), name).expect("a file in the volume");
        self.settled();
    }

    /// All that policies do to volumes.
    #[track_caller]
    fn tasks(&self) -> Vec<Value> {
        let policies = self.json(&["policy", "inspect"]);
        let policies = policies.as_array().expect("a list").clone();
        let of = |policy: Value| policy["tasks"].as_array().cloned().unwrap_or_default();
        policies.into_iter().flat_map(of).collect()
    }

    /// What a policy of that kind does to a volume.
    #[track_caller]
    fn task(&self, volume: &str, kind: &str) -> Value {
        let mut tasks = self.tasks().into_iter();
        let found = tasks.find(|task| task["volume"] == volume && task["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} of {volume}"))
    }

    /// Waits until nothing is at work or due, at the time that it is.
    #[track_caller]
    fn settled(&self) {
        let now = self.clock.now();
        let idle = |task: &Value| {
            let later = |key: &str| {
                task[key]
                    .as_str()
                    .is_none_or(|time| time.parse::<Timestamp>().expect("a time") > now)
            };
            let state = &task["state"];
            state == "skipped"
                || (task["since"].is_string()
                    && state != "running"
                    && later("next")
                    && later("removal-next"))
        };
        poll::holds("all that is due is done", SOON, || self.tasks().iter().all(idle));
    }

    /// Moves the clock, and waits until all that is due by then is done.
    #[track_caller]
    fn at(&self, time: &str) {
        self.clock.set(time);
        self.settled();
    }

    /// Names of the snapshots of a volume, sorted.
    #[track_caller]
    fn snapshots(&self, volume: &str) -> Vec<String> {
        let all = self.json(&["snapshot", "ls", volume]);
        let name = |one: &Value| one["name"].as_str().expect("a name").to_owned();
        let mut names: Vec<_> = all.as_array().expect("a list").iter().map(name).collect();
        names.sort();
        names
    }

    /// When the content of the backups of a volume was so, sorted.
    #[track_caller]
    fn backups(&self, volume: &str) -> Vec<String> {
        let all = self.json(&["backup", "ls", volume]);
        let time = |one: &Value| one["created"].as_str().expect("a time").to_owned();
        let mut times: Vec<_> = all.as_array().expect("a list").iter().map(time).collect();
        times.sort();
        times
    }

    /// What doctor says of policies: severity and message, a pair each.
    #[track_caller]
    fn doctor(&self) -> Vec<(String, String)> {
        let output = self.daemon.berth(&["doctor", "--json"]);
        let all: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let findings = all["findings"].as_array().expect("a list").iter();
        let of = |finding: &&Value| {
            let subject = finding["subject"].as_str().expect("a text");
            subject.starts_with("policy ") || subject.starts_with("volume ")
        };
        findings.filter(of).map(|one| (text(&one["severity"]), text(&one["message"]))).collect()
    }

    /// How many jobs of a kind there were.
    #[track_caller]
    fn jobs(&self, kind: &str) -> usize {
        let jobs = self.json(&["job", "ls"]);
        jobs.as_array().expect("a list").iter().filter(|job| job["kind"] == kind).count()
    }
}

/// Expected names, from texts of one line.
fn list(text: &str) -> Vec<String> {
    let mut names: Vec<_> = text.split_whitespace().map(ToOwned::to_owned).collect();
    names.sort();
    names
}
