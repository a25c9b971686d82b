//! The calls into the vault and for content: the only place that names them.

use std::path::PathBuf;

use berth_api::{Backend, Error, Handle, Op, Result, VolumeId};
use berth_vault::{Backup, Id, Password, Repository, backup::Request};

use crate::view::KeyView;

/// Where content can be read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) path: PathBuf,
    pub(super) origins: Option<PathBuf>,
}

/// Where the content of a volume or snapshot can be read.
pub(super) fn content(_: &dyn Backend, _: &Op, _: &Handle, _: Option<&Handle>) -> Result<Content> {
    Err(missing())
}

/// Writes a backup.
pub(super) fn back_up(
    _: &Repository,
    _: &Op,
    _: &Request,
    content: Content,
    _live: bool,
    _: VolumeId,
) -> Result<Backup> {
    let Content { path: _, origins: _ } = content;
    Err(missing())
}

/// All backups, oldest first.
pub(super) fn backups(repository: &Repository, op: &Op) -> Result<Vec<Backup>> {
    let found = repository.snapshots(op)?;
    Ok(found.into_iter().filter_map(|(id, file)| Backup::of(id, file)).collect())
}

/// Removes backups; what they alone needed stays until a prune.
pub(super) fn forget(_: &Repository, _: &Op, _: &[Id]) -> Result<()> {
    Err(missing())
}

/// Reads and checks all data of backups.
pub(super) fn verify(_: &Repository, _: &Op, _: &[Id]) -> Result<()> {
    Err(missing())
}

/// Checks the whole repository, and says what was looked at.
pub(super) fn check(_: &Repository, _: &Op, _read_data: bool) -> Result<String> {
    Err(missing())
}

/// Frees what no backup needs, and says how much.
pub(super) fn prune(_: &Repository, _: &Op, _dry_run: bool) -> Result<String> {
    Err(missing())
}

/// Copies backups, and says how many.
pub(super) fn copy(_: &Repository, _to: &Repository, _: &Op, _: &[Id]) -> Result<String> {
    Err(missing())
}

/// The keys.
pub(super) fn keys(_: &Repository, _: &Op) -> Result<Vec<KeyView>> {
    Err(missing())
}

/// Adds a key.
pub(super) fn add_key(_: &Repository, _: &Op, _: &Password) -> Result<()> {
    Err(missing())
}

/// Takes a key away.
pub(super) fn remove_key(_: &Repository, _: &Op, _id: &str) -> Result<()> {
    Err(missing())
}

fn missing() -> Error {
    Error::unsupported("the vault cannot do that yet")
}
