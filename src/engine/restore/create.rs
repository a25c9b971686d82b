//! `from=backup:…`: new volumes with the content of a backup.
//!
//! ```text
//! backup found, fits ─▶ commit creating (origin: repository, full id) ─▶ backend.create_from(filling)
//!                           soon ─▶ ready ─▶ answer
//!                           slow, or the repository is away ─▶ accepted ─▶ answer; goes on, over restarts
//! ```

use std::{sync::Arc, time::Duration};

use berth_api::{Bytes, Change, Context as _, Op, Progress, Result};

use super::filling::Filling;
use crate::{
    catalog::{BackupOrigin, MadeFrom},
    engine::{Engine, jobs::Job, jobs::UNLIMITED, pool::Pool, volume::Volume},
};

/// When a repository that is away is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often Status says anew how far it is.
const TICK: Duration = Duration::from_secs(1);

impl Engine {
    /// Makes a volume with the content of a backup. A repository that is away is
    /// `Pending`.
    ///
    /// # Errors
    /// Those of [`Filling::fill`] and of the pool.
    pub(in crate::engine) async fn make_restored(
        &self,
        volume: &Volume,
        pool: &Pool,
        origin: &BackupOrigin,
        op: &Op,
    ) -> Result<Progress<Change>> {
        let record = volume.record();
        let repository = match self.repositories.find(&origin.repository) {
            Ok(repository) => repository.clone(),
            // It may come back into the configuration.
            Err(error) => return Ok(pending(&error)),
        };
        let op = op.extended(UNLIMITED);
        let filling = Arc::new(Filling::new(repository, origin.backup));
        let own = filling.clone();
        let call = pool.copy(op.clone(), move |backend, op| {
            let fill = |op: &Op, target: berth_api::Target<'_>| own.fill(op, target);
            backend.create_from(op, &record.handle, &record.sidecar(), &fill)
        });
        let result = watched(volume, &op, &said(origin), call).await;
        match result {
            Err(error) if filling.is_away() => Ok(pending(&error)),
            other => other.context(|| "restore it from a backup"),
        }
    }

    /// Says in a create's job what is known of its origin.
    pub(in crate::engine) fn introduce(job: &Job, origin: Option<&MadeFrom>) {
        if let Some(MadeFrom::Backup(origin)) = origin {
            job.works_on(&origin.repository);
            job.op.set_total(origin.size);
        }
    }
}

/// What volumes say of themselves meanwhile.
pub(super) fn said(origin: &BackupOrigin) -> String {
    let BackupOrigin { repository, backup, .. } = origin;
    format!("it is being restored from backup `{}` of repository `{repository}`", backup.short())
}

/// Waits for work on a volume, and says meanwhile how far it is.
pub(in crate::engine) async fn watched<T>(
    volume: &Volume,
    op: &Op,
    what: &str,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        let counts = op.counts();
        let done = Bytes(counts.bytes_done);
        let far = match counts.bytes_total {
            0 => format!("{what}: {done} done"),
            total => format!("{what}: {done} of {} done", Bytes(total)),
        };
        volume.write(|life| life.waiting = Some(far));
        if let Ok(result) = tokio::time::timeout(TICK, &mut work).await {
            return result;
        }
    }
}

fn pending(error: &berth_api::Error) -> Progress<Change> {
    let because = format!("its backup cannot be read now: {}", error.chain());
    Progress::Pending { after: AGAIN, because }
}
