//! Looking whether a pool is there: its identity, asked for on a thread of its own.
//!
//! ```text
//! away, or somebody doubts it ─▶ a look begins ─┬─ an answer ─▶ ready, or lost with the reason
//!                                               └─ none ──────▶ it goes on; no other begins
//! ```
//! A look takes as long as the pool takes: a server under load is not a server that is
//! gone. Whoever needs the pool waits for the look as long as the caller has patience,
//! and hardly at all where the last look met silence.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Backend, Error, Health, Op, PoolId, PoolIdentity, Result};
use tokio::sync::{Notify, watch};

use super::Pool;
use crate::{
    catalog,
    config::PoolConfig,
    database::Transaction,
    engine::{Engine, time},
};

/// How long a call that needs the pool waits for a look: on a managed plugin the rest of
/// the call has to fit into 24 s too.
pub(in crate::engine) const PATIENCE: Duration = Duration::from_secs(12);
/// The same where the last look met silence: what a server that is back needs to say so.
const SHORT: Duration = Duration::from_millis(1500);
/// A call that takes this long has somebody listen; then after twice the time.
const SLOW: Duration = Duration::from_secs(2);
/// However long a look has been under way, a caller waits at least this long for it.
const LEAST: Duration = Duration::from_millis(500);
/// A look that failed after this long met silence.
const SILENCE: Duration = Duration::from_millis(1500);
/// How long a pool that is away may stay so before its callers are told.
const SETTLED: Duration = Duration::from_secs(2);

/// The looks at one pool; one at a time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    state: Mutex<State>,
    /// Rings when the pool is there that was not.
    back: Notify,
}

#[derive(Debug, Default)]
struct State {
    under_way: Option<(Instant, watch::Receiver<bool>)>,
    /// Somebody listens for the server meanwhile.
    listening: bool,
    /// The last one met nobody, as far as one can tell.
    silent: bool,
    /// What a crash left half written was cleaned away.
    clean: bool,
}

impl Engine {
    /// Waits until a pool on a server has been away for a while. What is under way in it
    /// then may take as long as the kernel waits, which is longer than anybody should.
    pub(in crate::engine) async fn gone(&self, pool: &str) -> Error {
        match self.pools.get(pool).filter(|pool| pool.share.is_some()) {
            Some(pool) => pool.gone().await,
            None => std::future::pending().await,
        }
    }
}

impl Looks {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Confirms the pool's identity where that has not happened or its backend
    /// lost it since.
    ///
    /// # Errors
    /// `Unavailable` with the reason.
    pub(in crate::engine) async fn ready(&self) -> Result<()> {
        if self.health() == Health::Ready {
            return Ok(());
        }
        let patience = if self.looks.lock().silent { SHORT } else { PATIENCE };
        let begun = self.look(patience).await;
        match self.health() {
            Health::Ready => Ok(()),
            Health::Unavailable(why) => {
                let why = begun.map_or(why, |begun| self.late(begun));
                Err(self.unavailable(&why))
            }
        }
    }

    fn unavailable(&self, why: &str) -> Error {
        Error::unavailable(format!("pool `{}` is unavailable: {why}", self.name))
            .with_hint("`berth doctor` says what to do")
    }

    /// Looks at the identity now, or joins a look that is under way. Waits for its end,
    /// but not longer than `patience` from its beginning. When one began that goes on.
    pub(in crate::engine) async fn look(&self, patience: Duration) -> Option<Instant> {
        let (begun, mut ended) = self.begin_look()?;
        let left = (begun + patience).saturating_duration_since(Instant::now()).max(LEAST);
        let waited = tokio::time::timeout(left, ended.wait_for(|ended| *ended)).await;
        waited.is_err().then_some(begun)
    }

    /// The pool was too slow for somebody: it counts as away until it was looked at,
    /// which begins at once.
    pub(in crate::engine) fn doubt(&self, why: &str) {
        tracing::warn!(pool = self.name, why, "looked at again");
        self.write(|situation| situation.doubted = Some(why.to_owned()));
        self.begin_look();
    }

    /// Waits until the pool is there again after it was not.
    pub(in crate::engine) async fn back(&self) {
        self.looks.back.notified().await;
    }

    /// Waits until the pool has been away for a while though it was looked for; why.
    async fn gone(&self) -> Error {
        let mut since = None;
        loop {
            tokio::time::sleep(LEAST).await;
            let silent = self.silence().is_some() || self.looks.lock().silent;
            let Health::Unavailable(why) = self.health() else {
                since = None;
                continue;
            };
            if since.get_or_insert_with(Instant::now).elapsed() >= SETTLED && silent {
                return self.unavailable(&why);
            }
        }
    }

