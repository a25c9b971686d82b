//! Remove: nobody uses it, then into the trash.
//!
//! ```text
//! evidence ─▶ unmount ─▶ commit removing ─▶ answer ─▶ backend.remove ─▶ removed (later)
//! ```
//! What follows an answer can be repeated; recovery does.

use std::{sync::Arc, time::Duration};

use berth_api::{Error, ErrorKind, Health, Observed, OnRemove, Op, Result};
use jiff::Timestamp;

use super::{Engine, create::CREATE, pool::Pool, snapshot::SNAPSHOT, time, volume::Volume};
use crate::{
    catalog::{Record, Snapshot, SnapshotState, State},
    journal::Client,
    view::VolumeView,
};

impl Engine {
    /// Removes a volume into the trash; `now`: for good, also out of the trash.
    ///
    /// # Errors
    /// `Busy` if it is mounted; `NotFound` (not for Docker: it is gone already, unless a shared
    /// pool cannot be asked: `Unavailable`);
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
        self.jobs.cancel_of(volume.id, &[CREATE]);
        let lock = volume.lock_by(deadline).await?;
        let record = volume.record();
        if record.state.is_removed() {
            return Ok(None);
        }
        let pool = self.configured(&record.pool)?;
        let lock = self.vacate_by(deadline, &volume, &pool, lock).await?;
        let fresh = tokio::time::timeout_at(deadline, self.is_fresh(&volume, &pool)).await;
        let fresh = fresh.map_err(|_| volume.still_busy())??;
        self.jobs.cancel_of(volume.id, &[SNAPSHOT]);
        let content = volume.take_content(deadline).await?;
        // A snapshot may have been settled since.
        let record = volume.record();
        let at = Timestamp::now();
        let disposable = fresh || is_disposable(&record);
        let kept = |entry: &Snapshot| {
            !matches!(entry.state, SnapshotState::Removing | SnapshotState::Temporary)
        };
        let at_once = now || (disposable && !record.snapshots.iter().any(kept));
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
            let (_lock, _content) = (lock, content);
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
            // Another node, or somebody by hand, was faster: if nobody who may have the
            // volume was left unasked.
            (Client::Docker, _) => self.asked_everywhere(name).map(|()| None),
            (Client::Command, Some(volume)) if now => {
                self.writable()?;
                let _lock = volume.lock_by(time::short(self.setup.installation)).await?;
                let record = volume.record();
                self.configured(&record.pool)?.ready().await?;
                let expires = Some(Timestamp::now());
                let state = match record.state {
                    State::Removed { at, .. } => State::Removed { at, expires, purging: false },
                    // Its move failed and is tried again; the deletion follows it.
                    State::Removing { at, .. } => State::Removing { at, expires },
                    _ => return Ok(None),
                };
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

    /// Fails while a pool that several hosts share cannot be asked for a name.
    fn asked_everywhere(&self, name: &str) -> Result<()> {
        for pool in self.pools.values().filter(|pool| pool.share().is_some()) {
            if let Health::Unavailable(why) = pool.health() {
                let pool = &pool.name;
                return Err(Error::unavailable(format!(
                    "whether pool `{pool}` has a volume `{name}` cannot be told: {why}"
                ))
                .with_hint(format!("`berth pool inspect {pool}` says when it is back")));
            }
        }
        Ok(())
    }

    /// Whether the volume was never written.
    async fn is_fresh(&self, volume: &Volume, pool: &Pool) -> Result<bool> {
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
