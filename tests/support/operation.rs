//! What one client can do to volumes, through both sockets and through the
//! mountpoint.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Value, json};

use super::load::{Answer, Client};

/// Who mounts; references are counted per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The Engine: its references have epochs.
    Docker,
    /// The command line.
    Command,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Docker's Create.
    Create { name: String, options: BTreeMap<String, String> },
    /// Mount by either client.
    Mount { name: String, by: By, id: String },
    /// Unmount by either client.
    Unmount { name: String, by: By, id: String },
    /// A file written and synced through the mountpoint.
    Write { name: String, file: String, text: String },
    /// Docker's Remove.
    Remove { name: String },
    /// `volume rm --now`: the live volume of this name, else the latest removed.
    Purge { name: String },
    /// `volume undelete`, by id.
    Undelete { id: String },
    /// `volume set` of one option.
    Set { name: String, key: String, value: String },
    /// `snapshot create`, waiting for its job.
    Snapshot { name: String, snapshot: String },
    /// `snapshot rm`
    RemoveSnapshot { name: String, snapshot: String },
    /// Docker's Create with `from`: `VOLUME` or `VOLUME@SNAPSHOT`.
    Clone { name: String, from: String, options: BTreeMap<String, String> },
    /// `volume rollback`, waiting for its job.
    Rollback { name: String, snapshot: String },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { name, file, .. } => write!(f, "write {file} in {name}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Op {
    /// Every verb, for statistics.
    pub const VERBS: [&str; 12] = [
        "create",
        "mount",
        "unmount",
        "write",
        "remove",
        "purge",
        "undelete",
        "set",
        "snapshot",
        "remove-snapshot",
        "clone",
        "rollback",
    ];

    /// Its verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Mount { .. } => "mount",
            Self::Unmount { .. } => "unmount",
            Self::Write { .. } => "write",
            Self::Remove { .. } => "remove",
            Self::Purge { .. } => "purge",
            Self::Undelete { .. } => "undelete",
            Self::Set { .. } => "set",
            Self::Snapshot { .. } => "snapshot",
            Self::RemoveSnapshot { .. } => "remove-snapshot",
            Self::Clone { .. } => "clone",
            Self::Rollback { .. } => "rollback",
        }
    }

    /// Does it, and says what became of it.
    ///
    /// # Panics
    /// If a write fails: containers must not notice the daemon's death.
    pub fn perform(&self, client: &mut Client, mounts: &Path) -> Answer {
        match self {
            Self::Create { name, options } => client.create(name, &json!(options)),
            Self::Mount { name, by: By::Docker, id } => client.mount(name, id),
            Self::Unmount { name, by: By::Docker, id } => client.unmount(name, id),
            Self::Mount { name, by: By::Command, id } => client.control(
                "POST",
                &format!("/v1/volumes/{name}/mount"),
                Some(&json!({"id": id})),
            ),
            Self::Unmount { name, by: By::Command, id } => client.control(
                "POST",
                &format!("/v1/volumes/{name}/unmount"),
                Some(&json!({"id": id})),
            ),
            Self::Write { name, file, text } => {
                write_synced(&mounts.join(name).join(file), text)
                    .unwrap_or_else(|error| panic!("write `{file}` in mounted `{name}`: {error}"));
                Answer::Done(Value::Null)
            }
            Self::Remove { name } => client.remove(name),
            Self::Purge { name } => {
                client.control("DELETE", &format!("/v1/volumes/{name}?now=true"), None)
            }
            Self::Undelete { id } => {
                client.control("POST", &format!("/v1/volumes/{id}/undelete"), None)
            }
            Self::Set { name, key, value } => client.control(
                "PATCH",
                &format!("/v1/volumes/{name}"),
                Some(&json!({"options": {key: value}})),
            ),
            Self::Snapshot { name, snapshot } => {
                client.job(&format!("/v1/volumes/{name}/snapshots"), &json!({"name": snapshot}))
            }
            Self::RemoveSnapshot { name, snapshot } => {
                client.control("DELETE", &format!("/v1/volumes/{name}/snapshots/{snapshot}"), None)
            }
            Self::Clone { name, from, options } => {
                let mut options = json!(options);
                options["from"] = json!(from);
                client.create(name, &options)
            }
            Self::Rollback { name, snapshot } => {
                client.job(&format!("/v1/volumes/{name}/rollback"), &json!({"snapshot": snapshot}))
            }
        }
    }
}

/// What a container does that wants to keep its data.
fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(path.parent().expect("a file in a volume"))?.sync_all()
}
