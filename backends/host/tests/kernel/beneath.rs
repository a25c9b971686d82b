//! Opening and removing beneath a root, in trees that somebody prepared.

use std::{
    fs,
    io::ErrorKind as Io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use berth_api::{Error, ErrorKind};
use berth_host::{
    beneath::Dir,
    mounts::{BindFlags, bind, unmount},
};
use nix::{
    mount::MsFlags,
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};
use tempfile::TempDir;

use crate::stage::in_namespace;

fn stage() -> (TempDir, Dir) {
    let stage = tempfile::tempdir().unwrap();
    let dir = Dir::open(stage.path()).unwrap();
    (stage, dir)
}

/// Makes `depth` directories within each other, and returns the last.
fn dig(dir: &Dir, name: &str, depth: usize) -> Dir {
    dir.make_dir(name, 0o755).unwrap();
    let mut deepest = dir.open_dir(name).unwrap();
    for _ in 1..depth {
        deepest.make_dir(name, 0o755).unwrap();
        deepest = deepest.open_dir(name).unwrap();
    }
    deepest
}

#[test]
fn nothing_leads_out() {
    let (stage, dir) = stage();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "x").unwrap();
    symlink(outside.path(), stage.path().join("link")).unwrap();
    symlink(outside.path().join("file"), stage.path().join("file")).unwrap();
    for name in ["link", "link/below", "..", "../x", "/", "/etc"] {
        assert!(dir.open_dir(name).is_err(), "{name}");
        assert!(dir.open_place(name).is_err(), "{name}");
    }
    assert_eq!(dir.read("file", 10).unwrap_err().kind(), Io::InvalidData);
    assert!(dir.read("link/file", 10).is_err());
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let (stage, dir) = stage();
    fs::write(stage.path().join("file"), "12345").unwrap();
    mkfifo(&stage.path().join("fifo"), Mode::S_IRUSR).unwrap();
    fs::create_dir(stage.path().join("directory")).unwrap();
    assert_eq!(dir.read("file", 5).unwrap(), b"12345");
    assert_eq!(dir.read("file", 4).unwrap_err().kind(), Io::InvalidData);
    assert_eq!(dir.read("fifo", 4).unwrap_err().kind(), Io::InvalidData);
    assert_eq!(dir.read("directory", 4).unwrap_err().kind(), Io::InvalidData);
    assert_eq!(dir.read("missing", 4).unwrap_err().kind(), Io::NotFound);
}

#[test]
fn a_rename_never_overwrites() {
    let (stage, dir) = stage();
    fs::write(stage.path().join("a"), "a").unwrap();
    fs::write(stage.path().join("b"), "b").unwrap();
    assert_eq!(dir.rename("a", &dir, "b").unwrap_err().kind(), Io::AlreadyExists);
    dir.rename("a", &dir, "c").unwrap();
    assert_eq!(fs::read(stage.path().join("c")).unwrap(), b"a");
    assert!(!dir.has("a").unwrap());
}

#[test]
fn a_mount_is_not_crossed() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let sentinel = stage.join("outside");
        fs::create_dir(&sentinel).unwrap();
        fs::write(sentinel.join("precious"), "x").unwrap();
        fs::create_dir_all(stage.join("tree/below/mounted")).unwrap();
        let at = stage.join("tree/below/mounted");
        bind(fs::File::open(&sentinel).unwrap(), &at, BindFlags::default()).unwrap();

        let dir = Dir::open(stage).unwrap();
        let error = dir.open_dir("tree/below/mounted").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
        let error = dir.remove_tree("tree", &mut || Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
        assert!(error.to_string().contains("`mounted`"), "{error:?}");
        assert_eq!(fs::read(sentinel.join("precious")).unwrap(), b"x");

        unmount(&at).unwrap();
        dir.remove_tree("tree", &mut || Ok(())).unwrap();
        assert!(!dir.has("tree").unwrap());
        assert_eq!(fs::read(sentinel.join("precious")).unwrap(), b"x");
    });
}

