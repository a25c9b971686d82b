//! The verbs: what can be done with volumes, pools and jobs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use berth_api::Result;

use crate::{
    config::{Config, Paths},
    view::{CreateVolume, Diagnosis, Info, JobView, PoolView, SetVolume, VolumeView},
};

/// Who asks. References are counted per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// The Engine, through the plugin socket.
    Docker,
    /// The command line, through the control socket.
    Command,
}

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
/// Every `async` verb is an observation: dropping its future does not stop the
/// operation, and an identical call joins it.
#[derive(Debug)]
pub struct Engine {
    _private: (),
}

#[expect(
    unused_variables,
    clippy::unused_async,
    clippy::unimplemented,
    reason = "signatures first"
)]
impl Engine {
    /// Opens the state under `setup.paths.root` and recovers it. Pools that are
    /// away do not fail it.
    ///
    /// # Errors
    /// `Busy` if another daemon has the root. `Corrupt` if the catalog cannot be
    /// trusted: the caller then serves the control socket only.
    pub async fn open(setup: Setup) -> Result<Arc<Self>> {
        unimplemented!()
    }

    /// Docker (re)connected: references of before are unconfirmed from now on.
    pub fn activate(&self) {}

    /// `global` or `local`, as `Capabilities` tells Docker.
    pub fn scope(&self) -> &'static str {
        "local"
    }

    /// Creates a volume, or confirms an equal one. Answers when the volume is
    /// durable; what takes long goes on as a job.
    pub async fn create(
        self: &Arc<Self>,
        client: Client,
        request: CreateVolume,
    ) -> Result<VolumeView> {
        unimplemented!()
    }

    /// Removes a volume into the trash; `now`: for good, also out of the trash.
    pub async fn remove(self: &Arc<Self>, client: Client, name: &str, now: bool) -> Result<()> {
        unimplemented!()
    }

    /// Brings a removed volume back, by name (the latest removed) or id.
    pub async fn undelete(self: &Arc<Self>, name_or_id: &str) -> Result<VolumeView> {
        unimplemented!()
    }

    /// Mounts a volume for (`client`, `id`), counts the reference durably, and
    /// answers with the mountpoint.
    pub async fn mount(self: &Arc<Self>, client: Client, name: &str, id: &str) -> Result<PathBuf> {
        unimplemented!()
    }

    /// Takes one reference of (`client`, `id`) back. Unknown ids and names are
    /// success. The detach follows by itself.
    pub async fn unmount(self: &Arc<Self>, client: Client, name: &str, id: &str) -> Result<()> {
        unimplemented!()
    }

    /// Where the volume is mounted, or would be. From memory.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        unimplemented!()
    }

    /// One volume, from memory.
    pub fn get(&self, name: &str) -> Result<VolumeView> {
        unimplemented!()
    }

    /// All volumes, by name, from memory.
    pub fn list(&self) -> Vec<VolumeView> {
        unimplemented!()
    }

    /// Names and mountpoints of all volumes, for Docker's List: no view is built.
    pub fn names(&self) -> Vec<(String, PathBuf)> {
        unimplemented!()
    }

    /// What is in the trash, latest first.
    pub fn removed(&self) -> Vec<VolumeView> {
        unimplemented!()
    }

    /// Changes options of a volume.
    pub async fn set(self: &Arc<Self>, name: &str, request: SetVolume) -> Result<VolumeView> {
        unimplemented!()
    }

    /// All pools, the unconfigured ones of existing records included.
    pub async fn pools(&self) -> Vec<PoolView> {
        unimplemented!()
    }

    /// One pool.
    pub async fn pool(&self, name: &str) -> Result<PoolView> {
        unimplemented!()
    }

    /// Makes lost records from sidecars, as a job.
    pub async fn rebuild(self: &Arc<Self>, pool: Option<&str>, take_over: bool) -> Result<JobView> {
        unimplemented!()
    }

    /// All jobs, running first, then the latest ended.
    pub fn jobs(&self) -> Vec<JobView> {
        unimplemented!()
    }

    /// One job.
    pub fn job(&self, id: &str) -> Result<JobView> {
        unimplemented!()
    }

    /// The job once it has ended, or as it is after `timeout`.
    pub async fn wait_job(&self, id: &str, timeout: Duration) -> Result<JobView> {
        unimplemented!()
    }

    /// Asks a job to stop.
    pub fn cancel_job(&self, id: &str) -> Result<JobView> {
        unimplemented!()
    }

    /// What this daemon is.
    pub fn info(&self) -> Info {
        unimplemented!()
    }

    /// What is wrong, and what to do.
    pub async fn doctor(&self) -> Diagnosis {
        unimplemented!()
    }

    /// Prometheus text exposition of the daemon's counters.
    pub fn metrics(&self) -> String {
        unimplemented!()
    }

    /// Stops taking new work and writes what is waiting to be written; mounts
    /// stay. Never waits longer than `limit`.
    pub async fn stop(&self, limit: Duration) {}
}
