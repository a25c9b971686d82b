use std::collections::BTreeMap;

use berth_api::Bytes;
use serde::{Deserialize, Serialize};

/// `POST /v1/volumes`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateVolume {
    /// The name, not yet validated.
    pub name: String,
    /// The options as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `PATCH /v1/volumes/NAME`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetVolume {
    /// The options to change.
    pub options: BTreeMap<String, String>,
}

/// `POST /v1/volumes/NAME/resize`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ResizeVolume {
    /// What the volume may take: `10G`.
    pub size: String,
}

/// `POST /v1/volumes/NAME/snapshots`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateSnapshot {
    /// Its name, not yet validated; made up of the time if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The hook that brings the application to rest meanwhile.
    #[serde(default)]
    pub quiesce: Option<String>,
}

/// `POST /v1/volumes/NAME/backups`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CreateBackup {
    /// The snapshot's name in the volume; its content now, if absent.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// The repository; the default one, if absent.
    #[serde(default)]
    pub repository: Option<String>,
}

/// `POST /v1/backups/verify`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VerifyBackups {
    /// Which, by the first digits of their ids; all, if there are none.
    #[serde(default)]
    pub ids: Vec<String>,
    /// In this repository only.
    #[serde(default)]
    pub repository: Option<String>,
}

/// `POST /v1/backups/restore`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RestoreHost {
    /// The host whose volumes are restored, by name or id.
    pub host: String,
    /// From this repository only.
    #[serde(default)]
    pub repository: Option<String>,
}

/// `POST /v1/repositories/NAME/check`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CheckRepository {
    /// All data is read back, too.
    #[serde(default)]
    pub read_data: bool,
}

/// `POST /v1/repositories/NAME/prune`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PruneRepository {
    /// Only say what would be freed.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/repositories/NAME/copy`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CopyBackups {
    /// The repository that they are copied into.
    pub to: String,
    /// Which, by the first digits of their ids; all, if there are none.
    #[serde(default)]
    pub ids: Vec<String>,
}

/// `POST /v1/repositories/NAME/keys`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddKey {
    /// A file on the daemon's host whose first line opens the repository from now
    /// on, too. An absolute path.
    pub password_file: std::path::PathBuf,
}

/// `POST /v1/volumes/NAME/repair`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repair {
    /// A host that will not come back, by id or name.
    pub forget_host: String,
}

/// `POST /v1/volumes/NAME/rollback`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RollBack {
    /// The snapshot's name in the volume.
    pub snapshot: String,
}

/// `POST /v1/volumes/NAME/mount` and `…/unmount`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MountVolume {
    /// Whose mount it is; counted separately from Docker's.
    #[serde(default = "default_id")]
    pub id: String,
}

fn default_id() -> String {
    "cli".to_owned()
}

/// The answer to a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mounted {
    /// Where the volume is.
    pub mountpoint: String,
}

/// `POST /v1/pools/NAME/grow`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Grow {
    /// How large; without, as large as it should be.
    #[serde(default)]
    pub size: Option<Bytes>,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grown {
    /// How large what the pool lies in is now.
    pub size: Bytes,
}

/// `POST /v1/pools/NAME/rebuild` and `POST /v1/pools/rebuild` (all)
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rebuild {
    /// Write this host into the pool's identity.
    #[serde(default)]
    pub take_over: bool,
}
