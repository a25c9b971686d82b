//! Pools that hang: they have threads of their own, and an end.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    Scene, at_once, in_slow, refused,
    support::poll::{self, SOON},
};

/// More than a pool has threads.
const MANY: usize = 24;
/// A pool's threads.
const THREADS: u64 = 16;

#[test]
fn a_stuck_pool_is_nobody_elses_business() {
    let scene = Scene::new("stuck");
    let (plugin, control) = (scene.plugin(), scene.control());
    let names: Vec<_> = (0..MANY).map(|number| format!("stuck-{number}")).collect();
    for name in &names {
        scene.volume(name);
    }
    scene.volume("more");
    plugin.create("web", &json!({})).expect("made");
    scene.tell("attach=hang");
    thread::scope(|scope| {
        let calls: Vec<_> = names
            .iter()
            .map(|name| {
                let plugin = scene.plugin();
                scope.spawn(move || plugin.mount(name, "one"))
            })
            .collect();
        let mut number = 0;
        poll::holds("all threads of the pool are stuck", SOON, || {
            // Meanwhile, and then: everything else is answered at once.
            for name in [names[0].as_str(), "more", "web"] {
                at_once("Get", || plugin.get(name)).expect("it is there");
            }
            assert_eq!(at_once("List", || plugin.list()).len(), MANY + 2);
            number += 1;
            let id = format!("id-{number}");
            at_once("Mount in the other pool", || plugin.mount("web", &id)).expect("mounted");
            at_once("Unmount there", || plugin.unmount("web", &id)).expect("unmounted");
            let pool = at_once("the pool", || control.ok("GET", "/v1/pools/slow", None));
            pool["stuck"] == THREADS
        });
        let error = at_once("Mount in the stuck pool", || plugin.mount("more", "one"));
        refused(error, &["`slow` does not answer"]);
        let error = at_once("Create in the stuck pool", || plugin.create("new", &in_slow()));
        refused(error, &["`slow` does not answer"]);
        let error = at_once("Remove in the stuck pool", || plugin.remove("more"));
        refused(error, &["`slow` does not answer"]);
        plugin.get("more").expect("nothing has changed");
        plugin.get("new").expect_err("nothing was made");
        at_once("Create in the other pool", || plugin.create("new", &json!({}))).expect("made");
        at_once("doctor", || control.ok("GET", "/v1/doctor", None));
        scene.tell("");
        for call in calls {
            call.join().expect("an answer").expect("mounted when it was let go");
        }
    });
    for name in &names {
        assert_eq!((control.references(name), scene.mounts_of(name)), (1, 1), "{name}");
    }
    plugin.mount("more", "one").expect("the pool works again");
    poll::holds("no call is stuck", SOON, || {
        control.ok("GET", "/v1/pools/slow", None)["stuck"] == 0
    });
}

#[test]
fn the_stop_does_not_wait_for_a_stuck_pool() {
    let mut scene = Scene::new("stop");
    let names: Vec<_> = (0..MANY).map(|number| format!("stuck-{number}")).collect();
    for name in &names {
        scene.volume(name);
    }
    scene.plugin().create("web", &json!({})).expect("made");
    scene.plugin().mount("web", "one").expect("mounted");
    scene.tell("attach=hang");
    let calls: Vec<_> = names
        .iter()
        .map(|name| {
            let (plugin, name) = (scene.plugin(), name.clone());
            thread::spawn(move || plugin.raw("VolumeDriver.Mount", body(&name).as_bytes()))
        })
        .collect();
    poll::equal("calls under way", SOON, &names.len(), || under_way(&scene));
    let begun = Instant::now();
    scene.daemon.signal(Signal::SIGTERM);
    let status = scene.daemon.wait(SOON);
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    for call in calls {
        // Answered with an error or cut off, never with success.
        if let Ok(reply) = call.join().expect("an end") {
            assert_ne!(reply.json()["Err"].as_str().unwrap_or_default(), "", "{}", reply.text());
        }
    }
    scene.tell("");
    scene.daemon.restart();
    for name in &names {
        assert_eq!(scene.control().references(name), 0, "{name}");
        scene.plugin().mount(name, "two").expect("mounted");
    }
    assert_eq!((scene.control().references("web"), scene.mounts_of("web")), (1, 1));
}

fn body(name: &str) -> String {
    json!({"Name": name, "ID": "one"}).to_string()
}

/// Connections to the plugin socket that the daemon has accepted, less those of
/// nobody.
fn under_way(scene: &Scene) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/unix").expect("readable");
    let path = scene.daemon.setup.plugin_socket.display().to_string();
    // The listener itself has this path too; accepted ones are connected (03).
    let ours = sockets.lines().filter(|line| line.ends_with(&path));
    ours.filter(|line| line.split_whitespace().nth(5) == Some("03")).count()
}

