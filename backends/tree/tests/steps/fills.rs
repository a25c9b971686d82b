//! Content that somebody puts there, with each step failing in turn: alone, as an
//! error, and with all that follow, as a crash.

use std::{
    cell::Cell,
    fs, io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use berth_api::{
    Change, Consistency, Context as _, HostId, Observed, Op, PoolId, Result, Sidecar, SnapshotId,
    SnapshotSidecar, Target,
};
use berth_host::failpoint;
use berth_tree::Tree;
use tempfile::TempDir;

use crate::sidecar;

/// More steps than any call has.
const LIMIT: usize = 100;

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

fn fill(_: &Op, target: Target<'_>) -> Result<()> {
    let Target::Directory { top, .. } = target else { panic!("a directory") };
    let path = format!("/proc/self/fd/{}/file", top.as_raw_fd());
    fs::write(path, "restored").context(|| "write")
}

/// A pool, as a daemon that starts finds it.
struct Stage {
    folder: TempDir,
    pool: PoolId,
    host: HostId,
    tree: Tree,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let host = HostId::random();
        let tree = Tree::new("tried", &folder.path().join("pool"));
        let pool = tree.identify(None, host).expect("a pool").pool;
        Self { folder, pool, host, tree }
    }

    fn restart(&mut self) {
        self.tree = Tree::new("tried", &self.folder.path().join("pool"));
        self.tree.identify(Some(self.pool), self.host).expect("the known pool");
    }

    fn volume(&self, volume: &Sidecar) -> PathBuf {
        self.folder.path().join(format!("pool/volumes/{}", volume.spec.id))
    }
}

fn content(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("data/file")).ok()
}

/// Lets `act` fail at its step `at` (from 0), and at all after it if `dead`; answers
/// whether it has so many.
fn failing<T>(at: usize, dead: bool, act: impl FnOnce() -> Result<T>) -> Option<Result<T>> {
    let passed = Rc::new(Cell::new(0));
    let counter = Rc::clone(&passed);
    failpoint::watch(move |_| {
        let number = counter.replace(counter.get() + 1);
        let fails = if dead { number >= at } else { number == at };
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let result = act();
    failpoint::watch(|_| Ok(()));
    (passed.get() > at).then_some(result)
}

/// Runs `case` with each step, until there are no more; some at least there are.
fn each_step(mut case: impl FnMut(usize, bool) -> bool) {
    for dead in [false, true] {
        let steps = (0..LIMIT).take_while(|at| case(*at, dead)).count();
        assert!((6..LIMIT).contains(&steps), "{steps} steps cannot be all");
    }
}

#[test]
fn a_volume_is_filled_whole_or_not_at_all() {
    each_step(|at, dead| {
        let mut stage = Stage::new();
        let volume = sidecar(&[("mode", "0700")]);
        let made = failing(at, dead, || stage.tree.create_from(&op(), &volume, &fill));
        let Some(made) = made else { return false };
        made.expect_err("a step failed");
        stage.restart();
        let observed = stage.tree.inspect(volume.spec.id).expect("evidence");
        let whole = matches!(observed, Observed::Present { .. });
        assert!(dead || !whole, "step {at}: an error leaves {observed:?}");
        if whole {
            assert_eq!(content(&stage.volume(&volume)).as_deref(), Some("restored"), "{at}");
        }
        let again = stage.tree.create_from(&op(), &volume, &fill).expect("made");
        assert_eq!(again == Change::Already, whole, "step {at}");
        assert_eq!(content(&stage.volume(&volume)).as_deref(), Some("restored"), "{at}");
        true
    });
}

#[test]
fn content_is_replaced_whole_or_not_at_all() {
    for undone in [false, true] {
        each_step(|at, dead| {
            let mut stage = Stage::new();
            let volume = sidecar(&[]);
            stage.tree.create(volume.spec.id, &volume).expect("created");
            let folder = stage.volume(&volume);
            fs::write(folder.join("data/file"), "old").expect("written");
            let kept = SnapshotSidecar {
                id: SnapshotId::random(),
                volume: volume.spec.id,
                name: "kept".parse().expect("a valid name"),
                created: volume.spec.created,
                consistency: Consistency::Live,
                policy: None,
            };
            let replaced = failing(at, dead, || stage.tree.replace(&op(), &kept, &fill));
            let Some(replaced) = replaced else { return false };
            replaced.expect_err("a step failed");
            stage.restart();
            if undone {
                undo(&stage, &folder, &kept, at);
            }
            stage.tree.replace(&op(), &kept, &fill).expect("replaced");
            assert_eq!(content(&folder).as_deref(), Some("restored"), "step {at}");
            let place = folder.join(format!("snapshots/{}", kept.id));
            assert_eq!(content(&place).as_deref(), Some("old"), "step {at}");
            let mut left: Vec<_> = fs::read_dir(&folder)
                .expect("readable")
                .map(|entry| entry.expect("readable").file_name())
                .collect();
            left.sort();
            assert_eq!(left, ["data", "snapshots", "volume.json"], "step {at}");
            true
        });
    }
}

/// All is as it was, or it can only go forward.
fn undo(stage: &Stage, folder: &Path, kept: &SnapshotSidecar, at: usize) {
    let undone = stage.tree.undo_roll_back(&op(), kept.volume, kept.id).expect("told");
    let observed = stage.tree.inspect_snapshot(kept.volume, kept.id).expect("evidence");
    if undone {
        assert_eq!(content(folder).as_deref(), Some("old"), "step {at}");
        assert!(!matches!(observed, Observed::Present { .. }), "step {at}: {observed:?}");
        stage.tree.purge_snapshot(&op(), kept.id).expect("purged");
    } else {
        assert!(matches!(observed, Observed::Present { .. }), "step {at}: {observed:?}");
    }
}
