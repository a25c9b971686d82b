//! A tree with everything in it equals its copy in everything.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, PermissionsExt as _, chown, lchown, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat},
        time::TimeSpec,
    },
    unistd::mkfifo,
};

use crate::{
    copy, copy_by,
    disk::{Disk, Kind, run},
    facts, op,
};

/// `cap_net_raw=ep` as `linux/capability.h` has it, revision 2.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An access list that lets user 1234 read: `linux/posix_acl_xattr.h`.
fn list() -> Vec<u8> {
    let everybody = u32::MAX;
    let mut list = 2_u32.to_le_bytes().to_vec();
    let entries = [
        (1, 6, everybody),
        (2, 4, 1234),
        (4, 4, everybody),
        (0x10, 6, everybody),
        (0x20, 0, everybody),
    ];
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&u16::to_le_bytes(tag));
        list.extend_from_slice(&u16::to_le_bytes(permissions));
        list.extend_from_slice(&u32::to_le_bytes(id));
    }
    list
}

/// Sets times that no clock would show by chance.
fn age(path: &Path, seed: i64) {
    let accessed = TimeSpec::new(1_000_000_000 + seed, 123_456_789);
    let modified = TimeSpec::new(seed * 1000, 987_654_321);
    utimensat(AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything that can be in a tree.
pub(crate) fn everything(top: &Path, kind: Kind) {
    fs::create_dir(top).unwrap();
    let at = |name: &str| top.join(name);
    for (name, bits) in [("locked", 0), ("program", 0o4755), ("group", 0o2711), ("sticky", 0o1644)]
    {
        fs::write(at(name), name).unwrap();
        chown(at(name), Some(1234), Some(5678)).unwrap();
        mode(&at(name), bits);
    }
    fs::write(at("capable"), "x").unwrap();
    facts::set(&at("capable"), "security.capability", &CAPABILITY);
    fs::write(at("attributes"), "x").unwrap();
    for name in ["user.text", "user.empty", "trusted.text", "security.berth"] {
        let value = if name == "user.empty" { b"".as_slice() } else { b"v\0\xff" };
        facts::set(&at("attributes"), name, value);
    }
    if kind != Kind::Ext4 {
        let long = if kind == Kind::Btrfs { 8_000 } else { 65_536 };
        facts::set(&at("attributes"), "user.long", &vec![7; long]);
    }
    fs::write(at("listed"), "x").unwrap();
    facts::set(&at("listed"), "system.posix_acl_access", &list());
    fs::write(at("empty"), "").unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.write_all_at(b"in the middle", 1 << 20).unwrap();
    sparse.set_len(5 << 20).unwrap();
    File::create(at("hole")).unwrap().set_len(3 << 20).unwrap();
    fs::write(at("large"), vec![0x5a; 3_000_001]).unwrap();
    for name in [b"\xff\xfe not text".as_slice(), b"line\nbreak", &[b'n'; 255], b"-rf", b" "] {
        fs::write(top.join(OsStr::from_bytes(name)), name).unwrap();
    }

    symlink("/nowhere/at all", at("dangling")).unwrap();
    symlink("x".repeat(1000), at("long link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), at("odd link")).unwrap();
    lchown(at("odd link"), Some(77), Some(88)).unwrap();
    facts::set(&at("odd link"), "trusted.link", b"yes");
    mkfifo(&at("fifo"), Mode::empty()).unwrap();
    drop(UnixListener::bind(at("socket")).unwrap());
    mknod(&at("null"), SFlag::S_IFCHR, Mode::empty(), makedev(1, 3)).unwrap();
    mknod(&at("wide device"), SFlag::S_IFBLK, Mode::empty(), makedev(300, 70_000)).unwrap();
    for (name, bits) in [("fifo", 0o640), ("socket", 0o4777), ("null", 0o666), ("wide device", 0)] {
        chown(at(name), Some(3), Some(4)).unwrap();
        mode(&at(name), bits);
        facts::set(&at(name), "trusted.special", name.as_bytes());
    }

    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::create_dir(at("a/nothing")).unwrap();
    for (name, twin) in [("large", "a/b/large"), ("large", "a/b/c/large"), ("fifo", "a/fifo")] {
        fs::hard_link(at(name), at(twin)).unwrap();
    }
    run(Command::new("ln").arg("-P").args([at("dangling"), at("a/dangling")]));
    fs::write(at("a/b/c/file"), "deep").unwrap();
    facts::set(&at("a"), "system.posix_acl_default", &list());
    facts::set(&at("a"), "system.posix_acl_access", &list());
    // Made where the list is inherited, and where the group is.
    fs::write(at("a/inherits"), "x").unwrap();
    fs::create_dir(at("a/inherits too")).unwrap();
    chown(at("a/b"), Some(99), Some(100)).unwrap();
    mode(&at("a/b"), 0o3750);
    mode(&at("a/b/c"), 0);
    facts::set(&at("a/b"), "user.directory", b"b");
    facts::set(top, "user.top", b"top");
    chown(top, Some(5), Some(6)).unwrap();
    mode(top, 0o2771);

    // Innermost first: making something in a directory changes its times.
    let mut paths: Vec<_> = facts::of(top).into_keys().collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for (path, seed) in paths.iter().zip(-5..) {
        age(&if path.as_os_str().is_empty() { top.into() } else { top.join(path) }, seed);
    }
}

#[test]
fn a_copy_equals_its_origin_in_everything() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        everything(&from, kind);
        let before = facts::of(&from);
        assert!(before.len() > 30, "{}", before.len());
        let copied = copy(&from, &disk.path("to")).unwrap();
        facts::assert_same(&before, &facts::of(&disk.path("to")));
        facts::assert_same(&before, &facts::of(&from));
        let files = before.len() - 6;
        assert_eq!((copied.files, copied.not_cloned), (files as u64, 0), "{kind:?}");
        // And a copy can be copied.
        copy(&disk.path("to"), &disk.path("again")).unwrap();
        facts::assert_same(&before, &facts::of(&disk.path("again")));
    });
}

#[test]
fn nothing_is_inherited_from_where_the_copy_lies() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        everything(&from, kind);
        let above = disk.path("above");
        fs::create_dir(&above).unwrap();
        facts::set(&above, "system.posix_acl_default", &list());
        chown(&above, Some(11), Some(12)).unwrap();
        mode(&above, 0o2755);
        if kind == Kind::Btrfs {
            run(Command::new("chattr").arg("+C").arg(&above));
        }
        let copied = copy(&from, &above.join("to")).unwrap();
        assert_eq!(copied.not_cloned, 0);
        facts::assert_same(&facts::of(&from), &facts::of(&above.join("to")));
    });
}

