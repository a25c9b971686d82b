//! Files and directory entries that survive a power cut.
//!
//! A file is durable when its content *and* its directory entry are synced; the
//! functions here say which of both they do. All go through libc, so that an
//! interposed `fdatasync` or `fsync` is seen (the benchmark pads them).

use std::{io, os::fd::AsFd, path::Path};

/// Syncs a directory: its entries (made, renamed, removed) are durable then.
///
/// Saboteur `skip-directory-sync` does nothing here.
///
/// # Errors
/// The kernel's.
pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    let _ = directory.as_fd();
    unimplemented!()
}

/// Makes the new file `name` in `directory` with mode 0600, writes `bytes` and
/// syncs the content, not the directory. Refuses an existing name.
///
/// Saboteur `skip-file-sync` leaves the sync out.
///
/// # Errors
/// The kernel's; a partial file is removed.
pub fn write_new(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let _ = (directory.as_fd(), name, bytes);
    unimplemented!()
}

/// Replaces `name` in `directory` by a file with `bytes`, whole or not at all:
/// a synced temporary file, renamed over it, then the directory synced.
///
/// # Errors
/// The kernel's; the old file is as it was.
pub fn replace(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let _ = (directory.as_fd(), name, bytes);
    unimplemented!()
}

/// [`replace`] for a path whose directory is trusted.
///
/// # Errors
/// The kernel's.
pub fn replace_path(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _ = (path, bytes);
    unimplemented!()
}
