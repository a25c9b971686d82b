use std::collections::BTreeMap;

use berth_api::{Bytes, Options, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A volume, as `volume inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VolumeView {
    /// The name it is found by.
    pub name: String,
    /// The id it has for good.
    pub id: VolumeId,
    /// Its pool.
    pub pool: String,
    /// The technology of its pool.
    pub backend: String,
    /// `creating`, `ready`, `removing`, `removed`, `faulty` or `unavailable`.
    pub state: String,
    /// Its size or limit, if it has one.
    pub size: Option<Bytes>,
    /// What it takes, where that is known.
    pub used: Option<Bytes>,
    /// When that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// Where it is (or would be) mounted: always the same.
    pub mountpoint: String,
    /// How many mounts are counted on this host.
    pub references: u64,
    /// It is mounted here.
    pub mounted: bool,
    /// A process holds it though nothing is counted; `null` where unknown.
    pub held: Option<bool>,
    /// When it was accepted.
    pub created: Timestamp,
    /// How many snapshots it has.
    pub snapshots: u64,
    /// When it was last backed up.
    pub last_backup: Option<Timestamp>,
    /// That backup's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup_id: Option<String>,
    /// The repository it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup_repository: Option<String>,
    /// The host it is on, by name.
    pub host: String,
    /// What can be done with it: `mount`, `set`, …
    pub capabilities: Vec<String>,
    /// The options in force.
    pub options: Options,
    /// The options it was created with.
    pub given: BTreeMap<String, String>,
    /// Why it is faulty or unavailable, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was removed; only of those in the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
    /// When the trash lets go of it; absent while retained without expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// How many seconds ago its pool was last read, where other hosts may have
    /// changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
}
