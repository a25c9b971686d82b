//! Writing outcomes into a shared pool: in order, off the request's path, again
//! until it works. What a crash leaves unwritten recovery finds again, since the
//! record in the pool still says what was being done.

use std::{sync::Arc, time::Duration};

use berth_api::{ErrorKind, Health, Op, Result, VolumeId};

use super::{
    Share,
    publish::{body, unshared, withdraw},
};
use crate::{
    catalog::Record,
    engine::{Engine, pool::Pool, time, volume::Volume},
};

/// How long an answer waits for its outcome to be seen by other hosts.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How long the one who writes them waits after an error.
const AGAIN: Duration = Duration::from_secs(1);

/// What has to be written.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The record as it then is in memory.
    Record,
    /// The volume is gone; this was its record.
    Gone(Box<Record>),
}

impl Share {
    /// Has an outcome written.
    pub(super) fn owe(&self, id: VolumeId, outcome: Outcome) {
        self.known().due.insert(id, outcome);
        self.bell.notify_one();
    }

    /// Whether an outcome has yet to be written.
    pub(super) fn owes(&self, id: VolumeId) -> bool {
        self.known().due.contains_key(&id)
    }
}

impl Engine {
    /// Has the outcome of what was done with a volume written into its pool, where
    /// several hosts share that.
    pub(in crate::engine) fn publish_later(&self, record: &Record) {
        if let Some((_, share)) = self.sharing(record) {
            share.owe(record.id, Outcome::Record);
        }
    }

    /// Writes what is due of a volume before it is answered, where that is done soon.
    pub(in crate::engine) async fn publish_now(self: &Arc<Self>, volume: &Volume) {
        let Some(pool) = self.sharing(&volume.record()).map(|(pool, _)| pool.clone()) else {
            return;
        };
        let (engine, id) = (self.clone(), volume.id);
        // A task of its own: what was taken up is brought to its end.
        let written = tokio::spawn(async move {
            if let Some(share) = pool.share() {
                engine.write_outcome(&pool, share, id).await;
            }
        });
        let _ = tokio::time::timeout(AT_ONCE, written).await;
    }

    /// Has it written that a volume is gone.
    pub(in crate::engine) fn unpublish_later(&self, record: Record) {
        if let Some((_, share)) = self.sharing(&record) {
            share.owe(record.id, Outcome::Gone(Box::new(record)));
        }
    }

    /// Writes the outcomes of a pool for as long as the daemon lives.
    pub(in crate::engine) async fn outcome_loop(self: Arc<Self>, pool: Arc<Pool>) {
        let Some(share) = pool.share() else { return };
        loop {
            let due: Vec<_> = share.known().due.keys().copied().collect();
            if due.is_empty() {
                share.bell.notified().await;
                continue;
            }
            let mut failed = false;
            for id in due {
                failed |= !self.write_outcome(&pool, share, id).await;
            }
            if failed {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Waits until nothing is due any more in pools that are there.
    pub(in crate::engine) async fn write_outcomes(&self) {
        for pool in self.pools.values() {
            let Some(share) = pool.share() else { continue };
            while !share.known().due.is_empty() && pool.health() == Health::Ready {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn write_outcome(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        share: &Share,
        id: VolumeId,
    ) -> bool {
        let turn = share.turn(id);
        let _turn = turn.lock().await;
        let Some(outcome) = share.known().due.remove(&id) else { return true };
        let written = match &outcome {
            Outcome::Gone(record) => withdraw(pool, share, record).await,
            Outcome::Record => match self.index.by_id(id) {
                Some(volume) => self.write_record(pool, share, &volume.record()).await,
                None => Ok(()),
            },
        };
        let Err(error) = written else { return true };
        tracing::warn!(%id, pool = pool.name, error = %error.chain(), "write an outcome");
        if error.kind() == ErrorKind::Conflict {
            // Somebody was told that this host is gone: what is there rules.
            self.refresh_soon(pool);
        } else {
            share.known().due.entry(id).or_insert(outcome);
        }
        false
    }

    async fn write_record(&self, pool: &Pool, share: &Share, record: &Record) -> Result<()> {
        let id = record.id;
        let basis = match share.standing(id) {
            Some(standing) => standing.basis,
            // An earlier try, whose answer was lost, may have been the last word.
            None => match super::publish::read(pool, id).await? {
                Some(version) if version.author.host == share.author.host => version.basis(),
                _ => return Err(berth_api::Error::conflict("another host wrote it since")),
            },
        };
        let (author, body) = (share.author.clone(), body(record));
        let written = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                records.write(op, &author, id, Some(&basis), &body)
            })
            .await;
        share.settled(id, written)
    }
}
