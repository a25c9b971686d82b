//! One daemon per root.

use std::{fs::File, io, path::Path};

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
        let _ = path;
        unimplemented!()
    }
}