#[test]
fn whatever_stands_in_it_is_removed_and_nothing_else() {
    let (stage, dir) = stage();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    let tree = stage.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    symlink(outside.path(), tree.join("link")).unwrap();
    symlink("../../..", tree.join("a/up")).unwrap();
    fs::hard_link(outside.path().join("precious"), tree.join("a/hard")).ok();
    mkfifo(&tree.join("a/fifo"), Mode::S_IRUSR).unwrap();
    mknod(&tree.join("a/null"), SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3)).unwrap();
    mknod(&tree.join("a/nobody"), SFlag::S_IFBLK, Mode::S_IRUSR, makedev(240, 9)).unwrap();
    std::os::unix::net::UnixListener::bind(tree.join("a/socket")).unwrap();
    fs::DirBuilder::new().mode(0o000).create(tree.join("a/b/locked")).unwrap();
    let mut removed = 0;
    dir.remove_tree("tree", &mut || {
        removed += 1;
        Ok(())
    })
    .unwrap();
    assert!(!dir.has("tree").unwrap());
    // link, up, hard, fifo, null, nobody, socket; locked, b, a, tree.
    assert_eq!(removed, 11);
    assert_eq!(fs::read(outside.path().join("precious")).unwrap(), b"x");
    dir.remove_tree("tree", &mut || unreachable!("absent is success")).unwrap();
}

#[test]
fn a_link_in_the_tree_s_place_goes_alone() {
    let (stage, dir) = stage();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    symlink(outside.path(), stage.path().join("tree")).unwrap();
    dir.remove_tree("tree", &mut || Ok(())).unwrap();
    assert!(!dir.has("tree").unwrap());
    assert!(outside.path().join("precious").exists());
}

#[test]
fn depth_needs_neither_paths_nor_descriptors() {
    let _deep = crate::stage::deep();
    let (stage, dir) = stage();
    dir.make_dir("tree", 0o755).unwrap();
    let tree = dir.open_dir("tree").unwrap();
    // 1,000 levels of 100 characters are far beyond PATH_MAX.
    let deepest = dig(&tree, &"d".repeat(100), 1000);
    mkfifo_in(&deepest);
    drop(deepest);
    // A name that the walk would like to use.
    tree.make_dir(".deeper-0", 0o755).unwrap();
    let mut most = 0;
    dir.remove_tree("tree", &mut || {
        most = most.max(descriptors_below(stage.path()));
        Ok(())
    })
    .unwrap();
    assert!(!dir.has("tree").unwrap());
    assert!(most > 10, "counted {most}: the test does not see them");
    assert!(most < 100, "{most} descriptors");
}

fn mkfifo_in(dir: &Dir) {
    nix::sys::stat::mknodat(dir, "fifo", SFlag::S_IFIFO, Mode::S_IRUSR, 0).unwrap();
}

fn descriptors_below(path: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    // A path too long for readlink(2) can only be one of the deep ones.
    links.filter(|link| fs::read_link(link.path()).map_or(true, |to| to.starts_with(path))).count()
}

#[test]
fn a_stopped_removal_goes_on_where_it_was() {
    let (stage, dir) = stage();
    for name in ["a", "b", "c"] {
        fs::create_dir_all(stage.path().join("tree").join(name)).unwrap();
        fs::write(stage.path().join("tree").join(name).join("file"), "x").unwrap();
    }
    let mut left = 3;
    let error = dir
        .remove_tree("tree", &mut || {
            left -= 1;
            if left == 0 { Err(Error::conflict("stopped")) } else { Ok(()) }
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(dir.has("tree").unwrap());
    let mut rest = 0;
    dir.remove_tree("tree", &mut || {
        rest += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(rest, 7 - 3);
}

#[test]
fn a_wide_directory_goes_whole() {
    let (stage, dir) = stage();
    fs::create_dir(stage.path().join("tree")).unwrap();
    for number in 0..5_000 {
        fs::write(stage.path().join(format!("tree/{number}")), "").unwrap();
    }
    dir.remove_tree("tree", &mut || Ok(())).unwrap();
    assert!(!dir.has("tree").unwrap());
}

#[test]
fn listings_and_modes() {
    let (stage, dir) = stage();
    assert!(dir.is_empty().unwrap());
    fs::write(stage.path().join("file"), "").unwrap();
    assert_eq!(dir.names().unwrap(), ["file"]);
    assert_eq!(dir.names().unwrap(), ["file"], "the position is not shared");
    assert!(!dir.is_empty().unwrap());
    dir.set_access(Some(12), Some(34), Some(0o7751)).unwrap();
    let access = dir.access().unwrap();
    assert_eq!((access.uid, access.gid, access.mode), (12, 34, 0o7751));
    dir.set_access(None, None, None).unwrap();
    assert_eq!(dir.access().unwrap(), access);
    let mode = fs::metadata(stage.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o7751);
    let space = dir.space().unwrap();
    assert!(space.total > space.free && space.free > 0);
}
