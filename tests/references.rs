//! Who has a volume mounted: every row of what Docker really does.
//!
//! A set of IDs detaches a live volume on `docker cp`; a plain counter leaks
//! after a crash. References are counted per (client, volume, ID), have epochs,
//! and the kernel has the last word.

mod support;

use std::{fs, thread};

use serde_json::json;
use support::{
    mounts,
    poll::{self, SOON},
    scene::Scene,
};

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
