//! What is noted of each file that was copied.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

use berth_host::beneath::{
    Dir,
    copy::{Origin, Origins, Request, tree, way},
};

use crate::{
    disk::{Disk, until},
    op,
};

fn origins(from: &Path, to: &Path) -> Origins {
    fs::create_dir(to).unwrap();
    let (from, to) = (Dir::open(from).unwrap(), Dir::open(to).unwrap());
    let (way, op) = (way(&to).unwrap(), op());
    let request = Request { from: &from, to: &to, way, origins: true, op: &op };
    tree(&request).unwrap().origins.unwrap()
}

/// What is noted of `name`, checked against what both files say.
#[track_caller]
fn noted(origins: &Origins, from: &Path, to: &Path) -> Origin {
    let (from, to) = (fs::metadata(from).unwrap(), fs::metadata(to).unwrap());
    let origin = *origins.find(to.ino()).unwrap();
    assert_eq!(origin.origin, from.ino());
    origin
}

fn changed(path: &Path) -> (i64, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.ctime(), u32::try_from(meta.ctime_nsec()).unwrap())
}

#[test]
fn a_change_after_the_copy_shows() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        fs::create_dir_all(from.join("below")).unwrap();
        let names = ["one", "two", "below/three", "below/empty"];
        for name in names {
            fs::write(from.join(name), if name.ends_with("empty") { "" } else { name }).unwrap();
        }
        fs::hard_link(from.join("one"), from.join("below/one")).unwrap();
        std::os::unix::fs::symlink("one", from.join("link")).unwrap();
        let written = Instant::now();
        until("the changes are old", || written.elapsed() > Duration::from_millis(60));
        let to = disk.path("to");
        let noted_all = origins(&from, &to);
        assert_eq!(noted_all.len(), 4, "each file once, and only files");
        for name in names {
            let origin = noted(&noted_all, &from.join(name), &to.join(name));
            assert!(!origin.racy, "{kind:?}: {name}");
            assert_eq!(origin.changed, changed(&from.join(name)), "{kind:?}: {name}");
        }
        assert_eq!(Origins::from_bytes(&noted_all.to_bytes()).unwrap(), noted_all);
        // At once, of the same length, and with the old times.
        let file = fs::File::options().write(true).open(from.join("two")).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        fs::write(from.join("two"), "owt").unwrap();
        file.set_modified(modified).unwrap();
        let origin = noted(&noted_all, &from.join("two"), &to.join("two"));
        assert_ne!(origin.changed, changed(&from.join("two")), "{kind:?}");
    });
}

#[test]
fn what_has_just_changed_proves_nothing() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("old"), "x").unwrap();
        let written = Instant::now();
        until("the change is old", || written.elapsed() > Duration::from_millis(60));
        // The machine may be slow: one that was fast enough is enough.
        let mut attempt = 0;
        until("a copy within the doubtful time", || {
            attempt += 1;
            let to = disk.path(&format!("to {attempt}"));
            fs::write(from.join("new"), "x").unwrap();
            let begun = Instant::now();
            let origins = origins(&from, &to);
            let quick = begun.elapsed() < Duration::from_millis(10);
            let racy = |name: &str| noted(&origins, &from.join(name), &to.join(name)).racy;
            assert!(!racy("old"), "{kind:?}");
            assert!(racy("new") || !quick, "{kind:?}");
            quick
        });
    });
}
