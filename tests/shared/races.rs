//! Both hosts at once.

use std::{collections::BTreeSet, thread};

use serde_json::json;

use crate::{
    pair::Pair,
    place::Place,
    support::poll::{self, SOON},
};

#[test]
fn simultaneous_creates_of_one_name_make_one_volume() {
    let pair = Pair::new("create");
    let plugins = [&pair.one, &pair.two].map(|side| side.daemon.plugin());
    for round in 0..Place::ROUNDS {
        let name = format!("v{round}");
        thread::scope(|scope| {
            let creates = plugins.each_ref().map(|plugin| {
                let name = &name;
                scope.spawn(move || plugin.create(name, &json!({})))
            });
            for create in creates {
                // Equal creates are one: the second is confirmed.
                create.join().expect("no panic").expect("made by one, confirmed by the other");
            }
        });
        let ids: BTreeSet<_> = plugins
            .iter()
            .map(|plugin| plugin.get(&name).expect("there")["Status"]["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "{name}");
    }
    let folders = std::fs::read_dir(pair.path().join("volumes")).expect("readable").count();
    assert_eq!(folders, Place::ROUNDS);
    let records = std::fs::read_dir(pair.path().join(".berth/records")).expect("readable").count();
    assert_eq!(records, Place::ROUNDS);
}

#[test]
fn simultaneous_creates_with_other_options_make_one_volume() {
    let pair = Pair::new("differ");
    let sides = [(&pair.one, "0700"), (&pair.two, "0750")];
    for round in 0..Place::ROUNDS / 2 {
        let name = format!("v{round}");
        let won: Vec<_> = thread::scope(|scope| {
            let creates = sides.map(|(side, mode)| {
                let (plugin, name) = (side.daemon.plugin(), &name);
                scope.spawn(move || plugin.create(name, &json!({ "mode": mode })).is_ok())
            });
            creates.map(|create| create.join().expect("no panic")).to_vec()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{name}: {won:?}");
    }
}

#[test]
fn mount_against_remove_never_lets_both_succeed() {
    let pair = Pair::new("mount");
    let (one, two) = (pair.one.daemon.plugin(), pair.two.daemon.plugin());
    let mut mounted = 0;
    for round in 0..Place::ROUNDS {
        let name = format!("v{round}");
        one.create(&name, &json!({})).expect("created");
        two.get(&name).expect("seen");
        let (mount, remove) = thread::scope(|scope| {
            let mount = scope.spawn(|| two.mount(&name, "c"));
            let remove = scope.spawn(|| one.remove(&name));
            (mount.join().expect("no panic"), remove.join().expect("no panic"))
        });
        assert!(!(mount.is_ok() && remove.is_ok()), "{name} was removed while it is in use");
        if mount.is_ok() {
            mounted += 1;
            assert_eq!(one.get(&name).expect("there")["Status"]["state"], "ready");
            two.unmount(&name, "c").expect("unmounted");
        }
        if remove.is_err() {
            poll::holds("removed afterwards", SOON, || one.remove(&name).is_ok());
        }
    }
    assert!(mounted > 0, "nobody ever mounted: this test has gone blind");
    pair.assert_empty();
}
