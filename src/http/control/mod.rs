//! `/v1`: what the command line asks, and `/metrics`.
//!
//! [`route`] reads method, path and query; [`answer`] writes JSON; this module
//! asks the engine in between, for callers that the [`Guard`] lets in. While the
//! catalog cannot be trusted there is no engine to ask: a [`Fallback`] then says
//! what is wrong and takes the order to rebuild.

pub mod answer;
pub mod fallback;
pub mod policy;
pub mod route;
pub mod vault;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use berth_api::{Error, Result};
use serde::de::DeserializeOwned;

use crate::{
    engine::{Client, Engine},
    view::{
        CreateSnapshot, CreateVolume, Grow, MountVolume, Mounted, Rebuild, Repair, ResizeVolume,
        RollBack, SetVolume,
    },
};

use super::{Fault, Guard, Reply, Request, Service, docker::call};
use answer::{failure, json};
pub use fallback::Fallback;
use route::Route;

/// What the control socket serves just now.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Everything.
    Ready(Arc<Engine>),
    /// The catalog cannot be trusted.
    Untrusted(Arc<dyn Fallback>),
}

/// The control socket's service.
#[derive(Debug)]
pub struct Control {
    stage: RwLock<Stage>,
    guard: Guard,
}

impl Control {
    /// Serves `stage` to whom `guard` lets in.
    pub fn new(stage: Stage, guard: Guard) -> Self {
        Self { stage: RwLock::new(stage), guard }
    }

