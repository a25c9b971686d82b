//! Where the pools lie: here, in memory. What is tried is order, not durability.

use std::path::PathBuf;

use tempfile::TempDir;

/// A folder that all hosts see.
pub(crate) struct Place {
    stage: TempDir,
}

impl Place {
    /// All schedules are run.
    pub(crate) const SAMPLE: Option<u64> = None;
    /// Of cases that differ in a number only, each one of so many is run.
    pub(crate) const STEP: usize = 1;

    pub(crate) fn new() -> Self {
        let stage = tempfile::Builder::new().prefix("berth-test-").tempdir_in("/dev/shm");
        Self { stage: stage.expect("a folder in memory") }
    }

    /// The pool, as whoever keeps the files has it.
    pub(crate) fn path(&self) -> PathBuf {
        self.stage.path().join("pool")
    }

    /// The pool, as the host of this name sees it.
    pub(crate) fn seen_by(&self, _: &str) -> PathBuf {
        self.path()
    }
}
