//! What stock restic wrote, restored by us.

mod stock;

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path};

use berth_api::ErrorKind;
use berth_host::beneath::Dir;
use berth_vault::{Backup, Repository, restore};

use self::stock::{Stock, backups, odd, op};

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
    let size = |name: &str| fs::metadata(to.join(name)).expect("a stat").blocks() * 512;
    assert!(size("holes") <= 400_000, "holes: {}", size("holes"));
    assert_eq!(size("one hole"), 0);
    assert_eq!(size("zeros"), 0);
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
        .map(|entry| match entry.file_type().expect("a type").is_dir() {
            true => count(&entry.path()),
            false => 1,
        })
        .sum()
}

/// Fails with the lines that only one of them has.
fn same(before: &str, after: &str) {
    let only = |mark: char, one: &str, other: &str| {
        let there: HashSet<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !there.contains(line));
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    assert!(before == after, "\n{}{}", only('-', before, after), only('+', after, before));
}
