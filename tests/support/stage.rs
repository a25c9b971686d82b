//! The folder a test plays in.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::mounts;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own under `/var/tmp` (a real disk: overlay and syncs work).
/// Dropped, it unmounts whatever is left below and goes; `KEEP=1` keeps it.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
}

impl Stage {
    /// A fresh stage. `name` is for people; keep it short, sockets lie below.
    pub fn new(name: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/var/tmp/berth-test-{name}-{}-{number}", process::id()));
        fs::create_dir(&path).expect("a stage of this name is made once");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        Self { path }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below, which need not exist.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// A folder below, made if it is missing.
    pub fn folder(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.path.join(relative);
        fs::create_dir_all(&path).expect("a folder on our stage");
        path
    }

    /// A file below with this content.
    pub fn file(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(relative);
        self.folder(path.parent().expect("below the stage"));
        fs::write(&path, content).expect("a file on our stage");
        path
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        mounts::detach_below(&self.path);
        if env::var_os("KEEP").is_some() {
            // Tells `scripts/test` that nobody forgot it.
            let _ = fs::write(self.path.join("kept"), "");
            let _ = writeln!(io::stderr(), "stage kept: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            let _ = writeln!(io::stderr(), "stage {} stays: {error}", self.path.display());
        }
    }
}
