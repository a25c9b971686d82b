//! `selinux-context` of a pool, from the configuration to the disk. Where the
//! kernel has no SELinux the label is a plain attribute.

mod support;

use std::{fs::File, path::Path};

use serde_json::json;
use support::{daemon::Setup, namespace, stage::Stage};

const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn label(path: &Path) -> Option<String> {
    let label = berth_host::label::get(File::open(path).expect("opened")).expect("readable");
    label.map(|label| String::from_utf8(label).expect("text"))
}

#[test]
fn new_volumes_have_it_and_older_ones_get_it_when_they_are_set() {
    namespace::apart();
    let stage = Stage::new("label");
    let pool = stage.join("pool");
    let config = format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
    let mut daemon = Setup::new(&stage).config(&stage, &config).start();
    let data = |daemon: &support::daemon::Daemon, name: &str| {
        let id = daemon.control().volume(name)["id"].as_str().expect("an id").to_owned();
        pool.join("volumes").join(id).join("data")
    };
    daemon.plugin().create("old", &json!({})).expect("created");
    stage.file("berth.toml", format!("{config}selinux-context = \"{LABEL}\"\n"));
    daemon.restart();
    daemon.plugin().create("new", &json!({"uid": "7"})).expect("created");
    assert_eq!(label(&data(&daemon, "new")).as_deref(), Some(LABEL));
    // It is what is mounted.
    let mountpoint = daemon.plugin().mount("new", "a").expect("mounted");
    assert_eq!(label(&mountpoint).as_deref(), Some(LABEL));
    daemon.plugin().unmount("new", "a").expect("unmounted");

    assert_ne!(label(&data(&daemon, "old")).as_deref(), Some(LABEL));
    let set = daemon.berth(&["volume", "set", "old", "mode=0700"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    support::poll::holds("what follows the answer", support::poll::SOON, || {
        label(&data(&daemon, "old")).as_deref() == Some(LABEL)
    });
}
