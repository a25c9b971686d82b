//! Places that take nothing: full, or read-only.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::House;

/// A tmpfs of that many MiB at a path, until it is dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn at(path: std::path::PathBuf, size: u32) -> Self {
        fs::create_dir_all(&path).expect("ours");
        let option = format!("size={size}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "berth-test"]).arg(&path);
        assert!(mount.status().expect("mount").success());
        Self(path)
    }

    fn remount(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{option}")]).arg(&self.0);
        assert!(mount.status().expect("mount").success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_repository_fails_one_backup_and_takes_the_next() {
    let mut small = None;
    let house = House::with(|setup, stage| {
        let path = stage.join("small");
        let text = format!("[repositories.small]\nurl = \"{}\"\n", path.display());
        small = Some(Small::at(path, 24));
        setup.config(stage, &text)
    });
    let small = small.expect("it was made");
    house.ok(&["repository", "init", "small"]);
    house.volume("v");
    let ballast = small.0.join("ballast");
    fs::write(&ballast, vec![1; 20 << 20]).expect("there is room");
    house.write("v", "large", &crate::backups::noise("large", 12 << 20));
    let said = house.refused(&["backup", "create", "v", "--repository", "small"], 1);
    assert!(said.contains("hint") && said.to_lowercase().contains("space"), "{said}");
    assert_eq!(house.ok(&["backup", "ls", "--json", "--repository", "small"]).trim(), "[]");
    fs::remove_file(&ballast).expect("ours");
    let id = house.ok(&["backup", "create", "v", "--repository", "small"]);
    house.ok(&["backup", "verify", &id]);
}

#[test]
fn a_read_only_repository_is_said_with_a_hint() {
    let mut small = None;
    let house = House::with(|setup, stage| {
        let path = stage.join("small");
        let text = format!("[repositories.small]\nurl = \"{}\"\n", path.display());
        small = Some(Small::at(path, 24));
        setup.config(stage, &text)
    });
    let small = small.expect("it was made");
    house.ok(&["repository", "init", "small"]);
    house.volume("v");
    small.remount("ro");
    let said = house.refused(&["backup", "create", "v", "--repository", "small"], 1);
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("hint"), "{said}");
    small.remount("rw");
    house.ok(&["backup", "create", "v", "--repository", "small"]);
    let mode = fs::metadata(house.key("small")).expect("the key").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}
