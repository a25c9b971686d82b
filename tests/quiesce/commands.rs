//! What commands are told, what they say, and how they fail.

use std::fs;

use serde_json::Value;

use crate::{
    APP, Scene, is_alive, said,
    support::poll::{self, SOON},
};

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
