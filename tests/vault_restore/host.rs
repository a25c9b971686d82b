//! A lost host: root, pools and configuration are gone; what is left are the
//! repository's place and its key.

use std::fs;

use crate::{
    House, configured,
    support::{daemon::Setup, stage::Stage},
};

impl House {
    /// Another host, which knows the repository only.
    fn new_host(&self, stage: &Stage) -> Self {
        let key = stage.join("key");
        fs::copy(self.stage.join("key"), &key).expect("the key, from its other place");
        let text = configured(&self.offsite(), &key);
        let daemon = Setup::new(stage).config(stage, &text).env("TZ", "UTC").start();
        let stage = Stage::new("restored");
        Self { daemon, disk: None, stage }
    }

    fn host(&self) -> String {
        let info = self.json(&["backup", "ls"]);
        info[0]["host"].as_str().expect("a name").to_owned()
    }
}

#[test]
fn every_volume_of_a_lost_host_comes_back() {
    let (mut house, _) = House::with_backup();
    house.ok(&["volume", "create", "web", "-o", "uid=33", "-o", "mode=0750"]);
    house.ok(&["volume", "set", "web", "uid=34", "on-remove=retain"]);
    house.furnish("web");
    house.ok(&["volume", "create", "here"]);
    for name in ["web", "here"] {
        house.ok(&["backup", "create", name, "--repository", "offsite"]);
    }
    // The newest is restored.
    fs::write(house.daemon.data("web").join("newest"), "newest").expect("a file");
    house.ok(&["backup", "create", "web", "--repository", "offsite"]);
    let (v, web) = (house.content("v"), house.content("web"));
    let options = house.json(&["volume", "inspect", "web"])[0]["options"].clone();
    let host = house.host();
    house.daemon.kill();
    fs::remove_dir_all(&house.daemon.setup.root).expect("the host is lost");

    let stage = Stage::new("new-host");
    let new = house.new_host(&stage);
    new.ok(&["volume", "create", "here"]);
    let said = new.ok(&["backup", "restore", "--all", "--host", &host]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("here: left alone"), "{said}");
    assert!(lines[1].starts_with("v: restored from backup"), "{said}");
    assert!(lines[2].starts_with("web: restored from backup"), "{said}");
    assert_eq!(new.content("v"), v);
    assert_eq!(new.content("web"), web);
    assert_eq!(new.json(&["volume", "inspect", "web"])[0]["options"], options);
    // What made it in the first place still confirms it.
    new.ok(&["volume", "create", "web", "-o", "uid=33", "-o", "mode=0750"]);
    let again = new.ok(&["backup", "restore", "--all", "--host", &host]);
    assert_eq!(again.matches("left alone").count(), 3, "{again}");
}

#[test]
fn what_fails_for_one_volume_is_told_and_the_others_are_restored() {
    let (house, _) = House::with_backup();
    house.ok(&["volume", "create", "w"]);
    fs::write(house.daemon.data("w").join("file"), "w").expect("a file");
    let first: Vec<_> = crate::packs(&house.offsite());
    house.ok(&["backup", "create", "w", "--repository", "offsite"]);
    let host = house.host();
    for pack in first {
        crate::turn(&pack);
    }
    let stage = Stage::new("new-host");
    let new = house.new_host(&stage);
    let output = new.daemon.berth(&["backup", "restore", "--all", "--host", &host]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("v: not restored: "), "{said}");
    assert!(said.contains("w: restored from backup"), "{said}");
    assert_eq!(new.content("w"), house.content("w"));
    assert_eq!(new.state("v"), None);
    let said = new.refused(&["backup", "restore", "--all", "--host", "elsewhere"], 3);
    assert!(said.contains(&host), "{said}");
}
