//! Engine lane: the harness itself, against a plugin that is 30 lines long.
//!
//! When these fail, no other test of the lane says anything about Berth.

mod support;

use std::fs;

use support::{
    docker::{Engine, IMAGE},
    host::Host,
    server::Server,
    stage::Stage,
};

/// The shortest life of a volume, seen by a plugin that keeps plain folders.
#[test]
fn engine_calls_a_plain_plugin() {
    let stage = Stage::new("harness");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let folder = stage.folder("plain");
    let plugin = Server::plain_plugin(&host.plugin_socket("plain"), folder.clone());

    engine.ok(&[
        "run",
        "--rm",
        "--network=none",
        "--volume-driver=plain",
        "-v=vol:/data",
        IMAGE,
        "sh",
        "-c",
        "echo hi >/data/x",
    ]);

    assert_eq!(fs::read_to_string(folder.join("vol/x")).expect("written by the container"), "hi\n");
    let counts = ["Plugin.Activate", "Create", "Mount", "Unmount", "Remove"]
        .map(|method| plugin.count(method));
    assert_eq!(counts, [1, 1, 1, 1, 0]);
    engine.ok(&["volume", "rm", "vol"]);
    assert_eq!(plugin.count("Remove"), 1);
    assert!(!folder.join("vol").exists());
}

/// A container outlives a killed dockerd under live-restore, on the same host.
#[test]
fn engine_is_killed_and_comes_back() {
    let stage = Stage::new("harness");
    let host = Host::boot(&stage);
    let mut engine = Engine::start_with(&stage, &host, true);
    engine.ok(&["run", "-d", "--name=box", "--network=none", IMAGE, "sleep", "1000"]);

    engine.kill();
    engine.start_again();

    assert!(engine.is_running("box"));
    engine.ok(&["rm", "-f", "box"]);
}

/// After a boot nothing is mounted and nothing runs, and the Engine's data is there.
#[test]
fn host_boots_again() {
    let stage = Stage::new("harness");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    engine.ok(&["run", "-d", "--name=box", "--network=none", IMAGE, "sleep", "1000"]);
    drop(engine);
    drop(host);

    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);

    assert!(!engine.is_running("box"));
    engine.ok(&["start", "box"]);
    assert!(engine.is_running("box"));
}

/// What Docker makes of a Get without a volume, and of an empty body: the reasons
/// for two rules of the daemon.
#[test]
fn engine_takes_an_empty_answer_for_no_volume() {
    let stage = Stage::new("harness");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let _plugin = Server::start(&host.plugin_socket("empty"), |request| {
        let reply = match request.path() {
            "/Plugin.Activate" => r#"{"Implements":["VolumeDriver"]}"#,
            "/VolumeDriver.Get" => r#"{"Volume":null}"#,
            "/VolumeDriver.List" => "",
            _ => "{}",
        };
        Some((200, reply.into()))
    });

    engine.ok(&["volume", "create", "-d", "empty", "vol"]);

    let said = engine.fails(&["volume", "inspect", "vol"]);
    assert!(said.contains("No such volume"), "{said}");
}
