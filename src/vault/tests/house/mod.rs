//! A repository in a directory of its own, with stock restic beside.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

#[path = "../support/restics.rs"]
pub(crate) mod restics;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Op, Result};
use berth_vault::{
    Id, Lock, Password, Repository, Writer,
    format::{BlobKind, Node, NodeKind, SnapshotFile, Tree},
    repository::Who,
    store::{Kind, directory::Directory},
};

/// The password of all of them.
pub(crate) const PASSWORD: &str = "house";

/// The repository's folder and what is backed up.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    /// The stock restic beside: Debian's, if nothing else is said.
    restic: PathBuf,
}

impl House {
    /// A new one.
    pub(crate) fn new() -> Self {
        let house = Self::empty();
        Repository::init(&op(), "house", house.store(), &password(), who()).unwrap();
        house
    }

    /// A new one for each stock restic.
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        restics::all().into_iter().map(|restic| Self { restic, ..Self::new() })
    }

    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), PASSWORD).unwrap();
        Self { folder, restic: PathBuf::from("restic") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub(crate) fn store(&self) -> Arc<Directory> {
        Arc::new(Directory::new(self.path()))
    }

    pub(crate) fn open(&self) -> Repository {
        self.open_as(who())
    }

    pub(crate) fn open_as(&self, who: Who) -> Repository {
        Repository::open(&op(), "house", self.store(), &password(), who).unwrap()
    }

    /// restic with this repository; `args` split at spaces.
    pub(crate) fn restic(&self, args: &str) -> Command {
        self.command(&self.restic, args)
    }

    /// The same with this restic.
    pub(crate) fn command(&self, restic: &Path, args: &str) -> Command {
        let mut command = Command::new(restic);
        command
            .args(args.split_whitespace())
            .env("RESTIC_REPOSITORY", self.path())
            .env("RESTIC_PASSWORD_FILE", self.folder.path().join("password"))
            .env("RESTIC_CACHE_DIR", self.folder.path().join("cache"))
            .env("RESTIC_PROGRESS_FPS", "0.01")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What restic says, if it succeeds.
    #[track_caller]
    pub(crate) fn succeed(&self, args: &str) -> String {
        succeeds(self.restic(args))
    }

    /// Every stock restic does this, and succeeds.
    #[track_caller]
    pub(crate) fn all_succeed(&self, args: &str) {
        for restic in restics::all() {
            succeeds(self.command(&restic, args));
        }
    }

    /// Every stock restic accepts the whole repository.
    #[track_caller]
    pub(crate) fn judged(&self) {
        self.all_succeed("check --read-data --no-cache");
    }

    /// What restic says when it does not.
    #[track_caller]
    pub(crate) fn fail(&self, args: &str) -> String {
        let output = self.restic(args).output().expect("restic is installed");
        assert!(!output.status.success(), "restic {args}: {}", text(&output));
        text(&output)
    }

    /// A running `restic backup --stdin` that ends with its standard input, once it
    /// holds its lock.
    pub(crate) fn blocker(&self) -> Child {
        let before = self.files(Kind::Lock).len();
        let mut child = self.restic("backup --stdin").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"content").unwrap();
        within(30, "restic takes a lock", || self.files(Kind::Lock).len() > before);
        child
    }

    pub(crate) fn files(&self, kind: Kind) -> Vec<Id> {
        use berth_vault::Store as _;
        self.store().list(&op(), kind).unwrap().into_iter().map(|file| file.id).collect()
    }

    /// Backs up a folder of `count` files of random content; the snapshot's id.
    pub(crate) fn back_up(&self, name: &str, count: usize, length: usize) -> Id {
        let folder = self.folder.path().join("content").join(name);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            let file = folder.join(format!("file-{number}"));
            fs::write(file, noise(&format!("{name}/{number}"), length)).unwrap();
        }
        self.snapshot(name)
    }

    /// Backs up that folder as one who knows nothing of the index: its blobs are there
    /// once more.
    pub(crate) fn back_up_unaware(&self, name: &str) -> Id {
        let (index, aside) = (self.path().join("index"), self.path().join("aside"));
        fs::rename(&index, &aside).unwrap();
        fs::create_dir(&index).unwrap();
        let id = self.snapshot(&format!("{name} --force --no-cache"));
        for file in fs::read_dir(&aside).unwrap() {
            let file = file.unwrap();
            fs::rename(file.path(), index.join(file.file_name())).unwrap();
        }
        fs::remove_dir(&aside).unwrap();
        id
    }

    /// Backs up that folder as it is; the snapshot's id.
    pub(crate) fn snapshot(&self, name: &str) -> Id {
        let before = self.files(Kind::Snapshot);
        self.succeed(&format!("backup content/{name}"));
        let after = self.files(Kind::Snapshot);
        after.into_iter().find(|id| !before.contains(id)).expect("a new snapshot")
    }

    /// Every stock restic restores a snapshot of [`back_up`](Self::back_up) to the same
    /// bytes.
    #[track_caller]
    pub(crate) fn restores(&self, id: &Id, name: &str) {
        for restic in restics::all() {
            let target = self.folder.path().join("restored");
            let _ = fs::remove_dir_all(&target);
            succeeds(self.command(&restic, &format!("restore {id} --target restored")));
            let origin = self.folder.path().join("content").join(name);
            let copy = target.join("content").join(name);
            for entry in fs::read_dir(&origin).unwrap() {
                let entry = entry.unwrap();
                let there = fs::read(copy.join(entry.file_name())).unwrap();
                assert!(there == fs::read(entry.path()).unwrap(), "{}", entry.path().display());
            }
        }
    }
}

