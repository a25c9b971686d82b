//! What is left alone, and what is never made anew.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use nix::mount::{MsFlags, mount};
use serde_json::json;

use super::{
    scene::{Scene, devices},
    support::poll::{self, SOON},
};

/// A daemon whose image's place is prepared by `prepare`; why its pool is not used.
#[track_caller]
fn refused(prepare: impl FnOnce(&Path)) -> (Scene, String) {
    let (stage, setup) = Scene::prepared();
    prepare(&stage.join("disk/berth.img"));
    let scene = Scene { daemon: setup.start(), stage };
    let pool = scene.pool();
    assert_eq!(pool["state"], "unavailable", "{pool}");
    assert!(scene.mounts().is_empty());
    assert!(devices(&scene.file()).is_empty());
    let reason = pool["reason"].as_str().expect("a reason").to_owned();
    (scene, reason)
}

#[test]
fn a_file_of_somebody_else_stays_as_it_is() {
    let (scene, reason) = refused(|file| fs::write(file, "precious").expect("written"));
    assert!(reason.contains("is no image of a pool: it holds no XFS"), "{reason}");
    assert_eq!(fs::read(scene.file()).expect("there"), b"precious");

    let (scene, reason) = refused(|file| {
        fs::File::create(file).and_then(|file| file.set_len(300 << 20)).expect("sparse");
        let made = Command::new("mkfs.xfs").args(["-q", "-L", "other"]).arg(file).status();
        assert!(made.expect("xfsprogs").success());
    });
    assert!(reason.contains("has not the label `berth`"), "{reason}");
    drop(scene);

    let (_, reason) = refused(|file| symlink("/etc/passwd", file).expect("linked"));
    assert!(reason.contains("no regular file"), "{reason}");
    let (_, reason) = refused(|file| fs::create_dir(file).expect("made"));
    assert!(reason.contains("no regular file"), "{reason}");
}

#[test]
fn an_image_that_cannot_be_made_leaves_nothing() {
    let (scene, reason) =
        refused(|file| fs::remove_dir(file.parent().expect("disk")).expect("empty"));
    assert!(reason.contains("the folder") && reason.contains("cannot be opened"), "{reason}");
    drop(scene);
    let (stage, setup) = Scene::prepared();
    let mut scene = Scene { daemon: setup.spawn(), stage };
    scene.daemon.kill();
    scene.power_off();
    // Whole, or begun when it was killed.
    for name in scene.disk() {
        fs::remove_file(scene.stage.join("disk").join(name)).expect("removed");
    }
    scene.resize("16M");
    scene.daemon.restart();
    let pool = scene.pool();
    assert!(pool["reason"].as_str().expect("a reason").contains("is too small"), "{pool}");
    assert!(scene.disk().is_empty(), "{:?}", scene.disk());
}

#[test]
fn a_missing_image_is_unavailable_until_it_is_back() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    scene.power_off();
    let aside = scene.stage.join("aside");
    fs::rename(scene.file(), &aside).expect("moved away");
    scene.daemon.restart();
    let pool = scene.pool();
    assert_eq!(pool["state"], "unavailable");
    let reason = pool["reason"].as_str().expect("a reason");
    assert!(reason.contains("the image") && reason.contains("is missing"), "{reason}");
    let plugin = scene.daemon.plugin();
    plugin.mount("v", "r").expect_err("its image is missing");
    plugin.create("w", &json!({})).expect_err("its image is missing");
    assert!(plugin.get("v").is_ok(), "Docker forgets nothing");
    assert!(scene.disk().is_empty(), "never a new one: {:?}", scene.disk());
    assert_eq!(fs::read_dir(scene.mountpoint()).expect("there").count(), 0);
    fs::rename(&aside, scene.file()).expect("moved back");
    poll::holds("it is used again", SOON, || plugin.mount("v", "r").is_ok());
    plugin.unmount("v", "r").expect("unmounted");
    assert_eq!(scene.read("v"), "content");
}

#[test]
fn what_is_mounted_there_already_is_left_alone() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    scene.power_off();
    let mountpoint = scene.mountpoint();
    let none = None::<&str>;
    mount(Some("strange"), &mountpoint, Some("tmpfs"), MsFlags::empty(), none).expect("mounted");
    scene.daemon.restart();
    let pool = scene.pool();
    let reason = pool["reason"].as_str().expect("a reason");
    assert!(reason.contains("`strange` is mounted at"), "{reason}");
    assert_eq!(scene.mounts().len(), 1, "nothing on top of it");
    assert_eq!(fs::read_dir(&mountpoint).expect("readable").count(), 0);
}

#[test]
fn what_lies_below_the_mountpoint_is_not_hidden() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    scene.power_off();
    fs::write(scene.mountpoint().join("precious"), "x").expect("written");
    scene.daemon.restart();
    let pool = scene.pool();
    assert!(pool["reason"].as_str().expect("a reason").contains("is not empty"), "{pool}");
    assert!(scene.mounts().is_empty());
    fs::remove_file(scene.mountpoint().join("precious")).expect("removed");
    scene.daemon.restart();
    assert_eq!(scene.read("v"), "content");
}

#[test]
fn another_image_in_its_place_is_refused() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    scene.power_off();
    fs::remove_file(scene.file()).expect("gone");
    let mut other = Scene::new();
    // Mounted twice at a time the kernel refuses it, by its UUID.
    other.power_off();
    let made =
        Command::new("cp").arg("--sparse=always").arg(other.file()).arg(scene.file()).status();
    assert!(made.expect("cp").success());
    scene.daemon.restart();
    let pool = scene.pool();
    assert_eq!(pool["state"], "unavailable", "{pool}");
    assert!(pool["reason"].as_str().expect("a reason").contains("is the pool"), "{pool}");
}
