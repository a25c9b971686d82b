//! Where convoy lost data or stalled: regression tests for its defects of
//! snapshots and restores, by the number each has in our notes on the field.

mod support;

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;
use support::{
    daemon::{Daemon, Setup},
    namespace,
    poll::{self, SOON},
    stage::Stage,
};

const EIO: i32 = 5;

/// A failed restore left a folder that the next create adopted as healthy.
#[test]
fn convoy_07_a_failed_clone_is_not_adopted() {
    let (stage, mut daemon) = start(&[]);
    written(&daemon, "v", "content");
    daemon.setup = daemon.setup.clone().env("BERTH_FAILPOINTS", format!("copy.file=error:{EIO}@2"));
    daemon.restart();
    fs::write(daemon.data("v").join("second"), "more").expect("ours");
    let plugin = daemon.plugin();
    plugin.create("copy", &json!({"from": "v"})).expect_err("its second file cannot be copied");
    plugin.get("copy").expect_err("an answered error leaves no volume");
    plugin.create("copy", &json!({})).expect("the name is free");
    let mountpoint = plugin.mount("copy", "x").expect("a sound volume");
    assert_eq!(fs::read_dir(&mountpoint).expect("mounted").count(), 0, "empty, as asked");
    plugin.unmount("copy", "x").expect("it was mounted");
    // Nothing of the first attempt is left.
    let volumes = stage.join("root/pools/default/volumes");
    poll::equal("volumes in the pool", SOON, &2, || {
        fs::read_dir(&volumes).map_or(0, Iterator::count)
    });
}

/// One lock per driver was held over tar and gzip: Docker's Get waited 48 s.
#[test]
fn convoy_08_a_copy_holds_nobody_up() {
    let namespace_stage = Stage::new("convoy-gate");
    let gate = namespace_stage.join("gate");
    let rule = format!("copy.file=pause:{}@1", gate.display());
    let (_stage, daemon) = start(&[("BERTH_FAILPOINTS", &rule)]);
    written(&daemon, "v", "content");
    let job = daemon.ok(&["snapshot", "create", "v", "slow", "--detach"]);
    let reached = gate.with_extension("reached");
    poll::holds("the copy is under way", SOON, || reached.exists());
    let plugin = daemon.plugin();
    plugin.get("v").expect("answered from memory");
    assert_eq!(plugin.list().len(), 1);
    plugin.create("other", &json!({})).expect("another volume");
    plugin.mount("other", "x").expect("another volume");
    plugin.unmount("other", "x").expect("another volume");
    // The volume itself can be used, too.
    let mountpoint = plugin.mount("v", "x").expect("a container starts meanwhile");
    fs::write(mountpoint.join("new"), "written meanwhile").expect("mounted");
    plugin.unmount("v", "x").expect("and stops");
    let shown = daemon.ok(&["snapshot", "ls", "v", "--json"]);
    assert_eq!(shown, "[]", "a half snapshot is not listed");
    File::create(&gate).expect("ours");
    daemon.ok(&["job", "wait", &job]);
    assert!(daemon.ok(&["snapshot", "ls", "v"]).contains("v@slow"));
}

/// Snapshot files stayed after the volume was gone; a crash left a temporary file
/// that blocked the name for ever.
#[test]
fn convoy_10_nothing_is_left_behind() {
    let (stage, mut daemon) = start(&[]);
    let pool = stage.join("root/pools/default");
    written(&daemon, "v", "content");
    daemon.ok(&["snapshot", "create", "v", "one"]);
    daemon.ok(&["snapshot", "create", "v", "two"]);
    daemon.setup = daemon.setup.clone().env("BERTH_FAILPOINTS", "copy.file=kill@1");
    daemon.restart();
    let killed = daemon.berth(&["snapshot", "create", "v", "three"]);
    assert!(!killed.status.success(), "the daemon was killed in the middle");
    daemon.setup = daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    daemon.restart();
    daemon.ok(&["snapshot", "create", "v", "three"]);
    let listed = daemon.ok(&["snapshot", "ls", "v"]);
    assert_eq!(listed.lines().count(), 4, "a heading and three snapshots: {listed}");
    let folder = daemon.data("v").with_file_name("snapshots");
    let count = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
    poll::equal("folders of snapshots", SOON, &3, || count(&folder));
    daemon.ok(&["volume", "rm", "--now", "v"]);
    poll::equal("what is left in the pool", SOON, &[0, 0, 0], || {
        ["volumes", ".berth/trash", ".berth/purge"].map(|folder| count(&pool.join(folder)))
    });
}

/// tar lost extended attributes, ACLs and holes.
#[test]
fn convoy_15_attributes_and_holes_are_kept() {
    let (_stage, daemon) = start(&[]);
    let data = written(&daemon, "v", "content");
    let file = data.join("file");
    run(Command::new("setfattr").args(["-n", "user.colour", "-v", "blue"]).arg(&file));
    run(Command::new("setfacl").args(["-m", "u:1234:r"]).arg(&file));
    let mut sparse = File::create(data.join("sparse")).expect("ours");
    sparse.seek(SeekFrom::Start(64 << 20)).expect("a hole");
    sparse.write_all(b"end").expect("ours");
    sparse.sync_all().expect("ours");
    daemon.ok(&["snapshot", "create", "v", "one"]);
    daemon.ok(&["snapshot", "restore", "v@one", "copy"]);
    let copy = daemon.data("copy");
    let said = |command: &str, arguments: &[&str], path: &Path| {
        let output = run(Command::new(command).args(arguments).arg(path));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let colour = said("getfattr", &["--absolute-names", "-n", "user.colour"], &copy.join("file"));
    assert!(colour.contains("blue"), "{colour}");
    let acl = said("getfacl", &["--absolute-names", "--numeric"], &copy.join("file"));
    assert!(acl.contains("user:1234:r--"), "{acl}");
    let copied = fs::metadata(copy.join("sparse")).expect("copied");
    assert_eq!(copied.len(), (64 << 20) + 3);
    assert!(copied.blocks() * 512 < 1 << 20, "{} blocks: the hole was filled", copied.blocks());
}

/// A volume with one file, which is not in use; where its content lies.
#[track_caller]
fn written(daemon: &Daemon, name: &str, text: &str) -> PathBuf {
    daemon.plugin().create(name, &json!({})).expect("a fresh daemon");
    let data = daemon.data(name);
    fs::write(data.join("file"), text).expect("ours");
    data
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the command is there (attr, acl)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

fn start(environment: &[(&str, &str)]) -> (Stage, Daemon) {
    namespace::apart();
    let stage = Stage::new("convoy-snapshots");
    let mut setup = Setup::new(&stage);
    for (name, value) in environment {
        setup = setup.env(name, *value);
    }
    (stage, setup.start())
}
