//! Where records of volumes are written: the one place that knows where the
//! truth of a pool's records lies.
//!
//! Of pools that several hosts share the truth lies in the pool, and is written
//! there first (`shared`); of all others it is the catalog.
//!
//! An *intent* is committed before anything happens, an *outcome* follows with a
//! later commit (`state.md`). Callers have the volume's lock, so that no two of
//! them write one record at a time.

use std::sync::Arc;

use berth_api::Result;

use super::{Engine, volume::Volume};
use crate::{
    catalog::{self, Record, State},
    database::Transaction,
    journal,
};

impl Engine {
    /// Writes an intent and answers when it is on stable storage; the volume in
    /// memory follows.
    ///
    /// # Errors
    /// Nothing has changed then, on disk or in memory.
    pub(super) async fn commit(&self, volume: &Arc<Volume>, record: Record) -> Result<()> {
        let published = self.publish(volume, &record).await?;
        let row = record.clone();
        self.write(published, move |tx| catalog::put_volume(tx, &row)).await?;
        // In memory it is already, if it was published.
        if !published {
            volume.write(|life| life.record = record);
        }
        self.index.file(volume);
        Ok(())
    }

    /// [`commit`](Self::commit) of a removal: the references go with it.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) async fn commit_removal(&self, volume: &Arc<Volume>, record: Record) -> Result<()> {
        let published = self.publish(volume, &record).await?;
        let row = record.clone();
        let step = move |tx: &Transaction<'_>| {
            catalog::put_volume(tx, &row)?;
            journal::delete_references_of(tx, row.id)
        };
        self.write(published, step).await?;
        volume.write(|life| {
            if !published {
                life.record = record;
            }
            life.references.clear();
        });
        self.index.file(volume);
        Ok(())
    }

    /// Writes the record of a volume that is not in memory yet.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) async fn store(&self, record: &Record) -> Result<()> {
        let published = self.publish_new(record).await?;
        let row = record.clone();
        self.write(published, move |tx| catalog::put_volume(tx, &row)).await
    }

    /// Commits `step` to the catalog. Where the truth was `published` in a shared
    /// pool the catalog is a replica, which follows as soon as it can.
    async fn write<F>(&self, published: bool, step: F) -> Result<()>
    where
        F: Fn(&Transaction<'_>) -> rusqlite::Result<()> + Clone + Send + 'static,
    {
        match self.writer.commit(step.clone()).await {
            Err(error) if published => {
                tracing::error!(error = %error.chain(), "write the replica");
                self.writer.later(step);
                Ok(())
            }
            other => other,
        }
    }

    /// Takes the record of an unaccepted create back, durably.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) async fn unstore(&self, volume: &Volume) -> Result<()> {
        self.unpublish(&volume.record()).await?;
        let id = volume.id.to_string();
        self.writer.commit(move |tx| catalog::delete_volume(tx, &id)).await
    }

    /// Records an outcome: at once in memory, with the next commit on disk.
    pub(super) fn settle(&self, volume: &Arc<Volume>, state: State) {
        self.amend(volume, |record| {
            record.state = state;
            record.unsettled = false;
            record.origin = None;
        });
        volume.write(|life| life.failures = 0);
        if volume.read(|life| !life.record.options.policy.is_empty()) {
            self.policies.look();
        }
    }

    /// [`settle`](Self::settle) of something else than the state. Nothing if the
    /// volume is gone: whoever comes too late does not bring its record back.
    pub(super) fn amend(&self, volume: &Arc<Volume>, change: impl FnOnce(&mut Record)) {
        let amended = volume.write(|life| {
            change(&mut life.record);
            (!life.gone).then(|| life.record.clone())
        });
        let Some(record) = amended else { return };
        self.index.file(volume);
        self.publish_later(&record);
        self.writer.later(move |tx| catalog::put_volume(tx, &record));
    }

    /// The volume is gone; its row goes with the next commit.
    pub(super) fn forget(&self, volume: &Volume) {
        volume.write(|life| life.gone = true);
        self.index.forget(volume);
        self.unpublish_later(volume.record());
        let id = volume.id;
        self.writer.later(move |tx| {
            journal::delete_last_backup(tx, id)?;
            journal::delete_policies_of(tx, id)?;
            catalog::delete_volume(tx, &id.to_string())
        });
        tracing::info!(volume = %volume.record().name, id = %volume.id, "gone");
    }
}
