//! The judges of what we write.

use std::{env, path::PathBuf};

/// Debian's restic, and the newest, that `scripts/test vault` downloads.
pub(crate) fn all() -> [PathBuf; 2] {
    let current = env::var_os("BERTH_RESTIC_CURRENT")
        .expect("BERTH_RESTIC_CURRENT names no restic: run scripts/test vault");
    [PathBuf::from("restic"), PathBuf::from(current)]
}