#[test]
fn files_that_cannot_be_changed_can_be_copied() {
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        Disk::with(kind, 400, |disk| {
            let from = disk.path("from");
            fs::create_dir_all(from.join("directory/inner")).unwrap();
            for name in ["immutable", "growing", "directory/inner/file"] {
                fs::write(from.join(name), name).unwrap();
            }
            let change = |flag: &str, name: &str| {
                run(Command::new("chattr").arg(flag).arg(from.join(name)));
            };
            let flags = [
                ("i", "immutable"),
                ("a", "growing"),
                ("i", "directory/inner"),
                ("a", "directory"),
            ];
            for (flag, name) in flags {
                change(&format!("+{flag}"), name);
            }
            copy(&from, &disk.path("to")).unwrap();
            facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
            fs::remove_dir_all(disk.path("to")).expect("the flags are not copied");
            for (flag, name) in flags.into_iter().rev() {
                change(&format!("-{flag}"), name);
            }
        });
    }
}

#[test]
fn reading_leaves_no_trace() {
    Disk::with(Kind::Ext4, 64, |disk| {
        run(Command::new("mount").args(["-o", "remount,strictatime"]).arg(disk.path("")));
        let from = disk.path("from");
        fs::create_dir_all(from.join("directory")).unwrap();
        fs::write(from.join("directory/file"), "x").unwrap();
        let paths = [from.join("directory/file"), from.join("directory"), from.clone()];
        for path in &paths {
            age(path, 1);
        }
        copy(&from, &disk.path("to")).unwrap();
        for path in paths {
            let meta = fs::symlink_metadata(&path).unwrap();
            let accessed = std::os::unix::fs::MetadataExt::atime(&meta);
            assert_eq!(accessed, 1_000_000_001, "{}", path.display());
        }
    });
}

#[test]
fn without_copy_on_write_stays_so() {
    Disk::with(Kind::Btrfs, 400, |disk| {
        let from = disk.path("from");
        fs::create_dir_all(from.join("in place/mixed")).unwrap();
        let place = |name: &str| {
            fs::write(from.join(name), "").unwrap();
            run(Command::new("chattr").arg("+C").arg(from.join(name)));
            fs::write(from.join(name), vec![1; 100_000]).unwrap();
        };
        place("file");
        fs::write(from.join("in place/mixed/usual"), vec![2; 100_000]).unwrap();
        run(Command::new("chattr").arg("+C").arg(from.join("in place")));
        fs::write(from.join("in place/inherits"), vec![3; 100_000]).unwrap();
        let flags = |top: &Path| {
            let mut listed = run(Command::new("lsattr").arg("-R").arg(top));
            listed = listed.replace(top.to_str().unwrap(), "");
            let mut lines: Vec<_> = listed.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let copied = copy(&from, &disk.path("to")).unwrap();
        assert_eq!(copied.not_cloned, 0);
        facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
        assert_eq!(flags(&disk.path("to")), flags(&from));
        let marked = flags(&from).iter().filter(|line| line.contains('C')).count();
        assert!(marked >= 3, "{:?}", flags(&from));
        assert_eq!(
            copy_by(berth_host::beneath::copy::Way::Copy, &from, &disk.path("copy"), &op())
                .unwrap()
                .files,
            3
        );
        assert_eq!(flags(&disk.path("copy")), flags(&from));
    });
}
