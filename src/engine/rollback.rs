//! Other content in the place of a volume's: going back to a snapshot, or (`restore`)
//! to a backup. What was there becomes a snapshot itself.
//!
//! ```text
//! vacate ─▶ lock, content: commit the intent ─▶ roll_back | replace ─▶ answer; outcome (later)
//!                                    fails ─▶ undo ─▶ commit without the intent
//! ```
//! Recovery undoes what was not exchanged yet, and completes what was.

use std::sync::Arc;

use berth_api::{Backend, Change, Consistency, Error, Op, Progress, Result, SnapshotId};

use super::{
    Engine,
    jobs::{Job, UNLIMITED},
    pool::Pool,
    repeat::wait,
    snapshot::{accessor, announce, find, unused_name},
    vacate::Vacated,
    volume::{Life, Volume},
};
use crate::{
    catalog::{Record, Rollback, Snapshot, SnapshotState},
    view::JobView,
};

/// Refuses to exchange what a volume only shows; `instead` is a command that helps.
pub(super) fn exchangeable(volume: &Volume, instead: &str) -> Result<()> {
    let record = volume.record();
    let Some(subdir) = &record.options.subdir else { return Ok(()) };
    Err(Error::unsupported(format!(
        "volume `{}` shows the directory `{subdir}`, which others use: its content is not exchanged",
        record.name
    ))
    .with_hint(format!("into a new volume: {instead}")))
}

/// The kind of its jobs.
const ROLLBACK: &str = "rollback";

/// Other content for a volume.
pub(super) struct Other<P> {
    /// That of this snapshot, or of something else.
    pub(super) to: Option<SnapshotId>,
    /// How the name of the snapshot begins that the present content becomes.
    pub(super) prefix: &'static str,
    /// What the volume is like then: `` `monday` was``.
    pub(super) like: String,
    /// The backend's call that puts it there.
    pub(super) put: P,
}

/// A backend's call that exchanges content; see [`Other`].
pub(super) trait Put:
    Fn(&dyn Backend, &Op, &Record, &Snapshot) -> Result<Progress<Change>>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<F> Put for F where
    F: Fn(&dyn Backend, &Op, &Record, &Snapshot) -> Result<Progress<Change>>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl Engine {
    /// Puts a volume back to what its snapshot `name` shows, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Busy` if it is in use or being copied; `Unavailable`. What goes
    /// wrong later is the job's; the content is then as it was.
    pub async fn roll_back(self: &Arc<Self>, volume: &str, name: &str) -> Result<JobView> {
        let of = self.index.find(volume)?;
        find(&of, name)?;
        exchangeable(&of, "berth snapshot restore VOLUME@SNAPSHOT NEW_VOLUME")?;
        let vacated = self.vacated(&of).await?;
        let to = find(&of, name)?;
        let pool = vacated.pool.clone();
        let about = Some((of.id, of.record().name.to_string()));
        let job = self.jobs.start(ROLLBACK, about, Some(&pool.name), Op::new(UNLIMITED));
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let Vacated { volume, .. } = &vacated;
            let because = format!("it is being rolled back to `{}`", to.sidecar.name);
            volume.write(|life| life.waiting = Some(because));
            let done = engine.go_back(volume, &pool, &to, &own).await;
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
        if let Some(copy) = self.cost(volume, Some(to.sidecar.id), pool, job.op.clone()).await? {
            announce(job, &copy);
        }
        let like = format!("`{}` was", to.sidecar.name);
        let handle = to.handle.clone();
        let other = Other {
            to: Some(to.sidecar.id),
            prefix: "before-rollback-",
            like,
            put: move |backend: &dyn Backend, op: &Op, record: &Record, kept: &Snapshot| {
                let snapshots = accessor(backend)?;
                snapshots.roll_back(op, &record.handle, &handle, &kept.handle, &kept.sidecar)
            },
        };
        self.exchange(volume, pool, other, job).await
    }

    /// Puts other content in the place of the present one, which becomes a snapshot;
    /// the caller has the volume [`Vacated`]. The answer is what a person is told.
    ///
    /// # Errors
    /// Those of `other.put`; the content is as it was then.
    pub(super) async fn exchange<P: Put>(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        other: Other<P>,
        job: &Job,
    ) -> Result<String> {
        let record = volume.record();
        let name = unused_name(volume, other.prefix);
        let kept = self.planned(volume, pool, name, Consistency::Quiesced).await?;
        let rollback = Rollback { to: other.to, kept: kept.clone() };
        let intent = Record { rollback: Some(rollback), ..record.clone() };
        if berth_host::failpoint::sabotaged("skip-rollback-intent") {
            volume.write(|life| life.record = intent);
        } else {
            self.commit(volume, intent).await?;
        }
        let done = || {
            format!(
                "`{}` is as {}; what it was before is kept as `{}@{}`",
                record.name, other.like, record.name, kept.sidecar.name
            )
        };
        match self.put(volume, pool, &other.put, &kept, job).await {
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

    async fn put<P: Put>(
        &self,
        volume: &Volume,
        pool: &Pool,
        put: &P,
        kept: &Snapshot,
        job: &Job,
    ) -> Result<()> {
        loop {
            job.op.check()?;
            let (record, put, kept) = (volume.record(), put.clone(), kept.clone());
            let call =
                pool.copy(job.op.clone(), move |backend, op| put(backend, op, &record, &kept));
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
        // The content was exchanged: the other one is whole, and where it is from is
        // not needed.
        self.until_ready(pool, volume, move |backend, op, record| {
            let Rollback { kept, .. } = &rollback;
            let to = record.snapshots.iter().find(|entry| Some(entry.sidecar.id) == rollback.to);
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
