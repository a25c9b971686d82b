//! Bind mounts and the mount table, on real mounts.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::stage::in_namespace;
use berth_host::mounts::{BindFlags, Table, Unmounted, bind, shows, unmount};
use nix::mount::MsFlags;

fn open(path: &Path) -> File {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap()
}

fn directories<const N: usize>(stage: &Path, names: [&str; N]) -> [std::path::PathBuf; N] {
    names.map(|name| {
        fs::create_dir(stage.join(name)).unwrap();
        stage.join(name)
    })
}

#[test]
fn a_bind_mount_shows_the_directory_and_goes_again() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let [source, target] = directories(stage, ["source", "with \\ and space"]);
        fs::write(source.join("file"), "content").unwrap();
        let source = open(&source);
        assert!(!shows(&target, &source).unwrap());
        bind(&source, &target, BindFlags::default()).unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "content");
        assert!(shows(&target, &source).unwrap());

        let table = Table::read().unwrap();
        let mount = table.at(&target).expect("in the table, unescaped");
        assert_eq!(mount.root, Path::new("/source"));
        assert!(mount.options.split(',').any(|option| option == "nosuid"), "{}", mount.options);
        assert!(mount.options.split(',').any(|option| option == "nodev"), "{}", mount.options);
        assert_eq!(table.by_id(mount.parent), table.at(stage));

        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
        assert!(Table::read().unwrap().at(&target).is_none());
        assert_eq!(unmount(&target).unwrap(), Unmounted::Already);
        fs::remove_dir(&target).unwrap();
        assert_eq!(unmount(&target).unwrap(), Unmounted::Already);
    });
}

#[test]
fn flags_can_be_let_through() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let [source, target] = directories(stage, ["source", "target"]);
        bind(open(&source), &target, BindFlags { suid: true, dev: true }).unwrap();
        let table = Table::read().unwrap();
        let options = &table.at(&target).unwrap().options;
        assert!(!options.contains("nosuid") && !options.contains("nodev"), "{options}");
        unmount(&target).unwrap();
    });
}

#[test]
fn a_busy_mount_stays() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let [source, target] = directories(stage, ["source", "target"]);
        bind(open(&source), &target, BindFlags::default()).unwrap();
        let user = File::create(target.join("open")).unwrap();
        assert_eq!(unmount(&target).unwrap(), Unmounted::Busy);
        assert!(Table::read().unwrap().at(&target).is_some());
        drop(user);
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
    });
}

#[test]
fn an_unmount_follows_no_link() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let [source, target] = directories(stage, ["source", "target"]);
        bind(open(&source), &target, BindFlags::default()).unwrap();
        std::os::unix::fs::symlink(&target, stage.join("link")).unwrap();
        assert_eq!(unmount(&stage.join("link")).unwrap(), Unmounted::Already);
        assert!(Table::read().unwrap().at(&target).is_some());
        unmount(&target).unwrap();
    });
}

#[test]
fn what_is_mounted_below_the_source_stays_out_of_the_volume() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let [source, target, other] = directories(stage, ["source", "target", "other"]);
        fs::create_dir(source.join("below")).unwrap();
        bind(open(&source), &target, BindFlags::default()).unwrap();
        bind(open(&other), &source.join("below"), BindFlags::default()).unwrap();
        assert!(Table::read().unwrap().at(&target.join("below")).is_none());
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
        unmount(&source.join("below")).unwrap();
    });
}

#[test]
fn a_removed_root_equals_nothing() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let [source, target] = directories(stage, ["source", "target"]);
        bind(open(&source), &target, BindFlags::default()).unwrap();
        fs::remove_dir(&source).unwrap();
        let table = Table::read().unwrap();
        assert_eq!(table.at(&target).unwrap().root.as_os_str(), "/source//deleted");
        unmount(&target).unwrap();
    });
}

#[test]
fn a_bind_that_fails_leaves_no_mount() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let [source] = directories(stage, ["source"]);
        let before = Table::read().unwrap().mounts;
        bind(open(&source), &stage.join("missing"), BindFlags::default()).unwrap_err();
        assert_eq!(Table::read().unwrap().mounts, before);
    });
}
