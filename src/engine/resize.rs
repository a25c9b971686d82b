//! Changing how much a volume may take.
//!
//! ```text
//! can the pool limit? ─▶ enrol (a walk, once, only of old volumes) ─▶ does it fit? ─▶ as `set`
//! ```

use std::{sync::Arc, time::Duration};

use berth_api::{Bytes, Error, Op, Result, Usage};

use super::{Engine, jobs::UNLIMITED, pool::Pool, set::sound, time, volume::Volume};
use crate::view::{ResizeVolume, VolumeView};

/// Work that takes longer is shown as a job.
const WORTH_A_JOB: Duration = Duration::from_secs(2);

impl Engine {
    /// Changes the limit of a volume, durable and in force before it answers.
    ///
    /// # Errors
    /// `Unsupported` with the reason where limits cannot be had; `Conflict` if the
    /// volume takes more than that; `Busy` if it has to be enrolled first and is
    /// in use; `NotFound`, `Invalid`, `Unavailable`. Its limit is as before then.
    pub async fn resize(self: &Arc<Self>, name: &str, request: ResizeVolume) -> Result<VolumeView> {
        let deadline = time::short(self.setup.installation);
        let volume = self.index.find(name)?;
        let wanted = volume.record().options.resized(&request.size)?.size.unwrap_or_default();
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let old = volume.record();
        sound(&old, name)?;
        let pool = self.configured(&old.pool)?;
        pool.ready().await?;
        pool.can_limit().await?;
        let options = old.options.clone().resized(&request.size)?;
        let engine = self.clone();
        let resized = volume.clone();
        let work = tokio::spawn(async move {
            let usage = engine.enrol(&volume, &pool).await?;
            volume.note(usage);
            fits(&volume, usage, wanted)?;
            engine.change(volume, pool, lock, old, options).await
        });
        match tokio::time::timeout_at(deadline, work).await {
            Ok(result) => result.unwrap_or_else(|_| Err(Error::internal("`resize` panicked"))),
            Err(_) => Err(resized.still_busy()),
        }
    }

    /// Has the storage know what the volume takes, by a walk if it never did.
    async fn enrol(&self, volume: &Arc<Volume>, pool: &Pool) -> Result<Usage> {
        let record = volume.record();
        let handle = record.handle.clone();
        let known = pool
            .run(Op::new(time::CALL), move |backend, op| {
                backend.resize().map(|resize| resize.usage(op, &handle)).transpose()
            })
            .await?;
        if let Some(usage @ Usage { used: Some(_), .. }) = known {
            return Ok(usage);
        }
        let name = record.name.to_string();
        // Files that are counted and those that are not do not mix: rename(2)
        // would fail under a program that is at work.
        if volume.read(|life| life.mounted || life.total() > 0) {
            return Err(Error::busy(format!(
                "volume `{name}` is in use, and its file system does not count it yet"
            ))
            .with_hint("once, while no container uses it, `berth volume resize` counts it"));
        }
        let op = Op::new(UNLIMITED);
        let handle = record.handle.clone();
        let walk = pool.count(op.clone(), move |backend, op| match backend.resize() {
            Some(resize) => resize.enrol(op, &handle),
            None => Err(Error::unsupported("this pool has no limits")),
        });
        tokio::pin!(walk);
        if let Ok(usage) = tokio::time::timeout(WORTH_A_JOB, &mut walk).await {
            return usage;
        }
        let job = self.jobs.start("resize", Some((volume.id, name)), Some(&record.pool), op);
        let usage = walk.await;
        job.end(usage.as_ref().map(|_| String::new()));
        usage
    }
}

/// Refuses a limit under what is there.
fn fits(volume: &Volume, usage: Usage, wanted: Bytes) -> Result<()> {
    match usage.used {
        Some(used) if used > wanted => Err(Error::conflict(format!(
            "volume `{}` takes {used}, which is more than {wanted}",
            volume.record().name
        ))
        .with_hint("remove something from it first, or choose a larger size")),
        _ => Ok(()),
    }
}
