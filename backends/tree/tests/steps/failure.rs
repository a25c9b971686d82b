//! A step that fails: the call says so, and leaves no half.

use std::{env, ffi::OsStr, time::Duration};

use berth_api::{Change, ErrorKind, HostId, Observed, Op};
use berth_host::beneath::{Access, Dir};
use berth_tree::Tree;
use tempfile::TempDir;

use crate::{again, sidecar};

const FAILPOINTS: &str = "BERTH_FAILPOINTS";

/// Whether this is the run that is told to fail; if not, makes it.
fn told(name: &str, order: &str) -> bool {
    let told = env::var_os(FAILPOINTS).is_some();
    if !told {
        again(&format!("failure::{name}"), FAILPOINTS, OsStr::new(order));
    }
    told
}

fn pool() -> (TempDir, Tree) {
    let stage = tempfile::tempdir().expect("a temporary directory");
    let tree = Tree::new("tried", &stage.path().join("pool"));
    tree.identify(None, HostId::random()).expect("a pool");
    (stage, tree)
}

#[test]
fn half_an_owner_is_taken_back() {
    // The create passes it once.
    if !told("half_an_owner_is_taken_back", "beneath.set-mode=error:5@2") {
        return;
    }
    let (stage, tree) = pool();
    let mut described = sidecar(&[("uid", "7"), ("mode", "0750")]);
    let id = described.spec.id;
    tree.create(id, &described).expect("created");
    let data = stage.path().join("pool/volumes").join(id.to_string()).join("data");
    let access = || Dir::open(&data).and_then(|data| data.access()).expect("readable");
    described.spec.options.uid = Some(8);
    described.spec.options.mode = Some("0700".parse().expect("a mode"));
    tree.apply(id, &described).expect_err("the mode cannot be set");
    assert_eq!(access(), Access { uid: 7, gid: 0, mode: 0o750 });
    assert_eq!(tree.apply(id, &described).expect("applied"), Change::Done);
    assert_eq!(access(), Access { uid: 8, gid: 0, mode: 0o700 });
}

#[test]
fn a_create_whose_last_sync_fails_is_incomplete() {
    // Three for the pool's own beginning, one for the folder of volumes.
    let order = "durable.sync-directory=error:28@5";
    if !told("a_create_whose_last_sync_fails_is_incomplete", order) {
        return;
    }
    let (_stage, tree) = pool();
    let described = sidecar(&[]);
    let id = described.spec.id;
    let error = tree.create(id, &described).expect_err("told to");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    assert_eq!(tree.inspect(id).expect("evidence"), Observed::Incomplete);
    assert_eq!(tree.create(id, &described).expect("completed"), Change::Done);
    assert_eq!(tree.inspect(id).expect("evidence"), Observed::Present { empty: true });
    tree.purge(&Op::new(Duration::from_mins(1)), id).expect("purged");
    assert_eq!(tree.inspect(id).expect("evidence"), Observed::Absent);
}
