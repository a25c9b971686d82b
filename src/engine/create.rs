//! Create: intent, effect, outcome.
//!
//! ```text
//! plan ─▶ commit creating ─▶ backend.create ─┬─ Ready ──▶ answer; outcome rides on a later commit
//!                                            ├─ Pending or slow ─▶ commit accepted ─▶ answer, go on as a job
//!                                            └─ Err ────▶ undo, answer the error
//! ```
//! A complete effect is durable, so that an answer needs no commit after it:
//! recovery makes a complete `creating` volume `ready`.

use std::{collections::BTreeMap, sync::Arc};

use berth_api::{
    Error, ErrorKind, Layout, Op, Options, Progress, Result, Sidecar, VolumeId, VolumeName,
    VolumeSpec, options, origin::From,
};
use jiff::Timestamp;

use super::{
    Engine,
    flight::{Flight, Passenger, Pilot},
    jobs::{Job, UNLIMITED},
    pool::Pool,
    repeat::wait,
    snapshot::announce,
    time,
    volume::Volume,
};
use crate::{
    catalog::{MadeFrom, Record, State},
    journal::Client,
    view::{CreateVolume, VolumeView},
};

/// What was being done when a create failed for good.
pub(super) const CREATE: &str = "create";

/// A request that was checked.
pub(super) struct Wanted {
    pub(super) name: VolumeName,
    pub(super) pool: Arc<Pool>,
    /// What its content is made from.
    pub(super) origin: Option<MadeFrom>,
    pub(super) given: BTreeMap<String, String>,
    pub(super) options: Options,
}

impl Engine {
    /// Creates a volume, or confirms an equal one. Answers when the volume is
    /// durable; what takes long goes on as a job.
    ///
    /// # Errors
    /// `Conflict` if the name is taken by a volume with other options; `Invalid`,
    /// `Unsupported`, `Exhausted`, `Unavailable`. Then there is no volume.
    pub async fn create(
        self: &Arc<Self>,
        client: Client,
        request: CreateVolume,
    ) -> Result<VolumeView> {
        let deadline = time::long(self.setup.installation);
        let name: VolumeName = request.name.parse()?;
        self.writable()?;
        if client == Client::Docker
            && request.options.is_empty()
            && !self.setup.config.implicit_create
        {
            return Err(Error::invalid(format!(
                "volume `{name}` is not made by itself: `implicit-create` is off"
            ))
            .with_hint("create it first: docker volume create -d berth -o pool=POOL NAME"));
        }
        let given = options::normalise(&request.options)?;
        loop {
            self.ask(name.as_str()).await;
            if let Some(volume) = self.index.live(&name) {
                confirm(&volume, &given)?;
                if volume.read(|life| life.unproven) {
                    let pool = volume.record().pool;
                    self.configured(&pool)?.ready().await?;
                    return Err(volume.still_busy());
                }
                return Ok(self.view(&volume));
            }
            let (pool, origin) = self.place_for(&given).await?;
            if client == Client::Docker && given.contains_key("subdir") {
                super::set::open_to_docker(&pool, "subdir")?;
            }
            let options = pool.config.defaults.clone().over(&given)?;
            self.check_policies(&options.policy)?;
            let wanted = Wanted { name: name.clone(), pool, origin, given: given.clone(), options };
            let pool = wanted.pool.name.clone();
            let passenger = self.board_create(wanted);
            let joined = passenger.joined;
            let answer = tokio::select! {
                answer = passenger.wait(deadline) => answer,
                error = self.gone(&pool) => return Err(error),
            };
            match answer {
                None => {
                    return Err(Error::unavailable(format!("volume `{name}` is still being made"))
                        .with_hint("it goes on by itself; create it again to see how far it is"));
                }
                Some(Err(error)) if self.met_elsewhere(&given, &name, &error).await => {}
                Some(Err(error)) if !joined => return Err(error),
                // What another request met need not be what this one meets.
                Some(_) if tokio::time::Instant::now() < deadline => {}
                Some(result) => result?,
            }
        }
    }

    /// Begins to make what was checked, or joins who does.
    pub(super) fn board_create(self: &Arc<Self>, wanted: Wanted) -> Passenger {
        let engine = self.clone();
        self.flights.board(Flight::Create(wanted.name.clone()), |pilot| async move {
            engine.fly_create(wanted, &pilot).await;
        })
    }

