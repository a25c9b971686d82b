//! Backups: what a snapshot in a repository says of the volume it is of.
//!
//! ```text
//! /volume.json   the description: everything needed to make the volume again
//! /data/…        the tree of a directory volume, or
//! /volume.img    the image of a block volume (in segments past 128 GiB)
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`label`] | the tags of a snapshot, from which listings are made |
//! | [`description`] | `volume.json` |
//! | [`tree`] | backups of trees |
//! | [`image`] | backups of images |
//! | [`record`] | the end of a backup: the snapshot that makes it one |

pub mod description;
pub mod image;
pub mod label;
pub(crate) mod record;
pub mod tree;

use std::sync::Arc;

use jiff::Timestamp;

pub use description::Description;
pub use label::{Label, Mode};

use crate::format::{Id, SnapshotFile};

/// The directory that a tree is in, in its snapshot.
pub const DATA: &str = "data";
/// The description's file.
pub const DESCRIPTION: &str = "volume.json";
/// The file that an image is in.
pub const IMAGE: &str = "volume.img";

/// One backup, as listings show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Its id: that of the snapshot.
    pub id: Id,
    /// What it is of.
    pub label: Label,
    /// When the content was as it is there.
    pub created: Timestamp,
    /// Bytes of the content.
    pub size: u64,
    /// Bytes stored anew for it.
    pub bytes_added: u64,
    /// Files in it.
    pub files: u64,
    /// The snapshot itself.
    pub file: Arc<SnapshotFile>,
}

/// What is to be backed up, and as what.
#[derive(Clone, Debug)]
pub struct Request {
    /// What listings show.
    pub label: Label,
    /// What is needed to make the volume again.
    pub description: Description,
    /// When the content was as it is in the source.
    pub created: Timestamp,
}

impl Backup {
    /// The backup that a snapshot is, if Berth made it.
    pub fn of(id: Id, file: SnapshotFile) -> Option<Self> {
        let label = Label::from_tags(&file.tags, &file.hostname)?;
        let summary = file.summary.as_ref();
        Some(Self {
            id,
            created: file.time,
            size: summary.map_or(0, |summary| summary.total_bytes_processed),
            bytes_added: summary.map_or(0, |summary| summary.data_added_packed),
            files: summary.map_or(0, |summary| summary.total_files_processed),
            label,
            file: Arc::new(file),
        })
    }
}
