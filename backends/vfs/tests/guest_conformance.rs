//! The suite on file systems with project quotas, on loop devices. The cases that
//! every pool must pass run there on ext4 anyway: see `tests/guest.tsv`.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{
    Backend,
    conformance::{DirectoryStage, Stage},
};
use berth_vfs::Local;
use tempfile::TempDir;

/// A file system of its own.
struct Disk {
    stage: TempDir,
    pool: PathBuf,
}

impl Disk {
    fn with(mkfs: &[&str]) -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let (image, mountpoint) = (stage.path().join("image"), stage.path().join("mountpoint"));
        fs::File::create(&image).expect("made").set_len(320 << 20).expect("sparse");
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
        fs::create_dir(&mountpoint).expect("made");
        let disk = Self { stage, pool: mountpoint.join("disk/pool") };
        run(Command::new("mount").args(["-o", "loop,prjquota"]).args([&image, &mountpoint]));
        fs::create_dir(mountpoint.join("disk")).expect("made");
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.stage.path().join("mountpoint")).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {errors} (this test runs in the guest: `scripts/test vm`)"
    );
}

/// Lists all suites on one kind of file system.
macro_rules! suites {
    ($($module:ident: $mkfs:expr, $($suite:ident)+;)+) => {
        $(mod $module {
            use super::*;

            struct Own(Disk);

            impl Stage for Own {
                fn fresh() -> Self {
                    Self(Disk::with(&$mkfs))
                }

                fn open(&self) -> Box<dyn Backend> {
                    Box::new(Local::open("tried", &self.0.pool))
                }
            }

            impl DirectoryStage for Own {
                fn path(&self) -> &Path {
                    &self.0.pool
                }
            }

            $(berth_api::$suite!(Own);)+
        })+
    };
}

suites! {
    ext4: ["mkfs.ext4", "-q", "-F", "-O", "project,quota"], limited_conformance;
    xfs: ["mkfs.xfs", "-q"], conformance directory_conformance snapshot_conformance limited_conformance;
}
