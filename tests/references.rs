//! Who has a volume mounted: every row of what Docker really does.
//!
//! A set of IDs detaches a live volume on `docker cp`; a plain counter leaks
//! after a crash. References are counted per (client, volume, ID), have epochs,
//! and the kernel has the last word.

mod support;

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::json;
use support::{
    daemon::{Daemon, Setup},
    mounts,
    namespace::{self, Namespace},
    poll::{self, SOON},
    stage::Stage,
};

/// A stage with a daemon and a volume `v` on it.
struct Scene {
    daemon: Daemon,
    _stage: Stage,
}

impl Scene {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        namespace::apart();
        let stage = Stage::new("references");
        let daemon = change(Setup::new(&stage).env("BERTH_TEST_BOOT_ID", "one")).start();
        daemon.plugin().create("v", &json!({})).expect("a fresh daemon");
        Self { daemon, _stage: stage }
    }

    #[track_caller]
    fn mount(&self, id: &str) {
        let mountpoint = self.daemon.plugin().mount("v", id).expect("a sound volume");
        assert_eq!(mountpoint, self.daemon.setup.root.join("mounts/v"));
        assert_eq!(self.daemon.mounts().len(), 1, "mounted once");
    }

    #[track_caller]
    fn unmount(&self, id: &str) {
        self.daemon.plugin().unmount("v", id).expect("Docker never asks again");
    }

    #[track_caller]
    fn assert_count(&self, expected: u64) {
        assert_eq!(self.daemon.control().references("v"), expected);
    }

    /// References as expected, and mounted.
    #[track_caller]
    fn assert_mounted(&self, references: u64) {
        self.assert_count(references);
        assert_eq!(self.daemon.mounts().len(), 1, "mounted once");
    }

    /// No reference, and soon no mount and no folder either.
    #[track_caller]
    fn assert_unmounted(&self) {
        self.assert_count(0);
        self.await_unmounted();
    }

    #[track_caller]
    fn await_unmounted(&self) {
        poll::equal("mounts", SOON, &Vec::new(), || self.daemon.mounts());
        let folder = self.daemon.setup.root.join("mounts/v");
        poll::holds("the mountpoint's folder is gone", SOON, || !folder.exists());
    }

    fn set(&mut self, name: &str, value: &str) {
        self.daemon.setup = self.daemon.setup.clone().env(name, value);
    }
}

