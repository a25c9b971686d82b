//! What is not restored: damaged, gone, too large, misspelt. Nothing that looks
//! healthy is left of it.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
};

use crate::{
    House, packs,
    support::{
        loopfs::{Kind, LoopFs},
        pause::Pause,
        poll::{self, SOON},
    },
    turn,
};

#[test]
fn a_damaged_backup_makes_no_volume() {
    let (house, id) = House::with_backup();
    house.damage();
    let said = house.refused(&["backup", "restore", &id, "w"], 1);
    assert!(said.contains(&id[..8]), "it names the backup: {said}");
    assert_eq!(house.state("w"), None);
    poll::equal("folders of volumes", SOON, &1, || house.folders());
    for pack in packs(&house.offsite()) {
        turn(&pack);
    }
    // convoy took the folder of the failed restore for a healthy volume.
    house.ok(&["backup", "restore", &id, "w"]);
    assert_eq!(house.content("w"), house.content("v"));
}

#[test]
fn one_that_turns_out_to_be_damaged_later_makes_a_faulty_volume() {
    let (mut house, id) = House::with_backup();
    let pause = Pause::at(house.stage.path(), "engine.restore.fill", 1);
    let rule = pause.rule().to_owned();
    house.restart(&rule);
    let from = format!("from=backup:{id}");
    house.ok(&["volume", "create", "w", "-o", &from]);
    house.damage();
    pause.release();
    house.becomes("w", "faulty");
    for words in [&["volume", "mount", "w"][..], &["volume", "create", "w", "-o", &from]] {
        let said = house.refused(words, 1);
        assert!(said.contains("faulty") && said.contains("berth volume rm w"), "{said}");
    }
    house.restart("");
    house.becomes("w", "faulty");
    house.ok(&["volume", "rm", "w"]);
    assert_eq!(house.state("w"), None);
    poll::equal("folders of volumes", SOON, &1, || house.folders());
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let (house, id) = House::with_backup();
    let from = format!("from=backup:{id}");
    let said = house.refused(&["volume", "create", "w", "-o", &from, "-o", "size=1M"], 1);
    assert!(said.contains("the volume may take 1 MiB"), "{said}");
    assert_eq!((house.state("w"), house.folders()), (None, 1));
}

#[test]
fn holes_need_no_room_and_what_is_in_files_does() {
    let mut disk = None;
    let house = House::configured(|stage| {
        let made = LoopFs::new(stage.path(), "disk", Kind::Ext4, Kind::Ext4.least());
        let pool = made.path().join("pool");
        fs::create_dir(&pool).expect("a file system of our own");
        disk = Some(made);
        format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display())
    });
    let disk = disk.expect("it was made");
    let data = |volume: &str| {
        let id = house.daemon.control().volume(volume)["id"].as_str().expect("an id").to_owned();
        disk.path().join("pool/volumes").join(id).join("data")
    };
    // Few bytes in a large file, and pieces that are zeros for the most part.
    house.ok(&["volume", "create", "v"]);
    let file = File::create(data("v").join("sparse")).expect("a file");
    file.set_len(3 << 30).expect("a hole");
    for at in 0..64_u64 {
        file.write_all_at(&[7; 4096], (1 << 30) + (at << 20)).expect("content");
    }
    fs::hard_link(data("v").join("sparse"), data("v").join("again")).expect("a link");
    let id = house.ok(&["backup", "create", "v", "--repository", "offsite"]);
    house.ok(&["backup", "restore", &id, "w"]);
    let there = fs::metadata(data("w").join("again")).expect("restored");
    assert_eq!((there.len(), there.nlink()), (3 << 30, 2));
    assert!(there.blocks() * 512 <= 2 << 20, "{} blocks", there.blocks());

    house.ok(&["volume", "create", "full"]);
    fs::write(data("full").join("dense"), vec![7; 30 << 20]).expect("half of it");
    let id = house.ok(&["backup", "create", "full", "--repository", "offsite"]);
    let said = house.refused(&["backup", "restore", &id, "x"], 1);
    assert!(said.contains("has 30 MiB without its holes"), "{said}");
    assert!(said.contains("pool `default`"), "{said}");
    assert_eq!(house.state("x"), None);
}

#[test]
fn what_is_not_there_is_told() {
    let (house, id) = House::with_backup();
    let create = |from: &str, code| {
        let said = house.refused(&["volume", "create", "w", "-o", &format!("from={from}")], code);
        assert_eq!(house.state("w"), None);
        said
    };
    assert!(create("backup:ffffffff", 3).contains("berth backup ls"));
    assert!(create("backup:latest:w", 3).contains("no backup of volume `w`"));
    assert!(create("backup:offsit/ffff", 3).contains("did you mean `offsite`"));
    assert!(create("backup:xyz", 2).contains("option `from`"));
    std::fs::remove_file(house.offsite().join("snapshots").join(&id)).expect("the backup");
    assert!(create(&format!("backup:{id}"), 3).contains("no such backup"));
}
