//! What goes on by itself: pools that come back, references that nobody
//! confirms, the trash.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::Health;
use jiff::Timestamp;

use super::{Engine, pool, pool::Pool, volume::Life, volume::Volume};
use crate::{catalog::State, journal};

/// Between two rounds, unless something asks for one.
const ROUND: Duration = Duration::from_secs(10);
/// The pause after the first vain look for a pool that is away; doubled with each, up to
/// a round.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Half the wait before something that failed is tried again; doubled each time.
const SOON: Duration = Duration::from_millis(250);
/// A removed volume that somebody else was looking at comes up again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// However short a test makes it.
const SHORTEST: Duration = Duration::from_millis(100);
/// An unconfirmed reference is dropped only after this time without a holder
/// (`docker-protocol.md`): a crash between Mount and the container's start
/// looks unused.
const UNCONFIRMED: Duration = Duration::from_secs(600);

impl Engine {
    /// Keeps house for as long as the daemon lives: each pool by itself, so that
    /// one that hangs holds nobody else up.
    pub(super) fn keep_house(self: &Arc<Self>) {
        for pool in self.pools.values() {
            tokio::spawn(self.clone().pool_loop(pool.clone()));
            tokio::spawn(self.clone().outcome_loop(pool.clone()));
        }
        tokio::spawn(self.clone().sweep_loop());
    }

    async fn pool_loop(self: Arc<Self>, pool: Arc<Pool>) {
        let mut calls = self.housekeeper.subscribe();
        // What a crash left half purged need not wait for a round.
        calls.mark_changed();
        let mut pause = FIRST_LOOK;
        loop {
            let rest = if pool.health() == Health::Ready { ROUND } else { pause };
            tokio::select! {
                _ = tokio::time::timeout(rest, calls.changed()) => {}
                () = pool.back() => {}
            }
            if pool.health() != Health::Ready {
                pool.look(pool::PATIENCE).await;
                pause = (pause * 2).min(ROUND);
            }
            if pool.health() == Health::Ready {
                pause = FIRST_LOOK;
                self.recover_pool(&pool).await;
                self.look_around();
                self.retry(&pool).await;
                self.empty_trash(&pool).await;
            }
        }
    }

    async fn sweep_loop(self: Arc<Self>) {
        let round = ROUND.min(unconfirmed() / 4).max(SHORTEST);
        loop {
            tokio::time::sleep(round).await;
            self.sweep_references().await;
        }
    }

    /// Asks for a round now.
    pub(super) fn call_housekeeper(&self) {
        self.housekeeper.send_modify(|calls| *calls += 1);
    }

    /// What could not be finished is tried again.
    async fn retry(self: &Arc<Self>, pool: &Arc<Pool>) {
        for volume in self.index.all() {
            let due = volume.read(|life| {
                life.record.pool == pool.name
                    && match life.record.state {
                        State::Removing { .. } | State::Creating { accepted: true } => true,
                        State::Ready => life.record.unsettled || life.is_left_half_done(),
                        _ => life.is_left_half_done(),
                    }
            });
            if due
                && let Some(lock) = volume.try_lock()
                && let Err(error) = self.recover(&volume, pool, lock).await
            {
                let name = volume.record().name;
                tracing::info!(volume = %name, error = %error.chain(), "try again");
            }
        }
    }

