//! A volume that is a directory, and its backups.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "one source for many test crates")]

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use berth_api::{Consistency, Result, VolumeId};
use berth_host::beneath::{
    Dir,
    copy::{self, Origins, Way},
};
use berth_vault::{
    Backup, Id, Password, Repository,
    backup::{
        Description, Label, Mode, Request,
        description::Content,
        tree::{TreeSource, back_up},
    },
    format::{Node, Tree},
    repository::Who,
    store::directory::Directory,
};
use jiff::{SignedDuration, Timestamp};

use super::stock::{Stock, op};

/// The volume of all tests: children of a test know it, too.
const ID: &str = "11111111111111111111111111111111";

/// A volume on a stage of its own.
#[derive(Debug)]
pub struct Volume {
    pub stock: Stock,
    pub repository: Repository,
}

/// A copy of its content, as a snapshot is.
#[derive(Debug)]
pub struct Copy {
    pub path: PathBuf,
    pub origins: Origins,
}

impl Volume {
    /// One with nothing in it, and a new repository.
    pub fn new() -> Self {
        let stock = Stock::empty();
        let repository = stock.init();
        fs::create_dir(stock.path("data")).expect("makes");
        Self { stock, repository }
    }

    /// Its content.
    pub fn data(&self) -> PathBuf {
        self.stock.path("data")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.data().join(name), content).expect("writes");
    }

    /// Copies the content, once nothing in it is so new that a change could hide.
    pub fn copy(&self, name: &str) -> Copy {
        quiet(&self.data());
        let path = self.stock.path(name);
        fs::create_dir(&path).expect("makes");
        let (from, to) = (dir(&self.data()), dir(&path));
        let request =
            copy::Request { from: &from, to: &to, way: Way::Copy, origins: true, op: &op() };
        let copied = copy::tree(&request).expect("copies");
        Copy { path, origins: copied.origins.expect("asked for") }
    }

    /// Backs a copy up.
    pub fn back_up(&self, copy: &Copy) -> Backup {
        self.try_back_up(copy).expect("a backup")
    }

    pub fn try_back_up(&self, copy: &Copy) -> Result<Backup> {
        let origins = Some(copy.origins.clone());
        self.source(&copy.path, origins, false, Timestamp::now())
    }

    /// Backs up what is the volume's own, as it was then and is still.
    pub fn back_up_at(&self, created: Timestamp) -> Backup {
        self.source(&self.data(), None, false, created).expect("a backup")
    }

    /// Backs up what others may write to.
    pub fn back_up_live(&self) -> Result<Backup> {
        self.source(&self.data(), None, true, Timestamp::now())
    }

    fn source(
        &self,
        path: &Path,
        origins: Option<Origins>,
        live: bool,
        created: Timestamp,
    ) -> Result<Backup> {
        back_up_with(&self.repository, path, origins, live, created)
    }

    /// The nodes of a directory of a backup, `data` first.
    pub fn nodes(&self, backup: &Backup, path: &[&str]) -> Vec<Node> {
        let index = self.repository.index(&op()).expect("an index");
        let tree = |id| -> Tree { self.repository.tree(&op(), &index, &id).expect("a tree") };
        let mut nodes = tree(backup.file.tree).nodes;
        for name in ["data"].iter().chain(path) {
            let node = nodes.into_iter().find(|node| node.name == *name).expect("it is there");
            nodes = tree(node.subtree.expect("a directory")).nodes;
        }
        nodes
    }

    /// The tree of the volume's top directory.
    pub fn top(&self, backup: &Backup) -> Id {
        let index = self.repository.index(&op()).expect("an index");
        let root = self.repository.tree(&op(), &index, &backup.file.tree).expect("a tree");
        root.nodes[0].subtree.expect("a directory")
    }

    pub fn node(&self, backup: &Backup, name: &str) -> Node {
        let nodes = self.nodes(backup, &[]);
        nodes.into_iter().find(|node| node.name == name).expect("it is there")
    }

    /// Whether Debian's restic finds nothing wrong, and what it restores.
    pub fn restored(&self, backup: &Backup) -> PathBuf {
        self.restored_by(Path::new("restic"), backup)
    }

    /// The same by this restic, one of `stock::all`, each in a place of its own.
    pub fn restored_by(&self, restic: &Path, backup: &Backup) -> PathBuf {
        let place = self.stock.path("");
        self.stock.by(restic, &place, &["check", "--read-data"]);
        let name = restic.display().to_string().replace('/', "-");
        let target = self.stock.path(&format!("restored-{name}-{}", backup.id.short()));
        let (id, to) = (backup.id.to_string(), target.display().to_string());
        self.stock.by(restic, &place, &["restore", &id, "--target", &to]);
        target.join("data")
    }
}

/// Backs up what is in `path` as the volume of these tests.
pub fn back_up_with(
    repository: &Repository,
    path: &Path,
    origins: Option<Origins>,
    live: bool,
    created: Timestamp,
) -> Result<Backup> {
    let volume: VolumeId = ID.parse().expect("an id");
    let name = || "db".parse().expect("a name");
    let label = Label {
        volume: name(),
        volume_id: volume,
        snapshot: None,
        snapshot_id: None,
        consistency: if live { Consistency::PerFile } else { Consistency::Atomic },
        mode: Mode::Full,
        bytes_read: 0,
        host: "alpha".to_owned(),
        host_id: "1".to_owned(),
        pool: "default".to_owned(),
        policy: None,
    };
    let description = Description {
        version: 1,
        name: name(),
        id: volume,
        created,
        given: [].into(),
        options: [].into(),
        pool: "default".to_owned(),
        backend: "tree".to_owned(),
        host: "alpha".to_owned(),
        host_id: "1".to_owned(),
        content: Content::Tree,
    };
    let request = Request { label, description, created };
    back_up(repository, &op(), &request, &TreeSource { data: &dir(path), origins, live, volume })
}

/// The repository of a volume on the stage of another process.
pub fn open_at(stage: &Path) -> Repository {
    let store = Arc::new(Directory::new(stage.join("repo")));
    let who = Who { hostname: "alpha".to_owned(), username: "root".to_owned() };
    let password = Password::new(b"for tests only");
    Repository::open(&op(), "test", store, &password, who).expect("it opens")
}

/// Later than anything that a test does.
pub fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(3600)
}

pub fn dir(path: &Path) -> Dir {
    Dir::open(path).expect("opens")
}

/// Waits until nothing in `top` is so new that a change could hide.
fn quiet(top: &Path) {
    let until = Instant::now() + Duration::from_secs(10);
    while age(top) < Duration::from_millis(50) {
        assert!(Instant::now() < until, "the clock stands still");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long ago the last change in `top` was.
fn age(top: &Path) -> Duration {
    let stat = fs::symlink_metadata(top).expect("a stat");
    let since = UNIX_EPOCH
        + Duration::new(
            stat.ctime().try_into().expect("after 1970"),
            stat.ctime_nsec().try_into().expect("below a second"),
        );
    let own = SystemTime::now().duration_since(since).unwrap_or_default();
    if !stat.is_dir() {
        return own;
    }
    let inside = fs::read_dir(top).expect("reads");
    inside.map(|entry| age(&entry.expect("an entry").path())).min().map_or(own, |age| age.min(own))
}

/// What a file occupies, in bytes.
pub fn occupied(path: &Path) -> u64 {
    File::open(path).and_then(|file| file.metadata()).expect("a stat").blocks() * 512
}
