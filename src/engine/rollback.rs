//! Going back to a snapshot. What was there becomes a snapshot itself.
//!
//! ```text
//! vacate ─▶ lock, content: commit the intent ─▶ backend.roll_back ─▶ answer; outcome (later)
//!                                    fails ─▶ undo ─▶ commit without the intent
//! ```
//! Recovery undoes what was not exchanged yet, and completes what was.

use std::sync::Arc;

use berth_api::{Consistency, Error, Handle, Op, Progress, Result};

use super::{
    Engine,
    jobs::{Job, UNLIMITED},
    pool::Pool,
    repeat::wait,
    snapshot::{accessor, announce, find, unused_name},
    time,
    volume::{Life, Volume},
};
use crate::{
    catalog::{Record, Rollback, Snapshot, SnapshotState},
    view::JobView,
};

/// The kind of its jobs.
const ROLLBACK: &str = "rollback";

impl Engine {
    /// Puts a volume back to what its snapshot `name` shows, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Busy` if it is in use or being copied; `Unavailable`. What goes
    /// wrong later is the job's; the content is then as it was.
    pub async fn roll_back(self: &Arc<Self>, volume: &str, name: &str) -> Result<JobView> {
        let deadline = time::short(self.setup.installation);
        let volume = self.index.find(volume)?;
        find(&volume, name)?;
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let pool = self.configured(&volume.record().pool)?;
        self.sound(&volume, &pool).await?;
        let lock = self.vacate_by(deadline, &volume, &pool, lock).await?;
        // Nobody waits for a copy that may take long: that is said at once.
        let content = volume.take_content(tokio::time::Instant::now()).await?;
        let to = find(&volume, name)?;
        let of = Some((volume.id, volume.record().name.to_string()));
        let job = self.jobs.start(ROLLBACK, of, Some(&pool.name), Op::new(UNLIMITED));
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let (_lock, _content) = (lock, content);
            let because = format!("it is being rolled back to `{}`", to.sidecar.name);
            volume.write(|life| life.waiting = Some(because));
            let done = engine.go_back(&volume, &pool, &to, &own).await;
            volume.write(|life| life.waiting = None);
            own.end(done.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }

    async fn go_back(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        to: &Snapshot,
        job: &Job,
    ) -> Result<String> {
        if let Some(bytes) = self.cost(volume, Some(to.sidecar.id), pool, job.op.clone()).await? {
            announce(job, bytes);
        }
        let record = volume.record();
        let name = unused_name(volume, "before-rollback-");
        let kept = self.planned(volume, pool, name, Consistency::Quiesced).await?;
        let rollback = Rollback { to: to.sidecar.id, kept: kept.clone() };
        let intent = Record { rollback: Some(rollback), ..record.clone() };
        if berth_host::failpoint::sabotaged("skip-rollback-intent") {
            volume.write(|life| life.record = intent);
        } else {
            self.commit(volume, intent).await?;
        }
        let done = || {
            format!(
                "`{}` is as `{}` was; what it was before is kept as `{}@{}`",
                record.name, to.sidecar.name, record.name, kept.sidecar.name
            )
        };
        match self.exchange(volume, pool, &to.handle, &kept, job).await {
            Ok(()) => {
                self.settle_rollback(volume);
                Ok(done())
            }
            Err(error) => match self.finish_rollback(volume, pool).await {
                // An error says that nothing changed. This one came too late for
                // that, and the rest of the way was made up for.
                Ok(true) => {
                    tracing::warn!(volume = %record.name, error = %error.chain(), "rolled back after an error");
                    Ok(done())
                }
                Ok(false) => Err(error),
                Err(second) => {
                    self.try_again(volume);
                    Err(Error::new(
                        error.kind(),
                        format!("{} (and undoing it: {})", error.chain(), second.chain()),
                    ))
                }
            },
        }
    }

    async fn exchange(
        &self,
        volume: &Volume,
        pool: &Pool,
        to: &Handle,
        kept: &Snapshot,
        job: &Job,
    ) -> Result<()> {
        loop {
            job.op.check()?;
            let (handle, to, kept) = (volume.record().handle, to.clone(), kept.clone());
            let call = pool.copy(job.op.clone(), move |backend, op| {
                accessor(backend)?.roll_back(op, &handle, &to, &kept.handle, &kept.sidecar)
            });
            match call.await? {
                Progress::Ready(_) => return Ok(()),
                Progress::Pending { after, because } => {
                    job.waits(Some(because));
                    wait(after, &job.op).await;
                }
            }
        }
    }

    /// Undoes an interrupted rollback, or completes it where that is too late; the
    /// caller has the lock. Whether it was completed.
    ///
    /// # Errors
    /// The pool's; the intent stays then.
    pub(super) async fn finish_rollback(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
    ) -> Result<bool> {
        let record = volume.record();
        let Some(rollback) = record.rollback.clone() else { return Ok(false) };
        self.nobody_else(volume).await?;
        let (handle, kept) = (record.handle.clone(), rollback.kept.handle.clone());
        let undone = pool
            .copy(Op::new(UNLIMITED), move |backend, op| {
                accessor(backend)?.undo_roll_back(op, &handle, &kept)
            })
            .await?;
        if undone {
            tracing::info!(volume = %record.name, "an interrupted rollback was undone");
            // The copy may be large, and the volume is needed.
            let removed = Snapshot { state: SnapshotState::Removing, ..rollback.kept };
            self.amend(volume, |record| {
                record.rollback = None;
                record.snapshots.push(removed.clone());
            });
            self.delete_later(volume, pool, removed);
            return Ok(false);
        }
        // The content was exchanged: its copy is whole, and `to` is not needed.
        self.until_ready(pool, volume, move |backend, op, record| {
            let Rollback { kept, .. } = &rollback;
            let to = record.snapshots.iter().find(|entry| entry.sidecar.id == rollback.to);
            let to = to.map_or(&kept.handle, |entry| &entry.handle);
            accessor(backend)?.roll_back(op, &record.handle, to, &kept.handle, &kept.sidecar)
        })
        .await?;
        self.settle_rollback(volume);
        Ok(true)
    }

    fn settle_rollback(&self, volume: &Arc<Volume>) {
        self.amend(volume, |record| {
            if let Some(rollback) = record.rollback.take() {
                tracing::info!(volume = %record.name, kept = %rollback.kept.sidecar.name, "rolled back");
                record.snapshots.push(rollback.kept);
            }
        });
        volume.write(Life::forget_measure);
    }
}
