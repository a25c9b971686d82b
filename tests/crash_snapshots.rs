//! Every failpoint of snapshots, clones and rollbacks: a `kill -9` and an error
//! there, where content is copied, where it is shared, and where it is a subvolume.
//!
//! Nothing acknowledged is lost, no half snapshot is listed, nothing is left over.
//! Of each verb one step is tried, and of loops the first and the last pass; all of
//! them with `BERTH_LONG=1`.

mod support;

use std::collections::BTreeSet;

use support::{
    campaign::{self, Pass, enumerate, firsts, fullest, is_long},
    loopfs::Kind,
    script,
    story::Tale,
};

const COPY: Tale = Tale { script: script::snapshots, disk: None };
const REFLINK: Tale = Tale { script: script::one_of_each, disk: Some(Kind::Xfs) };
const SUBVOLUME: Tale = Tale { script: script::one_of_each, disk: Some(Kind::Btrfs) };
const REMOVALS: [&str; 4] = ["remove-snapshot", "remove", "undelete", "purge"];

/// The shortest form of what follows, for an engine that acts before it records.
#[test]
fn a_kill_in_the_middle_of_a_copy_leaves_nothing() {
    let tale = Tale { script: script::one_of_each, disk: None };
    let mut passes = firsts(of_snapshots(tale));
    passes.retain(|pass| pass.name == "copy.file");
    assert_eq!(passes.len(), 3, "a snapshot, a rollback, a clone: {passes:?}");
    campaign::kill(tale, &passes, false);
}

#[test]
fn a_kill_within_a_snapshot_leaves_all_or_nothing() {
    campaign::kill(COPY, &fullest(within(COPY, &["snapshot"])), true);
}

#[test]
fn a_kill_within_a_rollback_leaves_all_or_nothing() {
    campaign::kill(COPY, &fullest(within(COPY, &["rollback"])), true);
}

#[test]
fn a_kill_within_a_clone_leaves_all_or_nothing() {
    campaign::kill(COPY, &fullest(within(COPY, &["clone"])), true);
}

/// Of a snapshot, or of a volume with its snapshots, and back again.
#[test]
fn a_kill_within_a_removal_leaves_all_or_nothing() {
    campaign::kill(COPY, &fullest(within(COPY, &REMOVALS)), true);
}

#[test]
fn a_kill_at_any_failpoint_of_reflinks_loses_nothing() {
    campaign::kill(REFLINK, &firsts(of_snapshots(REFLINK)), is_long());
}

#[test]
fn a_kill_at_any_failpoint_of_subvolumes_loses_nothing() {
    campaign::kill(SUBVOLUME, &fullest(of_snapshots(SUBVOLUME)), is_long());
}

#[test]
fn an_error_at_any_failpoint_of_copies_changes_nothing() {
    campaign::fail(COPY, &firsts(of_snapshots(COPY)));
}

/// At the failpoints that are not passed where files are copied.
#[test]
fn an_error_at_any_failpoint_of_subvolumes_changes_nothing() {
    let known: BTreeSet<_> = enumerate(COPY).into_iter().map(|pass| pass.name).collect();
    let mut passes = firsts(of_snapshots(SUBVOLUME));
    passes.retain(|pass| !known.contains(&pass.name));
    assert!(!passes.is_empty(), "no subvolume is made");
    campaign::fail(SUBVOLUME, &passes);
}

/// Passes of other verbs have a campaign of their own.
fn of_snapshots(tale: Tale) -> Vec<Pass> {
    within(tale, &[&["snapshot", "rollback", "clone"], &REMOVALS[..]].concat())
}

fn within(tale: Tale, verbs: &[&str]) -> Vec<Pass> {
    let mut passes = enumerate(tale);
    passes.retain(|pass| verbs.contains(&pass.verb.as_str()));
    passes
}
