//! Engine lane: Berth as a managed plugin, from `plugin-config.json`.

mod support;

use std::process::Command;

use support::{
    docker::Engine,
    host::Host,
    managed::{self, PLUGIN},
    stage::Stage,
};

/// Made, set, enabled, used by containers, disabled, enabled again: the state is
/// outside the plugin, so volume and data are there.
#[test]
fn managed_plugin_serves_containers() {
    let stage = Stage::new("managed");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let kept = stage.folder("state");
    managed::install(&stage, &engine, &[], &kept);

    let volume = ["run", "--rm", "--network=none", "-v", "db:/data"];
    let run = |script: &str| engine.ok(&[&volume[..], &["bb:1", "sh", "-c", script]].concat());
    engine.ok(&["volume", "create", "-d", PLUGIN, "-o", "mode=0700", "db"]);
    run("echo kept >/data/x");
    assert_eq!(run("cat /data/x"), "kept");
    assert_eq!(engine.inspect("volume", "db", "{{.Status.pool}}"), "default");

    engine.ok(&["plugin", "disable", "-f", PLUGIN]);
    engine.ok(&["plugin", "enable", PLUGIN]);
    assert_eq!(run("cat /data/x"), "kept");
    assert!(kept.join("berth.db").exists());
}

/// The image is mounted in the plugin's own namespace, which goes with it while
/// containers keep their volumes: the next start must find their loop device.
#[test]
fn managed_plugin_has_a_pool_on_an_image() {
    let stage = Stage::new("managed");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let kept = stage.folder("state");
    let file = "file = \"/var/lib/berth/berth.img\"\nsize = \"300M\"\n";
    stage.file("state/berth.toml", format!("[pools.default]\nbackend = \"vfs\"\n{file}"));
    let programs = ["/usr/sbin/mkfs.xfs", "/usr/sbin/xfs_growfs"];
    managed::install(&stage, &engine, &programs, &kept);
    assert!(kept.join("berth.img").exists());

    engine.ok(&["volume", "create", "-d", PLUGIN, "db"]);
    let volume = ["run", "--network=none", "-v", "db:/data"];
    let run =
        |script: &str| engine.ok(&[&volume[..], &["--rm", "bb:1", "sh", "-c", script]].concat());
    run("echo kept >/data/x");
    let user = ["-d", "--name=user", "bb:1", "sleep", "1000"];
    engine.ok(&[&volume[..], &user].concat());

    engine.ok(&["plugin", "disable", "-f", PLUGIN]);
    engine.ok(&["exec", "user", "sh", "-c", "echo more >>/data/x && sync /data/x"]);
    engine.ok(&["plugin", "enable", PLUGIN]);
    assert_eq!(run("cat /data/x"), "kept\nmore", "one device, so one cache");
    engine.ok(&["exec", "user", "sh", "-c", "echo last >>/data/x"]);
    assert_eq!(run("cat /data/x"), "kept\nmore\nlast");
    // By device and inode: the plugin has another name for it.
    let image = kept.join("berth.img");
    let devices = Command::new("losetup").arg("--associated").arg(image).output().expect("losetup");
    assert_eq!(String::from_utf8_lossy(&devices.stdout).lines().count(), 1);
    engine.ok(&["rm", "-f", "user"]);
}
