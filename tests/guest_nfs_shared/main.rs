//! The stories of several hosts, on an export of a real NFS server: each host mounts
//! it by itself, as a client of its own.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

#[path = "../support/mod.rs"]
mod support;

#[path = "../shared/convoy.rs"]
mod convoy;
#[path = "../shared/crashes.rs"]
mod crashes;
mod crowd;
#[path = "../shared/gone.rs"]
mod gone;
#[path = "../shared/hostile.rs"]
mod hostile;
#[path = "../shared/life.rs"]
mod life;
#[path = "../shared/pair.rs"]
mod pair;
mod place;
#[path = "../shared/races.rs"]
mod races;
