//! Who holds a mount, played with real namespaces.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::stage::{Process, in_namespace};
use berth_host::{
    holders::{Holder, find},
    mounts::{BindFlags, Table, Unmounted, bind, unmount},
};
use nix::mount::MsFlags;

fn volume(stage: &Path, name: &str) -> PathBuf {
    let (source, target) = (stage.join(format!("{name}-data")), stage.join(name));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    bind(File::open(source).unwrap(), &target, BindFlags::default()).unwrap();
    target
}

fn holders(target: &Path) -> Vec<Holder> {
    let table = Table::read().unwrap();
    find(&table, &[table.at(target).expect("mounted")]).unwrap().remove(0)
}

#[test]
fn a_private_copy_is_held_until_its_process_ends() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let target = volume(stage, "vol1");
        assert_eq!(holders(&target), []);
        let process = Process::sleeping("exec unshare -m --propagation private sleep 600");
        let held = holders(&target);
        assert_eq!(held, [Holder { pid: process.id(), command: "sleep".to_owned() }]);
        drop(process);
        assert_eq!(holders(&target), []);
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
    });
}

#[test]
fn a_slave_copy_is_not_held_and_goes_with_our_unmount() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        // Before the mount and after it: by propagation, and by the clone.
        let before = Process::sleeping("exec unshare -m --propagation slave sleep 600");
        let target = volume(stage, "vol1");
        let after = Process::sleeping("exec unshare -m --propagation slave sleep 600");
        for process in [&before, &after] {
            assert!(mountinfo(process).contains("/vol1 "), "the copy is there");
        }
        assert_eq!(holders(&target), []);
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
        for process in [&before, &after] {
            assert!(!mountinfo(process).contains("/vol1 "), "the copy is gone");
        }
    });
}

fn mountinfo(process: &Process) -> String {
    fs::read_to_string(format!("/proc/{}/mountinfo", process.id())).unwrap()
}

#[test]
fn a_slave_of_a_slave_is_not_held() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        // As systemd does it: slave first, then shared again, for its own children.
        let process = Process::sleeping(
            "exec unshare -m --propagation slave sh -c 'mount --make-rshared / && \
             exec unshare -m --propagation slave sleep 600'",
        );
        let target = volume(stage, "vol1");
        assert!(mountinfo(&process).contains("/vol1 "), "the copy is there");
        assert_eq!(holders(&target), []);
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
        assert!(!mountinfo(&process).contains("/vol1 "), "the copy is gone");
    });
}

#[test]
fn a_mount_of_the_volume_elsewhere_in_a_slave_is_held() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let target = volume(stage, "vol1");
        fs::create_dir(stage.join("container")).unwrap();
        let process = Process::sleeping(&format!(
            "exec unshare -m --propagation slave sh -c \
             'mount --bind {0}/vol1 {0}/container && exec sleep 600'",
            stage.display()
        ));
        assert_eq!(holders(&target).len(), 1);
        // Our unmount works: the kernel would not have told.
        assert_eq!(unmount(&target).unwrap(), Unmounted::Done);
        assert!(mountinfo(&process).contains("/container "));
    });
}

#[test]
fn where_nothing_propagates_every_copy_is_held() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let target = volume(stage, "vol1");
        let _process = Process::sleeping("exec unshare -m --propagation slave sleep 600");
        assert_eq!(holders(&target).len(), 1);
        unmount(&target).unwrap();
    });
}

#[test]
fn names_that_contain_each_other_are_told_apart() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let (one, ten) = (volume(stage, "vol1"), volume(stage, "vol10"));
        let process = Process::sleeping(&format!(
            "exec unshare -m --propagation private sh -c 'umount {} && exec sleep 600'",
            one.display()
        ));
        let table = Table::read().unwrap();
        let found = find(&table, &[table.at(&one).unwrap(), table.at(&ten).unwrap()]).unwrap();
        assert!(found[0].is_empty(), "{found:?}");
        assert_eq!(found[1].len(), 1, "{found:?}");
        drop(process);
        unmount(&one).unwrap();
        unmount(&ten).unwrap();
    });
}

#[test]
fn many_processes_of_one_namespace_are_one_holder() {
    in_namespace(MsFlags::MS_SHARED, |stage| {
        let target = volume(stage, "vol1");
        let _process = Process::sleeping(
            "exec unshare -m --propagation private sh -c 'sleep 600 & sleep 600 & exec sleep 600'",
        );
        assert_eq!(holders(&target).len(), 1);
    });
}
