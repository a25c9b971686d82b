//! A shared pool that hosts meet in.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use berth_api::{
    HostId, Op, Result, SharedRecords, VolumeId,
    records::{Admission, Attached, Author, Basis, Holder, Version},
};
use berth_tree::{Sharing, Tree};
use serde_json::{Value, json};

use crate::place::Place;

/// A host: its own view of the pool.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) tree: Arc<Tree>,
    pub(crate) author: Author,
}

/// A pool.
pub(crate) struct Pool {
    place: Place,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { place: Place::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path()
    }

    pub(crate) fn host(&self, name: &str) -> Host {
        let path = self.place.seen_by(name);
        let tree = Tree::shared("tried", &path, Sharing { coherent: false });
        let author = Author { host: HostId::random(), name: name.to_owned() };
        tree.identify(None, author.host).expect("a shared pool");
        Host { tree: Arc::new(tree), author }
    }

    pub(crate) fn record(&self, id: VolumeId) -> PathBuf {
        self.path().join(".berth/records").join(id.to_string())
    }

    /// What lies in a folder of the pool's own.
    #[track_caller]
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path().join(".berth").join(folder))
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("readable");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

pub(crate) fn says(text: &str) -> Value {
    json!({ "is": text })
}

pub(crate) fn is(version: &Version, text: &str) -> bool {
    version.body == says(text)
}

/// As the engine judges a record.
pub(crate) fn admit(version: &Version) -> Admission {
    match version.body["is"].as_str() {
        Some("ready") => Admission::Ready,
        Some("removing") => Admission::Removing,
        _ => Admission::Refused,
    }
}

impl Host {
    pub(crate) fn records(&self) -> &dyn SharedRecords {
        self.tree.records().expect("shared")
    }

    pub(crate) fn write(&self, id: VolumeId, basis: Option<&Basis>, text: &str) -> Result<Version> {
        self.records().write(&op(), &self.author, id, basis, &says(text))
    }

    /// Writes upon what is there, whatever it is.
    pub(crate) fn write_on(&self, id: VolumeId, text: &str) -> Result<Version> {
        let there = self.read(id).expect("readable").expect("there");
        self.write(id, Some(&there.basis()), text)
    }

    pub(crate) fn read(&self, id: VolumeId) -> Result<Option<Version>> {
        self.records().read(&op(), id)
    }

    /// A new volume that says `text`.
    pub(crate) fn volume(&self, text: &str) -> (VolumeId, Version) {
        let id = VolumeId::random();
        (id, self.write(id, None, text).expect("nobody else has this id"))
    }

    pub(crate) fn remove(&self, id: VolumeId, basis: &Basis) -> Result<Version> {
        let (removing, back) = (says("removing"), says("ready"));
        self.records().remove(&op(), &self.author, id, basis, &removing, &back)
    }

    pub(crate) fn attach(&self, id: VolumeId) -> Result<Attached> {
        self.records().attach(&op(), &self.holder(), id, Duration::ZERO, &admit)
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder { author: self.author.clone(), boot: "this".to_owned() }
    }

    pub(crate) fn claim(&self, name: &str, id: VolumeId) -> Result<()> {
        let name = name.parse().expect("a valid name");
        self.records().claim(&op(), &self.author, &name, id, &|record| {
            is(record, "removing") || is(record, "removed")
        })
    }

    pub(crate) fn resolve(&self, name: &str) -> Result<Option<VolumeId>> {
        self.records().resolve(&op(), &name.parse().expect("a valid name"))
    }

    /// The host comes up again.
    pub(crate) fn reboot(&self) -> Self {
        let host = self.clone();
        host.records().clean(&op(), host.author.host).expect("cleaned");
        host
    }
}
