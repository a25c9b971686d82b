//! A daemon with one pool on an image, and what is asked of both.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, umount2};
use serde_json::{Value, json};

use super::support::{
    daemon::{Daemon, Setup},
    mounts::{self, Mount},
    namespace,
    poll::{self, SOON},
    stage::Stage,
};

/// The least that `mkfs.xfs` makes.
pub(crate) const SIZE: &str = "300M";

/// A stage with a daemon whose pool `default` lies on `stage/disk/berth.img`.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) stage: Stage,
}

impl Scene {
    /// A daemon that is ready; its image is 300 MiB.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let (stage, setup) = Self::prepared();
        Self { daemon: setup.start(), stage }
    }

    /// Everything up to the start.
    #[track_caller]
    pub(crate) fn prepared() -> (Stage, Setup) {
        // Mounts and devices go with this test, whatever happens to it.
        namespace::apart();
        let stage = Stage::new("image");
        stage.folder("disk");
        let config = config(&stage, SIZE);
        let setup = Setup::new(&stage).config(&stage, &config);
        (stage, setup)
    }

    /// The image.
    pub(crate) fn file(&self) -> PathBuf {
        image(&self.stage)
    }

    /// Where it is mounted.
    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.stage.join("root/images/default")
    }

    /// The size that the next start is to see.
    pub(crate) fn resize(&mut self, size: &str) {
        self.stage.file("berth.toml", config(&self.stage, size));
    }

    /// What is mounted at the image's mountpoint.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let mountpoint = self.mountpoint();
        mounts::here().into_iter().filter(|mount| mount.point == mountpoint).collect()
    }

    /// Takes all mounts of the scene away, as a reboot does, with the daemon dead.
    #[track_caller]
    pub(crate) fn power_off(&mut self) {
        self.daemon.kill();
        for mount in mounts::below(mounts::here(), self.stage.path()).iter().rev() {
            umount2(&mount.point, MntFlags::empty()).expect("nobody uses it");
        }
        // Who looks at all devices just now keeps this one for a moment.
        poll::holds("the loop device frees itself", SOON, || devices(&self.file()).is_empty());
    }

    /// `berth pool inspect --json`, the one pool.
    #[track_caller]
    pub(crate) fn pool(&self) -> Value {
        self.daemon.control().ok("GET", "/v1/pools/default", None)
    }

    /// The findings of doctor about the pool that are not `ok`.
    #[track_caller]
    pub(crate) fn findings(&self) -> Vec<Value> {
        let diagnosis = self.daemon.control().ok("GET", "/v1/doctor", None);
        let findings = diagnosis["findings"].as_array().expect("an array").clone();
        let told =
            |finding: &Value| finding["subject"] == "pool `default`" && finding["severity"] != "ok";
        findings.into_iter().filter(told).collect()
    }

    /// A volume with a file in it, unmounted again.
    #[track_caller]
    pub(crate) fn write(&self, volume: &str, text: &str) {
        let plugin = self.daemon.plugin();
        plugin.create(volume, &json!({})).expect("created");
        let mountpoint = plugin.mount(volume, "w").expect("mounted");
        fs::write(mountpoint.join("file"), text).expect("writable");
        plugin.unmount(volume, "w").expect("unmounted");
    }

    /// What is in that file.
    #[track_caller]
    pub(crate) fn read(&self, volume: &str) -> String {
        let plugin = self.daemon.plugin();
        let mountpoint = plugin.mount(volume, "r").expect("mounted");
        let text = fs::read_to_string(mountpoint.join("file")).expect("readable");
        plugin.unmount(volume, "r").expect("unmounted");
        text
    }

    /// What the image has on disk, in bytes.
    pub(crate) fn allocated(&self) -> u64 {
        fs::metadata(self.file()).expect("the image").blocks() * 512
    }

    /// Names in the folder of the image.
    pub(crate) fn disk(&self) -> Vec<String> {
        let entries = fs::read_dir(self.stage.join("disk")).expect("readable").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.daemon.kill();
        mounts::detach_below(self.stage.path());
    }
}

fn image(stage: &Stage) -> PathBuf {
    stage.join("disk/berth.img")
}

fn config(stage: &Stage, size: &str) -> String {
    let file = image(stage);
    format!(
        "[pools.default]\nbackend = \"vfs\"\nfile = \"{}\"\nsize = \"{size}\"\n",
        file.display()
    )
}

/// The loop devices over `file`, by name.
pub(crate) fn devices(file: &Path) -> Vec<String> {
    let block = fs::read_dir("/sys/block").expect("readable").flatten();
    let over = |name: &String| {
        let path = format!("/sys/block/{name}/loop/backing_file");
        fs::read_to_string(path).is_ok_and(|backing| Path::new(backing.trim_end()) == file)
    };
    block.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(over).collect()
}
