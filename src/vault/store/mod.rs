//! Where the files of a repository are.
//!
//! Files are named by what they are and by the digest of their content, are written
//! once and whole, and are never changed.

pub mod directory;
pub mod limit;
pub mod s3;

use std::{error::Error as _, fmt, fmt::Debug, io, ops::Range};

use berth_api::{Error, ErrorKind, Op, Result};
use bytes::Bytes;

use crate::format::Id;

/// What a file of a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The one `config`; its id is not looked at.
    Config,
    /// `keys/ID`.
    Key,
    /// `locks/ID`.
    Lock,
    /// `snapshots/ID`.
    Snapshot,
    /// `index/ID`.
    Index,
    /// `data/xx/ID`.
    Pack,
}

/// One file in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileInfo {
    /// Its id.
    pub id: Id,
    /// Its length, in bytes.
    pub size: u64,
}

/// Where the files of one repository are. Calls block, may run beside each other,
/// and give up soon when `op` is cancelled.
///
/// # Errors
/// All calls: `Unavailable` if the place does not answer or refuses us, with a hint;
/// `Exhausted` if it is full.
pub trait Store: Debug + Send + Sync {
    /// What users call the place; without secrets.
    fn location(&self) -> String;

    /// Makes the folders of a new repository, where the place has such.
    fn create(&self, op: &Op) -> Result<()>;

    /// All files of that kind, complete, in no order.
    fn list(&self, op: &Op, kind: Kind) -> Result<Vec<FileInfo>>;

    /// A whole file.
    ///
    /// # Errors
    /// `NotFound`.
    fn read(&self, op: &Op, kind: Kind, id: &Id) -> Result<Bytes>;

    /// A part of a file: all of `range`, or an error.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if the file is shorter.
    fn read_range(&self, op: &Op, kind: Kind, id: &Id, range: Range<u64>) -> Result<Bytes>;

    /// Writes a file: whole and on stable storage on return, or not there. One that
    /// is there already is left as it is, but `Config` is not: that is refused.
    ///
    /// # Errors
    /// `Conflict` if there is a `Config` already.
    fn write(&self, op: &Op, kind: Kind, id: &Id, bytes: Bytes) -> Result<()>;

    /// Removes a file. Absent is success.
    fn remove(&self, op: &Op, kind: Kind, id: &Id) -> Result<()>;

    /// Removes what writes that were cut off left; under an exclusive lock.
    fn sweep(&self, op: &Op) -> Result<()>;

    /// Whether round trips decide how fast it is: then more is asked for at a time.
    fn is_distant(&self) -> bool {
        false
    }
}

/// The source of an error where the place answers, and denies us what was asked.
#[derive(Debug)]
pub struct Denied(pub String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Denied {}

/// Whether an error of [`Store::write`] or [`Store::remove`] says that the place takes
/// nothing from us, though it may well be read: read-only, denied, or full.
pub fn takes_nothing(error: &Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let mut next = error.source();
    while let Some(cause) = next {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(io, Some(PermissionDenied | ReadOnlyFilesystem)) || cause.is::<Denied>() {
            return true;
        }
        next = cause.source();
    }
    error.kind() == ErrorKind::Exhausted
}

impl Kind {
    /// The folder, or for `Config` the file.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "data",
        }
    }

    /// The path of a file, below the repository.
    pub fn path(self, id: &Id) -> String {
        match self {
            Self::Config => self.folder().to_owned(),
            Self::Pack => format!("data/{:02x}/{id}", id.0[0]),
            _ => format!("{}/{id}", self.folder()),
        }
    }

    /// What messages call one.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
            Self::Index => "index",
            Self::Pack => "pack",
        }
    }
}
