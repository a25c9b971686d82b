//! Pools that several hosts share: what of their records is known here.
//!
//! The truth lies in the pool; what is in memory and in the catalog is a replica.
//! Every write names the version that it builds upon, so that of two hosts that
//! change one volume one is refused. What another host is in the middle of is
//! left alone, until an operator says that the host will not come back.
//!
//! | module | noun or verb |
//! |---|---|
//! | `publish` | writing intents into the pool |
//! | `outcomes` | writing outcomes, in order, until it works |
//! | `refresh` | reading what other hosts wrote |
//! | `adopt` | putting that in the place of what is known |
//! | `ask` | looking for a name that is not known |
//! | `hold` | attachments: who has a volume |
//! | `forget_host` | an operator's word that a host is gone |
//!
//! Locks: a verb holds its volume's lock from reading the record to writing it;
//! a refresh passes over volumes that somebody has locked. Within that, writes of
//! one record take `turn`s.

mod adopt;
mod ask;
mod forget_host;
mod hold;
mod outcomes;
mod publish;
mod refresh;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use berth_api::{
    HostId, Result, VolumeId,
    records::{Author, Basis, Version},
};
use tokio::sync::Notify;

use super::{Engine, pool::Pool, volume::Volume};
use crate::catalog::{Record, SnapshotState, State};
use outcomes::Outcome;

/// What is known of the records of one shared pool.
#[derive(Debug)]
pub(super) struct Share {
    /// This host, as others see it.
    author: Author,
    known: Mutex<Known>,
    /// Wakes the one who writes outcomes.
    bell: Notify,
    /// Held while the pool is being read; when the last reading ended.
    reading: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Known {
    standings: HashMap<VolumeId, Standing>,
    turns: HashMap<VolumeId, Arc<tokio::sync::Mutex<()>>>,
    due: BTreeMap<VolumeId, Outcome>,
    /// When the last complete reading began.
    fresh: Option<Instant>,
    /// When a reading was last asked for.
    asked: Option<Instant>,
}

/// The version of a record that this host knows.
#[derive(Clone, Debug)]
struct Standing {
    basis: Basis,
    /// Who wrote it; nobody, if it is damaged.
    author: Option<Author>,
    /// This host wrote it since its start.
    written: bool,
    /// When it was read or written: what was listed before that says nothing of it.
    since: Instant,
}

impl Share {
    pub(super) fn new(host: HostId, name: &str) -> Self {
        Self {
            author: Author { host, name: name.to_owned() },
            known: Mutex::default(),
            bell: Notify::new(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Remembers a version that was read, or that this host wrote.
    fn note(&self, id: VolumeId, version: &Version, written: bool) {
        let standing = Standing {
            basis: version.basis(),
            author: Some(version.author.clone()),
            written,
            since: Instant::now(),
        };
        self.known().standings.insert(id, standing);
    }

    /// Remembers what became of a write.
    fn settled(&self, id: VolumeId, written: Result<Version>) -> Result<()> {
        match written {
            Ok(version) => self.note(id, &version, true),
            Err(error) => {
                self.doubt(id);
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is known may no longer be so: it is read again before the next write.
    fn doubt(&self, id: VolumeId) {
        self.known().standings.remove(&id);
    }

    fn standing(&self, id: VolumeId) -> Option<Standing> {
        self.known().standings.get(&id).cloned()
    }

    /// One write of a record at a time.
    fn turn(&self, id: VolumeId) -> Arc<tokio::sync::Mutex<()>> {
        self.known().turns.entry(id).or_default().clone()
    }

    /// Whether this host has the last word on a record.
    fn is_own(&self, id: VolumeId) -> bool {
        let known = self.known();
        let author = known.standings.get(&id).and_then(|standing| standing.author.as_ref());
        author.is_some_and(|author| author.host == self.author.host)
    }

    /// When the records were last read completely.
    pub(super) fn fresh(&self) -> Option<Instant> {
        self.known().fresh
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one insertion or removal: a panic leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The pool of a record, if several hosts share it.
    fn sharing(&self, record: &Record) -> Option<(&Arc<Pool>, &Share)> {
        let pool = self.pools.get(&record.pool)?;
        Some((pool, pool.share()?))
    }

    /// Whether recovery and the housekeeper may go on with what a record says is
    /// under way: not where another host began it.
    pub(super) fn may_finish(&self, volume: &Volume) -> bool {
        volume.read(|life| match self.sharing(&life.record) {
            Some((_, share)) => share.is_own(life.record.id),
            None => true,
        })
    }

    /// Whether recovery has anything to do with a volume: in a shared pool, only with
    /// what this host is in the middle of. What is settled may have been changed by
    /// another host since it was read.
    pub(super) fn may_recover(&self, volume: &Volume) -> bool {
        volume.read(|life| match self.sharing(&life.record) {
            Some((_, share)) => share.is_own(life.record.id) && is_in_flux(&life.record),
            None => true,
        })
    }

    /// What a pool that several hosts share says, before its records are recovered.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn read_shared(self: &Arc<Self>, pool: &Arc<Pool>) -> Result<()> {
        if pool.share().is_some() {
            self.refresh(pool).await?;
            self.clear_own(pool).await?;
        }
        Ok(())
    }

    /// Whether every pool is shared, so that each host sees the same volumes.
    pub(super) fn shares_everything(&self) -> bool {
        self.pools.values().all(|pool| pool.share().is_some())
    }
}

/// Whether the host that wrote the record is in the middle of something.
fn is_in_flux(record: &Record) -> bool {
    let snapshots = || record.snapshots.iter().any(|entry| entry.state != SnapshotState::Ready);
    record.unsettled
        || record.rollback.is_some()
        || snapshots()
        || matches!(
            record.state,
            State::Creating { .. } | State::Removing { .. } | State::Removed { purging: true, .. }
        )
}
