//! Mount options of one volume.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    site::{Site, options_at, ready, refused},
    support::poll::{self, SOON},
};

/// Which of `wanted` the mount at a path has.
#[track_caller]
fn of_these<'a>(path: &Path, wanted: &[&'a str]) -> Vec<&'a str> {
    let options = options_at(path);
    wanted.iter().filter(|one| options.iter().any(|option| option == *one)).copied().collect()
}

#[test]
fn a_volume_has_the_mount_options_that_it_was_given_and_no_other_has_them() {
    let mut site = Site::new("nfs-own", "mount-options = \"acregmax=30\"", |_| {});
    let daemon = &site.daemon;
    ready(daemon, "default");
    let own = json!({ "mount-options": " noexec, soft,timeo=70 " });
    daemon.plugin().create("own", &own).expect("made");
    daemon.plugin().create("plain", &json!({})).expect("made");
    // One meaning has one spelling.
    let same = json!({ "mount-options": "timeo=70,soft,noexec" });
    daemon.plugin().create("own", &same).expect("an equal one is confirmed");
    let at = daemon.plugin().mount("own", "c1").expect("mounted");
    let plain = daemon.plugin().mount("plain", "c2").expect("mounted");
    let wanted = ["noexec", "soft", "timeo=70", "acregmax=30", "nosuid", "nodev", "hard"];
    assert_eq!(of_these(&at, &wanted), wanted[..6]);
    assert_eq!(of_these(&plain, &wanted), wanted[3..]);
    // What was written there and not synced is in a snapshot.
    fs::write(at.join("file"), "just written").expect("writable");
    daemon.ok(&["snapshot", "create", "own", "s"]);
    daemon.ok(&["volume", "create", "copy", "-o", "from=own@s"]);
    let copy = daemon.plugin().mount("copy", "c3").expect("mounted");
    assert_eq!(fs::read_to_string(copy.join("file")).expect("there"), "just written");

    // Not under a container.
    let (code, said) = refused(daemon, &["volume", "set", "own", "mount-options=noatime"]);
    assert!(code == 4 && said.contains("in use"), "{code} {said}");
    let name = format!("data-{}", site.id("own"));
    let is_there = |site: &Site| site.exports().iter().any(|(mount, _)| *mount == name);
    assert!(is_there(&site), "{:?}", site.exports());
    // A daemon that starts anew leaves it alone.
    site.daemon.restart();
    site.daemon.plugin().activate();
    poll::holds("the pool is there", SOON, || site.daemon.plugin().mount("own", "c1").is_ok());
    assert_eq!(fs::read_to_string(at.join("file")).expect("there"), "just written");
    assert!(is_there(&site), "{:?}", site.exports());
    site.daemon.plugin().unmount("own", "c1").expect("unmounted");
    poll::holds("its mount goes with it", SOON, || !is_there(&site));
    poll::holds("and the folder of that", SOON, || {
        !site.stage.join("root/exports/default").join(&name).exists()
    });
    site.daemon.ok(&["volume", "set", "own", "mount-options=noatime"]);
    let at = site.daemon.plugin().mount("own", "c4").expect("mounted");
    assert_eq!(of_these(&at, &["noatime", "noexec", "soft", "hard"]), ["noatime", "hard"]);
    assert_eq!(fs::read_to_string(at.join("file")).expect("there"), "just written");
}
