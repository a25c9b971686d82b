//! Places that take nothing: full, or read-only.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{House, restic_ok};

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

/// A folder that is also shown read-only elsewhere, until it is dropped.
struct Shown(std::path::PathBuf);

impl Shown {
    fn at(path: std::path::PathBuf, folder: &std::path::Path) -> Self {
        fs::create_dir_all(&path).expect("ours");
        let mount = |words: &[&str]| {
            let status = Command::new("mount").args(words).arg(&path).status();
            assert!(status.expect("mount").success(), "{words:?}");
        };
        mount(&["--bind", folder.to_str().expect("UTF-8")]);
        mount(&["-o", "remount,bind,ro"]);
        Self(path)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_repository_that_takes_nothing_is_listed_verified_and_restored_from() {
    let mut shown = None;
    let house = House::with(|setup, stage| {
        let (real, seen) = (stage.folder("real"), stage.join("seen"));
        let section = |name: &str, path: &std::path::Path| {
            let key = stage.join("key");
            let (path, key) = (path.display(), key.display());
            format!("[repositories.{name}]\nurl = \"{path}\"\npassword-file = \"{key}\"\n")
        };
        let text = section("real", &real) + &section("seen", &seen);
        shown = Some(Shown::at(seen, &real));
        setup.config(stage, &text)
    });
    house.ok(&["repository", "init", "real"]);
    let (real, key) = (house.stage.join("real"), house.stage.join("key"));
    house.volume("v");
    house.write("v", "large", &crate::backups::noise("large", 3 << 20));
    let id = house.ok(&["backup", "create", "v", "--repository", "real"]);
    let from = format!("from=backup:seen/{id}");

    assert_eq!(house.json(&seen(&["backup", "ls"]))[0]["id"], id.as_str());
    house.ok(&seen(&["backup", "verify", &id]));
    let said = house.ok(&["repository", "check", "seen", "--read-data"]);
    assert!(said.contains("without"), "{said}");
    house.ok(&["repository", "prune", "seen", "--dry-run"]);
    house.ok(&["volume", "create", "w", "-o", &from]);
    let file = |volume: &str| fs::read(house.daemon.data(volume).join("large")).expect("the file");
    assert!(file("w") == file("v"));
    assert!(house.daemon.log().contains("read without a lock"), "it is said");
    house.refused(&seen(&["backup", "create", "v"]), 1);
    house.refused(&["repository", "prune", "seen"], 1);

    // Who removes has the repository for himself, though we cannot lock it.
    let lock = locked_elsewhere(&real, &key);
    let said = house.refused(&seen(&["backup", "verify", &id]), 4);
    assert!(said.contains("exclusive"), "{said}");
    fs::remove_file(lock).expect("ours");

    // A prune that we could not keep away.
    for folder in fs::read_dir(real.join("data")).expect("packs").flatten() {
        fs::remove_dir_all(folder.path()).expect("ours");
    }
    let said = house.refused(&["volume", "create", "x", "-o", &from], 1);
    assert!(said.contains("missing"), "{said}");
    assert!(said.contains("without a lock"), "{said}");
    drop(shown);
}

/// The words of a command, for the repository as it is shown read-only.
fn seen<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--repository", "seen"]].concat()
}

/// Leaves an exclusive lock of another host, and says where it is.
fn locked_elsewhere(repository: &std::path::Path, key: &std::path::Path) -> std::path::PathBuf {
    use berth_api::Op;
    use berth_vault::{Kind, Password, Repository, lock::LockFile, repository::Who};
    let op = Op::new(std::time::Duration::from_secs(60));
    let password = Password::from_file(key).expect("the key");
    let who = Who { hostname: "elsewhere".to_owned(), username: "them".to_owned() };
    let store = berth_vault::store::directory::Directory::new(repository);
    let open = Repository::open(&op, "real", std::sync::Arc::new(store), &password, who.clone());
    let file = LockFile {
        time: jiff::Timestamp::now(),
        exclusive: true,
        hostname: who.hostname,
        username: who.username,
        pid: 1,
        uid: 0,
        gid: 0,
    };
    let open = open.expect("opens");
    let id = open.save(&op, Kind::Lock, &file).expect("written");
    assert!(restic_ok(repository, key, &["list", "locks", "--no-lock"]).contains(&id.to_string()));
    repository.join("locks").join(id.to_string())
}
