//! What convoy's backups did wrong (`peers.md`, by number), done right.

use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::{House, all_restics, backups::noise, restic_by, support::pause::Pause};

/// The number that a backup's view has there.
#[track_caller]
fn number(view: &Value, key: &str) -> u64 {
    view[key].as_u64().unwrap_or_else(|| panic!("{key}: {view}"))
}

/// Backs the volume up, and shows the backup.
#[track_caller]
fn back_up(house: &House, volume: &str) -> Value {
    let id = house.ok(&["backup", "create", volume]);
    house.json(&["backup", "inspect", &id])[0].clone()
}

#[test]
fn convoy_03_removing_the_last_backup_of_one_removes_no_other() {
    let house = House::new();
    let names = ["vol", "vol1", "vol10", "vol1.0"];
    let ids = names.map(|name| {
        house.volume(name);
        house.ok(&["backup", "create", name])
    });
    house.ok(&["backup", "rm", &ids[1]]);
    house.ok(&["repository", "prune"]);
    for (name, id) in names.iter().zip(&ids).filter(|(name, _)| **name != "vol1") {
        assert_eq!(house.json(&["backup", "ls", name])[0]["id"], id.as_str());
        house.ok(&["backup", "verify", id]);
    }
    assert_eq!(house.json(&["backup", "ls", "vol1"]), Value::Array(Vec::new()));
}

#[test]
fn convoy_04_a_source_that_is_missing_or_unreadable_is_no_success() {
    let mut house = House::new();
    house.volume("v");
    let data = house.daemon.data("v");
    let away = data.with_extension("away");
    fs::rename(&data, &away).expect("ours");
    let output = house.daemon.berth(&["backup", "create", "v"]);
    assert!(!output.status.success(), "{output:?}");
    fs::rename(&away, &data).expect("ours");
    house.daemon.setup =
        house.daemon.setup.clone().env("BERTH_FAILPOINTS", "backup.tree.read=error:5");
    house.daemon.restart();
    let output = house.daemon.berth(&["backup", "create", "v"]);
    assert!(!output.status.success(), "{output:?}");
    let listed = house.daemon.berth(&["backup", "ls", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]", "half a backup is listed");
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    house.daemon.restart();
    house.ok(&["backup", "create", "v"]);
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn convoy_15_attributes_lists_and_holes_come_back() {
    let house = House::new();
    house.volume("v");
    let data = house.daemon.data("v");
    run("setfattr", &["-n", "user.note", "-v", "kept", "file"], &data);
    run("setfacl", &["-m", "u:1234:rw", "file"], &data);
    run("truncate", &["-s", "64M", "sparse"], &data);
    let facts = |folder: &Path| {
        run("getfattr", &["-d", "-m", "-", "file", "sparse"], folder)
            + &run("getfacl", &["-n", "file"], folder)
            + &run("stat", &["-c", "%n %a %u %g %s %y", "file", "sparse"], folder)
    };
    let view = back_up(&house, "v");
    assert!(number(&view, "bytes-read") < 1 << 20, "holes are not read: {view}");
    let id = view["id"].as_str().expect("a text");
    for (number, restic) in all_restics().iter().enumerate() {
        let to = house.stage.folder(format!("out-{number}"));
        let words = ["restore", id, "--target", to.to_str().expect("UTF-8")];
        let output = restic_by(restic, &house.built_in(), &house.key("default"), &words);
        assert!(output.status.success(), "{output:?}");
        let restored = to.join("data");
        assert_eq!(facts(&restored), facts(&data), "by {}", restic.display());
        assert_eq!(fs::metadata(restored.join("sparse")).expect("it").size(), 64 << 20);
    }
}

/// What a file takes on the disk, in bytes.
fn taken(file: &Path) -> u64 {
    fs::metadata(file).expect("a file").blocks() * 512
}

#[test]
fn convoy_15_restored_holes_take_no_space() {
    const MIB: u64 = 1 << 20;
    let house = House::new();
    house.volume("v");
    let data = house.daemon.data("v");
    let sparse = |name: &str, size: u64, written: &[u64]| {
        let file = fs::File::create(data.join(name)).expect("a file in the volume");
        file.set_len(size).expect("a sparse file");
        for (number, at) in written.iter().enumerate() {
            let page = noise(&format!("{name}-{number}"), 4096);
            file.write_all_at(&page, *at).expect("a page");
        }
        file.sync_all().expect("its blocks are allocated");
    };
    sparse("hole", 256 * MIB, &[]);
    sparse("database", 64 * MIB, &[0, 20 * MIB + 4096, 64 * MIB - 4096]);
    sparse("ends-in-a-hole", 32 * MIB + 1, &[8192]);
    house.write("v", "zeros", &vec![0; 8 << 20]);
    house.write("v", "dense", &noise("dense", 4 << 20));
    let names = ["hole", "database", "ends-in-a-hole", "zeros", "dense", "file"];
    let before = names.map(|name| taken(&data.join(name)));
    assert!(before[0] == 0 && before[1] < MIB && before[2] < MIB, "{before:?}");

    let id = house.ok(&["backup", "create", "v"]);
    house.ok(&["backup", "restore", &id, "new"]);
    let check = |volume: &str, other: &str| {
        let (restored, other) = (house.daemon.data(volume), house.daemon.data(other));
        for (name, before) in names.iter().zip(before) {
            let after = taken(&restored.join(name));
            assert!(after <= before, "{name} of {volume} took {before}, takes {after}");
            let same = other.join(name).display().to_string();
            run("cmp", &[*name, &same], &restored);
        }
        assert_eq!(taken(&restored.join("zeros")), 0, "nothing is written for zeros");
    };
    check("new", "v");
    house.write("v", "hole", b"no hole any more");
    house.ok(&["backup", "restore", &id, "--in-place"]);
    check("v", "new");
}

#[test]
fn convoy_15_a_change_of_one_percent_costs_about_that() {
    let house = House::new();
    house.volume("v");
    for number in 0..100 {
        let name = format!("part-{number}");
        house.write("v", &name, &noise(&name, 200_000));
    }
    let view = back_up(&house, "v");
    assert!(number(&view, "bytes-added") >= 20_000_000, "{view}");
    house.ages("v");
    house.write("v", "part-50", &noise("another", 200_000));
    let view = back_up(&house, "v");
    let (read, added) = (number(&view, "bytes-read"), number(&view, "bytes-added"));
    assert!((200_000..220_000).contains(&read), "{view}");
    assert!((200_000..300_000).contains(&added), "{view}");
}

#[test]
fn convoy_15_what_was_uploaded_before_a_kill_is_not_uploaded_again() {
    let mut pause = None;
    let mut house = House::with(|setup, stage| {
        let here = Pause::at(stage.path(), "backup.snapshot.write", 1);
        let rule = here.rule().to_owned();
        pause = Some(here);
        setup.env("BERTH_FAILPOINTS", rule)
    });
    let pause = pause.expect("it was made");
    house.volume("v");
    house.write("v", "large", &noise("large", 20 << 20));
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    let view = &house.json(&["job", "inspect", &job])[0];
    assert!(view.to_string().contains("20971521"), "progress says how far it is: {view}");
    house.daemon.kill();
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    house.daemon.restart();
    assert_eq!(house.json(&["backup", "ls"]), Value::Array(Vec::new()));
    let view = back_up(&house, "v");
    assert!(number(&view, "bytes-added") < 1 << 20, "{view}");
}
