//! What users may say of pools on NFS, and what they get: versions and addresses,
//! directories that were there before, mount options of volumes, refusals.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

#[path = "../support/mod.rs"]
mod support;

mod locks;
mod mount_options;
mod moved;
mod refusals;
mod site;
mod subdir;
mod versions;
