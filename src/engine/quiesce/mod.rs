//! Bringing an application to rest while its volume's snapshot is taken.
//!
//! ```text
//! turn of the hook ─▶ commit the row ─▶ before ─▶ (content is copied) ─▶ after ─▶ delete the row
//!                                         fails ──────────────────────▶ after, no snapshot
//! start: every row that is there ─▶ end what was left of before ─▶ after ─▶ delete the row
//! ```
//! Invariants:
//! - Nothing is brought to rest that the journal does not know how to wake. The
//!   after part runs at least once, whatever becomes of snapshot and daemon; it is
//!   repeated, with growing waits, until it succeeds.
//! - One run of a hook at a time: two would undo each other.
//! - Only jobs and the loops behind them come here, never a handler of Docker's
//!   socket; no lock of a volume is held, so that containers start and stop.
//!
//! | module | noun |
//! |---|---|
//! | `hook` | commands |
//! | `pause` | the built-in hook |
//! | `rests` | what is at rest now |
//! | `waking` | letting it go on |
//! | `witness` | whether it was at rest |

mod hook;
mod pause;
mod rests;
mod waking;
mod witness;

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use berth_api::{
    Bytes, Context as _, Error, Op, Result, SnapshotId, SnapshotSidecar, options::nearest,
};
use berth_host::failpoint;
use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;

use super::{Engine, jobs::Job, pool::Pool, volume::Volume};
use crate::{
    catalog::Snapshot,
    config::{HookConfig, PAUSE},
    journal::{self, Quiesced, Wake},
};
pub(super) use rests::Rests;
use waking::{Before, both};
pub(super) use witness::Witness;

/// How often a job that waits for its turn looks whether it was cancelled.
const TICK: Duration = Duration::from_millis(100);

/// How an application is brought to rest.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    name: String,
    /// None is the built-in `pause`.
    commands: Option<HookConfig>,
}

/// An application at rest. Whoever has it wakes it.
#[derive(Debug)]
struct Rest {
    id: SnapshotId,
    _turn: OwnedMutexGuard<()>,
}

impl Engine {
    /// The hook of that name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name.
    pub(super) fn hook(&self, name: &str) -> Result<Hook> {
        let hooks = &self.setup.config.hooks;
        let commands = hooks.get(name).cloned();
        if commands.is_some() || name == PAUSE {
            return Ok(Hook { name: name.to_owned(), commands });
        }
        let shown: String = name.chars().take(40).collect();
        let error = Error::not_found(format!("no such hook: `{}`", shown.escape_debug()));
        let known = || hooks.keys().map(String::as_str).chain([PAUSE]);
        Err(match nearest(name, known()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(format!(
                "there are: {}; others are sections of the configuration: [hooks.NAME]",
                known().collect::<Vec<_>>().join(", ")
            )),
        })
    }

    /// Copies the content of a volume into its snapshot, at rest if there is a hook.
    /// The second result is that of the after part: whatever it says, the snapshot
    /// is there if the first says so.
    pub(super) async fn copy_at_rest(
        self: &Arc<Self>,
        hook: Option<&Hook>,
        volume: &Arc<Volume>,
        pool: &Pool,
        entry: &Snapshot,
        job: &Job,
    ) -> (Result<SnapshotSidecar>, Result<()>) {
        let Some(hook) = hook else {
            let witness = Arc::new(Witness::of(volume));
            return (self.copy_out(volume, pool, entry, witness, job).await, Ok(()));
        };
        if let total @ 1.. = job.op.counts().bytes_total {
            let total = Bytes(total);
            job.note(format!(
                "{total} are copied: this file system cannot share data, and who uses the volume \
                 rests as long"
            ));
        }
        let (rest, witness) = match self.bring_to_rest(hook, volume, &entry.sidecar, job).await {
            Ok(brought) => brought,
            Err(error) => return (Err(error), Ok(())),
        };
        let mut said = witness.listen();
        let copy = self.copy_out(volume, pool, entry, Arc::new(witness), job);
        // It goes on as soon as its content is copied: what makes the snapshot
        // durable need not be waited for. A copy that ends early drops the witness.
        let waking = async {
            let said = said.wait_for(Option::is_some).await.ok().and_then(|said| *said);
            if said == Some(false) {
                job.note(format!("`{}` was used meanwhile: not `quiesced`", entry.sidecar.name));
            }
            let before = if said.is_some() { Before::Taken } else { Before::Failed };
            let woken = self.wake_up(rest.id, before).await;
            drop(rest);
            woken
        };
        match tokio::join!(copy, waking) {
            (Err(error), Err(second)) => (Err(both(&error, &second)), Ok(())),
            results => results,
        }
    }

