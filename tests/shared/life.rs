//! What one host does, the other sees.

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    pair::{Pair, Side},
    support::poll::{self, SOON},
};

#[test]
fn what_one_host_makes_the_other_sees_within_a_second_of_asking() {
    let pair = Pair::new("sees");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    one.create("db", &json!({"mode": "0750"})).expect("created");
    // By name at once, even though nobody has looked before.
    let seen = two.get("db").expect("the pool is asked");
    let made = one.get("db").expect("its own");
    assert_eq!(seen["Status"]["id"], made["Status"]["id"]);
    assert_eq!(seen["CreatedAt"], made["CreatedAt"]);
    one.create("other", &json!({})).expect("created");
    two.list();
    poll::holds("List shows it", Duration::from_secs(2), || {
        two.list().iter().any(|volume| volume["Name"] == "other")
    });
    // Files too.
    let here = one.mount("db", "a").expect("mounted");
    fs::write(one_side(&pair.one, &here).join("file"), "x").expect("written");
    let there = two.mount("db", "b").expect("shared: mounted on both");
    assert_eq!(fs::read(one_side(&pair.two, &there).join("file")).expect("there"), b"x");
    assert_eq!((one.scope(), two.scope()), ("global".to_owned(), "global".to_owned()));
    let pool = pair.one.daemon.control().ok("GET", "/v1/pools/default", None);
    assert_eq!(pool["shared"], true);
    // An equal Create is confirmed, another one refused.
    two.create("db", &json!({"mode": "0750"})).expect("the same");
    let text = two.create("db", &json!({"mode": "0700"})).expect_err("another");
    assert!(text.contains("mode"), "{text}");
}

/// A path of a host as this machine sees it.
fn one_side(side: &Side, path: &std::path::Path) -> std::path::PathBuf {
    let root = format!("/proc/{}/root", side.daemon.pid());
    std::path::Path::new(&root).join(path.strip_prefix("/").expect("absolute"))
}

#[test]
fn a_volume_in_use_there_is_not_removed_here() {
    let pair = Pair::new("busy");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    one.create("db", &json!({})).expect("created");
    two.mount("db", "c").expect("mounted");
    for _ in 0..3 {
        let text = one.remove("db").expect_err("in use there");
        assert!(text.contains("in use") && text.contains(&pair.two.id()), "{text}");
        assert!(text.contains("--forget-host"), "{text}");
    }
    assert_eq!(pair.one.state("db").as_deref(), Some("ready"));
    // It can still be mounted on both, and goes when both let go.
    one.mount("db", "d").expect("mounted");
    one.unmount("db", "d").expect("unmounted");
    two.unmount("db", "c").expect("unmounted");
    poll::holds("the other host let go", SOON, || one.remove("db").is_ok());
    poll::holds("removed there too", SOON, || two.get("db").is_err());
    one.create("db", &json!({})).expect("the name is free");
    two.remove("db").expect("nobody has it");
}

#[test]
fn what_one_host_removed_another_brings_back_or_deletes() {
    let pair = Pair::new("trash");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    one.create("db", &json!({})).expect("created");
    let at = one.mount("db", "c").expect("mounted");
    fs::write(one_side(&pair.one, &at).join("file"), "x").expect("written");
    one.unmount("db", "c").expect("unmounted");
    poll::holds("removed", SOON, || one.remove("db").is_ok());
    let control = pair.two.daemon.control();
    poll::holds("the other host sees it in the trash", SOON, || {
        let removed = control.ok("GET", "/v1/volumes?removed=true", None);
        removed[0]["name"] == "db" && removed[0]["state"] == "removed"
    });
    control.ok("POST", "/v1/volumes/db/undelete", Some(&json!({})));
    let at = one.mount("db", "c").expect("it is back");
    assert_eq!(fs::read(one_side(&pair.one, &at).join("file")).expect("there"), b"x");
    one.unmount("db", "c").expect("unmounted");
    poll::holds("removed", SOON, || two.remove("db").is_ok());
    poll::holds("the first host sees it in the trash", SOON, || {
        let removed = pair.one.daemon.control().ok("GET", "/v1/volumes?removed=true", None);
        removed[0]["name"] == "db" && removed[0]["state"] == "removed"
    });
    pair.one.daemon.control().ok("DELETE", "/v1/volumes/db?now=true", None);
    pair.assert_empty();
}

#[test]
fn options_are_the_same_on_both_hosts() {
    let pair = Pair::new("set");
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    assert_eq!(pair.two.state("db").as_deref(), Some("ready"));
    let change = json!({"options": {"on-remove": "retain"}});
    pair.two.daemon.control().ok("PATCH", "/v1/volumes/db", Some(&change));
    let seen = pair.one.daemon.control().volume("db");
    assert_eq!(seen["options"]["on-remove"], "retain", "{seen}");
    let change = json!({"options": {"on-remove": "delete"}});
    poll::holds("changed back on the first", SOON, || {
        pair.one.daemon.control().request("PATCH", "/v1/volumes/db", Some(&change)).0 == 200
    });
    poll::holds("seen there", SOON, || {
        pair.two.daemon.control().volume("db")["options"]["on-remove"] != "retain"
    });
}

#[test]
fn a_volume_for_one_host_is_mounted_on_one() {
    let pair = Pair::new("single");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    one.create("db", &json!({"access": "single"})).expect("created");
    one.mount("db", "a").expect("mounted");
    one.mount("db", "b").expect("any number on this host");
    let text = two.mount("db", "c").expect_err("another host has it");
    assert!(text.contains(&pair.one.id()), "{text}");
    one.unmount("db", "a").expect("unmounted");
    two.mount("db", "c").expect_err("another host still has it");
    one.unmount("db", "b").expect("unmounted");
    poll::holds("the other host let go", SOON, || two.mount("db", "c").is_ok());
    one.mount("db", "a").expect_err("now that one has it");
}

#[test]
fn a_rollback_waits_for_no_other_host() {
    let pair = Pair::new("rollback");
    let (one, two) = (&pair.one.daemon, &pair.two.daemon);
    one.plugin().create("db", &json!({})).expect("created");
    let out = one.berth(&["snapshot", "create", "db", "before"]);
    assert!(out.status.success(), "{out:?}");
    two.plugin().mount("db", "c").expect("mounted");
    let out = one.berth(&["volume", "rollback", "db@before"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && text.contains(&pair.two.id()), "{text}");
    assert_eq!(one.control().volume("db")["state"], "ready");
    two.plugin().unmount("db", "c").expect("unmounted");
    poll::holds("the other host let go", SOON, || {
        one.berth(&["volume", "rollback", "db@before"]).status.success()
    });
    two.plugin().mount("db", "c").expect("mounted again");
}
