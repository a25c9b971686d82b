//! Content that comes back out of backups, by the built binary.

mod create;
mod host;
mod image;
mod in_place;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use support::{
    house::House,
    poll::{self, SOON},
    stage::Stage,
};

impl House {
    /// With a repository beside its root.
    fn new() -> Self {
        Self::configured(|_| String::new())
    }

    /// With more in its configuration.
    fn configured(more: impl FnOnce(&Stage) -> String) -> Self {
        let house = Self::on_stage("restore", |setup, stage| {
            let text = configured(&stage.join("offsite"), &stage.join("key")) + &more(stage);
            // Late enough for what happens before a create is accepted, on any machine.
            setup.config(stage, &text).env("BERTH_TEST_ACCEPT_SECONDS", "5")
        });
        house.ok(&["repository", "init", "offsite"]);
        house
    }

    /// With a volume `v` and a backup of it, whose id comes along.
    fn with_backup() -> (Self, String) {
        let house = Self::new();
        house.ok(&["volume", "create", "v"]);
        house.furnish("v");
        let id = house.ok(&["backup", "create", "v", "--repository", "offsite"]);
        (house, id)
    }

    /// The repository.
    fn offsite(&self) -> PathBuf {
        self.stage.join("offsite")
    }

    /// Puts content into a volume.
    fn furnish(&self, name: &str) {
        let data = self.daemon.data(name);
        fs::create_dir_all(data.join("a/b")).expect("a directory");
        for number in 0..5_u8 {
            let bytes = vec![number; 300_000 + usize::from(number)];
            fs::write(data.join(format!("a/{number}")), bytes).expect("a file");
        }
        fs::write(data.join("a/b/empty"), "").expect("a file");
        std::os::unix::fs::symlink("a/b", data.join("link")).expect("a link");
    }

    /// All files of a volume.
    fn content(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        content(&self.daemon.data(name))
    }

    /// Where a volume is; `None` if there is none.
    fn state(&self, name: &str) -> Option<String> {
        let volumes = self.json(&["volume", "ls"]);
        let found = volumes.as_array()?.iter().find(|volume| volume["name"] == name)?;
        Some(found["state"].as_str()?.to_owned())
    }

    /// Waits until a volume is in this state.
    #[track_caller]
    fn becomes(&self, name: &str, state: &str) {
        poll::equal("the volume's state", SOON, &Some(state.to_owned()), || self.state(name));
    }

    /// How many folders of volumes the pool has.
    fn folders(&self) -> usize {
        let volumes = self.daemon.setup.root.join("pools/default/volumes");
        fs::read_dir(volumes).map_or(0, Iterator::count)
    }

    /// Damages all packs: each byte of their first half is turned.
    fn damage(&self) {
        for pack in packs(&self.offsite()) {
            turn(&pack);
        }
    }
}

/// The configuration of a host that knows of nothing but the repository.
fn configured(url: &Path, key: &Path) -> String {
    format!(
        "[repositories.offsite]\nurl = \"{}\"\npassword-file = \"{}\"\n",
        url.display(),
        key.display()
    )
}

/// Turns the first half of a file; twice is as before.
fn turn(file: &Path) {
    let mut bytes = fs::read(file).expect("a pack");
    let half = bytes.len() / 2;
    bytes[..half].iter_mut().for_each(|byte| *byte = !*byte);
    let mut permissions = fs::metadata(file).expect("a pack").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(file, permissions).expect("ours");
    fs::write(file, bytes).expect("ours");
}

fn packs(repository: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(repository.join("data")).expect("a repository").flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("a folder").flatten());
    files.map(|file| file.path()).collect()
}

fn content(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory").flatten() {
            let path = entry.path();
            let below = path.strip_prefix(top).expect("beneath").to_owned();
            let kind = entry.file_type().expect("its kind");
            let bytes = if kind.is_dir() {
                folders.push(path);
                Vec::new()
            } else if kind.is_symlink() {
                fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).expect("a file")
            };
            found.insert(below, bytes);
        }
    }
    found
}
