//! Reading backups back.

use std::{collections::BTreeMap, sync::Arc};

use berth_api::{Error, Op, Result};
use berth_vault::Id;

use super::{Repository, VERIFY, verbs};
use crate::{
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
    },
    view::{JobView, VerifyBackups},
};

impl Engine {
    /// Reads and checks all data of backups, as a job.
    ///
    /// # Errors
    /// As [`find_backup`](Self::find_backup). What is found later is the job's:
    /// `Corrupt` names the backups that are hurt.
    pub async fn verify_backups(self: &Arc<Self>, request: &VerifyBackups) -> Result<JobView> {
        let listing = self.listing_of_backups(request.repository.as_deref()).await?;
        let mut chosen: BTreeMap<String, (Arc<Repository>, Vec<Id>)> = BTreeMap::new();
        let mut add = |(repository, id): (Arc<Repository>, Id)| {
            let of = chosen.entry(repository.name.clone());
            of.or_insert_with(|| (repository, Vec::new())).1.push(id);
        };
        if request.ids.is_empty() {
            // All that there is: what does not answer cannot be passed over.
            if let Some(error) = listing.errors.into_iter().next() {
                return Err(error);
            }
            for (repository, backup) in listing.backups {
                add((repository, backup.id));
            }
        } else {
            for id in &request.ids {
                let (repository, backup) = listing.find(id)?;
                add((repository, backup.id));
            }
        }
        let job = self.jobs.start(VERIFY, None, None, Op::new(UNLIMITED));
        if let Some(name) = chosen.keys().next().filter(|_| chosen.len() == 1) {
            job.works_on(name);
        }
        let own = job.clone();
        tokio::spawn(async move {
            let verified = verify(chosen.into_values(), &own).await;
            own.end(verified.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }
}

/// Verifies in one repository after the other; all are looked at, whatever is found.
async fn verify(
    chosen: impl Iterator<Item = (Arc<Repository>, Vec<Id>)>,
    job: &Job,
) -> Result<String> {
    let (mut sound, mut errors) = (0, Vec::new());
    for (repository, ids) in chosen {
        job.op.check()?;
        let count = ids.len();
        let work = move |open: &_, op: &_| verbs::verify(open, op, &ids);
        match repository.work(job.op.clone(), work).await {
            Ok(()) => sound += count,
            Err(error) => errors.push(error),
        }
    }
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else {
        let backups = if sound == 1 { "backup is" } else { "backups are" };
        return Ok(format!("{sound} {backups} sound"));
    };
    Err(errors.fold(first, |first, next| {
        let text = format!("{}; {}", first.chain(), next.chain());
        Error::new(first.kind(), text)
    }))
}
