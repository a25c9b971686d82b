//! Snapshots: taking and removing them.
//!
//! ```text
//! take:   lock: commit creating ─▶ (no lock) backend.create ─▶ lock: ready (later) ─▶ answer
//! remove: lock: commit removing ─▶ answer ─▶ backend.remove, purge ─▶ entry dropped (later)
//! ```
//! Copying may take long; the volume's lock is not held over it, so that
//! containers start and stop meanwhile. What keeps the content from being taken
//! away is the volume's `content` lock. A complete snapshot is durable, so that
//! the answer needs no commit after it: recovery makes it `ready`.

mod recovery;
mod remove;
mod view;

use std::sync::Arc;

use berth_api::{
    Backend, Consistency, Context as _, Error, Estimate, Op, PolicyName, Progress, Result,
    SnapshotId, SnapshotName, SnapshotSidecar, Snapshots,
};

use super::{
    Engine, clock,
    create::faulty,
    jobs::{Job, UNLIMITED},
    pool::Pool,
    quiesce::{Hook, Witness},
    repeat::wait,
    time,
    volume::Volume,
};
use crate::{
    catalog::{Record, Snapshot, SnapshotState, State},
    view::{CreateSnapshot, JobView},
};

/// A snapshot as it is asked for.
#[derive(Debug)]
pub(super) struct Order {
    /// Its name in the volume.
    pub(super) name: SnapshotName,
    /// The policy that asks, which also removes it one day.
    pub(super) policy: Option<PolicyName>,
    /// What brings the application to rest meanwhile.
    pub(super) hook: Option<Hook>,
}

/// The kind of its jobs.
pub(super) const SNAPSHOT: &str = "snapshot";
/// How names say when: in UTC, without what names do not allow.
pub(super) const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Snapshots of one volume at most: its record holds them all.
const MOST: usize = 1000;

impl Engine {
    /// Takes a snapshot, as a job whose outcome is `VOLUME@NAME`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the name is taken; `Unsupported` if the pool has
    /// none. What goes wrong later is the job's.
    pub fn create_snapshot(
        self: &Arc<Self>,
        volume: &str,
        request: CreateSnapshot,
    ) -> Result<JobView> {
        self.writable()?;
        let hook = request.quiesce.as_deref().map(|hook| self.hook(hook)).transpose()?;
        let volume = self.index.find(volume)?;
        let name = match request.name {
            Some(name) => name.parse()?,
            None => unused_name(&volume, ""),
        };
        let order = Order { name, policy: None, hook };
        self.begin_snapshot(&volume, order).map(|job| job.view())
    }

    /// Begins to take a snapshot; the job's outcome is `VOLUME@NAME`.
    ///
    /// # Errors
    /// As [`create_snapshot`](Self::create_snapshot).
    pub(super) fn begin_snapshot(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        order: Order,
    ) -> Result<Arc<Job>> {
        let record = volume.record();
        check_name(&record, &order.name)?;
        let pool = self.configured(&record.pool)?;
        pool.can_snapshot()?;
        let of = Some((volume.id, record.name.to_string()));
        let job = self.jobs.start(SNAPSHOT, of, Some(&pool.name), Op::new(UNLIMITED));
        let (engine, volume, own) = (self.clone(), volume.clone(), job.clone());
        tokio::spawn(async move {
            let taken = engine.take_snapshot(&volume, &pool, order, &own).await;
            own.end(taken.as_ref().map(Clone::clone));
        });
        Ok(job)
    }

    /// A snapshot of the volume as it will be, for an intent.
    pub(super) async fn planned(
        &self,
        volume: &Volume,
        pool: &Pool,
        name: SnapshotName,
        consistency: Consistency,
    ) -> Result<Snapshot> {
        let (id, handle) = (SnapshotId::random(), volume.record().handle);
        let handle = pool
            .run(Op::new(time::CALL), move |backend, op| accessor(backend)?.plan(op, &handle, id))
            .await?;
        let created = clock::now();
        let sidecar =
            SnapshotSidecar { id, volume: volume.id, name, created, consistency, policy: None };
        Ok(Snapshot { sidecar, handle, state: SnapshotState::Ready })
    }

    async fn take_snapshot(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        order: Order,
        job: &Job,
    ) -> Result<String> {
        let Order { name, policy, hook } = order;
        pool.ready().await?;
        if let Some(copy) = self.cost(volume, None, pool, job.op.clone()).await? {
            announce(job, &copy);
        }
        let lock = volume.lock().await;
        let record = self.sound(volume, pool).await?;
        check_name(&record, &name)?;
        let mut entry = Snapshot {
            state: SnapshotState::Creating,
            ..self.planned(volume, pool, name.clone(), Consistency::Live).await?
        };
        entry.sidecar.policy = policy;
        let id = entry.sidecar.id;
        let content = volume.keep_content()?;
        let mut intent = record.clone();
        intent.snapshots.push(entry.clone());
        if berth_host::failpoint::sabotaged("skip-snapshot-intent") {
            volume.write(|life| life.record = intent);
        } else {
            self.commit(volume, intent).await?;
        }
        volume.write(|life| life.at_work.insert(id));
        drop(lock);
        let (taken, woken) = self.copy_at_rest(hook.as_ref(), volume, pool, &entry, job).await;
        drop(content);
        let lock = volume.lock().await;
        let failed = taken.is_err();
        let result = match taken {
            Ok(sidecar) => {
                self.amend(volume, |record| {
                    if let Some(entry) = entry_mut(record, id) {
                        entry.sidecar = sidecar;
                        entry.state = SnapshotState::Ready;
                    }
                });
                tracing::info!(volume = %record.name, snapshot = %name, %id, "snapshot taken");
                let path = format!("{}@{name}", record.name);
                let woken = woken.context(|| format!("snapshot `{path}` is taken"));
                woken.map(|()| path)
            }
            Err(error) => {
                self.amend(volume, |record| {
                    if let Some(entry) = entry_mut(record, id) {
                        entry.state = SnapshotState::Removing;
                    }
                });
                Err(error)
            }
        };
        volume.write(|life| life.at_work.remove(&id));
        if failed {
            self.delete_snapshot(volume, pool, &entry, lock).await;
        }
        result
    }

