//! One volume in memory: its record, its references, what the kernel showed.
//!
//! Two locks of its own, none of them global: `lock` is held over everything
//! that changes what the volume is (create, attach, detach, remove …), `counts`
//! over one change of its references. The order is `lock`, then `counts`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{self, Arc, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Error, Result, SnapshotId, VolumeId};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::usage::Measure;
use crate::{
    catalog::{Record, Snapshot, SnapshotState, State},
    journal::{Client, Key, LastBackup, Reference},
};

/// One volume.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) id: VolumeId,
    lock: Arc<Mutex<()>>,
    pub(super) counts: Mutex<()>,
    /// Read-locked by whoever copies the content (a snapshot, a clone), which may
    /// take long and does not hold `lock`; write-locked by whoever takes the
    /// content away (remove, rollback). Whoever has it never waits for `lock`.
    content: Arc<RwLock<()>>,
    life: sync::RwLock<Life>,
}

/// What is known of a volume now.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) record: Record,
    pub(super) references: BTreeMap<Key, Reference>,
    /// It is mounted at its mountpoint, as far as the engine did or saw.
    pub(super) mounted: bool,
    /// It was being created when the daemon ended, and its pool has not said yet
    /// whether it is there. Success may have been answered: no evidence is not
    /// absence, so it is answered for.
    pub(super) unproven: bool,
    /// It was deleted for good, and its record with it.
    pub(super) gone: bool,
    /// A process in another mount namespace had it when last looked at.
    pub(super) held: Option<bool>,
    /// Counts mounts; a look at the kernel is worth nothing if it moved.
    pub(super) generation: u64,
    /// What a job of this volume waits for.
    pub(super) waiting: Option<String>,
    /// Not detached before this, though nothing is counted.
    pub(super) keep_until: Option<Instant>,
    /// When to look again whether it can be detached, and the wait after that.
    pub(super) look: Option<(Instant, Duration)>,
    /// How often in a row something that follows an answer failed.
    pub(super) failures: u32,
    /// What it takes, as last measured.
    pub(super) measure: Option<Measure>,
    /// It is not counted again before this.
    pub(super) count_after: Option<Instant>,
    /// Since when only unconfirmed references have been seen with no holder.
    pub(super) idle_since: Option<Instant>,
    /// Snapshots that a task is taking or deleting now: recovery leaves them alone.
    pub(super) at_work: BTreeSet<SnapshotId>,
    /// Its last backup, as this host remembers it.
    pub(super) last_backup: Option<LastBackup>,
    /// How many clones are being made of each snapshot now.
    pub(super) read: BTreeMap<SnapshotId, u64>,
}

impl Volume {
    pub(super) fn new(record: Record) -> Arc<Self> {
        Arc::new(Self {
            id: record.id,
            lock: Arc::default(),
            counts: Mutex::default(),
            content: Arc::default(),
            life: sync::RwLock::new(Life {
                record,
                references: BTreeMap::new(),
                mounted: false,
                unproven: false,
                gone: false,
                held: None,
                generation: 0,
                waiting: None,
                keep_until: None,
                look: None,
                failures: 0,
                measure: None,
                count_after: None,
                idle_since: None,
                at_work: BTreeSet::new(),
                last_backup: None,
                read: BTreeMap::new(),
            }),
        })
    }

    /// Waits for everything else that changes the volume, until `deadline`.
    ///
    /// # Errors
    /// `Unavailable`, saying what is being waited for.
    pub(super) async fn lock_by(
        &self,
        deadline: tokio::time::Instant,
    ) -> Result<OwnedMutexGuard<()>> {
        tokio::time::timeout_at(deadline, self.lock.clone().lock_owned())
            .await
            .map_err(|_| self.still_busy())
    }

    /// Waits for everything else that changes the volume.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        self.lock.clone().lock_owned().await
    }

    /// The lock, if nobody has it.
    pub(super) fn try_lock(&self) -> Option<OwnedMutexGuard<()>> {
        self.lock.clone().try_lock_owned().ok()
    }

    /// Keeps the content from being taken away.
    ///
    /// # Errors
    /// `Busy` if somebody is about to.
    ///
    /// Saboteur `skip-content-lock` keeps nothing.
    pub(super) fn keep_content(&self) -> Result<OwnedRwLockReadGuard<()>> {
        let sabotaged = berth_host::failpoint::sabotaged("skip-content-lock");
        let content = if sabotaged { Arc::default() } else { self.content.clone() };
        content.try_read_owned().map_err(|_| {
            let name = self.read(|life| life.record.name.clone());
            Error::busy(format!("volume `{name}` is being removed or rolled back"))
                .with_hint("try again when that has ended")
        })
    }

    /// Waits until nobody copies the content, and keeps others from beginning.
    ///
    /// # Errors
    /// `Busy` past `deadline`.
    pub(super) async fn take_content(
        &self,
        deadline: tokio::time::Instant,
    ) -> Result<OwnedRwLockWriteGuard<()>> {
        let taken = tokio::time::timeout_at(deadline, self.content.clone().write_owned()).await;
        taken.map_err(|_| {
            let name = self.read(|life| life.record.name.clone());
            Error::busy(format!("the content of volume `{name}` is being copied")).with_hint(
                "`berth job ls` shows the snapshot, clone or backup; wait for it or cancel it",
            )
        })
    }

    /// The error for a caller whose time is over.
    pub(super) fn still_busy(&self) -> Error {
        self.read(|life| {
            let state = life.record.state.as_str();
            let because = match &life.waiting {
                Some(waiting) => format!("it is still {state}: {waiting}"),
                None => "another operation on it is still going on".to_owned(),
            };
            Error::unavailable(format!("volume `{}`: {because}", life.record.name))
                .with_hint("it goes on by itself; try again, or watch it with `berth job ls`")
        })
    }

    /// Looks at what is known.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Life) -> T) -> T {
        look(&self.life.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Life) -> T) -> T {
        change(&mut self.life.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of the record.
    pub(super) fn record(&self) -> Record {
        self.read(|life| life.record.clone())
    }
}

impl Life {
    /// Whether the name belongs to this volume.
    pub(super) fn is_live(&self) -> bool {
        self.record.state.is_live() || self.unproven
    }

    /// Its record could not be read.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(&self.record.state, State::Faulty { during, .. } if during == super::recover::LOAD)
    }

    /// How many mounts are counted.
    pub(super) fn total(&self) -> u64 {
        self.references.values().map(|reference| reference.count).sum()
    }

    /// Whether a rollback or something with a snapshot was begun, and no task is at
    /// it.
    pub(super) fn is_left_half_done(&self) -> bool {
        let left = |entry: &Snapshot| {
            entry.state != SnapshotState::Ready && !self.at_work.contains(&entry.sidecar.id)
        };
        self.record.rollback.is_some() || self.record.snapshots.iter().any(left)
    }

    /// Whether a reference can be believed: those of the command line always,
    /// those of Docker in the epoch they were mounted in.
    pub(super) fn is_confirmed(key: &Key, reference: Reference, epoch: u64) -> bool {
        key.client == Client::Command || reference.epoch >= epoch
    }

    /// Whether any reference can be believed.
    pub(super) fn has_confirmed(&self, epoch: u64) -> bool {
        self.references.iter().any(|(key, reference)| Self::is_confirmed(key, *reference, epoch))
    }
}
