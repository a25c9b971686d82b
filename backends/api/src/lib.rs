//! What a storage backend of Berth is.
//!
//! This crate owns the vocabulary that the engine and the backends share: the
//! [`Backend`] trait, the one [`Error`] type, and newtypes for what would
//! otherwise be bare strings and integers. It does no I/O and knows nothing of
//! HTTP, of databases or of the kernel.
//!
//! Arrows between crates point one way: `berth → vfs → tree → host → api`.
//!
//! | module | noun |
//! |---|---|
//! | [`backend`] | the trait, and what its calls return |
//! | [`content`] | what volumes hold, to be read or put there as a whole |
//! | [`label`] | the SELinux label of a pool's volumes |
//! | [`operation`] | deadline, cancellation and progress of one call |
//! | [`volume`] | ids, names, and the specification of a volume |
//! | [`options`] | `-o KEY=VALUE`: parsing, normalising, comparing |
//! | [`policy`] | names of policies, and the option that has them |
//! | [`extents`] | content of volumes as blocks |
//! | [`snapshot`] | points in time of a volume, and pools that have them |
//! | [`growth`] | pools that can become larger |
//! | [`records`] | records of pools that several hosts share |
//! | [`resize`] | pools that can limit a volume |
//! | [`report`] | what is worth knowing of a pool |
//! | [`origin`] | `from=TEXT`: what a new volume is made from |
//! | [`size`] | a number of bytes as people write it |
//! | [`sidecar`] | `volume.json`, the self-description beside the data |
//! | [`identity`] | `pool.json`, and which host a pool belongs to |
//! | [`checksum`] | how records and sidecars are sealed |
//! | [`error`] | kind, text, hint, source |

pub mod backend;
pub mod checksum;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod content;
pub mod error;
mod estimate;
pub mod extents;
pub mod growth;
pub mod identity;
pub mod label;
pub mod operation;
pub mod options;
pub mod origin;
pub mod policy;
pub mod records;
pub mod report;
pub mod resize;
pub mod sidecar;
pub mod size;
pub mod snapshot;
pub mod volume;

pub use backend::{Backend, Capacity, Change, Found, Handle, Health, Observed, Progress, Source};
pub use content::{Content, Fill, Target};
pub use error::{Context, Error, ErrorKind, Result};
pub use estimate::{Carrier, Estimate, Method};
pub use extents::{BlockReader, Extent, Extents};
pub use growth::Growth;
pub use identity::{HostId, Owner, PoolId, PoolIdentity};
pub use label::Label;
pub use operation::Op;
pub use options::{Access, OnRemove, Options, Subdir};
pub use policy::PolicyName;
pub use records::SharedRecords;
pub use report::{Detail, Level, Notice, Report};
pub use resize::{Resize, Usage};
pub use sidecar::{Layout, Sidecar};
pub use size::Bytes;
pub use snapshot::{
    Consistency, FoundSnapshot, Origin, SnapshotId, SnapshotName, SnapshotSidecar, Snapshots,
};
pub use volume::{VolumeId, VolumeName, VolumeSpec};
