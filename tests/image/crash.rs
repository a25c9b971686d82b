//! `kill -9` and errors at every failpoint of making, mounting and growing; then a
//! start must make it whole.

use std::fs;

use serde_json::json;

use super::{
    scene::{Scene, devices},
    support::{
        daemon::Setup,
        poll::{self, SOON},
    },
};

/// One pass of a failpoint.
type Pass = (String, u64);

/// What a start passed: all passes, in order.
fn passes(trace: &str) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    for name in trace.lines() {
        let nth = 1 + passes.iter().filter(|(other, _)| other == name).count() as u64;
        passes.push((name.to_owned(), nth));
    }
    passes
}

/// Starts the daemon of `scene` with this setting, up to its end or readiness.
fn start_with(scene: &mut Scene, variable: &str, value: String) {
    let plain = scene.daemon.setup.clone();
    scene.daemon.setup = plain.clone().env(variable, value);
    scene.daemon.respawn();
    let control = scene.daemon.control();
    poll::holds("the daemon is ready or dead", SOON, || {
        !scene.daemon.is_alive() || control.attempt("GET", "/v1/info", None).is_ok()
    });
    scene.daemon.kill();
    scene.daemon.setup = plain;
}

/// The passes of a start in the state that `scene` is in.
fn traced(scene: &mut Scene) -> Vec<Pass> {
    let trace = scene.stage.join("trace");
    start_with(scene, "BERTH_FAILPOINTS_TRACE", trace.display().to_string());
    let passes = passes(&fs::read_to_string(&trace).expect("traced"));
    fs::remove_file(trace).expect("ours");
    passes
}

/// The passes that belong to images, and those after which the rest may go wrong.
fn own(passes: Vec<Pass>) -> Vec<Pass> {
    let of_images = |(name, _): &Pass| {
        ["backing.", "loopdev.", "command.", "beneath.", "durable.", "mounts."]
            .iter()
            .any(|module| name.starts_with(module))
    };
    passes.into_iter().filter(of_images).collect()
}

#[track_caller]
fn whole(scene: &mut Scene, megabytes: u64, case: &str) {
    scene.daemon.restart();
    let pool = scene.pool();
    assert_eq!(pool["state"], "ready", "{case}: {pool}");
    assert_eq!(scene.disk(), ["berth.img"], "{case}");
    assert_eq!((scene.mounts().len(), devices(&scene.file()).len()), (1, 1), "{case}");
    let length = fs::metadata(scene.file()).expect("there").len();
    assert_eq!(length, megabytes << 20, "{case}");
    // All of it but the log (64 MiB) and a rest can be used.
    let total = pool["total"].as_u64().expect("a size");
    assert!(total >= length - (65 << 20), "{case}: {total}");
    scene.daemon.plugin().create("v", &json!({})).unwrap_or_else(|error| panic!("{case}: {error}"));
}

/// A scene in which nothing was started yet.
fn fresh() -> Scene {
    let (stage, setup) = Scene::prepared();
    Scene { daemon: dead(setup), stage }
}

/// A daemon that ended before it did anything.
fn dead(setup: Setup) -> super::support::daemon::Daemon {
    let mut daemon = setup.env("BERTH_FAILPOINTS", "*=kill@1").spawn();
    daemon.wait(SOON);
    daemon.setup.env.clear();
    daemon
}

#[test]
fn a_kill_while_it_is_made_leaves_nothing_or_all() {
    let passes = own(traced(&mut fresh()));
    let has = |name: &str| assert!(passes.iter().any(|(pass, _)| pass == name), "{name}");
    for name in ["backing.make", "command.start", "beneath.rename", "mounts.mount-device"] {
        has(name);
    }
    for (name, nth) in &passes {
        let case = format!("killed at {name} {nth}");
        let mut scene = fresh();
        start_with(&mut scene, "BERTH_FAILPOINTS", format!("{name}=kill@{nth}"));
        if scene.file().exists() {
            let head = fs::read(scene.file()).expect("readable");
            assert_eq!((&head[..4], &head[108..113]), (&b"XFSB"[..], &b"berth"[..]), "{case}");
        }
        whole(&mut scene, 300, &case);
    }
}

#[test]
fn an_error_while_it_is_made_leaves_nothing_or_all() {
    for (name, _) in own(traced(&mut fresh())).into_iter().filter(|(_, nth)| *nth == 1) {
        let case = format!("an error at {name}");
        let mut scene = fresh();
        let plain = scene.daemon.setup.clone();
        scene.daemon.setup = plain.clone().env("BERTH_FAILPOINTS", format!("{name}=error:28"));
        scene.daemon.respawn();
        let control = scene.daemon.control();
        poll::holds("the daemon is ready or has given up", SOON, || {
            !scene.daemon.is_alive() || control.attempt("GET", "/v1/info", None).is_ok()
        });
        // It tries again and again; between two times there is nothing. Only the
        // error at the removal itself leaves something.
        poll::holds(&case, SOON, || {
            name == "beneath.unlink" || scene.disk().iter().all(|name| name == "berth.img")
        });
        scene.daemon.kill();
        scene.daemon.setup = plain;
        whole(&mut scene, 300, &case);
    }
}

#[test]
fn a_kill_while_it_is_mounted_is_made_good() {
    let mut scene = Scene::new();
    scene.power_off();
    let passes = own(traced(&mut scene));
    assert!(passes.iter().any(|(pass, _)| pass == "mounts.mount-device"), "{passes:?}");
    let grown = passes.iter().any(|(pass, _)| pass == "command.start");
    assert!(!grown, "nothing is made or grown where all is as it should be");
    for (name, nth) in passes {
        scene.power_off();
        start_with(&mut scene, "BERTH_FAILPOINTS", format!("{name}=kill@{nth}"));
        whole(&mut scene, 300, &format!("killed at {name} {nth}"));
    }
}

#[test]
fn a_kill_while_it_grows_is_made_good() {
    let mut scene = Scene::new();
    let mut megabytes = 320;
    scene.resize("320M");
    let passes = own(traced(&mut scene));
    let has = |name: &str| assert!(passes.iter().any(|(pass, _)| pass == name), "{name}");
    for name in ["backing.set-length", "backing.sync", "loopdev.set-capacity", "command.start"] {
        has(name);
    }
    for (name, nth) in passes {
        megabytes += 20;
        scene.resize(&format!("{megabytes}M"));
        start_with(&mut scene, "BERTH_FAILPOINTS", format!("{name}=kill@{nth}"));
        whole(&mut scene, megabytes, &format!("killed at {name} {nth}"));
    }
    // One that cannot grow is used as it is, and says so.
    scene.resize("800M");
    scene.daemon.setup =
        scene.daemon.setup.clone().env("BERTH_FAILPOINTS", "backing.set-length=error:28");
    scene.daemon.restart();
    assert_eq!(scene.pool()["state"], "ready");
    let findings = scene.findings();
    let text = findings[0]["message"].as_str().expect("text");
    assert!(text.contains("smaller than it should be"), "{findings:?}");
}
