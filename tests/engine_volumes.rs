//! Engine lane: `docker volume` and what it shows.

mod support;

use std::fs;

use serde_json::Value;
use support::{daemon::Setup, docker::Engine, host::Host, rig::Rig, stage::Stage};

#[test]
fn volume_is_created_listed_inspected_and_removed() {
    let rig = Rig::new("volumes");
    let engine = &rig.engine;

    engine.ok(&[
        "volume",
        "create",
        "-d",
        "berth",
        "-o",
        "mode=0750",
        "-o",
        "uid=12",
        "--label",
        "team=web",
        "db",
    ]);

    assert_eq!(engine.ok(&["volume", "ls", "--format", "{{.Driver}} {{.Name}}"]), "berth db");
    let seen: Value = serde_json::from_str(&engine.ok(&["volume", "inspect", "db"])).expect("JSON");
    let seen = &seen[0];
    assert_eq!(seen["Driver"], "berth");
    assert_eq!(seen["Scope"], "local");
    assert_eq!(seen["Labels"]["team"], "web");
    assert_eq!(seen["Options"]["mode"], "0750");
    assert_eq!(seen["Mountpoint"], rig.mountpoint("db").to_str().expect("ASCII"));
    let created = seen["CreatedAt"].as_str().expect("a time");
    assert!(created.starts_with("20") && created.contains('T'), "{created}");
    let status = &seen["Status"];
    assert_eq!(status["pool"], "default", "{status}");
    assert_eq!(status["backend"], "vfs", "{status}");
    assert_eq!(status["state"], "ready", "{status}");
    assert_eq!(status["references"], 0, "{status}");
    assert_eq!(status["id"], rig.berth.control().volume("db")["id"], "{status}");
    assert!(status["host"].is_string(), "{status}");

    let top = rig.sh(&["-v", "db:/data"], "stat -c '%a %u' /data");
    assert_eq!(top, "750 12");

    engine.ok(&["volume", "rm", "db"]);
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "");
    assert_eq!(rig.names(), Vec::<String>::new());
}

/// `docker volume inspect` says where a volume is used.
#[test]
fn status_follows_the_volume() {
    let rig = Rig::new("volumes");
    rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);
    rig.sleeper("one", &["-v", "db:/data"]);
    rig.sleeper("two", &["-v", "db:/data"]);

    assert_eq!(rig.engine.inspect("volume", "db", "{{.Status.references}}"), "2");
    rig.engine.ok(&["rm", "-f", "one", "two"]);
    assert_eq!(rig.engine.inspect("volume", "db", "{{.Status.references}}"), "0");
}

/// The same Create again is success: Docker does not even send it.
#[test]
fn existing_volume_is_found_not_made_again() {
    let rig = Rig::new("volumes");
    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "mode=0700", "db"]);
    let id = rig.berth.control().volume("db")["id"].clone();

    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "mode=0700", "db"]);

    assert_eq!(rig.berth.control().volume("db")["id"], id);
    assert_eq!(rig.names(), ["db"]);
}

#[test]
fn volume_made_by_the_command_line_is_seen_by_docker() {
    let rig = Rig::new("volumes");
    let output = rig.berth.berth(&["volume", "create", "db"]);
    assert!(output.status.success(), "{output:?}");

    assert_eq!(rig.engine.ok(&["volume", "ls", "-q"]), "db");
    rig.sh(&["-v", "db:/data"], "echo hi >/data/x");
    assert_eq!(fs::read_to_string(rig.berth.data("db").join("x")).expect("written"), "hi\n");
}

/// One name belongs to one driver, whichever was first.
#[test]
fn name_conflicts_are_refused() {
    let rig = Rig::new("volumes");
    rig.engine.ok(&["volume", "create", "-d", "berth", "ours"]);
    rig.engine.ok(&["volume", "create", "-d", "local", "theirs"]);

    let first = rig.engine.fails(&["volume", "create", "-d", "local", "ours"]);
    let second = rig.engine.fails(&["volume", "create", "-d", "berth", "theirs"]);

    assert!(first.contains("must be unique"), "{first}");
    assert!(second.contains("must be unique"), "{second}");
    assert_eq!(rig.names(), ["ours"]);
}

