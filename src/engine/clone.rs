//! `from=VOLUME[@SNAPSHOT]`: new volumes with the content of others.
//!
//! A clone is a create whose content is copied. It stays in the pool of its
//! origin, which cannot be removed or rolled back meanwhile.

use std::sync::Arc;

use berth_api::{Change, Error, Estimate, Method, Op, Progress, Result, SnapshotId};
use tokio::sync::OwnedRwLockReadGuard;

use super::{
    Engine, create::faulty, jobs::UNLIMITED, pool::Pool, restore::watched, time, volume::Volume,
};
use crate::catalog::{self, MadeFrom, Record, SnapshotState, State};

/// Content that is being read: as long as this lives, it stays.
#[derive(Debug)]
pub(super) struct Source {
    volume: Arc<Volume>,
    snapshot: Option<SnapshotId>,
    _content: OwnedRwLockReadGuard<()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        let Some(snapshot) = self.snapshot else { return };
        self.volume.write(|life| {
            if let Some(count) = life.read.get_mut(&snapshot) {
                *count -= 1;
                if *count == 0 {
                    life.read.remove(&snapshot);
                }
            }
        });
    }
}

impl Engine {
    /// What `from=TEXT` names, and the pool it is in.
    ///
    /// # Errors
    /// `NotFound` if there is no such volume or snapshot; `Unsupported` if its pool
    /// cannot clone.
    pub(super) fn origin_of(&self, text: &str) -> Result<(catalog::Origin, Arc<Pool>)> {
        let (name, snapshot) = match text.split_once('@') {
            Some((name, snapshot)) => (name, Some(snapshot)),
            None => (text, None),
        };
        let volume = self.index.find(name)?;
        let snapshot = snapshot.map(|name| super::snapshot::find(&volume, name)).transpose()?;
        let pool = self.configured(&volume.record().pool)?;
        pool.can_snapshot()?;
        let snapshot = snapshot.map(|snapshot| snapshot.sidecar.id);
        Ok((catalog::Origin { volume: volume.id, snapshot }, pool))
    }

    /// Refuses a clone that does not fit; says how much would be copied, if
    /// anything is.
    ///
    /// # Errors
    /// `Exhausted`; `NotFound`, `Unavailable`.
    pub(super) async fn check_clone(
        &self,
        origin: &catalog::Origin,
        pool: &Arc<Pool>,
    ) -> Result<Option<Estimate>> {
        let volume = self.volume_of(origin)?;
        self.cost(&volume, origin.snapshot, pool, Op::new(time::CALL)).await
    }

    /// What copying the content would take, once it is known that it fits.
    ///
    /// # Errors
    /// `Exhausted` if it does not.
    pub(super) async fn cost(
        &self,
        volume: &Volume,
        snapshot: Option<SnapshotId>,
        pool: &Pool,
        op: Op,
    ) -> Result<Option<Estimate>> {
        let record = volume.record();
        let name = record.name.clone();
        let estimate = pool
            .copy(op, move |backend, op| {
                let (volume, snapshot) = handles(&record, snapshot)?;
                let origin = berth_api::Origin { volume: &volume, snapshot: snapshot.as_ref() };
                super::snapshot::accessor(backend)?.estimate(op, origin, true)
            })
            .await?;
        if estimate.method != Method::Copy {
            return Ok(None);
        }
        let free = pool.capacity().await.map(|capacity| capacity.free);
        match free {
            Some(free) if free < estimate.bytes => Err(Error::exhausted(format!(
                "a copy of `{name}` takes {}, and pool `{}` has {free} left",
                estimate.bytes, pool.name
            ))
            .with_hint(
                "free some space; on XFS with reflink or Btrfs copies share their data: see `berth doctor`",
            )),
            _ => Ok(Some(estimate)),
        }
    }

    /// Keeps the origin of a volume that is being made as it is.
    ///
    /// # Errors
    /// `NotFound` if it is gone; `Busy` if it is being taken away.
    pub(super) async fn source(&self, origin: &catalog::Origin) -> Result<Source> {
        let volume = self.volume_of(origin)?;
        let _lock = volume.lock().await;
        let record = volume.record();
        match &record.state {
            State::Ready => {}
            State::Faulty { during, error } => return Err(faulty(&record.name, during, error)),
            _ => return Err(Error::not_found(format!("no such volume: `{}`", record.name))),
        }
        let content = volume.keep_content()?;
        if let Some(snapshot) = origin.snapshot {
            let there = |entry: &&catalog::Snapshot| {
                entry.sidecar.id == snapshot && entry.state == SnapshotState::Ready
            };
            if record.snapshots.iter().find(there).is_none() {
                return Err(Error::not_found(format!("the snapshot of `{}` is gone", record.name)));
            }
            volume.write(|life| *life.read.entry(snapshot).or_default() += 1);
        }
        Ok(Source { volume: volume.clone(), snapshot: origin.snapshot, _content: content })
    }

    fn volume_of(&self, origin: &catalog::Origin) -> Result<Arc<Volume>> {
        self.index.by_id(origin.volume).ok_or_else(|| {
            Error::not_found(format!("the volume {} to clone is gone", origin.volume))
        })
    }

    /// Makes the content of a volume: empty, a copy of its origin, or out of a backup.
    pub(super) async fn make_content(
        &self,
        volume: &Volume,
        pool: &Pool,
        op: &Op,
    ) -> Result<Progress<Change>> {
        let record = volume.record();
        let origin = match record.origin.clone() {
            None => {
                let op = op.extended(time::CALL);
                return pool
                    .run(op, move |backend, op| {
                        backend.create(op, &record.handle, &record.sidecar())
                    })
                    .await;
            }
            Some(MadeFrom::Backup(origin)) => {
                return self.make_restored(volume, pool, &origin, op).await;
            }
            Some(MadeFrom::Volume(origin)) => origin,
        };
        let source = self.source(&origin).await?;
        let op = op.extended(UNLIMITED);
        let from = source.volume.record();
        let what = format!("it is being copied from `{}`", from.name);
        let copy = pool.copy(op.clone(), move |backend, op| {
            // Until the copy has ended, whoever asked for it.
            let source = source;
            let (handle, snapshot) = handles(&from, source.snapshot)?;
            let origin = berth_api::Origin { volume: &handle, snapshot: snapshot.as_ref() };
            let snapshots = super::snapshot::accessor(backend)?;
            snapshots.clone_into(op, origin, &record.handle, &record.sidecar())
        });
        watched(volume, &op, &what, copy).await
    }
}

/// The handles of a volume and of its snapshot.
fn handles(
    record: &Record,
    snapshot: Option<SnapshotId>,
) -> Result<(berth_api::Handle, Option<berth_api::Handle>)> {
    let Some(id) = snapshot else { return Ok((record.handle.clone(), None)) };
    let entry = record.snapshots.iter().find(|entry| entry.sidecar.id == id);
    let entry = entry.ok_or_else(|| {
        Error::not_found(format!("the snapshot {id} of `{}` is gone", record.name))
    })?;
    Ok((record.handle.clone(), Some(entry.handle.clone())))
}
