//! The records of volumes and pools: the truth for host-local pools.
//!
//! Owns what a record is and how it is a row; knows nothing of backends and of
//! verbs. Every row carries a seal over its fields: a damaged row is noticed
//! and becomes one `faulty` volume, never a wrong answer.

mod record;
mod rows;

pub use record::{
    BackupOrigin, MadeFrom, Origin, Place, Record, Rollback, Snapshot, SnapshotState, State,
};
pub use rows::{Loaded, delete_volume, load, put_pool, put_volume};
