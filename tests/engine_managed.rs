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
/// and a root filesystem with the binary, these programs and what they link to.
fn plugin_folder(stage: &Stage, programs: &[&str]) -> PathBuf {
    let folder = stage.folder("plugin");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-config.json");
    fs::copy(config, folder.join("config.json")).expect("the project's configuration");
    for name in ["rootfs/var/lib/berth", "rootfs/etc/berth", "rootfs/run", "rootfs/tmp"] {
        stage.folder(folder.join(name));
    }
    let rootfs = folder.join("rootfs");
    fs::copy(BERTH, rootfs.join("berth")).expect("the binary under test");
    for program in programs {
        let target = rootfs.join(&program[1..]);
        stage.folder(target.parent().expect("a folder"));
        fs::copy(program, target).expect("a program of this machine");
    }
    let linked = Command::new("ldd").arg(BERTH).args(programs).output().expect("ldd").stdout;
    let linked = String::from_utf8_lossy(&linked);
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
    for library in libraries.map(|word| word.trim_end_matches(':')) {
        let target = rootfs.join(&library[1..]);
        if library != BERTH && !target.exists() {
            stage.folder(target.parent().expect("a folder"));
            fs::copy(library, target).expect("a library of a program");
        }
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
    let folder = plugin_folder(&stage, &[]).display().to_string();

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
    let folder = plugin_folder(&stage, &programs).display().to_string();
    engine.ok(&["plugin", "create", PLUGIN, &folder]);
    for mount in ["state", "config"] {
        let source = format!("{mount}.source={}", kept.display());
        engine.ok(&["plugin", "set", PLUGIN, &source]);
    }
    engine.ok(&["plugin", "enable", PLUGIN]);
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
