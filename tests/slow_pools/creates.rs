//! Creates that take long, fail, or come twice at once.

use std::thread;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    Scene, at_once, in_slow, refused,
    support::poll::{self, SOON},
};

const SHORT: (&str, &str) = ("BERTH_TEST_DEADLINE_SECONDS", "2");

#[test]
fn a_create_that_waits_is_answered_at_once_and_goes_on_as_a_job() {
    let scene = Scene::with("wait", &[SHORT]);
    let plugin = scene.plugin();
    scene.tell("create=pending");
    at_once("Create", || plugin.create("db", &in_slow())).expect("accepted");
    let view = scene.control().volume("db");
    assert_eq!(view["state"], "creating", "{view}");
    assert!(view["reason"].to_string().contains("waiting"), "{view}");
    let jobs = scene.jobs("create", "db");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(jobs[0]["state"], "running", "{jobs:?}");
    assert!(jobs[0]["waiting"].to_string().contains("waiting"), "{jobs:?}");
    // Docker asks again, and the same or another option is seen at once.
    assert_eq!(plugin.get("db").expect("it is there")["Status"]["state"], "creating");
    at_once("the same Create", || plugin.create("db", &in_slow())).expect("the same");
    refused(plugin.create("db", &json!({"pool": "slow", "uid": "7"})), &["other options", "uid"]);
    refused(plugin.mount("db", "one"), &["db", "waiting"]);
    assert_eq!(scene.control().references("db"), 0);
    scene.tell("");
    scene.becomes("db", "ready");
    poll::holds("the job is done", SOON, || scene.jobs("create", "db")[0]["state"] == "done");
    plugin.mount("db", "one").expect("made");
    assert_eq!(scene.control().references("db"), 1);
    plugin.unmount("db", "one").expect("unmounted");
}

#[test]
fn a_create_that_waits_a_little_is_simply_made() {
    let scene = Scene::new("little");
    scene.tell("create=pending:3");
    scene.volume("db");
    scene.plugin().mount("db", "one").expect("a Mount waits for the create");
    assert_eq!(scene.state("db"), "ready");
}

#[test]
fn an_accepted_create_goes_on_after_a_restart() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut scene = Scene::new("restart");
        scene.tell("create=pending");
        scene.plugin().create("db", &json!({"pool": "slow", "uid": "7"})).expect("accepted");
        for _ in 0..2 {
            scene.daemon.signal(signal);
            scene.daemon.wait(SOON);
            scene.daemon.restart();
            assert_eq!(scene.state("db"), "creating", "after {signal}");
            poll::holds("the job goes on", SOON, || {
                let jobs = scene.jobs("create", "db");
                jobs.len() == 1 && jobs[0]["state"] == "running"
            });
        }
        scene.tell("");
        scene.becomes("db", "ready");
        scene.plugin().mount("db", "one").expect("made");
        let view = scene.control().volume("db");
        assert_eq!((&view["options"]["uid"], &view["references"]), (&json!(7), &json!(1)));
        assert_eq!(scene.content(), (1, 0));
    }
}

#[test]
fn remove_cancels_a_create_that_waits() {
    let scene = Scene::new("cancel");
    let plugin = scene.plugin();
    scene.tell("create=pending");
    plugin.create("db", &in_slow()).expect("accepted");
    at_once("Remove", || plugin.remove("db")).expect("removed");
    scene.gone("db");
    let job = &scene.jobs("create", "db")[0];
    assert_eq!(job["state"], "cancelled", "{job}");
    scene.tell("");
    scene.empties();
    // The name is free, for other options too.
    plugin.create("db", &json!({"uid": "7"})).expect("made in the other pool");
    assert_eq!(scene.control().volume("db")["pool"], "default");
}

#[test]
fn a_create_that_fails_after_it_was_accepted_is_faulty() {
    let mut scene = Scene::new("faulty");
    let plugin = scene.plugin();
    scene.tell("create=pending");
    plugin.create("db", &in_slow()).expect("accepted");
    scene.tell("create=error:exhausted");
    scene.becomes("db", "faulty");
    for restarted in [false, true] {
        if restarted {
            scene.daemon.kill();
            scene.daemon.restart();
            // The outcome may not have been written yet: then it fails once more.
            scene.becomes("db", "faulty");
        }
        let status = plugin.get("db").expect("it is there")["Status"].clone();
        assert_eq!(status["state"], "faulty", "restarted: {restarted}");
        refused(plugin.mount("db", "one"), &["faulty", "told to fail `create`"]);
        refused(plugin.create("db", &in_slow()), &["faulty"]);
        assert_eq!(scene.control().references("db"), 0);
    }
    plugin.remove("db").expect("cleared");
    scene.gone("db");
    scene.tell("");
    scene.empties();
    plugin.create("db", &in_slow()).expect("made anew");
    assert_eq!(scene.state("db"), "ready");
}

