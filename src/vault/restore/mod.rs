//! Restoring: the content of a backup, out of the repository into a directory or a
//! device.
//!
//! | module | noun |
//! |---|---|
//! | [`mod@tree`] | the tree of a directory volume |
//! | [`mod@image`] | the image of a block volume |
//! | [`mod@need`] | how much it writes, at least |
//! | `entry` | what stands in a tree, judged before anybody acts on it |
//! | `folder` | the directories of a restore |
//! | `file` | the content of many files at a time |
//!
//! Invariants:
//! - Nothing is written that was not checked against its id. What is damaged or
//!   missing is an error that names it, and ends the restore.
//! - Nothing is followed, and nothing outside the directory is reached, whatever a
//!   tree says.

pub(crate) mod entry;
mod file;
mod folder;
pub mod image;
pub mod need;
pub mod tree;

use berth_api::{Context as _, Error, Op, Result};

pub use image::image;
pub use need::need;
pub use tree::tree;

use crate::{
    backup::{Backup, DESCRIPTION, Description, description},
    format::{BlobKind, Node, NodeKind, SnapshotFile},
    repository::{Index, Repository},
};

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Length of the content, in bytes: of files, each once.
    pub bytes: u64,
    /// Entries that are no directories; each name of a hard-linked file counts.
    pub files: u64,
}

/// The description in a backup.
///
/// # Errors
/// `Corrupt` if it is damaged or missing; `Unsupported` for a newer one.
pub fn description(
    repository: &Repository,
    op: &Op,
    index: &Index,
    backup: &Backup,
) -> Result<Description> {
    let what = || format!("read the description of {}", shown(backup));
    read_description(repository, op, index, &backup.file).context(what)
}

pub(crate) fn read_description(
    repository: &Repository,
    op: &Op,
    index: &Index,
    file: &SnapshotFile,
) -> Result<Description> {
    let node = top(repository, op, index, file, DESCRIPTION)?;
    if node.kind != NodeKind::File || node.size > description::MAX {
        return Err(Error::corrupt(format!("`{DESCRIPTION}` is none, or too large for one")));
    }
    let mut bytes = Vec::new();
    for (number, _) in entry::content(index, &node)? {
        let (id, _) = index.place(BlobKind::Data, number);
        bytes.extend(repository.blob(op, index, BlobKind::Data, &id)?);
    }
    Description::from_bytes(&bytes)
}

/// What is called `name` at the top of a snapshot.
///
/// # Errors
/// `Corrupt` if there is nothing.
pub(crate) fn top(
    repository: &Repository,
    op: &Op,
    index: &Index,
    file: &SnapshotFile,
    name: &str,
) -> Result<Node> {
    let mut tree = repository.tree(op, index, &file.tree)?;
    let names = entry::names(&tree)?;
    match names.iter().position(|found| found.to_bytes() == name.as_bytes()) {
        Some(at) => Ok(tree.nodes.swap_remove(at)),
        None => Err(Error::corrupt(format!("there is no `{name}` in it"))),
    }
}

/// A backup, as messages call it.
pub(crate) fn shown(backup: &Backup) -> String {
    format!("backup `{}` of volume `{}`", backup.id.short(), backup.label.volume)
}