/// What it prints.
#[track_caller]
fn succeeds(mut command: Command) -> String {
    let output = command.output().expect("restic is installed");
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// Backs up one file of random content as Berth does: lock, blobs, snapshot.
pub(crate) fn write(repository: &Repository, seed: &str, length: usize) -> Result<Id> {
    let lock = Lock::shared_within(&op(), repository, Duration::from_secs(60))?;
    let index = Arc::new(repository.index(&op())?);
    let writer = Writer::new(repository, index, &op())?;
    let mut file = Node::new(b"file", NodeKind::File);
    file.set_mode(0o644);
    file.size = length as u64;
    let mut content = Vec::new();
    for part in noise(seed, length).chunks(64 << 10) {
        content.push(writer.add(BlobKind::Data, part)?.id);
    }
    file.content = Some(content);
    let inner = writer.add(BlobKind::Tree, &Tree { nodes: vec![file] }.to_bytes())?.id;
    let mut folder = Node::new(b"folder", NodeKind::Dir);
    folder.set_mode(0o755);
    folder.subtree = Some(inner);
    let tree = writer.add(BlobKind::Tree, &Tree { nodes: vec![folder] }.to_bytes())?.id;
    writer.finish()?;
    lock.check()?;
    let file = SnapshotFile {
        time: jiff::Timestamp::now(),
        parent: None,
        tree,
        paths: vec![format!("/{seed}")],
        hostname: repository.who().hostname.clone(),
        username: String::new(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        original: None,
        program_version: String::new(),
        summary: None,
    };
    let id = repository.save(&op(), Kind::Snapshot, &file)?;
    lock.release()?;
    Ok(id)
}

/// Bytes that neither compress nor repeat, the same for the same seed.
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    let mut block = Id::of(seed.as_bytes());
    while bytes.len() < length {
        bytes.extend(block.0);
        block = Id::of(&block.0);
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn op() -> Op {
    Op::new(Duration::from_secs(120))
}

pub(crate) fn password() -> Password {
    Password::new(PASSWORD.as_bytes())
}

/// This host, as restic names it.
pub(crate) fn who() -> Who {
    let hostname = nix::unistd::gethostname().unwrap().into_string().unwrap();
    Who { hostname, username: "root".to_owned() }
}

/// Another host.
pub(crate) fn stranger() -> Who {
    Who { hostname: "elsewhere".to_owned(), username: "root".to_owned() }
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits until `done`, at most that many seconds.
pub(crate) fn within(seconds: u64, what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < until, "not in {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// This test binary as a child that runs the test `name` only, with `BERTH_STAGE`
/// as the repository's folder. SIGHUP does not end it, as it does not end the daemon:
/// `restic unlock` asks with it whether the process of a lock lives.
pub(crate) fn child(name: &str, stage: &Path) -> Command {
    let mut command = Command::new("env");
    command
        .arg("--ignore-signal=HUP")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("BERTH_STAGE", stage)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The folder that [`child`] was given, in the child.
pub(crate) fn stage() -> Option<PathBuf> {
    std::env::var_os("BERTH_STAGE").map(PathBuf::from)
}
