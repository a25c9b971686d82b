//! The content of volumes, for those who read it all or write it anew: backups.
//!
//! Both directions are opened directories and no paths: a path may show something
//! else a moment later (a rollback renames), an opened directory stays what was
//! checked. Nothing here tells what a reader or writer does with it.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{Op, Result};

/// Where content can be read; see [`Backend::content`](crate::Backend::content).
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// A tree of files.
    Directory {
        /// Its top, open for reading. What stands beneath is not checked: links and
        /// mounts must not be followed.
        data: OwnedFd,
        /// Open for reading, beside a copy that was made file by file: which file each
        /// was made of. Without it a file's inode and time of change are its own.
        origins: Option<OwnedFd>,
    },
}

/// Where content is put; see [`Backend::create_from`](crate::Backend::create_from)
/// and [`Snapshots::replace`](crate::Snapshots::replace).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Target<'a> {
    /// A tree of files.
    Directory {
        /// Its top, open and empty, which nobody else sees. Its own owner, mode and
        /// attributes may be set too.
        top: BorrowedFd<'a>,
        /// A directory of the same file system for what is needed meanwhile: files
        /// without a name. They do not count towards the volume's limit, and go when
        /// they are closed, also by a crash.
        aside: BorrowedFd<'a>,
    },
}

/// Puts content into a target. It may be called again after it failed, with an empty
/// target, and syncs nothing: that is the backend's.
///
/// # Errors
/// Its own, which the backend passes on; `Conflict` if cancelled.
pub type Fill<'a> = &'a dyn Fn(&Op, Target<'_>) -> Result<()>;
