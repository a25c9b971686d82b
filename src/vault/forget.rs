//! Removing backups: exactly those whose ids are given. What they alone needed stays
//! until the next prune.

use berth_api::{Context as _, Op, Result};
use berth_host::failpoint;

use crate::{format::Id, lock::Lock, repository::Repository, store::Kind};

/// Removes these snapshots. One that is not there is success: a removal that was cut
/// off can be repeated.
///
/// # Errors
/// `Busy` while anybody uses the repository, as `restic forget`; the store's.
pub fn forget(repository: &Repository, op: &Op, ids: &[Id]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let what = || format!("remove backups from repository `{}`", repository.name());
    let lock = Lock::exclusive(op, repository).context(what)?;
    for id in ids {
        op.check()?;
        lock.check()?;
        failpoint::hit("forget.snapshot.remove").context(what)?;
        repository.store().remove(op, Kind::Snapshot, id).context(what)?;
    }
    lock.release()
}
