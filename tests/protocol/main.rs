//! What comes over the two sockets, byte by byte, and what must come back.
//! Black-box against the built binary; no Docker, no network.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod calls;
mod control;
mod hostile;
mod lost;
mod process;

use std::{fs, path::PathBuf};

use support::{daemon::Daemon, http::Message, stage::Stage};

/// The nine calls, without their common prefix.
const CALLS: [&str; 9] = [
    "Plugin.Activate",
    "VolumeDriver.Create",
    "VolumeDriver.Remove",
    "VolumeDriver.Mount",
    "VolumeDriver.Unmount",
    "VolumeDriver.Path",
    "VolumeDriver.Get",
    "VolumeDriver.List",
    "VolumeDriver.Capabilities",
];

const PLUGIN_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// A stage with a daemon on it.
struct Scene {
    daemon: Daemon,
    stage: Stage,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::with(name, |setup| setup)
    }

    fn with(
        name: &str,
        change: impl FnOnce(support::daemon::Setup) -> support::daemon::Setup,
    ) -> Self {
        let stage = Stage::new(name);
        let daemon = change(support::daemon::Setup::new(&stage)).start();
        Self { daemon, stage }
    }

    /// The names that Docker is told of.
    fn names(&self) -> Vec<String> {
        let volumes = self.daemon.plugin().list();
        volumes.iter().map(|volume| volume["Name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// The `Err` of a reply that Docker can read: 200, its type, JSON.
#[track_caller]
fn error_of(reply: &Message) -> String {
    assert_eq!(reply.status(), 200, "{}: {}", reply.start, reply.text());
    assert_eq!(reply.header("content-type"), Some(PLUGIN_TYPE));
    reply.json()["Err"].as_str().unwrap_or_else(|| panic!("no Err: {}", reply.text())).to_owned()
}

/// Everything below `folder`: paths, kinds, contents.
fn tree(folder: &std::path::Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let meta = fs::symlink_metadata(&path).expect("there");
            let content = if meta.is_file() {
                fs::read_to_string(&path).expect("readable")
            } else {
                String::new()
            };
            let changed = meta.modified().expect("a time");
            found.push((path.clone(), format!("{:?} {changed:?} {content}", meta.permissions())));
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}
