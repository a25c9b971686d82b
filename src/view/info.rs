use berth_api::HostId;
use serde::{Deserialize, Serialize};

/// What this daemon is: `berth info --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// The daemon's version.
    pub version: String,
    /// This host's id.
    pub host_id: Option<HostId>,
    /// This host's name, for display.
    pub host: String,
    /// `ready`, `read-only`, or `untrusted` while the catalog is not served.
    pub state: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The folder of its state.
    pub root: String,
    /// The socket Docker talks to.
    pub plugin_socket: String,
    /// The configuration file in force, if there is one.
    pub config: Option<String>,
    /// `host` or `managed-plugin`.
    pub installation: String,
    /// What Docker is told: `local` or `global`.
    pub scope: String,
    /// The pool of volumes that name none.
    pub default_pool: String,
    /// How many pools there are.
    pub pools: u64,
    /// How many volumes, without the removed.
    pub volumes: u64,
    /// How many of them are mounted here.
    pub mounted: u64,
    /// How many jobs are at work.
    pub jobs: u64,
    /// Seconds since the start.
    pub uptime: u64,
}
