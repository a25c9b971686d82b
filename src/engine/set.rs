//! Changing options of a volume that exists.
//!
//! ```text
//! commit (unsettled) ─▶ backend.apply ─▶ answer ─▶ backend.describe ─▶ settled (later)
//! ```
//! What can fail for the user's sake happens before the answer; syncs and the
//! sidecar follow, since recovery repeats them for an unsettled record.

use std::sync::Arc;

use berth_api::{Error, Op, Result, options};

use super::{Engine, create::faulty, time};
use crate::{
    catalog::{Record, State},
    view::{SetVolume, VolumeView},
};

impl Engine {
    /// Changes options of a volume, durable and in force before it answers.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`, `Unsupported` for what cannot be changed;
    /// `Unavailable` if the pool is away. Nothing has changed then.
    pub async fn set(self: &Arc<Self>, name: &str, request: SetVolume) -> Result<VolumeView> {
        let deadline = time::short(self.setup.installation);
        let volume = self.index.find(name)?;
        let changes = options::normalise(&request.options)?;
        if changes.is_empty() {
            return Err(Error::invalid("no option to change was given")
                .with_hint("for example: berth volume set NAME on-remove=retain"));
        }
        volume.record().options.set(&changes)?;
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let old = volume.record();
        match &old.state {
            State::Ready => {}
            State::Faulty { during, error } => return Err(faulty(&old.name, during, error)),
            _ => return Err(Error::not_found(format!("no such volume: `{name}`"))),
        }
        let pool = self.configured(&old.pool)?;
        pool.ready().await?;
        let options = old.options.clone().set(&changes)?;
        let new = Record { options, unsettled: true, ..old.clone() };
        self.commit(&volume, new).await?;
        // From here on the work is its own: a caller who hangs up leaves no half.
        let engine = self.clone();
        let work = tokio::spawn(async move {
            let applied = engine
                .until_ready(&pool, &volume, |backend, op, record| {
                    backend.apply(op, &record.handle, &record.sidecar())
                })
                .await;
            if let Err(error) = applied {
                let _lock = lock;
                return Err(engine.revert(&volume, old, &pool, error).await);
            }
            let view = engine.view(&volume);
            tokio::spawn(async move {
                let _lock = lock;
                engine.describe_again(&volume, &pool).await;
            });
            Ok(view)
        });
        work.await.unwrap_or_else(|_| Err(Error::internal("`set` panicked")))
    }

    /// Takes a `set` back whose effect failed.
    async fn revert(
        &self,
        volume: &Arc<super::volume::Volume>,
        old: Record,
        pool: &super::pool::Pool,
        error: Error,
    ) -> Error {
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
