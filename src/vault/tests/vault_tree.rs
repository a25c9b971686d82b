//! Backups of trees: stock restic reads them whole, and the next one reads only what
//! changed.

mod stock;
mod volume;

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _, symlink},
    process::Command,
};

use berth_host::beneath::copy::Origins;
use berth_vault::{backup::Mode, format::NodeKind};
use jiff::Timestamp;
use stock::{
    odd::{self, facts, noise, without_linked_links},
    run,
};
use volume::{Volume, later};

#[test]
fn restic_restores_everything_odd() {
    let volume = Volume::new();
    fs::remove_dir(volume.data()).unwrap();
    odd::make(&volume.data());
    let before = facts(&volume.data());
    let backup = volume.back_up_at(later());
    assert_eq!(facts(&volume.data()), before, "reading leaves no trace");
    volume.stock.judged(1);
    for restic in stock::all() {
        let restored = volume.restored_by(&restic, &backup);
        odd::settle(&restored);
        let facts = facts(&restored);
        assert_eq!(
            without_linked_links(&facts),
            without_linked_links(&before),
            "by {}",
            restic.display()
        );
    }

    let summary = backup.file.summary.as_ref().unwrap();
    assert_eq!(backup.label.mode, Mode::Full);
    assert_eq!(summary.files_new, summary.total_files_processed);
    assert!(backup.label.bytes_read < 25_000_000, "holes are not read: {:?}", backup.label);
    let again = volume.back_up_at(later());
    assert_eq!(again.label.bytes_read, 0);
    assert_eq!(volume.top(&again), volume.top(&backup), "nothing changed");
    assert_eq!(again.label.mode, Mode::Incremental);
    assert_eq!(again.file.parent, Some(backup.id));
    assert_eq!(again.file.summary.as_ref().unwrap().tree_blobs, 1, "the one above");
    assert_eq!((again.size, again.files), (backup.size, backup.files));
}

#[test]
fn what_old_restic_does_not_know_is_kept_too() {
    let volume = Volume::new();
    let data = volume.data();
    let socket = std::os::unix::net::UnixListener::bind(data.join("socket")).unwrap();
    let target = std::ffi::OsStr::new("to \u{e4}");
    symlink(target, data.join("link")).unwrap();
    let raw = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"to \xff");
    symlink(raw, data.join("raw")).unwrap();
    run(Command::new("setfattr").args(["-h", "-n", "trusted.x", "-v", "y"]).arg(data.join("raw")));
    let backup = volume.back_up_live().unwrap();
    let node = |name| volume.node(&backup, name);
    assert_eq!(node("socket").kind, NodeKind::Socket);
    assert_eq!(node("link").target(), "to \u{e4}".as_bytes());
    assert_eq!(node("raw").target(), b"to \xff");
    let attributes = node("raw").extended_attributes.unwrap();
    assert_eq!((attributes[0].name.as_str(), &*attributes[0].value.0), ("trusted.x", &b"y"[..]));
    drop(socket);
}

