//! Real Docker Engines on NFS volumes: two hosts, each with its own dockerd and its own
//! Berth, on the exports of two servers. What two Engines share is told by
//! `engine_shared`, most of it on a folder of the machine: the guest's processor is
//! emulated, and Docker is slow there.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

#[path = "../support/mod.rs"]
mod support;

#[path = "../engine_shared/containers.rs"]
mod containers;
#[path = "../engine_shared/site.rs"]
mod site;

mod away;
mod place;
