//! Putting what a shared pool says in the place of what is known.

use std::{sync::Arc, time::Instant};

use berth_api::{
    Error, Handle, Result, Sidecar, VolumeId,
    records::{Basis, Version},
};

use super::{Share, Standing};
use crate::{
    catalog::{self, Record, State},
    engine::{Engine, pool::Pool, recover::LOAD, volume::Life, volume::Volume},
};

/// The record that a version holds, as one of this host's pool.
///
/// # Errors
/// `Corrupt` if it is none, or another volume's.
pub(super) fn parse(pool: &Pool, version: &Version) -> Result<Record> {
    let mut record: Record = serde_json::from_value(version.body.clone())
        .map_err(|source| Error::corrupt("it is no record of a volume").with_source(source))?;
    let sound = pool.records().is_none_or(|records| records.is_of(record.id, &record.handle));
    if !sound {
        return Err(Error::corrupt("its handle is of another volume"));
    }
    // Hosts may call one pool by different names.
    record.pool.clone_from(&pool.name);
    record.pool_id = pool.id();
    record.backend.clone_from(&pool.config.backend);
    Ok(record)
}

/// Whether a record has the name that its volume is known by, if it is known: no volume
/// changes its name, and somebody else's would be taken.
fn is_called(known: Option<&Arc<Volume>>, record: &Record) -> bool {
    known.is_none_or(|volume| volume.read(|life| life.record.name == record.name))
}

/// A version that cannot be read.
#[derive(Debug)]
pub(super) struct Damage {
    /// Its number; 0 if not even that can be told.
    pub(super) number: u64,
    /// What is wrong with it.
    pub(super) error: Error,
}

impl Engine {
    /// Learns one changed record, unless something is being done with the volume
    /// here: then the next reading brings it.
    pub(super) fn learn(
        self: &Arc<Self>,
        pool: &Arc<Pool>,
        share: &Share,
        id: VolumeId,
        version: Result<Version, Damage>,
        sidecar: Option<&(Sidecar, Handle)>,
    ) {
        let turn = share.turn(id);
        let Ok(_turn) = turn.try_lock() else { return };
        if share.owes(id) {
            return;
        }
        let known = self.index.by_id(id);
        let _lock = match &known {
            Some(volume) => match volume.try_lock() {
                Some(lock) => Some(lock),
                None => return,
            },
            None => None,
        };
        let parsed = version.and_then(|version| match parse(pool, &version) {
            Ok(record) if record.id == id && is_called(known.as_ref(), &record) => {
                Ok((version, record))
            }
            Ok(_) => {
                let error = Error::corrupt("it is of another volume, or has another name");
                Err(Damage { number: version.number, error })
            }
            Err(error) => Err(Damage { number: version.number, error }),
        });
        match parsed {
            Ok((version, record)) => {
                let stale = share
                    .standing(id)
                    .is_some_and(|standing| standing.basis.number >= version.number);
                if stale && !known.as_ref().is_some_and(|volume| volume.read(Life::is_damaged)) {
                    return;
                }
                share.note(id, &version, false);
                let volume = self.adopt_record(known, record);
                self.take_up(pool, share, &volume);
            }
            Err(damage) => self.learn_damage(pool, share, id, &damage, known, sidecar),
        }
    }

    /// Puts a record that was read in the place of the one in memory. The caller
    /// has the lock of a volume that is known.
    pub(super) fn adopt_record(&self, known: Option<Arc<Volume>>, record: Record) -> Arc<Volume> {
        // A create that another host may still undo is not remembered.
        if !matches!(record.state, State::Creating { accepted: false }) {
            let row = record.clone();
            self.writer.later(move |tx| catalog::put_volume(tx, &row));
        }
        let volume = match known {
            Some(volume) => {
                volume.write(|life| {
                    // Until recovery has looked, a create may have been answered.
                    life.unproven &= matches!(record.state, State::Creating { .. });
                    life.record = record;
                });
                volume
            }
            None => Volume::new(record),
        };
        // The volume that this host knew first keeps a name that two pools have.
        self.index.file_unless_taken(&volume);
        volume
    }

    /// What this host began, and has not in memory, is taken up.
    fn take_up(self: &Arc<Self>, pool: &Arc<Pool>, share: &Share, volume: &Arc<Volume>) {
        if !share.is_own(volume.id) || !volume.read(|life| super::is_in_flux(&life.record)) {
            return;
        }
        let (engine, pool, volume) = (self.clone(), pool.clone(), volume.clone());
        tokio::spawn(async move {
            let lock = volume.lock().await;
            if let Err(error) = engine.recover(&volume, &pool, lock).await {
                tracing::info!(volume = %volume.record().name, error = %error.chain(), "recover");
            }
        });
    }

    fn learn_damage(
        &self,
        pool: &Pool,
        share: &Share,
        id: VolumeId,
        Damage { number, error }: &Damage,
        known: Option<Arc<Volume>>,
        sidecar: Option<&(Sidecar, Handle)>,
    ) {
        let standing = Standing {
            basis: Basis::unread(*number),
            author: None,
            written: false,
            since: Instant::now(),
        };
        share.known().standings.insert(id, standing);
        if known.as_ref().is_some_and(|volume| volume.read(Life::is_damaged)) {
            return;
        }
        tracing::error!(%id, pool = pool.name, error = %error.chain(), "damaged record");
        let state = State::Faulty { during: LOAD.to_owned(), error: error.chain() };
        let record = match (&known, sidecar) {
            (Some(volume), _) => Record { state, ..volume.record() },
            (None, Some((sidecar, handle))) => {
                Record::of(sidecar.clone(), pool.place(), handle.clone(), state)
            }
            // Nobody knows its name: it concerns no volume that can be asked for.
            (None, None) => return,
        };
        self.adopt_record(known, record);
    }
}
