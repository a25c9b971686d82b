//! Engine lane: what people do with volumes in containers.

mod support;

use std::fs;

use support::{
    compose,
    docker::{IMAGE, IMAGE_WITH_VOLUME},
    poll::{self, SOON},
    rig::Rig,
};

/// Two containers see each other's writes, by `-v` and by `--mount`; the last
/// one out unmounts.
#[test]
fn containers_share_a_volume() {
    let rig = Rig::new("containers");
    let mount = "type=volume,source=db,target=/srv,volume-driver=berth,volume-opt=mode=0700";
    rig.sleeper("one", &["--mount", mount]);
    rig.sleeper("two", &["-v", "db:/data"]);
    assert_eq!(rig.berth.control().volume("db")["given"]["mode"], "0700");

    rig.engine.ok(&["exec", "one", "sh", "-c", "echo from one >/srv/x"]);
    assert_eq!(rig.engine.ok(&["exec", "two", "cat", "/data/x"]), "from one");
    rig.engine.ok(&["exec", "two", "sh", "-c", "echo from two >/data/x"]);
    assert_eq!(rig.engine.ok(&["exec", "one", "cat", "/srv/x"]), "from two");

    rig.references("db", 2);
    assert_eq!(rig.mounts_of("db").len(), 1);
    rig.engine.ok(&["rm", "-f", "one"]);
    rig.references("db", 1);
    assert_eq!(rig.engine.ok(&["exec", "two", "cat", "/data/x"]), "from two");
    rig.engine.ok(&["rm", "-f", "two"]);
    rig.references("db", 0);
    rig.unmounted("db");
    assert!(!rig.mountpoint("db").exists(), "the folder exists only while mounted");
}

#[test]
fn data_outlives_its_containers() {
    let rig = Rig::new("containers");
    rig.sh(&["--volume-driver=berth", "-v", "db:/data"], "echo kept >/data/x");
    assert_eq!(rig.sh(&["-v", "db:/data"], "cat /data/x"), "kept");
    assert_eq!(fs::read_to_string(rig.berth.data("db").join("x")).expect("in the pool"), "kept\n");
}

/// Device files and setuid programs in a volume have no power.
#[test]
fn volume_is_mounted_without_devices_and_setuid() {
    let rig = Rig::new("containers");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);
    let options = rig.engine.ok(&["exec", "box", "grep", " /data ", "/proc/mounts"]);
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
}

#[test]
fn read_only_mount_cannot_be_written() {
    let rig = Rig::new("containers");
    rig.sh(&["--volume-driver=berth", "-v", "db:/data"], "echo kept >/data/x");

    let output = rig.try_sh(&["-v", "db:/data:ro"], "cat /data/x; echo no >/data/x");

    assert_eq!(String::from_utf8_lossy(&output.stdout), "kept\n");
    assert!(!output.status.success());
}

#[test]
fn volumes_from_another_container() {
    let rig = Rig::new("containers");
    rig.sleeper("one", &["--volume-driver=berth", "-v", "db:/data"]);
    rig.sleeper("two", &["--volumes-from", "one"]);
    rig.engine.ok(&["exec", "one", "touch", "/data/x"]);
    assert_eq!(rig.engine.ok(&["exec", "two", "ls", "/data"]), "x");
    rig.references("db", 2);
}

/// Anonymous volumes, asked for by the user and by the image, go with their
/// container, at once and not into the trash.
#[test]
fn anonymous_volumes_go_with_their_container() {
    let rig = Rig::new("containers");
    rig.sh(&["--volume-driver=berth", "-v", "/data"], "echo x >/data/x");
    assert_eq!(rig.names(), Vec::<String>::new());

    let driver = "--volume-driver=berth";
    rig.engine.ok(&[
        "run",
        "--name=box",
        "--network=none",
        driver,
        IMAGE_WITH_VOLUME,
        "touch",
        "/data/x",
    ]);
    let names = rig.names();
    assert!(names.len() == 1 && names[0].len() == 64, "{names:?}");
    rig.engine.ok(&["rm", "-v", "box"]);

    assert_eq!(rig.names(), Vec::<String>::new());
    poll::equal("the trash", SOON, &serde_json::json!([]), || {
        rig.berth.control().ok("GET", "/v1/volumes?removed=true", None)
    });
}

/// What the image has at the path comes into a new volume, and only into a new one.
#[test]
fn new_volume_takes_over_what_the_image_has() {
    let rig = Rig::new("containers");
    assert_eq!(rig.sh(&["--volume-driver=berth", "-v", "db:/seed"], "cat /seed/hello"), "seed");
    rig.sh(&["-v", "db:/seed"], "echo mine >/seed/hello");
    assert_eq!(rig.sh(&["-v", "db:/seed"], "cat /seed/hello"), "mine");
}