    /// Brings what uses the volume to rest; says so durably before it begins.
    ///
    /// # Errors
    /// What the before part says; the after part has run then, or is tried again.
    async fn bring_to_rest(
        self: &Arc<Self>,
        hook: &Hook,
        volume: &Arc<Volume>,
        snapshot: &SnapshotSidecar,
        job: &Job,
    ) -> Result<(Rest, Witness)> {
        let turn = self.turn_of(hook, job).await?;
        let mut row = self.row_of(hook, volume, snapshot);
        let id = row.snapshot;
        self.rests.begin(row.clone(), job.op.clone());
        if let Err(error) = self.begin_rest(&row).await {
            // Nothing was touched yet.
            self.rests.forget(id);
            return Err(error);
        }
        tracing::info!(snapshot = row.name, hook = row.hook, "bring to rest");
        job.waits(Some(format!("hook `{}` brings it to rest", hook.name)));
        let brought = self.rest(hook, volume, &mut row, &job.op).await;
        job.waits(None);
        match brought {
            Ok(witness) => Ok((Rest { id, _turn: turn }, witness)),
            Err(error) => {
                let error = error.context(format!("hook `{}`, before", hook.name));
                Err(match self.wake_up(id, Before::Failed).await {
                    Ok(()) => error,
                    Err(second) => both(&error, &second),
                })
            }
        }
    }

    /// Waits until nobody else is at it, and what is left of earlier runs went on.
    async fn turn_of(self: &Arc<Self>, hook: &Hook, job: &Job) -> Result<OwnedMutexGuard<()>> {
        let mut lock = pin!(self.rests.turn(&hook.name).lock_owned());
        job.waits(Some(format!("another snapshot is being taken with hook `{}`", hook.name)));
        let turn = loop {
            job.op.check()?;
            if let Ok(turn) = tokio::time::timeout(TICK, &mut lock).await {
                break turn;
            }
        };
        job.waits(None);
        for left in self.rests.all() {
            if left.row.hook == hook.name {
                let name = &left.row.name;
                self.try_waking(&left).await.map_err(|error| {
                    error.context(format!("hook `{}`: still at rest for `{name}`", hook.name))
                })?;
            }
        }
        Ok(turn)
    }

    fn row_of(&self, hook: &Hook, volume: &Volume, snapshot: &SnapshotSidecar) -> Quiesced {
        let record = volume.record();
        let mountpoint = self.mountpoint(record.name.as_str());
        let wake = match &hook.commands {
            None => Wake::Unpause { containers: BTreeSet::new() },
            Some(HookConfig { after: None, .. }) => Wake::ByItself,
            Some(HookConfig { after: Some(argv), timeout, .. }) => {
                Wake::Command { argv: argv.clone(), timeout: *timeout }
            }
        };
        let environment = [
            ("BERTH_VOLUME", record.name.to_string()),
            ("BERTH_POOL", record.pool.clone()),
            ("BERTH_MOUNTPOINT", mountpoint.display().to_string()),
            ("BERTH_SNAPSHOT", snapshot.name.to_string()),
            (hook::MARK, snapshot.id.to_string()),
        ];
        Quiesced {
            snapshot: snapshot.id,
            volume: volume.id,
            name: format!("{}@{}", record.name, snapshot.name),
            hook: hook.name.clone(),
            since: Timestamp::now(),
            wake,
            environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        }
    }

    async fn begin_rest(&self, row: &Quiesced) -> Result<()> {
        // Looked at after the rest is known: the stop either sees it or is seen.
        if self.stopping.load(Relaxed) {
            return Err(Error::unavailable("the daemon is stopping").with_hint("try again"));
        }
        self.note_rest(row).await
    }

    /// Writes down how something goes on, durably.
    async fn note_rest(&self, row: &Quiesced) -> Result<()> {
        failpoint::hit("quiesce.note").context(|| "write what is at rest")?;
        let written = row.clone();
        self.writer.commit(move |tx| journal::put_quiesced(tx, &written)).await?;
        self.rests.update(row);
        Ok(())
    }

    async fn rest(
        &self,
        hook: &Hook,
        volume: &Arc<Volume>,
        row: &mut Quiesced,
        op: &Op,
    ) -> Result<Witness> {
        failpoint::hit("quiesce.before").context(|| "bring to rest")?;
        // Who mounts it from now on is not known to rest.
        let references = volume.read(|life| life.references.clone());
        let mut paused = None;
        if let Some(hook) = &hook.commands {
            if let Some(before) = &hook.before {
                hook::run(before, &row.environment, hook.timeout, op).await?;
            }
        } else {
            let target = self.target(volume.record().name.as_str());
            self.pause_all(&target, row, op).await?;
            paused = Some(target);
        }
        failpoint::hit("quiesce.rests").context(|| "bring to rest")?;
        Ok(Witness::at_rest(references, paused))
    }
}
