use std::collections::BTreeMap;

use berth_api::VolumeId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A policy, as `policy ls --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyView {
    /// Its name in the configuration.
    pub name: String,
    /// When it takes snapshots, as the file says it.
    pub snapshot: Option<String>,
    /// When it makes backups.
    pub backup: Option<String>,
    /// Where these go.
    pub repository: Option<String>,
    /// How many snapshots stay, by rule; all, if there are no rules.
    pub keep_snapshots: BTreeMap<String, u32>,
    /// How many backups stay.
    pub keep_backups: BTreeMap<String, u32>,
    /// How many volumes have it.
    pub volumes: u64,
    /// How many of its tasks failed when they were last tried.
    pub failing: u64,
    /// When it makes something next; never, without volumes.
    pub next: Option<Timestamp>,
    /// What it does to each volume; only of `policy inspect`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskView>,
}

/// What a policy makes of one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskView {
    /// The volume.
    pub volume: String,
    /// Its id.
    pub volume_id: VolumeId,
    /// `snapshot` or `backup`.
    pub kind: String,
    /// `waiting`, `running`, `failed` (and tried again) or `skipped`.
    pub state: String,
    /// Why it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the schedule says after this time is made; `null` for a moment after the volume
    /// got the policy.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The time of the schedule that was last done.
    pub last: Option<Timestamp>,
    /// When that was done.
    pub finished: Option<Timestamp>,
    /// What came of it: `VOLUME@NAME`, or a backup's id.
    pub outcome: Option<String>,
    /// When it is tried again, or comes next.
    pub next: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Since when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Why what is not kept any more could not be removed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_error: Option<String>,
    /// When what is not kept any more is removed, if that has yet to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_next: Option<Timestamp>,
}

/// What `policy run` would do to one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedView {
    /// The policy.
    pub policy: String,
    /// The volume.
    pub volume: String,
    /// `snapshot` or `backup`.
    pub kind: String,
    /// Where the backup would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The snapshot that would be taken; a backup's id comes of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<String>,
    /// Why nothing would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would be removed, oldest first.
    pub removes: Vec<RemovalView>,
}

/// Something that would be removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemovalView {
    /// `VOLUME@NAME`, or the backup's id.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Why.
    pub reason: String,
}
