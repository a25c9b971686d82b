//! Subvolumes of Btrfs: asked about, snapshotted, made read-only, copied.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use berth_host::beneath::Dir;

use crate::{
    copy,
    disk::{Disk, Kind, run},
    facts,
};

fn make(disk: &Disk, name: &str) {
    run(Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(disk.path(name)));
}

fn open(disk: &Disk, name: &str) -> Dir {
    Dir::open(&disk.path(name)).unwrap()
}

#[test]
fn a_snapshot_is_the_same_at_that_moment() {
    Disk::with(Kind::Btrfs, 400, |disk| {
        make(disk, "volume");
        fs::create_dir(disk.path("volume/folder")).unwrap();
        fs::write(disk.path("volume/folder/file"), "before").unwrap();
        let (volume, root) = (open(disk, "volume"), open(disk, ""));
        let before = facts::of(&disk.path("volume"));
        volume.snapshot_subvolume(&root, "frozen", true).unwrap();
        volume.snapshot_subvolume(&root, "clone", false).unwrap();
        facts::assert_same(&before, &facts::of(&disk.path("frozen")));
        facts::assert_same(&before, &facts::of(&disk.path("clone")));
        let inode = |name: &str| fs::metadata(disk.path(name).join("folder/file")).unwrap().ino();
        assert_eq!(inode("frozen"), inode("volume"));

        let error = fs::write(disk.path("frozen/folder/file"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        fs::write(disk.path("clone/folder/file"), "after").unwrap();
        assert_eq!(fs::read(disk.path("volume/folder/file")).unwrap(), b"before");

        let frozen = open(disk, "frozen");
        assert!(frozen.is_read_only().unwrap());
        frozen.set_read_only(false).unwrap();
        frozen.set_read_only(false).unwrap();
        assert!(!frozen.is_read_only().unwrap());
        fs::write(disk.path("frozen/folder/file"), "x").unwrap();
        frozen.set_read_only(true).unwrap();
        fs::write(disk.path("frozen/folder/file"), "x").unwrap_err();

        let again = volume.snapshot_subvolume(&root, "clone", false).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
        for name in ["", ".", "..", "a/b", "a\0b", &"n".repeat(256)] {
            volume.snapshot_subvolume(&root, name, false).unwrap_err();
        }
        let folder = open(disk, "volume/folder");
        let error = folder.snapshot_subvolume(&root, "part", false).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        folder.set_read_only(true).unwrap_err();
        assert!(!disk.path("part").exists());
    });
}

#[test]
fn those_within_are_seen_and_copied() {
    Disk::with(Kind::Btrfs, 400, |disk| {
        make(disk, "volume");
        let volume = open(disk, "volume");
        assert!(volume.is_subvolume().unwrap());
        assert!(!volume.has_nested_subvolumes().unwrap());
        // Those beside it and its own snapshots are not within it.
        make(disk, "neighbour");
        volume.snapshot_subvolume(&open(disk, ""), "snapshot", true).unwrap();
        assert!(!volume.has_nested_subvolumes().unwrap());

        fs::create_dir(disk.path("volume/folder")).unwrap();
        assert!(!open(disk, "volume/folder").is_subvolume().unwrap());
        make(disk, "volume/folder/within");
        fs::write(disk.path("volume/folder/within/file"), "within").unwrap();
        assert!(volume.has_nested_subvolumes().unwrap());

        volume.snapshot_subvolume(&open(disk, ""), "hollow", false).unwrap();
        assert_eq!(fs::read_dir(disk.path("hollow/folder/within")).unwrap().count(), 0);
        assert!(!open(disk, "hollow").has_nested_subvolumes().unwrap());
        let copied = copy(&disk.path("volume"), &disk.path("whole")).unwrap();
        assert_eq!((copied.files, copied.not_cloned, copied.mounts_left_out), (1, 0, 0));
        facts::assert_same(&facts::of(&disk.path("volume")), &facts::of(&disk.path("whole")));
        // Into a subvolume, and from a snapshot with its empty place.
        make(disk, "new");
        fs::remove_dir(disk.path("whole/folder/within")).unwrap_err();
        copy(&disk.path("hollow"), &disk.path("new/to")).unwrap();
        // The kernel makes up the times of an empty place each time it loads it.
        let [hollow, new] = ["hollow", "new/to"].map(|name| {
            let mut facts = facts::of(&disk.path(name));
            facts.remove(Path::new("folder/within")).expect("the empty place");
            facts
        });
        facts::assert_same(&hollow, &new);
        assert_eq!(fs::read_dir(disk.path("new/to/folder/within")).unwrap().count(), 0);

        let within = disk.path("volume/folder/within");
        run(Command::new("btrfs").args(["-q", "subvolume", "delete"]).arg(within));
        assert!(!volume.has_nested_subvolumes().unwrap());
        for number in 0..300 {
            volume.make_volume(&format!("{number}"), 0o755).unwrap();
        }
        assert!(volume.has_nested_subvolumes().unwrap(), "more than the kernel tells at once");
    });
}

#[test]
fn elsewhere_there_are_none() {
    Disk::with(Kind::Xfs, 400, |disk| {
        let dir = open(disk, "");
        assert!(!dir.is_subvolume().unwrap());
        dir.has_nested_subvolumes().unwrap_err();
        dir.snapshot_subvolume(&dir, "snapshot", false).unwrap_err();
        dir.set_read_only(true).unwrap_err();
    });
}
