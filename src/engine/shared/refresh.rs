//! Reading what other hosts wrote.
//!
//! Docker's Get and List answer from the replica and start a reading, at most one
//! a second. Only a complete, successfully made listing of the pool takes entries
//! away.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{
    Backend, Error, ErrorKind, Health, Op, Result, Sidecar, VolumeId,
    records::{Basis, Version},
};

use super::{Share, adopt::Damage, publish::unshared};
use crate::engine::{
    Engine,
    pool::Pool,
    time,
    volume::{Life, Volume},
};

/// Readings of a pool are at least this far apart, unless a command waits for one.
const PACE: Duration = Duration::from_secs(1);
/// How long a command waits for a reading.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What a reading found that is not known.
#[derive(Debug, Default)]
struct News {
    /// All that is there.
    listed: Vec<VolumeId>,
    /// What changed.
    changed: Vec<(VolumeId, Result<Version, Damage>)>,
    /// What damaged records of unknown volumes are called by their sidecars.
    sidecars: HashMap<VolumeId, (Sidecar, berth_api::Handle)>,
}

impl Engine {
    /// Starts a reading of each shared pool whose last one is a second ago.
    pub fn look_around(self: &Arc<Self>) {
        for pool in self.pools.values() {
            let Some(share) = pool.share() else { continue };
            let now = Instant::now();
            let due = {
                let mut known = share.known();
                let due = known.asked.is_none_or(|asked| now.duration_since(asked) >= PACE);
                if due {
                    known.asked = Some(now);
                }
                due
            };
            if due && pool.health() == Health::Ready {
                self.refresh_soon(pool);
            }
        }
    }

    /// Reads the shared pools, for a command that shows what is there.
    pub async fn look_around_now(self: &Arc<Self>) {
        let pools: Vec<_> = self.pools.values().filter(|pool| pool.share().is_some()).collect();
        if pools.is_empty() {
            return;
        }
        let readings: Vec<_> = pools
            .into_iter()
            .filter(|pool| pool.health() == Health::Ready)
            .map(|pool| {
                let (engine, pool) = (self.clone(), pool.clone());
                tokio::spawn(async move { engine.refresh(&pool).await })
            })
            .collect();
        let end = tokio::time::Instant::now() + PATIENCE;
        for reading in readings {
            let _ = tokio::time::timeout_at(end, reading).await;
        }
    }

    pub(super) fn refresh_soon(self: &Arc<Self>, pool: &Arc<Pool>) {
        let (engine, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            if let Err(error) = engine.refresh(&pool).await {
                tracing::info!(pool = pool.name, error = %error.chain(), "read the records");
            }
        });
    }

    /// Reads the records of a shared pool now, or waits for a reading that began
    /// after this call.
    ///
    /// # Errors
    /// `Unavailable`; what is known stays as it is.
    pub(in crate::engine) async fn refresh(self: &Arc<Self>, pool: &Arc<Pool>) -> Result<()> {
        let Some(share) = pool.share() else { return Ok(()) };
        let asked = Instant::now();
        let mut read = share.reading.lock().await;
        if read.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        share.known().asked = Some(began);
        let news = tokio::time::timeout(time::CALL, self.news(pool, share)).await;
        let Ok(news) = news else {
            let why = format!("its records could not be read in {} s", time::CALL.as_secs());
            pool.doubt(&why);
            return Err(Error::unavailable(why));
        };
        let news = news?;
        // First what is gone: its name may be another's by now.
        self.let_go_of(pool, share, &news.listed, began);
        for (id, version) in news.changed {
            let sidecar = news.sidecars.get(&id);
            self.learn(pool, share, id, version, sidecar);
        }
        self.index.file_nameless();
        share.known().fresh = Some(began);
        *read = Some(began);
        Ok(())
    }

    async fn news(&self, pool: &Pool, share: &Share) -> Result<News> {
        let numbers: HashMap<_, _> = {
            let known = share.known();
            let standings = known.standings.iter();
            standings.map(|(id, standing)| (*id, standing.basis.number)).collect()
        };
        let author = share.author.clone();
        // A damaged one is read each time: somebody may have put it right.
        let damaged: Vec<_> = self
            .index
            .all()
            .iter()
            .filter(|volume| volume.read(|life| life.record.pool == pool.name))
            .filter(|volume| volume.read(Life::is_damaged))
            .map(|volume| volume.id)
            .collect();
        let known: Vec<_> = self.index.all().iter().map(|volume| volume.id).collect();
        pool.run(Op::new(time::CALL), move |backend, op| {
            let records = backend.records().ok_or_else(unshared)?;
            let mut news = News::default();
            let mut nameless = false;
            for listed in records.list(op)? {
                let id = listed.id;
                news.listed.push(id);
                let number = *listed.highest.as_ref().unwrap_or(&0);
                if numbers.get(&id) == Some(&number) && !damaged.contains(&id) {
                    continue;
                }
                let version = match listed.highest {
                    Ok(_) => records.read(op, id),
                    Err(error) => Err(error),
                };
                match version {
                    Ok(Some(version)) => news.changed.push((id, Ok(version))),
                    Ok(None) => {
                        news.listed.pop();
                        // Whoever meets the rest of one that is gone takes it away.
                        let _ = records.forget(op, &author, id, &Basis::unread(number));
                    }
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        nameless |= !known.contains(&id);
                        news.changed.push((id, Err(Damage { number, error })));
                    }
                    Err(error) => return Err(error),
                }
            }
            if nameless {
                news.sidecars = sidecars(backend, op)?;
            }
            Ok(news)
        })
        .await
    }

    /// Takes away what a complete listing no longer has.
    fn let_go_of(&self, pool: &Pool, share: &Share, listed: &[VolumeId], began: Instant) {
        let listed: std::collections::HashSet<_> = listed.iter().collect();
        for volume in self.index.all() {
            if listed.contains(&volume.id) || share.owes(volume.id) {
                continue;
            }
            let Some(_lock) = volume.try_lock() else { continue };
            let gone = volume.read(|life| {
                life.record.pool == pool.name && !life.mounted && !life.is_referenced()
            });
            let since = share.standing(volume.id).map(|standing| standing.since);
            if gone && since.is_none_or(|since| since < began) {
                self.drop_replica(&volume);
                share.doubt(volume.id);
            }
        }
    }

    fn drop_replica(&self, volume: &Volume) {
        volume.write(|life| life.gone = true);
        self.index.forget(volume);
        let id = volume.id.to_string();
        self.writer.later(move |tx| crate::catalog::delete_volume(tx, &id));
        tracing::info!(volume = %volume.record().name, id = %volume.id, "no longer in its pool");
    }

    /// How old what is known of a shared pool is, where the last reading is not of
    /// just now.
    pub(in crate::engine) fn age_of(&self, pool: &str) -> Option<u64> {
        let share = self.pools.get(pool)?.share()?;
        let since = share.fresh().unwrap_or(self.started).elapsed();
        (since > PATIENCE + PACE).then_some(since.as_secs())
    }
}

/// What lies in the pool, by what it says of itself.
fn sidecars(
    backend: &dyn Backend,
    op: &Op,
) -> Result<HashMap<VolumeId, (Sidecar, berth_api::Handle)>> {
    let found = backend.list(op)?.into_iter().filter(|found| !found.trashed);
    let described = found.filter_map(|found| Some((found.sidecar.ok()?, found.handle)));
    Ok(described.map(|(sidecar, handle)| (sidecar.spec.id, (sidecar, handle))).collect())
}
