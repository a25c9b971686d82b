//! Power cuts of the disk below an image.

use std::{fs, fs::File, io::Write as _};

use serde_json::json;

use super::{
    scene::Scene,
    support::loopfs::{Kind, LoopFs},
};

/// What was answered or synced is there, through image, loop device and disk.
#[test]
fn what_was_answered_survives_a_cut_below_the_image() {
    for kind in Kind::ALL {
        let (stage, setup) = Scene::prepared();
        let disk = LoopFs::new(stage.path(), "disk", kind, 1024);
        let mut scene = Scene { daemon: setup.start(), stage };
        let plugin = scene.daemon.plugin();
        let names: Vec<_> = (0..5).map(|number| format!("v{number}")).collect();
        for name in &names {
            plugin.create(name, &json!({})).expect("created");
            let mountpoint = plugin.mount(name, "w").expect("mounted");
            let mut file = File::create(mountpoint.join("file")).expect("made");
            file.write_all(name.as_bytes()).expect("written");
            file.sync_all().expect("synced");
            File::open(&mountpoint).and_then(|folder| folder.sync_all()).expect("synced");
        }
        let lost = scene.mountpoint().join("lost");
        fs::write(&lost, "never synced").expect("written");
        disk.arm().now();
        scene.power_off();
        disk.mount();
        scene.daemon.restart();
        assert_eq!(scene.pool()["state"], "ready", "{kind:?}: {}", scene.pool());
        assert!(!lost.exists(), "{kind:?}: the cut was none");
        for name in &names {
            assert_eq!(scene.read(name), *name, "{kind:?}");
        }
        drop(scene);
    }
}

/// A cut right after the first start: the image is whole, or not there.
#[test]
fn a_new_image_is_whole_after_a_cut() {
    let (stage, setup) = Scene::prepared();
    let disk = LoopFs::new(stage.path(), "disk", Kind::Ext4, 1024);
    let mut scene = Scene { daemon: setup.start(), stage };
    disk.arm().now();
    scene.power_off();
    disk.mount();
    assert_eq!(scene.disk().iter().filter(|name| *name == "berth.img").count(), 1);
    scene.daemon.restart();
    assert_eq!(scene.pool()["state"], "ready", "{}", scene.pool());
    drop(scene);
}