    /// Waits for a call, and has somebody listen whether its server answers at all while
    /// it takes long.
    pub(super) async fn attended<T>(&self, call: impl Future<Output = T>) -> T {
        if self.share.is_none() {
            return call.await;
        }
        tokio::pin!(call);
        let mut pause = SLOW;
        loop {
            if let Ok(answer) = tokio::time::timeout(pause, &mut call).await {
                return answer;
            }
            pause = (pause * 2).min(PATIENCE);
            self.begin_listening();
        }
    }

    fn begin_listening(&self) {
        let Some(pool) = self.me.upgrade() else { return };
        if std::mem::replace(&mut self.looks.lock().listening, true) {
            return;
        }
        tokio::spawn(async move {
            let (backend, op) = (pool.backend.clone(), Op::new(PATIENCE));
            if let Err(error) = pool.looker.run(move || backend.listen(&op)).await {
                tracing::info!(pool = pool.name, error = %error.chain(), "listen");
            }
            pool.looks.lock().listening = false;
        });
    }

    /// When the look under way began, and its end.
    pub(super) fn begin_look(&self) -> Option<(Instant, watch::Receiver<bool>)> {
        // Nobody looks at a pool that is being taken down.
        let pool = self.me.upgrade()?;
        let mut state = self.looks.lock();
        if let Some(under_way) = &state.under_way {
            return Some(under_way.clone());
        }
        let (ended, end) = watch::channel(false);
        let under_way = (Instant::now(), end);
        state.under_way = Some(under_way.clone());
        drop(state);
        tokio::spawn(async move {
            pool.look_once(under_way.0).await;
            pool.looks.lock().under_way = None;
            ended.send_replace(true);
        });
        Some(under_way.clone())
    }

    async fn look_once(self: &Arc<Self>, begun: Instant) {
        let (expected, host) = (self.id(), self.host);
        // Before anything is written: what a crash left half written goes.
        let clean = self.share.is_some() && !self.looks.lock().clean;
        let identify = self.identify(move |backend, op| {
            let identity = backend.identify(op, expected, host)?;
            if let Some(records) = backend.records().filter(|_| clean) {
                records.clean(op, host)?;
            }
            Ok(identity)
        });
        let identify = self.attended(identify);
        tokio::pin!(identify);
        let found = if let Ok(found) = tokio::time::timeout(PATIENCE, &mut identify).await {
            found
        } else {
            self.lost(&self.late(begun));
            self.looks.lock().silent = true;
            identify.await
        };
        match found {
            Ok(found) => {
                {
                    let mut state = self.looks.lock();
                    state.silent = false;
                    state.clean = true;
                }
                self.confirm(found.pool, expected).await;
            }
            Err(error) => {
                self.looks.lock().silent = begun.elapsed() >= SILENCE;
                self.lost(&error.chain());
            }
        }
    }

    async fn identify(
        &self,
        call: impl FnOnce(&dyn berth_api::Backend, &Op) -> Result<PoolIdentity> + Send + 'static,
    ) -> Result<PoolIdentity> {
        let (backend, op) = (self.backend.clone(), Op::new(time::CALL));
        self.looker.run(move || call(&*backend, &op)).await
    }

    /// Why a look takes too long: what the backend knows of it, if anything.
    fn late(&self, begun: Instant) -> String {
        match self.backend.health() {
            Health::Unavailable(why) if self.silence().is_some() => why,
            // One that answers a look may keep a call all the same: after a restart opens
            // and locks wait until its clients have said what they had.
            _ => {
                let seconds = begun.elapsed().as_secs();
                format!("{} has not answered for {seconds} s", asked(&self.config))
            }
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
        let mut new = false;
        self.write(|situation| {
            new = situation.confirmed.is_err();
            situation.id = Some(found);
            situation.confirmed = Ok(());
            situation.doubted = None;
        });
        if new {
            tracing::info!(pool = self.name, id = %found, "pool is ready");
            self.looks.back.notify_one();
        }
    }

    /// Writes this host into the pool's identity, and learns it anew.
    pub(in crate::engine) async fn take_over(&self) -> Result<()> {
        let (host, known) = (self.host, self.id().is_some());
        let take_over = move |backend: &dyn Backend, op: &Op| backend.take_over(op, host, known);
        let identity = self.identify(take_over).await?;
        self.write(|situation| situation.id = None);
        self.confirm(identity.pool, None).await;
        Ok(())
    }
}

/// Whose answer a look waits for, in the words of the operator.
pub(super) fn asked(config: &PoolConfig) -> String {
    match &config.nfs {
        Some(export) => format!("the NFS server of `{export}`"),
        None => "it".to_owned(),
    }
}
