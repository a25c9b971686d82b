//! The suite on Btrfs, where the content of a volume is a subvolume.

mod disk;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{Backend, conformance::Stage};
use disk::run;

struct Btrfs;

impl disk::Kind for Btrfs {
    const MEGABYTES: u64 = 256;
    const MKFS: &'static [&'static str] = &["mkfs.btrfs", "-q"];
}

type Disk = disk::Disk<Btrfs>;

berth_api::conformance!(Disk);
berth_api::snapshot_conformance!(Disk);
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
