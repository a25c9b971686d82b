//! One configured pool as the engine sees it: backend, threads, identity.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use berth_api::{Backend, Bytes, Capacity, Error, Health, HostId, Op, PoolId, Report, Result};

use super::{shared::Share, threads::Threads, usage::Gauge};
use crate::{
    catalog,
    config::PoolConfig,
    database::{Transaction, Writer},
};

/// How long one probe may take before it counts as "away".
const PROBE_TIME: Duration = Duration::from_secs(3);

/// One configured pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) config: PoolConfig,
    backend: Arc<dyn Backend>,
    threads: Threads,
    /// The trash is emptied on a thread of its own, at the lowest priority.
    walker: Threads,
    /// Content is copied on threads of its own: none of them counts as stuck.
    copiers: Threads,
    /// What its volumes take.
    pub(super) gauge: Gauge,
    host: HostId,
    writer: Writer,
    situation: RwLock<Situation>,
    probing: tokio::sync::Mutex<Option<Instant>>,
    capacity: Mutex<Option<Capacity>>,
    /// What is known of its own records, where several hosts share it.
    share: Option<Share>,
}

/// What is known of the pool now.
#[derive(Clone, Debug)]
struct Situation {
    /// What the catalog expects, or what was found.
    id: Option<PoolId>,
    /// The identity was confirmed since the start, or why not.
    confirmed: Result<(), String>,
    /// Records of this pool were recovered since it was confirmed.
    recovered: bool,
}

impl Pool {
    pub(super) fn new(
        name: &str,
        config: PoolConfig,
        backend: Arc<dyn Backend>,
        known: Option<PoolId>,
        host: HostId,
        host_name: &str,
        writer: Writer,
    ) -> Self {
        let share = backend.records().map(|_| Share::new(host, host_name));
        let confirmed = Err("it was not looked at yet".to_owned());
        Self {
            name: name.to_owned(),
            config,
            backend,
            threads: Threads::new(name),
            walker: Threads::walkers(name),
            copiers: Threads::copiers(name),
            gauge: Gauge::new(name),
            host,
            writer,
            situation: RwLock::new(Situation { id: known, confirmed, recovered: false }),
            probing: tokio::sync::Mutex::new(None),
            capacity: Mutex::default(),
            share,
        }
    }

