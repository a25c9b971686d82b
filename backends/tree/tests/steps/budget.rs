//! How many syncs each call costs, and in which order its steps are.
//!
//! Read from the trace of the failpoints that stand before each step. The trace
//! is chosen by the environment of the process, so that the test runs itself
//! again with one.

use std::{env, fs::File, os::unix::fs::FileExt as _, path::PathBuf, time::Duration};

use berth_api::{Consistency, HostId, Op, SnapshotId, SnapshotSidecar};
use berth_tree::Tree;

use crate::{again, sidecar};

const TRACE: &str = "BERTH_FAILPOINTS_TRACE";

const FILE: &str = "durable.sync-file";
const DIRECTORY: &str = "durable.sync-directory";
const FILE_SYSTEM: &str = "beneath.sync-file-system";

#[test]
fn each_call_costs_what_the_architecture_says() {
    let Some(trace) = env::var_os(TRACE).map(PathBuf::from) else {
        let stage = tempfile::tempdir().expect("a temporary directory");
        again(
            "budget::each_call_costs_what_the_architecture_says",
            TRACE,
            stage.path().join("trace").as_os_str(),
        );
        return;
    };
    let stage = tempfile::tempdir().expect("a temporary directory");
    let tree = Tree::new("tried", &stage.path().join("pool"));
    tree.identify(None, HostId::random()).expect("a pool");
    let mut trace = Trace { file: File::open(trace).expect("traced"), read: 0 };
    trace.steps();
    let op = Op::new(Duration::from_mins(1));

    let plain = sidecar(&[]);
    let id = plain.spec.id;
    tree.create(id, &plain).expect("created");
    assert_eq!(
        trace.steps(),
        [
            "beneath.make-directory",
            "beneath.make-directory",
            "beneath.set-mode",
            DIRECTORY,
            "durable.make-file",
            "durable.write",
            FILE,
            "durable.rename",
            DIRECTORY,
        ],
        "the sidecar last, and whole"
    );
    let owned = sidecar(&[("uid", "7"), ("mode", "0700")]);
    tree.create(owned.spec.id, &owned).expect("created");
    assert_eq!(trace.syncs(), [DIRECTORY, DIRECTORY, FILE, DIRECTORY]);

    let mut changed = plain.clone();
    changed.spec.options.on_remove = berth_api::OnRemove::Retain;
    tree.describe(id, &changed).expect("described");
    assert_eq!(trace.syncs(), [FILE, DIRECTORY]);
    changed.spec.options.uid = Some(9);
    tree.describe(id, &changed).expect("described");
    assert_eq!(trace.syncs(), [DIRECTORY, FILE, DIRECTORY]);

    let mut take = |name: &str| {
        let snapshot = SnapshotSidecar {
            id: SnapshotId::random(),
            volume: owned.spec.id,
            name: name.parse().expect("a valid name"),
            created: plain.spec.created,
            consistency: Consistency::Live,
            policy: None,
        };
        tree.create_snapshot(&op, owned.spec.id, &snapshot, &|| false).expect("taken");
        trace.syncs()
    };
    let first = take("first");
    assert_eq!(first, [DIRECTORY, FILE_SYSTEM, FILE, DIRECTORY], "the pool's folder to purge");
    assert_eq!(take("second"), [FILE_SYSTEM, FILE, DIRECTORY], "content, then description");

    tree.attach(id).expect("attached");
    tree.inspect(id).expect("evidence");
    tree.list(&op).expect("listed");
    assert!(trace.steps().is_empty(), "looking changes nothing");

    tree.remove(id).expect("removed");
    assert_eq!(trace.steps(), ["beneath.rename", DIRECTORY, DIRECTORY]);
    tree.restore(id).expect("restored");
    assert_eq!(trace.steps(), ["beneath.rename", DIRECTORY, DIRECTORY]);
    tree.remove(id).expect("removed");
    trace.steps();
    tree.purge(&op, id).expect("purged");
    assert_eq!(
        trace.steps(),
        [
            "beneath.unlink",
            DIRECTORY,
            "beneath.remove-directory",
            "beneath.remove-directory",
            DIRECTORY
        ],
        "the sidecar first"
    );
}

struct Trace {
    file: File,
    read: u64,
}

impl Trace {
    /// The steps since the last look.
    fn steps(&mut self) -> Vec<String> {
        let length = self.file.metadata().expect("readable").len();
        let mut new = vec![0; usize::try_from(length - self.read).expect("it fits")];
        self.file.read_exact_at(&mut new, self.read).expect("readable");
        self.read = length;
        String::from_utf8(new).expect("names are text").lines().map(str::to_owned).collect()
    }

    fn syncs(&mut self) -> Vec<String> {
        let mut steps = self.steps();
        steps.retain(|step| [FILE, DIRECTORY, FILE_SYSTEM].contains(&step.as_str()));
        steps
    }
}
