//! `size`, `resize` and `used` on file systems with project quotas.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{
    daemon::{Daemon, Setup},
    loopfs::{Kind, LoopFs},
    poll::{self, SOON},
    stage::Stage,
};

const MIB: u64 = 1 << 20;

/// What the book-keeping of a few files may take.
const LITTLE: u64 = 256 << 10;

/// A daemon whose default pool lies on a file system of its own.
struct Scene {
    daemon: Daemon,
    disk: LoopFs,
    _stage: Stage,
}

impl Scene {
    fn new(kind: Kind, settings: &str) -> Self {
        Self::with(kind, settings, |setup| setup)
    }

    fn with(kind: Kind, settings: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let stage = Stage::new("limits");
        let disk = LoopFs::with_quotas(stage.path(), "disk", kind, 320);
        let pool = disk.path().join("pool");
        let text = format!(
            "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n{settings}\n",
            pool.display()
        );
        let setup = Setup::new(&stage).config(&stage, &text);
        let daemon = change(setup.env("BERTH_TEST_COUNT_SECONDS", "0.2")).start();
        Self { daemon, disk, _stage: stage }
    }

    /// Mounts the disk anew, with other options, between two lives of the daemon.
    fn remount(&mut self, options: &str) {
        assert!(self.daemon.stop().success());
        self.disk.unmount();
        self.disk.mount_with(options);
        self.daemon.restart();
    }

    fn create(&self, name: &str, options: &Value) {
        self.daemon.plugin().create(name, options).expect("created");
    }

    fn mount(&self, name: &str) -> PathBuf {
        self.daemon.plugin().mount(name, "one").expect("mounted")
    }

    fn unmount(&self, name: &str) {
        self.daemon.plugin().unmount(name, "one").expect("unmounted");
        let mounted = || self.view(name)["mounted"] == true;
        poll::holds("unmounted", SOON, || !mounted());
    }

    fn view(&self, name: &str) -> Value {
        self.daemon.control().volume(name)
    }

    /// As `volume inspect` says once it is up to date.
    fn used(&self, name: &str) -> u64 {
        poll::until("it is known", SOON, || self.view(name)["used"].as_u64())
    }

    /// Exit code and errors.
    fn said(&self, words: &[&str]) -> String {
        let output = self.daemon.berth(words);
        let code = output.status.code().expect("an exit code");
        format!("{code} {}", String::from_utf8_lossy(&output.stderr))
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) {
        let said = self.said(words);
        assert!(said.starts_with("0 "), "{words:?}: {said}");
    }

    fn findings(&self, text: &str) -> Vec<Value> {
        let diagnosis = self.daemon.control().ok("GET", "/v1/doctor", None);
        let mut findings = diagnosis["findings"].as_array().expect("a list").clone();
        findings.retain(|finding| finding["message"].as_str().is_some_and(|m| m.contains(text)));
        findings
    }

    /// The projects that have a limit, as the file system's own tool lists them.
    fn limited(&self) -> Vec<String> {
        let output = Command::new("xfs_quota")
            .args(["-f", "-x", "-c", "report -p -b -n -N"])
            .arg(self.disk.path())
            .output()
            .expect("xfsprogs is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report = String::from_utf8(output.stdout).expect("UTF-8");
        let hard = |line: &str| line.split_whitespace().nth(3).map(ToOwned::to_owned);
        let limited = |line: &&str| hard(line).is_some_and(|limit| limit != "0");
        report.lines().filter(limited).map(ToOwned::to_owned).collect()
    }

    fn limit_by_hand(&self, name: &str, limit: &str) {
        let id = self.view(name)["id"].as_str().expect("an id").to_owned();
        let folder = self.disk.path().join("pool/volumes").join(id);
        let folder = fs::File::open(folder).expect("there");
        let project = berth_host::quota::project(&folder).expect("readable").id;
        let command = format!("limit -p bhard={limit} {project}");
        let status = Command::new("xfs_quota")
            .args(["-f", "-x", "-c", &command])
            .arg(self.disk.path())
            .status();
        assert!(status.expect("xfsprogs is there").success());
    }
}

/// Writes as the root of a container does (see `guest_quota.rs`).
fn write(file: &Path, bytes: u64) -> bool {
    let status = Command::new("setpriv")
        .args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "dd", "if=/dev/zero"])
        .arg(format!("of={}", file.display()))
        .args(["bs=64K", &format!("count={}", bytes >> 16), "conv=fsync"])
        .stderr(Stdio::null())
        .status();
    status.expect("setpriv and dd are there").success()
}

#[test]
fn a_limit_holds_from_create_to_purge_on_ext4() {
    a_limit_holds_from_create_to_purge(Kind::Ext4);
}

#[test]
fn a_limit_holds_from_create_to_purge_on_xfs() {
    a_limit_holds_from_create_to_purge(Kind::Xfs);
}

