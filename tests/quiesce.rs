//! `berth snapshot create --quiesce`: applications are brought to rest by the
//! commands of a hook, and go on whatever happens.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use nix::sys::signal::Signal;
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

#[test]
fn before_comes_first_and_after_last() {
    let scene = Scene::new(APP);
    let output = scene.snapshot("one");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(scene.trace(), "before\nafter\n");
    let snapshot = &scene.snapshots()[0];
    assert_eq!(snapshot["name"], "db@one");
    // It is mounted, and yet nobody wrote: that is what the hook says.
    assert_eq!(snapshot["consistency"], "quiesced");
    let data = scene.daemon.data("db");
    let id = snapshot["id"].as_str().expect("an id");
    let taken = data.with_file_name("snapshots").join(id).join("data/state");
    assert_eq!(fs::read_to_string(taken).expect("copied"), "resting\n");
    assert_eq!(fs::read_to_string(data.join("state")).expect("there"), "running\n");
    let plain = scene.ok(&["snapshot", "create", "db", "two"]);
    assert_eq!(plain, "db@two");
    assert_ne!(scene.snapshots()[1]["consistency"], "quiesced");
}

#[test]
fn commands_are_told_what_it_is_about_and_nothing_else() {
    let scene = Scene::with(
        "[hooks.app]\nbefore = ['/bin/sh', '-c', 'env -0 >\"$1/env\"; pwd >\"$1/pwd\"; \
         cat >\"$1/input\"; ps -o pgid= -p $$ >\"$1/group\"; echo $$ >>\"$1/group\"', \
         'it', 'STAGE']\n",
        |_, setup| setup.env("BERTH_SECRET", "sesame").env("AWS_SECRET_ACCESS_KEY", "sesame"),
    );
    let output = scene.snapshot("one");
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| fs::read_to_string(scene.stage.join(name)).expect("written");
    let environment = read("env");
    let variables: Vec<_> = environment.split_terminator('\0').collect();
    let mountpoint = scene.daemon.setup.root.join("mounts/db");
    for expected in [
        "BERTH_VOLUME=db",
        "BERTH_POOL=default",
        "BERTH_SNAPSHOT=one",
        &format!("BERTH_MOUNTPOINT={}", mountpoint.display()),
        &format!("BERTH_SNAPSHOT_ID={}", scene.snapshots()[0]["id"].as_str().expect("an id")),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ] {
        assert!(variables.contains(&expected), "{expected} in {variables:?}");
    }
    // The shell itself adds these.
    let shell = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let others = variables.iter().filter(|text| !shell.iter().any(|own| text.starts_with(own)));
    assert_eq!(others.count(), 6, "{variables:?}");
    assert_eq!(read("pwd"), "/\n");
    assert_eq!(read("input"), "");
    let group = read("group");
    let numbers: Vec<_> = group.split_whitespace().collect();
    assert_eq!(numbers[0], numbers[1], "it leads a group of its own");
}

#[test]
fn without_before_there_is_no_snapshot_and_after_runs() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'echo before >>STAGE/trace; echo the disk says no >&2; exit 7'\n\
         after = 'echo after >>STAGE/trace'\n",
    );
    let output = scene.snapshot("one");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("hook `app`, before: "), "{text}");
    assert!(text.contains("exit status: 7: the disk says no"), "{text}");
    assert_eq!(scene.trace(), "before\nafter\n");
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
    assert!(!scene.findings().contains("hook"), "{}", scene.findings());
}

#[test]
fn both_errors_are_said() {
    let scene =
        Scene::new("[hooks.app]\nbefore = ['false']\nafter = ['/no/such/program', 'x y']\n");
    let output = scene.snapshot("one");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("hook `app`, before: `false` ended with exit status: 1"), "{text}");
    assert!(text.contains("(and hook `app`, after: run `/no/such/program x y`: "), "{text}");
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
}

#[test]
fn after_is_repeated_until_it_works() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'echo before >>STAGE/trace'\n\
         after = 'test -e STAGE/repaired || exit 3; echo after >>STAGE/trace'\n",
    );
    let output = scene.snapshot("one");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("snapshot `db@one` is taken: hook `app`, after: "), "{text}");
    assert_eq!(scene.snapshots()[0]["name"], "db@one", "it stays");
    assert_eq!(scene.snapshots()[0]["consistency"], "quiesced");
    let findings = scene.findings();
    assert!(findings.contains("hook `app`") && findings.contains("`db@one`"), "{findings}");
    // A second run would meet an application that still rests.
    let second = scene.snapshot("two");
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("still at rest for `db@one`"), "{}", said(&second));
    assert_eq!(scene.trace(), "before\n");

    fs::write(scene.stage.join("repaired"), "").expect("ours");
    scene.traced("before\nafter\n");
    poll::holds("doctor is content", SOON, || !scene.findings().contains("hook `app`"));
    let third = scene.snapshot("three");
    assert!(third.status.success(), "{}", said(&third));
    assert_eq!(scene.trace(), "before\nafter\nbefore\nafter\n");
}

