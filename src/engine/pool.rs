//! One configured pool as the engine sees it: backend, threads, identity.

mod look;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use berth_api::{
    Backend, Bytes, Capacity, Error, Health, HostId, Op, PoolId, Report, Result, SharedRecords,
};

use super::{shared::Share, threads::Threads, usage::Gauge};
use crate::{catalog, config::PoolConfig, database::Writer};
use look::Looks;
pub(super) use look::PATIENCE;

/// One configured pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) config: PoolConfig,
    backend: Arc<dyn Backend>,
    threads: Threads,
    /// Whoever looks whether it is there must not queue behind those who wait for it.
    looker: Threads,
    looks: Looks,
    /// Itself, for what goes on without those who asked for it.
    me: Weak<Self>,
    /// The trash is emptied on a thread of its own, at the lowest priority.
    walker: Threads,
    /// Content is copied on threads of its own: none of them counts as stuck.
    copiers: Threads,
    /// What its volumes take.
    pub(super) gauge: Gauge,
    host: HostId,
    writer: Writer,
    situation: RwLock<Situation>,
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
    /// It was too slow for somebody, and has not been looked at since.
    doubted: Option<String>,
    /// Records of this pool were recovered since it was confirmed.
    recovered: bool,
}

impl Pool {
    #[expect(clippy::too_many_arguments, reason = "each is one thing that a pool has")]
    pub(super) fn new(
        me: Weak<Self>,
        name: &str,
        config: PoolConfig,
        backend: Arc<dyn Backend>,
        known: Option<PoolId>,
        host: HostId,
        host_name: &str,
        writer: Writer,
    ) -> Self {
        let share = backend.records().map(|_| Share::new(host, host_name));
        let confirmed = Err(format!("{} has not answered yet", look::asked(&config)));
        Self {
            name: name.to_owned(),
            config,
            backend,
            threads: Threads::new(name),
            looker: Threads::looker(name),
            looks: Looks::default(),
            me,
            walker: Threads::walkers(name),
            copiers: Threads::copiers(name),
            gauge: Gauge::new(name),
            host,
            writer,
            situation: RwLock::new(Situation {
                id: known,
                confirmed,
                doubted: None,
                recovered: false,
            }),
            capacity: Mutex::default(),
            share,
        }
    }

    /// The records of a pool that several hosts share. For what does no I/O only.
    pub(super) fn records(&self) -> Option<&dyn SharedRecords> {
        self.backend.records()
    }

    /// Runs a backend call on the pool's threads. Where several hosts share the pool, it
    /// lies on a server, which is listened for while it keeps a call waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&dyn Backend, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let backend = self.backend.clone();
        self.attended(self.threads.run(move || call(&*backend, &op))).await
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

    /// Whether snapshots, clones and rollbacks can be made.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    pub(super) fn can_snapshot(&self) -> Result<()> {
        let possible = match self.backend.snapshots() {
            Some(snapshots) => snapshots.possible(),
            None => Err(Error::unsupported("it has none")),
        };
        possible.map_err(|error| {
            error.context(format!("pool `{}` has no snapshots and clones", self.name))
        })
    }

    /// What is known of its own records, where several hosts share it.
    pub(super) fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// The pool counts as away until it was looked at again.
    fn lost(&self, why: &str) {
        let mut new = false;
        self.write(|situation| {
            new = situation.confirmed.is_ok();
            situation.confirmed = Err(why.to_owned());
            situation.doubted = None;
            situation.recovered = false;
        });
        if new {
            tracing::warn!(pool = self.name, why, "pool is unavailable");
        } else {
            tracing::debug!(pool = self.name, why, "pool is still unavailable");
        }
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

    /// How long the server that it lies on has not answered, where that is so.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.backend.silence()
    }

    /// Whether the pool can be used, from what was last seen; does not block.
    pub(super) fn health(&self) -> Health {
        let Situation { confirmed, doubted, .. } = self.read();
        match (confirmed, doubted, self.backend.health()) {
            // It says for how long by now.
            (Err(_), _, Health::Unavailable(why)) if self.silence().is_some() => {
                Health::Unavailable(why)
            }
            (Err(why), ..) | (Ok(()), Some(why), Health::Ready) => Health::Unavailable(why),
            (Ok(()), _, health) => health,
        }
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
