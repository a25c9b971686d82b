//! Where a benchmark keeps what it makes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use crate::mounts;

/// A folder in `BERTH_BENCH_DIR`; gone at its end, with what is mounted there.
#[derive(Debug)]
pub(crate) struct Stage(PathBuf);

impl Stage {
    pub(crate) fn new() -> Self {
        let base =
            env::var_os("BERTH_BENCH_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let stage = Self(base.join(format!("berth-bench-{}", process::id())));
        fs::create_dir_all(&stage.0).expect("BERTH_BENCH_DIR is writable");
        stage
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        mounts::detach_below(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}
