//! File systems of their own, on loop devices, for the suite.

use std::{
    fs,
    marker::PhantomData,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{
    Backend,
    conformance::{DirectoryStage, Stage},
};
use berth_vfs::Local;
use tempfile::TempDir;

/// What is made on the device.
pub(crate) trait Kind: Send + 'static {
    /// The least size it takes, in MiB.
    const MEGABYTES: u64;
    /// The command that makes it, less the device.
    const MKFS: &'static [&'static str];
}

/// A pool on a file system of this kind; unmounted when dropped.
pub(crate) struct Disk<K> {
    stage: TempDir,
    pub(crate) pool: PathBuf,
    kind: PhantomData<K>,
}

impl<K: Kind> Stage for Disk<K> {
    fn fresh() -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let (image, mountpoint) = (stage.path().join("image"), stage.path().join("mountpoint"));
        let file = fs::File::create(&image).expect("made");
        file.set_len(K::MEGABYTES << 20).expect("sparse");
        run(Command::new(K::MKFS[0]).args(&K::MKFS[1..]).arg(&image));
        fs::create_dir(&mountpoint).expect("made");
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mountpoint]));
        let disk = Self { stage, pool: mountpoint.join("disk/pool"), kind: PhantomData };
        fs::create_dir(mountpoint.join("disk")).expect("made");
        disk
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(Local::open("tried", &self.pool))
    }
}

impl<K: Kind> DirectoryStage for Disk<K> {
    fn path(&self) -> &Path {
        &self.pool
    }
}

impl<K> Drop for Disk<K> {
    fn drop(&mut self) {
        // Lazily: a case that panics drops what it opened only after this.
        let mountpoint = self.stage.path().join("mountpoint");
        let _ = Command::new("umount").arg("--lazy").arg(mountpoint).status();
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().expect("the command is there (mkfs, mount, btrfs-progs)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors} (this test needs root)");
}
