//! The built-in hook: containers that use the volume are frozen by Docker.
//!
//! Which ones is written down before they are touched. Containers that somebody
//! else paused are left alone, before and after.

use std::{collections::BTreeSet, time::Duration};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;

use crate::{
    docker::{Changed, Container, Docker},
    engine::{Engine, Installation, repeat::wait},
    journal::{Quiesced, Wake},
};

/// How often containers that were started meanwhile are looked for.
const ROUNDS: u32 = 6;
/// The wait after the first round; doubled with each.
const FIRST: Duration = Duration::from_millis(50);

/// Whose containers are paused, and through which Engine.
#[derive(Clone, Debug)]
pub(super) struct Target {
    docker: Docker,
    volume: String,
    /// The name Docker has for this plugin, where that is known.
    driver: Option<String>,
}

impl Engine {
    pub(super) fn docker(&self) -> Docker {
        Docker::at(self.setup.config.docker_socket.as_deref())
    }

    pub(super) fn target(&self, volume: &str) -> Target {
        let driver = match self.setup.installation {
            Installation::Host => self.setup.paths.plugin_socket.file_stem(),
            // It is named after the plugin's image.
            Installation::Managed => None,
        };
        Target {
            docker: self.docker(),
            volume: volume.to_owned(),
            driver: driver.and_then(|stem| stem.to_str()).map(ToOwned::to_owned),
        }
    }

    /// Pauses every container that uses the volume; `row` is written down with
    /// those it concerns before they are touched.
    ///
    /// # Errors
    /// `Unavailable`, `Busy` if one cannot be paused; some are paused then.
    pub(super) async fn pause_all(
        &self,
        target: &Target,
        row: &mut Quiesced,
        op: &Op,
    ) -> Result<()> {
        for round in 0..ROUNDS {
            op.check()?;
            let running = target.running().await?;
            if running.is_empty() {
                return Ok(());
            }
            let Wake::Unpause { containers } = &mut row.wake else {
                return Err(Error::internal("containers are paused that nobody would wake"));
            };
            containers.extend(running.iter().cloned());
            self.note_rest(row).await?;
            let mut missed = false;
            for id in running {
                failpoint::hit("quiesce.pause").context(|| "pause a container")?;
                if target.docker.pause(&id).await? != Changed::Done
                    && let Wake::Unpause { containers } = &mut row.wake
                {
                    // It ended, or somebody else paused it just now.
                    missed |= containers.remove(&id);
                    self.rests.update(row);
                }
            }
            if missed {
                self.note_rest(row).await?;
                wait(FIRST * 2_u32.pow(round), op).await;
            }
            // The next round sees who was started meanwhile.
        }
        Err(Error::busy(format!("containers of `{}` cannot be paused", target.volume))
            .with_hint("`docker ps` shows whether one is being restarted"))
    }

    /// Lets containers go on that this daemon, or one before it, has paused.
    ///
    /// # Errors
    /// `Unavailable`; the others go on.
    pub(super) async fn unpause_all(&self, containers: &BTreeSet<String>) -> Result<()> {
        let docker = self.docker();
        let mut failed = Vec::new();
        for id in containers {
            let passed = failpoint::hit("quiesce.unpause").context(|| "unpause a container");
            // Not paused any more, or gone: as it should be.
            let unpaused = match passed {
                Ok(()) => docker.unpause(id).await.map(drop),
                Err(error) => Err(error),
            };
            failed.extend(unpaused.err());
        }
        match failed.pop() {
            None => Ok(()),
            Some(last) => Err(failed.into_iter().fold(last, |last, error| {
                Error::new(last.kind(), format!("{}; {}", error.chain(), last.chain()))
            })),
        }
    }
}

impl Target {
    /// The containers that use the volume and may write into it now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn running(&self) -> Result<BTreeSet<String>> {
        let found = self.docker.containers_of(&self.volume).await?;
        let running = found.into_iter().filter(|container| {
            self.uses(container) && ["running", "restarting"].contains(&container.state.as_str())
        });
        Ok(running.map(|container| container.id).collect())
    }

    fn uses(&self, container: &Container) -> bool {
        let driver = self.driver.as_deref();
        container.mounts.iter().any(|mount| {
            mount.kind == "volume"
                && mount.name == self.volume
                && (mount.driver.is_empty() || driver.is_none_or(|driver| driver == mount.driver))
        })
    }
}
