//! One server for all tests of this file, each with folders of its own on it, and a
//! daemon on this machine.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    daemon::{Daemon, Setup as Start},
    nfs::{Server, Setup},
    poll,
    stage::Stage,
};

/// A host ends with the thread that started it, so this one has a thread that never
/// ends.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stage = Stage::new("nfs-options");
        let server = Setup::new().version_3().start(&stage);
        sender.send(server).expect("somebody waits for it");
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the server started")
});

/// The server.
pub(crate) fn server() -> &'static Server {
    &SERVER
}

/// A new folder of the export: as hosts have it, and as the server has it.
pub(crate) fn folder(name: &str) -> (String, PathBuf) {
    let path = server().disk().join(name);
    fs::create_dir(&path).expect("a name that no other test has");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    (format!("{}/{name}", server().export()), path)
}

/// The section of a pool.
pub(crate) fn pool(name: &str, server: &str, export: &str, more: &str) -> String {
    format!("[pools.{name}]\nbackend = \"nfs\"\nserver = {server:?}\nexport = {export:?}\n{more}\n")
}

/// A daemon, and the folder of its pool as the server has it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) daemon: Daemon,
    pub(crate) disk: PathBuf,
    pub(crate) stage: Stage,
}

impl Site {
    /// With one pool in a folder `name` of the export; `more` is what its section says
    /// besides, and `before` puts there what it shall find.
    #[track_caller]
    pub(crate) fn new(name: &str, more: &str, before: impl FnOnce(&Path)) -> Self {
        let stage = Stage::new(name);
        let (export, disk) = folder(name);
        before(&disk);
        let config = pool("default", &server().address().v4.to_string(), &export, more);
        let daemon = Start::new(&stage).config(&stage, &config).start();
        Self { daemon, disk, stage }
    }

    /// The pool's mounts of the export: what each is called, and what it shows.
    pub(crate) fn exports(&self) -> Vec<(String, String)> {
        let place = self.stage.join("root/exports/default");
        let table = fs::read_to_string("/proc/self/mounts").expect("readable");
        let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields
            .filter_map(|fields| {
                let name = Path::new(fields[1]).strip_prefix(&place).ok()?;
                Some((name.to_str()?.to_owned(), fields[0].to_owned()))
            })
            .collect()
    }

    /// The id of a volume.
    #[track_caller]
    pub(crate) fn id(&self, name: &str) -> String {
        self.daemon.control().volume(name)["id"].as_str().expect("an id").to_owned()
    }
}

/// Status and words of a command that must fail.
#[track_caller]
pub(crate) fn refused(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let output = daemon.berth(words);
    assert!(!output.status.success(), "{words:?}: it works");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("it ended by itself"), said)
}

/// Waits until a pool is used: a slow machine takes its time for the first mount.
#[track_caller]
pub(crate) fn ready(daemon: &Daemon, name: &str) {
    poll::holds("the pool is ready", Duration::from_secs(90), || {
        pool_of(daemon, name)["state"] == "ready"
    });
}

/// The view of a pool.
#[track_caller]
pub(crate) fn pool_of(daemon: &Daemon, name: &str) -> Value {
    daemon.control().ok("GET", &format!("/v1/pools/{name}"), None)
}

/// The options of what is mounted at a path.
#[track_caller]
pub(crate) fn options_at(path: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").expect("readable");
    let mut lines = table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|fields| Path::new(fields[1]) == path);
    let found = found.unwrap_or_else(|| panic!("nothing is mounted at {}", path.display()));
    found[3].split(',').map(ToOwned::to_owned).collect()
}
