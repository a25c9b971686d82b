//! Engine lane: the whole host goes down and boots again.

mod support;

use std::fs;

use support::{
    daemon::{Daemon, Setup},
    docker::Engine,
    host::Host,
    mounts, poll,
    poll::SOON,
    rig::{Rig, writes_on},
    stage::Stage,
};

const WITH_DB: [&str; 3] = ["--volume-driver=berth", "-v", "db:/data"];

/// Power off (nothing is told to end) and boot: the same disk, an empty `/run`,
/// no mounts, another boot id. The caller decides who starts first.
fn reboot(rig: Rig) -> (Stage, Host, Setup) {
    let Rig { engine, berth, host, stage, .. } = rig;
    let boot = format!("{}-again", std::process::id());
    drop(host);
    drop((engine, berth));
    let host = Host::boot(&stage);
    let setup = Setup::on(&stage, &host).env("BERTH_TEST_BOOT_ID", boot);
    (stage, host, setup)
}

fn first_boot(name: &str) -> Rig {
    Rig::with(name, false, |setup| setup.env("BERTH_TEST_BOOT_ID", "first"))
}

fn references(berth: &Daemon, volume: &str) -> u64 {
    berth.control().references(volume)
}

/// The data is there; references of before are void at once; a container that
/// starts by itself has its volume again.
#[test]
fn reboot_keeps_data_and_voids_references() {
    let rig = first_boot("reboot");
    rig.writer("box", &[&WITH_DB[..], &["--restart=always"]].concat());
    rig.sleeper("idle", &["--volume-driver=berth", "-v", "other:/data"]);
    rig.engine.ok(&["exec", "idle", "sh", "-c", "echo kept >/data/x; sync"]);
    rig.engine.ok(&["volume", "create", "-d", "berth", "--label", "team=web", "labelled"]);
    let data = rig.berth.data("db");
    writes_on(&data);
    let before = fs::metadata(data.join("log")).expect("written").len();

    let (stage, host, setup) = reboot(rig);
    let berth = setup.start();
    assert_eq!((references(&berth, "db"), references(&berth, "other")), (0, 0));
    assert_eq!(mounts::below(host.mounts(), &stage.join("root/mounts")), []);
    let engine = Engine::start(&stage, &host);

    poll::holds("the container starts by itself", SOON, || engine.is_running("box"));
    poll::holds("it writes on", SOON, || {
        fs::metadata(data.join("log")).expect("kept").len() > before
    });
    assert_eq!(references(&berth, "db"), 1);
    assert_eq!(engine.inspect("volume", "labelled", "{{.Labels.team}}"), "web");
    engine.ok(&["start", "idle"]);
    assert_eq!(engine.ok(&["exec", "idle", "cat", "/data/x"]), "kept");

    engine.ok(&["rm", "-f", "idle"]);
    engine.ok(&["volume", "rm", "other"]);
    engine.ok(&["rm", "-f", "box"]);
    poll::equal("references", SOON, &0, || references(&berth, "db"));
    poll::equal("mounts", SOON, &Vec::new(), || {
        mounts::below(host.mounts(), &stage.join("root/mounts"))
    });
}

/// dockerd boots before Berth listens: it waits for the plugin, and no label and
/// no volume is lost.
#[test]
fn dockerd_boots_first() {
    let rig = first_boot("reboot");
    rig.engine.ok(&["volume", "create", "-d", "berth", "--label", "team=web", "db"]);
    rig.writer("box", &["-v", "db:/data", "--restart=always"]);
    let data = rig.berth.data("db");
    writes_on(&data);
    let before = fs::metadata(data.join("log")).expect("written").len();

    let (stage, host, setup) = reboot(rig);
    let mut engine = Engine::spawn(&stage, &host, false);
    poll::holds("dockerd looks for the plugin", SOON, || {
        engine.log().contains("Unable to locate plugin: berth")
    });
    let berth = setup.start();
    engine.wait_ready();

    assert_eq!(engine.inspect("volume", "db", "{{.Labels.team}}"), "web");
    poll::holds("the container starts by itself", SOON, || engine.is_running("box"));
    poll::holds("it writes on", SOON, || {
        fs::metadata(data.join("log")).expect("kept").len() > before
    });
    assert_eq!(references(&berth, "db"), 1);
}
