//! Snapshots that fail, are cancelled, or are cut short with their daemon.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    APP, Scene, is_alive, said,
    support::poll::{self, SOON},
};

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
