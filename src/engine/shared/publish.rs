//! Writing intents into a shared pool: the record, and the name.

use berth_api::{
    Error, ErrorKind, Op, Result, VolumeId,
    records::{Author, Version},
};
use serde_json::Value;

use super::{Share, adopt::parse, is_in_flux};
use crate::{
    catalog::{Record, State},
    engine::{Engine, pool::Pool, time, volume::Volume},
};

impl Engine {
    /// Writes `new` over what this host knows of the volume into the pool's own
    /// records, and into memory. `false`, and nothing done, for pools of one host.
    ///
    /// # Errors
    /// `Conflict` if another host changed it since; `Unavailable` if another host
    /// is in the middle of something with it; `Busy`, naming the hosts, if `new`
    /// is a removal or a rollback and another host has the volume.
    pub(in crate::engine) async fn publish(&self, volume: &Volume, new: &Record) -> Result<bool> {
        let Some((pool, share)) = self.sharing(new) else { return Ok(false) };
        let turn = share.turn(new.id);
        let _turn = turn.lock().await;
        // What was due is part of what is written now.
        let due = share.known().due.remove(&new.id);
        let old = &volume.record();
        let published = self.publish_over(pool, share, old, new).await;
        if published.is_err()
            && let Some(due) = due
        {
            share.owe(new.id, due);
        }
        published?;
        if old.state.is_removed() && new.state.is_live() {
            // It takes its name again. Its record says so by now, so that of two who
            // want the name the later one sees the other.
            if let Err(error) = claim(pool, share, new).await {
                self.publish_over(pool, share, new, old).await?;
                return Err(error);
            }
        }
        // In the same turn: an outcome that is written next says this too.
        volume.write(|life| life.record = new.clone());
        Ok(true)
    }

    async fn publish_over(
        &self,
        pool: &Pool,
        share: &Share,
        old: &Record,
        new: &Record,
    ) -> Result<()> {
        let name = &new.name;
        if share.standing(new.id).is_none() {
            let read = read(pool, new.id).await?;
            let same = read.as_ref().is_some_and(|version| {
                share.note(new.id, version, false);
                let known = Record {
                    pool: pool.name.clone(),
                    pool_id: pool.id(),
                    backend: pool.config.backend.clone(),
                    ..old.clone()
                };
                parse(pool, version).is_ok_and(|record| record == known)
            });
            if !same {
                share.doubt(new.id);
                return Err(changed(old));
            }
        }
        let Some(standing) = share.standing(new.id) else { return Err(changed(old)) };
        if let Some(author) = &standing.author
            && author.host != share.author.host
            && is_in_flux(old)
        {
            return Err(at_work(old, author));
        }
        let (author, id, basis) = (share.author.clone(), new.id, standing.basis);
        let (body, back) = (body(new), body(old));
        // Nobody may have it meanwhile.
        let alone = (new.state.is_removed() && !old.state.is_removed())
            || (new.rollback.is_some() && old.rollback.is_none());
        let written = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                if alone {
                    records.remove(op, &author, id, &basis, &body, &back)
                } else {
                    records.write(op, &author, id, Some(&basis), &body)
                }
            })
            .await;
        share.settled(id, written).map_err(|error| match error.kind() {
            ErrorKind::Conflict => changed(old),
            ErrorKind::Busy => {
                Error::busy(format!("volume `{name}` is {error}")).with_hint(format!(
                    "stop its containers there; if that host will not come back: \
                     berth volume repair {name} --forget-host HOST"
                ))
            }
            _ => error,
        })
    }

    /// Writes the first version of a record, and gives the volume its name. `false`,
    /// and nothing done, for pools of one host.
    ///
    /// # Errors
    /// `Conflict` if another volume of the pool has the name: nothing is left then.
    pub(in crate::engine) async fn publish_new(&self, record: &Record) -> Result<bool> {
        let Some((pool, share)) = self.sharing(record) else { return Ok(false) };
        let turn = share.turn(record.id);
        let _turn = turn.lock().await;
        let (author, id, body) = (share.author.clone(), record.id, body(record));
        let version = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let records = backend.records().ok_or_else(unshared)?;
                records.write(op, &author, id, None, &body)
            })
            .await?;
        share.note(id, &version, true);
        if (record.state.is_live() || matches!(record.state, State::Creating { .. }))
            && let Err(error) = claim(pool, share, record).await
        {
            withdraw(pool, share, record).await?;
            return Err(error);
        }
        Ok(true)
    }

    /// Makes a pool this host's, or one that several hosts share: then what this host
    /// knows of it becomes the pool's own records.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(in crate::engine) async fn take_over(&self, pool: &Pool) -> Result<()> {
        let Some(share) = pool.share() else { return pool.take_over().await };
        // No listing is believed before the records are there.
        let _reading = share.reading.lock().await;
        pool.take_over().await?;
        for volume in self.index.all() {
            let record = volume.record();
            if record.pool != pool.name || share.standing(record.id).is_some() {
                continue;
            }
            if read(pool, record.id).await?.is_none() {
                self.publish_new(&record).await?;
            }
        }
        Ok(())
    }

    /// The volume is gone, or never was.
    ///
    /// # Errors
    /// `Unavailable`; then it has to be said again.
    pub(in crate::engine) async fn unpublish(&self, record: &Record) -> Result<()> {
        let Some((pool, share)) = self.sharing(record) else { return Ok(()) };
        let turn = share.turn(record.id);
        let _turn = turn.lock().await;
        share.known().due.remove(&record.id);
        withdraw(pool, share, record).await
    }
}

