//! The suite on Btrfs, where the content of a volume is a subvolume.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{
    Backend,
    conformance::{DirectoryStage, Stage},
};
use berth_vfs::Vfs;
use tempfile::TempDir;

/// A file system of its own, on a loop device.
struct Disk {
    stage: TempDir,
    pool: PathBuf,
}

impl Stage for Disk {
    fn fresh() -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let (image, mountpoint) = (stage.path().join("image"), stage.path().join("mountpoint"));
        let file = fs::File::create(&image).expect("made");
        file.set_len(256 << 20).expect("sparse");
        run(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        fs::create_dir(&mountpoint).expect("made");
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mountpoint]));
        let disk = Self { stage, pool: mountpoint.join("disk/pool") };
        fs::create_dir(mountpoint.join("disk")).expect("made");
        disk
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(Vfs::open("tried", &self.pool))
    }
}

impl DirectoryStage for Disk {
    fn path(&self) -> &Path {
        &self.pool
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.stage.path().join("mountpoint")).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command is there (btrfs-progs, mount)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors} (this test needs root)");
}

berth_api::conformance!(Disk);
berth_api::directory_conformance!(Disk);

mod subvolume {
    use super::*;
    use berth_api::{
        Change, HostId, Layout, Observed, Op, Options, Progress, Sidecar, VolumeId, VolumeSpec,
    };
    use std::time::Duration;

    fn op() -> Op {
        Op::new(Duration::from_mins(1))
    }

    /// A volume on a disk of its own, and the folder of its content.
    fn volume() -> (Disk, Box<dyn Backend>, berth_api::Handle, PathBuf) {
        let disk = Disk::fresh();
        let backend = disk.open();
        backend.identify(&op(), None, HostId::random()).expect("a pool");
        let sidecar = Sidecar {
            spec: VolumeSpec {
                id: VolumeId::random(),
                name: "db".parse().expect("a valid name"),
                created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
                given: std::collections::BTreeMap::new(),
                options: Options::default(),
            },
            layout: Layout::Subdirectory,
        };
        let handle = backend.plan(&op(), &sidecar.spec).expect("planned");
        backend.create(&op(), &handle, &sidecar).expect("created");
        let data = disk.pool.join(format!("volumes/{}/data", sidecar.spec.id));
        (disk, backend, handle, data)
    }

    #[test]
    fn the_content_is_one() {
        let (_disk, _, _, data) = volume();
        assert_eq!(fs::metadata(&data).expect("there").ino(), 256, "the top of a subvolume");
    }

    /// Subvolumes that a container made in it, one of them read-only, go too.
    #[test]
    fn those_within_go_too() {
        let (_disk, backend, handle, data) = volume();
        let btrfs = |words: &[&str], paths: &[&Path]| {
            run(Command::new("btrfs").args(words).args(paths));
        };
        fs::write(data.join("file"), "content").expect("written");
        btrfs(&["subvolume", "create"], &[&data.join("inner")]);
        fs::create_dir_all(data.join("inner/folder")).expect("made");
        btrfs(&["subvolume", "create"], &[&data.join("inner/folder/innermost")]);
        fs::write(data.join("inner/folder/innermost/file"), "content").expect("written");
        btrfs(&["subvolume", "snapshot", "-r"], &[&data, &data.join("frozen")]);
        backend.remove(&op(), &handle).expect("removed");
        let purged = backend.purge(&op(), &handle).expect("purged");
        assert_eq!(purged, Progress::Ready(Change::Done));
        assert_eq!(backend.inspect(&op(), &handle).expect("evidence"), Observed::Absent);
    }
}
