//! Records in files on a real NFS server, driven: the steps of two clients, answers
//! that are lost on the way, hosts that die between two steps. (What somebody planted
//! there is tried by whole daemons, in `guest_nfs_shared`.)
//!
//! Of the schedules a sample is drawn; `BERTH_LONG=1` runs all.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

#[path = "../../../tree/tests/shared_records/attachments.rs"]
mod attachments;
#[path = "../../../tree/tests/shared_records/crashes.rs"]
mod crashes;
mod lost;
#[path = "../../../tree/tests/shared_records/names.rs"]
mod names;
mod place;
#[path = "../../../tree/tests/shared_records/pool.rs"]
mod pool;
#[path = "../../../tree/tests/shared_records/schedule.rs"]
mod schedule;
#[allow(dead_code, unreachable_pub, reason = "tests of other crates take other parts")]
mod support;
#[path = "../../../tree/tests/shared_records/writers.rs"]
mod writers;
