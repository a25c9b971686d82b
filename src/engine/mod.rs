//! The verbs: what can be done with volumes, pools and jobs.
//!
//! The engine mounts, counts, locks and persists, once; backends only provide.
//! It knows nothing of HTTP and of clap.
//!
//! | module | noun or verb |
//! |---|---|
//! | `open` | start: state, pools, recovery, then the loops |
//! | `create` `mount` `remove` `trash` `set` `resize` `grow` `rebuild` | verbs (mount with unmount, trash is undelete and purge) |
//! | `snapshot` `clone` `rollback` | verbs on points in time |
//! | `quiesce` | bringing applications to rest meanwhile |
//! | `vacate` | making sure that nobody uses a volume |
//! | `detach` `house` | what goes on by itself |
//! | `recover` `table` | recovery and the table it follows |
//! | `volume` `index` | volumes in memory |
//! | `records` | where records are written |
//! | `shared` | records of pools that several hosts share |
//! | `pool` `threads` | pools, and the one crossing into blocking code |
//! | `flight` `jobs` `repeat` `time` `clock` | work that outlives its caller |
//! | `usage` `limits` | what volumes take, and may take |
//! | `vault` | repositories and backups |
//! | `policy` | what is made of volumes by a clock, and what of it is kept |
//! | `show` `doctor` | what users see |
//!
//! Invariants:
//! - Intent, effect, outcome: a record says what is being done before it is.
//! - A verb's effects happen under the volume's lock; nothing global is held
//!   over I/O.
//! - Get, List and Path answer from memory.

mod clock;
mod clone;
mod create;
mod detach;
mod doctor;
mod flight;
mod grow;
mod house;
mod index;
mod jobs;
mod limits;
mod mount;
mod open;
mod policy;
mod pool;
mod quiesce;
mod rebuild;
mod records;
mod recover;
mod remove;
mod repeat;
mod resize;
mod restore;
mod rollback;
mod set;
mod shared;
mod show;
mod snapshot;
mod table;
mod threads;
mod time;
mod trash;
mod usage;
mod vacate;
mod vault;
mod volume;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use berth_api::{Error, HostId, PolicyName, Result, options::nearest};
use berth_host::lock::Lock;
use tokio::sync::{Notify, watch};

pub use crate::journal::Client;
use crate::{
    config::{Config, Paths},
    database::Writer,
    view::JobView,
};
use flight::Flights;
use index::Index;
use jobs::Jobs;
use policy::Policies;
use pool::Pool;
use quiesce::Rests;
use vault::Repositories;

/// How the daemon was installed; decides deadlines and where mounts lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installation {
    /// On the host.
    Host,
    /// As a managed plugin: Docker waits 30 s for everything.
    Managed,
}

/// What [`Engine::open`] needs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Where things are.
    pub paths: Paths,
    /// How the daemon was installed.
    pub installation: Installation,
}

/// The daemon's heart. All verbs may be called concurrently.
///
/// What takes long is carried by tasks of its own: dropping the future of a
/// verb does not stop it, and an identical call joins it.
#[derive(Debug)]
pub struct Engine {
    setup: Setup,
    host: HostId,
    host_name: String,
    boot: String,
    writer: Writer,
    pools: BTreeMap<String, Arc<Pool>>,
    repositories: Repositories,
    policies: Policies,
    index: Index,
    epoch: AtomicU64,
    jobs: Jobs,
    flights: Arc<Flights>,
    /// Applications at rest.
    rests: Rests,
    /// Wakes the detacher.
    detacher: Notify,
    /// Counts the calls for the housekeeper, who has a loop for each pool.
    housekeeper: watch::Sender<u64>,
    stopping: AtomicBool,
    started: Instant,
    _lock: Lock,
}

impl Engine {
    /// Docker (re)connected: references of before are unconfirmed from now on.
    pub fn activate(&self) {
        let epoch = self.epoch.fetch_add(1, Relaxed) + 1;
        tracing::info!(epoch, "docker activated the plugin");
    }