#[test]
fn what_takes_too_long_is_killed_with_all_it_started() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'sleep 1000 & echo $! >STAGE/child; echo waiting; wait'\n\
         after = 'echo after >>STAGE/trace'\ntimeout = '1s'\n",
    );
    let output = scene.snapshot("one");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("took over 1 s and was killed: waiting"), "{}", said(&output));
    poll::holds("the child is gone", SOON, || !is_alive(&scene.stage.join("child")));
    assert_eq!(scene.trace(), "after\n");
}

#[test]
fn only_the_end_of_what_a_command_says_is_kept() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'yes nonsense | head -c 1000000; printf \"\\033[2Jthe end\\n\"; exit 1'\n",
    );
    let output = scene.daemon.berth(&["--json", "snapshot", "create", "db", "--quiesce", "app"]);
    let text = said(&output);
    assert!(text.contains("the end") && !text.contains('\u{1b}'), "{text}");
    assert!(text.len() < 8 << 10, "{} bytes", text.len());
}

#[test]
fn a_session_that_is_left_running_keeps_running() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'sleep 1000 >/dev/null 2>&1 & echo $! >STAGE/session'\n\
         after = 'kill $(cat STAGE/session) && echo after >>STAGE/trace'\n",
    );
    let output = scene.snapshot("one");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(scene.trace(), "after\n");
    poll::holds("after ended it", SOON, || !is_alive(&scene.stage.join("session")));
}

#[test]
fn after_runs_when_the_snapshot_fails() {
    let scene = Scene::failing(APP, "copy.file=error:28");
    let output = scene.snapshot("one");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(scene.trace(), "before\nafter\n");
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
}

#[test]
fn after_runs_when_the_job_is_cancelled() {
    let scene = Scene::new(
        "[hooks.app]\nbefore = 'echo before >>STAGE/trace; sleep 1000'\n\
         after = 'echo after >>STAGE/trace'\n",
    );
    let job = scene.ok(&["snapshot", "create", "db", "one", "--quiesce", "app", "--detach"]);
    scene.traced("before\n");
    scene.ok(&["job", "cancel", &job]);
    scene.traced("before\nafter\n");
    poll::equal("the job", SOON, &"cancelled".to_owned(), || {
        let view = scene.daemon.control().ok("GET", &format!("/v1/jobs/{job}"), None);
        view["state"].as_str().expect("a state").to_owned()
    });
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
}

/// The configuration is another one by then: what counts is what was written down.
#[test]
fn after_runs_when_the_daemon_was_killed_at_rest() {
    let mut scene = Scene::failing(APP, "copy.file=pause:STAGE/go");
    scene.begin("one");
    scene.reached("go.reached");
    assert_eq!(scene.trace(), "before\n");
    let config = scene.daemon.setup.config.clone().expect("it has one");
    let text = fs::read_to_string(&config).expect("ours");
    fs::write(&config, "").expect("ours");

    scene.revive();

    scene.traced("before\nafter\n");
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
    // Once it ran it is forgotten: the next run of the hook comes after all else.
    fs::write(&config, text).expect("ours");
    poll::holds("doctor is content", SOON, || !scene.findings().contains("hook `app`"));
    scene.daemon.stop();
    scene.revive();
    let output = scene.snapshot("two");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(scene.trace(), "before\nafter\nbefore\nafter\n");
}

#[test]
fn a_kill_at_any_step_leaves_nothing_at_rest() {
    for step in ["note", "before", "rests", "after", "forget"] {
        let mut scene = Scene::failing(APP, &format!("quiesce.{step}=kill"));
        scene.begin("one");
        scene.daemon.wait(SOON);
        let before = scene.trace();

        scene.revive();

        // The next run of the hook waits for what is left of this one.
        let output = scene.snapshot("two");
        assert!(output.status.success(), "{step}: {}", said(&output));
        let trace = scene.trace();
        let expected = match (step, before.as_str()) {
            // Nothing was said durably, so nothing had begun.
            ("note", "") => "before\nafter\n",
            ("before", "") => "after\nbefore\nafter\n",
            ("rests" | "after", "before\n") => "before\nafter\nbefore\nafter\n",
            // It ran, but that was not written: once more does no harm.
            ("forget", "before\nafter\n") => "before\nafter\nafter\nbefore\nafter\n",
            other => panic!("{other:?}"),
        };
        assert_eq!(trace, expected, "{step}");
    }
}

