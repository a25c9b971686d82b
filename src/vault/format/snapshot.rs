//! `snapshots/ID`: one backup.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Id;

/// The file. Fields that Berth does not use are kept out: others may add some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// When it was taken.
    pub time: Timestamp,
    /// The snapshot that unchanged content was taken over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The top directory.
    pub tree: Id,
    /// What it is of; stock tools group by host and paths.
    #[serde(default, deserialize_with = "or_null")]
    pub paths: Vec<String>,
    /// The host's name.
    #[serde(default)]
    pub hostname: String,
    /// The user's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The user.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// The user's group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Words to find it by. Berth's own are `KEY=VALUE` (see `backup::label`).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub tags: Vec<String>,
    /// The snapshot that this one was made of, by a copy or a change of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// Who wrote it, and in which version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// What a backup did. Numbers of files, and bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its beginning.
    pub backup_start: Timestamp,
    /// Its end.
    pub backup_end: Timestamp,
    #[serde(default)]
    /// Files that the parent does not have.
    pub files_new: u64,
    #[serde(default)]
    /// Files that differ from the parent's.
    pub files_changed: u64,
    #[serde(default)]
    /// Files as in the parent.
    pub files_unmodified: u64,
    #[serde(default)]
    /// Directories that the parent does not have.
    pub dirs_new: u64,
    #[serde(default)]
    /// Directories that differ from the parent's.
    pub dirs_changed: u64,
    #[serde(default)]
    /// Directories as in the parent.
    pub dirs_unmodified: u64,
    #[serde(default)]
    /// New blobs of content.
    pub data_blobs: u64,
    #[serde(default)]
    /// New blobs of directories.
    pub tree_blobs: u64,
    #[serde(default)]
    /// Bytes of new blobs.
    pub data_added: u64,
    #[serde(default)]
    /// Bytes of new blobs as stored.
    pub data_added_packed: u64,
    #[serde(default)]
    /// Files in all.
    pub total_files_processed: u64,
    #[serde(default)]
    /// Bytes of all files.
    pub total_bytes_processed: u64,
}

/// Go writes an absent list as null.
fn or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
