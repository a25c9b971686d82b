//! One daemon per root.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// A lock that the kernel drops with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on `path` (made if missing, 0600) without waiting; `None`
    /// if another process has it. The file descriptor is not inherited.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        // Never truncated: the file may be another daemon's.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_until_the_first_lets_go() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let path = stage.path().join("lock");
        let first = Lock::try_take(&path).expect("takable");
        assert!(first.is_some());
        assert!(Lock::try_take(&path).expect("readable").is_none());
        drop(first);
        assert!(Lock::try_take(&path).expect("takable").is_some());
    }
}
