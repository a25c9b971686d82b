use berth_api::ErrorKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A long operation, as `job inspect --json` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// What it does: `create`, `mount`, `purge`, `rebuild`, `snapshot`, `rollback`,
    /// `backup`, `verify`, `check`, `prune`, `copy`, `policy`.
    pub kind: String,
    /// The volume it works on, if it is one.
    pub volume: Option<String>,
    /// The pool it works on.
    pub pool: Option<String>,
    /// The repository it works on, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// How far it is.
    pub progress: ProgressView,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Why it failed, in one line.
    pub error: Option<String>,
    /// The kind of that error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// A command or step that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What to know beforehand: that much is copied, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What to say when it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Accepted, not begun.
    Queued,
    /// At work, or waiting for a state of the world.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl JobState {
    /// Whether the job has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProgressView {
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all; 0 while unknown.
    pub bytes_total: u64,
    /// Files done.
    pub files_done: u64,
    /// Bytes a second, since the job began.
    pub rate: u64,
    /// Seconds left at that rate; `null` while unknown.
    pub eta: Option<u64>,
}
