//! Pools that say what is not so, and pools that are gone at the wrong moment.

use serde_json::json;

use crate::{
    Scene, in_slow, refused,
    support::{
        catalog,
        poll::{self, SOON},
    },
};

#[test]
fn a_volume_that_was_never_made_is_noticed_at_its_mount() {
    let scene = Scene::new("lie");
    let plugin = scene.plugin();
    scene.tell("create=lie");
    plugin.create("db", &in_slow()).expect("as far as anybody knows");
    refused(plugin.mount("db", "one"), &["db", "not in its pool"]);
    assert_eq!(scene.control().references("db"), 0);
    plugin.get("db").expect("its labels are kept");
    plugin.remove("db").expect("cleared");
    scene.gone("db");
}

#[test]
fn a_volume_that_is_said_to_be_absent_is_kept_and_said_to_be_faulty() {
    let mut scene = Scene::new("absent");
    let plugin = scene.plugin();
    scene.volume("db");
    scene.daemon.stop();
    scene.tell("inspect=say:absent");
    scene.daemon.restart();
    scene.becomes("db", "faulty");
    assert_eq!(plugin.get("db").expect("its labels are kept")["Status"]["state"], "faulty");
    refused(plugin.mount("db", "one"), &["faulty", "not in the pool"]);
    assert_eq!(scene.content(), (1, 0), "what is there is left alone");
}

#[test]
fn a_removal_that_is_only_said_to_be_done_is_done_again() {
    let mut scene = Scene::new("undead");
    let plugin = scene.plugin();
    scene.volume("db");
    let point = plugin.mount("db", "one").expect("mounted");
    std::fs::write(point.join("file"), "x").expect("written");
    plugin.unmount("db", "one").expect("unmounted");
    scene.unmounts("db");
    scene.tell("remove=lie");
    plugin.remove("db").expect("as far as anybody knows");
    scene.gone("db");
    assert_eq!(scene.content(), (1, 0));
    scene.tell("");
    scene.daemon.stop();
    scene.daemon.restart();
    poll::equal("it is in the trash", SOON, &(0, 1), || scene.content());
    scene.control().ok("POST", "/v1/volumes/db/undelete", None);
    let point = plugin.mount("db", "one").expect("it came back");
    assert_eq!(std::fs::read_to_string(point.join("file")).expect("content"), "x");
}

/// Content whose description was damaged is content: it is not deleted at once,
/// as what nobody ever wrote is.
#[test]
fn what_is_damaged_goes_into_the_trash_with_its_content() {
    let scene = Scene::new("damaged");
    let plugin = scene.plugin();
    scene.volume("db");
    let point = plugin.mount("db", "one").expect("mounted");
    std::fs::write(point.join("file"), "x").expect("written");
    plugin.unmount("db", "one").expect("unmounted");
    scene.unmounts("db");
    let id = scene.control().volume("db")["id"].as_str().expect("an id").to_owned();
    std::fs::write(scene.stage.join("slow/volumes").join(id).join("volume.json"), "{")
        .expect("written");
    plugin.remove("db").expect("removed");
    poll::equal("it is in the trash", SOON, &(0, 1), || scene.content());
    scene.control().ok("POST", "/v1/volumes/db/undelete", None);
    let point = plugin.mount("db", "one").expect("it came back");
    assert_eq!(std::fs::read_to_string(point.join("file")).expect("content"), "x");
}

/// Success was answered, its outcome was not yet recorded, and after the crash
/// nobody can tell: it may be there, so Docker must not be told that it is not.
#[test]
fn a_volume_that_was_acknowledged_is_answered_while_its_pool_is_away() {
    let mut scene = Scene::new("acknowledged");
    let plugin = scene.plugin();
    let database = scene.daemon.setup.root.join("berth.db");
    // An outcome rides on the next commit; this is the moment before.
    let name = (0..50)
        .map(|number| format!("db-{number}"))
        .find(|name| {
            plugin.create(name, &in_slow()).expect("made");
            scene.daemon.kill();
            let stored = catalog::state(&database, name);
            if stored.as_deref() != Some("creating") {
                scene.daemon.restart();
            }
            stored.as_deref() == Some("creating")
        })
        .expect("an outcome that was not recorded yet");
    scene.tell("identify=error:unavailable");
    scene.daemon.restart();
    let volume = plugin.get(&name).expect("it was acknowledged");
    assert_eq!(volume["Status"]["state"], "unavailable", "{volume}");
    assert!(plugin.list().iter().any(|volume| volume["Name"] == name.as_str()));
    refused(plugin.mount(&name, "one"), &[&name]);
    // Whether it is the same cannot be told either.
    for options in [in_slow(), json!({})] {
        refused(plugin.create(&name, &options), &["`slow`", "unavailable"]);
    }
    scene.tell("");
    scene.becomes(&name, "ready");
    plugin.create(&name, &in_slow()).expect("the same");
    plugin.mount(&name, "one").expect("it was there");
}

/// As above, without the effect: nothing was acknowledged.
#[test]
fn a_volume_that_was_not_acknowledged_is_gone_when_its_pool_is_back() {
    let mut scene = Scene::new("unacknowledged");
    let plugin = scene.plugin();
    scene.tell("create=hang");
    let call = std::thread::spawn({
        let plugin = plugin.clone();
        move || plugin.raw("VolumeDriver.Create", br#"{"Name":"db","Opts":{"pool":"slow"}}"#)
    });
    let database = scene.daemon.setup.root.join("berth.db");
    poll::equal("the intent", SOON, &Some("creating".to_owned()), || {
        catalog::state(&database, "db")
    });
    scene.daemon.kill();
    assert!(call.join().expect("an end").is_err(), "nothing was answered");
    scene.tell("identify=error:unavailable");
    scene.daemon.restart();
    scene.tell("");
    poll::holds("it was undone", SOON, || plugin.get("db").is_err());
    plugin.create("db", &json!({"uid": "7"})).expect("the name is free");
    assert_eq!(scene.content(), (0, 0));
}