    /// Drops references of older epochs whose volume nobody held for long.
    async fn sweep_references(&self) {
        let epoch = self.epoch();
        let suspects: Vec<_> = self
            .index
            .all_live()
            .into_iter()
            .filter(|volume| volume.read(|life| is_suspect(life, epoch)))
            .collect();
        if suspects.is_empty() {
            return;
        }
        let evidence = match self.evidence(&suspects).await {
            Ok(evidence) => evidence,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "sweep");
                return;
            }
        };
        for (volume, evidence) in suspects.iter().zip(evidence) {
            let since = volume.write(|life| {
                life.idle_since = if evidence.may_be_held() {
                    None
                } else {
                    life.idle_since.or_else(|| Some(Instant::now()))
                };
                life.idle_since
            });
            if since.is_some_and(|since| since.elapsed() >= unconfirmed()) {
                self.drop_unconfirmed(volume, epoch).await;
            }
        }
    }

    async fn drop_unconfirmed(&self, volume: &Arc<Volume>, epoch: u64) {
        let _counts = volume.counts.lock().await;
        let dropped: Vec<_> = volume.read(|life| {
            let old = |(key, reference): &(&journal::Key, &journal::Reference)| {
                !Life::is_confirmed(key, **reference, epoch)
            };
            life.references.iter().filter(old).map(|(key, _)| key.clone()).collect()
        });
        let (id, keys) = (volume.id, dropped.clone());
        let step = move |tx: &crate::database::Transaction<'_>| {
            keys.iter().try_for_each(|key| journal::delete_reference(tx, id, key))
        };
        if let Err(error) = self.writer.commit(step).await {
            tracing::warn!(error = %error.chain(), "sweep");
            return;
        }
        volume.write(|life| {
            for key in &dropped {
                life.references.remove(key);
            }
            life.generation += 1;
            life.idle_since = None;
            life.look = None;
        });
        tracing::info!(volume = %volume.record().name, count = dropped.len(), "dropped unconfirmed references");
        self.detacher.notify_one();
    }

    /// Deletes what expired; where the pool is short of space, also the oldest of
    /// what would expire later.
    async fn empty_trash(self: &Arc<Self>, pool: &Arc<Pool>) {
        let now = Timestamp::now();
        let mut trash: Vec<_> = self
            .index
            .all()
            .into_iter()
            .filter(|volume| self.may_finish(volume))
            .filter_map(|volume| {
                volume
                    .read(|life| match life.record.state {
                        State::Removed { expires: Some(expires), purging, .. }
                            if life.record.pool == pool.name =>
                        {
                            Some((expires, purging))
                        }
                        _ => None,
                    })
                    .map(|(expires, purging)| (expires, purging, volume))
            })
            .collect();
        if trash.is_empty() {
            return;
        }
        trash.sort_by_key(|(expires, ..)| *expires);
        let short = pool.is_short_of_space().await;
        let mut missed = false;
        for (expires, purging, volume) in trash {
            if !(purging || expires <= now || short) {
                continue;
            }
            // A purge may take long: it has the volume's lock, and a thread of
            // its own, so that the house is kept meanwhile.
            let Some(lock) = volume.try_lock() else {
                missed = true;
                continue;
            };
            // It may have come back, and gone again, since it was looked at.
            if !volume.read(|life| is_expiring(&life.record.state, expires)) {
                continue;
            }
            let (engine, pool) = (self.clone(), pool.clone());
            let work = tokio::spawn(async move {
                let _lock = lock;
                engine.purge(&volume, &pool).await;
            });
            if expires > now {
                // One a round while it is only for space.
                let _ = work.await;
                self.call_housekeeper();
                return;
            }
        }
        if missed {
            self.call_housekeeper_after(AGAIN);
        }
    }

    /// Has what failed for this volume tried again: soon after a passing error, and
    /// with the rounds while it lasts.
    pub(super) fn try_again(self: &Arc<Self>, volume: &Volume) {
        let failures = volume.write(|life| {
            life.failures = life.failures.saturating_add(1);
            life.failures
        });
        self.call_housekeeper_after(SOON * 2_u32.saturating_pow(failures.min(5)));
    }

    /// Asks for a round after `time`.
    fn call_housekeeper_after(self: &Arc<Self>, time: Duration) {
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            engine.call_housekeeper();
        });
    }
}

/// Whether this is still the removal that expires at `expires`.
fn is_expiring(state: &State, expires: Timestamp) -> bool {
    matches!(state, State::Removed { expires: Some(at), .. } if *at == expires)
}

fn is_suspect(life: &Life, epoch: u64) -> bool {
    life.is_referenced() && !life.has_confirmed(epoch)
}

/// [`UNCONFIRMED`]; with the feature `testing`, `BERTH_TEST_SWEEP_SECONDS`.
fn unconfirmed() -> Duration {
    #[cfg(feature = "testing")]
    if let Some(seconds) =
        std::env::var("BERTH_TEST_SWEEP_SECONDS").ok().and_then(|text| text.parse().ok())
    {
        return Duration::from_secs(seconds);
    }
    UNCONFIRMED
}
