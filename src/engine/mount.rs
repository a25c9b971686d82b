//! Mount and unmount: counting references, and what the kernel shows.
//!
//! ```text
//! Mount:   attach flight (lock: backend.attach, bind mount) ─▶ lock: commit the reference ─▶ answer
//! Unmount: commit the lowered reference ─▶ answer; the detach follows by itself
//! ```
//! The reference is committed after the mount and before the answer: a crash in
//! between leaves a mount without references, which recovery adopts and the
//! detacher takes down.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, ErrorKind, Op, Progress, Result, Source};
use berth_host::mounts::{self, BindFlags, Shown, Table};

use super::{
    Engine,
    create::faulty,
    flight::{Flight, Pilot},
    jobs::{Job, UNLIMITED},
    pool::Pool,
    repeat::wait,
    time,
    volume::{Life, Volume},
};
use crate::{
    catalog::State,
    journal::{self, Client, Key, Reference},
};

/// A volume that was mounted for a caller is not detached for so long, so that
/// the caller can count its reference.
const KEEP: Duration = Duration::from_secs(5);
/// The same where the caller's time was over: the user tries again by hand.
const KEEP_FOR_RETRY: Duration = Duration::from_secs(120);
/// The longest mount ID; Docker's have 64 characters.
const ID_MAX: usize = 256;

impl Engine {
    /// Mounts a volume for (`client`, `id`), counts the reference durably, and
    /// answers with the mountpoint.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` if the pool is away or the time is over (it then
    /// goes on, and the next call joins it); `Corrupt` if the volume is faulty.
    /// No reference is counted then.
    pub async fn mount(self: &Arc<Self>, client: Client, name: &str, id: &str) -> Result<PathBuf> {
        let deadline = time::long(self.setup.installation);
        let key = key(client, id)?;
        let volume = self.index.find(name)?;
        self.writable()?;
        loop {
            let (engine, flying) = (self.clone(), volume.clone());
            let passenger = self.flights.board(Flight::Attach(volume.id), |pilot| async move {
                engine.fly_attach(&flying, &pilot).await;
            });
            let pool = volume.record().pool;
            let answer = tokio::select! {
                answer = passenger.wait(deadline) => answer,
                error = self.gone(&pool) => {
                    volume.write(|life| life.keep_until = Some(Instant::now() + KEEP_FOR_RETRY));
                    Some(Err(error))
                }
            };
            match answer {
                None => {
                    volume.write(|life| life.keep_until = Some(Instant::now() + KEEP_FOR_RETRY));
                    return Err(volume.still_busy());
                }
                Some(result) => result.context(|| format!("mount `{name}`"))?,
            }
            let _lock = volume.lock_by(deadline).await?;
            // Between the flight and the lock it may have been taken down again.
            if volume.read(|life| life.mounted) {
                self.count(&volume, &key).await.context(|| format!("mount `{name}`"))?;
                return Ok(self.mountpoint(name));
            }
        }
    }

    /// Takes one reference of (`client`, `id`) back. Unknown ids and names are
    /// success. The detach follows by itself.
    ///
    /// # Errors
    /// `Invalid` for what is no id. Never for reasons of Berth's own: Docker
    /// would not ask again.
    pub async fn unmount(self: &Arc<Self>, client: Client, name: &str, id: &str) -> Result<()> {
        let key = key(client, id)?;
        let Ok(volume) = self.index.find(name) else { return Ok(()) };
        self.uncount(&volume, &key).await;
        volume.write(|life| life.look = Some((Instant::now(), super::detach::FIRST_WAIT)));
        self.detacher.notify_one();
        Ok(())
    }

    /// Counts one mount of `key`, durably.
    async fn count(&self, volume: &Volume, key: &Key) -> Result<()> {
        let _counts = volume.counts.lock().await;
        let epoch = self.epoch();
        let known = volume.read(|life| life.references.get(key).copied());
        let count = match known {
            // A Mount of a known ID in a newer epoch is Docker's first of that
            // epoch: what was counted before a crash is not added to.
            Some(known)
                if key.client == Client::Docker
                    && known.epoch < epoch
                    && !berth_host::failpoint::sabotaged("skip-epoch-rule") =>
            {
                1
            }
            Some(known) => known.count + 1,
            None => 1,
        };
        let reference = Reference { count, epoch };
        let (id, row, boot) = (volume.id, key.clone(), self.boot.clone());
        self.writer
            .commit(move |tx| journal::put_reference(tx, id, &row, reference, &boot))
            .await?;
        volume.write(|life| {
            life.references.insert(key.clone(), reference);
            life.generation += 1;
            life.keep_until = None;
            life.idle_since = None;
        });
        Ok(())
    }

