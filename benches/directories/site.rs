//! A daemon with its root on a fresh file system.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{sys::statvfs::statvfs, unistd::syncfs};
use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, Disk},
    load::Client,
    loopfs::{Kind, LoopFs},
    poll,
};

/// The longest that anything here may take.
const LONG: Duration = Duration::from_mins(10);

/// Daemon and file system; both are gone when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    // Before the file system, which it keeps busy.
    pub(crate) daemon: Daemon,
    disk: LoopFs,
}

impl Site {
    /// On a sparse file system of `megabytes`.
    pub(crate) fn new(stage: &Path, name: &str, kind: Kind, megabytes: u64) -> Self {
        let disk = LoopFs::new(stage, name, kind, megabytes);
        let daemon = Daemon::setup(disk.path(), "berth", Disk::AsItIs).start();
        Self { daemon, disk }
    }

    pub(crate) fn client(&self) -> Client {
        self.daemon.client()
    }

    /// A new volume's id.
    pub(crate) fn volume(&self, name: &str) -> String {
        let mut client = self.client();
        client.create(name, &json!({})).done();
        let view = client.view(name).done();
        view["id"].as_str().expect("an id").to_owned()
    }

    /// A place on the same file system that Berth knows nothing of.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// Writes everything out, lest one measurement pays for another.
    pub(crate) fn sync(&self) {
        let top = File::open(self.disk.path()).expect("it is mounted");
        syncfs(top).expect("our own file system");
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let found = statvfs(self.disk.path()).expect("it is mounted");
        found.blocks_free() * found.fragment_size()
    }

    /// Waits until nothing is left of a removed volume.
    pub(crate) fn until_gone(&self, id: &str) {
        let pool = self.daemon.pool();
        let places = [pool.join("volumes").join(id), pool.join(".berth/trash").join(id)];
        // Far more often than it matters: a removal takes a second.
        while places.iter().any(|place| place.exists()) {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits until nothing is left of removed snapshots.
    pub(crate) fn until_purged(&self) {
        let purge = self.daemon.pool().join(".berth/purge");
        poll::holds("removed snapshots are deleted", LONG, || {
            fs::read_dir(&purge).map_or(0, Iterator::count) == 0
        });
    }
}

/// Takes a snapshot and waits for its end.
pub(crate) fn snapshot(client: &mut Client, volume: &str, name: &str) {
    let path = format!("/v1/volumes/{volume}/snapshots");
    let mut job = client.control("POST", &path, Some(&json!({ "name": name }))).done();
    let id = job["id"].as_str().expect("an id").to_owned();
    while matches!(job["state"].as_str(), Some("queued" | "running")) {
        job = client.control("GET", &format!("/v1/jobs/{id}/wait?seconds=20"), None).done();
    }
    assert_eq!(job["state"], Value::from("done"), "{job}");
}

/// Removes a snapshot; it is deleted later.
pub(crate) fn remove_snapshot(client: &mut Client, volume: &str, name: &str) {
    client.control("DELETE", &format!("/v1/volumes/{volume}/snapshots/{name}"), None).done();
}
