use serde::{Deserialize, Serialize};

/// What `berth doctor --json` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnosis {
    /// No finding is an error.
    pub healthy: bool,
    /// All findings, worst first.
    pub findings: Vec<Finding>,
}

/// One thing that doctor looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: `catalog`, ``pool `fast` ``, ``volume `db` ``.
    pub subject: String,
    /// What was seen.
    pub message: String,
    /// What to do; may have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How bad a finding is. Ordered, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Someone must act.
    Error,
    /// Someone should look.
    Warning,
    /// It could be better.
    Note,
    /// As it should be.
    Ok,
}
