//! What volumes take: asked of the storage where it knows, counted where not.
//!
//! ```text
//! storage knows      Get, inspect, ls ─▶ asked (at most once a second) ─▶ remembered
//! storage does not   the counter, one volume at a time, at idle priority ─▶ remembered
//! ```
//! Docker's calls are answered from what is remembered and start a refresh; the
//! command line waits for it for a moment. Nothing is ever counted for a request.
//! What is remembered is gone after a restart, and is then measured anew.
//!
//! The counter has a thread of its own in each pool, beside the one that empties
//! the trash: neither waits for the other, and both read at idle priority.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Bytes, Health, Op, Result, Usage, VolumeId};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::{
    Engine,
    jobs::UNLIMITED,
    limits::Limits,
    pool::Pool,
    threads::Threads,
    volume::{Life, Volume},
};
use crate::{catalog::State, view::VolumeView};

/// A volume in use is counted again after this; and never so often that counting
/// takes more than a twentieth of the time.
const EVERY: Duration = Duration::from_secs(600);
/// The start has better things to do.
const FIRST: Duration = Duration::from_secs(60);
/// Between two looks for volumes that have to be measured.
const ROUND: Duration = Duration::from_secs(10);
/// How old an answer of the storage may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long the command line waits for fresh answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a volume takes, as last measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    used: Bytes,
    at: Timestamp,
    clock: Instant,
    /// How often it had been mounted by then.
    generation: u64,
    /// It was mounted then, and may have been written since.
    mounted: bool,
    /// It was counted: the storage does not know.
    counted: bool,
}

/// What one pool needs to know what its volumes take.
#[derive(Debug)]
pub(super) struct Gauge {
    /// The counter's thread, and one for a volume that is being enrolled.
    pub(super) counter: Threads,
    /// Volumes that somebody looked at since the last refresh.
    asked: Mutex<BTreeSet<VolumeId>>,
    call: Notify,
    /// Held over a refresh, so that a second one finds what the first one learnt.
    refreshing: tokio::sync::Mutex<()>,
    limits: Mutex<Limits>,
}

impl Gauge {
    pub(super) fn new(pool: &str) -> Self {
        Self {
            counter: Threads::counters(pool),
            asked: Mutex::default(),
            call: Notify::new(),
            refreshing: tokio::sync::Mutex::default(),
            limits: Mutex::default(),
        }
    }

