//! Changing options of a volume that exists.
//!
//! ```text
//! commit (unsettled) ─▶ backend.apply ─▶ answer ─▶ backend.describe ─▶ settled (later)
//! ```
//! What can fail for the user's sake happens before the answer; syncs and the
//! sidecar follow, since recovery repeats them for an unsettled record.

use std::sync::Arc;

use berth_api::{Error, Op, Options, Result, options};
use tokio::sync::OwnedMutexGuard;

use super::{Engine, create::faulty, pool::Pool, time, volume::Volume};
use crate::{
    catalog::{Record, State},
    view::{SetVolume, VolumeView},
};

impl Engine {
    /// Changes options of a volume, durable and in force before it answers.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`, `Unsupported` for what cannot be changed; `Busy` for
    /// `mount-options` of a volume that is mounted; `Unavailable` if the pool is away. Nothing has changed then.
    pub async fn set(self: &Arc<Self>, name: &str, request: SetVolume) -> Result<VolumeView> {
        let deadline = time::short(self.setup.installation);
        let volume = self.index.find(name)?;
        let changes = options::normalise(&request.options)?;
        if changes.is_empty() {
            return Err(Error::invalid("no option to change was given")
                .with_hint("for example: berth volume set NAME on-remove=retain"));
        }
        let wanted = volume.record().options.set(&changes)?;
        // Of a policy that went from the file since, other changes are none the worse.
        if changes.contains_key("policy") {
            self.check_policies(&wanted.policy)?;
        }
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let old = volume.record();
        sound(&old, name)?;
        let pool = self.configured(&old.pool)?;
        pool.ready().await?;
        let options = old.options.clone().set(&changes)?;
        // How it is mounted changes with the next mount only.
        let lock = if changes.contains_key("mount-options") {
            self.vacate_by(deadline, &volume, &pool, lock).await?
        } else {
            lock
        };
        // The work is its own: a caller who hangs up leaves no half.
        let work = tokio::spawn(self.clone().change(volume, pool, lock, old, options));
        work.await.unwrap_or_else(|_| Err(Error::internal("`set` panicked")))
    }

    /// Gives the volume `options` instead of those of `old`; `lock` is the volume's.
    ///
    /// # Errors
    /// Those of the pool. Nothing has changed then.
    pub(super) async fn change(
        self: Arc<Self>,
        volume: Arc<Volume>,
        pool: Arc<Pool>,
        lock: OwnedMutexGuard<()>,
        old: Record,
        options: Options,
    ) -> Result<VolumeView> {
        let new = Record { options, unsettled: true, ..old.clone() };
        self.commit(&volume, new).await?;
        let applied = self
            .until_ready(&pool, &volume, |backend, op, record| {
                backend.apply(op, &record.handle, &record.sidecar())
            })
            .await;
        if let Err(error) = applied {
            return Err(self.revert(&volume, old, &pool, error).await);
        }
        let view = self.view(&volume);
        self.policies.look();
        tokio::spawn(async move {
            let _lock = lock;
            self.describe_again(&volume, &pool).await;
        });
        Ok(view)
    }

    /// Takes a `set` back whose effect failed.
    async fn revert(&self, volume: &Arc<Volume>, old: Record, pool: &Pool, error: Error) -> Error {
        if let Err(second) = self.commit(volume, old.clone()).await {
            tracing::error!(volume = %old.name, error = %second.chain(), "take `set` back");
            return error;
        }
        // What was half applied is put back where the pool lets us.
        let sidecar = old.sidecar();
        let _ = pool
            .run(Op::new(time::CALL), move |backend, op| {
                backend.describe(op, &old.handle, &sidecar)
            })
            .await;
        error
    }
}

/// Refuses to change what is not whole.
pub(super) fn sound(record: &Record, name: &str) -> Result<()> {
    match &record.state {
        State::Ready => Ok(()),
        State::Faulty { during, error } => Err(faulty(&record.name, during, error)),
        _ => Err(Error::not_found(format!("no such volume: `{name}`"))),
    }
}

/// Refuses an option that whoever may use Docker would reach foreign data by.
pub(super) fn open_to_docker(pool: &Pool, key: &str) -> Result<()> {
    if pool.config.docker_options.contains(key) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "option `{key}` may not be given through Docker in pool `{}`",
        pool.name
    ))
    .with_hint(format!(
        "`berth volume create NAME -o {key}=…` makes the volume, and Docker can use it; or open \
         it to all who may use Docker: docker-options = [\"{key}\"]"
    )))
}
