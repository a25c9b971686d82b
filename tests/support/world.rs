//! What a recovered daemon, the kernel and the disk show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    kept::{self, Listed},
    load::Client,
    mounts,
};

/// One look at everything.
#[derive(Debug)]
pub struct World {
    /// Views of the volumes, by name.
    pub live: BTreeMap<String, Value>,
    /// Views of the removed volumes that can come back, by id.
    pub removed: BTreeMap<String, Value>,
    /// Ids of removed volumes that are being deleted for good.
    pub fading: BTreeSet<String>,
    /// Where volumes are mounted.
    pub mounts: PathBuf,
    /// The pool's folder.
    pub pool: PathBuf,
    snapshots: BTreeMap<String, Vec<Listed>>,
    table: Vec<PathBuf>,
}

impl World {
    /// Asks the daemon and looks at the mount table.
    #[track_caller]
    pub fn look(client: &mut Client, root: &Path, pool: &Path) -> Self {
        Self::try_look(client, root, pool).expect("the daemon lives")
    }

    /// As [`Self::look`]; `None` if the daemon is gone.
    pub fn try_look(client: &mut Client, root: &Path, pool: &Path) -> Option<Self> {
        let key = |view: &Value, key: &str| view[key].as_str().expect("text").to_owned();
        let live = client.views(false)?;
        let now = jiff::Timestamp::now();
        let (fading, removed): (Vec<_>, Vec<_>) =
            client.views(true)?.into_iter().partition(|view| {
                let expires = view["expires"].as_str().map(str::parse::<jiff::Timestamp>);
                expires.is_some_and(|expires| expires.expect("RFC 3339") <= now)
            });
        let mut snapshots = BTreeMap::<String, Vec<Listed>>::new();
        for view in client.list("/v1/snapshots")? {
            snapshots.entry(key(&view, "volume")).or_default().push(kept::listed(&view));
        }
        let mounts = root.join("mounts");
        let table = mounts::below(mounts::here(), &mounts);
        Some(Self {
            live: live.into_iter().map(|view| (key(&view, "name"), view)).collect(),
            fading: fading.iter().map(|view| key(view, "id")).collect(),
            removed: removed.into_iter().map(|view| (key(&view, "id"), view)).collect(),
            table: table.into_iter().map(|mount| mount.point).collect(),
            mounts,
            snapshots,
            pool: pool.to_owned(),
        })
    }

    /// The id of a live volume.
    pub fn id(&self, name: &str) -> Option<String> {
        self.live.get(name).and_then(|view| view["id"].as_str()).map(ToOwned::to_owned)
    }

    /// The snapshots of a live volume, in the order they were made.
    pub fn snapshots(&self, name: &str) -> &[Listed] {
        self.snapshots.get(name).map_or(&[], Vec::as_slice)
    }

    /// How often the mountpoint of `name` is in the mount table.
    pub fn mounted(&self, name: &str) -> usize {
        let mountpoint = self.mounts.join(name);
        self.table.iter().filter(|path| **path == mountpoint).count()
    }

    /// Directories without a record, records without a directory, mounts without
    /// a volume, temporary files: what a crash must not leave. May follow a
    /// little after the start; poll.
    pub fn leftovers(&self) -> Vec<String> {
        let still = |id: &String| format!("{id} is still being deleted");
        let mut found: Vec<_> = self.fading.iter().map(still).collect();
        let live = self.live.values().filter_map(|view| view["id"].as_str());
        let removed = self.removed.keys().map(String::as_str);
        compare("volumes", &self.pool.join("volumes"), &live.collect(), &mut found);
        compare("trash", &self.pool.join(".berth/trash"), &removed.collect(), &mut found);
        for id in entries(&self.pool.join("volumes")) {
            let volume = self.pool.join("volumes").join(&id);
            for extra in entries(&volume) {
                if !matches!(extra.as_str(), "data" | "volume.json" | "snapshots" | "origins") {
                    found.push(format!("{}/{extra} was left", volume.display()));
                }
            }
        }
        for extra in entries(&self.pool.join(".berth")) {
            if !matches!(extra.as_str(), "pool.json" | "trash" | "records" | "names" | "purge") {
                found.push(format!(".berth/{extra} was left"));
            }
        }
        for extra in entries(&self.pool.join(".berth/purge")) {
            found.push(format!(".berth/purge/{extra} was left"));
        }
        for mountpoint in entries(&self.mounts) {
            if self.live.get(&mountpoint).is_none_or(|view| view["references"] == 0) {
                found.push(format!("the mountpoint `{mountpoint}` was left"));
            }
        }
        found
    }
}

fn compare(what: &str, folder: &Path, records: &BTreeSet<&str>, found: &mut Vec<String>) {
    let there = entries(folder);
    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
    for id in there.difference(records) {
        found.push(format!("{what}/{id} has no record"));
    }
    for id in records.difference(&there) {
        found.push(format!("the record of {id} has no directory in {what}"));
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
