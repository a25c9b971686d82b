//! Berth as a managed plugin, from the project's `plugin-config.json`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{daemon::BERTH, docker::Engine, stage::Stage};

/// Docker's name for it.
pub const PLUGIN: &str = "demo/berth:1";

/// Makes, sets and enables the plugin, with these programs in it; state and
/// configuration are in `kept`.
#[track_caller]
pub fn install(stage: &Stage, engine: &Engine, programs: &[&str], kept: &Path) {
    let folder = plugin_folder(stage, programs).display().to_string();
    engine.ok(&["plugin", "create", PLUGIN, &folder]);
    for mount in ["state", "config"] {
        let source = format!("{mount}.source={}", kept.display());
        engine.ok(&["plugin", "set", PLUGIN, &source]);
    }
    engine.ok(&["plugin", "enable", PLUGIN]);
}

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
