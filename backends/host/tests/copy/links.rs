//! Hard links, within the tree and out of it.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use crate::{
    copy,
    disk::{Disk, Kind, run},
    facts,
};

/// Many names in many directories, met by several threads in any order.
#[test]
fn names_of_one_file_stay_names_of_one_file() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        for folder in 0..20 {
            fs::create_dir_all(from.join(format!("{folder}"))).unwrap();
            for file in 0..50 {
                let path = from.join(format!("{folder}/{file}"));
                if folder == 0 {
                    fs::write(&path, format!("content {file}")).unwrap();
                } else {
                    fs::hard_link(from.join(format!("0/{file}")), &path).unwrap();
                }
            }
        }
        let copied = copy(&from, &disk.path("to")).unwrap();
        facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
        assert_eq!(copied.files, 1000, "{kind:?}");
        let bytes: usize = (0..50).map(|file| format!("content {file}").len()).sum();
        assert_eq!(copied.bytes, bytes as u64, "each file once");
    });
}

#[test]
fn a_name_outside_of_the_tree_is_not_missed() {
    Disk::each(|disk, _| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        for name in ["one", "two"] {
            fs::write(from.join(name), name).unwrap();
            fs::hard_link(from.join(name), disk.path(name)).unwrap();
        }
        fs::hard_link(from.join("two"), from.join("too")).unwrap();
        run(Command::new("ln").args(["-s", "nowhere"]).arg(from.join("link")));
        run(Command::new("ln").arg("-P").arg(from.join("link")).arg(disk.path("link")));
        copy(&from, &disk.path("to")).unwrap();
        let mut names: Vec<_> = fs::read_dir(disk.path("to"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["link", "one", "too", "two"]);
        let meta = |name: &str| fs::symlink_metadata(disk.path("to").join(name)).unwrap();
        let links = ["link", "one", "two"].map(|name| meta(name).nlink());
        assert_eq!(links, [1, 1, 2]);
        assert_eq!(meta("two").ino(), meta("too").ino());
        assert_eq!(fs::read(disk.path("to/too")).unwrap(), b"two");
        let (old, new) = (fs::metadata(&from).unwrap(), fs::metadata(disk.path("to")).unwrap());
        assert_eq!((old.mtime(), old.mtime_nsec()), (new.mtime(), new.mtime_nsec()));
    });
}

/// ext4 lets a file have 65,000 names: a copy may not need one more.
#[test]
fn as_many_names_as_there_can_be() {
    Disk::with(Kind::Ext4, 400, |disk| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("0"), "x").unwrap();
        let more = (1..=100_000)
            .find(|number| fs::hard_link(from.join("0"), from.join(number.to_string())).is_err());
        assert_eq!(more, Some(65_000));
        let copied = copy(&from, &disk.path("to")).unwrap();
        assert_eq!((copied.files, copied.bytes), (65_000, 1));
        assert_eq!(fs::metadata(disk.path("to/0")).unwrap().nlink(), 65_000);
    });
}
