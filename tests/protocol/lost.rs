//! Callers that hang up, and calls that wait.

use std::{fs, path::PathBuf, thread, time::Duration};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Scene, error_of};
use crate::support::{
    http::Connection,
    poll::{self, SOON},
};

/// A scene whose first bind mount waits until the gate is opened.
struct Gated {
    scene: Scene,
    gate: PathBuf,
}

impl Gated {
    fn new(name: &str) -> Self {
        // The gate lies beside the stage's own folders.
        let gate = PathBuf::from(format!("/var/tmp/berth-gate-{name}-{}", std::process::id()));
        let rule = format!("mounts.bind=pause:{}@1", gate.display());
        let scene = Scene::with(name, |setup| setup.env("BERTH_FAILPOINTS", rule));
        scene.daemon.plugin().create("vol", &Value::Null).expect("created");
        Self { scene, gate }
    }

    /// Sends a Mount and waits until it is in the middle.
    fn send_mount(&self) -> Connection {
        let wire = self.mount_of("a");
        let reached = self.reached();
        poll::holds("the mount is under way", SOON, || reached.exists());
        wire
    }

    /// Sends a Mount.
    fn mount_of(&self, id: &str) -> Connection {
        let socket = &self.scene.daemon.setup.plugin_socket;
        let mut wire = Connection::open(socket).expect("connected");
        let body = json!({"Name": "vol", "ID": id}).to_string();
        let head = format!(
            "POST /VolumeDriver.Mount HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.send(format!("{head}{body}").as_bytes()).expect("sent");
        wire
    }

    fn reached(&self) -> PathBuf {
        let mut path = self.gate.clone().into_os_string();
        path.push(".reached");
        path.into()
    }

    fn open(&self) {
        fs::write(&self.gate, "").expect("opened");
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        let _ = fs::write(&self.gate, "");
        self.scene.daemon.kill();
        let _ = fs::remove_file(&self.gate);
        let _ = fs::remove_file(self.reached());
    }
}

#[test]
fn who_hangs_up_does_not_cancel_a_mount() {
    let gated = Gated::new("hangup");
    let daemon = &gated.scene.daemon;

    drop(gated.send_mount());
    gated.open();

    let control = daemon.control();
    poll::equal("the reference is counted", SOON, &1, || control.references("vol"));
    poll::holds("it is mounted", SOON, || control.volume("vol")["mounted"] == true);
    // The same mount again is one more of the same, as with `docker cp`.
    let plugin = daemon.plugin();
    plugin.unmount("vol", "a").expect("unmounted");
    poll::equal("nothing is mounted", SOON, &0, || daemon.mounts().len());
    plugin.remove("vol").expect("removed");
}

#[test]
fn reads_and_other_volumes_do_not_wait_for_a_mount() {
    let gated = Gated::new("reads");
    let wire = gated.send_mount();
    let plugin = gated.scene.daemon.plugin();

    // None of these may wait for the gate: it opens only behind them.
    assert_eq!(plugin.get("vol").expect("there")["Name"], "vol");
    plugin.path("vol").expect("known");
    assert_eq!(plugin.list().len(), 1);
    assert_eq!(plugin.scope(), "local");
    plugin.activate();
    plugin.create("other", &Value::Null).expect("created");
    plugin.mount("other", "b").expect("mounted");
    plugin.unmount("other", "b").expect("unmounted");
    plugin.remove("other").expect("removed");

    gated.open();
    drop(wire);
}

#[test]
fn a_get_finds_a_place_among_many_mounts() {
    let gated = Gated::new("many");
    let first = gated.send_mount();
    let waiting: Vec<_> = (0..400).map(|number| gated.mount_of(&number.to_string())).collect();

    assert_eq!(gated.scene.daemon.plugin().get("vol").expect("there")["Name"], "vol");

    gated.open();
    for mut wire in waiting.into_iter().chain([first]) {
        assert_eq!(error_of(&wire.receive().expect("a reply").expect("no end")), "");
    }
    assert_eq!(gated.scene.daemon.control().references("vol"), 401);
}

#[test]
fn a_second_mount_joins_the_first() {
    let gated = Gated::new("join");
    let mut first = gated.send_mount();
    let plugin = gated.scene.daemon.plugin();
    let second = thread::spawn(move || plugin.mount("vol", "b"));

    gated.open();

    assert_eq!(error_of(&first.receive().expect("a reply").expect("no end")), "");
    second.join().expect("no panic").expect("mounted");
    assert_eq!(gated.scene.daemon.control().references("vol"), 2);
    assert_eq!(gated.scene.daemon.mounts().len(), 1);
}

/// Docker repeats a call that was cut off, with an empty body: so it is told.
#[test]
fn a_stop_answers_what_it_does_not_finish() {
    let mut gated = Gated::new("stop");
    let mut wire = gated.send_mount();

    gated.scene.daemon.signal(Signal::SIGTERM);

    let error = error_of(&wire.receive().expect("a reply").expect("no end"));
    assert!(error.contains("the daemon is stopping"), "{error}");
    let status = gated.scene.daemon.wait(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "a stuck thread holds nobody up");
    assert!(!gated.scene.daemon.setup.plugin_socket.exists(), "unlinked");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut gated = Gated::new("twice");
    let _wire = gated.send_mount();
    let socket = gated.scene.daemon.setup.plugin_socket.clone();

    gated.scene.daemon.signal(Signal::SIGTERM);
    poll::holds("the stop began", SOON, || !socket.exists());
    gated.scene.daemon.signal(Signal::SIGINT);

    let status = gated.scene.daemon.wait(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
}
