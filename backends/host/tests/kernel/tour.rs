//! Tours of trees that somebody prepared.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
};

use berth_api::ErrorKind;
use berth_host::{
    beneath::{Dir, Entry},
    mounts::{BindFlags, bind, unmount},
};
use nix::{mount::MsFlags, sys::stat::Mode, unistd::mkfifo};

use crate::stage::in_namespace;

/// What a tour of `path` meets: files with their space and names, and folders.
#[derive(Debug, Default)]
struct Met {
    folders: usize,
    files: BTreeMap<u64, Vec<u64>>,
    others: usize,
}

fn tour(path: &Path) -> Met {
    let mut met = Met::default();
    let mut each = |entry: &Entry<'_>| {
        if entry.is_directory() {
            met.folders += 1;
        } else if entry.is_file() {
            met.files.entry(entry.space()).or_default().push(entry.names());
        } else {
            met.others += 1;
            assert!(entry.open().is_err(), "only files and folders are ever opened");
        }
        Ok(())
    };
    Dir::open(path).unwrap().tour(&mut each).unwrap();
    met
}

/// More levels than are open at a time, a path longer than the kernel takes.
#[test]
fn depth_is_no_limit() {
    let _deep = crate::stage::deep();
    let stage = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let mut deepest = Dir::open(stage.path()).unwrap();
    for level in 0..200 {
        deepest.make_dir(&name, 0o755).unwrap();
        // Beside the way down, so that the way up has something to go on with.
        if level % 10 == 0 {
            deepest.make_dir("beside", 0o755).unwrap();
        }
        deepest = deepest.open_dir(&name).unwrap();
    }
    assert_eq!(tour(stage.path()).folders, 220);
    Dir::open(stage.path()).unwrap().remove_tree(&name, &mut || Ok(())).unwrap();
}

#[test]
fn a_width_of_thousands_is_met_once_each() {
    let stage = tempfile::tempdir().unwrap();
    for number in 0..20_000 {
        File::create(stage.path().join(format!("file-{number}"))).unwrap();
    }
    assert_eq!(tour(stage.path()).files[&0].len(), 20_000);
}

#[test]
fn links_pipes_and_mounts_lead_nowhere() {
    in_namespace(MsFlags::MS_PRIVATE, |stage| {
        let [tree, outside] = ["tree", "outside"].map(|name| stage.join(name));
        fs::create_dir_all(tree.join("below")).unwrap();
        fs::create_dir_all(outside.join("precious")).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink("..", tree.join("below/up")).unwrap();
        mkfifo(&tree.join("pipe"), Mode::S_IRWXU).unwrap();
        fs::create_dir(tree.join("mounted")).unwrap();
        let source = File::open(&outside).unwrap();
        bind(&source, &tree.join("mounted"), BindFlags::default()).unwrap();
        let met = tour(&tree);
        assert_eq!((met.folders, met.others), (1, 3), "{met:?}");
        unmount(&tree.join("mounted")).unwrap();
        assert_eq!(tour(&tree).folders, 2);
    });
}

#[test]
fn names_of_one_file_are_told() {
    let stage = tempfile::tempdir().unwrap();
    fs::write(stage.path().join("one"), vec![7; 100_000]).unwrap();
    fs::hard_link(stage.path().join("one"), stage.path().join("two")).unwrap();
    let met = tour(stage.path());
    assert_eq!(met.files.values().collect::<Vec<_>>(), [&vec![2, 2]]);
}

/// A directory that is moved out of the tree while the tour is deep in it: the
/// way back up would lead elsewhere.
#[test]
fn a_tour_does_not_leave_by_a_moved_directory() {
    let _deep = crate::stage::deep();
    let stage = tempfile::tempdir().unwrap();
    let [tree, outside] = ["tree", "outside"].map(|name| stage.path().join(name));
    let deep = (0..300).fold(tree.join("a/b"), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(&outside).unwrap();
    for number in 0..100 {
        fs::create_dir(outside.join(format!("precious-{number}"))).unwrap();
    }
    let mut met = 0;
    let mut each = |_: &Entry<'_>| {
        met += 1;
        if met == 250 {
            fs::rename(tree.join("a/b"), outside.join("b")).unwrap();
        }
        assert!(met <= 310, "it got out");
        Ok(())
    };
    let error = Dir::open(&tree).unwrap().tour(&mut each).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
}