    /// Serves something else from now on.
    pub fn change(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        self.stage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service for Control {
    async fn answer(self: Arc<Self>, request: Request) -> Reply {
        if let Err(error) = self.guard.admit(&request.peer) {
            tracing::warn!(uid = request.peer.uid, "control socket: refused");
            return answer::forbidden(&error);
        }
        let route = match route::route(&request.method, &request.path, request.query.as_deref()) {
            Ok(route) => route,
            Err(refusal) => return answer::refusal(&refusal),
        };
        let result = match self.stage() {
            Stage::Ready(engine) => ask(&engine, route, &request.body).await,
            Stage::Untrusted(fallback) => fallback::ask(fallback, route, &request.body).await,
        };
        result.unwrap_or_else(|error| {
            tracing::info!(
                method = %request.method,
                path = request.path,
                error = error.chain(),
                "refused a command"
            );
            failure(&error)
        })
    }

    fn excuse(&self, _: &str, fault: Fault) -> Reply {
        answer::fault(fault)
    }
}

/// Asks the engine for what `route` names.
async fn ask(engine: &Arc<Engine>, route: Route, body: &[u8]) -> Result<Reply> {
    let client = Client::Command;
    look(engine, &route).await;
    Ok(match route {
        Route::Info => json(&engine.info()),
        Route::Doctor => json(&engine.doctor().await),
        Route::Metrics => answer::metrics(engine.metrics()),
        Route::Volumes { removed: false } => json(&engine.listing().await),
        Route::Volumes { removed: true } => json(&engine.removed()),
        Route::CreateVolume => {
            let request: CreateVolume = read(body)?;
            json(&engine.create(client, request).await?)
        }
        Route::Volume(name) => json(&engine.inspect(&name).await?),
        // Where it is now; `null` where nothing is left.
        Route::RemoveVolume { name, now } => json(&engine.remove(client, &name, now).await?),
        Route::SetVolume(name) => {
            let request: SetVolume = read(body)?;
            json(&engine.set(&name, request).await?)
        }
        Route::ResizeVolume(name) => {
            let request: ResizeVolume = read(body)?;
            json(&engine.resize(&name, request).await?)
        }
        Route::Undelete(name) => json(&engine.undelete(&name).await?),
        Route::Mount(name) => {
            let id = mount_id(body)?;
            let mountpoint = engine.mount(client, &name, &id).await?.display().to_string();
            json(&Mounted { mountpoint })
        }
        Route::Unmount(name) => {
            engine.unmount(client, &name, &mount_id(body)?).await?;
            answer::empty()
        }
        Route::RollBack(name) => {
            let request: RollBack = read(body)?;
            json(&engine.told(engine.roll_back(&name, &request.snapshot).await?).await)
        }
        Route::Snapshots(volume) => json(&engine.snapshots(volume.as_deref())?),
        Route::CreateSnapshot(volume) => {
            let request: CreateSnapshot = read_or_default(body)?;
            json(&engine.told(engine.create_snapshot(&volume, request)?).await)
        }
        Route::Snapshot { volume, name } => json(&engine.snapshot(&volume, &name)?),
        Route::RemoveSnapshot { volume, name } => {
            engine.remove_snapshot(&volume, &name).await?;
            answer::empty()
        }
        Route::Repair(name) => {
            let request: Repair = read(body)?;
            json(&engine.forget_host(&name, &request.forget_host).await?)
        }
        Route::Pools => json(&engine.pools().await),
        Route::Pool(name) => json(&engine.pool(&name).await?),
        Route::Rebuild(pool) => {
            let request: Rebuild = read_or_default(body)?;
            json(&engine.rebuild(pool.as_deref(), request.take_over)?)
        }
        Route::Grow(pool) => {
            let request: Grow = read_or_default(body)?;
            json(&engine.grow(&pool, request.size).await?)
        }
        Route::Vault(route) => vault::ask(engine, route, body).await?,
        Route::Policy(route) => policy::ask(engine, route).await?,
        Route::Jobs => json(&engine.jobs()),
        Route::Job(id) => json(&engine.job(&id)?),
        Route::WaitJob { id, seconds } => {
            json(&engine.wait_job(&id, Duration::from_secs(seconds)).await?)
        }
        Route::CancelJob(id) => json(&engine.cancel_job(&id)?),
    })
}

/// Looks at what other hosts did before something is shown or changed.
async fn look(engine: &Arc<Engine>, route: &Route) {
    match route {
        Route::Volumes { .. }
        | Route::Volume(_)
        | Route::Undelete(_)
        | Route::Snapshots(_)
        | Route::Snapshot { .. }
        | Route::Pools
        | Route::Pool(_)
        | Route::Policy(_)
        | Route::Vault(vault::Vault::RestoreInPlace { .. } | vault::Vault::RestoreHost) => {
            engine.look_around_now().await;
        }
        Route::RemoveVolume { name, .. }
        | Route::SetVolume(name)
        | Route::ResizeVolume(name)
        | Route::Mount(name)
        | Route::RollBack(name)
        | Route::CreateSnapshot(name)
        | Route::Vault(vault::Vault::CreateBackup(name))
        | Route::RemoveSnapshot { volume: name, .. } => engine.freshen(name).await,
        _ => {}
    }
}

fn mount_id(body: &[u8]) -> Result<String> {
    let request: MountVolume = if body.is_empty() { read(b"{}") } else { read(body) }?;
    Ok(request.id)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if body.is_empty() {
        return Err(Error::invalid("request body is empty"));
    }
    call::parse(body)
}

fn read_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T> {
    if body.is_empty() { Ok(T::default()) } else { read(body) }
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;

    use super::*;

    #[test]
    fn a_mount_without_an_id_is_the_command_lines() {
        assert_eq!(mount_id(b"").expect("the default"), "cli");
        assert_eq!(mount_id(b"{}").expect("the default"), "cli");
        assert_eq!(mount_id(br#"{"id":"a"}"#).expect("as given"), "a");
        assert_eq!(mount_id(br#"{"id":5}"#).expect_err("no text").kind(), ErrorKind::Invalid);
    }

    #[test]
    fn unknown_fields_of_commands_are_refused() {
        let error = read::<CreateVolume>(br#"{"name":"a","opts":{}}"#).expect_err("misspelt");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains("`opts`"), "{}", error.chain());
        assert!(read::<CreateVolume>(b"").is_err());
        assert!(read_or_default::<Rebuild>(br#"{"take-over":true}"#).expect("valid").take_over);
    }
}