#[test]
fn copy_up_mounts_twice() {
    let scene = Scene::new();
    scene.mount("copy-up");
    scene.unmount("copy-up");
    scene.mount("container");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn docker_cp_from_a_container_does_not_unmount_it() {
    let scene = Scene::new();
    scene.mount("container");
    scene.mount("container");
    scene.assert_mounted(2);
    scene.unmount("container");
    scene.assert_mounted(1);
    // Into one: several such pairs.
    for _ in 0..3 {
        scene.mount("container");
        scene.unmount("container");
    }
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn docker_restart_changes_the_id() {
    let scene = Scene::new();
    scene.mount("old");
    scene.unmount("old");
    scene.mount("new");
    scene.assert_mounted(1);
    scene.unmount("new");
    scene.assert_unmounted();
}

#[test]
fn a_killed_engine_mounts_with_the_old_id_and_unmounts_once() {
    let scene = Scene::new();
    scene.mount("container");
    scene.mount("container");
    scene.daemon.plugin().activate();
    scene.assert_mounted(2);
    scene.mount("container");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn a_lost_unmount_is_made_good_when_the_id_is_used_again() {
    let mut scene = Scene::new();
    scene.mount("container");
    // The plugin is down while the container stops; its next start reuses the ID.
    scene.daemon.restart();
    scene.assert_mounted(1);
    scene.mount("container");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn within_an_epoch_mounts_of_an_id_add_up_again() {
    let mut scene = Scene::new();
    scene.mount("container");
    scene.daemon.restart();
    scene.mount("container");
    scene.mount("container");
    scene.assert_mounted(2);
    scene.unmount("container");
    scene.assert_mounted(1);
}

#[test]
fn live_restore_unmounts_with_the_id_of_before() {
    let scene = Scene::new();
    scene.mount("container");
    scene.daemon.plugin().activate();
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn counts_survive_a_kill_and_a_clean_stop() {
    let mut scene = Scene::new();
    scene.mount("a");
    scene.mount("a");
    scene.mount("b");
    scene.daemon.restart();
    scene.assert_mounted(3);
    scene.daemon.stop();
    assert_eq!(mounts::below(mounts::here(), &scene.daemon.setup.root).len(), 1, "mounts stay");
    scene.daemon.restart();
    scene.assert_mounted(3);
    scene.unmount("a");
    scene.unmount("b");
    scene.assert_mounted(1);
    scene.unmount("a");
    scene.assert_unmounted();
}

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
fn the_sweep_drops_unconfirmed_references_that_nobody_holds() {
    let mut scene = Scene::with(|setup| setup.env("BERTH_TEST_SWEEP_SECONDS", "1"));
    scene.mount("container");
    scene.mount("container");
    scene.daemon.restart();
    poll::equal("references", SOON, &0, || scene.daemon.control().references("v"));
    scene.assert_unmounted();
    scene.daemon.restart();
    scene.assert_count(0);
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
fn another_boot_voids_all_references() {
    let mut scene = Scene::new();
    scene.mount("container");
    scene.daemon.control().ok("POST", "/v1/volumes/v/mount", Some(&json!({"id": "me"})));
    scene.daemon.kill();
    mounts::detach_below(&scene.daemon.setup.root.join("mounts"));
    scene.set("BERTH_TEST_BOOT_ID", "two");
    scene.daemon.restart();
    scene.assert_unmounted();
    scene.mount("container");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.assert_unmounted();
}

#[test]
fn unknown_ids_and_names_are_success_and_change_nothing() {
    let scene = Scene::new();
    scene.mount("container");
    scene.unmount("stranger");
    scene.daemon.plugin().unmount("no-such-volume", "x").expect("Docker never asks again");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.unmount("container");
    scene.assert_unmounted();
    scene.mount("container");
    scene.assert_mounted(1);
}

#[test]
fn a_mount_answered_with_an_error_counts_nothing() {
    let scene = Scene::new();
    scene.daemon.plugin().mount("no-such-volume", "x").expect_err("there is none");
    let data = scene.daemon.data("v");
    let aside = data.with_file_name("aside");
    fs::rename(&data, &aside).expect("ours");
    scene.daemon.plugin().mount("v", "x").expect_err("its data is away");
    scene.assert_count(0);
    assert!(scene.daemon.mounts().is_empty());
    fs::rename(&aside, &data).expect("ours");
    scene.mount("x");
    scene.assert_mounted(1);
}

#[test]
fn the_command_line_and_docker_count_apart() {
    let mut scene = Scene::new();
    scene.mount("same");
    let body = json!({"id": "same"});
    scene.daemon.control().ok("POST", "/v1/volumes/v/mount", Some(&body));
    scene.assert_mounted(2);
    scene.unmount("same");
    scene.unmount("same");
    scene.assert_mounted(1);
    // Epochs are Docker's: the command line's stay, and stand in Remove's way.
    scene.daemon.restart();
    scene.daemon.plugin().remove("v").expect_err("the command line has it");
    scene.daemon.control().ok("POST", "/v1/volumes/v/unmount", Some(&body));
    scene.assert_unmounted();
}

#[test]
fn volumes_count_apart() {
    let scene = Scene::new();
    scene.daemon.plugin().create("w", &json!({})).expect("a fresh daemon");
    scene.mount("same");
    scene.daemon.plugin().mount("w", "same").expect("a sound volume");
    scene.unmount("same");
    poll::holds("only `w` is mounted", SOON, || {
        scene.daemon.mounts().iter().map(|m| &m.point).eq([&scene
            .daemon
            .setup
            .root
            .join("mounts/w")])
    });
    assert_eq!(scene.daemon.control().references("w"), 1);
}

#[test]
fn many_mounts_at_once_are_all_counted() {
    let mut scene = Scene::new();
    let plugin = scene.daemon.plugin();
    let all_at_once = |call: fn(&support::client::Plugin, &str)| {
        thread::scope(|scope| {
            for n in 0..16 {
                let plugin = &plugin;
                scope.spawn(move || call(plugin, &format!("id-{}", n % 4)));
            }
        });
    };
    all_at_once(|plugin, id| {
        plugin.mount("v", id).expect("a sound volume");
    });
    scene.assert_mounted(16);
    scene.daemon.restart();
    scene.assert_mounted(16);
    all_at_once(|plugin, id| plugin.unmount("v", id).expect("Docker never asks again"));
    scene.assert_unmounted();
}

#[test]
fn remove_is_refused_while_a_reference_is_confirmed() {
    let scene = Scene::new();
    scene.mount("container");
    let text = scene.daemon.plugin().remove("v").expect_err("it is mounted");
    assert!(!text.contains('\n') && text.contains('v'), "{text}");
    let (status, answer) = scene.daemon.control().request("DELETE", "/v1/volumes/v?now=true", None);
    assert_eq!(status, 423, "{answer}");
    scene.assert_mounted(1);
    scene.unmount("container");
    scene.daemon.plugin().remove("v").expect("nobody has it");
    scene.await_unmounted();
}

#[test]
fn unconfirmed_references_that_nobody_holds_do_not_block_remove() {
    let mut scene = Scene::new();
    scene.mount("container");
    scene.daemon.restart();
    scene.daemon.plugin().remove("v").expect("nobody has it");
    scene.await_unmounted();
    assert!(scene.daemon.plugin().get("v").is_err());
    scene.daemon.restart();
    assert!(scene.daemon.plugin().get("v").is_err());
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