/// A before part that goes on would undo what the after part does.
#[test]
fn a_before_part_that_outlived_its_daemon_is_ended_first() {
    let mut scene = Scene::new(
        "[hooks.app]\nbefore = 'echo $$ >STAGE/leader; sleep 1000; echo before >>STAGE/trace'\n\
         after = '''grep -qs ') [^ZX] ' /proc/$(cat STAGE/leader)/stat && echo too early >>STAGE/trace; \
         echo after >>STAGE/trace'''\n",
    );
    scene.begin("one");
    let leader = scene.reached("leader");
    poll::holds("it wrote its number", SOON, || {
        fs::read_to_string(&leader).is_ok_and(|text| text.ends_with('\n'))
    });
    scene.daemon.kill();
    assert!(is_alive(&leader));

    scene.revive();

    scene.traced("after\n");
    assert!(!is_alive(&leader));
}

#[test]
fn a_daemon_that_is_stopped_lets_go_on_what_rests() {
    let mut scene = Scene::new(
        "[hooks.app]\nbefore = 'echo before >>STAGE/trace; sleep 1000'\n\
         after = 'echo after >>STAGE/trace'\n",
    );
    scene.begin("one");
    scene.traced("before\n");
    assert!(scene.daemon.stop().success());
    assert_eq!(scene.trace(), "before\nafter\n");
    scene.revive();
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
    assert_eq!(scene.trace(), "before\nafter\n");
}

#[test]
fn a_daemon_that_is_stopped_within_the_copy_lets_go_on_what_rests() {
    let mut scene = Scene::failing(APP, "copy.file=pause:STAGE/go");
    scene.begin("one");
    scene.reached("go.reached");
    scene.daemon.signal(Signal::SIGTERM);
    fs::write(scene.stage.join("go"), "").expect("ours");
    assert!(scene.daemon.wait(SOON).success());
    assert_eq!(scene.trace(), "before\nafter\n");
    scene.revive();
    // Whole or not at all.
    assert!(scene.snapshots().iter().all(|snapshot| snapshot["consistency"] == "quiesced"));
}

/// Two snapshots with one hook do not wake each other up.
#[test]
fn one_run_of_a_hook_at_a_time() {
    let scene = Scene::failing(APP, "copy.file=pause:STAGE/go@1");
    scene.ok(&["volume", "create", "other"]);
    scene.ok(&["volume", "mount", "other"]);
    scene.begin("one");
    scene.reached("go.reached");
    let job = scene.ok(&["snapshot", "create", "other", "x", "--quiesce", "app", "--detach"]);
    poll::holds("it waits", SOON, || {
        let view = scene.daemon.control().ok("GET", &format!("/v1/jobs/{job}"), None);
        view["waiting"].as_str().is_some_and(|text| text.contains("hook `app`"))
    });
    assert_eq!(scene.trace(), "before\n");
    fs::write(scene.stage.join("go"), "").expect("ours");
    scene.traced("before\nafter\nbefore\nafter\n");
    poll::equal("snapshots", SOON, &2, || scene.snapshots().len());
}

#[test]
fn unknown_and_hostile_names_are_refused() {
    let scene = Scene::new(APP);
    let refused = |hook: &str| {
        let output = scene.daemon.berth(&["snapshot", "create", "db", "--quiesce", hook]);
        (output.status.code(), said(&output))
    };
    let (code, text) = refused("ap");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no such hook: `ap`") && text.contains("did you mean `app`?"), "{text}");
    let (_, text) = refused("zzz");
    assert!(text.contains("there are: app, pause"), "{text}");
    let long = "h".repeat(3000);
    for hostile in ["../../app", "app; touch x", "$(touch x)", "a\nb", "\u{1b}[2J", &long] {
        let (code, text) = refused(hostile);
        assert_eq!(code, Some(3), "{text}");
        assert!(!text.contains('\u{1b}') && text.len() < 400, "{text:?}");
    }
    for hostile in ["$(touch x)", "a;b", "../x", "-x y"] {
        let words = ["snapshot", "create", "--quiesce", "app", "--", "db", hostile];
        let output = scene.daemon.berth(&words);
        assert_eq!(output.status.code(), Some(2), "{hostile}: {}", said(&output));
    }
    assert_eq!(scene.trace(), "");
}

#[test]
fn without_docker_there_is_no_pause() {
    let scene = Scene::new("docker-socket = 'STAGE/none.sock'\n");
    let output = scene.daemon.berth(&["snapshot", "create", "db", "--quiesce", "pause"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("hook `pause`, before: docker at `"), "{text}");
    assert!(text.contains("docker-socket = "), "{text}");
    assert_eq!(scene.snapshots(), Vec::<Value>::new());
    assert!(!scene.findings().contains("hook"), "{}", scene.findings());
}
