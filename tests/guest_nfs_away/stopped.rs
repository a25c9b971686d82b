//! The server is stopped, restarted, slow.

use serde_json::json;

use crate::{
    BACK, Scene, at_once, refused,
    support::poll::{self, SOON},
    tell, timed,
    writer::Writer,
};

#[test]
fn a_stopped_server_is_waited_for_and_a_slow_one_is_only_slow() {
    let scene = Scene::new("nfs-stopped");
    let plugin = scene.plugin();
    for name in ["db", "more"] {
        scene.volume(name);
    }
    plugin.create("web", &json!({})).expect("made");
    let point = plugin.mount("db", "container").expect("mounted");
    let writer = Writer::start(&point, scene.stage.join("acknowledged"));
    writer.goes_on(SOON);

    scene.server.delay(40);
    let (made, took) = timed(|| plugin.create("slow", &json!({"pool": "nas"})));
    made.expect("a slow server is a server");
    tell(&format!("Create took {took:?} at 40 ms"));
    let (mounted, took) = timed(|| plugin.mount("slow", "one"));
    mounted.expect("a slow server is a server");
    tell(&format!("Mount took {took:?} at 40 ms"));
    at_once("Get", || plugin.get("slow")).expect("it is there");
    at_once("Mount elsewhere", || plugin.mount("web", "one")).expect("mounted");
    assert!(scene.is_ready());
    scene.server.delay(0);

    scene.server.stop();
    let error = refused("Mount", || plugin.mount("more", "one"));
    scene.tells(&error);
    at_once("Get", || plugin.get("more")).expect("it is there");
    at_once("List", || plugin.list());
    at_once("Mount elsewhere", || plugin.mount("web", "two")).expect("mounted");
    at_once("Unmount", || plugin.unmount("slow", "one")).expect("answered");
    let finding = scene.control().ok("GET", "/v1/doctor", None).to_string();
    scene.tells(&finding);

    scene.server.start();
    scene.is_back();
    writer.goes_on(BACK);
    poll::holds("it is mounted", BACK, || plugin.mount("more", "one").is_ok());
    writer.has_lost_nothing(&point.join("lines"));
}