#[test]
fn a_pool_that_hangs_at_the_start_keeps_nobody_waiting() {
    for order in ["identify=hang", "inspect=hang", "attach=hang", "*=hang"] {
        let mut scene = Scene::new("start");
        let plugin = scene.plugin();
        scene.volume("db");
        plugin.create("web", &json!({})).expect("made");
        for name in ["db", "web"] {
            plugin.mount(name, "one").expect("mounted");
        }
        scene.daemon.kill();
        scene.tell(order);
        scene.daemon.restart();
        let mount = at_once("Mount", || plugin.mount("web", "two"));
        mount.unwrap_or_else(|error| panic!("{order}: {error}"));
        for name in ["db", "web"] {
            at_once("Get", || plugin.get(name)).expect("it is there");
        }
        assert_eq!(scene.control().references("db"), 1, "{order}");
        assert_eq!(scene.mounts_of("db"), 1, "{order}: what a container may hold");
        scene.tell("");
        scene.becomes("db", "ready");
        plugin.mount("db", "two").expect("it works again");
        assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (2, 1), "{order}");
    }
}

/// Each would take the start seconds, one after the other far too many.
#[test]
fn mounts_of_a_pool_that_hangs_do_not_add_up_at_the_start() {
    let mut scene = Scene::new("adopt");
    let names: Vec<_> = (0..MANY).map(|number| format!("db-{number}")).collect();
    for name in &names {
        scene.volume(name);
        scene.plugin().mount(name, "one").expect("mounted");
    }
    scene.daemon.kill();
    scene.tell("attach=hang");
    let begun = Instant::now();
    scene.daemon.restart();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "the start took {took:?}");
    scene.tell("");
    for name in &names {
        assert_eq!((scene.control().references(name), scene.mounts_of(name)), (1, 1), "{name}");
        scene.plugin().unmount(name, "one").expect("unmounted");
    }
    for name in &names {
        scene.unmounts(name);
    }
}

/// What was mounted before is taken for ours, also by a pool that cannot tell yet.
#[test]
fn a_mount_is_adopted_from_a_pool_that_waits() {
    let mut scene = Scene::new("adopt-wait");
    scene.volume("db");
    scene.plugin().mount("db", "one").expect("mounted");
    scene.daemon.kill();
    scene.tell("attach=pending");
    scene.daemon.restart();
    assert_eq!((scene.control().references("db"), scene.mounts_of("db")), (1, 1));
    scene.plugin().unmount("db", "one").expect("unmounted");
    scene.unmounts("db");
}

#[test]
fn a_pool_that_hangs_does_not_stop_the_housekeeping() {
    let scene = Scene::new("house");
    let plugin = scene.plugin();
    scene.volume("db");
    plugin.create("web", &json!({})).expect("made");
    let data = scene.stage.join("plain/volumes");
    let id = scene.control().volume("web")["id"].as_str().expect("an id").to_owned();
    let path = scene.mount_and_write("web");
    assert!(data.join(&id).join("data/file").exists(), "{path:?}");
    // A removal that could not be finished is looked at again, and that hangs.
    scene.tell("remove=error:busy");
    plugin.remove("db").expect("answered");
    scene.tell("inspect=hang\nremove=error:busy");
    for _ in 0..2 {
        scene.control().request("DELETE", "/v1/volumes/web?now=true", None);
        poll::holds("what was removed in the other pool is deleted", SOON, || {
            !data.join(&id).exists() && !scene.stage.join("plain/.berth/trash").join(&id).exists()
        });
    }
    plugin.create("web", &json!({})).expect("made");
    let id = scene.control().volume("web")["id"].as_str().expect("an id").to_owned();
    scene.mount_and_write("web");
    scene.control().request("DELETE", "/v1/volumes/web?now=true", None);
    poll::holds("and the next", SOON, || {
        !data.join(&id).exists() && !scene.stage.join("plain/.berth/trash").join(&id).exists()
    });
    scene.tell("");
    poll::holds("the removal ends", SOON, || scene.content().0 == 0);
}

#[test]
fn a_removal_in_a_pool_that_hangs_is_answered_in_time() {
    let scene = Scene::with("remove", &[("BERTH_TEST_DEADLINE_SECONDS", "2")]);
    let plugin = scene.plugin();
    scene.volume("db");
    scene.mount_and_write("db");
    scene.tell("inspect=hang");
    for _ in 0..2 {
        let begun = Instant::now();
        refused(plugin.remove("db"), &["db"]);
        assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
        let (status, error) = scene.control().request("DELETE", "/v1/volumes/db", None);
        assert_eq!(status, 503, "{error}");
    }
    plugin.get("db").expect("nothing has changed");
    scene.tell("");
    poll::holds("it can be removed", SOON, || plugin.remove("db").is_ok());
    scene.gone("db");
}

impl Scene {
    /// Mounts a volume, writes a file, and waits until it is unmounted again.
    fn mount_and_write(&self, name: &str) -> std::path::PathBuf {
        let point = self.plugin().mount(name, "writer").expect("mounted");
        std::fs::write(point.join("file"), name).expect("written");
        self.plugin().unmount(name, "writer").expect("unmounted");
        self.unmounts(name);
        point
    }
}