#[test]
fn nodes_are_in_the_order_of_their_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let volume = Volume::new();
    // Quoted, the second would come before the first.
    let names: [&[u8]; 5] = [b"a", b"b\x7f", b"b\xff", b"b\"", b"a\\"];
    for name in names {
        fs::write(volume.data().join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let backup = volume.back_up_live().unwrap();
    let found: Vec<_> =
        volume.nodes(&backup, &[]).iter().map(|node| node.file_name().unwrap()).collect();
    assert!(found.is_sorted() && found.len() == names.len(), "{found:?}");
    let restored = volume.restored(&backup);
    assert_eq!(fs::read_dir(restored).unwrap().count(), names.len());
}

#[test]
fn a_copy_of_what_did_not_change_is_not_read() {
    let volume = Volume::new();
    volume.write("big", noise(3_000_000, 1));
    volume.write("small", "small");
    fs::create_dir(volume.data().join("in")).unwrap();
    volume.write("in/one", "one");
    fs::hard_link(volume.data().join("in/one"), volume.data().join("in/two")).unwrap();
    let first = volume.back_up(&volume.copy("first"));
    assert_eq!(first.label.bytes_read, 3_000_008, "a file with two names is read once");
    assert_eq!((first.size, first.files), (3_000_008, 4));
    let second = volume.back_up(&volume.copy("second"));
    assert_eq!(second.label.bytes_read, 0);
    assert_eq!(volume.top(&second), volume.top(&first));
    let summary = second.file.summary.as_ref().unwrap();
    assert_eq!((summary.files_unmodified, summary.dirs_unmodified), (4, 2));
    assert_eq!(second.size, first.size);

    volume.write("small", "SMALL!");
    let third = volume.back_up(&volume.copy("third"));
    assert_eq!(third.label.bytes_read, 6);
    let summary = third.file.summary.as_ref().unwrap();
    assert_eq!((summary.files_changed, summary.files_unmodified), (1, 3));
    assert_eq!((summary.dirs_changed, summary.dirs_unmodified), (1, 1));
    let restored = volume.restored(&third);
    assert_eq!(fs::read(restored.join("small")).unwrap(), b"SMALL!");
    let links = |name| fs::metadata(restored.join(name)).unwrap();
    assert_eq!(links("in/one").ino(), links("in/two").ino());
}

#[test]
fn content_that_looks_the_same_is_noticed() {
    let volume = Volume::new();
    volume.write("file", "before");
    let file = volume.data().join("file");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    volume.back_up(&volume.copy("first"));
    let open = File::options().write(true).open(&file).unwrap();
    open.write_all_at(b"after.", 0).unwrap();
    open.set_modified(modified).unwrap();
    let second = volume.back_up(&volume.copy("second"));
    assert_eq!(second.label.bytes_read, 6);
    assert_eq!(fs::read(volume.restored(&second).join("file")).unwrap(), b"after.");
    // Another file with the same times and size in its place.
    let other = volume.data().join("other");
    fs::write(&other, "third!").unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(&other, &file).unwrap();
    assert_eq!(volume.back_up(&volume.copy("third")).label.bytes_read, 6);
}

#[test]
fn what_changed_right_before_is_read_again() {
    let volume = Volume::new();
    volume.write("file", "content");
    let mut copy = volume.copy("first");
    let racy = copy.origins.iter().map(|origin| {
        let mut origin = *origin;
        origin.racy = true;
        origin
    });
    copy.origins = Origins::new(racy.collect());
    let first = volume.back_up(&copy);
    let node = volume.node(&first, "file");
    assert_eq!((node.ctime, node.inode), (None, 0));
    assert_eq!(volume.back_up(&volume.copy("second")).label.bytes_read, 7);
    assert_eq!(volume.back_up(&volume.copy("third")).label.bytes_read, 0);
    // Of a snapshot that has the volume's own times.
    volume.write("file", "CONTENT");
    let created = Timestamp::now();
    let snapshot = volume.back_up_at(created);
    assert_eq!(volume.node(&snapshot, "file").ctime, None);
    assert_eq!(volume.back_up_at(later()).label.bytes_read, 7);
    assert_eq!(volume.back_up_at(later()).label.bytes_read, 0);
    // A racy one now proves nothing, whatever is known of before.
    assert_eq!(volume.back_up_at(created).label.bytes_read, 7);
}

#[test]
fn files_with_several_names_stay_apart_where_nothing_is_known_of_them() {
    let volume = Volume::new();
    for pair in ["a", "b"] {
        volume.write(pair, pair);
        fs::hard_link(volume.data().join(pair), volume.data().join(format!("{pair}2"))).unwrap();
    }
    let mut copy = volume.copy("first");
    let known = copy.origins.iter().take(1).copied().collect();
    copy.origins = Origins::new(known);
    let restored = volume.restored(&volume.back_up(&copy));
    for (name, content) in [("a", "a"), ("a2", "a"), ("b", "b"), ("b2", "b")] {
        assert_eq!(fs::read_to_string(restored.join(name)).unwrap(), content);
        assert_eq!(fs::metadata(restored.join(name)).unwrap().nlink(), 2);
    }
}

#[test]
fn restic_finds_its_own_blobs() {
    let volume = Volume::new();
    for number in 0..4 {
        volume.write(&format!("big-{number}"), noise(9_000_000 + 111_111 * number, number as u64));
        volume.write(&format!("small-{number}"), noise(100_000 * number, 9 + number as u64));
    }
    volume.write("zeros", vec![0; 3_000_000]);
    volume.back_up_live().unwrap();
    let said = volume.stock.restic(volume.data(), &["backup", ".", "--json"]);
    let summary = said.lines().last().unwrap();
    assert!(summary.contains("\"data_blobs\":0,"), "{summary}");
    // And the other way.
    volume.write("more", noise(20_000_000, 77));
    volume.stock.restic(volume.data(), &["backup", "."]);
    let backup = volume.back_up_live().unwrap();
    let description = 1;
    assert!(backup.file.summary.as_ref().unwrap().data_blobs <= description);
}

#[test]
fn holes_are_neither_read_nor_lost() {
    let volume = Volume::new();
    let file = File::create(volume.data().join("sparse")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    // Too small a hole to be left out, and one that is large enough.
    file.write_all_at(&noise(50_000, 1), 40_000).unwrap();
    file.write_all_at(&noise(700_000, 2), 300 << 20).unwrap();
    file.set_len(1 << 30).unwrap();
    let backup = volume.back_up_live().unwrap();
    assert!(backup.label.bytes_read < 1_000_000, "{}", backup.label.bytes_read);
    assert_eq!(backup.size, 1 << 30);
    let content = volume.node(&backup, "sparse").content.unwrap();
    assert!(content.len() < 140, "{}", content.len());
    let restored = volume.restored(&backup).join("sparse");
    let differs = run(Command::new("cmp").arg(volume.data().join("sparse")).arg(restored));
    assert_eq!(differs, "");
}
