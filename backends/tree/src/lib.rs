//! What a directory volume is, for every backend that keeps volumes as
//! directories.
//!
//! ```text
//! POOL/.berth/pool.json              whose pool this is
//! POOL/.berth/trash/<id>/            removed volumes, whole
//! POOL/volumes/<id>/volume.json      what the volume says of itself
//! POOL/volumes/<id>/data/            what is mounted; a subvolume on Btrfs
//! POOL/volumes/<id>/snapshots/<sid>/ points in time, each with data of its own
//! POOL/.berth/purge/<sid>/           removed snapshots, being deleted
//! ```
//!
//! A pool that several hosts share has its records beside that:
//!
//! ```text
//! POOL/.berth/records/<id>/<version>       what a volume is
//! POOL/.berth/names/<name>/<version>       which volume has a name
//! POOL/.berth/attachments/<id>/<host>      who has a volume
//! POOL/.berth/scratch/<host>.<operation>   what is being written
//! ```
//!
//! This crate knows nothing of names, expiry or mounts. What it holds:
//! - A volume is complete when `volume.json` is; it is written last, and appears
//!   whole or not at all. A purge takes it away first.
//! - Whatever answers without an error is on stable storage, also where a
//!   repetition finds nothing left to do.
//! - The pool is opened anew by each call and its identity compared: a disk that
//!   was unmounted or swapped is `Unavailable`, and never looks like absence.
//! - Below the pool's root no link is followed and no mount crossed.
//!
//! | module | noun |
//! |---|---|
//! | `backend` | the pool, as a [`berth_api::Backend`], in a place of any kind |
//! | `place` | what tells one kind of place from another |
//! | `handle` | its names for a volume and a snapshot |
//! | `snapshots` | the accessor for snapshots |
//! | [`pool`] | the root: opening it, health, capacity |
//! | `identity` | `pool.json`: making, checking, taking over |
//! | `volume` | create, describe, attach, inspect |
//! | `subdir` | what a volume shows: its own directory, or one of others |
//! | `trash` | remove, restore, purge |
//! | `limit` | what a volume may take: its project |
//! | `count` | what it takes, where only a walk tells |
//! | `snapshot` | take, remove, look at snapshots |
//! | `clone` | new volumes with content: that of others, or what somebody puts there |
//! | `rollback` | other content in the place of a volume's, and back |
//! | `content` | carrying content from one folder to another, having it filled |
//! | `squash` | file servers that take root for somebody else |
//! | `listing` | everything in the pool |
//! | `records` | records, names and attachments of pools that several hosts share |
//! | `coherence` | file systems that show all hosts the same |

mod backend;
mod clone;
mod coherence;
mod content;
mod count;
mod handle;
mod identity;
mod limit;
mod listing;
mod place;
pub mod pool;
mod records;
mod rollback;
mod snapshot;
mod snapshots;
mod squash;
mod subdir;
mod trash;
mod volume;

pub use backend::Directories;
pub use listing::Entry;
pub use place::{Gate, Place, Shown};
pub use pool::{Sharing, Tree};
pub use snapshot::SnapshotEntry;
