//! Long work on whole repositories: check, prune, copy. Each is a job.

use std::sync::Arc;

use berth_api::{Error, Op, Result};
use jiff::Timestamp;

use super::{CHECK, COPY, PRUNE, Repository, repository::CALL, verbs};
use crate::{
    engine::{
        Engine, clock,
        jobs::{Job, UNLIMITED},
    },
    view::{CheckRepository, CopyBackups, JobView, PruneRepository},
};

impl Engine {
    /// Checks that a repository is whole.
    ///
    /// # Errors
    /// `NotFound`. What is found is the job's: `Corrupt` names the backups hurt.
    pub fn check_repository(
        self: &Arc<Self>,
        name: Option<&str>,
        request: &CheckRepository,
    ) -> Result<JobView> {
        let read_data = request.read_data;
        self.maintain(CHECK, name, move |repository, job| async move {
            let work = move |open: &_, op: &_| verbs::check(open, op, read_data);
            let found = repository.work(job.op.clone(), work).await?;
            repository.remember(|row| {
                row.checked = Some(Timestamp::now());
                row.problems = found.problems;
            });
            match (found.problems, found.hint) {
                (0, _) => Ok(found.text),
                (_, Some(hint)) => Err(Error::corrupt(found.text).with_hint(hint)),
                (_, None) => Err(Error::corrupt(found.text)),
            }
        })
        .map(|job| job.view())
    }

    /// Frees what no backup needs.
    ///
    /// # Errors
    /// `NotFound`. `Busy` is the job's if the repository is locked.
    pub fn prune_repository(
        self: &Arc<Self>,
        name: Option<&str>,
        request: &PruneRepository,
    ) -> Result<JobView> {
        self.writable()?;
        let dry_run = request.dry_run;
        self.begin_prune(name, dry_run).map(|job| job.view())
    }

    /// Begins to prune.
    ///
    /// # Errors
    /// As [`prune_repository`](Self::prune_repository).
    pub(in crate::engine) fn begin_prune(
        self: &Arc<Self>,
        name: Option<&str>,
        dry_run: bool,
    ) -> Result<Arc<Job>> {
        self.maintain(PRUNE, name, move |repository, job| async move {
            let work = move |open: &_, op: &_| verbs::prune(open, op, dry_run);
            let outcome = repository.work(job.op.clone(), work).await?;
            if !dry_run {
                repository.remember(|row| {
                    row.pruned = Some(clock::now());
                    row.forgotten = false;
                });
            }
            Ok(outcome)
        })
    }

    /// Copies backups into another repository; those that are there already are
    /// passed over.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` if both are the same.
    pub async fn copy_backups(
        self: &Arc<Self>,
        name: Option<&str>,
        request: &CopyBackups,
    ) -> Result<JobView> {
        self.writable()?;
        let from = self.repositories.chosen(name)?;
        let to = self.repositories.find(&request.to)?.clone();
        if from.name == to.name {
            let text = format!("`{}` is the repository that is copied from", to.name);
            return Err(Error::invalid(text).with_hint("say another one with --to NAME"));
        }
        let listing = self.listing_of_backups(Some(&from.name)).await?;
        if let Some(error) = listing.errors.into_iter().next() {
            return Err(error);
        }
        let listing = super::list::Listing { backups: listing.backups, errors: Vec::new() };
        let ids = if request.ids.is_empty() {
            listing.backups.iter().map(|(_, backup)| backup.id).collect::<Vec<_>>()
        } else {
            let found = request.ids.iter().map(|id| listing.find(id).map(|found| found.1.id));
            found.collect::<Result<_>>()?
        };
        let target = to.call(Op::new(CALL), |open, _| Ok(open.clone())).await?;
        self.maintain(COPY, Some(&from.name), move |repository, job| async move {
            let work = move |open: &_, op: &_| verbs::copy(open, &target, op, &ids);
            repository.work(job.op.clone(), work).await
        })
        .map(|job| job.view())
    }

    fn maintain<F, W>(self: &Arc<Self>, kind: &str, name: Option<&str>, work: W) -> Result<Arc<Job>>
    where
        F: Future<Output = Result<String>> + Send,
        W: FnOnce(Arc<Repository>, Arc<Job>) -> F + Send + 'static,
    {
        let repository = self.repositories.chosen(name)?.clone();
        let job = self.jobs.start(kind, None, None, Op::new(UNLIMITED));
        job.works_on(&repository.name);
        let own = job.clone();
        tokio::spawn(async move {
            let outcome = work(repository, own.clone()).await;
            own.end(outcome.as_ref().map(Clone::clone));
        });
        Ok(job)
    }
}
