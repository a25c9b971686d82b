//! Backups that are restored into the volume they are of.

use std::{collections::BTreeSet, fs};

use crate::{
    House, content,
    support::poll::{self, SOON},
};

impl House {
    /// Other content than the backup's.
    fn change(&self) {
        let data = self.daemon.data("v");
        fs::write(data.join("a/0"), "changed").expect("a file");
        fs::write(data.join("new"), "new").expect("a file");
        let _ = fs::remove_file(data.join("a/1"));
    }

    fn snapshots(&self) -> Vec<String> {
        let all = self.json(&["snapshot", "ls", "v"]);
        let names = all.as_array().expect("a list").iter();
        names.map(|snapshot| snapshot["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The content of the snapshots of `v`, as it lies in the pool.
    fn kept(&self) -> Vec<std::path::PathBuf> {
        let folder = self.daemon.data("v").with_file_name("snapshots");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("data")).collect()
    }
}

#[test]
fn the_volume_is_as_its_backup_and_what_was_there_is_kept() {
    let (house, id) = House::with_backup();
    let before = house.content("v");
    house.change();
    let changed = house.content("v");
    house.ok(&["volume", "mount", "v"]);
    let said = house.refused(&["backup", "restore", &id, "--in-place"], 4);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(house.content("v"), changed);
    house.ok(&["volume", "unmount", "v"]);
    let said = house.ok(&["backup", "restore", &id[..6], "--in-place"]);
    let name = house.snapshots().pop().expect("it is kept");
    assert!(name.contains("before-restore-"), "{name}");
    assert_eq!(
        said,
        format!(
            "`v` is as backup `{}` shows it; what it was before is kept as `{name}`",
            &id[..12]
        )
    );
    assert_eq!(house.content("v"), before);
    assert_eq!(content(&house.kept()[0]), changed);
    house.ok(&["volume", "rollback", &name]);
    assert_eq!(house.content("v"), changed);
}

#[test]
fn a_volume_of_the_same_name_is_not_the_one_that_was_backed_up() {
    let (house, id) = House::with_backup();
    house.ok(&["volume", "rm", "v"]);
    house.ok(&["volume", "create", "v"]);
    let said = house.refused(&["backup", "restore", &id, "--in-place"], 3);
    assert!(said.contains("NEW_VOLUME"), "{said}");
}

#[test]
fn a_damaged_backup_changes_nothing() {
    let (house, id) = House::with_backup();
    house.change();
    let changed = house.content("v");
    house.damage();
    house.refused(&["backup", "restore", &id, "--in-place"], 1);
    assert_eq!(house.content("v"), changed);
    poll::holds("nothing is left of it", SOON, || house.kept().is_empty());
    assert!(house.snapshots().is_empty());
    house.ok(&["volume", "mount", "v"]);
    house.ok(&["volume", "unmount", "v"]);
}

#[test]
fn a_kill_at_any_step_leaves_the_one_content_or_the_other() {
    let (mut house, id) = House::with_backup();
    let before = house.content("v");
    house.change();
    let changed = house.content("v");
    let trace = house.stage.join("trace");
    let setup = house.daemon.setup.clone();
    house.daemon.setup = setup.clone().env("BERTH_FAILPOINTS_TRACE", trace.display().to_string());
    house.restart("");
    let passed = || fs::read_to_string(&trace).expect("a trace").lines().count();
    let (start, _) = (passed(), house.ok(&["backup", "restore", &id, "--in-place"]));
    let trace = fs::read_to_string(&trace).expect("a trace");
    let mut seen = BTreeSet::new();
    let steps: Vec<_> =
        trace.lines().enumerate().skip(start).filter(|(_, name)| seen.insert(*name)).collect();
    assert!(steps.len() > 10, "{steps:?}");
    assert!(seen.contains("restore.file.write"), "{seen:?}");
    house.daemon.setup = setup;
    let mut exchanged = 0;
    for (_, name) in &steps {
        house.restart("");
        for snapshot in house.snapshots() {
            house.ok(&["snapshot", "rm", &snapshot]);
        }
        house.change();
        // Counted from the start, so that what the start itself passes is not meant.
        let nth = trace.lines().take(start).filter(|line| line == name).count() + 1;
        house.arm(&format!("{name}=kill@{nth}"));
        let out = house.daemon.berth(&["backup", "restore", &id, "--in-place"]);
        // It ends well, or with the daemon: a refusal would try nothing.
        let said = String::from_utf8_lossy(&out.stderr);
        let died = said.contains("hung up") || said.contains("cannot reach the daemon");
        assert!(out.status.success() || died, "{name}: {said}");
        house.restart("");
        poll::holds("it is in order", SOON, || {
            house.state("v").as_deref() == Some("ready") && house.daemon.data("v").is_dir()
        });
        let now = house.content("v");
        if now == changed {
            assert_eq!(house.snapshots(), Vec::<String>::new(), "{name}");
        } else {
            assert_eq!(now, before, "killed at {name}");
            assert_eq!(house.snapshots().len(), 1, "{name}");
            exchanged += 1;
        }
        house.ok(&["volume", "mount", "v"]);
        house.ok(&["volume", "unmount", "v"]);
    }
    assert!(exchanged > 0 && exchanged < steps.len(), "{exchanged} of {}", steps.len());
}
