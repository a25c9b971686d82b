//! Paths: shared and unshared ones, several of them, one that is away.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use crate::{
    pair::Side,
    support::{
        host::Host,
        poll::{self, SOON},
        stage::Stage,
    },
};

/// A pool at `path`; `more` is what its section says besides.
fn config(path: &Path, more: &str) -> String {
    format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n{more}", path.display())
}

impl Side {
    /// A host with a pool at `path`; `more` is what its section says besides.
    #[track_caller]
    fn new(name: &str, path: &Path, more: &str) -> Self {
        Self::prepared(name, path, more, "true")
    }

    /// As [`Self::new`], on a host that ran `script` before.
    #[track_caller]
    fn prepared(name: &str, path: &Path, more: &str, script: &str) -> Self {
        let stage = Stage::new(name);
        let host = Host::boot(&stage);
        host.sh(script);
        Self::configured(stage, host, &config(path, more))
    }
}

/// Two hosts made volumes of one name in pools of their own; a third sees both pools.
#[test]
fn of_two_volumes_of_one_name_the_first_known_keeps_it() {
    let share = Stage::new("names");
    let [a, b] = ["a", "b"].map(|name| share.folder(name).join("pool"));
    let one = Side::new("names-1", &a, "shared = true\n");
    let two = Side::new("names-2", &b, "shared = true\n");
    one.daemon.plugin().create("db", &json!({})).expect("created");
    let second = format!(
        "shared = true\n[pools.second]\nbackend = \"vfs\"\npath = \"{}\"\nshared = true\n",
        b.display()
    );
    let mut three = Side::new("names-3", &a, &second);
    three.daemon.plugin().mount("db", "c").expect("mounted");
    let known = three.daemon.control().volume("db")["id"].clone();
    two.daemon.plugin().create("db", &json!({})).expect("that host knows no other");
    let other = two.daemon.control().volume("db")["id"].clone();
    for _ in 0..2 {
        assert_eq!(three.daemon.control().volume("db")["id"], known);
        assert_eq!(three.daemon.control().volumes().len(), 1);
        three.daemon.restart();
    }
    three.daemon.plugin().unmount("db", "c").expect("unmounted");
    poll::holds("removed", SOON, || three.daemon.plugin().remove("db").is_ok());
    poll::equal("the other one", SOON, &Some(other), || {
        let seen = three.daemon.control().request("GET", "/v1/volumes/db", None);
        (seen.0 == 200).then(|| seen.1["id"].clone())
    });
}

#[test]
fn a_second_host_on_an_unshared_pool_is_refused() {
    let share = Stage::new("unshared");
    let path = share.folder("share").join("pool");
    let one = Side::new("unshared-1", &path, "");
    let two = Side::new("unshared-2", &path, "");
    one.daemon.plugin().create("db", &json!({})).expect("its own");
    let text = two.daemon.plugin().create("db", &json!({})).expect_err("another host's");
    assert!(text.contains("belongs to the host"), "{text}");
    two.daemon.plugin().get("db").expect_err("not this host's");
    assert_eq!(one.daemon.plugin().scope(), "local");
    // Nor does it get in by saying that it is shared.
    let three = Side::new("unshared-3", &path, "shared = true\n");
    let text = three.daemon.plugin().create("x", &json!({})).expect_err("one host's");
    assert!(text.contains("alone"), "{text}");
}

/// From one host to several, with what is in it.
#[test]
fn an_unshared_pool_can_be_shared() {
    let share = Stage::new("convert");
    let path = share.folder("share").join("pool");
    let mut one = Side::new("convert-1", &path, "");
    one.daemon.plugin().create("db", &json!({})).expect("its own");
    let id = one.daemon.control().volume("db")["id"].clone();
    one.daemon.stop();
    fs::write(one.stage.join("berth.toml"), config(&path, "shared = true\n")).expect("ours");
    one.daemon.restart();
    let out = one.daemon.berth(&["pool", "rebuild", "--take-over", "default"]);
    assert!(out.status.success(), "{out:?}");
    let two = Side::new("convert-2", &path, "shared = true\n");
    let seen = two.daemon.control().volume("db");
    assert_eq!(seen["id"], id);
    two.daemon.plugin().remove("db").expect("nobody has it");
    assert!(one.state("db").is_none());
}

#[test]
fn a_pool_that_is_away_takes_no_label_along() {
    let share = Stage::new("away");
    let (real, path) = (share.folder("real"), share.folder("path"));
    let mount = format!("mount --bind {} {}", real.display(), path.display());
    let pool = path.join("pool");
    let one = Side::prepared("away-1", &pool, "shared = true\n", &mount);
    let mut two = Side::prepared("away-2", &pool, "shared = true\n", &mount);
    one.daemon.plugin().create("db", &json!({})).expect("created");
    two.daemon.plugin().get("db").expect("seen");
    two.host.sh(&format!("umount {}", path.display()));
    for round in 0..2 {
        let seen = two.daemon.plugin().get("db").expect("still answered for");
        poll::holds("it is seen to be away", SOON, || {
            let seen = two.daemon.plugin().get("db").expect("still answered for");
            seen["Status"]["state"] == "unavailable"
        });
        assert_eq!(seen["Name"], "db");
        assert_eq!(two.daemon.plugin().list().len(), 1);
        two.daemon.plugin().mount("db", "c").expect_err("its pool is away");
        let text = two.daemon.plugin().create("new", &json!({})).expect_err("its pool is away");
        assert!(text.contains("unavailable"), "{text}");
        if round == 0 {
            two.daemon.restart();
        }
    }
    poll::holds("what is old says so", Duration::from_secs(20), || {
        two.daemon.control().volume("db")["age"].as_u64().is_some()
    });
    two.host.sh(&mount);
    poll::holds("it comes back", Duration::from_secs(30), || {
        two.daemon.plugin().mount("db", "c").is_ok()
    });
}
