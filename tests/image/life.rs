//! What happens to an image that is well.

use std::{fs, os::unix::fs::PermissionsExt as _};

use nix::{
    mount::{MntFlags, umount2},
    unistd::syncfs,
};
use serde_json::json;

use super::{
    scene::{Scene, devices},
    support::{
        daemon::Setup,
        loopfs::{Kind, LoopFs},
        namespace,
        poll::{self, SOON},
        stage::Stage,
    },
};

#[test]
fn it_is_made_private_and_sparse_and_says_what_it_is() {
    let scene = Scene::new();
    let metadata = fs::metadata(scene.file()).expect("made");
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (300 << 20, 0o600));
    assert!(scene.allocated() < 100 << 20, "{} bytes", scene.allocated());
    assert_eq!(scene.disk(), ["berth.img"]);
    let pool = scene.pool();
    assert_eq!(
        (&pool["state"], &pool["details"]["file-size"]),
        (&json!("ready"), &json!(300 << 20))
    );
    let device = &devices(&scene.file())[0];
    assert_eq!(pool["details"]["device"], format!("/dev/{device}"));
    let direct = fs::read_to_string(format!("/sys/block/{device}/loop/dio")).expect("readable");
    assert_eq!(pool["details"]["direct-io"], direct.trim() == "1");
    assert!(scene.findings().is_empty(), "{:?}", scene.findings());
    let opened = fs::Permissions::from_mode(0o644);
    fs::set_permissions(scene.file(), opened).expect("ours");
    assert_eq!(scene.findings()[0]["hint"], format!("chmod 0600 {}", scene.file().display()));
    // Reflink is why it is there.
    scene.write("v", "content");
    let data = scene.mountpoint().join("volumes").join(id(&scene, "v")).join("data");
    let cloned = std::process::Command::new("cp")
        .arg("--reflink=always")
        .args([data.join("file"), data.join("copy")])
        .status();
    assert!(cloned.expect("cp").success());
}

#[test]
fn a_restart_adopts_it_and_a_reboot_mounts_it_again() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    let before = scene.mounts();
    assert_eq!(before.len(), 1);
    scene.daemon.restart();
    assert_eq!(scene.mounts(), before, "the very same mount");
    assert_eq!(scene.read("v"), "content");
    // With a volume in use.
    let plugin = scene.daemon.plugin();
    plugin.mount("v", "user").expect("mounted");
    scene.daemon.restart();
    assert_eq!(scene.mounts(), before);
    scene.daemon.plugin().unmount("v", "user").expect("unmounted");
    poll::holds("the volume is unmounted", SOON, || scene.daemon.mounts().is_empty());
    scene.daemon.stop();
    assert_eq!(scene.mounts(), before, "the end of the daemon unmounts nothing");
    scene.power_off();
    scene.daemon.restart();
    assert_eq!((scene.mounts().len(), devices(&scene.file()).len()), (1, 1));
    assert_eq!(scene.read("v"), "content");
}

#[test]
fn taken_away_under_volumes_in_use_it_comes_back_on_the_same_device() {
    let scene = Scene::new();
    scene.write("v", "content");
    let plugin = scene.daemon.plugin();
    let mountpoint = plugin.mount("v", "user").expect("mounted");
    let before = scene.mounts();
    umount2(&scene.mountpoint(), MntFlags::MNT_DETACH).expect("unmounted");
    poll::holds("it is mounted again", SOON, || plugin.create("w", &json!({})).is_ok());
    let now = scene.mounts();
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].device, before[0].device, "one device, so one cache");
    assert_eq!(devices(&scene.file()).len(), 1);
    fs::write(mountpoint.join("file"), "changed").expect("the old mount still works");
    let data = scene.mountpoint().join("volumes").join(id(&scene, "v")).join("data");
    assert_eq!(fs::read_to_string(data.join("file")).expect("readable"), "changed");
    assert_eq!(scene.pool()["state"], "ready");
}

#[test]
fn it_grows_online_and_never_shrinks() {
    let mut scene = Scene::new();
    scene.write("v", "content");
    let total = |scene: &Scene| scene.pool()["total"].as_u64().expect("a size");
    let before = total(&scene);
    scene.daemon.plugin().mount("v", "user").expect("mounted");
    scene.resize("600M");
    scene.daemon.restart();
    assert_eq!(fs::metadata(scene.file()).expect("there").len(), 600 << 20);
    assert_eq!(total(&scene) - before, 300 << 20, "all of it can be used");
    assert!(scene.daemon.log().contains("image grows"));
    scene.daemon.plugin().unmount("v", "user").expect("unmounted");

    scene.resize("400M");
    scene.daemon.restart();
    assert_eq!(scene.pool()["state"], "ready");
    assert_eq!(scene.read("v"), "content");
    assert_eq!(fs::metadata(scene.file()).expect("there").len(), 600 << 20);
    let findings = scene.findings();
    let text = findings[0]["message"].as_str().expect("text");
    assert!(text.contains("400 MiB") && text.contains("600 MiB"), "{text}");
    assert_eq!(
        (&findings[0]["severity"], &findings[0]["hint"]),
        (&json!("warning"), &json!("size = \"600M\""))
    );
}

