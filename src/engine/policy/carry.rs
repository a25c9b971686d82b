//! Carrying out one task: its turn, the work, and what is written down of it.

use std::sync::Arc;

use berth_api::{Error, Result, VolumeName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::due::{self, Need};
use crate::{
    config::PolicyConfig,
    engine::{Engine, clock, volume::Volume},
    journal::{self, Failed, Kind, Standing, Task},
};

/// A task that can be carried out.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) task: Task,
    pub(super) volume: Arc<Volume>,
    pub(super) policy: PolicyConfig,
}

impl Ready {
    /// The volume's name.
    pub(super) fn name(&self) -> VolumeName {
        self.volume.read(|life| life.record.name.clone())
    }
}

/// Whoever has it is the only one at a task.
struct AtWork {
    engine: Arc<Engine>,
    task: Task,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.engine.policies.state().at_work.remove(&self.task);
        self.engine.policies.look();
    }
}

impl Engine {
    /// Carries a task out that was taken up.
    pub(super) async fn carry(self: Arc<Self>, task: Task) {
        let at_work = AtWork { engine: self.clone(), task: task.clone() };
        if let Some(ready) = self.ready(&task) {
            let _turn = self.turn(&ready).await;
            // Time went by: what was due then may not be any more.
            if self.ready(&task).is_some() {
                self.carry_out(&ready).await;
            }
        }
        drop(at_work);
    }

    /// The task, if there is nothing in its way.
    fn ready(&self, task: &Task) -> Option<Ready> {
        let volume = self.index.by_id(task.volume)?;
        let policy = self.setup.config.policies.get(&task.policy)?.clone();
        let wanted = volume.read(|life| {
            life.record.options.policy.contains(&task.policy) && self.obstacle_in(life).is_none()
        });
        (wanted && self.writable().is_ok()).then(|| Ready { task: task.clone(), volume, policy })
    }

    /// Waits until it may use the pool, or the repository.
    pub(super) async fn turn(&self, ready: &Ready) -> Option<OwnedSemaphorePermit> {
        let turn = match ready.task.kind {
            Kind::Backup => self.policies.backups.clone(),
            Kind::Snapshot => {
                let pool = ready.volume.read(|life| life.record.pool.clone());
                let mut state = self.policies.state();
                state.turns.entry(pool).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
            }
        };
        // It is never closed.
        turn.acquire_owned().await.ok()
    }

    async fn carry_out(self: &Arc<Self>, ready: &Ready) {
        let task = &ready.task;
        let now = clock::now();
        let calendar = self.calendar(now);
        let Some(slots) = self.slots(&calendar, task) else { return };
        let Some(standing) = self.policies.standing(task) else { return };
        match due::need(&standing, slots, now) {
            Need::Wait(_) => return,
            Need::Tidy => {}
            Need::Make(slot) => {
                let made = self.make(ready, slot).await;
                if let Err(error) = &made {
                    tracing::warn!(
                        policy = %task.policy,
                        volume = %ready.name(),
                        error = %error.chain(),
                        "{} by policy failed", task.kind.as_str()
                    );
                }
                self.note_made(ready, slot, made).await;
            }
        }
        if self.policies.standing(task).is_some_and(|standing| standing.owes.is_some()) {
            let tidied = self.tidy(ready).await;
            self.note_tidied(ready, tidied.map(drop)).await;
        }
    }

    /// Writes down what became of a slot, and what follows from it.
    async fn note_made(&self, ready: &Ready, slot: jiff::Timestamp, made: Result<String>) {
        let keeps = !ready.keep().is_empty();
        let reached = berth_host::failpoint::hit("engine.policy.made");
        self.note(
            &ready.task,
            |standing| {
                let now = clock::now();
                match made {
                    Ok(outcome) => {
                        standing.done = Some(slot);
                        standing.finished = Some(now);
                        standing.outcome = Some(outcome);
                        standing.failed = None;
                        standing.owes = keeps.then_some(slot);
                    }
                    Err(error) => {
                        let before = standing.failed.take();
                        standing.failed = Some(failed(before.as_ref(), slot, &error));
                    }
                }
            },
            reached,
        )
        .await;
    }

    /// Writes down that something was made besides the schedule: what is not kept any more
    /// has yet to be removed.
    pub(super) async fn note_owed(&self, ready: &Ready) {
        if !ready.keep().is_empty() {
            let owes = |standing: &mut Standing| standing.owes = Some(clock::now());
            self.note(&ready.task, owes, Ok(())).await;
        }
    }

    /// Writes down whether what is not kept any more is removed.
    pub(super) async fn note_tidied(&self, ready: &Ready, tidied: Result<()>) {
        let reached = berth_host::failpoint::hit("engine.policy.tidied");
        self.note(
            &ready.task,
            |standing| match tidied {
                Ok(()) => {
                    standing.owes = None;
                    standing.unkept = None;
                }
                Err(error) => {
                    tracing::info!(
                        policy = %ready.task.policy,
                        volume = %ready.name(),
                        error = %error.chain(),
                        "what is not kept any more stays for now"
                    );
                    let before = standing.unkept.take();
                    // All of it is one thing that is tried again, whatever slots go by.
                    let slot = before.as_ref().map(|failed| failed.slot).or(standing.owes);
                    let slot = slot.unwrap_or_else(clock::now);
                    standing.unkept = Some(failed(before.as_ref(), slot, &error));
                }
            },
            reached,
        )
        .await;
    }

    /// Changes what is known of a task, if it is still one; durable on return.
    async fn note(
        &self,
        task: &Task,
        change: impl FnOnce(&mut Standing),
        reached: std::io::Result<()>,
    ) {
        let standing = {
            let mut state = self.policies.state();
            let Some(standing) = state.tasks.get_mut(task) else { return };
            change(standing);
            standing.clone()
        };
        let task = task.clone();
        let step =
            move |tx: &crate::database::Transaction<'_>| journal::put_policy(tx, &task, &standing);
        let written = match reached {
            Ok(()) => self.writer.commit(step.clone()).await,
            Err(error) => Err(Error::internal("write down what was made").with_source(error)),
        };
        if let Err(error) = written {
            // What was made is found by its name or its label, should this be lost.
            tracing::warn!(error = %error.chain(), "write down what a policy did");
            self.writer.later(step);
        }
    }
}

fn failed(before: Option<&Failed>, slot: jiff::Timestamp, error: &Error) -> Failed {
    let said = (error.chain(), error.hint().map(ToOwned::to_owned));
    due::failed(before, slot, said, clock::now())
}