    /// The effect: repeated while the backend waits for a state of the world.
    pub(super) async fn copy_out(
        &self,
        volume: &Arc<Volume>,
        pool: &Pool,
        entry: &Snapshot,
        witness: Arc<Witness>,
        job: &Job,
    ) -> Result<SnapshotSidecar> {
        let handle = volume.record().handle;
        loop {
            job.op.check()?;
            let (handle, entry, own) = (handle.clone(), entry.clone(), volume.clone());
            let witness = witness.clone();
            let copy = pool.copy(job.op.clone(), move |backend, op| {
                let quiet = || witness.testify(&own);
                let snapshots = accessor(backend)?;
                snapshots.create(op, &handle, &entry.handle, &entry.sidecar, &quiet)
            });
            match copy.await? {
                Progress::Ready(sidecar) => return Ok(sidecar),
                Progress::Pending { after, because } => {
                    job.waits(Some(because));
                    wait(after, &job.op).await;
                }
            }
        }
    }

    /// A volume that can be worked on; the caller has the lock.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if it is faulty, `Unavailable`.
    pub(super) async fn sound(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
    ) -> Result<Record> {
        pool.ready().await?;
        let record = volume.record();
        match &record.state {
            State::Ready => {}
            State::Faulty { during, error } => return Err(faulty(&record.name, during, error)),
            State::Creating { .. } => return Err(volume.still_busy()),
            _ => return Err(Error::not_found(format!("no such volume: `{}`", record.name))),
        }
        self.finish_what_was_begun(volume, pool).await?;
        Ok(volume.record())
    }
}

/// The backend's snapshots.
///
/// # Errors
/// `Unsupported` if it has none.
pub(super) fn accessor(backend: &dyn Backend) -> Result<&dyn Snapshots> {
    backend.snapshots().ok_or_else(|| Error::unsupported("this pool has no snapshots"))
}

/// The snapshot of that name.
///
/// # Errors
/// `NotFound`; `Invalid` if that is no name.
pub(super) fn find(volume: &Volume, name: &str) -> Result<Snapshot> {
    let name: SnapshotName = name.parse()?;
    volume.read(|life| {
        let snapshots = &life.record.snapshots;
        snapshots
            .iter()
            .find(|entry| entry.sidecar.name == name && entry.state == SnapshotState::Ready)
            .cloned()
            .ok_or_else(|| {
                let volume = &life.record.name;
                Error::not_found(format!("no such snapshot: `{volume}@{name}`"))
                    .with_hint(format!("`berth snapshot ls {volume}` lists them"))
            })
    })
}

fn check_name(record: &Record, name: &SnapshotName) -> Result<()> {
    let visible = |entry: &&Snapshot| entry.state != SnapshotState::Removing;
    if record.snapshots.iter().filter(visible).any(|entry| entry.sidecar.name == *name) {
        return Err(Error::conflict(format!("snapshot `{}@{name}` exists", record.name))
            .with_hint("choose another name, or remove that one first"));
    }
    if record.snapshots.len() >= MOST {
        let text = format!("volume `{}` has {MOST} snapshots, which is the most", record.name);
        return Err(Error::exhausted(text).with_hint("remove some with `berth snapshot rm`"));
    }
    Ok(())
}

/// A name that says when: `20261126T103000Z`, with a number if there is one of
/// that second.
pub(super) fn unused_name(volume: &Volume, prefix: &str) -> SnapshotName {
    let time = clock::now().strftime(STAMP).to_string();
    let taken = |name: &SnapshotName| {
        volume.read(|life| life.record.snapshots.iter().any(|s| s.sidecar.name == *name))
    };
    let names = std::iter::once(format!("{prefix}{time}"))
        .chain((2..).map(|n| format!("{prefix}{time}-{n}")));
    names
        .map(|name| name.parse().expect("letters, digits and dashes"))
        .find(|name| !taken(name))
        .expect("there are more numbers than snapshots")
}

pub(super) fn entry_mut(record: &mut Record, id: SnapshotId) -> Option<&mut Snapshot> {
    record.snapshots.iter_mut().find(|entry| entry.sidecar.id == id)
}

/// What a copy takes, as a job says it beforehand.
pub(super) fn announce(job: &Job, copy: &Estimate) {
    if copy.bytes.0 == 0 {
        return;
    }
    job.op.set_total(copy.bytes.0);
    job.note(copy.announcement());
}
