//! Remove: nobody uses it, then into the trash.
//!
//! ```text
//! evidence ─▶ unmount ─▶ commit removing ─▶ answer ─▶ backend.remove ─▶ removed (later)
//! ```
//! What follows an answer can be repeated; recovery does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Error, ErrorKind, Observed, OnRemove, Op, Result};
use jiff::Timestamp;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::{Engine, create::CREATE, detach::Evidence, pool::Pool, time, volume::Volume};
use crate::{
    catalog::{Record, State},
    journal::{self, Client},
    view::VolumeView,
};

/// Remove waits this long for a holder without references: a container that is
/// just ending.
const HOLDER: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// Removes a volume into the trash; `now`: for good, also out of the trash.
    ///
    /// # Errors
    /// `Busy` if it is mounted; `NotFound` (not for Docker: it is gone already);
    /// `Unavailable` if its pool is away. Nothing has changed then.
    pub async fn remove(
        self: &Arc<Self>,
        client: Client,
        name: &str,
        now: bool,
    ) -> Result<Option<VolumeView>> {
        let deadline = time::short(self.setup.installation);
        let volume = match self.index.find(name) {
            Ok(volume) => volume,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.remove_absent(client, name, now, error).await;
            }
            Err(error) => return Err(error),
        };
        self.writable()?;
        // A create that still goes on is not waited for.
        self.jobs.cancel_of(volume.id);
        let lock = volume.lock_by(deadline).await?;
        let record = volume.record();
        if record.state.is_removed() {
            return Ok(None);
        }
        let pool = self.configured(&record.pool)?;
        let (fresh, lock) = self.release_by(deadline, &volume, &pool, lock).await?;
        let at = Timestamp::now();
        let at_once = now || fresh || is_disposable(&record);
        let expires = match (at_once, record.options.on_remove) {
            (true, _) => Some(at),
            (false, OnRemove::Retain) => None,
            (false, OnRemove::Delete) => Some(later(at, pool.config.trash)),
        };
        let removing = Record { state: State::Removing { at, expires }, ..record };
        self.commit_removal(&volume, removing).await?;
        tracing::info!(volume = name, id = %volume.id, at_once, "removed");
        let view = (!at_once).then(|| self.view(&volume));
        let engine = self.clone();
        tokio::spawn(async move {
            let _lock = lock;
            engine.finish_removal(&volume, &pool).await;
        });
        Ok(view)
    }

    async fn remove_absent(
        self: &Arc<Self>,
        client: Client,
        name: &str,
        now: bool,
        error: Error,
    ) -> Result<Option<VolumeView>> {
        match (client, self.latest_removed(name)) {
            // Another node, or somebody by hand, was faster.
            (Client::Docker, _) => Ok(None),
            (Client::Command, Some(volume)) if now => {
                self.writable()?;
                let _lock = volume.lock_by(time::short(self.setup.installation)).await?;
                let record = volume.record();
                self.configured(&record.pool)?.ready().await?;
                let State::Removed { at, .. } = record.state else { return Ok(None) };
                let state = State::Removed { at, expires: Some(Timestamp::now()), purging: false };
                let record = Record { state, ..record };
                self.commit(&volume, record).await?;
                self.call_housekeeper();
                Ok(None)
            }
            (Client::Command, Some(_)) => Err(error.context(format!("`{name}` is in the trash")).with_hint(
                format!("`berth volume undelete {name}` brings it back, `berth volume rm --now {name}` deletes it for good"),
            )),
            (Client::Command, None) => Err(error),
        }
    }

    /// [`release`](Self::release) for a caller with a deadline. A call into a pool
    /// that hangs keeps the lock until it ends: an unmount that comes late must
    /// not meet a new mount.
    async fn release_by(
        self: &Arc<Self>,
        deadline: tokio::time::Instant,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        lock: OwnedMutexGuard<()>,
    ) -> Result<(bool, OwnedMutexGuard<()>)> {
        let (answer, released) = oneshot::channel();
        let (engine, own, pool) = (self.clone(), volume.clone(), pool.clone());
        tokio::spawn(async move {
            let released = engine.release(&own, &pool).await;
            let _ = answer.send((released, lock));
        });
        let Ok(released) = tokio::time::timeout_at(deadline, released).await else {
            return Err(volume.still_busy());
        };
        let (fresh, lock) = released.map_err(|_| Error::internal("`remove` panicked"))?;
        Ok((fresh?, lock))
    }

    /// Makes sure that nobody uses the volume and takes its mount down; answers
    /// whether it was never written. The caller has the lock.
    async fn release(&self, volume: &Arc<Volume>, pool: &Arc<Pool>) -> Result<bool> {
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
        let handle = volume.record().handle;
        let observed =
            pool.run(Op::new(time::CALL), move |backend, op| backend.inspect(op, &handle)).await?;
        Ok(match observed {
            Observed::Present { empty } => empty,
            // Of a create nobody could write to it; of a whole volume that was
            // damaged there may be all its content.
            Observed::Incomplete => volume.read(|life| match &life.record.state {
                State::Creating { .. } => true,
                State::Faulty { during, .. } => during == CREATE,
                _ => false,
            }),
            Observed::Absent => true,
            Observed::Trashed => false,
        })
    }

    /// Moves a removed volume's data into the trash; the caller has the lock.
    pub(super) async fn finish_removal(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let record = volume.record();
        let State::Removing { at, expires } = record.state else { return };
        let moved = self
            .until_ready(pool, volume, |backend, op, record| backend.remove(op, &record.handle))
            .await;
        match moved {
            Ok(()) => {
                self.settle(volume, State::Removed { at, expires, purging: false });
                if expires.is_some_and(|expires| expires <= Timestamp::now()) {
                    self.call_housekeeper();
                }
            }
            // It stays `removing`: recovery and the housekeeper try again.
            Err(error) => {
                tracing::warn!(volume = %record.name, error = %error.chain(), "move to the trash");
                self.try_again(volume);
            }
        }
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

/// Whether nobody will miss it: Docker made the name up, and nobody asked for
/// anything.
fn is_disposable(record: &Record) -> bool {
    record.name.is_anonymous() && record.given.is_empty()
}

pub(super) fn later(at: Timestamp, time: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(time)
        .ok()
        .and_then(|time| at.checked_add(time).ok())
        .unwrap_or(Timestamp::MAX)
}
