//! Every failpoint of snapshots, clones and rollbacks: a `kill -9` and an error
//! there, where content is copied, where it is shared, and where it is a subvolume.
//!
//! Nothing acknowledged is lost, no half snapshot is listed, nothing is left over.
//! Of the passes in one step the first and the last of each failpoint are tried;
//! all of them with `BERTH_LONG=1`.

mod support;

use support::{
    campaign::{self, Pass, ends, enumerate, firsts},
    loopfs::Kind,
    script,
    story::Tale,
};

const COPY: Tale = Tale { script: script::snapshots, disk: None };
const REMOVALS: [&str; 4] = ["remove-snapshot", "remove", "undelete", "purge"];

#[test]
fn a_kill_within_a_snapshot_leaves_all_or_nothing() {
    campaign::kill(COPY, &ends(within(COPY, &["snapshot"])), true);
}

#[test]
fn a_kill_within_a_rollback_leaves_all_or_nothing() {
    campaign::kill(COPY, &ends(within(COPY, &["rollback"])), true);
}

#[test]
fn a_kill_within_a_clone_leaves_all_or_nothing() {
    campaign::kill(COPY, &ends(within(COPY, &["clone"])), true);
}

/// Of a snapshot, or of a volume with its snapshots, and back again.
#[test]
fn a_kill_within_a_removal_leaves_all_or_nothing() {
    campaign::kill(COPY, &ends(within(COPY, &REMOVALS)), true);
}

#[test]
fn a_kill_at_any_failpoint_of_reflinks_loses_nothing() {
    let tale = Tale { script: script::one_of_each, disk: Some(Kind::Xfs) };
    campaign::kill(tale, &ends(of_snapshots(tale)), false);
}

#[test]
fn a_kill_at_any_failpoint_of_subvolumes_loses_nothing() {
    let tale = Tale { script: script::one_of_each, disk: Some(Kind::Btrfs) };
    campaign::kill(tale, &ends(of_snapshots(tale)), false);
}

#[test]
fn an_error_at_any_failpoint_changes_nothing() {
    campaign::fail(COPY, &firsts(of_snapshots(COPY)));
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
