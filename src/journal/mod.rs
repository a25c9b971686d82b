//! What only this host knows: references, jobs, what was brought to rest, and what
//! it remembers of backups and policies.
//!
//! Whether a volume is attached is not written down for directories: the mount
//! table says it, and is believed before any record.

mod backups;
mod jobs;
mod policies;
mod quiesced;
mod references;

pub use backups::{
    LastBackup, Remembered, delete_last_backup, load_last_backups, load_repositories,
    put_last_backup, put_repository,
};
pub use jobs::{delete_job, load_jobs, put_job};
pub use policies::{
    Failed, Kind, Standing, Task, delete_policies_of, delete_policy, load_policies, put_policy,
};
pub use quiesced::{Quiesced, Wake, delete_quiesced, load_quiesced, put_quiesced};
pub use references::{
    Client, Key, Reference, delete_reference, delete_references_of, load_references, put_reference,
    void_references,
};