#[test]
fn an_accepted_create_outlasts_a_pool_that_is_away() {
    let scene = Scene::new("away");
    scene.tell("create=pending");
    scene.plugin().create("db", &in_slow()).expect("accepted");
    scene.tell("create=error:unavailable");
    poll::holds("the job ends", SOON, || scene.jobs("create", "db")[0]["state"] == "failed");
    assert_eq!(scene.state("db"), "creating", "it is waited for");
    scene.tell("");
    scene.becomes("db", "ready");
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    let scene = Scene::new("fails");
    let plugin = scene.plugin();
    let orders = [
        "plan=error:unsupported",
        "create=error:exhausted",
        "create=error:unavailable",
        "create=error:internal",
        "create=error:conflict",
        "create=fail-after",
        "create=fail-after:unavailable",
    ];
    for order in orders {
        scene.tell(order);
        refused(plugin.create("db", &in_slow()), &["told to fail"]);
        scene.gone("db");
        assert_eq!(scene.content(), (0, 0), "{order}");
        assert!(scene.jobs("create", "db").is_empty(), "{order}");
    }
    scene.tell("");
    plugin.create("db", &json!({"pool": "slow", "uid": "7"})).expect("the name is free");
    assert_eq!(scene.content(), (1, 0));
}

#[test]
fn what_could_not_be_undone_is_undone_later() {
    let mut scene = Scene::new("undo");
    let plugin = scene.plugin();
    scene.tell("create=fail-after\npurge=error:unavailable");
    refused(plugin.create("db", &in_slow()), &["`create`", "`purge`"]);
    scene.gone("db");
    assert_eq!(scene.content(), (1, 0), "this case is about what is left");
    scene.tell("");
    plugin.create("db", &json!({"uid": "7"})).expect("the name is free");
    scene.daemon.kill();
    scene.daemon.restart();
    scene.empties();
    // The leftover had the same name.
    let view = scene.control().volume("db");
    assert_eq!((&view["pool"], &view["state"]), (&json!("default"), &json!("ready")));
    plugin.mount("db", "one").expect("it is whole");
}

#[test]
fn equal_creates_at_the_same_time_make_one_volume() {
    let scene = Scene::new("equal");
    for (name, order) in [("db", "create=delay:300"), ("web", "create=pending:10")] {
        scene.tell(order);
        thread::scope(|scope| {
            for _ in 0..8 {
                let plugin = scene.plugin();
                scope.spawn(move || plugin.create(name, &in_slow()).expect("made or joined"));
            }
        });
        scene.becomes(name, "ready");
    }
    assert_eq!(scene.plugin().list().len(), 2);
    assert_eq!(scene.content(), (2, 0));
}

#[test]
fn of_two_different_creates_at_the_same_time_one_is_refused() {
    let scene = Scene::new("differ");
    for order in ["create=delay:300", "create=pending:10"] {
        scene.tell(order);
        let answers = thread::scope(|scope| {
            let calls = ["7", "8"].map(|uid| {
                let plugin = scene.plugin();
                let options = json!({"pool": "slow", "uid": uid});
                scope.spawn(move || (uid, plugin.create("db", &options)))
            });
            calls.map(|call| call.join().expect("an answer"))
        });
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|(_, answer)| answer.is_ok());
        assert_eq!((made.len(), refused.len()), (1, 1), "{made:?} {refused:?}");
        let error = refused[0].1.as_ref().expect_err("partitioned");
        assert!(error.contains("other options"), "{error}");
        assert_eq!(scene.control().volume("db")["given"]["uid"], made[0].0);
        scene.becomes("db", "ready");
        scene.plugin().remove("db").expect("removed");
        scene.empties();
    }
}

#[test]
fn the_second_of_two_creates_does_not_share_the_failure_of_the_first() {
    let scene = Scene::new("second");
    scene.tell("create=delay:500");
    let (first, second) = thread::scope(|scope| {
        let plugin = scene.plugin();
        let first = scope.spawn(move || plugin.create("db", &json!({"pool": "nowhere"})));
        let plugin = scene.plugin();
        let second = scope.spawn(move || plugin.create("db", &in_slow()));
        (first.join().expect("an answer"), second.join().expect("an answer"))
    });
    refused(first, &["nowhere"]);
    second.expect("made");
    assert_eq!(scene.state("db"), "ready");
}

#[test]
fn a_create_that_hangs_is_accepted_and_recovered() {
    let mut scene = Scene::with("hang", &[("BERTH_TEST_DEADLINE_SECONDS", "12")]);
    scene.tell("create=hang");
    scene.plugin().create("db", &in_slow()).expect("accepted in time");
    assert_eq!(scene.state("db"), "creating");
    scene.daemon.kill();
    // It hangs again, and the start does not wait for it.
    at_once("the start", || scene.daemon.restart());
    assert_eq!(scene.state("db"), "creating");
    scene.plugin().create("web", &json!({})).expect("the other pool works");
    scene.tell("");
    scene.becomes("db", "ready");
}
