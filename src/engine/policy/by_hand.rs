//! `policy run`: at once what a policy asks for, whatever its schedule says.
//!
//! The schedule goes on as if nothing had been: what is made by hand is one more. It is
//! marked as all others are, so that it is removed with them.

use std::{fmt::Write as _, sync::Arc};

use berth_api::{Error, Op, PolicyName, Result, options::nearest};

use super::{carry::Ready, make::ended, round::schedule};
use crate::{
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
        snapshot::{Order, unused_name},
    },
    journal::{Kind, Task},
    view::JobView,
};

/// The kind of its jobs.
const POLICY: &str = "policy";

impl Engine {
    /// Does now what a policy (all of them without a name) asks for, of all its volumes,
    /// as a job. Its outcome has `VOLUME@NAME` of each snapshot and the id of each backup,
    /// a line each; what one volume fails with does not hold up the others.
    ///
    /// # Errors
    /// `NotFound`. What goes wrong later is the job's.
    pub fn run_policy(self: &Arc<Self>, name: Option<&str>) -> Result<JobView> {
        self.writable()?;
        let policies = self.chosen_policies(name)?;
        let job = self.jobs.start(POLICY, None, None, Op::new(UNLIMITED));
        let (engine, own) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let done = engine.run_each(&policies, &own).await;
            own.end(done.as_ref().map(Clone::clone));
        });
        Ok(job.view())
    }

    /// The policy of that name, or all.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn chosen_policies(&self, name: Option<&str>) -> Result<Vec<PolicyName>> {
        let known = &self.setup.config.policies;
        let Some(name) = name else { return Ok(known.keys().cloned().collect()) };
        if let Some((name, _)) = known.iter().find(|(known, _)| known.as_str() == name) {
            return Ok(vec![name.clone()]);
        }
        let shown: String = name.chars().take(40).collect();
        let error = Error::not_found(format!("no such policy: `{}`", shown.escape_debug()));
        Err(match nearest(name, known.keys().map(PolicyName::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => error.with_hint("add [policies.NAME] to the configuration"),
            None => error.with_hint("`berth policy ls` lists them"),
        })
    }

    /// What these policies make, by policy and volume: snapshots before backups.
    pub(super) fn all_of(&self, policies: &[PolicyName]) -> Vec<Ready> {
        let mut all = Vec::new();
        for name in policies {
            let Some(policy) = self.setup.config.policies.get(name) else { continue };
            for volume in self.index.all_live() {
                if !volume.read(|life| life.record.options.policy.contains(name)) {
                    continue;
                }
                for kind in [Kind::Snapshot, Kind::Backup] {
                    if schedule(policy, kind).is_some() {
                        let task = Task { volume: volume.id, policy: name.clone(), kind };
                        let (volume, policy) = (volume.clone(), policy.clone());
                        all.push(Ready { task, volume, policy });
                    }
                }
            }
        }
        all
    }

    async fn run_each(self: &Arc<Self>, policies: &[PolicyName], job: &Job) -> Result<String> {
        let (mut told, mut failed) = (String::new(), Vec::new());
        let all = self.all_of(policies);
        for ready in &all {
            job.op.check()?;
            let name = ready.name();
            if let Some(reason) = self.obstacle(&ready.task) {
                job.note_too(&format!("{name}: left out: {reason}"));
                continue;
            }
            let what = ready.task.kind.as_str();
            job.waits(Some(format!("{what} of `{name}`")));
            match self.run_one(ready, job).await {
                Ok(made) => {
                    let _ = writeln!(told, "{made}");
                    job.says(told.trim_end());
                }
                Err(error) => {
                    job.note_too(&format!("{name}: {what} failed: {}", error.chain()));
                    failed.push((name, error));
                }
            }
        }
        job.waits(None);
        let Some((_, first)) = failed.first() else { return Ok(told.trim_end().to_owned()) };
        let text = format!(
            "{} of {} failed, first of volume `{}`: {}",
            failed.len(),
            all.len(),
            failed[0].0,
            first.chain()
        );
        let error = Error::new(first.kind(), text);
        Err(match first.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    async fn run_one(self: &Arc<Self>, ready: &Ready, job: &Job) -> Result<String> {
        let _turn = self.turn(ready).await;
        let made = match ready.task.kind {
            Kind::Snapshot => {
                self.freshen(ready.name().as_str()).await;
                let policy = &ready.task.policy;
                let name = unused_name(&ready.volume, &format!("{policy}-"));
                let order = Order { name, policy: Some(policy.clone()), hook: None };
                ended(&*self.begin_snapshot(&ready.volume, order)?).await?
            }
            Kind::Backup => {
                let repository = self.repository_of(ready)?;
                self.back_up_now(ready, &repository).await?
            }
        };
        // What is not removed now is owed, as after a slot.
        self.note_owed(ready).await;
        let tidied = self.tidy(ready).await;
        if let Ok(removed) = &tidied {
            for name in removed {
                job.note_too(&format!("removed {name}"));
            }
        }
        self.note_tidied(ready, tidied.map(drop)).await;
        Ok(made)
    }
}
