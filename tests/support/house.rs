//! A daemon with repositories, and what tests of backups ask of it.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    daemon::{Daemon, Setup},
    loopfs::{Kind, LoopFs},
    namespace,
    poll::{self, SOON},
    stage::Stage,
};

/// How large a file system of a pool is, in MiB; its image is sparse.
const ROOM: u64 = 512;

/// A daemon, its pool's own file system if it has one, and the stage.
#[derive(Debug)]
pub struct House {
    /// The daemon.
    pub daemon: Daemon,
    /// The file system that the default pool has for itself.
    pub disk: Option<LoopFs>,
    /// Where everything lies.
    pub stage: Stage,
}

impl House {
    /// With a pool below its root, set up as `change` says, on a stage of that name.
    pub fn on_stage(name: &str, change: impl FnOnce(Setup, &Stage) -> Setup) -> Self {
        namespace::apart();
        let stage = Stage::new(name);
        let daemon = change(Setup::new(&stage), &stage).env("TZ", "UTC").start();
        Self { daemon, disk: None, stage }
    }

    /// The same with the pool on a file system of its own.
    pub fn on_disk(name: &str, kind: Kind, change: impl FnOnce(Setup, &Stage) -> Setup) -> Self {
        let mut disk = None;
        let house = Self::on_stage(name, |setup, stage| {
            let made = LoopFs::new(stage.path(), "disk", kind, ROOM);
            let pool = made.path().join("pool");
            fs::create_dir_all(&pool).expect("a file system of our own");
            let text =
                format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
            disk = Some(made);
            change(setup.config(stage, &text), stage)
        });
        Self { disk, ..house }
    }

    /// What a command that must succeed prints.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.daemon.ok(words)
    }

    /// The JSON of a command that must succeed.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["--json"]].concat())).expect("JSON on stdout")
    }

    /// The errors of a command that must fail with this exit code.
    #[track_caller]
    pub fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.daemon.berth(words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        text
    }

    /// Backs a volume up until that reads nothing: what changed right before a backup is
    /// read by the next one again.
    #[track_caller]
    pub fn ages(&self, volume: &str) {
        poll::holds("the files are old enough", SOON, || {
            let id = self.ok(&["backup", "create", volume]);
            self.json(&["backup", "inspect", &id])[0]["bytes-read"] == 0
        });
    }

    /// Starts the daemon anew with these failpoints; none, if empty.
    pub fn restart(&mut self, failpoints: &str) {
        self.daemon.setup = self.daemon.setup.clone().env("BERTH_FAILPOINTS", failpoints);
        self.daemon.restart();
    }

    /// Starts it anew with a failpoint, which it may meet before it is ready.
    pub fn arm(&mut self, failpoint: &str) {
        self.daemon.setup = self.daemon.setup.clone().env("BERTH_FAILPOINTS", failpoint);
        self.daemon.respawn();
        let control = self.daemon.control();
        poll::holds("the daemon is ready, or ended", SOON, || {
            !self.daemon.is_alive() || control.attempt("GET", "/v1/info", None).is_ok()
        });
    }

    /// The folder of a volume in the pool.
    #[track_caller]
    pub fn folder(&self, volume: &str) -> PathBuf {
        let id = self.daemon.control().volume(volume)["id"].as_str().expect("an id").to_owned();
        let pool = match &self.disk {
            Some(disk) => disk.path().join("pool"),
            None => self.daemon.setup.root.join("pools/default"),
        };
        pool.join("volumes").join(id)
    }

    /// The folders of a volume's snapshots, as they are on disk.
    pub fn snapshots_on_disk(&self, volume: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder(volume).join("snapshots"));
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// The built-in repository.
    pub fn built_in(&self) -> PathBuf {
        self.daemon.setup.root.join("repositories/default")
    }

    /// Where the key of a repository is.
    pub fn key(&self, name: &str) -> PathBuf {
        self.daemon.setup.root.join(format!("repositories/{name}.key"))
    }
}
