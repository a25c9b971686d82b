//! What users and scripts see: the JSON types of the control API and of
//! `--json`. Stable: fields are added, never renamed.
//!
//! Field names are kebab-case, times RFC 3339 UTC, sizes bytes.

mod backup;
mod diagnosis;
mod error;
mod info;
mod job;
mod policy;
mod pool;
mod repository;
mod request;
mod snapshot;
mod volume;

pub use backup::{BackupView, Backups};
pub use diagnosis::{Diagnosis, Finding, Severity};
pub use error::{ErrorBody, ErrorDetail};
pub use info::Info;
pub use job::{JobState, JobView, ProgressView};
pub use policy::{PlannedView, PolicyView, RemovalView, TaskView};
pub use pool::PoolView;
pub use repository::{KeyView, RepositoryView};
pub use request::{
    AddKey, CheckRepository, CopyBackups, CreateBackup, CreateSnapshot, CreateVolume, Grow, Grown,
    MountVolume, Mounted, PruneRepository, Rebuild, Repair, ResizeVolume, RestoreHost, RollBack,
    SetVolume, VerifyBackups,
};
pub use snapshot::SnapshotView;
pub use volume::VolumeView;
