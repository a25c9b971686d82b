//! Backups of volumes on NFS: what changed is seen, whoever changed it.

use std::{fs, process::Command};

use crate::{
    MIB, Scene, holds,
    support::{
        loopfs::Kind,
        nfs::Setup,
        poll::{self, SOON},
    },
    write,
};

#[test]
fn backups_from_snapshots_of_the_server_see_every_change() {
    every_change_is_seen(&Scene::new(Setup::new(), ""));
}

#[test]
fn backups_of_live_content_see_every_change() {
    every_change_is_seen(&Scene::new(Setup::new().on(Kind::Ext4).megabytes(200), ""));
}

fn every_change_is_seen(scene: &Scene) {
    let data = scene.volume("v");
    let size = MIB / 2;
    for name in ["here", "there", "same"] {
        write(&data.join(name), 1, size);
    }
    let backup = || scene.ok(&["backup", "create", "v"]);
    let read = |id: &str| scene.json(&["backup", "inspect", id])[0]["bytes-read"].clone();
    let first = backup();
    poll::holds("what did not change is not read", SOON, || read(&backup()) == 0);
    // The same size, by this host and by another client of the server.
    write(&data.join("here"), 2, size);
    write(&scene.on_server("v").join("there"), 3, size);
    let second = backup();
    assert_ne!(read(&second), 0, "two files changed");
    for (id, name, numbers) in [(&first, "old", [1, 1, 1]), (&second, "new", [2, 3, 1])] {
        scene.ok(&["backup", "restore", id, name]);
        let restored = scene.mounted(name);
        for (file, number) in ["here", "there", "same"].iter().zip(numbers) {
            holds(&restored.join(file), number, size);
            holds(&scene.on_server(name).join(file), number, size);
        }
    }
    scene.unmount("v");
    scene.ok(&["backup", "restore", &first, "--in-place"]);
    holds(&scene.mounted("v").join("here"), 1, size);
    judged(scene, &second);
}

/// Stock restic accepts the repository, and restores what the server has.
fn judged(scene: &Scene, id: &str) {
    let repositories = scene.daemon.setup.root.join("repositories");
    let restored = scene.stage.folder("restored");
    let restic = |words: &[&str]| {
        let output = Command::new("restic")
            .args(["--no-cache", "--repo"])
            .arg(repositories.join("default"))
            .arg("--password-file")
            .arg(repositories.join("default.key"))
            .args(words)
            .output()
            .expect("restic is installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {words:?}: {errors}");
    };
    restic(&["check", "--read-data"]);
    restic(&["restore", id, "--target", restored.to_str().expect("UTF-8")]);
    let tops = fs::read_dir(&restored).expect("restored").flatten();
    let data = tops.map(|top| top.path()).find_map(|top| {
        let data = if top.ends_with("v") { top.join("data") } else { top };
        data.join("here").exists().then_some(data)
    });
    holds(&data.expect("the volume's data").join("here"), 2, MIB / 2);
}
