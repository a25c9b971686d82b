use berth_api::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A repository, as `repository inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RepositoryView {
    /// Its name in the configuration.
    pub name: String,
    /// Backups that name none go here.
    pub default: bool,
    /// Where it is; without secrets.
    pub location: String,
    /// `ready`, `uninitialised` or `unavailable`.
    pub state: String,
    /// Why it is unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its own id, once seen.
    pub id: Option<String>,
    /// The file on this host with what opens it.
    pub key_file: String,
    /// When the operator said that a copy of that file is elsewhere.
    pub key_confirmed: Option<Timestamp>,
    /// How many keys open it.
    pub keys: Option<u64>,
    /// How many backups are in it, of all hosts.
    pub backups: Option<u64>,
    /// What its packs take; only where one repository is looked at.
    pub size: Option<Bytes>,
    /// When this host last checked it.
    pub checked: Option<Timestamp>,
    /// What that check found wrong.
    pub problems: Option<u64>,
    /// When this host last pruned it.
    pub pruned: Option<Timestamp>,
}

/// A key of a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// The key file of this host opens it.
    pub current: bool,
    /// Who made it.
    pub username: String,
    /// On which host.
    pub hostname: String,
    /// When.
    pub created: Timestamp,
}