    /// Where a new volume goes, and what it is made from: a clone stays in the pool of
    /// its origin.
    async fn place_for(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<(Arc<Pool>, Option<MadeFrom>)> {
        let wanted = given.get("pool").map(|name| self.pool_for(Some(name))).transpose()?;
        let from = given.get("from").map(|text| From::parse(text)).transpose()?;
        let text = match &from {
            Some(From::Volume { .. }) => &given["from"],
            Some(From::Backup { repository, which }) => {
                let pool = wanted.map_or_else(|| self.pool_for(None), Ok)?;
                let origin = self.backup_origin(repository.as_deref(), which).await?;
                return Ok((pool, Some(MadeFrom::Backup(origin))));
            }
            None => {
                let pool = wanted.map_or_else(|| self.pool_for(None), Ok)?;
                return Ok((pool, None));
            }
        };
        let (origin, pool) = self.origin_of(text)?;
        match wanted {
            Some(wanted) if wanted.name != pool.name => Err(Error::unsupported(format!(
                "`{text}` is in pool `{}`: a clone cannot be made in pool `{}`",
                pool.name, wanted.name
            ))
            .with_hint("leave `pool` out; a clone shares the pool of its origin")),
            _ => Ok((pool, Some(MadeFrom::Volume(origin)))),
        }
    }

    async fn fly_create(self: Arc<Self>, wanted: Wanted, pilot: &Pilot) {
        // Someone may have made it between the look and the flight.
        let result = match self.index.live(&wanted.name) {
            Some(_) => Ok(()),
            None => self.create_new(&wanted, pilot).await,
        };
        if let Err(error) = &result {
            tracing::info!(volume = %wanted.name, error = %error.chain(), "create failed");
        }
        pilot.answer(result);
    }

    async fn create_new(self: &Arc<Self>, wanted: &Wanted, pilot: &Pilot) -> Result<()> {
        let Wanted { name, pool, origin, given, options } = wanted;
        let _reservation = self.index.reserve(name)?;
        pool.ready().await?;
        let copied = match origin {
            Some(MadeFrom::Volume(origin)) => self.check_clone(origin, pool).await?,
            Some(MadeFrom::Backup(origin)) => {
                self.check_fits(origin, pool, options).await?;
                None
            }
            None => None,
        };
        let spec = VolumeSpec {
            id: VolumeId::random(),
            name: name.clone(),
            created: Timestamp::now(),
            given: given.clone(),
            options: options.clone(),
        };
        let op = Op::new(time::CALL);
        let handle = {
            let spec = spec.clone();
            pool.run(op.clone(), move |backend, op| backend.plan(op, &spec)).await?
        };
        let sidecar = Sidecar { spec, layout: Layout::Subdirectory };
        let state = State::Creating { accepted: false };
        let record =
            Record { origin: origin.clone(), ..Record::of(sidecar, pool.place(), handle, state) };
        if !berth_host::failpoint::sabotaged("skip-intent") {
            self.store(&record).await?;
        }
        let volume = Volume::new(record);
        let _lock = volume.lock().await;
        let job = origin.as_ref().map(|_| self.job_of(CREATE, &volume));
        if let (Some(job), Some(copy)) = (&job, copied) {
            announce(job, &copy);
        }
        match self.effect(&volume, pool, &op, job, Some(pilot)).await {
            Ok(()) => Ok(()),
            Err(error) if volume.read(|life| life.record.state.is_live()) => {
                // Accepted, so the answer was given: it stays, and says why.
                self.fail_accepted(&volume, &error);
                Ok(())
            }
            Err(error) => Err(self.undo_create(&volume, pool, error).await),
        }
    }

    /// Makes the content. With a `pilot`, answers it as soon as the volume is
    /// accepted; without one the volume was accepted before (recovery).
    pub(super) async fn effect(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Pool,
        op: &Op,
        mut job: Option<Arc<Job>>,
        pilot: Option<&Pilot>,
    ) -> Result<()> {
        let mut unaccepted = pilot;
        let accept = time::accept(volume.record().origin.as_ref());
        if pilot.is_none() {
            job = Some(self.job_of(CREATE, volume));
        }
        let result = loop {
            let op = job.as_ref().map_or(op, |job| &job.op).extended(time::CALL);
            if let Err(error) = op.check() {
                break Err(error);
            }
            let call = self.make_content(volume, pool, &op);
            tokio::pin!(call);
            let progress = if let Some(pilot) = unaccepted {
                match tokio::time::timeout(accept, &mut call).await {
                    Ok(progress) => progress,
                    Err(_) => match self.accept(volume, pilot).await {
                        Ok(()) => {
                            unaccepted = None;
                            job.get_or_insert_with(|| self.job_of(CREATE, volume));
                            call.await
                        }
                        // What still runs has to end before it can be undone.
                        Err(error) => match call.await {
                            Ok(Progress::Ready(change)) => Ok(Progress::Ready(change)),
                            _ => Err(error),
                        },
                    },
                }
            } else {
                call.await
            };
            match progress {
                Ok(Progress::Ready(_)) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Progress::Pending { after, because }) => {
                    if let Some(pilot) = unaccepted.take() {
                        if let Err(error) = self.accept(volume, pilot).await {
                            break Err(error);
                        }
                        job.get_or_insert_with(|| self.job_of(CREATE, volume));
                    }
                    volume.write(|life| life.waiting = Some(because.clone()));
                    if let Some(job) = &job {
                        job.waits(Some(because));
                        wait(after, &job.op).await;
                    }
                }
            }
        };
        volume.write(|life| life.waiting = None);
        if let Some(job) = job {
            job.end(result.as_ref().map(|()| String::new()));
        }
        result?;
        self.settle(volume, State::Ready);
        // What was answered here is there for every host.
        self.publish_now(volume).await;
        tracing::info!(volume = %volume.record().name, id = %volume.id, "created");
        Ok(())
    }

