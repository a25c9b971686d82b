//! `pool rebuild`: records from sidecars.

use std::sync::Arc;

use berth_api::{Backend, Error, ErrorKind, Found, Handle, Observed, Op, Result};
use jiff::Timestamp;

use super::{
    Engine,
    jobs::{Job, UNLIMITED},
    pool::Pool,
    recover::LOAD,
    snapshot::accessor,
    time,
    volume::Volume,
};
use crate::{
    catalog::{Record, Snapshot, SnapshotState, State},
    view::JobView,
};

/// What a rebuild did.
#[derive(Debug, Default)]
struct Tally {
    made: u64,
    trashed: u64,
    known: u64,
    snapshots: u64,
    problems: Vec<String>,
}

impl Engine {
    /// Makes lost records from sidecars, as a job.
    ///
    /// # Errors
    /// `NotFound` if there is no such pool. What goes wrong later is the job's.
    pub fn rebuild(self: &Arc<Self>, pool: Option<&str>, take_over: bool) -> Result<JobView> {
        self.writable()?;
        let pools = match pool {
            Some(name) => vec![self.configured(name).map_err(|error| {
                // With records but without configuration it is there, and away.
                let known = |volume: &Arc<Volume>| volume.read(|life| life.record.pool == name);
                if self.index.all().iter().any(known) { error } else { self.no_such_pool(name) }
            })?],
            None => self.pools.values().cloned().collect(),
        };
        let job = self.jobs.start("rebuild", None, pool, Op::new(UNLIMITED));
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let result = engine.rebuild_pools(&pools, take_over, &own).await;
            own.end(result.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }

    async fn rebuild_pools(
        self: &Arc<Self>,
        pools: &[Arc<Pool>],
        take_over: bool,
        job: &Job,
    ) -> Result<String> {
        let mut tally = Tally::default();
        for pool in pools {
            if let Err(error) = self.rebuild_pool(pool, take_over, job, &mut tally).await {
                tally.problems.push(error.chain());
            }
        }
        // Mounts of before belong to the volumes that are known again now.
        self.adopt_mounts().await?;
        self.writer.flush().await?;
        let done = format!(
            "records made: {} ({} of them in the trash, {} snapshots), known before: {}",
            tally.made, tally.trashed, tally.snapshots, tally.known
        );
        if tally.problems.is_empty() {
            Ok(done)
        } else {
            Err(Error::corrupt(format!("{done}; {}", tally.problems.join("; "))))
        }
    }

    async fn rebuild_pool(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        take_over: bool,
        job: &Job,
        tally: &mut Tally,
    ) -> Result<()> {
        if take_over {
            self.take_over(pool).await?;
        }
        pool.ready().await?;
        // What another host made since is no lost record.
        self.refresh(pool).await?;
        let listed = pool.run(job.op.extended(time::CALL), Backend::list).await?;
        for entry in listed {
            job.op.check()?;
            job.op.advance(0, 1);
            let shown = entry.entry.clone();
            if let Err(error) = self.rebuild_one(pool, entry, tally).await {
                tally.problems.push(format!("`{shown}`: {}", error.chain()));
            }
        }
        if pool.has_snapshots() {
            // Deleting went on when the records were lost.
            let sweep = pool.walk(Op::new(UNLIMITED), |backend, op| accessor(backend)?.sweep(op));
            sweep.await?;
        }
        self.recover_pool(pool).await;
        Ok(())
    }

    /// The snapshots that lie beside a volume's content, oldest first. Halves that
    /// an interruption left go.
    async fn found_snapshots(
        &self,
        pool: &Arc<Pool>,
        volume: &Handle,
        tally: &mut Tally,
    ) -> Result<Vec<Snapshot>> {
        if !pool.has_snapshots() {
            return Ok(Vec::new());
        }
        let handle = volume.clone();
        let (found, problems) = pool
            .walk(Op::new(UNLIMITED), move |backend, op| {
                let snapshots = accessor(backend)?;
                let (mut found, mut problems) = (Vec::new(), Vec::new());
                for entry in snapshots.list(op, &handle)? {
                    let whole = matches!(
                        snapshots.inspect(op, &handle, &entry.handle),
                        Ok(Observed::Present { .. })
                    );
                    match entry.sidecar {
                        Ok(sidecar) if whole => found.push(Snapshot {
                            sidecar,
                            handle: entry.handle,
                            state: SnapshotState::Ready,
                        }),
                        Err(error) if error.kind() == ErrorKind::Corrupt => {
                            problems.push(format!("snapshot `{}`: {}", entry.entry, error.chain()));
                        }
                        _ => {
                            snapshots.remove(op, &handle, &entry.handle)?;
                            snapshots.purge(op, &handle, &entry.handle)?;
                        }
                    }
                }
                found.sort_by_key(|entry| (entry.sidecar.created, entry.sidecar.id));
                Ok((found, problems))
            })
            .await?;
        tally.snapshots += found.len() as u64;
        tally.problems.extend(problems);
        Ok(found)
    }

    async fn rebuild_one(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        entry: Found,
        tally: &mut Tally,
    ) -> Result<()> {
        let sidecar = entry.sidecar?;
        let spec = &sidecar.spec;
        let known = self.index.by_id(spec.id);
        let damaged = known.as_ref().is_some_and(|volume| {
            volume.read(
                |life| matches!(&life.record.state, State::Faulty { during, .. } if during == LOAD),
            )
        });
        if let (Some(volume), false) = (&known, damaged) {
            tally.known += 1;
            // The record wins; a sidecar that differs is written anew.
            let record = volume.record();
            if record.state == State::Ready && !entry.trashed && record.sidecar() != sidecar {
                let _lock = volume.lock().await;
                self.until_ready(pool, volume, |backend, op, record| {
                    backend.describe(op, &record.handle, &record.sidecar())
                })
                .await?;
            }
            return Ok(());
        }
        let state = if entry.trashed {
            let at = Timestamp::now();
            let expires = super::remove::later(at, pool.config.trash);
            State::Removed { at, expires: Some(expires), purging: false }
        } else {
            State::Ready
        };
        if state.is_live() && self.index.live(&spec.name).is_some_and(|other| other.id != spec.id) {
            return Err(Error::conflict(format!(
                "a volume `{}` exists, {} stays without a record",
                spec.name, spec.id
            )));
        }
        let snapshots = self.found_snapshots(pool, &entry.handle, tally).await?;
        let record = Record { snapshots, ..Record::of(sidecar, pool.place(), entry.handle, state) };
        self.store(&record).await?;
        tally.made += 1;
        tally.trashed += u64::from(entry.trashed);
        match known {
            Some(volume) => {
                volume.write(|life| life.record = record);
                self.index.file(&volume);
            }
            None => self.index.file(&Volume::new(record)),
        }
        Ok(())
    }
}
