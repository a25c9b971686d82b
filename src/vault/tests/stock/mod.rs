//! Repositories that stock restic made, and forged ones that no tool would make.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "one source for many test crates")]

pub mod forge;
pub mod odd;
#[allow(clippy::duplicate_mod, reason = "a test that has its support, too, has it twice")]
#[path = "../support/restics.rs"]
mod restics;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use berth_api::{Op, VolumeId};
use berth_vault::{
    Backup, Password, Repository,
    backup::{Description, description::Content},
    repository::Who,
    store::directory::Directory,
};
use jiff::Timestamp;
pub(crate) use restics::all;
use tempfile::TempDir;

/// What opens every repository here.
pub const PASSWORD: &str = "for tests only";

/// A stage with a repository in `repo`, and room beside it.
#[derive(Debug)]
pub struct Stock {
    stage: TempDir,
}

impl Stock {
    /// A new repository, made by restic.
    pub fn new() -> Self {
        let stage = Self::empty();
        stage.restic(stage.path(""), &["init"]);
        stage
    }

    /// No repository yet.
    pub fn empty() -> Self {
        let stage = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        Self { stage }
    }

    /// A place on the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.stage.path().join(name)
    }

    /// Runs Debian's restic in `place`, which must go well.
    pub fn restic(&self, place: impl AsRef<Path>, arguments: &[&str]) -> String {
        self.by(Path::new("restic"), place, arguments)
    }

    /// Every restic accepts the whole repository, and lists as many snapshots.
    #[track_caller]
    pub fn judged(&self, snapshots: usize) {
        for restic in all() {
            self.by(&restic, "/", &["check", "--read-data"]);
            let listed = self.by(&restic, "/", &["snapshots", "--json"]);
            let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).expect("a list");
            assert_eq!(listed.len(), snapshots, "by {}", restic.display());
        }
    }

    /// The same by this restic, one of `all`.
    pub fn by(&self, restic: &Path, place: impl AsRef<Path>, arguments: &[&str]) -> String {
        let mut command = Command::new(restic);
        command.arg("--repo").arg(self.path("repo")).arg("--no-cache").args(arguments);
        command.env("RESTIC_PASSWORD", PASSWORD).current_dir(place);
        run(&mut command)
    }

    /// Backs `PLACE/data` up with restic, as a backup of the volume `name`.
    pub fn back_up(&self, place: &Path, name: &str) {
        let description = description(name);
        fs::write(place.join("volume.json"), description.to_bytes()).expect("writes");
        let (volume, id) = (format!("volume={name}"), format!("volume-id={}", description.id));
        let tags = ["--tag", "berth", "--tag", &volume, "--tag", &id];
        let what = ["backup", "--with-atime", "data", "volume.json"];
        self.restic(place, &[what.as_slice(), tags.as_slice()].concat());
    }

    /// The repository, opened by us.
    pub fn open(&self) -> Repository {
        let store = Arc::new(Directory::new(self.path("repo")));
        let password = Password::new(PASSWORD.as_bytes());
        Repository::open(&op(), "test", store, &password, who()).expect("it opens")
    }

    /// A repository of our own making.
    pub fn init(&self) -> Repository {
        let store = Arc::new(Directory::new(self.path("repo")));
        let password = Password::new(PASSWORD.as_bytes());
        Repository::init(&op(), "test", store, &password, who()).expect("it is made")
    }
}

/// The backups in a repository, oldest first.
pub fn backups(repository: &Repository) -> Vec<Backup> {
    let found = repository.snapshots(&op()).expect("snapshots");
    found.into_iter().filter_map(|(id, file)| Backup::of(id, file)).collect()
}

/// An operation with time enough.
pub fn op() -> Op {
    Op::new(Duration::from_secs(600))
}

/// Runs a command that must go well.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// That of a volume called `name`.
pub fn description(name: &str) -> Description {
    Description {
        version: 1,
        name: name.parse().expect("a name"),
        id: VolumeId::random(),
        created: Timestamp::UNIX_EPOCH,
        given: BTreeMap::new(),
        options: BTreeMap::from([("mode".to_owned(), "0750".to_owned())]),
        pool: "default".to_owned(),
        backend: "vfs".to_owned(),
        host: "alpha".to_owned(),
        host_id: "0123".to_owned(),
        content: Content::Tree,
    }
}

fn who() -> Who {
    Who { hostname: "alpha".to_owned(), username: "root".to_owned() }
}