    /// Lowers a reference in whatever epoch; at zero it goes.
    async fn uncount(&self, volume: &Volume, key: &Key) {
        let _counts = volume.counts.lock().await;
        let Some(known) = volume.read(|life| life.references.get(key).copied()) else { return };
        let left = (known.count > 1).then(|| Reference { count: known.count - 1, ..known });
        let (id, row, boot) = (volume.id, key.clone(), self.boot.clone());
        let step = move |tx: &crate::database::Transaction<'_>| match left {
            Some(left) => journal::put_reference(tx, id, &row, left, &boot),
            None => journal::delete_reference(tx, id, &row),
        };
        if let Err(error) = self.writer.commit(step.clone()).await {
            // Docker never asks again, so it counts in memory, and on disk as
            // soon as that takes writes again.
            tracing::error!(volume = %volume.record().name, error = %error.chain(), "unmount");
            self.writer.later(step);
        }
        volume.write(|life| {
            match left {
                Some(left) => drop(life.references.insert(key.clone(), left)),
                None => drop(life.references.remove(key)),
            }
            life.generation += 1;
        });
    }

    async fn fly_attach(self: Arc<Self>, volume: &Arc<Volume>, pilot: &Pilot) {
        let _lock = volume.lock().await;
        let mut job = None;
        let result = self.attach(volume, &mut job).await;
        if result.is_err() && !volume.read(|life| life.mounted) {
            self.let_go_by_and_by(volume).await;
        }
        volume.write(|life| {
            life.waiting = None;
            let keep = Instant::now() + KEEP;
            life.keep_until = life.keep_until.max(Some(keep));
        });
        if let Some(job) = job {
            job.end(result.as_ref().map(|()| String::new()));
        }
        pilot.answer(result);
        // Should nobody count a reference, the detacher takes it down.
        volume.write(|life| life.look = Some((Instant::now(), super::detach::FIRST_WAIT)));
        self.detacher.notify_one();
    }

    /// Attaches and mounts; the caller has the lock.
    async fn attach(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        job: &mut Option<Arc<Job>>,
    ) -> Result<()> {
        self.hold(volume).await?;
        let (record, waiting) = volume.read(|life| (life.record.clone(), life.waiting.clone()));
        let name = &record.name;
        match &record.state {
            State::Ready => {}
            State::Faulty { during, error } => return Err(faulty(name, during, error)),
            State::Creating { .. } => {
                let because = waiting.unwrap_or_else(|| "its pool is away".to_owned());
                return Err(Error::unavailable(format!(
                    "volume `{name}` is not made yet: {because}"
                )));
            }
            State::Removing { .. } | State::Removed { .. } => {
                return Err(Error::not_found(format!("no such volume: `{name}`")));
            }
        }
        let pool = self.configured(&record.pool)?;
        pool.ready().await?;
        self.finish_what_was_begun(volume, &pool).await?;
        let target = self.mountpoint(name.as_str());
        loop {
            let op =
                job.as_ref().map_or_else(|| Op::new(time::CALL), |job| job.op.extended(time::CALL));
            op.check()?;
            let (handle, options) = (record.handle.clone(), record.options.clone());
            let target = target.clone();
            // What lies on a server may have become stale.
            let used = pool.share().map(|_| volume.read(Life::is_referenced));
            let call = pool.run(op.clone(), move |backend, op| {
                Ok(match backend.attach(op, &handle, &options)? {
                    Progress::Ready(source) => {
                        Progress::Ready(mount_source(&source, &target, used)?)
                    }
                    Progress::Pending { after, because } => Progress::Pending { after, because },
                })
            });
            let progress = match call.await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Error::corrupt(format!("the data of `{name}` is not in its pool"))
                        .with_source(error)
                        .with_hint("bring it back, or clear the volume with `berth volume rm`"));
                }
                other => other?,
            };
            match progress {
                Progress::Ready(()) => {
                    volume.write(|life| {
                        life.mounted = true;
                        life.generation += 1;
                    });
                    return Ok(());
                }
                Progress::Pending { after, because } => {
                    let job = job.get_or_insert_with(|| {
                        self.jobs.start(
                            "mount",
                            Some((volume.id, name.to_string())),
                            Some(&record.pool),
                            Op::new(UNLIMITED),
                        )
                    });
                    volume.write(|life| life.waiting = Some(because.clone()));
                    job.waits(Some(because));
                    wait(after, &job.op).await;
                }
            }
        }
    }

    /// Completes (or undoes) what failed for the moment of an undelete, a set or a
    /// rollback, before a volume is used; the caller has the lock.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be done now; `Corrupt` if it never can.
    pub(super) async fn finish_what_was_begun(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
    ) -> Result<()> {
        self.finish_rollback(volume, pool).await?;
        if !volume.read(|life| life.record.unsettled) {
            return Ok(());
        }
        self.finish_undelete(volume, pool).await;
        let record = volume.record();
        let name = &record.name;
        if record.unsettled {
            let error = Error::unavailable(format!("volume `{name}` is not in order yet"));
            return Err(error.with_hint("its pool has a problem: see `berth doctor`"));
        }
        if let State::Faulty { during, error } = &record.state {
            return Err(faulty(name, during, error));
        }
        Ok(())
    }

    /// Where the volume of this (valid) name is mounted: always the same.
    pub(super) fn mountpoint(&self, name: &str) -> PathBuf {
        self.setup.paths.mounts.join(name)
    }
}

