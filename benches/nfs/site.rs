//! A server, and a daemon whose only pool is its export.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{sys::statvfs::statvfs, unistd::syncfs};
use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup as Berth},
    load::Client,
    namespace,
    nfs::{Server, Setup},
    poll,
    stage::Stage,
};

/// The longest that anything here may take.
const LONG: Duration = Duration::from_mins(5);

/// What all sizes are divided by, for a quick look.
pub(crate) fn part() -> u64 {
    env::var("BERTH_BENCH_PART").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// All of it is gone when dropped, the server first.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) daemon: Daemon,
    _stage: Stage,
}

impl Site {
    pub(crate) fn new(setup: Setup) -> Self {
        namespace::apart();
        let stage = Stage::new("nfs-bench");
        let server = setup.start(&stage);
        let text = format!(
            "[pools.default]\nbackend = \"nfs\"\nserver = \"{}\"\nexport = \"{}\"\n",
            server.address().v4,
            server.export(),
        );
        let daemon = Berth::new(&stage).config(&stage, &text).start();
        poll::holds("the pool is there", LONG, || {
            daemon.control().ok("GET", "/v1/pools/default", None)["state"] == "ready"
        });
        Self { server, daemon, _stage: stage }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.daemon.setup.plugin_socket, &self.daemon.setup.control_socket)
    }

    /// A new volume, as a container sees it.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.daemon.plugin().create(name, &json!({})).expect("created");
        self.daemon.plugin().mount(name, "bench").expect("mounted")
    }

    /// Writes out what is on its way to the server's disk, lest one measurement pays for
    /// another.
    pub(crate) fn sync(&self) {
        syncfs(File::open(self.server.disk()).expect("it is mounted")).expect("it syncs");
    }

    /// Bytes that the server has free.
    pub(crate) fn free(&self) -> u64 {
        self.sync();
        let found = statvfs(self.server.disk()).expect("it is mounted");
        found.blocks_free() * found.fragment_size()
    }

    /// Waits until nothing is left of removed snapshots.
    pub(crate) fn until_purged(&self) {
        let purge = self.server.disk().join(".berth/purge");
        let left = |folder: &Path| folder.read_dir().map_or(0, Iterator::count);
        poll::holds("removed snapshots are deleted", LONG, || left(&purge) == 0);
    }
}