fn a_limit_holds_from_create_to_purge(kind: Kind) {
    let scene = Scene::new(kind, "");
    scene.create("db", &json!({ "size": "8192K" }));
    // Equal in any spelling.
    scene.create("db", &json!({ "size": "8M" }));
    assert!(scene.daemon.plugin().create("db", &json!({ "size": "9M" })).is_err());
    let place = scene.mount("db");
    assert!(!write(&place.join("large"), 16 * MIB), "more than the limit");
    fs::remove_file(place.join("large")).expect("removed");
    assert!(write(&place.join("file"), 3 * MIB), "less than the limit");

    let exact = 3 * MIB..3 * MIB + LITTLE;
    poll::holds("it is known", SOON, || exact.contains(&scene.used("db")));
    // Docker is answered from memory, and the answer becomes true by itself.
    fs::write(place.join("more"), vec![7; 1 << 20]).expect("written");
    let status = || scene.daemon.plugin().get("db").expect("there")["Status"].clone();
    poll::holds("Docker sees it", SOON, || {
        let used = status()["used"].as_u64().expect("a number");
        (4 * MIB..4 * MIB + LITTLE).contains(&used)
    });
    assert_eq!(status()["size"], 8 * MIB);
    let view = scene.view("db");
    let can = view["capabilities"].as_array().expect("a list");
    assert!(can.contains(&json!("resize")), "{view}");

    let refused = scene.said(&["volume", "resize", "db", "2M"]);
    assert!(refused.starts_with("1 ") && refused.contains("more than 2 MiB"), "{refused}");
    assert_eq!(scene.view("db")["size"], 8 * MIB, "nothing has changed");
    scene.ok(&["volume", "resize", "db", "32M"]);
    assert_eq!(scene.view("db")["size"], 32 * MIB);
    assert!(write(&place.join("large"), 16 * MIB), "there is room now");
    scene.ok(&["volume", "resize", "db", "24M"]);
    assert!(!write(&place.join("larger"), 16 * MIB), "there is not");
    // A repeated create compares with what it was created with.
    scene.create("db", &json!({ "size": "8M" }));
    assert!(scene.findings("in force").is_empty());

    scene.unmount("db");
    scene.daemon.plugin().remove("db").expect("removed");
    scene.ok(&["volume", "undelete", "db"]);
    let place = scene.mount("db");
    assert!(!write(&place.join("again"), 16 * MIB), "it holds again");
    assert_eq!(scene.limited().len(), 1, "{:?}", scene.limited());
    scene.unmount("db");
    scene.ok(&["volume", "rm", "--now", "db"]);
    poll::holds("no limit is left", SOON, || scene.limited().is_empty());
}

#[test]
fn a_pools_default_is_a_limit() {
    let scene = Scene::new(Kind::Xfs, "size = \"4M\"");
    scene.create("small", &json!({}));
    assert!(!write(&scene.mount("small").join("file"), 8 * MIB));
    scene.create("large", &json!({ "size": "16M" }));
    assert!(write(&scene.mount("large").join("file"), 8 * MIB));
    assert_eq!(scene.view("small")["size"], 4 * MIB);
}

/// The pool comes back without its quotas, and later with them.
#[test]
fn limits_that_are_not_in_force_are_told() {
    for kind in Kind::ALL {
        let mut scene = Scene::new(kind, "");
        scene.create("db", &json!({ "size": "8M" }));
        assert!(write(&scene.mount("db").join("file"), 3 * MIB));
        scene.unmount("db");
        scene.remount("noquota");
        let findings = scene.findings("not in force");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0]["severity"], "warning");
        assert!(findings[0]["message"].as_str().expect("text").contains("without `prjquota`"));
        let refused = scene.said(&["volume", "resize", "db", "16M"]);
        assert!(refused.starts_with("5 ") && refused.contains("prjquota"), "{refused}");
        assert!(scene.daemon.plugin().create("new", &json!({ "size": "8M" })).is_err());
        // It is usable all the same, and what it takes is known: by counting.
        scene.mount("db");
        scene.unmount("db");
        assert!((3 * MIB..3 * MIB + LITTLE).contains(&scene.used("db")));
        scene.ok(&["volume", "set", "db", "mode=0700"]);

        scene.remount("prjquota");
        assert!(scene.findings("not in force").is_empty());
        scene.limit_by_hand("db", "0");
        let findings = scene.findings("its limit of 8 MiB is not in force");
        assert_eq!(findings[0]["hint"], "berth volume resize db 8MiB");
        scene.ok(&["volume", "resize", "db", "8MiB"]);
        assert!(scene.findings("not in force").is_empty());
        assert!(!write(&scene.mount("db").join("more"), 8 * MIB));
    }
}

