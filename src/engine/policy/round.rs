//! Looking at all tasks, and waiting until the next one is due.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use berth_api::{Health, PolicyName};
use jiff::{SignedDuration, Timestamp};

use super::{
    due::{self, Need, Slots},
    sooner,
};
use crate::{
    catalog::State,
    config::PolicyConfig,
    engine::{Engine, clock, volume::Life},
    journal::{self, Kind, Standing, Task},
    policy::Schedule,
};

/// How long a host leaves a slot to the one that wrote the volume's record last.
const HEAD_START: SignedDuration = SignedDuration::from_mins(5);

/// What is known of every schedule there is.
pub(super) type Calendar = BTreeMap<(PolicyName, Kind), Dates>;

/// One schedule around now.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    /// As the file says it.
    pub(super) text: String,
    /// For the host that goes first.
    first: Slots,
    /// For the others: [`HEAD_START`] later.
    later: Slots,
}

impl Engine {
    /// Carries out policies for as long as the daemon lives.
    pub(in crate::engine) fn keep_policies(self: &Arc<Self>) {
        tokio::spawn(self.clone().policy_loop());
    }

    async fn policy_loop(self: Arc<Self>) {
        loop {
            let wake = self.policy_round();
            let nap = clock::nap(wake);
            let _ = tokio::time::timeout(nap, self.policies.bell.notified()).await;
            // Thousands of volumes that are made at once are looked at a few times, not each.
            tokio::time::sleep(clock::SHORTEST.min(nap)).await;
        }
    }

    /// Begins what is due; when to look again, if nothing changes until then.
    fn policy_round(self: &Arc<Self>) -> Option<Timestamp> {
        let nothing = || self.setup.config.policies.is_empty() && self.policies.is_idle();
        if self.writable().is_err() || nothing() {
            return None;
        }
        let now = clock::now();
        let calendar = self.calendar(now);
        self.meet_tasks(&calendar, now);
        let mut wake = self.prune_round(now);
        for (task, standing) in self.policies.tasks() {
            let Some(slots) = self.slots(&calendar, &task) else { continue };
            match due::need(&standing, slots, now) {
                Need::Wait(until) => wake = sooner(wake, until),
                Need::Make(_) | Need::Tidy => {
                    if self.obstacle(&task).is_none() && self.policies.take_up(&task) {
                        tokio::spawn(self.clone().carry(task));
                    }
                }
            }
        }
        wake
    }

    /// The slots of all schedules.
    pub(super) fn calendar(&self, now: Timestamp) -> Calendar {
        let mut calendar = Calendar::new();
        for (name, policy) in &self.setup.config.policies {
            for kind in [Kind::Snapshot, Kind::Backup] {
                let Some(schedule) = schedule(policy, kind) else { continue };
                let around = |behind: SignedDuration| {
                    let local = clock::local(now - behind);
                    Slots {
                        last: schedule.last(&local).map(|time| time.timestamp()),
                        next: schedule.next(&local).map(|time| time.timestamp() + behind),
                    }
                };
                let dates = Dates {
                    text: schedule.to_string(),
                    first: around(SignedDuration::ZERO),
                    later: around(HEAD_START),
                };
                calendar.insert((name.clone(), kind), dates);
            }
        }
        calendar
    }

    /// The slots of a task on this host; none, if its policy has no such schedule.
    pub(super) fn slots(&self, calendar: &Calendar, task: &Task) -> Option<Slots> {
        let dates = calendar.get(&(task.policy.clone(), task.kind))?;
        // Who may finish what a record says wrote it last, or shares it with nobody.
        let first = self.index.by_id(task.volume).is_none_or(|volume| self.may_finish(&volume));
        Some(if first { dates.first } else { dates.later })
    }

    /// Makes the tasks those that volumes have: new ones are seen from now on, those whose
    /// policy was taken off are forgotten.
    fn meet_tasks(&self, calendar: &Calendar, now: Timestamp) {
        let (mut wanted, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for volume in self.index.all() {
            volume.read(|life| {
                for policy in &life.record.options.policy {
                    for kind in [Kind::Snapshot, Kind::Backup] {
                        let task = Task { volume: volume.id, policy: policy.clone(), kind };
                        if !self.setup.config.policies.contains_key(policy) {
                            // It may come back.
                            kept.insert(task);
                        } else if calendar.contains_key(&(policy.clone(), kind)) {
                            // In the trash nothing is made of it; it may come back, too.
                            if life.record.state.is_removed() {
                                kept.insert(task);
                            } else {
                                wanted.insert(task);
                            }
                        }
                    }
                }
            });
        }
        let mut state = self.policies.state();
        let gone: Vec<_> = state
            .tasks
            .keys()
            .filter(|task| !wanted.contains(task) && !kept.contains(task))
            .cloned()
            .collect();
        for task in gone {
            state.tasks.remove(&task);
            self.writer.later(move |tx| journal::delete_policy(tx, &task));
        }
        for task in wanted {
            let text = &calendar[&(task.policy.clone(), task.kind)].text;
            let mut changed = false;
            let standing = state.tasks.entry(task.clone()).or_insert_with(|| {
                changed = true;
                Standing::new(text.clone(), now)
            });
            if standing.schedule != *text {
                // By the new one nothing was missed yet.
                *standing = Standing { failed: None, since: now, ..standing.clone() };
                standing.schedule.clone_from(text);
                changed = true;
            }
            changed |= due::correct(standing, now);
            if changed {
                let standing = standing.clone();
                self.writer.later(move |tx| journal::put_policy(tx, &task, &standing));
            }
        }
    }

    /// Why nothing can be made of a task's volume now.
    pub(super) fn obstacle(&self, task: &Task) -> Option<String> {
        let Some(volume) = self.index.by_id(task.volume) else {
            return Some("the volume is gone".to_owned());
        };
        volume.read(|life| self.obstacle_in(life))
    }

    /// Why nothing can be made of a volume now.
    pub(super) fn obstacle_in(&self, life: &Life) -> Option<String> {
        match &life.record.state {
            State::Ready => {}
            State::Faulty { during, .. } => {
                return Some(format!("the volume is faulty since `{during}` failed"));
            }
            state => return Some(format!("the volume is {}", state.as_str())),
        }
        let name = &life.record.pool;
        let Some(pool) = self.pools.get(name) else {
            return Some(format!("pool `{name}` is not in the configuration"));
        };
        match pool.health() {
            Health::Ready => None,
            Health::Unavailable(why) => Some(format!("pool `{name}`: {why}")),
        }
    }
}

impl super::Policies {
    fn tasks(&self) -> Vec<(Task, Standing)> {
        let state = self.state();
        state.tasks.iter().map(|(task, standing)| (task.clone(), standing.clone())).collect()
    }

    /// Whether there are no tasks at all.
    fn is_idle(&self) -> bool {
        self.state().tasks.is_empty()
    }

    /// Whether the caller is the one to carry it out: nobody else is at it.
    fn take_up(&self, task: &Task) -> bool {
        self.state().at_work.insert(task.clone())
    }
}

/// When a policy makes that.
pub(super) fn schedule(policy: &PolicyConfig, kind: Kind) -> Option<&Schedule> {
    match kind {
        Kind::Snapshot => policy.snapshot.as_ref(),
        Kind::Backup => policy.backup.as_ref(),
    }
}