    /// Makes the acceptance durable and answers; what is left is a job's.
    async fn accept(self: &Arc<Self>, volume: &Arc<Volume>, pilot: &Pilot) -> Result<()> {
        let mut record = volume.record();
        record.state = State::Creating { accepted: true };
        self.commit(volume, record).await?;
        pilot.answer(Ok(()));
        Ok(())
    }

    /// Takes an unaccepted create back without a trace. If that fails too, what
    /// is left goes with the trash: it was refused, and must not turn up whole.
    pub(super) async fn undo_create(
        &self,
        volume: &Arc<Volume>,
        pool: &Pool,
        error: Error,
    ) -> Error {
        let record = volume.record();
        let handle = record.handle.clone();
        let undone = pool
            .run(Op::new(time::CALL), move |backend, op| backend.purge(op, &handle))
            .await
            .map(drop);
        let forgotten = match undone {
            Ok(()) => self.unstore(volume).await,
            Err(error) => self.discard(volume).await.and(Err(error)),
        };
        match forgotten {
            Ok(()) => {
                self.index.forget(volume);
                error
            }
            Err(second) => {
                tracing::error!(volume = %record.name, error = %second.chain(), "undo create");
                let both = format!("{} (and undoing it: {})", error.chain(), second.chain());
                let kept = Error::new(error.kind(), both);
                match error.hint() {
                    Some(hint) => kept.with_hint(hint),
                    None => kept,
                }
            }
        }
    }

    /// Leaves what could not be undone to the housekeeper.
    async fn discard(&self, volume: &Arc<Volume>) -> Result<()> {
        let at = Timestamp::now();
        let state = State::Removed { at, expires: Some(at), purging: true };
        self.commit(volume, Record { state, ..volume.record() }).await
    }

    /// What becomes of an accepted create that failed: a pool that is away is
    /// waited for, anything else is final.
    pub(super) fn fail_accepted(&self, volume: &Arc<Volume>, error: &Error) {
        if error.kind() == ErrorKind::Unavailable {
            volume.write(|life| life.waiting = Some(error.chain()));
        } else {
            self.fault(volume, CREATE, error);
        }
    }

    /// Marks a volume as failed for good.
    pub(super) fn fault(&self, volume: &Arc<Volume>, during: &str, error: &Error) {
        tracing::error!(volume = %volume.record().name, during, error = %error.chain(), "faulty");
        let state = State::Faulty { during: during.to_owned(), error: error.chain() };
        self.settle(volume, state);
    }

    fn job_of(&self, kind: &str, volume: &Volume) -> Arc<Job> {
        let record = volume.record();
        let of = Some((volume.id, record.name.to_string()));
        let job = self.jobs.start(kind, of, Some(&record.pool), Op::new(UNLIMITED));
        Self::introduce(&job, record.origin.as_ref());
        job
    }
}

/// Compares the options that are given with those of the creation.
fn confirm(volume: &Volume, given: &BTreeMap<String, String>) -> Result<()> {
    volume.read(|life| {
        let record = &life.record;
        if let State::Faulty { during, error } = &record.state {
            return Err(faulty(&record.name, during, error));
        }
        let differ: Vec<_> = given
            .iter()
            .filter(|(key, value)| match record.given.get(*key) {
                Some(known) => known != *value,
                // A volume that went to the default pool is in that pool.
                None => *key != "pool" || *value != &record.pool,
            })
            .map(|(key, value)| {
                let known = record.given.get(key).map_or("not given", String::as_str);
                format!("`{key}` is `{value}`, was `{known}`")
            })
            .collect();
        if differ.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "volume `{}` exists with other options: {}",
            record.name,
            differ.join(", ")
        ))
        .with_hint("choose another name, or use `berth volume set` for what can change"))
    })
}

/// The error of every verb that needs a sound volume.
pub(super) fn faulty(name: &VolumeName, during: &str, error: &str) -> Error {
    Error::corrupt(format!("volume `{name}` is faulty since `{during}` failed: {error}"))
        .with_hint(format!("`berth volume rm {name}` clears it"))
}
