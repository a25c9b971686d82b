//! The suite that every backend must pass, on vfs.

use std::path::{Path, PathBuf};

use berth_api::{
    Backend,
    conformance::{DirectoryStage, Stage},
};
use berth_vfs::Local;
use tempfile::TempDir;

struct Folder {
    _stage: TempDir,
    pool: PathBuf,
}

impl Stage for Folder {
    fn fresh() -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let parent = stage.path().join("disk");
        std::fs::create_dir(&parent).expect("made");
        Self { pool: parent.join("pool"), _stage: stage }
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(Local::open("tried", &self.pool))
    }
}

impl DirectoryStage for Folder {
    fn path(&self) -> &Path {
        &self.pool
    }
}

berth_api::conformance!(Folder);
berth_api::snapshot_conformance!(Folder);
berth_api::directory_conformance!(Folder);
