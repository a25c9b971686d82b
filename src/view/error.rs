use berth_api::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// `{"error": {"kind", "message", "hint"}}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ErrorDetail {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// The text with all its causes, one line.
    pub message: String,
    /// A command or step that helps.
    pub hint: Option<String>,
}

impl From<&Error> for ErrorBody {
    fn from(error: &Error) -> Self {
        Self {
            error: ErrorDetail {
                kind: error.kind(),
                message: error.chain(),
                hint: error.hint().map(ToOwned::to_owned),
            },
        }
    }
}

impl From<ErrorBody> for Error {
    fn from(body: ErrorBody) -> Self {
        let error = Self::new(body.error.kind, body.error.message);
        match body.error.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
