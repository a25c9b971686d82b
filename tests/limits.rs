//! `size`, `resize` and `used` where the file system has no quotas: refused with
//! the reason, and counted.
//!
//! What needs quotas is in `guest_limits.rs`.

mod support;

use std::{fs, process::Command};

use serde_json::{Value, json};
use support::{
    daemon::{Daemon, Setup},
    loopfs::{Kind, LoopFs},
    poll::{self, SOON},
    stage::Stage,
};

const MIB: u64 = 1 << 20;

/// A daemon whose default pool lies on a file system of its own, without quotas.
struct Scene {
    daemon: Daemon,
    disk: LoopFs,
    _stage: Stage,
}

impl Scene {
    fn new(settings: &str) -> Self {
        let stage = Stage::new("limits");
        let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 256);
        let pool = disk.path().join("pool");
        let text = format!(
            "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n{settings}\n",
            pool.display()
        );
        let setup = Setup::new(&stage).config(&stage, &text);
        let daemon = setup.env("BERTH_TEST_COUNT_SECONDS", "0.2").start();
        Self { daemon, disk, _stage: stage }
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.daemon.berth(words);
        let code = output.status.code().expect("an exit code");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        format!("{code} {errors}")
    }

    fn used(&self, name: &str) -> Option<u64> {
        self.daemon.control().volume(name)["used"].as_u64()
    }

    fn finding(&self, subject: &str, text: &str) -> Option<Value> {
        let diagnosis = self.daemon.control().ok("GET", "/v1/doctor", None);
        let findings = diagnosis["findings"].as_array().expect("a list").clone();
        findings.into_iter().find(|finding| {
            finding["subject"] == subject
                && finding["message"].as_str().is_some_and(|message| message.contains(text))
        })
    }
}

const REASON: &str = "does not have the features `project` and `quota`";

#[test]
fn a_size_is_refused_with_the_reason_and_nothing_is_left() {
    let scene = Scene::new("");
    let plugin = scene.daemon.plugin();
    let error = plugin.create("db", &json!({ "size": "10G" })).expect_err("no quotas here");
    let at = scene.disk.path().display();
    assert!(error.contains("`size` is not available"), "{error}");
    assert!(error.contains(&format!("the file system at `{at}` (ext4) {REASON}")), "{error}");
    assert!(error.contains("tune2fs -O project,quota /dev/loop"), "{error}");
    assert_eq!(plugin.list(), Vec::<Value>::new());
    let left = fs::read_dir(scene.disk.path().join("pool/volumes")).expect("the pool").count();
    assert_eq!(left, 0, "nothing is left");

    let text = scene.said(&["volume", "create", "db", "-o", "size=10G"]);
    assert!(text.starts_with("5 ") && text.contains(REASON), "{text}");
    // A wrong value is wrong everywhere.
    let text = scene.said(&["volume", "create", "db", "-o", "size=1000"]);
    assert!(text.starts_with("2 ") && text.contains("less than 1 MiB"), "{text}");
    let finding = scene.finding("pool `default`", REASON).expect("the doctor says why");
    assert_eq!(finding["severity"], "ok", "nobody asked for it");
}

#[test]
fn a_resize_is_refused_and_changes_nothing() {
    let scene = Scene::new("");
    scene.daemon.plugin().create("db", &json!({})).expect("created");
    let before = scene.daemon.control().volume("db");
    let text = scene.said(&["volume", "resize", "db", "10G"]);
    assert!(text.starts_with("5 ") && text.contains(REASON), "{text}");
    let text = scene.said(&["volume", "resize", "db", "much"]);
    assert!(text.starts_with("2 ") && text.contains("`much` is not a size"), "{text}");
    let text = scene.said(&["volume", "resize", "none", "10G"]);
    assert!(text.starts_with("3 "), "{text}");
    let text = scene.said(&["volume", "set", "db", "size=10G"]);
    assert!(text.starts_with("5 ") && text.contains("berth volume resize NAME SIZE"), "{text}");
    let after = scene.daemon.control().volume("db");
    assert_eq!((&after["options"], &after["size"]), (&before["options"], &Value::Null));
    let can = |view: &Value| {
        view["capabilities"].as_array().is_some_and(|c| c.contains(&json!("resize")))
    };
    assert!(!can(&after) && !can(&scene.daemon.control().ok("GET", "/v1/pools/default", None)));
}

#[test]
fn a_default_that_cannot_be_had_refuses_creates() {
    let scene = Scene::new("size = \"1G\"");
    let error = scene.daemon.plugin().create("db", &json!({})).expect_err("no quotas here");
    assert!(error.contains("have a `size` by default") && error.contains(REASON), "{error}");
    let finding = scene.finding("pool `default`", REASON).expect("the doctor says it");
    assert_eq!(finding["severity"], "error", "{finding}");
}

#[test]
fn what_a_volume_takes_is_counted_once_it_was_used() {
    let scene = Scene::new("");
    let plugin = scene.daemon.plugin();
    plugin.create("db", &json!({})).expect("created");
    poll::holds("it is counted", SOON, || scene.used("db").is_some_and(|used| used < MIB));
    let place = plugin.mount("db", "one").expect("mounted");
    fs::create_dir(place.join("folder")).expect("made");
    fs::write(place.join("folder/file"), vec![7; 3 << 20]).expect("written");
    fs::hard_link(place.join("folder/file"), place.join("again")).expect("linked");
    // A hole takes nothing.
    fs::File::create(place.join("hole")).and_then(|f| f.set_len(64 << 20)).expect("made");
    // What is mounted in it from elsewhere is not the volume's.
    let id = scene.daemon.control().volume("db")["id"].as_str().expect("an id").to_owned();
    let elsewhere = scene.disk.path().join("pool/volumes").join(id).join("data/elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&elsewhere).status();
    assert!(mounted.expect("mount is there").success());
    fs::write(elsewhere.join("file"), vec![7; 8 << 20]).expect("written");
    let exact = 3 * MIB..3 * MIB + (256 << 10);
    poll::holds("it is counted again", SOON, || {
        scene.used("db").is_some_and(|used| exact.contains(&used))
    });
    let status = plugin.get("db").expect("there")["Status"].clone();
    assert!(exact.contains(&status["used"].as_u64().expect("a number")), "{status}");
    let at: jiff::Timestamp =
        status["used-at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!(jiff::Timestamp::now().duration_since(at).as_secs() < 30, "{status}");

    fs::remove_file(place.join("again")).expect("removed");
    fs::remove_file(place.join("folder/file")).expect("removed");
    plugin.unmount("db", "one").expect("unmounted");
    poll::holds("counted after the unmount", SOON, || {
        scene.used("db").is_some_and(|used| used < MIB)
    });

    // Nobody can have changed it since, so it is not counted for ever: the other
    // one, which is in use, is.
    plugin.create("busy", &json!({})).expect("created");
    plugin.mount("busy", "one").expect("mounted");
    let at = |name: &str| scene.daemon.control().volume(name)["used-at"].clone();
    poll::holds("it stays as it is while the other is counted", SOON, || {
        let before = at("db");
        for _ in 0..3 {
            let last = at("busy");
            poll::holds("counted again", SOON, || at("busy") != last);
        }
        at("db") == before
    });
}
