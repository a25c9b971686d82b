//! Snapshots, clones and rollbacks beside each other and beside everything else:
//! who waits, who is refused, and what a cancelled one leaves.

mod support;

use std::{collections::BTreeSet, fs, thread};

use serde_json::{Value, json};
use support::{
    content,
    copies::Copies,
    poll::{self, SOON},
};

#[test]
fn a_cancelled_snapshot_leaves_nothing() {
    let (ground, pause) = Copies::paused(1);
    let job = ground.begin_snapshot("v", "s").expect("it begins");
    pause.reached();
    assert!(ground.snapshots("v").is_empty(), "half a snapshot is listed");
    ground.cancel(&job);
    pause.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    assert!(ground.snapshots("v").is_empty());
    ground.assert_tidy();
    ground.done(ground.begin_snapshot("v", "s"));
}

#[test]
fn a_cancelled_rollback_leaves_the_content_as_it_was() {
    let (ground, pause) = Copies::paused(2);
    ground.done(ground.begin_snapshot("v", "s"));
    ground.write("v", "two");
    let job = ground.begin_rollback("v", "s").expect("it begins");
    pause.reached();
    ground.cancel(&job);
    pause.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    assert_eq!(ground.files("v"), names(["one", "two"]));
    assert_eq!(ground.snapshots("v"), ["s"]);
    ground.assert_tidy();
    ground.daemon.plugin().mount("v", "c").expect("the volume is sound");
    ground.daemon.plugin().unmount("v", "c").expect("it always is");
}

/// However large the copy had become, and slow its deletion is.
#[test]
fn a_cancelled_rollback_does_not_hold_up_its_volume() {
    let (ground, [copy, deletion]) =
        Copies::paused_at([("copy.file", 2), ("beneath.remove-directory", 1)]);
    ground.done(ground.begin_snapshot("v", "s"));
    let job = ground.begin_rollback("v", "s").expect("it begins");
    copy.reached();
    ground.cancel(&job);
    copy.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    deletion.reached();
    let plugin = ground.daemon.plugin();
    plugin.mount("v", "c").expect("the volume is as it was");
    plugin.unmount("v", "c").expect("it always is");
    deletion.release();
    ground.assert_tidy();
}

#[test]
fn a_cancelled_clone_leaves_nothing() {
    let (ground, pause) = Copies::paused(1);
    ground.create("w", &json!({"from": "v"})).expect_err("its time is over, and it goes on");
    pause.reached();
    let job = running(&ground, "create");
    ground.cancel(&job);
    pause.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    poll::holds("there is no volume", SOON, || ground.daemon.plugin().get("w").is_err());
    ground.assert_tidy();
    ground.create("w", &json!({"from": "v"})).expect("the name is free");
    assert_eq!(ground.files("w"), names(["one"]));
}

/// Success was answered, so the volume stays, and says what became of it.
#[test]
fn a_clone_cancelled_after_its_answer_is_faulty_until_it_is_removed() {
    let (mut ground, pause) = Copies::paused(1);
    ground.daemon.setup = ground.daemon.setup.clone().env("BERTH_TEST_DEADLINE_SECONDS", "7");
    ground.daemon.restart();
    ground.create("w", &json!({"from": "v"})).expect("accepted after 5 s");
    let plugin = ground.daemon.plugin();
    let text = plugin.mount("w", "c").expect_err("it has no content yet");
    assert!(text.contains("copied from `v`"), "{text}");
    let job = running(&ground, "create");
    ground.cancel(&job);
    pause.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    plugin.get("w").expect("Docker was told that it exists");
    let text = plugin.mount("w", "c").expect_err("it has no content");
    assert!(text.contains("cancelled"), "{text}");
    plugin.remove("w").expect("that clears it");
    ground.assert_tidy();
}

#[test]
fn a_removal_cancels_the_snapshot_under_way() {
    let (ground, pause) = Copies::paused(1);
    let job = ground.begin_snapshot("v", "s").expect("it begins");
    pause.reached();
    let plugin = ground.daemon.plugin();
    let text = plugin.remove("v").expect_err("the copy does not end while it is paused");
    assert!(text.contains("being copied"), "{text}");
    plugin.get("v").expect("a refused Remove changes nothing");
    pause.release();
    assert_eq!(ground.end(&job)["state"], "cancelled");
    plugin.remove("v").expect("nobody uses it");
    ground.assert_tidy();
}

#[test]
fn a_clone_under_way_keeps_its_origin() {
    let (ground, pause) = Copies::paused(2);
    ground.done(ground.begin_snapshot("v", "s"));
    ground.create("w", &json!({"from": "v@s"})).expect_err("its time is over, and it goes on");
    pause.reached();
    let plugin = ground.daemon.plugin();
    let text = plugin.remove("v").expect_err("it is being copied");
    assert!(text.contains("being copied"), "{text}");
    refused(ground.remove_snapshot("v", "s"), "busy: a clone of `v@s`");
    refused(ground.begin_rollback("v", "s"), "busy: the content of volume `v` is being copied");
    pause.release();
    poll::holds("the clone is made", SOON, || ground.create("w", &json!({"from": "v@s"})).is_ok());
    ground.remove_snapshot("v", "s").expect("no clone is being made any more");
    plugin.remove("v").expect("no clone is being made any more");
    assert_eq!(ground.files("w"), names(["one"]));
    ground.assert_tidy();
}

