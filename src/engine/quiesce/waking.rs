//! Letting applications go on: after a snapshot, after a failed attempt, after the
//! daemon was ended.

use std::{sync::Arc, time::Duration};

use berth_api::{Context as _, Error, Op, Result, SnapshotId};
use berth_host::failpoint;

use super::{hook, rests::Resting};
use crate::{
    database::Transaction,
    engine::{Engine, jobs::UNLIMITED},
    journal::{self, Quiesced, Wake},
    view::{Finding, Severity},
};

/// The waits between two attempts to wake something; doubled from the first to
/// the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// What came before the waking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// The snapshot is taken.
    Taken,
    /// The before part or the snapshot failed.
    Failed,
}

impl Engine {
    /// Lets an application go on; the caller has the turn of the hook.
    ///
    /// # Errors
    /// What the after part says; it is tried again in the background.
    pub(super) async fn wake_up(self: &Arc<Self>, id: SnapshotId, before: Before) -> Result<()> {
        let Some(resting) = self.rests.get(id) else { return Ok(()) };
        if before == Before::Failed && failpoint::sabotaged("skip-after") {
            self.rests.forget(id);
            return Ok(());
        }
        let woken = self.try_waking(&resting).await;
        if woken.is_err() {
            self.keep_waking(id, FIRST);
        }
        woken.map_err(|error| error.context(format!("hook `{}`, after", resting.row.hook)))
    }

    /// One attempt; whoever calls has the turn of the hook.
    pub(super) async fn try_waking(&self, resting: &Resting) -> Result<()> {
        let row = &resting.row;
        if resting.op.is_none() && resting.failure.is_none() {
            hook::end_left(row.snapshot).await;
        }
        let woken = match failpoint::hit("quiesce.after").context(|| "wake") {
            Err(error) => Err(error),
            Ok(()) => match &row.wake {
                Wake::ByItself => Ok(()),
                Wake::Command { argv, timeout } => {
                    hook::run(argv, &row.environment, *timeout, &Op::new(UNLIMITED)).await
                }
                Wake::Unpause { containers } => self.unpause_all(containers).await,
            },
        };
        if let Err(error) = woken {
            tracing::error!(
                snapshot = row.name,
                hook = row.hook,
                error = error.chain(),
                "an application stays at rest"
            );
            self.rests.fail(row.snapshot, error.chain());
            return Err(error);
        }
        let snapshot = row.snapshot;
        let forget = move |tx: &Transaction<'_>| journal::delete_quiesced(tx, snapshot);
        let written = match failpoint::hit("quiesce.forget").context(|| "forget what was at rest") {
            Ok(()) => self.writer.commit(forget).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // It goes on; at worst the after part runs once more after a restart.
            tracing::warn!(snapshot = row.name, error = error.chain(), "forget what was at rest");
            self.writer.later(forget);
        }
        tracing::info!(snapshot = row.name, hook = row.hook, "goes on");
        self.rests.forget(snapshot);
        Ok(())
    }

    /// Tries again until it goes on.
    fn keep_waking(self: &Arc<Self>, id: SnapshotId, first: Duration) {
        let engine = self.clone();
        tokio::spawn(async move {
            let mut pause = first;
            loop {
                tokio::time::sleep(pause).await;
                let Some(resting) = engine.rests.get(id) else { return };
                let turn = engine.rests.turn(&resting.row.hook).lock_owned().await;
                // Whoever had the turn may have woken it.
                if engine.rests.get(id).is_none() || engine.try_waking(&resting).await.is_ok() {
                    return;
                }
                drop(turn);
                pause = (pause * 2).clamp(FIRST, LONGEST);
            }
        });
    }

    /// Wakes what an earlier daemon left at rest, in the background.
    pub(in crate::engine) fn wake_left(self: &Arc<Self>) {
        for left in self.rests.all() {
            tracing::warn!(snapshot = left.row.name, hook = left.row.hook, "left at rest");
            if failpoint::sabotaged("skip-after") {
                continue;
            }
            self.keep_waking(left.row.snapshot, Duration::ZERO);
        }
    }

    /// Ends the snapshots that something rests for, and lets it go on.
    pub(in crate::engine) async fn wake_all(&self) {
        self.rests.end_all().await;
    }

    /// What is at rest and cannot be woken.
    pub(in crate::engine) fn diagnose_rests(&self, findings: &mut Vec<Finding>) {
        for resting in self.rests.all() {
            let Some(why) = resting.failure else { continue };
            let Quiesced { name, hook, since, .. } = resting.row;
            findings.push(Finding {
                severity: Severity::Error,
                subject: format!("hook `{hook}`"),
                message: format!("at rest since {since} for snapshot `{name}`: {why}"),
                hint: Some(
                    "correct what it names, and it goes on by itself within a minute".to_owned(),
                ),
            });
        }
    }
}

/// Two errors of one operation.
pub(super) fn both(first: &Error, second: &Error) -> Error {
    let text = format!("{} (and {})", first.chain(), second.chain());
    let error = Error::new(first.kind(), text);
    match first.hint().or(second.hint()) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
