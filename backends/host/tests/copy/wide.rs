//! Many files, and directories with very many entries.
//!
//! `BERTH_FILES` says how many; 20,000 if it does not.

use std::{fs, path::Path};

use crate::{
    copy,
    disk::{Disk, Kind},
    facts,
};

fn many() -> usize {
    std::env::var("BERTH_FILES").map_or(20_000, |text| text.parse().expect("a number"))
}

fn count(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn a_directory_with_very_many_files() {
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        // ext4 makes an inode for each 16 KiB.
        Disk::with(kind, 400 + many() as u64 / 16, move |disk| {
            let from = disk.path("from");
            fs::create_dir(&from).unwrap();
            for number in 0..many() {
                fs::write(from.join(number.to_string()), format!("{number}")).unwrap();
            }
            let copied = copy(&from, &disk.path("to")).unwrap();
            assert_eq!(copied.files, many() as u64);
            facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
        });
    }
}

#[test]
fn a_directory_with_very_many_directories() {
    Disk::with(Kind::Xfs, 400 + many() as u64 / 16, |disk| {
        let from = disk.path("from");
        let each = many() / 4;
        for number in 0..each {
            fs::create_dir_all(from.join(number.to_string())).unwrap();
            fs::write(from.join(format!("{number}/file")), format!("{number}")).unwrap();
        }
        copy(&from, &disk.path("to")).unwrap();
        assert_eq!(count(&disk.path("to")), each);
        facts::assert_same(&facts::of(&from), &facts::of(&disk.path("to")));
    });
}
