//! What is worth knowing of a pool beyond its health and its space.

/// What a backend says of its pool, for `pool inspect` and `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Properties by name (kebab-case), in the order to show them.
    pub details: Vec<(String, String)>,
    /// What somebody should read.
    pub notices: Vec<Notice>,
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
