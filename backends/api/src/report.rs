//! What is worth knowing of a pool beyond its health and its space.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// What a backend says of its pool, for `pool inspect` and `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Properties by name (kebab-case), in the order to show them.
    pub details: Vec<(String, Detail)>,
    /// What somebody should read.
    pub notices: Vec<Notice>,
}

/// One property. As JSON a boolean, a number of bytes, or text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// Whether it has something.
    Flag(bool),
    /// A size.
    Size(Bytes),
    /// Anything else.
    Text(String),
}

/// One thing that somebody should read. The pool can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How urgent it is.
    pub level: Level,
    /// What was seen: lower case, without a full stop.
    pub text: String,
    /// What to do; may have several lines.
    pub hint: Option<String>,
}

/// How urgent a [`Notice`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Someone should look.
    Warning,
    /// It could be better.
    Note,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Size(size) => size.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Notice {
    /// Something to look at.
    pub fn warning(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into(), hint: Some(hint.into()) }
    }

    /// Something that could be better.
    pub fn note(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Note, text: text.into(), hint: Some(hint.into()) }
    }
}