    /// Whether volumes can be limited, as last seen.
    pub(super) fn limits(&self) -> Limits {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers whether volumes can be limited.
    pub(super) fn learn(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

impl Engine {
    /// One volume, measured if that can be done in a moment.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn inspect(&self, name: &str) -> Result<VolumeView> {
        let volume = self.index.find(name)?;
        self.measure_soon(std::slice::from_ref(&volume)).await;
        self.get(name)
    }

    /// All volumes, by name, measured where that can be done in a moment.
    pub async fn listing(&self) -> Vec<VolumeView> {
        self.measure_soon(&self.index.all_live()).await;
        self.list()
    }

    /// Somebody looked at the volume, and is not kept waiting.
    pub(super) fn looked_at(&self, volume: &Volume) {
        let pool = volume.read(|life| {
            (!life.measure.is_some_and(|measure| measure.counted || measure.is_fresh()))
                .then(|| self.pools.get(&life.record.pool))
                .flatten()
        });
        let Some(pool) = pool else { return };
        pool.gauge.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(volume.id);
        pool.gauge.call.notify_one();
    }

    /// Measures for as long as it has: see [`looked_at`](Self::looked_at) and
    /// `count_loop`.
    pub(super) fn keep_measures(self: &Arc<Self>) {
        for pool in self.pools.values().filter(|pool| pool.measures()) {
            tokio::spawn(self.clone().ask_loop(pool.clone()));
            tokio::spawn(self.clone().count_loop(pool.clone()));
        }
    }

    async fn ask_loop(self: Arc<Self>, pool: Arc<Pool>) {
        loop {
            pool.gauge.call.notified().await;
            let asked = std::mem::take(
                &mut *pool.gauge.asked.lock().unwrap_or_else(PoisonError::into_inner),
            );
            let volumes: Vec<_> = asked.iter().filter_map(|id| self.index.by_id(*id)).collect();
            refresh(&pool, &volumes).await;
            tokio::time::sleep(FRESH).await;
        }
    }

    /// Asks the storage what these take, and gives up after a moment.
    async fn measure_soon(&self, volumes: &[Arc<Volume>]) {
        let all = async {
            for pool in self.pools.values() {
                let here = |volume: &&Arc<Volume>| {
                    volume.read(|life| {
                        life.record.pool == pool.name
                            && !life.measure.is_some_and(|m| m.counted || m.is_fresh())
                    })
                };
                let here: Vec<_> = volumes.iter().filter(here).cloned().collect();
                refresh(pool, &here).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    async fn count_loop(self: Arc<Self>, pool: Arc<Pool>) {
        let every = forced().unwrap_or(EVERY);
        let mut first = Some(forced().unwrap_or(FIRST));
        loop {
            if can_ask(&pool) {
                let _ = pool.can_limit().await;
                if first.is_none() {
                    self.measure_due(&pool, every).await;
                }
            }
            tokio::time::sleep(first.take().unwrap_or_else(|| every.min(ROUND))).await;
        }
    }

    /// Measures the volumes of the pool whose time it is, one after the other.
    async fn measure_due(&self, pool: &Arc<Pool>, every: Duration) {
        for volume in self.index.all_live() {
            let due = volume.read(|life| life.record.pool == pool.name && is_due(life));
            if !due {
                continue;
            }
            refresh(pool, std::slice::from_ref(&volume)).await;
            if volume.read(|life| life.measure.is_some_and(|measure| !measure.counted)) {
                continue;
            }
            let began = Instant::now();
            if let Err(error) = count(pool, &volume).await {
                let name = volume.record().name;
                tracing::debug!(volume = %name, error = %error.chain(), "count");
            }
            let rest = every.max(began.elapsed() * 20);
            volume.write(|life| life.count_after = Some(Instant::now() + rest));
        }
    }
}

impl Volume {
    /// Remembers what the storage says; it may not know.
    pub(super) fn note(&self, usage: Usage) {
        self.write(|life| match usage.used {
            Some(used) => life.measure = Some(Measure::of(used, false, life)),
            // It is counted from now on; what is known so far stays known.
            None => {
                if let Some(measure) = &mut life.measure {
                    measure.counted = true;
                }
            }
        });
    }
}

impl Life {
    /// What it takes is another matter now: it is measured anew.
    pub(super) fn forget_measure(&mut self) {
        self.measure = None;
        self.count_after = None;
    }
}

impl Measure {
    fn of(used: Bytes, counted: bool, life: &Life) -> Self {
        Self {
            used,
            at: Timestamp::now(),
            clock: Instant::now(),
            generation: life.generation,
            mounted: life.mounted,
            counted,
        }
    }

    fn is_fresh(&self) -> bool {
        self.clock.elapsed() < FRESH
    }

    /// The figure and its time, as users see them.
    pub(super) fn shown(&self) -> (Bytes, Timestamp) {
        (self.used, self.at)
    }
}

/// Asks the storage what volumes of the pool take. All that fails is left as it is.
async fn refresh(pool: &Pool, volumes: &[Arc<Volume>]) {
    if volumes.is_empty() || !can_ask(pool) {
        return;
    }
    let _one = pool.gauge.refreshing.lock().await;
    let asked: Vec<_> = volumes
        .iter()
        .filter(|volume| volume.read(|life| !life.measure.is_some_and(|m| m.is_fresh())))
        .map(|volume| (volume.clone(), volume.record().handle))
        .collect();
    if asked.is_empty() {
        return;
    }
    let answered = pool.run(Op::new(PATIENCE), move |backend, op| {
        let Some(resize) = backend.resize() else { return Ok(()) };
        for (volume, handle) in asked {
            op.check()?;
            if let Ok(usage) = resize.usage(op, &handle) {
                volume.note(usage);
            }
        }
        Ok(())
    });
    if let Err(error) = answered.await {
        tracing::debug!(pool = pool.name, error = %error.chain(), "measure");
    }
}

/// Whether the pool would answer: none is asked that hangs, for each question
/// would take one of its threads.
fn can_ask(pool: &Pool) -> bool {
    pool.measures() && pool.health() == Health::Ready && pool.stuck() == 0
}

/// Counts what a volume takes, however long that is.
async fn count(pool: &Pool, volume: &Volume) -> Result<()> {
    let (handle, before) =
        volume.read(|life| (life.record.handle.clone(), Measure::of(Bytes(0), true, life)));
    let counted = pool
        .count(Op::new(UNLIMITED), move |backend, op| {
            backend.resize().map(|resize| resize.count(op, &handle)).transpose()
        })
        .await?;
    if let Some(used) = counted {
        // As it was when the count began: what was mounted since is counted again.
        let (at, clock) = (Timestamp::now(), Instant::now());
        volume.write(|life| life.measure = Some(Measure { used, at, clock, ..before }));
    }
    Ok(())
}

/// Whether a volume has to be measured (again).
fn is_due(life: &Life) -> bool {
    matches!(life.record.state, State::Ready)
        && life.count_after.is_none_or(|after| after <= Instant::now())
        && life.measure.is_none_or(|measure| {
            measure.counted
                && (life.mounted || measure.mounted || measure.generation != life.generation)
        })
}

/// With the feature `testing`, `BERTH_TEST_COUNT_SECONDS` instead of both times.
fn forced() -> Option<Duration> {
    #[cfg(feature = "testing")]
    if let Ok(text) = std::env::var("BERTH_TEST_COUNT_SECONDS") {
        return text.parse().ok().map(Duration::from_secs_f64);
    }
    None
}