#[test]
fn copy_out_of_and_into_a_running_container() {
    let rig = Rig::new("containers");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);
    let file = rig.stage.file("in", "carried\n");
    let (file, back) = (file.display().to_string(), rig.stage.join("out").display().to_string());

    for _ in 0..3 {
        rig.engine.ok(&["cp", &file, "box:/data/x"]);
        rig.engine.ok(&["cp", "box:/data/x", &back]);
    }

    assert_eq!(rig.engine.ok(&["exec", "box", "cat", "/data/x"]), "carried");
    assert_eq!(fs::read_to_string(&back).expect("copied out"), "carried\n");
    rig.references("db", 1);
    rig.engine.ok(&["exec", "box", "touch", "/data/still-mounted"]);
    rig.engine.ok(&["rm", "-f", "box"]);
    rig.references("db", 0);
    rig.unmounted("db");
}

/// Also of one that does not run: the volume is mounted for the copy.
#[test]
fn copy_out_of_a_stopped_container() {
    let rig = Rig::new("containers");
    let arguments =
        ["run", "--name=box", "--network=none", "--volume-driver=berth", "-v", "db:/data"];
    rig.engine.ok(&[&arguments[..], &[IMAGE, "sh", "-c", "echo x >/data/x"]].concat());
    let back = rig.stage.join("out").display().to_string();

    rig.engine.ok(&["cp", "box:/data/x", &back]);

    assert_eq!(fs::read_to_string(&back).expect("copied out"), "x\n");
    rig.references("db", 0);
    rig.unmounted("db");
}

#[test]
fn container_is_restarted_stopped_and_started() {
    let rig = Rig::new("containers");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);
    rig.engine.ok(&["exec", "box", "sh", "-c", "echo kept >/data/x"]);

    rig.engine.ok(&["restart", "-t", "1", "box"]);
    assert_eq!(rig.engine.ok(&["exec", "box", "cat", "/data/x"]), "kept");
    rig.references("db", 1);

    rig.engine.ok(&["stop", "-t", "1", "box"]);
    rig.references("db", 0);
    rig.unmounted("db");

    rig.engine.ok(&["start", "box"]);
    assert_eq!(rig.engine.ok(&["exec", "box", "cat", "/data/x"]), "kept");
    rig.references("db", 1);
}

/// A volume that a container uses is removed neither by Docker nor by Berth.
#[test]
fn volume_in_use_is_not_removed() {
    let rig = Rig::new("containers");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);

    let said = rig.engine.fails(&["volume", "rm", "db"]);
    assert!(said.contains("in use"), "{said}");
    let output = rig.berth.berth(&["volume", "rm", "db"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let output = rig.berth.berth(&["volume", "rm", "--now", "db"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");

    rig.engine.ok(&["exec", "box", "touch", "/data/x"]);
}

/// Removed by Docker, brought back by Berth, found by Docker.
#[test]
fn removed_volume_comes_back_with_its_data() {
    let rig = Rig::new("containers");
    rig.sh(&["--volume-driver=berth", "-v", "db:/data"], "echo kept >/data/x");
    rig.engine.ok(&["volume", "rm", "db"]);
    assert_eq!(rig.engine.ok(&["volume", "ls", "-q"]), "");

    let output = rig.berth.berth(&["volume", "undelete", "db"]);

    assert!(output.status.success(), "{output:?}");
    assert_eq!(rig.sh(&["-v", "db:/data"], "cat /data/x"), "kept");
}

/// Many containers come and go at once; nothing is left counted or mounted.
#[test]
fn many_containers_at_once() {
    let rig = Rig::new("containers");
    rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let rig = &rig;
            scope.spawn(move || {
                for round in 0..3 {
                    rig.sh(&["-v", "db:/data"], &format!("echo x >/data/{worker}-{round}"));
                }
            });
        }
    });
    let files = fs::read_dir(rig.berth.data("db")).expect("the volume's folder").count();
    assert_eq!(files, 12);
    rig.references("db", 0);
    rig.unmounted("db");
}

const COMPOSE: &str = r#"
version: "2.4"
services:
  writer:
    image: bb:1
    network_mode: none
    command: sh -c "echo from the writer >/data/x; sleep 100000"
    stop_grace_period: 1s
    volumes: ["shared:/data"]
  reader:
    image: bb:1
    network_mode: none
    command: sh -c "until cat /data/x; do usleep 10000; done; sleep 100000"
    stop_grace_period: 1s
    volumes: ["shared:/data:ro"]
volumes:
  shared:
    name: shared
    driver: berth
    driver_opts: {mode: "0711"}
    labels: {team: web}
"#;

#[test]
fn compose_file_goes_up_and_down() {
    let rig = Rig::new("containers");
    let file = rig.stage.file("compose/docker-compose.yml", COMPOSE);

    compose::ok(&rig.engine, &file, &["up", "-d"]);

    poll::holds("the reader sees the writer", SOON, || {
        compose::ok(&rig.engine, &file, &["logs", "reader"]).contains("from the writer")
    });
    rig.references("shared", 2);
    assert_eq!(rig.berth.control().volume("shared")["given"]["mode"], "0711");
    assert_eq!(rig.engine.inspect("volume", "shared", "{{.Labels.team}}"), "web");

    // Up again: all is there already.
    compose::ok(&rig.engine, &file, &["up", "-d"]);
    rig.references("shared", 2);
    compose::ok(&rig.engine, &file, &["down", "--volumes"]);
    assert_eq!(rig.names(), Vec::<String>::new());
}
