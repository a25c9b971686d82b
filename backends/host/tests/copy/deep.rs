//! Depth needs neither paths, nor descriptors, nor the stack.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use berth_host::beneath::{
    Dir,
    copy::{Request, measure, tree, way},
};
use nix::sys::stat::{Mode, SFlag, mknodat};

use crate::{
    copy,
    disk::{Disk, Kind},
    facts, op,
};

/// Every level has a file, and directories before and after the way down.
#[test]
fn each_level_is_whole() {
    Disk::each(|disk, _| {
        let from = disk.path("from");
        let mut level = from.clone();
        for depth in 0..200 {
            for name in ["a", "m", "z"] {
                fs::create_dir_all(level.join(name)).unwrap();
                fs::write(level.join(name).join("file"), format!("{depth}")).unwrap();
            }
            fs::write(level.join("file"), format!("{depth}")).unwrap();
            level.push("m");
        }
        copy(&from, &disk.path("to")).unwrap();
        facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
    });
}

#[test]
fn far_beyond_the_longest_path() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        Disk::with(kind, 400, |disk| {
            let root = Dir::open(&disk.path("")).unwrap();
            let names = ["from", "to"];
            for name in names {
                root.make_dir(name, 0o755).unwrap();
            }
            let [from, to] = names.map(|name| root.open_dir(name).unwrap());
            // 5,000 levels of 100 characters.
            let name = "d".repeat(100);
            let mut level = root.open_dir("from").unwrap();
            for _ in 0..5_000 {
                level.make_dir(&name, 0o750).unwrap();
                level = level.open_dir(&name).unwrap();
            }
            mknodat(&level, "fifo", SFlag::S_IFIFO, Mode::S_IRUSR, 0).unwrap();

            let extent = measure(&from, &op()).unwrap();
            assert_eq!((extent.files, extent.bytes), (1, 0));
            let (way, op) = (way(&from).unwrap(), op());
            let ended = AtomicBool::new(false);
            let (copied, most) = thread::scope(|scope| {
                let watcher = scope.spawn(|| {
                    let mut most = 0;
                    while !ended.load(Relaxed) {
                        most = most.max(descriptors_below(&disk.path("")));
                    }
                    most
                });
                let request = Request { from: &from, to: &to, way, origins: false, op: &op };
                let copied = tree(&request);
                ended.store(true, Relaxed);
                (copied, watcher.join().unwrap())
            });
            assert_eq!(copied.unwrap().files, 1);
            assert!(most > 20, "counted {most}: the test does not see them");
            assert!(most < 250, "{most} descriptors");

            let mut level = to;
            for depth in 0..5_000 {
                let mode = if depth == 0 { 0o755 } else { 0o750 };
                assert_eq!(level.access().unwrap().mode, mode, "{depth}");
                level = level.open_dir(&name).unwrap();
            }
            assert_eq!(level.names().unwrap(), ["fifo"]);
            drop(level);
            for name in names {
                root.remove_tree(name, &mut || Ok(())).unwrap();
            }
        });
    }
}

fn descriptors_below(path: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    // A path too long for readlink(2) can only be one of the deep ones.
    links.filter(|link| fs::read_link(link.path()).map_or(true, |to| to.starts_with(path))).count()
}