#[test]
fn the_command_line_grows_it_too_and_the_configuration_is_reminded() {
    let mut scene = Scene::new();
    let grow = |scene: &Scene, arguments: &[&str]| {
        let output = scene.daemon.berth(&[&["pool", "grow", "default"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let capabilities = &scene.pool()["capabilities"];
    assert!(capabilities.as_array().expect("an array").contains(&json!("grow")));
    assert_eq!(grow(&scene, &[]), (Some(0), "300 MiB".to_owned(), String::new()));
    assert_eq!(grow(&scene, &["500M"]), (Some(0), "500 MiB".to_owned(), String::new()));
    let total = scene.pool()["total"].as_u64().expect("a size");
    assert!(total > 400 << 20, "{total}");
    let (code, _, error) = grow(&scene, &["400M"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("500 MiB") && error.contains("400 MiB"), "{error}");
    scene.daemon.restart();
    let findings = scene.findings();
    assert_eq!(findings[0]["hint"], "size = \"500M\"", "{findings:?}");
    // A pool that is no image of its own has nothing to grow.
    scene.stage.file("berth.toml", "");
    scene.daemon.restart();
    let (code, _, error) = grow(&scene, &[]);
    assert_eq!(code, Some(5), "{error}");
}

#[test]
fn space_goes_back_to_the_host() {
    let scene = Scene::new();
    let plugin = scene.daemon.plugin();
    plugin.create("v", &json!({})).expect("created");
    let mountpoint = plugin.mount("v", "w").expect("mounted");
    let empty = scene.allocated();
    let file = fs::File::create(mountpoint.join("big")).expect("made");
    fs::write(mountpoint.join("big"), vec![0xa5; 64 << 20]).expect("there is room");
    syncfs(&file).expect("synced");
    // Something else may have been given back meanwhile.
    assert!(scene.allocated() >= empty + (60 << 20), "{empty} and now {}", scene.allocated());
    drop(file);
    fs::remove_file(mountpoint.join("big")).expect("removed");
    poll::holds("the image is small again", SOON, || {
        syncfs(fs::File::open(&mountpoint).expect("opened")).expect("synced");
        scene.allocated() < empty + (4 << 20)
    });
}

#[test]
fn doctor_warns_of_a_host_that_is_too_small_for_it() {
    namespace::apart();
    let stage = Stage::new("image");
    let host = LoopFs::new(stage.path(), "host", Kind::Ext4, 128);
    let file = host.path().join("berth.img");
    let config = format!(
        "[pools.default]\nbackend = \"vfs\"\nfile = \"{}\"\nsize = \"1G\"\n",
        file.display()
    );
    let daemon = Setup::new(&stage).config(&stage, &config).start();
    let scene = Scene { daemon, stage };
    let findings = scene.findings();
    let told = findings.iter().find(|finding| {
        finding["message"].as_str().is_some_and(|text| text.contains("are free where"))
    });
    assert_eq!(told.expect("it is told")["severity"], "warning", "{findings:?}");
    // And nobody is told of space that there is not.
    let free = scene.pool()["free"].as_u64().expect("a size");
    assert!(free < 128 << 20, "{free}");
    drop(scene);
}

#[test]
fn doctor_recommends_it_on_ext4_until_there_is_one() {
    namespace::apart();
    let stage = Stage::new("image");
    let host = LoopFs::new(stage.path(), "host", Kind::Ext4, 4096);
    let pool = host.path().join("pool");
    let plain = format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
    let mut daemon = Setup::new(&stage).config(&stage, &plain).start();
    let output = daemon.berth(&["doctor"]);
    assert!(output.status.success(), "advice is no error");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("note     pool `default`: ext4"), "{text}");
    // What it says to add works.
    let lines = text.lines().skip_while(|line| !line.contains("hint: a pool on an image"));
    let advice: Vec<_> = lines.skip(1).take(4).map(str::trim).collect();
    assert_eq!(advice[0], "[pools.default-image]");
    stage.file("berth.toml", format!("{plain}\n{}\n", advice.join("\n")));
    daemon.restart();
    let pools = daemon.control().ok("GET", "/v1/pools", None);
    let states: Vec<_> =
        pools.as_array().expect("pools").iter().map(|pool| &pool["state"]).collect();
    assert_eq!(states, ["ready", "ready"]);
    let text = String::from_utf8_lossy(&daemon.berth(&["doctor"]).stdout).into_owned();
    assert!(!text.contains("note"), "{text}");
    drop(daemon);
}

fn id(scene: &Scene, volume: &str) -> String {
    scene.daemon.control().volume(volume)["id"].as_str().expect("an id").to_owned()
}
