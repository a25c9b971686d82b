//! What is at rest now, in memory, and whose turn it is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_api::{Op, SnapshotId};
use tokio::sync::watch;

use crate::journal::Quiesced;

/// Everything that is at rest, by the snapshot it rests for.
#[derive(Debug)]
pub(in crate::engine) struct Rests {
    all: Mutex<BTreeMap<SnapshotId, Resting>>,
    /// One lock for each hook: two runs of one hook would undo each other.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// How many rest for a snapshot that is being taken now.
    active: watch::Sender<usize>,
}

/// One application at rest.
#[derive(Clone, Debug)]
pub(super) struct Resting {
    pub(super) row: Quiesced,
    /// The snapshot that is being taken meanwhile; none if it is over, and only
    /// the waking is left.
    pub(super) op: Option<Op>,
    /// Why it could not be woken.
    pub(super) failure: Option<String>,
}

impl Rests {
    /// With what an earlier daemon left at rest.
    pub(in crate::engine) fn new(left: Vec<Quiesced>) -> Self {
        let all = left.into_iter().map(|row| {
            let id = row.snapshot;
            (id, Resting { row, op: None, failure: None })
        });
        Self {
            all: Mutex::new(all.collect()),
            turns: Mutex::default(),
            active: watch::Sender::new(0),
        }
    }

    /// The lock of a hook.
    pub(super) fn turn(&self, hook: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(hook.to_owned()).or_default().clone()
    }

    pub(super) fn get(&self, id: SnapshotId) -> Option<Resting> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Resting> {
        self.lock().values().cloned().collect()
    }

    /// Notes a rest for the snapshot that `op` takes.
    pub(super) fn begin(&self, row: Quiesced, op: Op) {
        self.change(|all| {
            all.insert(row.snapshot, Resting { row, op: Some(op), failure: None });
        });
    }

    /// What is known of a rest has changed.
    pub(super) fn update(&self, row: &Quiesced) {
        self.change(|all| {
            if let Some(resting) = all.get_mut(&row.snapshot) {
                resting.row = row.clone();
            }
        });
    }

    /// It could not be woken; the snapshot is over.
    pub(super) fn fail(&self, id: SnapshotId, why: String) {
        self.change(|all| {
            if let Some(resting) = all.get_mut(&id) {
                resting.op = None;
                resting.failure = Some(why);
            }
        });
    }

    /// It goes on again.
    pub(super) fn forget(&self, id: SnapshotId) {
        self.change(|all| drop(all.remove(&id)));
    }

    /// Cancels the snapshots that something rests for, and waits until nothing
    /// rests for one any more.
    pub(super) async fn end_all(&self) {
        for op in self.lock().values().filter_map(|resting| resting.op.as_ref()) {
            op.cancel();
        }
        // The sender is ours: it cannot be gone.
        let _ = self.active.subscribe().wait_for(|active| *active == 0).await;
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<SnapshotId, Resting>)) {
        let mut all = self.lock();
        change(&mut all);
        let active = all.values().filter(|resting| resting.op.is_some()).count();
        self.active.send_replace(active);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SnapshotId, Resting>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
