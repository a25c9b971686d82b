//! Looking for a name that is not known: on a miss the healthy shared pools are
//! asked, which must answer soon.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_api::{Error, ErrorKind, Health, Op, Result, VolumeName};

use super::{
    is_in_flux,
    publish::{read, unshared},
    refresh::PATIENCE,
};
use crate::{
    catalog::{Record, State},
    engine::{Engine, pool::Pool},
};

/// How soon a name that another host is giving away is looked at again.
const LOOK: Duration = Duration::from_millis(50);
/// How long a create waits for another host's of the same name.
const OTHERS: Duration = Duration::from_secs(5);

impl Engine {
    /// Learns the volume of this name from the shared pools if it is not known.
    /// What is no valid name is nobody's.
    pub async fn ask(self: &Arc<Self>, name: &str) {
        let Ok(name) = name.parse::<VolumeName>() else { return };
        if self.index.live(&name).is_some() {
            return;
        }
        for pool in self.pools.values().filter(|pool| pool.share().is_some()) {
            if pool.health() != Health::Ready {
                continue;
            }
            match tokio::time::timeout(PATIENCE, self.ask_pool(pool, &name)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::info!(pool = pool.name, error = %error.chain(), "ask for `{name}`");
                }
                Err(_) => pool.doubt(&format!("it did not answer in {} s", PATIENCE.as_secs())),
            }
        }
    }

    /// Reads the record of a volume that is about to be changed, and waits a moment
    /// for another host that is in the middle of something with it; on a miss, as
    /// [`ask`](Self::ask).
    pub async fn freshen(self: &Arc<Self>, name: &str) {
        let Ok(volume) = self.index.find(name) else { return self.ask(name).await };
        let record = volume.record();
        let Some((pool, share)) = self.sharing(&record) else { return };
        if pool.health() != Health::Ready {
            return;
        }
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout(PATIENCE, read(pool, volume.id)).await {
                Ok(Ok(Some(version))) => self.learn(pool, share, volume.id, Ok(version), None),
                Ok(Ok(None)) => {
                    let _ = tokio::time::timeout(PATIENCE, self.refresh(pool)).await;
                    return;
                }
                Ok(Err(error)) => {
                    tracing::info!(volume = name, error = %error.chain(), "read its record");
                    return;
                }
                Err(_) => {
                    pool.doubt(&format!("it did not answer in {} s", PATIENCE.as_secs()));
                    return;
                }
            }
            let busy = !share.is_own(volume.id) && is_in_flux(&volume.record());
            if !busy || tokio::time::Instant::now() >= end {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ask_pool(self: &Arc<Self>, pool: &Arc<Pool>, name: &VolumeName) -> Result<()> {
        let Some(share) = pool.share() else { return Ok(()) };
        let asked = name.clone();
        let found = pool
            .run(Op::new(PATIENCE), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                let Some(id) = records.resolve(op, &asked)? else { return Ok(None) };
                Ok(records.read(op, id)?.map(|version| (id, version)))
            })
            .await?;
        if let Some((id, version)) = found {
            self.learn(pool, share, id, Ok(version.clone()), None);
            if self.index.live(name).is_none() {
                // A reading that met the same record at the same moment has its turn.
                drop(share.turn(id).lock().await);
                self.learn(pool, share, id, Ok(version), None);
            }
            // What was answered for is answered for after a crash too, pool or no pool.
            if !self.writer.is_frozen() {
                self.writer.flush().await?;
            }
        }
        Ok(())
    }

    /// Whether a create that was refused with `error` met another host that made or
    /// removed a volume of that name, and has come to its end by now: then it is
    /// tried again.
    pub(in crate::engine) async fn met_elsewhere(
        self: &Arc<Self>,
        given: &BTreeMap<String, String>,
        name: &VolumeName,
        error: &Error,
    ) -> bool {
        let pool = given.get("pool").unwrap_or(&self.setup.config.default_pool);
        let Some(pool) = self.pools.get(pool).filter(|pool| pool.share().is_some()) else {
            return false;
        };
        if error.kind() != ErrorKind::Conflict {
            return false;
        }
        let end = tokio::time::Instant::now() + OTHERS;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            self.ask(name.as_str()).await;
            if self.index.live(name).is_some() {
                return true;
            }
            match self.holder(pool, name).await {
                Ok(Some(record)) if !matches!(record.state, State::Removed { .. }) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    /// The record of the volume that has a name in a shared pool.
    async fn holder(&self, pool: &Pool, name: &VolumeName) -> Result<Option<Record>> {
        let name = name.clone();
        let version = pool
            .run(Op::new(PATIENCE), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                let Some(id) = records.resolve(op, &name)? else { return Ok(None) };
                records.read(op, id)
            })
            .await?;
        version.map(|version| super::adopt::parse(pool, &version)).transpose()
    }
}
