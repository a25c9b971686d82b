//! Packets are dropped: nobody says that the server is away.

use std::{thread, time::Duration};

use serde_json::json;

use crate::{
    ANSWERED, AT_ONCE, BACK, Scene, at_once, refused,
    support::poll::{self, SOON},
    tell, timed,
    writer::Writer,
};

/// Mounts at once, many more than a pool has threads.
const MANY: usize = 200;

#[test]
fn a_dropped_server_hurts_only_its_own_volumes_and_is_used_again_by_itself() {
    let scene = Scene::new("nfs-dropped");
    let plugin = scene.plugin();
    for name in ["db", "idle", "more"] {
        scene.volume(name);
    }
    plugin.create("web", &json!({})).expect("made");
    let point = plugin.mount("db", "container").expect("mounted");
    let writer = Writer::start(&point, scene.stage.join("acknowledged"));
    plugin.mount("idle", "one").expect("mounted");
    writer.goes_on(SOON);
    let before = scene.mount_elsewhere();
    let load = scene.load();

    // Nobody has asked the server for a second: then no call goes out unlooked.
    let lines = writer.acknowledged();
    poll::holds("a while", SOON, || writer.acknowledged() > lines + 12);
    scene.server.drop_packets();
    let slowest = many(&scene);
    tell(&format!("{MANY} Mounts: the slowest took {slowest:?}"));
    let stuck = scene.metric("berth_pool_stuck_calls{pool=\"nas\"}");
    assert!(stuck <= 2, "the kernel keeps {stuck} calls");
    let error = refused("a later Mount", || plugin.mount("more", "later"));
    scene.tells(&error);
    let error = refused("Create", || plugin.create("new", &json!({"pool": "nas"})));
    scene.tells(&error);
    // Not the first: that one may find out.
    let _ = plugin.get("missing");
    let rounds = if std::env::var_os("BERTH_LONG").is_some() { 1000 } else { 50 };
    let mut took = [const { Vec::new() }; 4];
    for number in 0..rounds {
        let (volume, get) = timed(|| plugin.get("db"));
        assert_eq!(volume.expect("it is there")["Name"], "db");
        let (missed, miss) = timed(|| plugin.get(&format!("missing-{number}")));
        missed.expect_err("nobody's");
        let (listed, list) = timed(|| plugin.list());
        assert_eq!(listed.len(), 4);
        let (path, found) = timed(|| plugin.path("db"));
        assert_eq!(path.expect("it is mounted"), point);
        took.iter_mut().zip([get, miss, list, found]).for_each(|(all, one)| all.push(one));
    }
    for (call, mut took) in ["Get", "a miss", "List", "Path"].into_iter().zip(took) {
        took.sort();
        let (p50, p99) = (took[rounds / 2], took[rounds * 99 / 100]);
        tell(&format!("{call}: median {p50:?}, p99 {p99:?} of {rounds}"));
        assert!(p99 < AT_ONCE, "{call} took {p99:?}");
    }
    at_once("Unmount", || plugin.unmount("idle", "one")).expect("answered");
    at_once("Create elsewhere", || plugin.create("other", &json!({}))).expect("made");
    at_once("Remove elsewhere", || plugin.remove("other")).expect("removed");
    assert_eq!(scene.pool()["state"], "unavailable");
    assert!(scene.metric("berth_pool_silent_seconds{pool=\"nas\"}") > 0);
    let stopped = writer.acknowledged();

    let after = scene.mount_elsewhere();
    tell(&format!("a Mount elsewhere: {before:?} before, {after:?} after"));
    assert!(after < before * 5 + Duration::from_millis(100), "{before:?} became {after:?}");
    poll::holds("the idle volume is unmounted", SOON, || {
        let point = scene.daemon.setup.root.join("mounts/idle");
        scene.daemon.mounts().iter().all(|mount| mount.point != point)
    });

    assert!(writer.acknowledged() <= stopped + 1, "it did not wait");
    scene.server.pass_packets();
    let ((), took) = timed(|| scene.is_back());
    tell(&format!("back after {took:?}"));
    writer.goes_on(BACK);
    plugin.mount("more", "again").expect("mounted");
    plugin.mount("idle", "again").expect("mounted");
    plugin.create("new", &json!({"pool": "nas"})).expect("made");
    writer.has_lost_nothing(&point.join("lines"));
    poll::holds("threads and programs end", SOON, || {
        let now = scene.load();
        now.0 <= load.0 + 4 && now.1 <= load.1
    });
    assert_eq!(scene.metric("berth_undying_programs"), 0);
}

/// The slowest of many Mounts, each of which is refused in time.
fn many(scene: &Scene) -> Duration {
    thread::scope(|scope| {
        let calls: Vec<_> = (0..MANY)
            .map(|number| {
                let plugin = scene.plugin();
                scope.spawn(move || timed(|| plugin.mount("more", &format!("id-{number}"))))
            })
            .collect();
        let answers = calls.into_iter().map(|call| call.join().expect("an answer"));
        answers
            .map(|(answer, took)| {
                scene.tells(&answer.expect_err("nobody is there"));
                assert!(took < ANSWERED, "a Mount took {took:?}");
                took
            })
            .max()
            .expect("many")
    })
}

/// Also the one that was on its way when the server went.
#[test]
fn the_stop_does_not_wait_for_a_dropped_server() {
    let mut scene = Scene::new("nfs-stop");
    let plugin = scene.plugin();
    for number in 0..20 {
        scene.volume(&format!("db-{number}"));
    }
    let held = plugin.mount("db-0", "container").expect("mounted");
    scene.server.drop_packets();
    let calls: Vec<_> = (1..20)
        .map(|number| {
            let body = json!({"Name": format!("db-{number}"), "ID": "one"}).to_string();
            let plugin = scene.plugin();
            thread::spawn(move || plugin.raw("VolumeDriver.Mount", body.as_bytes()))
        })
        .collect();
    plugin.unmount("db-0", "container").expect("answered");
    let (status, took) = timed(|| scene.daemon.stop());
    tell(&format!("the stop took {took:?}"));
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    for call in calls {
        if let Ok(reply) = call.join().expect("an end") {
            assert_ne!(reply.json()["Err"].as_str().unwrap_or_default(), "", "{}", reply.text());
        }
    }
    scene.server.pass_packets();
    scene.daemon.restart();
    scene.is_back();
    assert_eq!(plugin.mount("db-0", "again").expect("mounted"), held);
}
