//! Taking mounts down that nobody counts: never under a container.
//!
//! The detacher looks at all candidates with one walk through `/proc`, since
//! that is the dear part. Nothing that is held is taken down; it is looked at
//! again after 0.1 s, doubling to a minute.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use berth_host::{
    holders::{self, Holder},
    mounts::{self, Mount, Unmounted},
};

use super::{
    Engine,
    mount::{remove_folder, table},
    time,
    volume::{Life, Volume},
};

/// The wait after the first look, doubled with each.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between two looks.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// Rounds are at least this far apart: Docker's copy-up mounts twice, and then
/// nothing was taken down in between.
const PACE: Duration = Duration::from_millis(50);

/// What the kernel shows of one volume.
#[derive(Debug)]
pub(super) struct Evidence {
    /// It is mounted at its mountpoint, or the bare folder was left there.
    pub(super) mounted: bool,
    /// Who has it in another mount namespace; `None` where that cannot be seen.
    pub(super) holders: Option<Vec<Holder>>,
}

impl Evidence {
    /// Somebody has it, or nobody can tell.
    pub(super) fn may_be_held(&self) -> bool {
        self.holders.as_ref().is_none_or(|holders| !holders.is_empty())
    }
}

impl Engine {
    /// Takes down what nobody counts or holds, for as long as the daemon lives.
    pub(super) async fn detach_loop(self: Arc<Self>) {
        loop {
            let due = self.next_look();
            let rest = due.map_or(LAST_WAIT, |due| due.saturating_duration_since(Instant::now()));
            let _ = tokio::time::timeout(rest, self.detacher.notified()).await;
            tokio::time::sleep(PACE).await;
            let candidates: Vec<_> =
                self.index.all().into_iter().filter(|volume| volume.read(is_due)).collect();
            if !candidates.is_empty() {
                self.detach_round(candidates).await;
            }
        }
    }

