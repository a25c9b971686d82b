//! The calls into the vault and for content: the only place that names them, and
//! that says in words what they found.

use std::{fs::File, io::Read as _, os::fd::OwnedFd};

use berth_api::{Backend, Content, Context as _, Error, Handle, Op, Result, VolumeId};
use berth_host::beneath::{Dir, copy::Origins};
use berth_vault::{Backup, Id, Password, Repository, backup::Request};

use crate::view::KeyView;

/// Where the content of a volume or snapshot can be read.
pub(super) fn content(
    backend: &dyn Backend,
    op: &Op,
    volume: &Handle,
    snapshot: Option<&Handle>,
) -> Result<Content> {
    backend.content(op, volume, snapshot)
}

/// Writes a backup of `content`, which others may write to if it is `live`.
pub(super) fn back_up(
    _repository: &Repository,
    _op: &Op,
    _request: &Request,
    content: Content,
    _live: bool,
    _volume: VolumeId,
) -> Result<Backup> {
    let Content::Directory { data, origins } = content else {
        return Err(Error::unsupported("backups of volumes on block devices are not built"));
    };
    let _data = Dir::from_fd(data).context(|| "open the content")?;
    let _origins = origins.map(read_origins);
    Err(missing())
}

/// What tells unchanged files. Where that is damaged all of them are read.
fn read_origins(file: OwnedFd) -> Origins {
    let mut bytes = Vec::new();
    let read = File::from(file).read_to_end(&mut bytes).context(|| "read `origins`");
    read.and_then(|_| Origins::from_bytes(&bytes)).unwrap_or_else(|error| {
        tracing::warn!(error = %error.chain(), "every file is read");
        Origins::default()
    })
}

/// All backups, and an error for each snapshot that cannot be read.
pub(super) fn backups(repository: &Repository, op: &Op) -> Result<(Vec<Backup>, Vec<Error>)> {
    let found = repository.snapshots(op)?;
    Ok((found.into_iter().filter_map(|(id, file)| Backup::of(id, file)).collect(), Vec::new()))
}

/// Removes backups; what they alone needed stays until a prune.
pub(super) fn forget(_: &Repository, _: &Op, _: &[Id]) -> Result<()> {
    Err(missing())
}

/// Reads and checks all data of backups.
///
/// # Errors
/// `Corrupt` names those that are hurt.
pub(super) fn verify(_: &Repository, _: &Op, _: &[Id]) -> Result<()> {
    Err(missing())
}

/// What a check found.
#[derive(Debug)]
pub(super) struct Checked {
    /// In words.
    pub(super) text: String,
    /// How much is wrong.
    pub(super) problems: u64,
    /// What helps then.
    pub(super) hint: Option<String>,
}

/// Checks the whole repository.
pub(super) fn check(_: &Repository, _: &Op, _read_data: bool) -> Result<Checked> {
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
