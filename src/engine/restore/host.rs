//! All volumes of a host that was lost, under their names and with their options.
//!
//! One job over all, and the create's own job for each volume. What fails for one is
//! told at the end, and the others are restored. A restart ends the job over all; what
//! was begun goes on, and the next run leaves it alone.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use berth_api::{Context as _, Error, Op, Options, Result, VolumeName, options};
use berth_vault::{Backup, backup::Description, restore};
use tokio::time::Instant;

use super::{
    RESTORE,
    source::{answered, origin},
};
use crate::{
    catalog::MadeFrom,
    engine::{
        Engine,
        create::{CREATE, Wanted},
        jobs::{Job, UNLIMITED},
        pool::Pool,
        vault::{Listing, Repository},
    },
    view::{JobState, JobView},
};

/// How often the job over all says how far it is.
const TICK: Duration = Duration::from_millis(500);
/// How many hosts a refusal names.
const SHOWN: usize = 10;

/// The newest backup of each volume of a host.
type Plan = BTreeMap<VolumeName, (Arc<Repository>, Backup)>;

/// What became of one volume.
enum Fate {
    Restored { note: Option<String> },
    LeftAlone { state: &'static str },
    Failed(Error),
}

impl Engine {
    /// Restores the newest backup of each volume that was backed up on `host` (its
    /// name or id), as a job. Volumes that are there are left alone.
    ///
    /// # Errors
    /// `NotFound` if there are no backups of that host; `Unavailable` if a repository
    /// does not answer: a newer backup may be in it. What goes wrong later is the
    /// job's.
    pub async fn restore_host(
        self: &Arc<Self>,
        host: &str,
        repository: Option<&str>,
    ) -> Result<JobView> {
        self.writable()?;
        let listing = self.listing_of_backups(repository).await?;
        answered(&listing)?;
        let plan = plan(&listing, host)?;
        let job = self.jobs.start(RESTORE, None, None, Op::new(UNLIMITED));
        if let Some(repository) = repository {
            job.works_on(repository);
        }
        job.op.set_total(plan.values().map(|(_, backup)| backup.size).sum());
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let done = engine.restore_each(plan, &own).await;
            own.end(done.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }

    async fn restore_each(self: &Arc<Self>, plan: Plan, job: &Job) -> Result<String> {
        let (mut told, mut failed) = (String::new(), Vec::new());
        let count = plan.len();
        for (volume, (repository, backup)) in plan {
            let id = backup.id.short();
            let fate = self.restore_one(&volume, &repository, backup, job).await;
            match fate.unwrap_or_else(Fate::Failed) {
                Fate::Restored { note } => {
                    let note = note.map_or_else(String::new, |note| format!(" ({note})"));
                    let _ = writeln!(told, "{volume}: restored from backup {id}{note}");
                }
                Fate::LeftAlone { state } => {
                    let _ = writeln!(told, "{volume}: left alone, it is there ({state})");
                }
                Fate::Failed(error) => {
                    let _ = writeln!(told, "{volume}: not restored: {}", error.chain());
                    failed.push((volume, error));
                }
            }
            job.says(told.trim_end());
        }
        let Some((_, first)) = failed.first() else { return Ok(told.trim_end().to_owned()) };
        let names: Vec<_> = failed.iter().map(|(volume, _)| format!("`{volume}`")).collect();
        let text =
            format!("{} of {count} volumes not restored: {}", failed.len(), names.join(", "));
        Err(Error::new(first.kind(), text).with_hint(
            "run it again: what is there is left alone; `berth volume rm` clears a faulty one first",
        ))
    }

    async fn restore_one(
        self: &Arc<Self>,
        volume: &VolumeName,
        repository: &Arc<Repository>,
        backup: Backup,
        job: &Job,
    ) -> Result<Fate> {
        job.op.check()?;
        if let Some(there) = self.index.live(volume) {
            job.op.advance(backup.size, 0);
            return Ok(Fate::LeftAlone { state: there.record().state.as_str() });
        }
        let from = origin(repository, &backup);
        let size = backup.size;
        let description = repository
            .work(job.op.clone(), move |open, op| {
                let index = open.index(op)?;
                restore::description(open, op, &index, &backup)
            })
            .await?;
        let (pool, note) = self.pool_of(&description)?;
        let kept = |all: &BTreeMap<String, String>| fitting(all, &pool.config.backend);
        let given = options::normalise(&kept(&description.given));
        let given = given.context(|| "the volume's options")?;
        let options = Options::parse(&kept(&description.options));
        let options = options.context(|| "the volume's options")?;
        let origin = Some(MadeFrom::Backup(from));
        let wanted = Wanted { name: volume.clone(), pool, origin, given, options };
        let passenger = self.board_create(wanted);
        passenger.wait(Instant::now() + UNLIMITED).await.unwrap_or(Ok(()))?;
        self.accompany(volume, size, job).await?;
        Ok(Fate::Restored { note })
    }

    /// Waits for the create of a volume, and counts what it does.
    async fn accompany(&self, name: &VolumeName, size: u64, job: &Job) -> Result<()> {
        let live = self.index.live(name);
        let Some(own) = live.and_then(|volume| self.jobs.latest_of(volume.id, CREATE)) else {
            job.op.advance(size, 0);
            return Ok(());
        };
        let mut counted = 0;
        let ended = loop {
            let view = own.wait(TICK).await;
            // It begins anew when the repository was away.
            let done = view.progress.bytes_done.min(size).max(counted);
            job.op.advance(done - counted, 0);
            counted = done;
            if view.state.is_final() {
                break view;
            }
            job.waits(view.waiting.map(|waiting| format!("{name}: {waiting}")));
            if job.op.is_cancelled() {
                own.op.cancel();
            }
        };
        job.waits(None);
        job.op.advance(size - counted, ended.progress.files_done);
        match (ended.state, ended.error) {
            (JobState::Done, _) => Ok(()),
            (_, error) => {
                let kind = ended.error_kind.unwrap_or(berth_api::ErrorKind::Internal);
                Err(Error::new(kind, error.unwrap_or_else(|| "it does not say why".to_owned())))
            }
        }
    }

    /// Its pool here, and what to say if it is another one than it was in.
    fn pool_of(&self, description: &Description) -> Result<(Arc<Pool>, Option<String>)> {
        if let Some(pool) = self.pools.get(&description.pool) {
            return Ok((pool.clone(), None));
        }
        let pool = self.pool_for(None)?;
        let was: String = description.pool.chars().take(40).flat_map(char::escape_debug).collect();
        let note = format!("in pool `{}`: there is no pool `{was}` here", pool.name);
        Ok((pool, Some(note)))
    }
}

/// The options that a restored volume can have in a pool of this backend. A directory
/// of others is not written over: what it held becomes a volume's own.
fn fitting(all: &BTreeMap<String, String>, backend: &str) -> BTreeMap<String, String> {
    let fits = |key: &str| match key {
        "subdir" => false,
        "mount-options" => backend == "nfs",
        _ => true,
    };
    all.iter()
        .filter(|(key, _)| fits(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The newest backup of each volume of a host.
///
/// # Errors
/// `NotFound` if there are none.
fn plan(listing: &Listing, host: &str) -> Result<Plan> {
    let of = |backup: &Backup| backup.label.host == host || backup.label.host_id == host;
    // Oldest first, so that the newest stays.
    let plan: Plan = listing
        .backups
        .iter()
        .filter(|(_, backup)| of(backup))
        .map(|(repository, backup)| {
            (backup.label.volume.clone(), (repository.clone(), backup.clone()))
        })
        .collect();
    if !plan.is_empty() {
        return Ok(plan);
    }
    let mut hosts: Vec<_> =
        listing.backups.iter().map(|(_, backup)| backup.label.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.truncate(SHOWN);
    let shown: String = host.chars().take(70).flat_map(char::escape_debug).collect();
    let error = Error::not_found(format!("no backup was made on host `{shown}`"));
    Err(if hosts.is_empty() {
        error.with_hint("there are no backups: see `berth backup ls`")
    } else {
        error.with_hint(format!("there are backups of: {}", hosts.join(", ")))
    })
}
