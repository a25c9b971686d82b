//! What users see of policies.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use berth_api::{PolicyName, Result};
use berth_vault::retention::Keep;
use jiff::Timestamp;

use super::{
    due,
    round::{Calendar, schedule},
    sooner,
};
use crate::{
    config::PolicyConfig,
    engine::{Engine, clock, volume::Volume},
    journal::{Kind, Standing, Task},
    view::{PolicyView, TaskView},
};

impl Engine {
    /// All policies, by name. From memory.
    pub fn policies(&self) -> Vec<PolicyView> {
        let now = clock::now();
        let calendar = self.calendar(now);
        let all = &self.setup.config.policies;
        let views = all.iter().map(|(name, policy)| {
            let view = self.policy_view(name, policy, &calendar, now);
            PolicyView { tasks: Vec::new(), ..view }
        });
        views.collect()
    }

    /// One policy, with what it does to each volume. From memory.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn policy(&self, name: &str) -> Result<PolicyView> {
        let names = self.chosen_policies(Some(name))?;
        let now = clock::now();
        let calendar = self.calendar(now);
        let known = &self.setup.config.policies;
        Ok(self.policy_view(&names[0], &known[&names[0]], &calendar, now))
    }

    fn policy_view(
        &self,
        name: &PolicyName,
        policy: &PolicyConfig,
        calendar: &Calendar,
        now: Timestamp,
    ) -> PolicyView {
        let volumes = self.volumes_with(name);
        let mut tasks = Vec::new();
        for volume in &volumes {
            for kind in [Kind::Snapshot, Kind::Backup] {
                if schedule(policy, kind).is_some() {
                    let task = Task { volume: volume.id, policy: name.clone(), kind };
                    tasks.push(self.task_view(volume, &task, calendar, now));
                }
            }
        }
        let text = |kind| schedule(policy, kind).map(ToString::to_string);
        let repository = policy.backup.as_ref().map(|_| {
            let named = policy.repository.clone();
            let usual = || self.repositories.chosen(None).ok().map(|usual| usual.name.clone());
            named.or_else(usual).unwrap_or_else(|| "default".to_owned())
        });
        PolicyView {
            name: name.to_string(),
            snapshot: text(Kind::Snapshot),
            backup: text(Kind::Backup),
            repository,
            keep_snapshots: rules(&policy.keep_snapshots),
            keep_backups: rules(&policy.keep_backups),
            volumes: volumes.len() as u64,
            failing: tasks.iter().filter(|task| task.error.is_some()).count() as u64,
            next: tasks.iter().fold(None, |next, task| sooner(next, task.next)),
            tasks,
        }
    }

    fn task_view(
        &self,
        volume: &Arc<Volume>,
        task: &Task,
        calendar: &Calendar,
        now: Timestamp,
    ) -> TaskView {
        let (standing, at_work) = {
            let state = self.policies.state();
            (state.tasks.get(task).cloned(), state.at_work.contains(task))
        };
        let slots = self.slots(calendar, task);
        let since = standing.as_ref().map(|standing| standing.since);
        let standing = standing.unwrap_or_else(|| Standing::new(String::new(), now));
        let reason = self.obstacle(task);
        let state = match (&reason, at_work, &standing.failed) {
            (_, true, _) => "running",
            (Some(_), ..) => "skipped",
            (None, _, Some(_)) => "failed",
            (None, _, None) => "waiting",
        };
        let failed = standing.failed.as_ref();
        TaskView {
            volume: volume.read(|life| life.record.name.to_string()),
            volume_id: volume.id,
            kind: task.kind.as_str().to_owned(),
            state: state.to_owned(),
            reason,
            since,
            last: standing.done,
            finished: standing.finished,
            outcome: standing.outcome.clone(),
            next: slots.and_then(|slots| due::next(&standing, slots, now)),
            error: failed.map(|failed| failed.error.clone()),
            hint: failed.and_then(|failed| failed.hint.clone()),
            failing_since: failed.map(|failed| failed.since),
            removal_error: standing.unkept.as_ref().map(|failed| failed.error.clone()),
            removal_next: standing
                .owes
                .map(|_| standing.unkept.as_ref().map_or(now, |failed| failed.next)),
        }
    }

    /// The live volumes that have a policy, by name.
    pub(super) fn volumes_with(&self, policy: &PolicyName) -> Vec<Arc<Volume>> {
        let has =
            |volume: &Arc<Volume>| volume.read(|life| life.record.options.policy.contains(policy));
        self.index.all_live().into_iter().filter(has).collect()
    }

    /// Gauges of policies, in Prometheus' text exposition.
    pub(in crate::engine) fn policy_metrics(&self) -> String {
        let now = clock::now();
        let calendar = self.calendar(now);
        let (mut failing, mut oldest) = (String::new(), String::new());
        for (name, policy) in &self.setup.config.policies {
            let view = self.policy_view(name, policy, &calendar, now);
            for kind in [Kind::Snapshot, Kind::Backup] {
                let kind = kind.as_str();
                let of = || view.tasks.iter().filter(|task| task.kind == kind);
                let labels = format!("{{policy=\"{name}\",kind=\"{kind}\"}}");
                if of().next().is_none() {
                    continue;
                }
                let count = of().filter(|task| task.error.is_some()).count();
                let _ = writeln!(failing, "berth_policy_failing_volumes{labels} {count}");
                // Of the volume that waits longest; 0 if there is one that never was done.
                let last = of().map(|task| task.finished.map_or(0, Timestamp::as_second)).min();
                let last = last.unwrap_or_default();
                let _ =
                    writeln!(oldest, "berth_policy_last_success_timestamp_seconds{labels} {last}");
            }
        }
        let mut text = String::new();
        for (metric, help, lines) in [
            (
                "berth_policy_failing_volumes",
                "Volumes of which the policy could not make what was due.",
                failing,
            ),
            (
                "berth_policy_last_success_timestamp_seconds",
                "When the volume that waits longest was last done.",
                oldest,
            ),
        ] {
            if !lines.is_empty() {
                let _ = write!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge\n{lines}");
            }
        }
        text
    }
}

/// Rules as the file has them.
fn rules(keep: &Keep) -> BTreeMap<String, u32> {
    let all = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    all.into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}
