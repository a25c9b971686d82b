//! Policies: what is made of volumes by a clock, and what of it is kept.
//!
//! A *task* is a volume, a policy and a kind of work (snapshot or backup). Its standing
//! is in the journal; a round looks at all of them and carries out what is due.
//!
//! ```text
//! slot due ─▶ turn ─▶ made (snapshot | backup) ─▶ commit done, owes ─▶ tidied ─▶ owes nothing (later)
//!               │                                                        │
//!               ▼ failed: 1 min, doubling to 1 h                         ▼ the same
//! ```
//!
//! | module | noun or verb |
//! |---|---|
//! | `due` | what a task needs, pure |
//! | `round` | looking at all tasks, and waiting |
//! | `carry` | carrying out one task |
//! | `make` | what one slot makes: a snapshot, a backup |
//! | `keep` | what is removed after it |
//! | `prune` | repositories from which backups were removed |
//! | `by_hand` `dry` | `policy run`, and what it would do |
//! | `show` `doctor` | what users see |
//!
//! Invariants:
//! - Nothing is made twice for a slot: a snapshot has the slot's name, and a repository is
//!   asked for a backup of that slot, before anything is made.
//! - What is removed was made by the policy, which its mark says; names say nothing.
//! - On a pool that several hosts share, the host that wrote a volume's record last goes
//!   first; the others look a while later, and find it made.
//! - What is owed is written down with what was done: a crash loses neither.

mod by_hand;
mod carry;
mod doctor;
mod dry;
mod due;
mod keep;
mod make;
mod prune;
mod round;
mod show;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Notify, RwLock, Semaphore};

use crate::journal::{Failed, Standing, Task};

/// Backups that policies make at a time, of all volumes and repositories.
const BACKUPS: usize = 2;

/// What is known of tasks, and who is at work.
#[derive(Debug)]
pub(super) struct Policies {
    state: Mutex<State>,
    /// Wakes the loop.
    bell: Notify,
    backups: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<Task, Standing>,
    /// Tasks that are being carried out, or wait for their turn.
    at_work: HashSet<Task>,
    /// Snapshots: one at a time in each pool.
    turns: HashMap<String, Arc<Semaphore>>,
    /// Repositories: held together by backups, alone by what removes some.
    uses: HashMap<String, Arc<RwLock<()>>>,
    /// Repositories that are being pruned, and whose prune failed.
    prunes: HashMap<String, Prune>,
}

/// How far the prune of a repository is.
#[derive(Clone, Debug)]
enum Prune {
    AtWork,
    Failed(Failed),
}

impl Policies {
    /// As the journal has them.
    pub(super) fn new(loaded: Vec<(Task, Standing)>) -> Self {
        let state = State { tasks: loaded.into_iter().collect(), ..State::default() };
        Self {
            state: Mutex::new(state),
            bell: Notify::new(),
            backups: Arc::new(Semaphore::new(BACKUPS)),
        }
    }

    /// Has the loop look now: volumes, their options or their pools changed.
    pub(super) fn look(&self) {
        self.bell.notify_one();
    }

    /// What is known of a task.
    fn standing(&self, task: &Task) -> Option<Standing> {
        self.state().tasks.get(task).cloned()
    }

    /// Who works in a repository, as far as policies do: who removes backups needs it alone,
    /// and a backup had better wait than fail.
    fn uses(&self, repository: &str) -> Arc<RwLock<()>> {
        self.state().uses.entry(repository.to_owned()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion or removal: a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The earlier of two times.
fn sooner(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
