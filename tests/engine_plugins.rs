//! Engine lane: plugins that appear late, that are dead, and how the host's
//! mount namespaces look.

mod support;

use std::{
    fs,
    os::unix::net::UnixListener,
    process::Stdio,
    time::{Duration, Instant},
};

use support::{
    daemon::Setup,
    docker::{Engine, IMAGE},
    host::Host,
    mounts, poll,
    poll::SOON,
    process::first_child,
    rig::Rig,
    stage::Stage,
};

/// Docker asks for a while before it gives a plugin up.
#[test]
fn plugin_that_appears_late_works() {
    let stage = Stage::new("plugins");
    let host = Host::boot(&stage);
    let engine = Engine::start(&stage, &host);
    let mut create = engine
        .command(&["volume", "create", "-d", "berth", "db"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker command line");
    // 1 s, then 2 s: the second wait begins after a second without a plugin.
    poll::holds("Docker waits for the plugin a second time", SOON, || {
        engine.log().matches("Unable to locate plugin: berth").count() >= 2
    });
    assert!(create.try_wait().expect("our child").is_none());

    let berth = Setup::on(&stage, &host).start();

    let output = create.wait_with_output().expect("our child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(berth.control().volumes().len(), 1);
}

/// A socket where nobody listens keeps its own callers waiting, nobody else.
#[test]
fn dead_plugin_does_not_block_berth() {
    let rig = Rig::new("plugins");
    rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);
    drop(UnixListener::bind(rig.host.plugin_socket("dead")).expect("a free name"));
    let mut dead = rig
        .engine
        .command(&["volume", "create", "-d", "dead", "other"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the docker command line");
    poll::holds("Docker tries the dead plugin", SOON, || rig.engine.log().contains("dead.sock"));

    let started = Instant::now();
    rig.sh(&["-v", "db:/data"], "echo hi >/data/x");

    let took = started.elapsed();
    assert!(dead.try_wait().expect("our child").is_none(), "Docker gave up too early to tell");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let _ = dead.kill();
    let _ = dead.wait();
}

/// Berth stopped unlinks its socket: a plugin that is gone costs nothing, a dead
/// socket 15 s for every `docker volume ls`.
#[test]
fn stopped_daemon_leaves_no_socket() {
    let mut rig = Rig::new("plugins");
    rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);

    let status = rig.berth.stop();

    assert!(status.success(), "{status}");
    let left: Vec<_> = fs::read_dir(rig.host.run().join("docker/plugins"))
        .expect("Docker's folder")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    rig.berth.restart();
    assert_eq!(rig.engine.ok(&["volume", "ls", "-q"]), "db");
}

/// A killed daemon leaves its socket behind; the next one takes it over.
#[test]
fn killed_daemon_is_replaced_at_its_socket() {
    let mut rig = Rig::new("plugins");
    rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);
    rig.berth.kill();
    assert!(rig.host.plugin_socket("berth").exists());

    rig.berth.restart();

    assert_eq!(rig.engine.ok(&["volume", "ls", "-q"]), "db");
    rig.sh(&["-v", "db:/data"], "touch /data/x");
}

/// Docker's folder holds the plugin socket only: the Engine calls every socket there.
#[test]
fn plugin_folder_has_one_socket() {
    let rig = Rig::new("plugins");
    let names: Vec<_> = fs::read_dir(rig.host.run().join("docker/plugins"))
        .expect("Docker's folder")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert_eq!(names, ["berth.sock"]);
}

/// A systemd unit with `PrivateTmp` that was started before the mount has a
/// propagated copy of it. The copy is no holder, and goes with the unmount.
#[test]
fn slave_namespace_does_not_keep_the_mount() {
    let rig = Rig::new("plugins");
    let mut unit = rig
        .host
        .door()
        .command("unshare")
        .args(["--mount", "--propagation", "slave", "sleep", "infinity"])
        .spawn()
        .expect("nsenter");
    let outer = i32::try_from(unit.id()).expect("a pid");
    let pid = poll::until("the unit's process", SOON, || first_child(outer));
    let copies = || mounts::below(mounts::of(pid), &rig.mountpoint("db"));

    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);
    poll::holds("the unit has a copy", SOON, || copies().len() == 1);
    rig.engine.ok(&["rm", "-f", "box"]);

    rig.references("db", 0);
    rig.unmounted("db");
    poll::equal("copies in the unit", SOON, &Vec::new(), copies);
    rig.engine.ok(&["volume", "rm", "db"]);
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    let _ = unit.wait();
}

/// A namespace that was made *after* the mount and keeps it for itself holds the
/// volume, as long as it lives.
#[test]
fn private_namespace_holds_the_volume() {
    let rig = Rig::new("plugins");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "db:/data"]);
    let mut holder = rig
        .host
        .door()
        .command("unshare")
        .args(["--mount", "--propagation", "private", "sleep", "infinity"])
        .spawn()
        .expect("nsenter");
    let outer = i32::try_from(holder.id()).expect("a pid");
    let pid = poll::until("the holder", SOON, || {
        let pid = first_child(outer)?;
        let own = fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (command.trim() == "sleep" && own.as_os_str() != "").then_some(pid)
    });

    rig.engine.ok(&["rm", "-f", "box"]);

    rig.references("db", 0);
    poll::holds("held is seen", SOON, || rig.berth.control().volume("db")["held"] == true);
    assert_eq!(rig.mounts_of("db").len(), 1, "nothing held is detached");
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    let _ = holder.wait();
    rig.unmounted("db");
    rig.engine.ok(&["volume", "rm", "db"]);
}

/// Hosts without systemd share no mounts between namespaces: an unmount does not
/// reach copies, and none is made by a mount.
#[test]
fn host_without_shared_mounts_works() {
    let stage = Stage::new("plugins");
    let host = Host::boot(&stage);
    host.sh("mount --make-rprivate /");
    let berth = Setup::on(&stage, &host).start();
    let engine = Engine::start(&stage, &host);
    let mounted = || mounts::below(host.mounts(), &stage.join("root/mounts"));
    let volume = ["run", "-d", "--init", "--name=box", "--network=none", "-v", "db:/data"];

    engine.ok(&["volume", "create", "-d", "berth", "db"]);
    engine.ok(&[&volume[..], &[IMAGE, "sleep", "100000"]].concat());
    engine.ok(&["cp", "box:/etc/hosts", stage.join("hosts").to_str().expect("ASCII")]);
    engine.ok(&["exec", "box", "touch", "/data/x"]);
    assert_eq!((berth.control().references("db"), mounted().len()), (1, 1));
    engine.ok(&["rm", "-f", "box"]);

    poll::equal("references", SOON, &0, || berth.control().references("db"));
    poll::equal("mounts", SOON, &Vec::new(), mounted);
    engine.ok(&["volume", "rm", "db"]);
}

/// The last of several IDs decides, in whatever order they end.
#[test]
fn last_container_of_many_unmounts() {
    let rig = Rig::new("plugins");
    let names = ["c1", "c2", "c3", "c4"];
    for name in names {
        rig.sleeper(name, &["--volume-driver=berth", "-v", "db:/data"]);
    }
    for (number, name) in ["c3", "c1", "c4"].into_iter().enumerate() {
        rig.engine.ok(&["rm", "-f", name]);
        rig.references("db", 3 - number as u64);
        assert_eq!(rig.mounts_of("db").len(), 1);
    }
    rig.engine.ok(&["rm", "-f", "c2"]);
    rig.unmounted("db");
    rig.engine.ok(&["run", "--rm", "--network=none", "-v", "db:/data", IMAGE, "true"]);
}
