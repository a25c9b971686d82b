use berth_api::{Bytes, Consistency, SnapshotId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A snapshot, as `snapshot inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotView {
    /// `VOLUME@NAME`.
    pub name: String,
    /// The id it has for good.
    pub id: SnapshotId,
    /// Its volume.
    pub volume: String,
    /// The pool of both.
    pub pool: String,
    /// When it was taken.
    pub created: Timestamp,
    /// What it takes by itself, where the storage knows that.
    pub size_used: Option<Bytes>,
    /// What can be said of that moment: `quiesced`, `atomic`, `per-file`, `live`.
    pub consistency: Consistency,
    /// Nobody can write into it: always true.
    pub read_only: bool,
}