    /// `global` or `local`, as `Capabilities` tells Docker.
    pub fn scope(&self) -> &'static str {
        // What every host sees, Swarm need not make on each of them.
        if self.shares_everything() { "global" } else { "local" }
    }

    /// All jobs, running first, then the latest ended.
    pub fn jobs(&self) -> Vec<JobView> {
        self.jobs.list()
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn job(&self, id: &str) -> Result<JobView> {
        self.jobs.find(id).map(|job| job.view())
    }

    /// The job once it has ended, or as it is after `timeout`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn wait_job(&self, id: &str, timeout: Duration) -> Result<JobView> {
        let view = self.jobs.find(id)?.wait(timeout).await;
        Ok(if view.state.is_final() { self.told(view).await } else { view })
    }

    /// A job that somebody is about to be told of: from then on a crash neither forgets
    /// that it began nor how it ended.
    pub async fn told(&self, job: JobView) -> JobView {
        if let Err(error) = self.writer.flush().await {
            tracing::warn!(job = job.id, error = %error.chain(), "what is told of it may be lost");
        }
        job
    }

    /// Asks a job to stop.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn cancel_job(&self, id: &str) -> Result<JobView> {
        let job = self.jobs.find(id)?;
        job.op.cancel();
        Ok(job.view())
    }

    /// Stops taking new work, lets go on what is at rest, and writes what is
    /// waiting to be written; mounts stay. Never waits longer than twice `limit`.
    pub async fn stop(&self, limit: Duration) {
        self.stopping.store(true, Relaxed);
        if tokio::time::timeout(limit, self.wake_all()).await.is_err() {
            tracing::warn!("what is still at rest goes on with the next start");
        }
        // What a shared pool does not take now recovery writes.
        let _ = tokio::time::timeout(limit / 5, self.write_outcomes()).await;
        if tokio::time::timeout(limit / 2, self.writer.flush()).await.is_err() {
            tracing::warn!("the catalog did not answer in time");
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// Refuses what would change something while that is impossible.
    fn writable(&self) -> Result<()> {
        if self.writer.is_frozen() {
            return Err(Error::unavailable(format!(
                "the root `{}` is on a read-only file system",
                self.setup.paths.root.display()
            ))
            .with_hint("what is mounted stays usable; `berth doctor` says what to do"));
        }
        if self.stopping.load(Relaxed) {
            return Err(Error::unavailable("the daemon is stopping").with_hint("try again"));
        }
        Ok(())
    }

    /// The pool a new volume goes to.
    fn pool_for(&self, name: Option<&str>) -> Result<Arc<Pool>> {
        let name = name.unwrap_or(&self.setup.config.default_pool);
        self.pools.get(name).cloned().ok_or_else(|| {
            let error = self.no_such_pool(name);
            let invalid = Error::invalid(error.to_string());
            match error.hint() {
                Some(hint) => invalid.with_hint(hint),
                None => invalid,
            }
        })
    }

    /// Refuses policies that a volume cannot be given here.
    fn check_policies(&self, wanted: &[PolicyName]) -> Result<()> {
        let known = &self.setup.config.policies;
        let Some(missing) = wanted.iter().find(|name| !known.contains_key(name)) else {
            return Ok(());
        };
        let error = Error::invalid(format!("policy `{missing}` is not configured"));
        Err(match nearest(missing.as_str(), known.keys().map(PolicyName::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error
                .with_hint(format!("add [policies.{missing}] to the configuration, and restart")),
        })
    }

    /// The pool of an existing volume.
    fn configured(&self, name: &str) -> Result<Arc<Pool>> {
        self.pools.get(name).cloned().ok_or_else(|| {
            Error::unavailable(format!("pool `{name}` is not in the configuration"))
                .with_hint("bring the pool back into the configuration")
        })
    }
}