/// A volume that went away behind Docker's back can be made again, with the same
/// or with another driver, and the old options and labels are not remembered.
#[test]
fn volume_deleted_out_of_band_can_be_made_again() {
    let rig = Rig::new("volumes");
    let remove = || rig.berth.control().ok("DELETE", "/v1/volumes/db?now=true", None);
    rig.engine.ok(&["volume", "create", "-d", "berth", "--label", "a=1", "db"]);

    remove();
    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "mode=0700", "db"]);
    assert_eq!(rig.engine.inspect("volume", "db", "{{json .Options}}"), r#"{"mode":"0700"}"#);
    assert!(!rig.engine.inspect("volume", "db", "{{json .Labels}}").contains('a'));

    remove();
    rig.engine.ok(&["volume", "create", "-d", "local", "db"]);
    assert_eq!(rig.engine.inspect("volume", "db", "{{.Driver}}"), "local");
}

#[test]
fn driver_options_and_labels_survive_a_restart_of_dockerd() {
    let mut rig = Rig::new("volumes");
    rig.engine.ok(&[
        "volume",
        "create",
        "-d",
        "berth",
        "-o",
        "mode=0711",
        "--label",
        "team=web",
        "db",
    ]);

    let format = "{{.Driver}} {{json .Options}} {{json .Labels}}";
    let before = rig.engine.inspect("volume", "db", format);
    for kill in [false, true] {
        if kill {
            rig.engine.kill();
        } else {
            rig.engine.stop();
        }
        rig.engine.start_again();
        assert_eq!(rig.engine.inspect("volume", "db", format), before, "killed: {kill}");
    }
    assert_eq!(before, r#"berth {"mode":"0711"} {"team":"web"}"#);
}

/// Labels live in Docker only: a daemon that is down, or that is just starting,
/// must never let Docker believe that the volume is gone.
#[test]
fn labels_survive_a_daemon_that_is_away() {
    let mut rig = Rig::new("volumes");
    rig.engine.ok(&["volume", "create", "-d", "berth", "--label", "team=web", "db"]);

    rig.berth.kill();
    rig.engine.run(&["volume", "inspect", "db"]);
    rig.berth.restart();
    assert_eq!(rig.engine.inspect("volume", "db", "{{.Labels.team}}"), "web");

    rig.berth.stop();
    rig.engine.stop();
    rig.berth.respawn();
    rig.engine.start_again();
    assert_eq!(rig.engine.inspect("volume", "db", "{{.Labels.team}}"), "web");
}

/// Docker repeats a Get that was cut off, with an empty body, and takes any error
/// for "no such volume": the volume's labels must outlive that.
#[test]
fn labels_survive_a_get_that_was_cut_off() {
    let rig = Rig::with_proxy("volumes");
    rig.engine.ok(&["volume", "create", "-d", "berth", "--label", "team=web", "db"]);

    rig.proxy().lose("Get");
    rig.engine.run(&["volume", "inspect", "db"]);

    assert!(rig.berth.log().contains("hung up on a repeated Get"), "Docker repeats the call");
    assert_eq!(rig.engine.inspect("volume", "db", "{{.Labels.team}}"), "web");
}

/// Docker does not check names of plugin volumes; Berth does.
#[test]
fn hostile_names_are_refused() {
    let rig = Rig::new("volumes");
    let before = fs::read_dir(rig.stage.path()).expect("the stage").count();

    for name in ["../../evil", "a/b", "sp ace", &"n".repeat(300), "new\nline", ".hidden", "-dash"] {
        let said = rig.engine.fails(&["volume", "create", "-d", "berth", "--name", name]);
        assert!(said.contains("Error response from daemon"), "{name:?}: {said}");
    }

    assert_eq!(rig.names(), Vec::<String>::new());
    assert_eq!(fs::read_dir(rig.stage.path()).expect("the stage").count(), before);
}

/// A second pool of the configuration is chosen by an option.
#[test]
fn pool_is_chosen_by_option() {
    let stage = Stage::new("volumes");
    let host = Host::boot(&stage);
    let fast = stage.folder("fast");
    let text = format!(
        "[pools.default]\nbackend = \"vfs\"\npath = \"{0}\"\n[pools.fast]\nbackend = \"vfs\"\npath = \"{1}\"\n",
        stage.folder("slow").display(),
        fast.display()
    );
    let _berth = Setup::on(&stage, &host).config(&stage, &text).start();
    let engine = Engine::start(&stage, &host);

    engine.ok(&["volume", "create", "-d", "berth", "-o", "pool=fast", "db"]);

    assert_eq!(engine.inspect("volume", "db", "{{.Status.pool}}"), "fast");
    assert_eq!(fs::read_dir(fast.join("volumes")).expect("the pool's layout").count(), 1);
    let said = engine.fails(&["volume", "create", "-d", "berth", "-o", "pool=fats", "db2"]);
    assert!(said.contains("fast"), "names the nearest: {said}");
}
