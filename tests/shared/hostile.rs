//! What somebody plants among the records concerns one volume.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::json;

use crate::{
    pair::Pair,
    support::poll::{self, SOON},
};

#[test]
fn a_damaged_record_makes_one_volume_faulty_until_it_is_removed() {
    let pair = Pair::new("hostile");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    let outside = pair.outside();
    fs::write(outside.join("file"), "precious").expect("ours");
    one.create("sound", &json!({})).expect("created");
    let kinds = ["torn", "link", "fifo", "folder", "huge", "copy", "nonsense"];
    for kind in kinds {
        one.create(kind, &json!({})).expect("created");
        two.get(kind).expect("seen");
        let id = two.get(kind).expect("seen")["Status"]["id"].as_str().expect("an id").to_owned();
        let folder = pair.record(&id);
        // The outcome of the create is the second version.
        poll::holds("settled", SOON, || folder.join("2").exists());
        let whole = fs::read(folder.join("2")).expect("there");
        let place = folder.join("3");
        match kind {
            "torn" => fs::write(&place, &whole[..whole.len() / 2]).expect("planted"),
            "link" => symlink(outside.join("file"), &place).expect("planted"),
            "fifo" => {
                assert!(Command::new("mkfifo").arg(&place).status().expect("coreutils").success());
            }
            "folder" => fs::create_dir(&place).expect("planted"),
            "huge" => {
                fs::File::create(&place).and_then(|file| file.set_len(1 << 40)).expect("planted");
            }
            "copy" => drop(fs::copy(folder.join("2"), &place).expect("planted")),
            _ => fs::write(&place, "{\"content\":{},\"checksum\":\"\"}").expect("planted"),
        }
        for side in [&pair.one, &pair.two] {
            poll::equal(kind, SOON, &Some("faulty".to_owned()), || side.state(kind));
            assert_eq!(side.state("sound").as_deref(), Some("ready"));
        }
        let text = two.mount(kind, "c").expect_err("faulty");
        assert!(text.contains("faulty"), "{text}");
        two.remove(kind).unwrap_or_else(|error| panic!("{kind}: {error}"));
        poll::equal(kind, SOON, &None, || pair.one.state(kind));
        one.create(kind, &json!({})).expect("the name is free");
    }
    assert_eq!(fs::read(outside.join("file")).expect("there"), b"precious");
}

#[test]
fn a_damaged_record_of_an_unknown_volume_is_named_by_its_sidecar() {
    let mut pair = Pair::new("sidecar");
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    let id = pair.one.daemon.control().volume("db")["id"].as_str().expect("an id").to_owned();
    poll::holds("settled", SOON, || pair.record(&id).join("2").exists());
    fs::write(pair.record(&id).join("3"), "torn").expect("planted");
    // The second host has never seen it.
    pair.two.daemon.restart();
    poll::equal("named", SOON, &Some("faulty".to_owned()), || pair.two.state("db"));
    // Put right, it is sound again.
    fs::remove_file(pair.record(&id).join("3")).expect("ours");
    for side in [&pair.one, &pair.two] {
        poll::equal("put right", SOON, &Some("ready".to_owned()), || side.state("db"));
    }
}
