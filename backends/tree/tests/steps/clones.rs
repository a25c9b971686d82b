//! What another host does with the origin of a clone while it is copied.

use std::{fs, path::Path, time::Duration};

use berth_api::{
    Consistency, ErrorKind, HostId, Observed, Op, Sidecar, SnapshotId, SnapshotSidecar,
};
use berth_host::failpoint;
use berth_tree::Tree;

use crate::sidecar;

/// Copying has ended, and nothing says so yet.
const COPIED: &str = "beneath.sync-file-system";

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

/// A pool with a volume that has a file and a snapshot.
fn stage(path: &Path) -> (Tree, Sidecar, SnapshotSidecar) {
    let tree = Tree::new("tried", path);
    tree.identify(None, HostId::random()).expect("a pool");
    let volume = sidecar(&[]);
    let id = volume.spec.id;
    tree.create(id, &volume).expect("created");
    fs::write(path.join(format!("volumes/{id}/data/file")), "content").expect("written");
    let snapshot = SnapshotSidecar {
        id: SnapshotId::random(),
        volume: id,
        name: "one".parse().expect("a valid name"),
        created: volume.spec.created,
        consistency: Consistency::Live,
        policy: None,
    };
    let taken = tree.create_snapshot(&op(), id, &snapshot, &|| false).expect("taken");
    (tree, volume, taken)
}

/// A clone whose origin is removed for good by another host may lack what was
/// deleted before it was copied: it is refused, and never a whole volume.
#[test]
fn an_origin_that_goes_away_is_noticed() {
    for of_snapshot in [true, false] {
        let stage_folder = tempfile::tempdir().expect("a temporary directory");
        let path = stage_folder.path().join("pool");
        let (tree, volume, snapshot) = stage(&path);
        let (from, id) = (volume.spec.id, snapshot.id);
        let gone = if of_snapshot {
            path.join(format!("volumes/{from}/snapshots/{id}"))
        } else {
            path.join(format!("volumes/{from}"))
        };
        failpoint::watch(move |name| {
            if name == COPIED && gone.exists() {
                fs::remove_dir_all(&gone)?;
            }
            Ok(())
        });
        let clone = sidecar(&[]);
        let error = tree
            .clone_volume(&op(), from, of_snapshot.then_some(id), &clone)
            .expect_err("the origin is gone");
        failpoint::watch(|_| Ok(()));
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.chain().contains("went away"), "{error:?}");
        let observed = tree.inspect(clone.spec.id).expect("evidence");
        assert_eq!(observed, Observed::Incomplete, "never whole");
    }
}