    /// Runs a backend call on the pool's threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let backend = self.backend.clone();
        self.threads.run(move || call(&*backend, &op)).await
    }

    /// Runs work that may take very long on the trash walker's thread.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.at_leisure(&self.walker, op, call).await
    }

    /// Runs work that may take very long on a counter's thread.
    pub(super) async fn count<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.at_leisure(&self.gauge.counter, op, call).await
    }

    async fn at_leisure<T: Send + 'static>(
        &self,
        threads: &Threads,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let backend = self.backend.clone();
        threads
            .run(move || {
                berth_host::priority::lower_this_thread();
                call(&*backend, &op)
            })
            .await
    }

    /// Whether its backend can say anything of what volumes take.
    pub(super) fn measures(&self) -> bool {
        self.backend.resize().is_some()
    }

    /// Runs work that copies content, and may take long.
    pub(super) async fn copy<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let backend = self.backend.clone();
        self.copiers.run_in_turn(&op, move |op| call(&*backend, op)).await
    }

    /// Whether the pool has snapshots.
    pub(super) fn has_snapshots(&self) -> bool {
        self.backend.snapshots().is_some()
    }

    /// What is known of its own records, where several hosts share it.
    pub(super) fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// The pool counts as away until it was looked at again.
    pub(super) fn lost(&self, why: &str) {
        tracing::warn!(pool = self.name, why, "pool is unavailable");
        self.write(|situation| {
            situation.confirmed = Err(why.to_owned());
            situation.recovered = false;
        });
    }

    /// Its records could not be recovered yet.
    pub(super) fn recover_later(&self) {
        self.write(|situation| situation.recovered = false);
    }

    /// The identity, once known.
    pub(super) fn id(&self) -> Option<PoolId> {
        self.read().id
    }

    /// Where records of its volumes say that they are.
    pub(super) fn place(&self) -> catalog::Place<'_> {
        catalog::Place { pool: &self.name, pool_id: self.id(), backend: &self.config.backend }
    }

    /// Calls that are stuck in the backend now.
    pub(super) fn stuck(&self) -> u64 {
        self.threads.stuck()
    }

    /// Whether the pool can be used, from what was last seen; does not block.
    pub(super) fn health(&self) -> Health {
        match &self.read().confirmed {
            Err(why) => Health::Unavailable(why.clone()),
            Ok(()) => self.backend.health(),
        }
    }

    /// Confirms the pool's identity where that has not happened or its backend
    /// lost it since.
    ///
    /// # Errors
    /// `Unavailable` with the reason.
    pub(super) async fn ready(&self) -> Result<()> {
        if self.health() == Health::Ready {
            return Ok(());
        }
        self.probe().await;
        match self.health() {
            Health::Ready => Ok(()),
            Health::Unavailable(why) => {
                Err(Error::unavailable(format!("pool `{}` is unavailable: {why}", self.name))
                    .with_hint("`berth doctor` says what to do"))
            }
        }
    }

    /// Looks at the identity now, or waits for a look that is under way.
    pub(super) async fn probe(&self) {
        let asked = Instant::now();
        let mut probed = self.probing.lock().await;
        if probed.is_some_and(|at| at >= asked) {
            return;
        }
        let (expected, host) = (self.id(), self.host);
        // Before anything is written: what a crash left half written goes.
        let clean = self.share.is_some() && probed.is_none();
        let identify = self.run(Op::new(PROBE_TIME), move |backend, op| {
            let identity = backend.identify(op, expected, host)?;
            if let Some(records) = backend.records().filter(|_| clean) {
                records.clean(op, host)?;
            }
            Ok(identity)
        });
        let found = match tokio::time::timeout(PROBE_TIME, identify).await {
            Ok(found) => found,
            Err(_) => Err(Error::unavailable(self.late())),
        };
        match found {
            Ok(found) => self.confirm(found.pool, expected).await,
            Err(error) => {
                self.lost(&error.chain());
                if clean {
                    // It is cleaned when it is first there.
                    return;
                }
            }
        }
        *probed = Some(Instant::now());
    }

    /// Why a probe took too long: what the backend knows of it, if anything.
    fn late(&self) -> String {
        match self.backend.health() {
            Health::Unavailable(why) => why,
            Health::Ready => format!("it did not answer in {} s", PROBE_TIME.as_secs()),
        }
    }

    async fn confirm(&self, found: PoolId, expected: Option<PoolId>) {
        if expected.is_none() {
            let name = self.name.clone();
            let step = move |tx: &Transaction<'_>| catalog::put_pool(tx, &name, found);
            if let Err(error) = self.writer.commit(step).await {
                self.write(|situation| situation.confirmed = Err(error.chain()));
                return;
            }
        }
        tracing::info!(pool = self.name, id = %found, "pool is ready");
        self.write(|situation| {
            situation.id = Some(found);
            situation.confirmed = Ok(());
        });
    }

    /// Writes this host into the pool's identity, and learns it anew.
    pub(super) async fn take_over(&self) -> Result<()> {
        let host = self.host;
        let identity =
            self.run(Op::new(PROBE_TIME), move |backend, op| backend.take_over(op, host)).await?;
        self.write(|situation| situation.id = None);
        self.confirm(identity.pool, None).await;
        Ok(())
    }

    /// Whether its records still have to be recovered; asking settles it.
    pub(super) fn begin_recovery(&self) -> bool {
        let mut due = false;
        self.write(|situation| {
            due = situation.confirmed.is_ok() && !situation.recovered;
            situation.recovered |= due;
        });
        due
    }

    /// How full it is, as last measured; a fresh measurement where the pool
    /// answers within a second.
    pub(super) async fn capacity(&self) -> Option<Capacity> {
        if self.health() == Health::Ready {
            let limit = Duration::from_secs(1);
            let asked = self.run(Op::new(limit), Backend::capacity);
            if let Ok(Ok(capacity)) = tokio::time::timeout(limit, asked).await {
                *self.capacity.lock().unwrap_or_else(PoisonError::into_inner) = Some(capacity);
            }
        }
        *self.capacity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its backend says of it, where that answers within a second.
    pub(super) async fn report(&self) -> Option<Report> {
        let limit = Duration::from_secs(1);
        let asked = self.run(Op::new(limit), Backend::report);
        tokio::time::timeout(limit, asked).await.ok()?.ok()
    }

    /// Whether it can become larger by itself.
    pub(super) fn can_grow(&self) -> bool {
        self.backend.growth().is_some()
    }

    /// Whether less than a twentieth of the space is free.
    pub(super) async fn is_short_of_space(&self) -> bool {
        self.capacity()
            .await
            .is_some_and(|Capacity { total: Bytes(total), free: Bytes(free) }| free < total / 20)
    }

    fn read(&self) -> Situation {
        self.situation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, change: impl FnOnce(&mut Situation)) {
        change(&mut self.situation.write().unwrap_or_else(PoisonError::into_inner));
    }
}
