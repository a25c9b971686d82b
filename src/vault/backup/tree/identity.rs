//! What tells in the next backup whether a file is still the same.
//!
//! That is inode and time of change of the *origin*: the volume's own file, where the
//! tree is a copy of it. They are written only if equality will prove something: a
//! file that changed right before it was read may change once more at the same tick
//! of the kernel's clock, and is *racy*.

use berth_host::beneath::{Stat, Time, copy::Origins};
use jiff::{SignedDuration, Timestamp};

use super::describe::timestamp;
use crate::format::{Node, NodeKind};

/// How near to the moment it was read a time of change proves nothing. A tick of the
/// kernel's clock takes 10 ms at most; the rest is for clocks of servers and for the
/// time that taking a snapshot takes.
const RACY: SignedDuration = SignedDuration::from_secs(2);
/// The device of inodes that are the origin's.
const ORIGIN: u64 = 1;
/// The device of inodes that are the copy's own.
const COPY: u64 = 2;

/// Where inodes and times of change come from.
#[derive(Debug)]
pub(super) enum Identities<'a> {
    /// From beside the copy.
    Noted(&'a Origins),
    /// They are the origin's own, as they were at that moment.
    Snapshot(Timestamp),
    /// They are the origin's own, just now.
    Live,
}

impl Identities<'_> {
    /// Adds inode, device and time of change to the node of what is `stat`. Called
    /// before its content is read.
    pub(super) fn add(&self, node: &mut Node, stat: &Stat) {
        let shared = stat.links > 1 && node.kind != NodeKind::Dir;
        let until = match self {
            Self::Noted(origins) => {
                match origins.find(stat.inode).filter(|_| node.kind == NodeKind::File) {
                    Some(origin) if origin.racy => set(node, shared, ORIGIN, origin.origin),
                    Some(origin) => {
                        set(node, true, ORIGIN, origin.origin);
                        node.ctime = Some(timestamp(origin.changed));
                    }
                    None => set(node, shared, COPY, stat.inode),
                }
                return;
            }
            Self::Snapshot(moment) => *moment,
            Self::Live => Timestamp::now(),
        };
        let racy = is_racy(stat.changed, until);
        set(node, shared || !racy, ORIGIN, stat.inode);
        node.ctime = (!racy).then(|| timestamp(stat.changed));
    }
}

/// Whether nothing of a file has changed since the parent's `known`: both have an
/// identity, and the same one.
pub(super) fn is_same(known: &Node, node: &Node) -> bool {
    let identity = |node: &Node| {
        let (inode, device) = (node.inode, node.device_id);
        let proven = node.kind == NodeKind::File && inode != 0 && node.ctime.is_some();
        proven.then_some((inode, device, node.ctime, node.mtime, node.size))
    };
    // Saboteur `skip-change-time`: the time of change is not looked at.
    if berth_host::failpoint::sabotaged("skip-change-time") {
        return known.kind == node.kind && (known.mtime, known.size) == (node.mtime, node.size);
    }
    identity(known).is_some_and(|known| identity(node) == Some(known))
}

/// Nodes with one inode are one file, so a number stands only where it is known, or
/// where names have to find each other.
fn set(node: &mut Node, known: bool, device: u64, inode: u64) {
    if known {
        (node.inode, node.device_id) = (inode, device);
    }
}

fn is_racy(changed: Time, until: Timestamp) -> bool {
    timestamp(changed) > until.saturating_sub(RACY).unwrap_or(Timestamp::MIN)
}
