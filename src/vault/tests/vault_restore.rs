//! What stock restic wrote, restored by us.

mod stock;

use std::{
    collections::HashSet,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
    process::Command,
};

use berth_api::ErrorKind;
use berth_host::beneath::Dir;
use berth_vault::{
    Backup, Repository,
    format::{Node, NodeKind, crypt::Base64, node::Attribute},
    restore, verify,
};

use self::stock::{
    Stock, backups,
    forge::{Forge, named},
    odd, op,
};

fn restore(
    repository: &Repository,
    backup: &Backup,
    to: &Path,
) -> berth_api::Result<restore::Restored> {
    fs::create_dir(to).expect("makes");
    restore::tree(repository, &op(), backup, &Dir::open(to).expect("opens"))
}

#[test]
fn what_restic_wrote_comes_back_in_every_byte_and_attribute() {
    let stock = Stock::new();
    let source = stock.path("source");
    odd::make(&source.join("data"));
    let facts = odd::facts(&source.join("data"));
    stock.back_up(&source, "db");
    let repository = stock.open();
    let [backup] = &backups(&repository)[..] else { panic!("one backup") };
    let to = stock.path("to");
    let restored = restore(&repository, backup, &to).expect("it restores");
    same(&facts, &odd::facts(&to));

    assert_eq!(restored.files, count(&to));
    let index = repository.index(&op()).expect("an index");
    let found = restore::description(&repository, &op(), &index, backup).expect("it has one");
    assert_eq!(found.id, backup.label.volume_id);
    let size = |name: &str| fs::metadata(to.join(name)).expect("a stat").blocks() * 512;
    assert!(size("holes") <= 400_000, "holes: {}", size("holes"));
    assert_eq!(size("one hole"), 0);
    assert_eq!(size("zeros"), 0);
}

#[test]
fn what_restic_leaves_out_comes_back_too() {
    let stock = Stock::empty();
    let repository = stock.init();
    let mut forge = Forge::new(&repository);
    let mut link = named("link", NodeKind::Symlink);
    link.set_target(b"/nowhere/\xff");
    link.set_mode(0o777);
    link.extended_attributes =
        Some(vec![Attribute { name: "trusted.x".to_owned(), value: Base64(b"value".to_vec()) }]);
    let mut socket = named("socket", NodeKind::Socket);
    socket.set_mode(0o640);
    (socket.uid, socket.gid) = (7, 8);
    let mut one = forge.file("one", b"content");
    (one.inode, one.device_id, one.links) = (5, 6, 3);
    let other = Node { name: "other".to_owned(), ..one.clone() };
    let mut torn = forge.file("torn", b"written between");
    (torn.inode, torn.device_id, torn.links) = (5, 6, 3);
    let backup = forge.finish(vec![link, one, other, socket, torn]);
    let to = stock.path("to");
    restore(&repository, &backup, &to).expect("it restores");

    let target = fs::read_link(to.join("link")).expect("a link");
    assert_eq!(target.as_os_str().as_bytes(), b"/nowhere/\xff");
    assert!(odd::facts(&to).contains("trusted.x=0x76616c7565"));
    let socket = fs::symlink_metadata(to.join("socket")).expect("a stat");
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o7777, socket.uid(), socket.gid()), (0o640, 7, 8));
    let inode = |name: &str| fs::metadata(to.join(name)).expect("a stat").ino();
    assert_eq!(inode("one"), inode("other"));
    assert_ne!(inode("one"), inode("torn"), "what differs is not one file");
    assert_eq!(fs::read(to.join("torn")).expect("reads"), b"written between");
}

#[test]
fn a_tree_deeper_than_any_path_is_restored() {
    let stock = Stock::empty();
    let repository = stock.init();
    let mut forge = Forge::new(&repository);
    let mut node = forge.file("deepest", b"content");
    for _ in 0..10_000 {
        node = forge.directory("d", vec![node]);
    }
    let backup = forge.finish(vec![node]);
    let to = stock.path("to");
    let restored = restore(&repository, &backup, &to).expect("it restores");
    assert_eq!(restored.files, 1);
    let found = stock::run(
        Command::new("find").arg(".").args(["-name", "deepest", "-printf", "%d"]).current_dir(&to),
    );
    assert_eq!(found, "10001");
    assert!(verify::verify(&repository, &op(), &[backup.id]).expect("it can be read").is_whole());
    stock::run(Command::new("rm").arg("-rf").arg(&to));
}

#[test]
fn what_is_in_the_way_is_never_touched() {
    let stock = Stock::new();
    let source = stock.path("source");
    fs::create_dir_all(source.join("data")).expect("makes");
    fs::write(source.join("data/file"), b"new").expect("writes");
    stock.back_up(&source, "db");
    let repository = stock.open();
    let backup = &backups(&repository)[0];
    let to = stock.path("to");
    fs::create_dir(&to).expect("makes");
    fs::write(to.join("file"), b"old").expect("writes");
    let error = restore::tree(&repository, &op(), backup, &Dir::open(&to).expect("opens"))
        .expect_err("it is not empty");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(fs::read(to.join("file")).expect("reads"), b"old");
}

#[test]
fn a_cancelled_restore_ends() {
    let stock = Stock::new();
    let source = stock.path("source");
    odd::make(&source.join("data"));
    stock.back_up(&source, "db");
    let repository = stock.open();
    let to = stock.path("to");
    fs::create_dir(&to).expect("makes");
    let op = op();
    op.cancel();
    let to = Dir::open(&to).expect("opens");
    let error = restore::tree(&repository, &op, &backups(&repository)[0], &to);
    assert_eq!(error.expect_err("cancelled").kind(), ErrorKind::Conflict);
}

fn count(top: &Path) -> u64 {
    fs::read_dir(top)
        .expect("reads")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            if entry.path().is_dir() && !entry.path().is_symlink() {
                count(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

/// Fails with the lines that only one of them has.
fn same(before: &str, after: &str) {
    let only = |mark: char, one: &str, other: &str| {
        let there: HashSet<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !there.contains(line));
        lines.map(|line| format!("{mark} {line}")).collect::<Vec<_>>().join("\n")
    };
    assert!(before == after, "\n{}\n{}", only('-', before, after), only('+', after, before));
}
