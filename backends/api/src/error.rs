//! The one error type: a kind the caller can act on, a text, a hint, a source.
//!
//! Texts are lower case, without a full stop, and name the object in backticks:
//! ``mount `db`: pool `fast` did not answer in 20 s``. [`Display`](fmt::Display)
//! never contains the source; whoever prints walks the chain once, with
//! [`Error::chain`].

use std::{error, fmt, io};

use serde::{Deserialize, Serialize};

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error. Decides exit code and HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// The named object does not exist.
    NotFound,
    /// Another object or a concurrent change is in the way.
    Conflict,
    /// The object is in use; try when it is not.
    Busy,
    /// Known, but not available here; the text says why.
    Unsupported,
    /// Out of space, inodes, quota or slots.
    Exhausted,
    /// A pool, a server or the daemon is not there just now; try again later.
    Unavailable,
    /// What was read back is damaged.
    Corrupt,
    /// A fault that the caller can do nothing about.
    Internal,
}

impl ErrorKind {
    /// The exit code of the command line: 2 invalid, 3 not found, 4 busy,
    /// 5 unsupported, 1 all others.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Busy => 4,
            Self::Unsupported => 5,
            _ => 1,
        }
    }
}

/// An error with the kind that decides what happens next.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    /// An [`ErrorKind::Invalid`] error.
    invalid => Invalid;
    /// An [`ErrorKind::NotFound`] error.
    not_found => NotFound;
    /// An [`ErrorKind::Conflict`] error.
    conflict => Conflict;
    /// An [`ErrorKind::Busy`] error.
    busy => Busy;
    /// An [`ErrorKind::Unsupported`] error.
    unsupported => Unsupported;
    /// An [`ErrorKind::Exhausted`] error.
    exhausted => Exhausted;
    /// An [`ErrorKind::Unavailable`] error.
    unavailable => Unavailable;
    /// An [`ErrorKind::Corrupt`] error.
    corrupt => Corrupt;
    /// An [`ErrorKind::Internal`] error.
    internal => Internal;
}

impl Error {
    /// An error of `kind` whose text is `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    /// The same error with a command or a step that helps.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with its cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// A new error around this one, of the same kind and with the same hint.
    pub fn context(self, message: impl Into<String>) -> Self {
        let mut outer = Self::new(self.0.kind, message);
        outer.0.hint.clone_from(&self.0.hint);
        outer.with_source(self)
    }

    /// The same kind, text (its causes included) and hint, for one more caller.
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::new(self.0.kind, self.chain());
        copy.0.hint.clone_from(&self.0.hint);
        copy
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The command or step that helps, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The text and all its causes in one line, joined by `: `.
    pub fn chain(&self) -> String {
        let mut line = self.0.message.clone();
        let mut next = error::Error::source(self);
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.chain())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Adds what was being done to an error that does not know it.
pub trait Context<T> {
    /// Wraps the error, if any, in one with this text. The kind of an
    /// [`io::Error`] follows from its errno.
    fn context<S: Into<String>>(self, message: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context<S: Into<String>>(self, message: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::new(kind_of(&source), message()).with_source(source))
    }
}

impl<T> Context<T> for Result<T> {
    fn context<S: Into<String>>(self, message: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.context(message()))
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Exhausted,
        Io::ReadOnlyFilesystem
        | Io::PermissionDenied
        | Io::TimedOut
        | Io::StaleNetworkFileHandle
        | Io::ConnectionRefused => ErrorKind::Unavailable,
        Io::ResourceBusy => ErrorKind::Busy,
        Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
        Io::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_source_to_the_chain() {
        let error: Result<()> =
            Err(io::Error::from_raw_os_error(28)).context(|| "write `volume.json`");
        let error = error.expect_err("built as an error");
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert_eq!(error.to_string(), "write `volume.json`");
        assert_eq!(error.chain(), "write `volume.json`: No space left on device (os error 28)");
    }

    #[test]
    fn context_keeps_kind_and_hint() {
        let error = Error::busy("volume `db` is mounted").with_hint("stop its containers");
        let error = error.context("remove `db`");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(error.hint(), Some("stop its containers"));
        assert_eq!(error.chain(), "remove `db`: volume `db` is mounted");
    }
}
