//! Servers that take root for nobody: what works all the same, and what is refused with
//! the reason and what to do.

use std::{fs, os::unix::fs::chown};

use crate::{
    Scene,
    support::{
        nfs::{Setup, Squash},
        poll::{self, SOON},
    },
};

/// Whom they take for whom.
const NOBODY: u32 = 65_534;

impl Scene {
    fn squashed(squash: Squash) -> Self {
        Self::with(Setup::new().squash(squash), "", |berth, _, server| {
            chown(server.disk(), Some(NOBODY), Some(NOBODY)).expect("ours");
            berth
        })
    }

    /// Refused as something that this pool does not have.
    fn is_missing(&self, words: &[&str]) {
        let output = self.daemon.berth(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{words:?}: {said}");
        assert!(said.contains("root_squash"), "{words:?}: the reason: {said}");
        let line = "/srv/berth HOST(rw,sync,no_subtree_check,no_root_squash)";
        assert!(said.contains(line), "{words:?}: what works: {said}");
    }
}

/// What is told of such a pool.
fn tells(scene: &Scene) {
    let shown = scene.ok(&["pool", "inspect", "default"]);
    assert!(shown.contains("none (root_squash)"), "{shown}");
    let can = shown.lines().find(|line| line.trim_start().starts_with("can:"));
    let can = can.expect("it is told");
    assert!(can.contains("create"), "{can}");
    for absent in ["snapshot", "clone", "rollback"] {
        assert!(!can.contains(absent), "{can}");
    }
    let doctor = scene.daemon.berth(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.contains("no_root_squash"), "{doctor}");
}

#[test]
fn root_squash_takes_away_what_needs_root_and_nothing_else() {
    let scene = Scene::squashed(Squash::Root);
    tells(&scene);
    let data = scene.volume("v");
    fs::write(data.join("file"), "content").expect("nobody may write there");
    for words in [
        &["volume", "create", "owned", "-o", "uid=999"][..],
        &["volume", "create", "owned", "-o", "gid=999"],
        &["volume", "create", "cloned", "-o", "from=v"],
        &["snapshot", "create", "v", "s"],
        &["backup", "create", "v"],
    ] {
        scene.is_missing(words);
    }
    let names = scene.json(&["volume", "ls"]);
    assert_eq!(names.as_array().expect("a list").len(), 1, "nothing was made: {names}");
    scene.unmount("v");
    assert_eq!(fs::read(scene.mounted("v").join("file")).expect("it stays"), b"content");
    scene.unmount("v");
    let folder = scene.on_server("v");
    scene.ok(&["volume", "rm", "--now", "v"]);
    poll::holds("its content is deleted", SOON, || !folder.exists());
}

#[test]
fn all_squash_is_told_as_root_squash_is() {
    let scene = Scene::squashed(Squash::All);
    tells(&scene);
    scene.is_missing(&["volume", "create", "owned", "-o", "uid=999"]);
    fs::write(scene.volume("v").join("file"), "content").expect("nobody may write there");
}
