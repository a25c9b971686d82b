//! How content is carried: shared where it can be, and with its holes.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use berth_host::beneath::{
    Dir,
    copy::{Way, way},
};
use nix::sys::statvfs::statvfs;

use crate::{copy_by, disk::Disk, facts, op};

fn free(path: &Path) -> u64 {
    let found = statvfs(path).unwrap();
    found.blocks_free() * found.fragment_size()
}

#[test]
fn the_way_is_found_and_leaves_nothing() {
    Disk::each(|disk, kind| {
        let expected = if kind.reflinks() { Way::Reflink } else { Way::Copy };
        let dir = Dir::open(&disk.path("")).unwrap();
        assert_eq!(way(&dir).unwrap(), expected, "{kind:?}");
        let names = dir.names().unwrap();
        assert!(names.iter().all(|name| name == "lost+found"), "{names:?}");
        // On a full disk it can be found out, or not even that.
        disk.fill();
        match way(&dir) {
            Ok(found) => assert_eq!(found, expected, "{kind:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::StorageFull, "{kind:?}"),
        }
    });
    let memory = Dir::open(Path::new("/dev/shm")).unwrap();
    assert_eq!(way(&memory).unwrap(), Way::Copy);
    // Where there is nothing to write, nothing is to be found out.
    assert_eq!(way(&Dir::open(Path::new("/proc")).unwrap()).unwrap(), Way::Copy);
}

#[test]
fn reflinks_take_no_space() {
    Disk::each(|disk, kind| {
        if !kind.reflinks() {
            return;
        }
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("large"), vec![1; 64 << 20]).unwrap();
        let dir = Dir::open(&from).unwrap();
        dir.sync_file_system().unwrap();
        let before = free(&from);
        let copied = copy_by(Way::Reflink, &from, &disk.path("to"), &op()).unwrap();
        assert_eq!((copied.files, copied.bytes, copied.not_cloned), (1, 64 << 20, 0));
        dir.sync_file_system().unwrap();
        let used = before.saturating_sub(free(&from));
        assert!(used < 8 << 20, "{kind:?}: {used} bytes");
        // Yet what is written to one does not show in the other.
        File::options()
            .write(true)
            .open(from.join("large"))
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap();
        assert_eq!(fs::read(disk.path("to/large")).unwrap()[0], 1);
    });
}

/// Written in no order, some of it not yet on the disk when it is copied.
#[test]
fn holes_stay_where_they_are() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        let block = vec![0xaa; 64 << 10];
        let patterns: [(&str, u64, &[u64]); 6] = [
            ("starts with data", 4 << 20, &[0, 1 << 20, (4 << 20) - (64 << 10)]),
            ("starts with a hole", 4 << 20, &[2 << 20, 1 << 20]),
            ("ends with a hole", 40 << 20, &[16 << 20]),
            ("nothing but a hole", 8 << 20, &[]),
            ("beyond what a number of 32 bits holds", 5 << 30, &[0, (4 << 30) + (1 << 20)]),
            ("odd end", (1 << 20) + 17, &[0]),
        ];
        for (name, size, data) in patterns {
            let file = File::create(from.join(name)).unwrap();
            for at in data {
                file.write_all_at(&block, *at).unwrap();
            }
            if name.starts_with("starts") {
                file.sync_all().unwrap();
            }
            file.set_len(size).unwrap();
        }
        // The way that copies, also where there is a better one.
        for (way, to) in [(Way::Copy, "copied"), (way_of(&from), "best")] {
            copy_by(way, &from, &disk.path(to), &op()).unwrap();
            for (name, size, data) in patterns {
                let (origin, copy) = (from.join(name), disk.path(to).join(name));
                assert_eq!(fs::metadata(&copy).unwrap().len(), size, "{name}");
                assert_eq!(facts::extents(&copy), facts::extents(&origin), "{kind:?}: {name}");
                assert_eq!(facts::extents(&copy).len(), extents(data), "{kind:?}: {name}");
                let (taken, written) =
                    (fs::metadata(&copy).unwrap().blocks() * 512, (data.len() as u64) << 16);
                assert!(taken <= written + (64 << 10), "{kind:?}: {name}: {taken}");
                let file = File::open(&copy).unwrap();
                for at in data {
                    let mut read = block.clone();
                    file.read_exact_at(&mut read, *at).unwrap();
                    assert_eq!(read, block, "{name} at {at}");
                }
            }
        }
    });
}

fn way_of(path: &Path) -> Way {
    way(&Dir::open(path).unwrap()).unwrap()
}

/// None of the patterns has pieces that touch.
fn extents(data: &[u64]) -> usize {
    data.len()
}

/// A file that its owner swaps to cannot be cloned; it is copied, and counted.
#[test]
fn a_file_that_cannot_be_cloned_is_copied_and_counted() {
    Disk::with(crate::disk::Kind::Xfs, 400, |disk| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("usual"), vec![1; 100_000]).unwrap();
        let swap = from.join("swap");
        fs::write(&swap, vec![0; 4 << 20]).unwrap();
        crate::disk::run(std::process::Command::new("mkswap").arg(&swap));
        crate::disk::run(std::process::Command::new("swapon").arg(&swap));
        let copied = copy_by(Way::Reflink, &from, &disk.path("to"), &op());
        crate::disk::run(std::process::Command::new("swapoff").arg(&swap));
        let copied = copied.unwrap();
        assert_eq!((copied.files, copied.not_cloned), (2, 1));
        facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
    });
}
