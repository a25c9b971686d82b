//! A daemon whose volumes are snapshotted, cloned and rolled back, and what tests
//! of that ask often.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    content,
    daemon::{Daemon, Setup},
    loopfs::{Kind, LoopFs},
    namespace,
    pause::Pause,
    poll::{self, SOON},
    stage::Stage,
};

/// A daemon with a volume `v` that has one file, so that each copy of it passes
/// `copy.file` once.
#[derive(Debug)]
pub struct Copies {
    /// The daemon.
    pub daemon: Daemon,
    /// The pool's folder.
    pub pool: PathBuf,
    /// The file system that the pool has for itself.
    pub disk: Option<LoopFs>,
    _stage: Stage,
}

impl Copies {
    /// With the pool on the stage.
    pub fn new() -> Self {
        Self::on(Stage::new("copies"), None, |setup| setup)
    }

    /// With the pool on a file system of its own, that waits within the copy number
    /// `nth`.
    pub fn paused_on(kind: Kind, nth: u64) -> (Self, Pause) {
        let stage = Stage::new("copies");
        let pause = Pause::at(stage.path(), "copy.file", nth);
        let rule = pause.rule().to_owned();
        let made = Self::on(stage, Some(kind), |setup| setup.env("BERTH_FAILPOINTS", rule));
        (made, pause)
    }

    /// One that waits within the copy number `nth`, and otherwise answers within a
    /// second or two.
    pub fn paused(nth: u64) -> (Self, Pause) {
        let (made, [pause]) = Self::paused_at([("copy.file", nth)]);
        (made, pause)
    }

    /// As [`Self::paused`], at several passes of failpoints.
    pub fn paused_at<const N: usize>(passes: [(&str, u64); N]) -> (Self, [Pause; N]) {
        let stage = Stage::new("copies");
        let held = passes.map(|(name, nth)| Pause::at(stage.path(), name, nth));
        let rules = held.each_ref().map(Pause::rule).join(";");
        let made = Self::on(stage, None, |setup| {
            setup.env("BERTH_FAILPOINTS", rules).env("BERTH_TEST_DEADLINE_SECONDS", "1")
        });
        (made, held)
    }

    /// With the pool on a file system of its own, or on the stage.
    pub fn on(stage: Stage, disk: Option<Kind>, change: impl FnOnce(Setup) -> Setup) -> Self {
        namespace::apart();
        let mut setup = Setup::new(&stage).env("BERTH_LOG", "warn");
        let mut pool = setup.root.join("pools/default");
        let disk = disk.map(|kind| LoopFs::new(stage.path(), "disk", kind, kind.least()));
        if let Some(disk) = &disk {
            pool = disk.path().join("pool");
            fs::create_dir_all(&pool).expect("a file system of our own");
            let config =
                format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
            setup = setup.config(&stage, &config);
        }
        let daemon = change(setup).start();
        let made = Self { daemon, pool, disk, _stage: stage };
        made.create("v", &json!({})).expect("a fresh daemon");
        made.write("v", "one");
        made
    }

    /// Docker's Create.
    pub fn create(&self, name: &str, options: &Value) -> Result<(), String> {
        self.daemon.plugin().create(name, options)
    }

    /// The folder of a volume in the pool.
    pub fn folder(&self, name: &str) -> PathBuf {
        let id = self.daemon.control().volume(name)["id"].as_str().expect("an id").to_owned();
        self.pool.join("volumes").join(id)
    }

    /// Puts a file into a volume, whose text is its name.
    pub fn write(&self, name: &str, file: &str) {
        fs::write(self.folder(name).join("data").join(file), file).expect("it is there");
    }

    /// The names of the files in a volume.
    pub fn files(&self, name: &str) -> BTreeSet<String> {
        content::files(&self.folder(name).join("data")).into_keys().collect()
    }

