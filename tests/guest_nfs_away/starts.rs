//! The daemon starts while the server is away.

use std::{fs, time::Duration};

use nix::mount::{MntFlags, umount2};
use serde_json::json;

use crate::{BACK, Scene, at_once, refused, support::poll, tell, timed};

/// When the sockets are served though the server is away, on an emulated machine that
/// does other things too. Elsewhere it takes a little over 2 s.
const START: Duration = Duration::from_secs(10);

#[test]
fn a_start_without_the_server_keeps_nobody_waiting() {
    let mut scene = Scene::new("nfs-starts");
    let plugin = scene.plugin();
    scene.volume("db");
    plugin.create("web", &json!({})).expect("made");
    let point = plugin.mount("db", "container").expect("mounted");
    fs::write(point.join("file"), "content").expect("written");
    scene.daemon.kill();
    scene.server.drop_packets();

    // A crash of the daemon: what is mounted stays, untouched.
    let ((), took) = timed(|| scene.daemon.restart());
    tell(&format!("the start took {took:?}"));
    assert!(took < START, "it took {took:?}");
    let volume = at_once("Get", || plugin.get("db")).expect("it is there");
    assert_eq!(volume["Status"]["state"], "unavailable", "{volume}");
    at_once("Mount elsewhere", || plugin.mount("web", "one")).expect("mounted");
    assert_eq!(scene.control().references("db"), 1);
    assert!(scene.daemon.mounts().iter().any(|mount| mount.point == point), "it is adopted");
    let error = refused("Mount", || plugin.mount("db", "two"));
    assert!(error.contains("answer"), "{error}");

    // A reboot: nothing is mounted.
    scene.daemon.stop();
    for path in ["mounts/db", "mounts/web"] {
        let _ = umount2(&scene.daemon.setup.root.join(path), MntFlags::MNT_DETACH);
    }
    for mount in scene.below_root() {
        umount2(&mount, MntFlags::MNT_DETACH).expect("unmounted");
    }
    let ((), took) = timed(|| scene.daemon.restart());
    tell(&format!("the start after the reboot took {took:?}"));
    assert!(took < START, "it took {took:?}");
    at_once("Get", || plugin.get("db")).expect("it is there");
    let error = refused("Mount", || plugin.mount("db", "three"));
    scene.tells(&error);

    scene.server.pass_packets();
    scene.is_back();
    poll::holds("it is mounted", BACK, || plugin.mount("db", "four").is_ok());
    assert_eq!(fs::read(point.join("file")).expect("it is the volume"), b"content");
}

impl Scene {
    /// Whatever the daemon has mounted for itself.
    fn below_root(&self) -> Vec<std::path::PathBuf> {
        let root = &self.daemon.setup.root;
        let mounts = crate::support::mounts::below(crate::support::mounts::here(), root);
        mounts.into_iter().map(|mount| mount.point).collect()
    }
}
