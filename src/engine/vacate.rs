//! Making sure that nobody uses a volume, before its content is taken away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Error, Result};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockWriteGuard, oneshot};

use super::{Engine, detach::Evidence, pool::Pool, time, volume::Volume};
use crate::journal;

/// How long a holder without references is waited for: a container that is just
/// ending.
const HOLDER: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// A volume that nobody uses, and that stays so as long as this lives.
#[derive(Debug)]
pub(super) struct Vacated {
    pub(super) volume: Arc<Volume>,
    pub(super) pool: Arc<Pool>,
    _lock: OwnedMutexGuard<()>,
    _content: OwnedRwLockWriteGuard<()>,
}

impl Engine {
    /// Makes sure that nobody uses a sound volume or copies its content.
    ///
    /// # Errors
    /// `Busy` if somebody does; `NotFound`, `Corrupt` if it is faulty; `Unavailable`.
    pub(super) async fn vacated(self: &Arc<Self>, volume: &Arc<Volume>) -> Result<Vacated> {
        let deadline = time::short(self.setup.installation);
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let pool = self.configured(&volume.record().pool)?;
        self.sound(volume, &pool).await?;
        let lock = self.vacate_by(deadline, volume, &pool, lock).await?;
        // Nobody waits for a copy that may take long: that is said at once.
        let content = volume.take_content(tokio::time::Instant::now()).await?;
        Ok(Vacated { volume: volume.clone(), pool, _lock: lock, _content: content })
    }

    /// Makes sure that nobody uses the volume and takes its mount down, for a
    /// caller with a deadline. A call into a pool that hangs keeps the lock until
    /// it ends: an unmount that comes late must not meet a new mount.
    ///
    /// # Errors
    /// `Busy` if somebody uses it; `Unavailable` if its pool is away, or past the
    /// deadline.
    pub(super) async fn vacate_by(
        self: &Arc<Self>,
        deadline: tokio::time::Instant,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        lock: OwnedMutexGuard<()>,
    ) -> Result<OwnedMutexGuard<()>> {
        let (answer, vacated) = oneshot::channel();
        let (engine, own, pool) = (self.clone(), volume.clone(), pool.clone());
        tokio::spawn(async move {
            let vacated = engine.vacate(&own, &pool).await;
            let _ = answer.send((vacated, lock));
        });
        let Ok(vacated) = tokio::time::timeout_at(deadline, vacated).await else {
            return Err(volume.still_busy());
        };
        let (vacated, lock) =
            vacated.map_err(|_| Error::internal("the look for users panicked"))?;
        vacated.map(|()| lock)
    }

    async fn vacate(&self, volume: &Arc<Volume>, pool: &Arc<Pool>) -> Result<()> {
        let epoch = self.epoch();
        if volume.read(|life| life.has_confirmed(epoch))
            && !berth_host::failpoint::sabotaged("skip-reference-check")
        {
            return Err(in_use(volume, None));
        }
        let end = Instant::now() + HOLDER;
        let evidence = loop {
            let evidence = self.evidence_of(volume).await?;
            let unseen = evidence.holders.is_none();
            let counted = volume.read(super::volume::Life::is_referenced);
            if unseen && counted {
                // What cannot be confirmed is not dropped.
                return Err(in_use(volume, None));
            }
            if !evidence.may_be_held() || unseen || counted || Instant::now() >= end {
                break evidence;
            }
            tokio::time::sleep(LOOK).await;
        };
        if evidence.may_be_held() && evidence.holders.is_some() {
            volume.write(|life| life.held = Some(true));
            return Err(in_use(volume, Some(&evidence)));
        }
        pool.ready().await?;
        if evidence.mounted {
            self.take_down(volume).await?;
        }
        Ok(())
    }
}

fn in_use(volume: &Volume, evidence: Option<&Evidence>) -> Error {
    let holder = evidence.and_then(|evidence| evidence.holders.as_ref()?.first());
    let by = if let Some(holder) = holder {
        format!("held by process {} (`{}`)", holder.pid, holder.command)
    } else {
        let (count, ids) = volume.read(|life| {
            let short = |key: &journal::Key| key.id.chars().take(12).collect::<String>();
            (life.total(), life.references.keys().take(3).map(short).collect::<Vec<_>>())
        });
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        format!("mounted {times} (by {})", ids.join(", "))
    };
    let name = volume.record().name;
    Error::busy(format!("volume `{name}` is in use: {by}"))
        .with_hint("stop its containers first, or `berth volume unmount` what was mounted by hand")
}
