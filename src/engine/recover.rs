//! Recovery: records × mount table × what is really there.
//!
//! Runs for each pool as soon as its identity is confirmed, at start and when a
//! pool comes back. What needs attention is in a state that says so, so that a
//! start with thousands of settled volumes reads none of them; those are looked
//! at in the background. Live mounts are adopted; nothing that a container may
//! hold is unmounted.

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc, time::Duration};

use berth_api::{Backend, Error, ErrorKind, Observed, Op, Progress, Result, Source, VolumeId};
use berth_host::mounts::{self, Table, Unmounted};
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{
    Engine,
    mount::{remove_folder, table},
    pool::Pool,
    table::{Action, decide},
    time,
    volume::Volume,
};
use crate::catalog::{Record, State};

/// What was being done when a damaged record was met.
pub(super) const LOAD: &str = "load";
/// How long a pool may take to say which mount is its own.
const ADOPT: Duration = Duration::from_secs(3);

impl Engine {
    /// Recovers the records of a pool that was just confirmed.
    pub(super) async fn recover_pool(self: &Arc<Self>, pool: &Arc<Pool>) {
        if !pool.begin_recovery() {
            return;
        }
        if let Err(error) = self.read_shared(pool).await {
            tracing::warn!(pool = pool.name, error = %error.chain(), "read the records");
            pool.recover_later();
            return;
        }
        let volumes: Vec<_> = self
            .index
            .all()
            .into_iter()
            .filter(|volume| volume.read(|life| life.record.pool == pool.name))
            .collect();
        let (unsettled, settled): (Vec<_>, Vec<_>) =
            volumes.into_iter().partition(|volume| volume.read(|life| is_unsettled(&life.record)));
        // What was removed is nobody's any more: however much of it is left, it
        // does not hold up the start.
        let (removed, live): (Vec<_>, Vec<_>) = unsettled
            .into_iter()
            .partition(|volume| volume.read(|life| life.record.state.is_removed()));
        self.recover_each(live, pool).await;
        let (engine, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            engine.recover_each(removed, &pool).await;
            engine.look_at_settled(settled, &pool).await;
        });
    }

    async fn recover_each(self: &Arc<Self>, volumes: Vec<Arc<Volume>>, pool: &Arc<Pool>) {
        for volume in volumes {
            let lock = volume.lock().await;
            if let Err(error) = self.recover(&volume, pool, lock).await {
                tracing::warn!(volume = %volume.record().name, error = %error.chain(), "recover");
            }
        }
    }

    /// Recovers one volume; the caller has the lock.
    pub(super) async fn recover(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        lock: tokio::sync::OwnedMutexGuard<()>,
    ) -> Result<()> {
        if !self.may_recover(volume) {
            return Ok(());
        }
        match self.finish_rollback(volume, pool).await {
            // What became of the volume is seen below.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => drop(other?),
        }
        let record = volume.record();
        let observed = inspect(pool, &record).await?;
        if matches!(observed, Observed::Present { .. } | Observed::Incomplete)
            && self.take_removal_back(volume).await?
        {
            return Ok(());
        }
        volume.write(|life| life.unproven = false);
        let action = decide(&record, observed);
        if !matches!(observed, Observed::Absent) && pool.has_snapshots() {
            self.recover_snapshots(volume, pool).await?;
        }
        if action != Action::Keep {
            tracing::info!(volume = %record.name, state = record.state.as_str(), ?observed, ?action, "recover");
        }
        match action {
            Action::Keep => {}
            Action::Settle => {
                // What is there may not be on stable storage: the repeated call syncs.
                self.until_ready(pool, volume, |backend, op, record| {
                    backend.create(op, &record.handle, &record.sidecar())
                })
                .await?;
                self.settle(volume, State::Ready);
            }
            Action::MarkRemoved => self.finish_removal(volume, pool).await,
            Action::Forget => self.forget(volume),
            Action::Missing => {
                let error = Error::corrupt("its data is not in the pool");
                self.fault(volume, "recover", &error);
            }
            Action::Undo => {
                let why = Error::internal("it was interrupted");
                self.undo_create(volume, pool, why).await;
            }
            Action::Create => {
                let (engine, volume, pool) = (self.clone(), volume.clone(), pool.clone());
                tokio::spawn(async move {
                    let _lock = lock;
                    let op = Op::new(time::CALL);
                    if let Err(error) = engine.effect(&volume, &pool, &op, None, None).await {
                        engine.fail_accepted(&volume, &error);
                    }
                });
            }
            Action::Restore => self.finish_undelete(volume, pool).await,
            Action::Describe => self.describe_again(volume, pool).await,
            Action::Remove => self.remove_again(volume, pool).await?,
            Action::Purge => {
                let (engine, volume, pool) = (self.clone(), volume.clone(), pool.clone());
                tokio::spawn(async move {
                    let _lock = lock;
                    engine.purge(&volume, &pool).await;
                });
            }
        }
        Ok(())
    }

    /// Puts options and sidecar in force that may be those of before.
    pub(super) async fn describe_again(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let described = self
            .until_ready(pool, volume, |backend, op, record| {
                backend.describe(op, &record.handle, &record.sidecar())
            })
            .await;
        match described {
            Ok(()) => self.settle(volume, State::Ready),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                self.fault(volume, "recover", &error);
            }
            // A full or absent disk: it stays unsettled, and is tried again.
            Err(error) => {
                tracing::warn!(volume = %volume.record().name, error = %error.chain(), "describe");
                self.try_again(volume);
            }
        }
    }

    /// Finishes a removal that was interrupted, once nobody holds the volume.
    async fn remove_again(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) -> Result<()> {
        let record = volume.record();
        if let State::Removed { at, expires, .. } = record.state {
            volume.write(|life| life.record.state = State::Removing { at, expires });
        }
        if volume.read(|life| life.mounted) {
            if self.evidence_of(volume).await?.may_be_held() {
                return Err(Error::busy("removed, but a container still holds it"));
            }
            self.take_down(volume).await?;
        }
        self.finish_removal(volume, pool).await;
        Ok(())
    }

    /// Looks whether settled volumes are still there, without haste.
    async fn look_at_settled(self: &Arc<Self>, volumes: Vec<Arc<Volume>>, pool: &Arc<Pool>) {
        for volume in volumes {
            let Some(lock) = volume.try_lock() else { continue };
            if let Err(error) = self.recover(&volume, pool, lock).await {
                // The pool went away again: nothing can be told of the rest.
                tracing::info!(pool = pool.name, error = %error.chain(), "look at volumes");
                return;
            }
        }
    }

    /// Adopts the mounts of before, and clears what a reboot or a crash left of
    /// mountpoints. Runs before anything is served.
    pub(super) async fn adopt_mounts(self: &Arc<Self>) -> Result<()> {
        let found = {
            let folder = self.setup.paths.mounts.clone();
            let read = move || -> Result<_> { Ok((table()?, folders(&folder))) };
            tokio::task::spawn_blocking(read)
                .await
                .unwrap_or_else(|_| Err(Error::internal("the look at the mounts panicked")))?
        };
        let (table, folders) = found;
        // Side by side: a pool that hangs takes the start seconds once, not for
        // each of its mounts.
        let mut adoptions = JoinSet::new();
        for folder in folders {
            if table.at(&folder).is_none() {
                // Empty: a reboot took the mount. Anything else is not ours to delete.
                let _ = remove_folder(&folder);
                continue;
            }
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match self.index.find(name).ok() {
                Some(volume) => {
                    let engine = self.clone();
                    adoptions.spawn(async move { engine.adopt(&volume, &folder).await });
                }
                None => self.clear_stale(&table, &folder),
            }
        }
        while adoptions.join_next().await.is_some() {}
        Ok(())
    }

    async fn adopt(self: &Arc<Self>, volume: &Arc<Volume>, folder: &std::path::Path) {
        let record = volume.record();
        let Ok(pool) = self.configured(&record.pool) else {
            volume.write(|life| life.mounted = true);
            return;
        };
        let (handle, options, target) = (record.handle, record.options, folder.to_owned());
        let op = Op::new(ADOPT);
        let look = pool.run(op.clone(), move |backend, op| {
            Ok(match backend.attach(op, &handle, &options)? {
                Progress::Ready(Source::Directory { directory, .. }) => {
                    mounts::shows(&target, directory).unwrap_or(false)
                }
                Progress::Ready(_) => false,
                Progress::Pending { because, .. } => return Err(Error::unavailable(because)),
            })
        });
        let ours = tokio::time::timeout(ADOPT, look)
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the pool did not answer")));
        // Without the pool nobody can tell; what is mounted there is taken for
        // ours, which keeps it from being unmounted or mounted over.
        if ours.unwrap_or(true) {
            volume.write(|life| life.mounted = true);
            tracing::info!(volume = %record.name, "adopted its mount");
        } else {
            tracing::warn!(volume = %record.name, "something else is mounted at its mountpoint");
        }
    }

    /// A mount of a volume that is removed or unknown: taken down if nobody
    /// holds it.
    fn clear_stale(&self, table: &Table, folder: &std::path::Path) {
        let Some(mount) = table.at(folder) else { return };
        let held = !self.sees_other_namespaces()
            || berth_host::holders::find(table, &[mount])
                .map_or(true, |holders| holders.iter().any(|holders| !holders.is_empty()));
        if held {
            tracing::warn!(folder = %folder.display(), "a mount of no volume is in use");
        } else if mount.is_remote() {
            // With its server away it takes its time, and nobody waits for it.
            let folder = folder.to_owned();
            tokio::task::spawn_blocking(move || {
                if matches!(mounts::unmount_remote(&folder), Ok(Unmounted::Done)) {
                    let _ = remove_folder(&folder);
                }
            });
        } else if matches!(mounts::unmount(folder), Ok(Unmounted::Done)) {
            let _ = remove_folder(folder);
            tracing::info!(folder = %folder.display(), "took down a mount of no volume");
        }
    }

    /// Makes a faulty record for each damaged row, named from its sidecar.
    ///
    /// # Errors
    /// `Corrupt` if a name cannot be told: then Get could deny a volume that
    /// exists, and the catalog is not to be trusted.
    pub(super) async fn name_damaged(self: &Arc<Self>, damaged: &[String]) -> Result<()> {
        let mut found: HashMap<VolumeId, Record> = HashMap::new();
        for pool in self.pools.values().filter(|_| !damaged.is_empty()) {
            if pool.ready().await.is_err() {
                continue;
            }
            let listed = pool.run(Op::new(time::CALL), Backend::list).await?;
            for entry in listed {
                let Ok(sidecar) = entry.sidecar else { continue };
                let id = sidecar.spec.id;
                let state = if entry.trashed {
                    State::Removed { at: Timestamp::now(), expires: None, purging: false }
                } else {
                    State::Faulty {
                        during: LOAD.to_owned(),
                        error: "its record is damaged; `berth pool rebuild` makes it anew"
                            .to_owned(),
                    }
                };
                found.insert(id, Record::of(sidecar, pool.place(), entry.handle, state));
            }
        }
        for id in damaged {
            let record = id.parse().ok().and_then(|id: VolumeId| found.remove(&id));
            let Some(record) = record else {
                return Err(crate::database::untrusted(&format!(
                    "the record of volume {} is damaged, and no pool has its name",
                    id.escape_debug()
                )));
            };
            tracing::error!(volume = %record.name, %id, "damaged record");
            let volume = Volume::new(record.clone());
            self.index.file(&volume);
            self.writer.later(move |tx| crate::catalog::put_volume(tx, &record));
        }
        Ok(())
    }
}

/// Whether the record says that an effect may be missing.
fn is_unsettled(record: &Record) -> bool {
    if record.is_half_done() {
        return true;
    }
    match &record.state {
        State::Creating { .. } | State::Removing { .. } | State::Removed { purging: true, .. } => {
            true
        }
        State::Ready => record.unsettled,
        State::Removed { .. } | State::Faulty { .. } => false,
    }
}

async fn inspect(pool: &Pool, record: &Record) -> Result<Observed> {
    let handle = record.handle.clone();
    pool.run(Op::new(time::CALL), move |backend, op| backend.inspect(op, &handle)).await
}

/// What stands in the folder of mountpoints.
fn folders(mounts: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(mounts)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
