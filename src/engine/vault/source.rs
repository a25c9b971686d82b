//! What a backup is made from: a snapshot that was named, one that is taken for it,
//! or the live content.
//!
//! A temporary snapshot is taken where that costs nothing: at once, or sharing the
//! data. Where it would be a copy the content is read as it is.

use std::sync::Arc;

use berth_api::{Consistency, Handle, Method, Op, Result, SnapshotId, SnapshotName};
use jiff::Timestamp;

use crate::{
    catalog::{self, Snapshot},
    engine::{
        Engine, clock,
        clone::Source,
        jobs::Job,
        pool::Pool,
        snapshot::{accessor, find},
        time,
        volume::Volume,
    },
};

/// Content that stays as long as this lives.
#[derive(Debug)]
pub(super) struct Origin {
    /// The snapshot that is read; the live content without.
    pub(super) snapshot: Option<Handle>,
    /// Its id.
    pub(super) id: Option<SnapshotId>,
    /// Its name, if somebody named it.
    pub(super) name: Option<SnapshotName>,
    /// When the content was so.
    pub(super) created: Timestamp,
    /// What can be said of that moment.
    pub(super) consistency: Consistency,
    /// Taken for the backup, and to be removed.
    pub(super) temporary: Option<Snapshot>,
    _source: Source,
}

impl Engine {
    /// What the backup is made from. The caller ends it with
    /// [`remove_temporary`](Self::remove_temporary), whatever happens.
    ///
    /// # Errors
    /// `NotFound` if the snapshot is gone; `Busy` if the content is being taken away;
    /// those of taking a snapshot.
    pub(super) async fn origin_for_backup(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        named: Option<&SnapshotName>,
        job: &Job,
    ) -> Result<Origin> {
        let of = |snapshot| catalog::Origin { volume: volume.id, snapshot };
        if let Some(name) = named {
            let entry = find(volume, name.as_str())?;
            let source = self.source(&of(Some(entry.sidecar.id))).await?;
            return Ok(Origin { name: Some(name.clone()), ..snapshot(entry, source) });
        }
        // It stays while its snapshot is read, too: with the volume goes the snapshot.
        let source = self.source(&of(None)).await?;
        if self.costs_nothing(volume, pool).await? {
            let entry = self.take_temporary(volume, pool, job).await?;
            return Ok(Origin { temporary: Some(entry.clone()), ..snapshot(entry, source) });
        }
        job.note_too(
            "the volume is read as it is: its file system cannot share data, so that no snapshot \
             is taken first; name one for a backup of one moment",
        );
        Ok(Origin {
            snapshot: None,
            id: None,
            name: None,
            created: clock::now(),
            consistency: Consistency::Live,
            temporary: None,
            _source: source,
        })
    }

    async fn costs_nothing(&self, volume: &Volume, pool: &Pool) -> Result<bool> {
        if !pool.has_snapshots() {
            return Ok(false);
        }
        let handle = volume.record().handle;
        let estimate = pool
            .run(Op::new(time::CALL), move |backend, op| {
                let origin = berth_api::Origin { volume: &handle, snapshot: None };
                accessor(backend)?.estimate(op, origin, false)
            })
            .await?;
        Ok(estimate.method != Method::Copy)
    }
}

fn snapshot(entry: Snapshot, source: Source) -> Origin {
    Origin {
        id: Some(entry.sidecar.id),
        name: None,
        created: entry.sidecar.created,
        consistency: entry.sidecar.consistency,
        snapshot: Some(entry.handle),
        temporary: None,
        _source: source,
    }
}