/// Gives a volume its name in the pool.
async fn claim(pool: &Pool, share: &Share, record: &Record) -> Result<()> {
    let (author, id, name) = (share.author.clone(), record.id, record.name.clone());
    // Of this host's own removals it is known that they will not be taken back.
    let confirmed = {
        let known = share.known();
        let written = known.standings.iter().filter(|(_, standing)| standing.written);
        written.map(|(id, standing)| (*id, standing.basis.number)).collect::<Vec<_>>()
    };
    let claimed = pool
        .run(Op::new(time::CALL), move |backend, op| {
            let records = backend.records().ok_or_else(unshared)?;
            records.claim(op, &author, &name, id, &|version| {
                let own = |id: VolumeId| confirmed.contains(&(id, version.number));
                match serde_json::from_value::<Record>(version.body.clone()) {
                    Ok(record) => match record.state {
                        State::Removed { .. } => true,
                        State::Removing { .. } => own(record.id),
                        _ => false,
                    },
                    Err(_) => false,
                }
            })
        })
        .await;
    claimed.map_err(|error| match error.kind() {
        ErrorKind::Conflict => {
            Error::conflict(format!("a volume `{}` exists in pool `{}`", record.name, pool.name))
                .with_source(error)
                .with_hint("choose another name, or remove that volume first")
        }
        _ => error,
    })
}

/// Takes name and record away; the caller has the turn.
pub(super) async fn withdraw(pool: &Pool, share: &Share, record: &Record) -> Result<()> {
    let (author, id, name) = (share.author.clone(), record.id, record.name.clone());
    let standing = share.standing(id);
    let withdrawn = pool
        .run(Op::new(time::CALL), move |backend, op| {
            let records = backend.records().ok_or_else(unshared)?;
            let basis = match standing {
                Some(standing) => standing.basis,
                None => match records.read(op, id)? {
                    Some(version) => version.basis(),
                    None => return Ok(()),
                },
            };
            records.release(op, &author, &name, id)?;
            records.forget(op, &author, id, &basis).map(drop)
        })
        .await;
    share.doubt(id);
    if withdrawn.is_ok() {
        share.known().turns.remove(&id);
    }
    withdrawn
}

/// The record as it is in the pool.
pub(super) async fn read(pool: &Pool, id: VolumeId) -> Result<Option<Version>> {
    pool.run(Op::new(time::CALL), move |backend, op| {
        backend.records().ok_or_else(unshared)?.read(op, id)
    })
    .await
}

/// What the pool's record says.
pub(super) fn body(record: &Record) -> Value {
    serde_json::to_value(record).expect("a record is plain JSON")
}

/// The backend of a pool that is not shared after all.
pub(super) fn unshared() -> Error {
    Error::internal("the pool has no records of its own")
}

fn changed(record: &Record) -> Error {
    Error::conflict(format!("volume `{}` was just changed by another host", record.name))
        .with_hint("look at it again, then repeat the command")
}

/// Another host is in the middle of something.
pub(super) fn at_work(record: &Record, author: &Author) -> Error {
    let name = &record.name;
    let doing = match record.state {
        State::Creating { .. } => "being made",
        State::Removing { .. } | State::Removed { .. } => "being removed",
        _ => "being changed",
    };
    Error::unavailable(format!(
        "volume `{name}` is {doing} by the host `{}` ({})",
        author.name, author.host
    ))
    .with_hint(format!(
        "try again soon; if that host will not come back: \
         berth volume repair {name} --forget-host {}",
        author.host
    ))
}