/// Volumes from before the file system had quotas are enrolled by the first
/// resize, while nobody uses them.
#[test]
fn an_old_volume_is_resized_once_nobody_uses_it() {
    let mut scene = Scene::new(Kind::Xfs, "");
    scene.remount("noquota");
    scene.create("old", &json!({}));
    let place = scene.mount("old");
    fs::create_dir_all(place.join("a/b")).expect("made");
    assert!(write(&place.join("a/b/file"), 3 * MIB));
    scene.unmount("old");
    scene.remount("prjquota");
    scene.mount("old");
    let refused = scene.said(&["volume", "resize", "old", "8M"]);
    assert!(refused.starts_with("4 ") && refused.contains("in use"), "{refused}");
    scene.unmount("old");
    let refused = scene.said(&["volume", "resize", "old", "2M"]);
    assert!(refused.starts_with("1 ") && refused.contains("more than 2 MiB"), "{refused}");
    scene.ok(&["volume", "resize", "old", "8M"]);
    let place = scene.mount("old");
    assert!(!write(&place.join("a/b/more"), 8 * MIB));
    fs::rename(place.join("a/b/file"), place.join("file")).expect("one project");
}

/// The limit is one of what is there now: not of snapshots, nor of what a rollback
/// put aside.
#[test]
fn going_back_keeps_the_limit_for_what_is_there() {
    let scene = Scene::new(Kind::Xfs, "");
    scene.create("db", &json!({ "size": "8M" }));
    assert!(write(&scene.mount("db").join("one"), 2 * MIB));
    scene.unmount("db");
    scene.ok(&["snapshot", "create", "db", "monday"]);
    assert!(write(&scene.mount("db").join("two"), 5 * MIB), "the snapshot does not count");
    scene.unmount("db");
    scene.ok(&["volume", "rollback", "db@monday"]);
    let exact = 2 * MIB..2 * MIB + LITTLE;
    poll::holds("what is there now counts", SOON, || {
        scene.view("db")["used"].as_u64().is_some_and(|used| exact.contains(&used))
    });
    assert!(scene.findings("not in force").is_empty());
    assert_eq!(scene.limited().len(), 1, "{:?}", scene.limited());
    let place = scene.mount("db");
    assert!(write(&place.join("two"), 5 * MIB), "what was put aside does not count");
    assert!(!write(&place.join("three"), 5 * MIB), "the limit holds");
}

/// Killed between the intent and its effect: the limit is set by recovery.
#[test]
fn a_resize_that_was_cut_off_is_finished() {
    // The create passes it once.
    let mut scene = Scene::with(Kind::Ext4, "", |setup| {
        setup.env("BERTH_FAILPOINTS", "quota.set-limit=kill@2")
    });
    scene.create("db", &json!({ "size": "8M" }));
    assert!(!scene.said(&["volume", "resize", "db", "16M"]).starts_with("0 "));
    poll::holds("it was killed", SOON, || !scene.daemon.is_alive());
    scene.daemon.setup = scene.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    scene.daemon.restart();
    assert_eq!(scene.view("db")["size"], 16 * MIB);
    poll::holds("in force", SOON, || scene.findings("not in force").is_empty());
    assert!(write(&scene.mount("db").join("file"), 12 * MIB));
}

/// Killed anywhere in a create or a purge: all of it or nothing, and no limit is
/// left of what is gone.
#[test]
fn a_kill_leaves_no_half_of_a_limit() {
    let mut scene = Scene::new(Kind::Xfs, "");
    let order = |scene: &mut Scene, text: &str| {
        scene.daemon.setup = scene.daemon.setup.clone().env("BERTH_FAILPOINTS", text);
        scene.daemon.restart();
    };
    // The folder's project, the content's, the limit.
    for point in ["quota.set-project=kill@1", "quota.set-project=kill@2", "quota.set-limit=kill@1"]
    {
        order(&mut scene, point);
        assert!(!scene.said(&["volume", "create", "db", "-o", "size=8M"]).starts_with("0 "));
        poll::holds("it was killed", SOON, || !scene.daemon.is_alive());
        order(&mut scene, "");
        poll::holds("nothing is left", SOON, || scene.limited().is_empty());
        scene.create("db", &json!({ "size": "8M" }));
        assert!(!write(&scene.mount("db").join("file"), 16 * MIB), "{point}");
        scene.unmount("db");
        assert_eq!(scene.limited().len(), 1, "{point}");
        scene.ok(&["volume", "rm", "--now", "db"]);
        poll::holds("no limit is left", SOON, || scene.limited().is_empty());
    }
    scene.create("db", &json!({ "size": "8M" }));
    order(&mut scene, "quota.set-limit=kill@1");
    scene.said(&["volume", "rm", "--now", "db"]);
    poll::holds("it was killed", SOON, || !scene.daemon.is_alive());
    order(&mut scene, "");
    poll::holds("no limit is left", SOON, || scene.limited().is_empty());
}
