//! What is wrong with policies.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Prune, round::schedule};
use crate::{
    config::PolicyConfig,
    engine::{Engine, clock, doctor::finding},
    journal::{Kind, Standing, Task},
    view::{Finding, Severity},
};

/// How long a repository may be in somebody's hands before it is said.
const LONG: SignedDuration = SignedDuration::from_hours(6);

impl Engine {
    /// What is wrong with policies. From memory.
    pub(in crate::engine) fn diagnose_policies(&self) -> Vec<Finding> {
        let mut findings = self.diagnose_unknown();
        let now = clock::now();
        for (name, policy) in &self.setup.config.policies {
            let subject = format!("policy `{name}`");
            let volumes = self.volumes_with(name);
            let before = findings.len();
            for volume in &volumes {
                let shown = volume.read(|life| life.record.name.to_string());
                for kind in [Kind::Snapshot, Kind::Backup] {
                    let task = Task { volume: volume.id, policy: name.clone(), kind };
                    let Some(standing) = self.policies.standing(&task) else { continue };
                    findings.extend(self.diagnose_task(&subject, &shown, &task, &standing, now));
                }
            }
            if policy.snapshot.is_some() && policy.keep_snapshots.is_empty() && !volumes.is_empty()
            {
                findings.push(finding(
                    Severity::Warning,
                    &*subject,
                    "its snapshots are never removed: it has no `keep-snapshots`",
                    Some(&format!(
                        "add to [policies.{name}], for example: keep-snapshots = {{ hourly = 24 }}"
                    )),
                ));
            }
            if findings.len() == before {
                let have = match volumes.len() {
                    0 => "no volume has it".to_owned(),
                    1 => "1 volume has it".to_owned(),
                    count => format!("{count} volumes have it"),
                };
                findings.push(finding(Severity::Ok, &*subject, have, None));
            }
        }
        findings.extend(self.diagnose_prunes(now));
        findings
    }

    /// Volumes whose policy is not in the configuration: nothing is made of them.
    fn diagnose_unknown(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.index.for_each_live(|name, volume| {
            volume.read(|life| {
                for policy in &life.record.options.policy {
                    if !self.setup.config.policies.contains_key(policy) {
                        findings.push(finding(
                            Severity::Warning,
                            format!("volume `{name}`"),
                            format!("its policy `{policy}` is not in the configuration"),
                            Some(&format!(
                                "add [policies.{policy}], or give the volume another: \
                                 berth volume set {name} policy=NAME (without NAME: none)"
                            )),
                        ));
                    }
                }
            });
        });
        findings
    }

    fn diagnose_task(
        &self,
        subject: &str,
        volume: &str,
        task: &Task,
        standing: &Standing,
        now: Timestamp,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let what = task.kind.as_str();
        let policy = &self.setup.config.policies[&task.policy];
        if let Some(failed) = &standing.failed {
            findings.push(finding(
                Severity::Error,
                subject,
                format!(
                    "no {what} of volume `{volume}` since {}: {}; tried again at {}",
                    shown(failed.since),
                    failed.error,
                    shown(failed.next)
                ),
                failed.hint.as_deref(),
            ));
        } else if let Some(text) = overdue(policy, task.kind, standing, now) {
            let why = self.obstacle(task).map_or_else(String::new, |why| format!(": {why}"));
            findings.push(finding(
                Severity::Error,
                subject,
                format!("the {what} of volume `{volume}` is overdue, {text}{why}"),
                Some("`berth job ls` shows what runs; `berth policy run` does it now"),
            ));
        }
        if let Some(failed) = &standing.unkept
            && now.duration_since(failed.since) > LONG
        {
            findings.push(finding(
                Severity::Warning,
                subject,
                format!(
                    "what it does not keep of volume `{volume}` could not be removed since {}: {}",
                    shown(failed.since),
                    failed.error
                ),
                failed.hint.as_deref(),
            ));
        }
        findings
    }

    fn diagnose_prunes(&self, now: Timestamp) -> Vec<Finding> {
        let prunes: BTreeMap<_, _> = {
            let state = self.policies.state();
            state.prunes.iter().map(|(name, prune)| (name.clone(), prune.clone())).collect()
        };
        let mut findings = Vec::new();
        for (name, prune) in prunes {
            let Prune::Failed(failed) = prune else { continue };
            if now.duration_since(failed.since) > LONG {
                findings.push(finding(
                    Severity::Warning,
                    format!("repository `{name}`"),
                    format!(
                        "what policies removed could not be freed since {}: {}",
                        shown(failed.since),
                        failed.error
                    ),
                    failed.hint.as_deref(),
                ));
            }
        }
        findings
    }
}

/// Since when nothing was made, if that is more than twice as long as it should be.
fn overdue(
    policy: &PolicyConfig,
    kind: Kind,
    standing: &Standing,
    now: Timestamp,
) -> Option<String> {
    let schedule = schedule(policy, kind)?;
    let from = standing.done.unwrap_or(standing.since);
    // Two slots went by, and as long again as between them.
    let first = schedule.next(&clock::local(from))?;
    let second = schedule.next(&first)?;
    let interval = second.timestamp().duration_since(first.timestamp());
    let late = second.timestamp() < now && now.duration_since(first.timestamp()) > interval * 2;
    late.then(|| match standing.done {
        Some(done) => format!("the last one was due at {}", shown(done)),
        None => format!("none was made since {}", shown(standing.since)),
    })
}

/// On the operator's clock.
fn shown(time: Timestamp) -> String {
    clock::local(time).strftime("%Y-%m-%d %H:%M %Z").to_string()
}
