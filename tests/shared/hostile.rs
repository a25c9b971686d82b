//! What somebody plants among the records concerns one volume.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::{Value, json};

use crate::{
    pair::Pair,
    place::Place,
    support::poll::{self, SOON},
};

#[test]
fn a_damaged_record_makes_one_volume_faulty_until_it_is_removed() {
    let pair = Pair::new("hostile");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    let outside = pair.outside();
    fs::write(outside.join("file"), "precious").expect("ours");
    one.create("sound", &json!({})).expect("created");
    let kinds = ["link", "fifo", "folder", "huge", "torn", "copy", "nonsense"];
    for kind in kinds.into_iter().take(Place::PLANTS) {
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

/// What is changed in a record.
type Forgery<'a> = &'a dyn Fn(&mut Value);

/// Whole and sealed, as whoever can write there can make it.
fn forged(whole: &[u8], change: Forgery<'_>) -> Vec<u8> {
    let mut sealed: Value = serde_json::from_slice(whole).expect("JSON");
    sealed["content"]["version"] = json!(3);
    change(&mut sealed["content"]["body"]);
    let content = sealed["content"].to_string();
    sealed["checksum"] = json!(berth_api::checksum::seal(&[content.as_bytes()]));
    sealed.to_string().into_bytes()
}

#[test]
fn a_forged_record_reaches_nothing_outside_and_no_other_volume() {
    let pair = Pair::new("forged");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    let outside = pair.outside();
    fs::write(outside.join("file"), "precious").expect("ours");
    one.create("sound", &json!({})).expect("created");
    let sound =
        one.get("sound").expect("there")["Status"]["id"].as_str().expect("an id").to_owned();
    let data = pair.path().join("volumes").join(&sound).join("data");
    fs::write(data.join("file"), "precious").expect("ours");
    let up = format!("../../../{}", outside.file_name().expect("a name").display());
    let (to_sound, to_outside, above) = (sound.clone(), up.clone(), up);
    let forgeries: [(&str, Forgery<'_>); 6] = [
        ("handle", &|body| body["handle"]["id"] = json!(to_sound)),
        ("name", &move |body| body["name"] = json!(above)),
        ("path", &move |body| body["handle"]["id"] = json!(to_outside)),
        ("taken", &|body| body["name"] = json!("sound")),
        ("id", &|body| body["id"] = json!(to_sound)),
        ("state", &|body| body["state"] = json!({"is": "removed", "until": "never"})),
    ];
    for (kind, change) in forgeries.into_iter().take(Place::PLANTS) {
        one.create(kind, &json!({})).expect("created");
        let id = two.get(kind).expect("seen")["Status"]["id"].as_str().expect("an id").to_owned();
        poll::holds("settled", SOON, || pair.record(&id).join("2").exists());
        let whole = fs::read(pair.record(&id).join("2")).expect("there");
        fs::write(pair.record(&id).join("3"), forged(&whole, change)).expect("planted");
        for side in [&pair.one, &pair.two] {
            poll::equal(kind, SOON, &Some("faulty".to_owned()), || side.state(kind));
        }
        two.remove(kind).unwrap_or_else(|error| panic!("{kind}: {error}"));
        for side in [&pair.one, &pair.two] {
            poll::equal(kind, SOON, &vec![(json!("sound"), json!("ready"))], || {
                let volumes = side.daemon.control().volumes();
                let named = |volume: &Value| (volume["name"].clone(), volume["state"].clone());
                volumes.iter().map(named).collect()
            });
            assert_eq!(side.daemon.control().volume("sound")["id"], sound, "{kind}");
        }
        assert_eq!(fs::read(data.join("file")).expect(kind), b"precious");
        assert_eq!(fs::read(outside.join("file")).expect(kind), b"precious");
    }
}
