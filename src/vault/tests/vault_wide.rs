//! Directories with so much in them that their trees are larger than any piece of a
//! file: what their repository holds of them every restic can read.

mod stock;
mod volume;

use std::{env, fs, os::unix::fs::symlink};

use berth_vault::{repository::blob::LARGEST_DATA, restore, verify};
use jiff::Timestamp;

use self::{
    stock::{all, op},
    volume::{Volume, dir},
};

/// Names in the directory, and how long the text is that each has. The short run takes
/// few names with much in each; `BERTH_LONG=1` takes half a million files.
fn sizes() -> (usize, Option<usize>) {
    if env::var("BERTH_LONG").is_ok_and(|long| long == "1") {
        (500_000, None)
    } else {
        (34_000, Some(4000))
    }
}

#[test]
fn a_directory_whose_tree_is_larger_than_any_piece_of_a_file_is_backed_up() {
    let volume = Volume::new();
    let wide = volume.data().join("wide");
    fs::create_dir(&wide).expect("makes");
    let (count, text) = sizes();
    for number in 0..count {
        let path = wide.join(format!("name-{number:06}"));
        match text {
            Some(length) => symlink(format!("{number:0length$}"), path).expect("links"),
            None => drop(fs::File::create(path).expect("makes")),
        }
    }
    let backup = volume.back_up_at(Timestamp::now());
    let repository = &volume.repository;
    let index = repository.index(&op()).expect("an index");
    let node = volume.node(&backup, "wide");
    let length = index.length(berth_vault::format::BlobKind::Tree, &node.subtree.expect("a tree"));
    assert!(length > Some(LARGEST_DATA.into()), "it is large enough to tell: {length:?}");

    assert!(verify::verify(repository, &op(), &[backup.id]).expect("read").is_whole());
    for restic in all() {
        let listed = volume.stock.by(&restic, "/", &["ls", &backup.id.to_string()]);
        let found = listed.lines().filter(|line| line.contains("/data/wide/name-")).count();
        assert_eq!(found, count, "by {}", restic.display());
    }
    let to = volume.stock.path("to");
    fs::create_dir(&to).expect("makes");
    let restored = restore::tree(repository, &op(), &backup, &dir(&to)).expect("restores");
    assert_eq!(restored.files, count as u64);
    assert_eq!(fs::read_dir(to.join("wide")).expect("there").count(), count);
}
