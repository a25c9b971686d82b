//! The backup that a text names, and whether its content fits.

use berth_api::{Bytes, Error, Options, Result, origin::Which};
use berth_vault::Backup;

use crate::{
    catalog::BackupOrigin,
    engine::{
        Engine,
        pool::Pool,
        vault::{Listing, Repository},
    },
};

impl Engine {
    /// What a new volume is to be restored from; with the full id, so that it stays
    /// this one whatever is backed up meanwhile.
    ///
    /// # Errors
    /// `NotFound` if there is no such backup; `Invalid` if several begin so; `Conflict` if
    /// it may be one of several hosts; `Unavailable` if a repository it may be in does
    /// not answer.
    pub(in crate::engine) async fn backup_origin(
        &self,
        repository: Option<&str>,
        which: &Which,
    ) -> Result<BackupOrigin> {
        let listing = self.listing_of_backups(repository).await?;
        let (repository, backup) = match which {
            Which::Id(id) => listing.find(id)?,
            Which::Latest(volume) => self.latest(&listing, volume)?,
        };
        Ok(origin(&repository, &backup))
    }

    /// Refuses content that does not fit.
    ///
    /// # Errors
    /// `Exhausted`
    pub(in crate::engine) async fn check_fits(
        &self,
        origin: &BackupOrigin,
        pool: &Pool,
        options: &Options,
    ) -> Result<()> {
        let size = Bytes(origin.size);
        let what = || format!("backup `{}` has {size}", origin.backup.short());
        if let Some(limit) = options.size.filter(|limit| *limit < size) {
            return Err(Error::exhausted(format!("{}, and the volume may take {limit}", what()))
                .with_hint("give a larger `size`, or none"));
        }
        match pool.capacity().await.map(|capacity| capacity.free) {
            Some(free) if free < size => Err(Error::exhausted(format!(
                "{}, and pool `{}` has {free} left",
                what(),
                pool.name
            ))
            .with_hint("free some space, or choose another pool with `-o pool=POOL`")),
            _ => Ok(()),
        }
    }
}

/// A backup, as records name it.
pub(super) fn origin(repository: &Repository, backup: &Backup) -> BackupOrigin {
    BackupOrigin { repository: repository.name.clone(), backup: backup.id, size: backup.size }
}

/// Refuses a listing that lacks something.
///
/// # Errors
/// `Unavailable`
pub(super) fn answered(listing: &Listing) -> Result<()> {
    let Some(error) = listing.errors.first() else { return Ok(()) };
    Err(Error::unavailable(format!("not all repositories answer: {}", error.chain()))
        .with_hint("name one that does, or see `berth doctor`"))
}
