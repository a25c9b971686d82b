//! Files and directory entries that survive a power cut.
//!
//! A file is durable when its content *and* its directory entry are synced; the
//! functions here say which of both they do. All go through libc, so that an
//! interposed `fdatasync` or `fsync` is seen (the benchmark pads them).

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use nix::{
    fcntl::{OFlag, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, fdatasync, fsync, unlinkat},
};

use crate::failpoint;

/// Syncs a directory: its entries (made, renamed, removed) are durable then.
///
/// Saboteur `skip-directory-sync` does nothing here.
///
/// # Errors
/// The kernel's.
pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    failpoint::hit("durable.sync-directory")?;
    if failpoint::sabotaged("skip-directory-sync") {
        return Ok(());
    }
    Ok(fsync(directory)?)
}

/// Makes the new file `name` in `directory` with mode 0600, writes `bytes` and
/// syncs the content, not the directory. Refuses an existing name.
///
/// Saboteur `skip-file-sync` leaves the sync out.
///
/// # Errors
/// The kernel's; a partial file is removed.
pub fn write_new(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = directory.as_fd();
    let mut file = make(directory, name)?;
    let written = fill(&mut file, bytes).and_then(|()| sync_file(&file));
    if written.is_err() {
        // The first error is the one to tell; what cannot be removed either is
        // met again by whoever repeats the step.
        let _ = discard(directory, name);
    }
    written
}

/// Makes the new file `name` in `directory` with mode 0600 and writes `bytes`, for a
/// caller that syncs the whole file system. Refuses an existing name.
///
/// # Errors
/// The kernel's; a partial file stays.
pub fn write_unsynced(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    fill(&mut make(directory.as_fd(), name)?, bytes)
}

/// Replaces `name` in `directory` by a file with `bytes`, whole or not at all:
/// a synced temporary file, renamed over it, then the directory synced.
///
/// The temporary file is `.NAME.new`: callers take turns per name, and what a
/// crash left is overwritten.
///
/// # Errors
/// The kernel's; the old file is as it was, unless only the last sync failed.
pub fn replace(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = directory.as_fd();
    component(name)?;
    let temporary = format!(".{name}.new");
    match write_new(directory, &temporary, bytes) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            discard(directory, &temporary)?;
            write_new(directory, &temporary, bytes)?;
        }
        other => other?,
    }
    let renamed = failpoint::hit("durable.rename")
        .and_then(|()| Ok(renameat(directory, temporary.as_str(), directory, name)?));
    if renamed.is_err() {
        let _ = discard(directory, &temporary);
    }
    renamed?;
    sync_directory(directory)
}

/// [`replace`] for a path whose directory is trusted.
///
/// # Errors
/// The kernel's.
pub fn replace_path(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(directory), Some(name)) = (path.parent(), name) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // The parent of a bare file name is "", which no kernel opens.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    replace(File::open(directory)?, name, bytes)
}

fn make(directory: BorrowedFd<'_>, name: &str) -> io::Result<File> {
    component(name)?;
    failpoint::hit("durable.make-file")?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    Ok(openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    failpoint::hit("durable.write")?;
    file.write_all(bytes)
}

fn sync_file(file: &File) -> io::Result<()> {
    failpoint::hit("durable.sync-file")?;
    if failpoint::sabotaged("skip-file-sync") {
        return Ok(());
    }
    Ok(fdatasync(file)?)
}

fn discard(directory: impl AsFd, name: &str) -> io::Result<()> {
    failpoint::hit("durable.discard")?;
    Ok(unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)?)
}

/// A name that is one component and no way out of its directory.
fn component(name: &str) -> io::Result<()> {
    let wrong = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    if wrong { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable"));
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn new_files_are_private_and_never_overwrite() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(stage.path()).expect("readable");
        write_new(&directory, "a", b"one").expect("written");
        let error = write_new(&directory, "a", b"two").expect_err("exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(stage.path().join("a")).expect("readable"), b"one");
        let mode = fs::metadata(stage.path().join("a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn replace_leaves_one_whole_file_also_over_a_crash() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        fs::write(stage.path().join(".a.new"), b"left by a crash").expect("written");
        replace_path(&stage.path().join("a"), b"one").expect("replaced");
        replace_path(&stage.path().join("a"), b"two").expect("replaced");
        assert_eq!(names(stage.path()), ["a"]);
        assert_eq!(fs::read(stage.path().join("a")).expect("readable"), b"two");
    }

    #[test]
    fn a_file_that_cannot_be_renamed_leaves_nothing_behind() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(stage.path().join("a")).expect("made");
        replace_path(&stage.path().join("a"), b"one").expect_err("a directory is in the way");
        assert_eq!(names(stage.path()), ["a"]);
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let directory = File::open(stage.path()).expect("readable");
        for name in ["", ".", "..", "../a", "a/b", "a\0b"] {
            assert!(write_new(&directory, name, b"x").is_err(), "{name:?}");
            assert!(write_unsynced(&directory, name, b"x").is_err(), "{name:?}");
            assert!(replace(&directory, name, b"x").is_err(), "{name:?}");
        }
    }
}
