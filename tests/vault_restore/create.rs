//! New volumes out of backups, through kills and absences.

use std::{process::Child, thread};

use crate::{
    House,
    support::{
        pause::Pause,
        poll::{self, SOON},
    },
};

/// A daemon that waits at a pass of a failpoint, and a restore of `v` into `w` there.
fn paused(name: &str, nth: u64) -> (House, Pause, Child) {
    let (mut house, id) = House::with_backup();
    let pause = Pause::at(house.stage.path(), name, nth);
    let rule = pause.rule().to_owned();
    house.restart(&rule);
    let restore = house.daemon.command(&["backup", "restore", &id, "w"]).spawn();
    let restore = restore.expect("the binary under test");
    pause.reached();
    (house, pause, restore)
}

#[test]
fn a_new_volume_has_the_content_of_a_backup() {
    let (house, id) = House::with_backup();
    let content = house.content("v");
    assert_eq!(house.ok(&["backup", "restore", &id[..8], "w"]), "w");
    assert_eq!(house.content("w"), content);
    let from = format!("from=backup:offsite/{}", id[..12].to_uppercase());
    house.ok(&["volume", "create", "x", "-o", &from, "-o", "mode=0700"]);
    assert_eq!(house.content("x"), content);
    house.ok(&["volume", "create", "x", "-o", &from.to_lowercase(), "-o", "mode=0700"]);
    let said = house.refused(&["volume", "create", "x", "-o", "from=backup:latest:v"], 1);
    assert!(said.contains("`from` is"), "{said}");
    house.ok(&["volume", "create", "y", "-o", "from=backup:latest:v"]);
    assert_eq!(house.content("y"), content);
    for volume in ["v", "w", "x", "y"] {
        house.ok(&["volume", "rm", volume]);
    }
    house.ok(&["backup", "restore", "--repository", "offsite", &id, "v"]);
    assert_eq!(house.content("v"), content);
    let job = house.json(&["job", "ls"])[0].clone();
    assert_eq!((&job["kind"], &job["repository"]), (&"create".into(), &"offsite".into()), "{job}");
    assert_eq!(job["progress"]["bytes-done"], job["progress"]["bytes-total"], "{job}");
}

#[test]
fn a_kill_after_it_was_accepted_makes_it_whole_in_the_end() {
    let (mut house, _pause, mut restore) = paused("restore.file.write", 2);
    house.becomes("w", "creating");
    house.daemon.kill();
    assert!(!restore.wait().expect("it ends").success(), "nobody answers it");
    house.restart("");
    house.becomes("w", "ready");
    assert_eq!(house.content("w"), house.content("v"));
    assert_eq!(house.folders(), 2, "no half is left");
    let jobs = house.json(&["job", "ls"]);
    let creates = jobs.as_array().expect("a list").iter().filter(|job| job["volume"] == "w");
    let states: Vec<_> = creates.map(|job| job["state"].clone()).collect();
    assert_eq!(states, ["done"], "taken up under its id");
}

#[test]
fn a_kill_before_it_was_accepted_leaves_nothing() {
    let (mut house, _pause, mut restore) = paused("restore.file.write", 2);
    house.daemon.kill();
    assert!(!restore.wait().expect("it ends").success());
    house.restart("");
    assert_eq!(house.state("w"), None);
    poll::equal("folders of volumes", SOON, &1, || house.folders());
}

#[test]
fn a_mount_waits_and_then_says_how_far_it_is() {
    let (mut house, id) = House::with_backup();
    let pause = Pause::at(house.stage.path(), "restore.file.write", 3);
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_TEST_DEADLINE_SECONDS", "7");
    house.restart(pause.rule());
    let from = format!("from=backup:{id}");
    house.ok(&["volume", "create", "w", "-o", &from]);
    let said = house.refused(&["volume", "mount", "w"], 1);
    assert!(said.contains("being restored from backup") && said.contains(" of "), "{said}");
    pause.release();
    house.becomes("w", "ready");
    house.ok(&["volume", "mount", "w"]);
    house.ok(&["volume", "unmount", "w"]);
}

#[test]
fn a_repository_that_is_away_is_waited_for() {
    let (house, pause, mut restore) = paused("engine.restore.fill", 1);
    house.becomes("w", "creating");
    let away = house.stage.join("away");
    std::fs::rename(house.offsite(), &away).expect("ours");
    pause.release();
    poll::holds("the job says what it waits for", SOON, || {
        let jobs = house.json(&["job", "ls"]);
        jobs[0]["waiting"].as_str().is_some_and(|text| text.contains("cannot be read now"))
    });
    // Nothing new is made from it meanwhile.
    let said = house.refused(&["volume", "create", "x", "-o", "from=backup:offsite/latest:v"], 1);
    assert!(said.contains("offsite"), "{said}");
    assert_eq!(house.state("x"), None);
    std::fs::rename(&away, house.offsite()).expect("ours");
    house.becomes("w", "ready");
    assert!(restore.wait().expect("it ends").success());
    assert_eq!(house.content("w"), house.content("v"));
}

#[test]
fn a_removal_ends_a_restore() {
    let (house, pause, mut restore) = paused("restore.file.write", 2);
    house.becomes("w", "creating");
    thread::scope(|scope| {
        let removal = scope.spawn(|| house.ok(&["volume", "rm", "w"]));
        poll::holds("it is asked to stop", SOON, || house.daemon.log().contains("asked to stop"));
        pause.release();
        removal.join().expect("removed");
    });
    assert!(!restore.wait().expect("it ends").success());
    assert_eq!(house.state("w"), None);
    poll::equal("folders of volumes", SOON, &1, || house.folders());
}
