//! The backups in a repository.

use berth_api::{Error, Op, Result};

use crate::{
    backup::Backup,
    format::{Id, SnapshotFile},
    repository::Repository,
    store::Kind,
};

/// The fewest digits that name a backup.
pub const SHORTEST: usize = 4;

/// What a repository has.
#[derive(Debug, Default)]
pub struct Listing {
    /// The backups, oldest first. Snapshots that Berth did not make are left out.
    pub backups: Vec<Backup>,
    /// Snapshots that cannot be read, and why. They may be backups.
    pub unreadable: Vec<(Id, Error)>,
}

/// All backups. One that is removed meanwhile is left out.
///
/// # Errors
/// The store's. A snapshot that is damaged is none: it does not hide the others.
pub fn backups(repository: &Repository, op: &Op) -> Result<Listing> {
    let found = repository.store().list(op, Kind::Snapshot)?;
    let ids: Vec<_> = found.iter().map(|file| file.id).collect();
    let mut listing = Listing::default();
    for (id, file) in repository.read_each::<SnapshotFile>(op, Kind::Snapshot, &ids)? {
        use berth_api::ErrorKind::{Corrupt, NotFound};
        match file {
            Ok(file) => listing.backups.extend(Backup::of(id, file)),
            Err(error) if error.kind() == NotFound => {}
            Err(error) if error.kind() == Corrupt => listing.unreadable.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    listing.backups.sort_by_key(|backup| (backup.created, backup.id));
    listing.unreadable.sort_by_key(|(id, _)| *id);
    Ok(listing)
}

/// The backup whose id begins with these digits.
///
/// # Errors
/// `Invalid` for fewer than four digits, or if there are several; `NotFound`;
/// `Unsupported` for a snapshot that Berth did not make.
pub fn find(repository: &Repository, op: &Op, prefix: &str) -> Result<Backup> {
    let name = repository.name();
    let hint = format!("`berth backup ls --repository {name}` shows all");
    let digits = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || !(SHORTEST..=64).contains(&prefix.len()) {
        return Err(Error::invalid(format!(
            "`{}` is no id of a backup: {SHORTEST} to 64 hexadecimal digits",
            prefix.escape_debug()
        ))
        .with_hint(hint));
    }
    let mut found = repository.store().list(op, Kind::Snapshot)?;
    found.retain(|file| file.id.to_string().starts_with(prefix));
    let id = match found.as_slice() {
        [] => {
            let text = format!("repository `{name}`: there is no backup `{prefix}`");
            return Err(Error::not_found(text).with_hint(hint));
        }
        [one] => one.id,
        several => {
            return Err(Error::invalid(format!(
                "repository `{name}`: {} backups begin with `{prefix}`",
                several.len()
            ))
            .with_hint("give more digits"));
        }
    };
    let file = repository.load(op, Kind::Snapshot, &id)?;
    Backup::of(id, file).ok_or_else(|| {
        Error::unsupported(format!(
            "repository `{name}`: snapshot {} was not made by Berth",
            id.short()
        ))
        .with_hint("`restic` restores it")
    })
}
