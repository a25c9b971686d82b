use berth_api::{Bytes, Consistency, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ErrorDetail;

/// A backup, as `backup inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackupView {
    /// Its id, 64 digits; the first of them do, where they are unique.
    pub id: String,
    /// The volume's name when it was backed up.
    pub volume: String,
    /// The volume's id.
    pub volume_id: VolumeId,
    /// The snapshot's name; `null` if none was named.
    pub snapshot: Option<String>,
    /// The repository it is in.
    pub repository: String,
    /// When the content was as it is there.
    pub created: Timestamp,
    /// What can be said of that moment: `quiesced`, `atomic`, `per-file`, `live`.
    pub consistency: Consistency,
    /// How much was read: `full`, `incremental`, `changed-blocks`.
    pub mode: String,
    /// Bytes read from the volume.
    pub bytes_read: Bytes,
    /// Bytes stored anew for it.
    pub bytes_added: Bytes,
    /// Bytes of the content.
    pub size: Bytes,
    /// Files in it.
    pub files: u64,
    /// The host it was made on, by name.
    pub host: String,
    /// That host's id.
    pub host_id: String,
    /// The pool the volume was in.
    pub pool: String,
}

/// The answer to `GET /v1/backups`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Backups {
    /// What was found, oldest first.
    pub backups: Vec<BackupView>,
    /// What went wrong with repositories that could not be listed.
    pub errors: Vec<ErrorDetail>,
}
