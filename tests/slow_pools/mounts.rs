//! Mounts that take long or fail, and unmounts of pools that hang.

use std::thread;

use serde_json::json;

use crate::{
    Scene, at_once, refused,
    support::poll::{self, SOON},
};

const SHORT: (&str, &str) = ("BERTH_TEST_DEADLINE_SECONDS", "1");

#[test]
fn identical_mounts_join_and_each_answer_counts_once() {
    let scene = Scene::new("join");
    let plugin = scene.plugin();
    scene.volume("db");
    scene.tell("attach=pending");
    let points = thread::scope(|scope| {
        let calls = ["one", "one", "two"].map(|id| {
            let plugin = scene.plugin();
            scope.spawn(move || plugin.mount("db", id))
        });
        poll::holds("a job waits", SOON, || {
            scene.jobs("mount", "db").iter().any(|job| job["state"] == "running")
        });
        assert_eq!(scene.control().references("db"), 0, "nothing was answered yet");
        scene.tell("");
        calls.map(|call| call.join().expect("an answer").expect("mounted"))
    });
    assert!(points.iter().all(|point| *point == points[0]), "{points:?}");
    assert_eq!(scene.jobs("mount", "db").len(), 1, "one attached for all");
    assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (3, 1));
    for (id, left) in [("one", 2), ("two", 1), ("one", 0)] {
        plugin.unmount("db", id).expect("unmounted");
        assert_eq!(scene.control().references("db"), left);
    }
    scene.unmounts("db");
}

#[test]
fn a_mount_that_ran_out_of_time_is_not_counted_and_goes_on() {
    let scene = Scene::with("late", &[SHORT]);
    let plugin = scene.plugin();
    scene.volume("db");
    scene.tell("attach=pending");
    for _ in 0..2 {
        refused(plugin.mount("db", "one"), &["db", "waiting"]);
    }
    assert_eq!(scene.jobs("mount", "db").len(), 1, "the second joined the first");
    scene.tell("");
    poll::equal("it was mounted all the same", SOON, &1, || scene.mounts_of("db"));
    assert_eq!(scene.control().references("db"), 0);
    at_once("the retry", || plugin.mount("db", "one")).expect("it waited for this");
    assert_eq!(scene.control().references("db"), 1);
    plugin.unmount("db", "one").expect("unmounted");
    scene.unmounts("db");
}

#[test]
fn a_mount_that_fails_counts_nothing() {
    let scene = Scene::new("mount-fails");
    let plugin = scene.plugin();
    scene.volume("db");
    for order in [
        "attach=error:unavailable",
        "attach=error:corrupt",
        "attach=error:not-found",
        "attach=fail-after",
    ] {
        scene.tell(order);
        refused(plugin.mount("db", "one"), &["db"]);
        assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (0, 0), "{order}");
        assert_eq!(scene.state("db"), "ready", "{order}");
    }
    scene.tell("");
    plugin.mount("db", "one").expect("it was the pool's fault");
}

#[test]
fn a_pool_that_hangs_at_detach_keeps_no_other_volume_mounted() {
    let scene = Scene::new("detach");
    let plugin = scene.plugin();
    scene.volume("db");
    plugin.create("web", &json!({})).expect("made");
    for name in ["db", "web"] {
        plugin.mount(name, "one").expect("mounted");
    }
    scene.tell("detach=hang");
    at_once("Unmount", || plugin.unmount("db", "one")).expect("answered");
    // What has no reference is looked at from now on, `db` first.
    scene.unmounts("db");
    plugin.unmount("web", "one").expect("answered");
    scene.unmounts("web");
    scene.tell("");
    plugin.mount("db", "two").expect("mounted again");
    assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (1, 1));
}

#[test]
fn a_detach_that_fails_is_tried_again() {
    let scene = Scene::new("detach-fails");
    let plugin = scene.plugin();
    scene.volume("db");
    plugin.mount("db", "one").expect("mounted");
    scene.tell("detach=error:busy");
    plugin.unmount("db", "one").expect("Docker would not ask again");
    scene.unmounts("db");
    plugin.mount("db", "two").expect("mounted again");
    assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (1, 1));
    plugin.unmount("db", "two").expect("unmounted");
    scene.tell("");
    poll::equal("it is detached", SOON, &json!(false), || {
        scene.control().volume("db")["mounted"].clone()
    });
    plugin.remove("db").expect("removed");
}