#[test]
fn a_snapshot_under_way_keeps_the_content_and_lets_containers_start() {
    let (ground, pause) = Copies::paused(2);
    ground.done(ground.begin_snapshot("v", "s"));
    let job = ground.begin_snapshot("v", "t");
    pause.reached();
    refused(ground.begin_rollback("v", "s"), "busy: the content of volume `v` is being copied");
    refused(ground.begin_snapshot("v", "t"), "conflict: snapshot `v@t` exists");
    let plugin = ground.daemon.plugin();
    plugin.mount("v", "c").expect("a snapshot does not hold up a container");
    plugin.unmount("v", "c").expect("it always is");
    pause.release();
    ground.done(job);
    assert_eq!(ground.snapshots("v"), ["s", "t"]);
    ground.done(ground.begin_rollback("v", "t"));
}

#[test]
fn a_mounted_volume_is_not_rolled_back() {
    let ground = Copies::new();
    ground.done(ground.begin_snapshot("v", "s"));
    ground.write("v", "two");
    ground.daemon.plugin().mount("v", "c").expect("a sound volume");
    refused(ground.begin_rollback("v", "s"), "busy: volume `v` is in use");
    assert_eq!(ground.files("v"), names(["one", "two"]));
    ground.daemon.plugin().unmount("v", "c").expect("it always is");
    ground.done(ground.begin_rollback("v", "s"));
    assert_eq!(ground.files("v"), names(["one"]));
}

#[test]
fn who_needs_a_volume_that_is_rolled_back_is_told_in_time() {
    let (ground, pause) = Copies::paused(2);
    ground.done(ground.begin_snapshot("v", "s"));
    let job = ground.begin_rollback("v", "s");
    pause.reached();
    let plugin = ground.daemon.plugin();
    // These look at nothing that is being worked on.
    plugin.get("v").expect("Get never waits");
    assert_eq!(plugin.list().len(), 1, "List never waits");
    assert_eq!(ground.snapshots("v"), ["s"], "nor does the list of snapshots");
    // These wait for it, for a second.
    let text = plugin.mount("v", "c").expect_err("its content is being exchanged");
    assert!(text.contains("rolled back to `s`"), "{text}");
    refused(ground.begin_rollback("v", "s"), "unavailable: volume `v`: it is still ready");
    refused(ground.remove_snapshot("v", "s"), "unavailable: volume `v`: it is still ready");
    pause.release();
    ground.done(job);
    plugin.mount("v", "c").expect("it is over");
    plugin.unmount("v", "c").expect("it always is");
}

#[test]
fn rollbacks_at_the_same_time_follow_each_other() {
    let ground = Copies::new();
    ground.done(ground.begin_snapshot("v", "s"));
    ground.write("v", "two");
    ground.done(ground.begin_snapshot("v", "t"));
    thread::scope(|scope| {
        for name in ["s", "t"] {
            let ground = &ground;
            scope.spawn(move || ground.done(ground.begin_rollback("v", name)));
        }
    });
    let snapshots = ground.snapshots("v");
    assert_eq!(snapshots.len(), 4, "{snapshots:?}");
    assert_eq!(snapshots.iter().collect::<BTreeSet<_>>().len(), 4, "{snapshots:?}");
    ground.assert_tidy();
}

#[test]
fn of_snapshots_with_one_name_one_is_taken() {
    let ground = Copies::new();
    let ends: Vec<Value> = thread::scope(|scope| {
        let take = || match ground.begin_snapshot("v", "s") {
            Ok(job) => ground.end(&job),
            Err(text) => json!({"state": "failed", "error-kind": text.split(':').next()}),
        };
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
    });
    let (done, failed): (Vec<_>, Vec<_>) = ends.iter().partition(|end| end["state"] == "done");
    assert_eq!(done.len(), 1, "{ends:?}");
    assert!(failed.iter().all(|end| end["error-kind"] == "conflict"), "{failed:?}");
    assert_eq!(ground.snapshots("v"), ["s"]);
    ground.assert_tidy();
}

#[test]
fn fifty_snapshots_at_once_are_all_taken() {
    let ground = Copies::new();
    let expected: BTreeSet<String> = (0..50).map(|n| format!("s{n}")).collect();
    let jobs: Vec<_> = expected.iter().map(|name| ground.begin_snapshot("v", name)).collect();
    for job in jobs {
        ground.done(job);
    }
    assert_eq!(ground.snapshots("v").into_iter().collect::<BTreeSet<_>>(), expected);
    for entry in fs::read_dir(ground.folder("v").join("snapshots")).expect("it is there").flatten()
    {
        let found: BTreeSet<_> = content::files(&entry.path().join("data")).into_keys().collect();
        assert_eq!(found, names(["one"]));
    }
    ground.assert_tidy();
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, String>, expected: &str) {
    let text = answer.expect_err("it must be refused");
    assert!(text.starts_with(expected), "{text}, not {expected}");
}

/// The job of this kind that is at work.
#[track_caller]
fn running(ground: &Copies, kind: &str) -> String {
    poll::until("a job is at work", SOON, || {
        let jobs = ground.daemon.control().ok("GET", "/v1/jobs", None);
        let jobs = jobs.as_array().expect("an array");
        let job = jobs.iter().find(|job| job["kind"] == kind && job["state"] == "running")?;
        Some(job["id"].as_str().expect("jobs have ids").to_owned())
    })
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(ToOwned::to_owned).into()
}
