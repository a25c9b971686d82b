//! Where convoy loses data on a share: defects 10 and 12.

use std::fs;

use serde_json::json;

use crate::{
    pair::Pair,
    support::poll::{self, SOON},
};

/// Two hosts on one share overwrote each other's mount state: the first unmount
/// freed the volume under the other host, and delete then took live data.
#[test]
fn convoy_12_two_hosts_on_one_share() {
    let pair = Pair::new("convoy12");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    one.create("db", &json!({})).expect("created");
    one.mount("db", "a").expect("mounted");
    two.mount("db", "b").expect("mounted");
    two.unmount("db", "b").expect("unmounted");
    poll::holds("taken down there", SOON, || pair.two.daemon.mounts().is_empty());
    assert_eq!(pair.one.daemon.mounts().len(), 1, "still mounted here");
    two.remove("db").expect_err("the first host still has it");
    assert_eq!(pair.one.daemon.control().references("db"), 1);
    one.unmount("db", "a").expect("unmounted");
    poll::holds("removed", SOON, || two.remove("db").is_ok());
}

/// Snapshots of one host were invisible to the other.
#[test]
fn convoy_12_snapshots_are_seen_by_both() {
    let pair = Pair::new("convoy12s");
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    let out = pair.one.daemon.berth(&["snapshot", "create", "db", "before"]);
    assert!(out.status.success(), "{out:?}");
    poll::holds("seen there", SOON, || {
        let seen = pair.two.daemon.control().ok("GET", "/v1/volumes/db/snapshots", None);
        seen[0]["name"] == "db@before"
    });
}

/// A crash left a temporary file that blocked the name for ever, and files stayed
/// after the volume was gone.
#[test]
fn convoy_10_leftovers() {
    let mut pair = Pair::new("convoy10");
    // Dies with a half written record, and with one that was not linked.
    for (round, point) in ["durable.sync-file=kill@2", "beneath.link=kill@1"].iter().enumerate() {
        let name = format!("db{round}");
        pair.one.revive(&[("BERTH_FAILPOINTS", point)]);
        let create = json!({"Name": name, "Opts": {}});
        let _ = pair.one.daemon.plugin().attempt("VolumeDriver.Create", &create);
        poll::holds(point, SOON, || !pair.one.daemon.is_alive());
        pair.two.daemon.plugin().create(&name, &json!({})).expect("nothing blocks the name");
        pair.one.revive(&[]);
        pair.one.daemon.plugin().get(&name).expect("seen");
        pair.one.daemon.control().ok("DELETE", &format!("/v1/volumes/{name}?now=true"), None);
        // Before the next one: what is still to be done would be killed at the start.
        pair.assert_empty();
    }
    let names = fs::read_dir(pair.path().join(".berth/names")).expect("readable").count();
    assert_eq!(names, 2, "only that the names are free");
}