fn key(client: Client, id: &str) -> Result<Key> {
    if id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control) {
        return Err(Error::invalid("the mount ID is empty, too long, or not plain text"));
    }
    Ok(Key { client, id: id.to_owned() })
}

/// Makes `source` visible at `target`. The folder exists only while something
/// is mounted there, so that a missing mount makes Docker fail instead of
/// writing beneath it. `used`: a container has what is mounted there, where that may
/// have become stale.
fn mount_source(source: &Source, target: &Path, used: Option<bool>) -> Result<()> {
    let Source::Directory { directory, path } = source else {
        return Err(Error::unsupported("only directories can be mounted"));
    };
    if let Some(used) = used
        && !make_way(target, directory, used)?
    {
        return Ok(());
    }
    // The bare folder has an inode of its own, so this is true through a mount only.
    if mounts::shows(target, directory).unwrap_or(false) {
        return Ok(());
    }
    let new = make_folder(target).context(|| format!("make `{}`", target.display()))?;
    // On a folder made just now nothing is mounted; the table is dear.
    if !new && let Some(other) = table()?.at(target) {
        return Err(Error::busy(format!(
            "something else (`{}`) is mounted at `{}`",
            other.root.display(),
            target.display()
        ))
        .with_hint("unmount it by hand; Berth takes down only what it mounted"));
    }
    let mounted = mounts::bind(directory, target, BindFlags::default())
        .context(|| format!("mount `{}` at `{}`", path.display(), target.display()));
    if mounted.is_err() {
        let _ = remove_folder(target);
    }
    mounted
}

/// Takes down what a server knows no more, so that `directory` can be mounted; `false` if
/// that is mounted already.
fn make_way(target: &Path, directory: &OwnedFd, used: bool) -> Result<bool> {
    let what = || format!("look at `{}`", target.display());
    let shown = mounts::shown(target, directory).context(what)?;
    tracing::debug!(target = %target.display(), ?shown, "at the mountpoint");
    match shown {
        Shown::It => return Ok(false),
        Shown::Nothing | Shown::Other(_) => {}
        Shown::Stale if used => {
            return Err(Error::unavailable(format!(
                "its server knows what is mounted at `{}` no more (stale file handle)",
                target.display()
            ))
            .with_hint("stop all containers that use the volume, then start them again"));
        }
        Shown::Stale => {
            tracing::warn!(target = %target.display(), "stale: mounted anew");
            mounts::detach_remote(target)?;
        }
    }
    Ok(true)
}

/// Makes the mountpoint's folder; whether it is new.
fn make_folder(target: &Path) -> io::Result<bool> {
    berth_host::failpoint::hit("mount.folder")?;
    match fs::DirBuilder::new().mode(0o700).create(target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a mountpoint's folder; never anything that is in it.
pub(super) fn remove_folder(target: &Path) -> io::Result<()> {
    berth_host::failpoint::hit("mount.remove_folder")?;
    match fs::remove_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// This process' mounts.
pub(super) fn table() -> Result<Table> {
    Table::read().context(|| "read the mount table")
}

impl Life {
    /// Whether any container or command is counted.
    pub(super) fn is_referenced(&self) -> bool {
        !self.references.is_empty()
    }
}
