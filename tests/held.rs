//! What the kernel's evidence decides: a volume that a container holds is never
//! taken away, and a copy of a mount that goes with ours holds nothing.

mod support;

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::json;
use support::{
    namespace::Namespace,
    poll::{self, SOON},
    scene::Scene,
};

#[test]
fn docker_cp_after_live_restore_leaves_a_running_container_its_volume() {
    let scene = Scene::new();
    scene.mount("container");
    let container = Namespace::private();
    scene.daemon.plugin().activate();
    // `docker cp`: in the new epoch its pair takes the count to zero.
    scene.mount("container");
    scene.unmount("container");
    scene.assert_count(0);
    poll::holds("it is seen to be held", SOON, || {
        scene.daemon.control().volume("v")["held"] == true
    });
    let text = scene.daemon.plugin().remove("v").expect_err("a container has it");
    assert!(text.contains("in use") || text.contains("held") || text.contains("mounted"), "{text}");
    assert_eq!(scene.daemon.mounts().len(), 1, "still mounted for the next `docker cp`");
    // The container stops: no Unmount at all follows.
    container.end();
    scene.assert_unmounted();
    scene.daemon.plugin().remove("v").expect("nobody has it");
}

#[test]
fn a_held_volume_stays_over_a_restart_without_references() {
    let mut scene = Scene::new();
    scene.mount("container");
    let container = Namespace::private();
    scene.unmount("container");
    scene.daemon.restart();
    scene.assert_count(0);
    assert_eq!(scene.daemon.mounts().len(), 1, "a container has it");
    container.end();
    scene.assert_unmounted();
}

#[test]
fn a_later_unmount_looks_again() {
    let scene = Scene::new();
    scene.mount("container");
    let container = Namespace::private();
    scene.unmount("container");
    container.end();
    scene.unmount("whatever");
    scene.assert_unmounted();
}

#[test]
fn a_mount_between_release_and_detach_keeps_the_volume() {
    let scene = Scene::new();
    scene.mount("one");
    let container = Namespace::private();
    scene.unmount("one");
    scene.mount("two");
    container.end();
    scene.assert_mounted(1);
    scene.unmount("two");
    scene.assert_unmounted();
}

#[test]
fn the_sweep_leaves_confirmed_held_and_command_line_references() {
    let mut scene = Scene::with(|setup| setup.env("BERTH_TEST_SWEEP_SECONDS", "1"));
    let plugin = scene.daemon.plugin();
    for name in ["confirmed", "held", "command", "witness"] {
        plugin.create(name, &json!({})).expect("a fresh daemon");
    }
    plugin.mount("confirmed", "x").expect("a sound volume");
    plugin.mount("held", "x").expect("a sound volume");
    let container = Namespace::private();
    plugin.mount("witness", "x").expect("a sound volume");
    scene.daemon.control().ok("POST", "/v1/volumes/command/mount", Some(&json!({"id": "x"})));
    scene.daemon.restart();
    plugin.mount("confirmed", "x").expect("a sound volume");
    // The container was made before `witness` was mounted: nobody holds that one,
    // and its end shows that the sweep was here. Twice, to be sure.
    for _ in 0..2 {
        poll::equal("the sweep", SOON, &0, || scene.daemon.control().references("witness"));
        for name in ["held", "command", "confirmed"] {
            let expected =
                u64::from(name != "held" || scene.daemon.control().references("held") > 0);
            assert_eq!(scene.daemon.control().references(name), expected, "{name}");
            assert!(fs::exists(scene.daemon.setup.root.join("mounts").join(name)).expect("ours"));
        }
        assert_eq!(scene.daemon.control().references("held"), 1, "a container has it");
        plugin.mount("witness", "x").expect("a sound volume");
        plugin.activate();
        plugin.mount("confirmed", "x").expect("a sound volume");
    }
    container.end();
    poll::equal("the sweep", SOON, &0, || scene.daemon.control().references("held"));
}

#[test]
fn unconfirmed_references_that_somebody_holds_block_remove() {
    let mut scene = Scene::new();
    scene.mount("container");
    let container = Namespace::private();
    scene.daemon.restart();
    scene.daemon.plugin().remove("v").expect_err("a container has it");
    assert_eq!(scene.daemon.mounts().len(), 1);
    container.end();
    scene.daemon.plugin().remove("v").expect("nobody has it");
    scene.await_unmounted();
}

#[test]
fn remove_waits_a_moment_for_a_holder_that_is_about_to_go() {
    let scene = Scene::new();
    scene.mount("container");
    let container = Namespace::private();
    scene.unmount("container");
    thread::scope(|scope| {
        let removal = scope.spawn(|| scene.daemon.plugin().remove("v"));
        // It is under way, and waits.
        assert!(
            poll::within(Duration::from_millis(300), || removal.is_finished().then_some(()))
                .is_none()
        );
        container.end();
        removal.join().expect("no panic").expect("the holder went in time");
    });
    scene.await_unmounted();
}

#[test]
fn a_slave_namespace_made_before_the_mount_does_not_hold_it() {
    let scene = Scene::with(|setup| {
        share(&setup.root);
        setup
    });
    let unit = Namespace::slave();
    scene.mount("container");
    let mountpoint = scene.daemon.setup.root.join("mounts/v");
    assert_eq!(unit.mounts(&mountpoint).len(), 1, "the mount reached the namespace");
    assert_ne!(scene.daemon.control().volume("v")["held"], true);
    scene.unmount("container");
    scene.assert_unmounted();
    assert!(unit.mounts(&mountpoint).is_empty(), "it went there too");
    scene.mount("again");
    scene.unmount("again");
    scene.daemon.plugin().remove("v").expect("a propagated copy holds nothing");
}

#[test]
fn a_private_namespace_on_a_shared_root_holds() {
    let scene = Scene::with(|setup| {
        share(&setup.root);
        setup
    });
    scene.mount("container");
    let container = Namespace::private();
    scene.unmount("container");
    scene.assert_count(0);
    scene.daemon.plugin().remove("v").expect_err("a container has it");
    assert_eq!(scene.daemon.mounts().len(), 1);
    container.end();
    scene.assert_unmounted();
}

#[test]
fn an_open_file_keeps_the_mount_until_it_is_closed() {
    let scene = Scene::new();
    scene.mount("container");
    let mountpoint = scene.daemon.setup.root.join("mounts/v");
    let open = fs::File::create(mountpoint.join("open")).expect("a mounted volume");
    scene.unmount("container");
    scene.assert_count(0);
    assert_eq!(scene.daemon.mounts().len(), 1, "EBUSY means in use");
    drop(open);
    scene.assert_unmounted();
}

/// Makes `root` a shared mount of its own, as everything is under systemd.
fn share(root: &Path) {
    fs::create_dir_all(root).expect("ours");
    for arguments in [&["--bind"][..], &["--make-shared"]] {
        let mut command = Command::new("mount");
        command.args(arguments);
        if arguments == ["--bind"] {
            command.arg(root);
        }
        assert!(command.arg(root).status().expect("mount of util-linux").success());
    }
}
