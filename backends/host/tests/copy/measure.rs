//! What a copy would carry.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _, symlink},
    path::Path,
    process::Command,
    time::Duration,
};

use berth_api::{ErrorKind, Op};
use berth_host::beneath::{Dir, copy::measure};

use crate::{
    copy,
    disk::{Disk, run},
    op,
};

fn tree(from: &Path) {
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(from.join("a/file"), vec![1; 100_000]).unwrap();
    for twin in ["twin", "a/b/twin"] {
        fs::hard_link(from.join("a/file"), from.join(twin)).unwrap();
    }
    let sparse = File::create(from.join("a/b/sparse")).unwrap();
    sparse.write_all_at(&vec![1; 65536], 1 << 30).unwrap();
    symlink("/", from.join("root")).unwrap();
}

#[test]
fn everything_counts_once() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        tree(&from);
        let dir = Dir::open(&from).unwrap();
        dir.sync_file_system().unwrap();
        let extent = measure(&dir, &op()).unwrap();
        assert_eq!(extent.files, 5, "{kind:?}");
        assert_eq!(extent.bytes, 100_000 + (1 << 30) + 65536);
        // The top itself is no content.
        let said = run(Command::new("du").args(["-s", "-B512"]).arg(&from));
        let blocks: u64 = said.split_whitespace().next().unwrap().parse().unwrap();
        let top = fs::metadata(&from).unwrap().blocks();
        assert_eq!(extent.allocated, (blocks - top) * 512, "{kind:?}");
        let copied = copy(&from, &disk.path("to")).unwrap();
        assert_eq!((copied.files, copied.bytes), (extent.files, extent.bytes));
    });
}

#[test]
fn it_can_be_stopped() {
    let stage = tempfile::tempdir().unwrap();
    tree(stage.path());
    let dir = Dir::open(stage.path()).unwrap();
    let late = measure(&dir, &Op::new(Duration::ZERO)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    let op = op();
    op.cancel();
    assert_eq!(measure(&dir, &op).unwrap_err().kind(), ErrorKind::Conflict);
}
