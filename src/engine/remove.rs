//! Remove, undelete, and emptying the trash.
//!
//! ```text
//! remove:   evidence ─▶ unmount ─▶ commit removing ─▶ answer ─▶ backend.remove ─▶ removed (later)
//! undelete: commit ready (unsettled) ─▶ answer ─▶ backend.restore ─▶ settled (later)
//! purge:    commit purging ─▶ backend.purge ─▶ (gone)
//! ```
//! What follows an answer can be repeated; recovery does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Error, ErrorKind, Observed, OnRemove, Op, Progress, Result, VolumeId, VolumeName};
use jiff::Timestamp;

use super::{Engine, create::wait, detach::Evidence, jobs::Job, pool::Pool, time, volume::Volume};
use crate::{
    catalog::{self, Record, State},
    database::Transaction,
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
        let fresh = self.release(&volume, &pool).await?;
        let at = Timestamp::now();
        let at_once = now || fresh || is_disposable(&record);
        let expires = match (at_once, record.options.on_remove) {
            (true, _) => Some(at),
            (false, OnRemove::Retain) => None,
            (false, OnRemove::Delete) => Some(later(at, pool.config.trash)),
        };
        let removing = Record { state: State::Removing { at, expires }, ..record };
        let row = removing.clone();
        let step = move |tx: &Transaction<'_>| {
            catalog::put_volume(tx, &row)?;
            journal::delete_references_of(tx, row.id)
        };
        self.writer.commit(step).await?;
        volume.write(|life| {
            life.record = removing;
            life.references.clear();
        });
        self.index.file(&volume);
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
                let row = record.clone();
                self.writer.commit(move |tx| catalog::put_volume(tx, &row)).await?;
                volume.write(|life| life.record = record);
                self.housekeeper.notify_one();
                Ok(None)
            }
            (Client::Command, Some(_)) => Err(error.context(format!("`{name}` is in the trash")).with_hint(
                format!("`berth volume undelete {name}` brings it back, `berth volume rm --now {name}` deletes it for good"),
            )),
            (Client::Command, None) => Err(error),
        }
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
        Ok(matches!(
            observed,
            Observed::Present { empty: true } | Observed::Absent | Observed::Incomplete
        ))
    }

    /// Moves a removed volume's data into the trash; the caller has the lock.
    pub(super) async fn finish_removal(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let record = volume.record();
        let State::Removing { at, expires } = record.state else { return };
        let moved = self
            .until_ready(pool, None, volume, |backend, op, record| {
                backend.remove(op, &record.handle)
            })
            .await;
        match moved {
            Ok(()) => {
                self.settle(volume, State::Removed { at, expires, purging: false });
                if expires.is_some_and(|expires| expires <= Timestamp::now()) {
                    self.housekeeper.notify_one();
                }
            }
            // It stays `removing`: recovery and the housekeeper try again.
            Err(error) => {
                tracing::warn!(volume = %record.name, error = %error.chain(), "move to the trash");
            }
        }
    }

    /// Brings a removed volume back, by name (the latest removed) or id.
    ///
    /// # Errors
    /// `Conflict` if the name is live; `NotFound`; `Unavailable`.
    pub async fn undelete(self: &Arc<Self>, name_or_id: &str) -> Result<VolumeView> {
        let deadline = time::short(self.setup.installation);
        self.writable()?;
        let volume = name_or_id
            .parse::<VolumeId>()
            .ok()
            .and_then(|id| self.index.by_id(id))
            .or_else(|| self.latest_removed(name_or_id))
            .ok_or_else(|| {
                let shown: String = name_or_id.chars().take(40).collect();
                Error::not_found(format!(
                    "nothing in the trash is called `{}`",
                    shown.escape_debug()
                ))
                .with_hint("`berth volume ls --removed` lists the trash")
            })?;
        let name = volume.record().name;
        let taken = || {
            Error::conflict(format!("a volume `{name}` exists"))
                .with_hint("remove it first; what is in the trash stays there")
        };
        if self.index.live(&name).is_some() {
            return Err(taken());
        }
        let lock = volume.lock_by(deadline).await?;
        let record = volume.record();
        match record.state {
            State::Removed { purging: false, .. } => {}
            State::Removed { .. } | State::Removing { .. } => {
                return Err(Error::not_found(format!(
                    "volume `{name}` is being deleted for good, or its pool is away"
                )));
            }
            _ => return Err(taken()),
        }
        let pool = self.configured(&record.pool)?;
        pool.ready().await?;
        let record = Record { state: State::Ready, unsettled: true, ..record };
        let row = record.clone();
        // The index on live names decides between two at once.
        self.writer
            .commit(move |tx| catalog::put_volume(tx, &row))
            .await
            .map_err(|error| if error.kind() == ErrorKind::Conflict { taken() } else { error })?;
        volume.write(|life| life.record = record);
        self.index.file(&volume);
        tracing::info!(volume = %name, id = %volume.id, "undeleted");
        let view = self.view(&volume);
        let engine = self.clone();
        tokio::spawn(async move {
            let _lock = lock;
            engine.finish_undelete(&volume, &pool).await;
        });
        Ok(view)
    }

    /// Moves the data of an undeleted volume back; the caller has the lock.
    pub(super) async fn finish_undelete(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let restored = self
            .until_ready(pool, None, volume, |backend, op, record| {
                backend.restore(op, &record.handle)?;
                backend.describe(op, &record.handle, &record.sidecar())
            })
            .await;
        match restored {
            Ok(()) => self.settle(volume, State::Ready),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(volume = %volume.record().name, error = %error.chain(), "undelete");
            }
            Err(error) => self.fault(volume, "undelete", &error),
        }
    }

    /// Deletes a removed volume for good; the caller has the lock.
    pub(super) async fn purge(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let record = volume.record();
        let State::Removed { at, expires, purging } = record.state else { return };
        if !purging {
            // From here on nothing half deleted can come back.
            let state = State::Removed { at, expires, purging: true };
            let record = Record { state, ..record.clone() };
            let row = record.clone();
            if let Err(error) = self.writer.commit(move |tx| catalog::put_volume(tx, &row)).await {
                tracing::warn!(volume = %record.name, error = %error.chain(), "purge");
                return;
            }
            volume.write(|life| life.record = record);
        }
        let id = Some((volume.id, record.name.to_string()));
        let job = self.jobs.start("purge", id, Some(&record.pool));
        let handle = record.handle.clone();
        let purged = pool.walk(job.op.clone(), move |backend, op| backend.purge(op, &handle)).await;
        job.end(purged.as_ref().map(|_| String::new()));
        match purged {
            Ok(_) => self.forget(volume),
            Err(error) => {
                tracing::warn!(volume = %record.name, error = %error.chain(), "purge");
            }
        }
    }

    /// The volume is gone; its row goes with the next commit.
    pub(super) fn forget(&self, volume: &Volume) {
        self.index.forget(volume);
        let id = volume.id.to_string();
        self.writer.later(move |tx| catalog::delete_volume(tx, &id));
        tracing::info!(volume = %volume.record().name, id = %volume.id, "gone");
    }

    /// Repeats a backend call while it answers `Pending`.
    pub(super) async fn until_ready<T: Send + 'static>(
        &self,
        pool: &Pool,
        job: Option<&Job>,
        volume: &Volume,
        call: impl Fn(&dyn berth_api::Backend, &Op, &Record) -> Result<Progress<T>>
        + Clone
        + Send
        + 'static,
    ) -> Result<()> {
        loop {
            let op = job.map_or_else(|| Op::new(time::CALL), |job| job.op.extended(time::CALL));
            op.check()?;
            let (call, record) = (call.clone(), volume.record());
            match pool.run(op.clone(), move |backend, op| call(backend, op, &record)).await? {
                Progress::Ready(_) => return Ok(()),
                Progress::Pending { after, because } => {
                    if let Some(job) = job {
                        job.waits(Some(because));
                    }
                    wait(after, &op).await;
                }
            }
        }
    }

    /// The latest volume of this name that is in the trash.
    fn latest_removed(&self, name: &str) -> Option<Arc<Volume>> {
        let name: VolumeName = name.parse().ok()?;
        self.index
            .all()
            .into_iter()
            .filter_map(|volume| {
                let at = volume.read(|life| match life.record.state {
                    _ if life.record.name != name => None,
                    State::Removing { at, .. } | State::Removed { at, purging: false, .. } => {
                        Some(at)
                    }
                    _ => None,
                })?;
                Some((at, volume))
            })
            .max_by_key(|(at, _)| *at)
            .map(|(_, volume)| volume)
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
        format!("mounted {count} times (by {})", ids.join(", "))
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
