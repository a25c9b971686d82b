//! Content of volumes on NFS: what is read is what was written, here and elsewhere;
//! snapshots and clones are the server's; what is lost on the way is an error.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod backups;
mod broken;
mod copies;
mod squash;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use serde_json::Value;
use support::{
    daemon::{Daemon, Setup as Berth},
    namespace,
    nfs::{Server, Setup},
    poll,
    stage::Stage,
};

const MIB: usize = 1 << 20;

/// How long an emulated machine may take to mount and look at a new pool.
const START: Duration = Duration::from_secs(60);

/// A server, and a daemon whose only pool is its export. The server is dropped first,
/// since it may be dead.
struct Scene {
    server: Server,
    daemon: Daemon,
    stage: Stage,
}

impl Scene {
    /// With these lines for the pool.
    fn new(setup: Setup, lines: &str) -> Self {
        Self::with(setup, lines, |berth, _, _| berth)
    }

    /// And with what `change` makes of the daemon, and of the server before it starts.
    fn with(
        setup: Setup,
        lines: &str,
        change: impl FnOnce(Berth, &Stage, &Server) -> Berth,
    ) -> Self {
        namespace::apart();
        let stage = Stage::new("nfs-content");
        let server = setup.start(&stage);
        let text = format!(
            "[pools.default]\nbackend = \"nfs\"\nserver = \"{}\"\nexport = \"{}\"\n{lines}\n",
            server.address().v4,
            server.export(),
        );
        let berth = Berth::new(&stage).config(&stage, &text);
        let daemon = change(berth, &stage, &server).start();
        poll::holds("the pool is there", START, || {
            daemon.control().ok("GET", "/v1/pools/default", None)["state"] == "ready"
        });
        Self { server, daemon, stage }
    }

    fn ok(&self, words: &[&str]) -> String {
        self.daemon.ok(words)
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["--json"]].concat())).expect("JSON on stdout")
    }

    /// A new volume, and where a container has it.
    fn volume(&self, name: &str) -> PathBuf {
        self.ok(&["volume", "create", name]);
        self.mounted(name)
    }

    fn mounted(&self, name: &str) -> PathBuf {
        self.daemon.plugin().mount(name, "container").expect("it is mounted")
    }

    fn unmount(&self, name: &str) {
        self.daemon.plugin().unmount(name, "container").expect("it is mounted");
    }

    /// A snapshot; what the job was told beforehand.
    fn snapshot(&self, volume: &str, name: &str) -> String {
        let output = self.daemon.berth(&["snapshot", "create", volume, name]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "snapshot {name}: {said}");
        said
    }

    /// The content of a volume, as the server has it.
    fn on_server(&self, volume: &str) -> PathBuf {
        let id = self.daemon.control().volume(volume)["id"].as_str().expect("an id").to_owned();
        self.server.disk().join("volumes").join(id).join("data")
    }

    /// The content of its snapshot, as the server has it.
    fn snapshot_on_server(&self, volume: &str, name: &str) -> PathBuf {
        let id = self.json(&["snapshot", "inspect", &format!("{volume}@{name}")])[0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        self.on_server(volume).with_file_name("snapshots").join(id).join("data")
    }

    /// What the server's disk has in use, in bytes.
    fn used(&self) -> u64 {
        let disk = File::open(self.server.disk()).expect("it is mounted here too");
        nix::unistd::syncfs(&disk).expect("it syncs");
        let space = statvfs(self.server.disk()).expect("readable");
        (space.blocks() - space.blocks_free()) * space.fragment_size()
    }
}

/// A file of `size` bytes, all of them `byte`.
fn write(path: &Path, byte: u8, size: usize) {
    fs::write(path, vec![byte; size]).expect("written");
}

#[track_caller]
fn holds(path: &Path, byte: u8, size: usize) {
    let content = fs::read(path).expect("there");
    assert_eq!(content.len(), size, "{}", path.display());
    let wrong = content.iter().position(|found| *found != byte);
    assert_eq!(wrong, None, "{}: another byte than {byte}", path.display());
}
