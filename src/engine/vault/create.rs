//! A backup of a volume.
//!
//! ```text
//! repository at hand ─▶ origin (snapshot, temporary snapshot, live) ─▶ vault: data, index, snapshot file
//!                                                                      ─▶ temporary removed ─▶ last backup noted
//! ```
//! Nothing of it is undone after a crash: what was uploaded is found by the next
//! backup, and a backup without its snapshot file is none.

use std::{collections::BTreeMap, sync::Arc};

use berth_api::{Bytes, Op, Options, PolicyName, Result, SnapshotName};
use berth_vault::{
    Backup,
    backup::{Description, Label, Mode, Request, description::Content},
};

use super::{BACKUP, Repository, source::Origin, verbs};
use crate::{
    catalog::Record,
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
        pool::Pool,
        snapshot::find,
        time,
        volume::Volume,
    },
    view::{CreateBackup, JobView},
};

/// A backup as it is asked for.
#[derive(Debug)]
pub(in crate::engine) struct Order {
    /// Of this snapshot; of the volume as it is without.
    pub(in crate::engine) snapshot: Option<SnapshotName>,
    /// The policy that asks, which also removes it one day.
    pub(in crate::engine) policy: Option<PolicyName>,
}

impl Engine {
    /// Backs up a volume or a snapshot of it, as a job whose outcome is the backup's
    /// id.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`. What goes wrong later is the job's.
    pub fn create_backup(
        self: &Arc<Self>,
        volume: &str,
        request: &CreateBackup,
    ) -> Result<JobView> {
        self.writable()?;
        let volume = self.index.find(volume)?;
        let snapshot: Option<SnapshotName> =
            request.snapshot.as_deref().map(str::parse).transpose()?;
        if let Some(name) = &snapshot {
            find(&volume, name.as_str())?;
        }
        let repository = self.repositories.chosen(request.repository.as_deref())?.clone();
        let order = Order { snapshot, policy: None };
        self.begin_backup(&volume, &repository, order).map(|job| job.view())
    }

    /// Begins to back a volume up; the job's outcome is the backup's id.
    ///
    /// # Errors
    /// `Unavailable` if its pool is not configured. What goes wrong later is the job's.
    pub(in crate::engine) fn begin_backup(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        repository: &Arc<Repository>,
        order: Order,
    ) -> Result<Arc<Job>> {
        let record = volume.record();
        let pool = self.configured(&record.pool)?;
        let of = Some((volume.id, record.name.to_string()));
        let job = self.jobs.start(BACKUP, of, Some(&pool.name), Op::new(UNLIMITED));
        job.works_on(&repository.name);
        let (engine, volume, repository) = (self.clone(), volume.clone(), repository.clone());
        let own = job.clone();
        tokio::spawn(async move {
            let made = engine.back_up(&volume, &pool, &repository, &order, &own).await;
            if let Err(error) = &made {
                tracing::warn!(
                    volume = %volume.record().name,
                    repository = repository.name,
                    error = %error.chain(),
                    "backup failed"
                );
            }
            own.end(made.as_ref().map(|backup| backup.id.to_string()));
        });
        Ok(job)
    }

    async fn back_up(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        repository: &Arc<Repository>,
        order: &Order,
        job: &Job,
    ) -> Result<Backup> {
        pool.ready().await?;
        if let Some(note) = self.at_hand(repository).await? {
            job.note_too(&note);
        }
        let origin = self.origin_for_backup(volume, pool, order.snapshot.as_ref(), job).await?;
        let made = self.write_backup(volume, pool, repository, (order, &origin), job).await;
        if let Some(entry) = &origin.temporary {
            self.remove_temporary(volume, pool, entry).await;
        }
        let backup = made?;
        self.remember_last(volume, repository, &backup);
        job.note_too(&summary(&backup));
        Ok(backup)
    }

    async fn write_backup(
        &self,
        volume: &Volume,
        pool: &Pool,
        repository: &Arc<Repository>,
        (order, origin): (&Order, &Origin),
        job: &Job,
    ) -> Result<Backup> {
        let record = volume.record();
        let request = self.request(&record, order, origin);
        let (handle, snapshot) = (record.handle, origin.snapshot.clone());
        let content = pool
            .run(Op::new(time::CALL), move |backend, op| {
                verbs::content(backend, op, &handle, snapshot.as_ref())
            })
            .await?;
        let (live, id) = (origin.snapshot.is_none(), volume.id);
        repository
            .work(job.op.clone(), move |open, op| {
                verbs::back_up(open, op, &request, content, live, id)
            })
            .await
    }

    fn request(&self, record: &Record, order: &Order, origin: &Origin) -> Request {
        let label = Label {
            volume: record.name.clone(),
            volume_id: record.id,
            snapshot: origin.name.clone(),
            snapshot_id: origin.id,
            consistency: origin.consistency,
            // How much is read turns out.
            mode: Mode::Full,
            bytes_read: 0,
            host: self.host_name.clone(),
            host_id: self.host.to_string(),
            pool: record.pool.clone(),
            policy: order.policy.clone(),
        };
        let description = Description {
            version: 1,
            name: record.name.clone(),
            id: record.id,
            created: record.created,
            given: record.given.clone(),
            options: as_given(&record.options),
            pool: record.pool.clone(),
            backend: record.backend.clone(),
            host: self.host_name.clone(),
            host_id: self.host.to_string(),
            content: Content::Tree,
        };
        Request { label, description, created: origin.created }
    }
}

/// `incremental: 4 MiB of 2 GiB read, 3 MiB stored`
fn summary(backup: &Backup) -> String {
    format!(
        "{}: {} of {} read, {} stored",
        backup.label.mode.as_str(),
        Bytes(backup.label.bytes_read),
        Bytes(backup.size),
        Bytes(backup.bytes_added)
    )
}

/// Options in force, as `KEY=VALUE` would give them.
fn as_given(options: &Options) -> BTreeMap<String, String> {
    let value = serde_json::to_value(options).expect("options are plain JSON");
    let pairs = value.as_object().into_iter().flatten().filter_map(|(key, value)| {
        let text = match value {
            serde_json::Value::Null => return None,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((key.clone(), text))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_force_can_be_given_again() {
        let given = [("size", "10G"), ("uid", "7"), ("mode", "0750"), ("policy", "a+b")];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let options = Options::parse(&given).expect("valid");
        assert_eq!(Options::parse(&as_given(&options)).expect("valid"), options);
    }
}
