//! Servers that go away in the middle of a copy: it is whole, or its job failed.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    MIB, Scene, holds,
    support::{loopfs::Kind, nfs::Setup, pause::Pause, poll},
    write,
};

/// How long it may take until the kernel gives a server up, a lease and a call; and how
/// long one that came back may keep its clients waiting.
const TROUBLE: Duration = Duration::from_secs(90);

/// A daemon that stops at the failpoint `point` until it is let go.
fn paused(point: &str) -> (Scene, Pause) {
    let mut pause = None;
    let setup = Setup::new().on(Kind::Ext4).megabytes(200);
    let scene = Scene::with(setup, "version = \"4.1\"", |berth, stage, _| {
        let at = pause.insert(Pause::at(stage.path(), point, 1));
        berth.env("BERTH_FAILPOINTS", at.rule())
    });
    (scene, pause.expect("it was made"))
}

impl Scene {
    /// Stops the server while a job waits at the failpoint, until that was noticed.
    fn loses_its_server(&self, pause: &Pause) {
        pause.reached();
        self.server.stop();
        pause.release();
        poll::holds("the pool is known to be away", TROUBLE, || {
            self.daemon.control().ok("GET", "/v1/pools/default", None)["state"] != "ready"
        });
    }

    /// The end of a job.
    fn end(&self, job: &str) -> Value {
        let path = format!("/v1/jobs/{job}");
        poll::until("the job ends", TROUBLE, || {
            let job = self.daemon.control().ok("GET", &path, None);
            (!matches!(job["state"].as_str(), Some("running" | "queued"))).then_some(job)
        })
    }

    /// Runs a command until it succeeds.
    fn at_last(&self, words: &[&str]) {
        let mut said = String::new();
        let done = poll::within(TROUBLE, || {
            let output = self.daemon.berth(words);
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success().then_some(())
        });
        assert!(done.is_some(), "{words:?}: {said}");
    }
}

/// The copy is in this host's cache then, and the server has none of it.
#[test]
fn a_snapshot_whose_server_goes_away_fails_and_the_next_is_whole() {
    let (scene, pause) = paused("copy.attributes");
    let data = scene.volume("v");
    write(&data.join("file"), 7, 2 * MIB);
    fs::File::open(data.join("file")).and_then(|file| file.sync_all()).expect("synced");
    let job = scene.ok(&["snapshot", "create", "v", "lost", "--detach"]);
    scene.loses_its_server(&pause);
    let job = scene.end(&job);
    assert_eq!(job["state"], "failed", "{job}");
    scene.server.start();
    let said = job.to_string();
    assert!(said.contains(&scene.server.address().v4.to_string()), "it names the server: {said}");
    scene.at_last(&["snapshot", "create", "v", "next"]);
    let listed = scene.ok(&["snapshot", "ls", "v"]);
    assert!(listed.contains("v@next") && !listed.contains("v@lost"), "{listed}");
    holds(&scene.snapshot_on_server("v", "next").join("file"), 7, 2 * MIB);
}

/// The same of what was restored. A create that was accepted already goes on when its pool
/// is back, and begins anew; another one failed.
#[test]
fn a_restore_whose_server_goes_away_is_no_volume_until_it_is_whole() {
    let (scene, pause) = paused("restore.file.attributes");
    write(&scene.volume("v").join("file"), 7, MIB);
    let id = scene.ok(&["backup", "create", "v"]);
    let job = scene.ok(&["backup", "restore", &id, "w", "--detach"]);
    scene.loses_its_server(&pause);
    assert_ne!(scene.daemon.control().volume("w")["state"], "ready", "half a volume");
    scene.server.start();
    let job = scene.end(&job);
    let made = if job["state"] == "done" {
        "w"
    } else {
        assert_eq!(job["state"], "failed", "{job}");
        scene.at_last(&["backup", "restore", &id, "x"]);
        "x"
    };
    holds(&scene.mounted(made).join("file"), 7, MIB);
    holds(&scene.on_server(made).join("file"), 7, MIB);
}
