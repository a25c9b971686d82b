//! The backup that a text names, and whether its content fits.

use std::time::Duration;

use berth_api::{Bytes, Error, Op, Options, Result, origin::Which};
use berth_vault::{Backup, backup::description::Content, restore};

use super::filling::find;
use crate::{
    catalog::BackupOrigin,
    engine::{
        Engine,
        pool::Pool,
        vault::{Listing, Repository},
    },
};

/// How long a look may take whether a backup fits: somebody waits for the create.
const LOOK: Duration = Duration::from_secs(10);

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

    /// Refuses content that cannot fit. Holes take nothing, so that what looks too
    /// large is looked at closely, in the time there is; what cannot be told by then
    /// is tried.
    ///
    /// # Errors
    /// `Exhausted`
    pub(in crate::engine) async fn check_fits(
        &self,
        origin: &BackupOrigin,
        pool: &Pool,
        options: &Options,
    ) -> Result<()> {
        let limit = options.size.map_or(u64::MAX, |limit| limit.0);
        let free = pool.capacity().await.map_or(u64::MAX, |capacity| capacity.free.0);
        if origin.size <= limit.min(free) {
            return Ok(());
        }
        let needs = match self.needs(origin, limit.min(free)).await {
            Ok(needs) => needs,
            Err(error) => {
                let backup = origin.backup.short();
                tracing::warn!(backup, error = %error.chain(), "it is not known whether it fits");
                return Ok(());
            }
        };
        let size = Bytes(needs.content);
        let what = || format!("backup `{}` has {size} without its holes", origin.backup.short());
        // Of an image not all comes back: how much, is not known before it is mounted.
        if limit < size.0 && !needs.image {
            let limit = Bytes(limit);
            return Err(Error::exhausted(format!("{}, and the volume may take {limit}", what()))
                .with_hint("give a larger `size`, or none"));
        }
        if free < size.0 {
            let free = Bytes(free);
            let text = format!("{}, and pool `{}` has {free} left", what(), pool.name);
            return Err(Error::exhausted(text)
                .with_hint("free some space, or choose another pool with `-o pool=POOL`"));
        }
        Ok(())
    }

    async fn needs(&self, origin: &BackupOrigin, room: u64) -> Result<Needs> {
        let (id, repository) = (origin.backup, self.repositories.find(&origin.repository)?);
        repository
            .call(Op::new(LOOK), move |open, op| {
                let backup = find(open, op, &id)?;
                let index = open.index(op)?;
                let description = restore::description(open, op, &index, &backup)?;
                let image = matches!(description.content, Content::Image { .. });
                Ok(Needs { content: restore::need(open, op, &index, &backup, room)?, image })
            })
            .await
    }
}

/// What is known of a backup's content.
struct Needs {
    /// What is written of it, in bytes; at least.
    content: u64,
    /// It is that of a block volume.
    image: bool,
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
