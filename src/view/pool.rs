use std::collections::BTreeMap;

use berth_api::{Bytes, Detail, PoolId};
use serde::{Deserialize, Serialize};

/// A pool, as `pool inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolView {
    /// Its name in the configuration.
    pub name: String,
    /// Its technology.
    pub backend: String,
    /// New volumes go here unless they say otherwise.
    pub default: bool,
    /// The id of its identity file, once seen.
    pub id: Option<PoolId>,
    /// Where it is.
    pub path: String,
    /// `ready`, `unavailable`, or `unconfigured` where only records are left.
    pub state: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Several hosts may use it.
    pub shared: bool,
    /// Volumes in it, without the removed.
    pub volumes: u64,
    /// Volumes in its trash.
    pub removed: u64,
    /// All its space.
    pub total: Option<Bytes>,
    /// Its free space.
    pub free: Option<Bytes>,
    /// Seconds that a removed volume stays in the trash.
    pub trash: u64,
    /// Seconds since its server has not answered, where it lies on one and that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<u64>,
    /// Calls into the backend that are stuck in the kernel now.
    pub stuck: u64,
    /// What its backend says of it besides: properties by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Detail>,
    /// What it can do: `create`, `mount`, `rebuild`, …
    pub capabilities: Vec<String>,
}
