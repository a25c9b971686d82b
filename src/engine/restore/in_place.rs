//! A volume's content exchanged for that of its backup.
//!
//! As a rollback: restored beside and checked while it is written, then exchanged;
//! what was there becomes a snapshot. The record's rollback intent makes it survive a
//! crash: what was not exchanged yet is undone.

use std::sync::Arc;

use berth_api::{Backend, Error, ErrorKind, Op, Result};
use berth_vault::Backup;

use super::{
    RESTORE,
    create::{said, watched},
    filling::Filling,
    source::origin,
};
use crate::{
    catalog::{BackupOrigin, Record, Snapshot},
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
        rollback::{Other, exchangeable},
        snapshot::accessor,
        vacate::Vacated,
        vault::Repository,
        volume::{Life, Volume},
    },
    view::JobView,
};

impl Engine {
    /// Puts the content of a backup into the volume it was made of, as a job.
    ///
    /// # Errors
    /// `NotFound` if there is no such backup, or its volume is gone; `Busy` if that is
    /// in use or being copied; `Exhausted`, `Unavailable`. What goes wrong later is the
    /// job's; the content is then as it was.
    pub async fn restore_in_place(
        self: &Arc<Self>,
        id: &str,
        repository: Option<&str>,
    ) -> Result<JobView> {
        let (repository, backup) = self.find_backup(id, repository).await?;
        let volume = self.volume_of_backup(&backup)?;
        exchangeable(&volume, "berth backup restore ID NEW_VOLUME")?;
        let vacated = self.vacated(&volume).await?;
        if !vacated.pool.has_snapshots() {
            let text = format!("pool `{}` cannot exchange content", vacated.pool.name);
            return Err(Error::unsupported(text).with_hint("restore it into a new volume"));
        }
        let from = origin(&repository, &backup);
        let record = volume.record();
        self.check_fits(&from, &vacated.pool, &record.options).await?;
        let of = Some((volume.id, record.name.to_string()));
        let job = self.jobs.start(RESTORE, of, Some(&vacated.pool.name), Op::new(UNLIMITED));
        job.works_on(&repository.name);
        job.op.set_total(from.size);
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let done = engine.put_back(&vacated, &repository, &from, &own).await;
            vacated.volume.write(|life| life.waiting = None);
            own.end(done.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }

    async fn put_back(
        self: &Arc<Self>,
        vacated: &Vacated,
        repository: &Arc<Repository>,
        from: &BackupOrigin,
        job: &Job,
    ) -> Result<String> {
        let Vacated { volume, pool, .. } = vacated;
        let filling = Arc::new(Filling::new(repository.clone(), from.backup));
        let other = Other {
            to: None,
            prefix: "before-restore-",
            like: format!("backup `{}` shows it", from.backup.short()),
            put: move |backend: &dyn Backend, op: &Op, record: &Record, kept: &Snapshot| {
                let fill = |op: &Op, target: berth_api::Target<'_>| filling.fill(op, target);
                let snapshots = accessor(backend)?;
                snapshots.replace(op, &record.handle, &kept.handle, &kept.sidecar, &fill)
            },
        };
        watched(volume, &job.op, &said(from), self.exchange(volume, pool, other, job)).await
    }

    /// The volume that a backup was made of, by its id: another one of its name is not
    /// that one.
    fn volume_of_backup(&self, backup: &Backup) -> Result<Arc<Volume>> {
        let label = &backup.label;
        let live = self.index.by_id(label.volume_id);
        let live = live.filter(|volume| volume.read(Life::is_live));
        live.ok_or_else(|| {
            let gone = Error::new(
                ErrorKind::NotFound,
                format!(
                    "volume `{}` ({}), which backup `{}` is of, is not here",
                    label.volume,
                    label.volume_id,
                    backup.id.short()
                ),
            );
            let id = backup.id.short();
            gone.with_hint(format!(
                "restore it into a new volume: berth backup restore {id} NEW_VOLUME"
            ))
        })
    }
}