    /// Begins a snapshot; the id of its job, or the kind of the error.
    pub fn begin_snapshot(&self, volume: &str, name: &str) -> Result<String, String> {
        self.begin(&format!("/v1/volumes/{volume}/snapshots"), &json!({"name": name}))
    }

    /// Begins a rollback, as [`Self::begin_snapshot`].
    pub fn begin_rollback(&self, volume: &str, name: &str) -> Result<String, String> {
        self.begin(&format!("/v1/volumes/{volume}/rollback"), &json!({"snapshot": name}))
    }

    fn begin(&self, path: &str, body: &Value) -> Result<String, String> {
        let job = kind_of(self.daemon.control().request("POST", path, Some(body)))?;
        Ok(job["id"].as_str().expect("jobs have ids").to_owned())
    }

    /// Waits for the end of a job.
    #[track_caller]
    pub fn end(&self, job: &str) -> Value {
        poll::until("the job ends", SOON, || {
            let view = self.daemon.control().ok("GET", &format!("/v1/jobs/{job}/wait"), None);
            let ended = matches!(view["state"].as_str(), Some("done" | "failed" | "cancelled"));
            ended.then_some(view)
        })
    }

    /// Waits for the good end of a job.
    #[track_caller]
    pub fn done(&self, job: Result<String, String>) {
        let view = self.end(&job.expect("it begins"));
        assert_eq!(view["state"], "done", "{view}");
    }

    /// `berth job cancel`
    #[track_caller]
    pub fn cancel(&self, job: &str) {
        let output = self.daemon.berth(&["job", "cancel", job]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Removes a snapshot; the kind of the error.
    pub fn remove_snapshot(&self, volume: &str, name: &str) -> Result<(), String> {
        let path = format!("/v1/volumes/{volume}/snapshots/{name}");
        kind_of(self.daemon.control().request("DELETE", &path, None)).map(drop)
    }

    /// The names of the snapshots of a volume.
    pub fn snapshots(&self, volume: &str) -> Vec<String> {
        let path = format!("/v1/volumes/{volume}/snapshots");
        let views = self.daemon.control().ok("GET", &path, None);
        let name = |view: &Value| view["name"].as_str().expect("text").to_owned();
        let names = views.as_array().expect("an array").iter().map(name);
        names.map(|name| name.split_once('@').expect("VOLUME@NAME").1.to_owned()).collect()
    }

    /// Waits until the pool has the folders of its volumes and of their snapshots,
    /// and nothing else.
    #[track_caller]
    pub fn assert_tidy(&self) {
        poll::equal("what is in the pool", SOON, &Vec::<String>::new(), || self.leftovers());
    }

    fn leftovers(&self) -> Vec<String> {
        let control = self.daemon.control();
        let id = |view: &Value| view["id"].as_str().expect("text").to_owned();
        let snapshots = control.ok("GET", "/v1/snapshots", None);
        let snapshots: BTreeSet<_> =
            snapshots.as_array().expect("an array").iter().map(id).collect();
        let volumes: BTreeSet<_> = control.volumes().iter().map(id).collect();
        let mut found = extra(&self.pool.join("volumes"), |id| volumes.contains(id));
        found.extend(extra(&self.pool.join(".berth/purge"), |_| false));
        for volume in &volumes {
            let folder = self.pool.join("volumes").join(volume);
            let own = ["data", "volume.json", "snapshots", "origins"];
            found.extend(extra(&folder, |name| own.contains(&name)));
            found.extend(extra(&folder.join("snapshots"), |id| snapshots.contains(id)));
        }
        found
    }
}

fn extra(folder: &Path, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let extra = names.filter(|name| !is_known(name));
    extra.map(|name| folder.join(name).display().to_string()).collect()
}

/// The answer, or `KIND: MESSAGE`.
fn kind_of((status, value): (u16, Value)) -> Result<Value, String> {
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let text = |key: &str| value["error"][key].as_str().unwrap_or("?").to_owned();
    Err(format!("{}: {}", text("kind"), text("message")))
}
