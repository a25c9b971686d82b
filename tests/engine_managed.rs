//! Engine lane: Berth as a managed plugin, from `plugin-config.json`.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::{daemon::BERTH, docker::Engine, host::Host, stage::Stage};

/// Docker's name for it.
const PLUGIN: &str = "demo/berth:1";

/// The folder that `docker plugin create` takes: the configuration of the project
/// and a root filesystem with the binary and what it links to.
fn plugin_folder(stage: &Stage) -> PathBuf {
    let folder = stage.folder("plugin");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config.json");
    fs::copy(config, folder.join("config.json")).expect("the project's configuration");
    for name in ["rootfs/var/lib/berth", "rootfs/etc/berth", "rootfs/run", "rootfs/tmp"] {
        stage.folder(folder.join(name));
    }
    fs::copy(BERTH, folder.join("rootfs/berth")).expect("the binary under test");
    let linked = Command::new("ldd").arg(BERTH).output().expect("ldd").stdout;
    let linked = String::from_utf8_lossy(&linked);
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = folder.join("rootfs").join(&library[1..]);
        stage.folder(target.parent().expect("a folder"));
        fs::copy(library, target).expect("a library of the binary");
    }
    folder
}

/// Made, set, enabled, used by containers, disabled, enabled again: the state is
/// outside the plugin, so volume and data are there.
#[test]
fn managed_plugin_serves_containers() {
    let stage = Stage::new("managed");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let kept = stage.folder("state");
    let folder = plugin_folder(&stage).display().to_string();

    engine.ok(&["plugin", "create", PLUGIN, &folder]);
    for mount in ["state", "config"] {
        let source = format!("{mount}.source={}", kept.display());
        engine.ok(&["plugin", "set", PLUGIN, &source]);
    }
    engine.ok(&["plugin", "enable", PLUGIN]);

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
