//! Trees in which others write, rename, swap and mount while they are copied.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use nix::{
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};

use crate::{
    copy,
    disk::{Disk, Kind},
};

/// Runs `swap` again and again while `work` is done `times` times.
fn beside(times: usize, swap: impl Fn() + Sync, mut work: impl FnMut(usize)) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !ended.load(Relaxed) {
                swap();
                swaps += 1;
            }
            swaps
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..times).for_each(&mut work);
        }));
        ended.store(true, Relaxed);
        assert!(swapper.join().unwrap() > times as u64 / 10, "hardly ever swapped");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn exchange(one: &Path, other: &Path) {
    let _ = renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE);
}

/// Nothing in `top` is, or says, what only stands outside.
fn assert_clean(top: &Path) {
    for entry in fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        assert_ne!(path.file_name().unwrap(), "precious", "{}", path.display());
        if kind.is_dir() {
            assert_clean(&path);
        } else if kind.is_file() {
            assert_ne!(fs::read(&path).unwrap(), b"precious", "{}", path.display());
        }
    }
}

#[test]
fn whatever_a_name_becomes_nothing_outside_is_read() {
    for kind in [Kind::Xfs, Kind::Ext4] {
        Disk::with(kind, 400, |disk| {
            let (from, outside) = (disk.path("from"), disk.outside("outside"));
            fs::create_dir_all(from.join("deep/er")).unwrap();
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("precious"), "precious").unwrap();
            for folder in [from.clone(), from.join("deep"), from.join("deep/er")] {
                fs::write(folder.join("a file"), "x").unwrap();
                fs::create_dir(folder.join("a directory")).unwrap();
                fs::write(folder.join("a directory/file"), "x").unwrap();
                symlink(outside.join("precious"), folder.join("to a file")).unwrap();
                symlink(&outside, folder.join("to a directory")).unwrap();
                mkfifo(&folder.join("fifo"), Mode::S_IRUSR).unwrap();
                // Nobody drives it: to open it is an error.
                let device = makedev(240, 77);
                mknod(&folder.join("device"), SFlag::S_IFCHR, Mode::S_IRUSR, device).unwrap();
            }
            let pairs = [
                ("a file", "to a file"),
                ("a directory", "to a directory"),
                ("a directory", "a file"),
                ("a file", "fifo"),
                ("device", "a file"),
                ("fifo", "a directory"),
                ("deep", "a directory"),
            ];
            let swap = || {
                for folder in ["", "deep", "deep/er"] {
                    for (one, other) in pairs {
                        exchange(&from.join(folder).join(one), &from.join(folder).join(other));
                    }
                }
            };
            beside(300, swap, |number| {
                let to = disk.path(&format!("to {number}"));
                copy(&from, &to).unwrap();
                assert_clean(&to);
            });
            assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious");
        });
    }
}

#[test]
fn mounts_that_come_and_go_are_never_entered() {
    Disk::with(Kind::Xfs, 400, |disk| {
        let (from, outside) = (disk.path("from"), disk.path("outside"));
        fs::create_dir_all(from.join("directory/below")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "precious").unwrap();
        fs::write(from.join("file"), "x").unwrap();
        let swap = || {
            let none = None::<&str>;
            for (what, name) in [("outside", "directory"), ("outside/precious", "file")] {
                let _ =
                    mount(Some(&disk.path(what)), &from.join(name), none, MsFlags::MS_BIND, none);
            }
            for name in ["directory", "file"] {
                let _ = umount2(&from.join(name), MntFlags::MNT_DETACH);
            }
        };
        let mut met = 0;
        beside(300, swap, |number| {
            let to = disk.path(&format!("to {number}"));
            met += copy(&from, &to).unwrap().mounts_left_out;
            assert_clean(&to);
        });
        assert!(met > 0, "no copy ever met a mount");
    });
}

#[test]
fn files_that_come_and_go_and_grow_and_shrink() {
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        Disk::with(kind, 600, |disk| {
            let from = disk.path("from");
            fs::create_dir(&from).unwrap();
            for number in 0..50 {
                fs::write(from.join(format!("stays {number}")), format!("{number}")).unwrap();
            }
            let swap = || {
                for number in 0..20 {
                    let path = from.join(format!("comes {number}"));
                    fs::write(&path, vec![1; 100_000]).unwrap();
                    File::options().write(true).open(&path).unwrap().set_len(17).unwrap();
                    fs::rename(&path, from.join("renamed")).unwrap();
                    let _ = fs::hard_link(from.join("renamed"), &path);
                    let _ = fs::remove_file(&path);
                }
            };
            beside(50, swap, |number| {
                let to = disk.path(&format!("to {number}"));
                copy(&from, &to).unwrap();
                for number in 0..50 {
                    let path = to.join(format!("stays {number}"));
                    assert_eq!(fs::read_to_string(path).unwrap(), number.to_string());
                }
                assert!(fs::read_dir(&to).unwrap().count() < 80);
            });
        });
    }
}

/// The kernel says EXDEV of a mount, and of what is moved out of a directory in
/// the moment it is looked up there (about once in some thousand look-ups here).
#[test]
fn what_is_moved_away_is_no_mount() {
    Disk::with(Kind::Ext4, 400, |disk| {
        let (from, away) = (disk.path("from"), disk.path("away"));
        let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
        fs::create_dir(&away).unwrap();
        for name in &names {
            fs::create_dir_all(from.join(name)).unwrap();
        }
        let swap = || {
            for name in &names {
                fs::rename(from.join(name), away.join(name)).unwrap();
                fs::rename(away.join(name), from.join(name)).unwrap();
            }
        };
        beside(800, swap, |_| {
            let copied = copy(&from, &disk.path("to")).unwrap();
            assert_eq!(copied.mounts_left_out, 0);
            fs::remove_dir_all(disk.path("to")).unwrap();
        });
    });
}