    fn next_look(&self) -> Option<Instant> {
        let mut next = None;
        for volume in self.index.all() {
            let due = volume.read(|life| {
                (life.mounted && !life.is_referenced()).then(|| {
                    life.look
                        .map_or_else(Instant::now, |(at, _)| at)
                        .max(life.keep_until.unwrap_or_else(Instant::now))
                })
            });
            next = match (next, due) {
                (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                (a, b) => a.or(b),
            };
        }
        next
    }

    async fn detach_round(self: &Arc<Self>, candidates: Vec<Arc<Volume>>) {
        let generations: Vec<_> =
            candidates.iter().map(|volume| volume.read(|life| life.generation)).collect();
        let evidence = match self.evidence(&candidates).await {
            Ok(evidence) => evidence,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "look at the kernel");
                for volume in &candidates {
                    look_again(volume);
                }
                return;
            }
        };
        for ((volume, generation), evidence) in candidates.iter().zip(generations).zip(evidence) {
            let held = evidence.may_be_held();
            volume.write(|life| {
                // What was seen before somebody mounted or unmounted is worth nothing.
                if life.generation == generation {
                    life.held = evidence.holders.as_ref().map(|holders| !holders.is_empty());
                    life.mounted = evidence.mounted;
                }
            });
            // Where `/proc` of others cannot be seen, an unmount here is still
            // right: a container has a mount of its own, which it keeps.
            if evidence.mounted && held && evidence.holders.is_some() {
                look_again(volume);
                continue;
            }
            let Some(lock) = volume.try_lock() else {
                look_again(volume);
                continue;
            };
            if volume.read(|life| life.generation == generation && is_idle(life)) {
                // By itself: a pool that hangs keeps no other pool's volumes mounted.
                let (engine, volume) = (self.clone(), volume.clone());
                tokio::spawn(async move {
                    let _lock = lock;
                    if let Err(error) = engine.take_down(&volume).await {
                        let name = volume.record().name;
                        tracing::info!(volume = %name, error = %error.chain(), "detach");
                        look_again(&volume);
                    }
                });
            }
        }
    }

    /// Unmounts and detaches; the caller has the lock and has made sure that
    /// nobody needs the mount.
    ///
    /// # Errors
    /// `Busy` if the kernel says so.
    pub(super) async fn take_down(&self, volume: &Volume) -> Result<()> {
        let record = volume.record();
        let target = self.mountpoint(record.name.as_str());
        if let Ok(pool) = self.configured(&record.pool) {
            let remote = pool.share().is_some();
            let call = pool.run(Op::new(time::CALL), move |backend, op| {
                unmount(&target, remote)?;
                backend.detach(op, &record.handle)
            });
            call.await?;
        } else {
            // Its pool was taken out of the configuration: the mount is all there is.
            tokio::task::spawn_blocking(move || unmount(&target, true))
                .await
                .unwrap_or_else(|_| Err(Error::internal("the unmount panicked")))?;
        }
        self.let_go_by_and_by(volume).await;
        volume.write(|life| {
            life.mounted = false;
            life.generation += 1;
            life.held = Some(false);
            life.look = None;
        });
        tracing::info!(volume = %volume.record().name, "detached");
        Ok(())
    }

    /// What the kernel shows of `volumes`, in their order, with one walk.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(super) async fn evidence(&self, volumes: &[Arc<Volume>]) -> Result<Vec<Evidence>> {
        let targets: Vec<_> = volumes
            .iter()
            .map(|volume| volume.read(|life| self.mountpoint(life.record.name.as_str())))
            .collect();
        let sees_others = self.sees_other_namespaces();
        let look = move || -> Result<Vec<Evidence>> {
            let table = table()?;
            let found: Vec<_> = targets.iter().map(|target| table.at(target)).collect();
            let mounted: Vec<_> = found.iter().flatten().copied().collect();
            let mut holders = if sees_others && !mounted.is_empty() {
                holders::find(&table, &mounted)
                    .context(|| "look for processes that hold a mount")?
                    .into_iter()
            } else {
                Vec::new().into_iter()
            };
            Ok(found
                .iter()
                .zip(&targets)
                .map(|(found, target)| Evidence {
                    mounted: found.is_some() || target.symlink_metadata().is_ok(),
                    holders: match (found, sees_others) {
                        (None, _) => Some(Vec::new()),
                        (Some(_), false) => None,
                        (Some(_), true) => holders.next(),
                    },
                })
                .collect())
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "the look at `/proc` panicked"))
        })
    }

    /// What the kernel shows of one volume.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub(super) async fn evidence_of(&self, volume: &Arc<Volume>) -> Result<Evidence> {
        let mut evidence = self.evidence(std::slice::from_ref(volume)).await?;
        evidence.pop().ok_or_else(|| Error::internal("no evidence of one volume"))
    }
}

/// Unmounts and removes the folder; `remote`: what is mounted may lie on a server.
fn unmount(target: &Path, remote: bool) -> Result<()> {
    let what = || format!("unmount `{}`", target.display());
    // The table is dear.
    let unmounted = if remote && table()?.at(target).is_some_and(Mount::is_remote) {
        mounts::unmount_remote(target).map_err(|error| error.context(what()))?
    } else {
        mounts::unmount(target).context(what)?
    };
    if unmounted == Unmounted::Busy {
        return Err(Error::busy(format!(
            "`{}` is in use by a process on this host",
            target.display()
        ))
        .with_hint(format!("`fuser -vm {}` shows which", target.display())));
    }
    // A bare folder would let a container write beneath a missing mount.
    remove_folder(target).context(|| format!("remove `{}`", target.display()))
}

fn is_idle(life: &Life) -> bool {
    life.mounted
        && !life.is_referenced()
        && life.keep_until.is_none_or(|until| until <= Instant::now())
}

fn is_due(life: &Life) -> bool {
    is_idle(life) && life.look.is_none_or(|(at, _)| at <= Instant::now())
}

fn look_again(volume: &Volume) {
    volume.write(|life| {
        let wait = life.look.map_or(FIRST_WAIT, |(_, wait)| wait);
        life.look = Some((Instant::now() + wait, (wait * 2).min(LAST_WAIT)));
    });
}
