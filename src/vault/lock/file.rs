//! `locks/ID`: who uses a repository, as restic writes and reads it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::repository::Who;

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was last refreshed.
    pub time: Timestamp,
    /// Whether nobody else may use the repository.
    #[serde(default)]
    pub exclusive: bool,
    /// The host of the process.
    #[serde(default)]
    pub hostname: String,
    /// The user's name.
    #[serde(default)]
    pub username: String,
    /// The process.
    #[serde(default)]
    pub pid: i64,
    /// The user.
    #[serde(default)]
    pub uid: u32,
    /// The user's group.
    #[serde(default)]
    pub gid: u32,
}

impl LockFile {
    /// One of this process, as of now.
    pub(super) fn now(who: &Who, exclusive: bool) -> Self {
        Self {
            time: Timestamp::now(),
            exclusive,
            hostname: who.hostname.clone(),
            username: who.username.clone(),
            pid: std::process::id().into(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    /// Seconds since it was refreshed; negative if its clock is ahead of ours.
    pub(super) fn age(&self) -> i64 {
        Timestamp::now().as_second().saturating_sub(self.time.as_second())
    }

    /// Who holds it, for people.
    pub fn holder(&self) -> String {
        let how = if self.exclusive { "an exclusive lock" } else { "a lock" };
        format!(
            "process {} of user `{}` on host `{}` holds {how}, refreshed {} s ago",
            self.pid,
            self.username.escape_debug(),
            self.hostname.escape_debug(),
            self.age().max(0)
        )
    }
}
