//! The daemon as a process: its sockets, its signals, its service manager.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{Scene, error_of};
use crate::support::{
    client::{Control, Plugin},
    daemon::{BERTH, Setup},
    http,
    poll::{self, SOON},
    stage::Stage,
};

#[test]
fn sockets_are_for_owner_and_group_and_gone_at_the_stop() {
    let mut scene = Scene::new("sockets");
    let setup = scene.daemon.setup.clone();
    for socket in [&setup.plugin_socket, &setup.control_socket] {
        let mode = fs::metadata(socket).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "{}", socket.display());
    }
    assert_eq!(scene.daemon.stop().code(), Some(0));
    for socket in [&setup.plugin_socket, &setup.control_socket] {
        assert!(!socket.exists(), "{}", socket.display());
    }
}

#[test]
fn stale_sockets_are_replaced() {
    let mut scene = Scene::new("stale");
    scene.daemon.plugin().create("vol", &Value::Null).expect("created");
    scene.daemon.kill();
    assert!(scene.daemon.setup.plugin_socket.exists(), "left behind");
    scene.daemon.restart();
    assert_eq!(scene.names(), ["vol"]);
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let scene = Scene::new("second");
    let stage = Stage::new("second");
    let mut same_sockets = scene.daemon.setup.clone();
    same_sockets.root = stage.join("root");
    let mut same_root = Setup::new(&stage);
    same_root.root.clone_from(&scene.daemon.setup.root);
    for (setup, said) in [
        (same_sockets, "is served by another process"),
        (same_root, "another berth daemon uses the root"),
    ] {
        let sockets = [setup.plugin_socket.clone(), setup.control_socket.clone()];
        let own = sockets.iter().all(|socket| !socket.exists());
        let output = Command::new(BERTH)
            .arg("daemon")
            .arg("--root")
            .arg(&setup.root)
            .arg("--run")
            .arg(&setup.run)
            .arg("--plugin-socket")
            .arg(&setup.plugin_socket)
            .arg("--socket")
            .arg(&setup.control_socket)
            .output()
            .expect("run");
        assert_eq!(output.status.code(), Some(4), "busy");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(said), "{text}");
        assert!(!own || sockets.iter().all(|socket| !socket.exists()), "nothing is left behind");
    }
    scene.daemon.plugin().create("vol", &Value::Null).expect("still served");
}

#[test]
fn the_control_socket_may_not_lie_among_plugins() {
    let stage = Stage::new("among");
    let socket = stage.folder("run/docker/plugins").join("control.sock");
    let output = Command::new(BERTH)
        .arg("daemon")
        .arg("--root")
        .arg(stage.join("root"))
        .arg("--run")
        .arg(stage.join("run/berth"))
        .arg("--plugin-socket")
        .arg(stage.join("run/docker/plugins/berth.sock"))
        .arg("--socket")
        .arg(&socket)
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(2), "invalid");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Docker"));
    assert!(!socket.exists());
}

/// A daemon that was given its sockets, as by systemd. Killed when dropped.
struct Activated {
    child: Child,
    stage: Stage,
}

impl Activated {
    /// Passes what `plugin` and `control` listen at, named or to be told by path.
    fn start(stage: Stage, sockets: [&UnixListener; 2], names: Option<&str>, notify: &str) -> Self {
        let setup = Setup::new(&stage);
        let descriptor = |listener: &UnixListener| {
            Stdio::from(OwnedFd::from(listener.try_clone().expect("a descriptor")))
        };
        let names = names.map(|names| format!("LISTEN_FDNAMES={names}")).unwrap_or_default();
        // Only the shell can put descriptors at 3 and 4 without unsafe code.
        let script = format!(
            "exec 3<&0 4<&1 0</dev/null 1>&2; exec env LISTEN_PID=$$ LISTEN_FDS=2 {names} \
             \"$0\" \"$@\""
        );
        let child = Command::new("sh")
            .args(["-c", &script, BERTH, "daemon", "--root"])
            .arg(&setup.root)
            .arg("--run")
            .arg(&setup.run)
            .arg("--plugin-socket")
            .arg(&setup.plugin_socket)
            .arg("--socket")
            .arg(&setup.control_socket)
            .env("NOTIFY_SOCKET", notify)
            .stdin(descriptor(sockets[0]))
            .stdout(descriptor(sockets[1]))
            .stderr(fs::File::create(stage.join("log")).expect("a log"))
            .spawn()
            .expect("run");
        Self { child, stage }
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("ours");
        let child = &mut self.child;
        let status = poll::until("the end", SOON, || child.try_wait().expect("our child"));
        status.code()
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read(self.stage.join("log")).unwrap_or_default();
            let _ = io::stderr().write_all(&log);
        }
    }
}

#[test]
fn passed_sockets_are_served_and_left_alone() {
    for names in [Some("plugin:control"), None] {
        let stage = Stage::new("passed");
        let setup = Setup::new(&stage);
        fs::create_dir_all(setup.control_socket.parent().expect("a folder")).expect("made");
        let plugin = UnixListener::bind(&setup.plugin_socket).expect("bound");
        let control = UnixListener::bind(&setup.control_socket).expect("bound");
        let inode = |path| fs::metadata(path).expect("there").ino();
        let inodes = [inode(&setup.plugin_socket), inode(&setup.control_socket)];
        let notify = stage.join("notify");
        let manager = UnixDatagram::bind(&notify).expect("bound");
        manager.set_read_timeout(Some(SOON)).expect("set");
        // Waits in the backlog: nobody is there yet.
        let asked = http::Connection::open(&setup.plugin_socket);
        let mut early = asked.expect("connected to the backlog");
        early
            .send(b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            .expect("sent");

        let path = notify.to_str().expect("plain").to_owned();
        let mut daemon = Activated::start(stage, [&plugin, &control], names, &path);

        assert_eq!(error_of(&early.receive().expect("a reply").expect("no end")), "");
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).expect("the service manager is told");
        assert!(message[..length].starts_with(b"READY=1"));
        let info = Control { socket: setup.control_socket.clone() }.info();
        assert_eq!(info["state"], "ready");
        Plugin { socket: setup.plugin_socket.clone() }
            .create("vol", &Value::Null)
            .expect("created");

        assert_eq!(daemon.stop(), Some(0));
        let now = [inode(&setup.plugin_socket), inode(&setup.control_socket)];
        assert_eq!(now, inodes, "theirs, and not unlinked");
    }
}

/// Connection errors keep Docker's own records; a passed socket cannot be
/// unlinked, so that whoever connects is turned away. After a rebuild all is served.
#[test]
fn an_untrusted_catalog_is_not_served_until_it_is_rebuilt() {
    let stage = Stage::new("untrusted");
    let setup = Setup::new(&stage);
    {
        let mut daemon = setup.clone().start();
        daemon.plugin().create("vol", &Value::Null).expect("created");
        daemon.stop();
    }
    fs::write(setup.root.join("berth.db"), "no database at all").expect("damaged");
    let _ = fs::remove_file(setup.root.join("berth.db-wal"));
    let plugin = UnixListener::bind(&setup.plugin_socket).expect("bound");
    let control_listener = UnixListener::bind(&setup.control_socket).expect("bound");
    let sockets = [&plugin, &control_listener];
    let mut daemon = Activated::start(stage, sockets, Some("plugin:control"), "");

    let control = Control { socket: setup.control_socket.clone() };
    poll::holds("the reason is told", SOON, || control.info()["state"] == "untrusted");
    let turned_away = || {
        let mut stream = UnixStream::connect(&setup.plugin_socket).expect("the manager listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        matches!(stream.read(&mut [0]), Ok(0))
    };
    poll::holds("callers are turned away", SOON, turned_away);
    assert!(!control.ok("GET", "/v1/doctor", None)["healthy"].as_bool().expect("a flag"));
    let (status, refused) = control.request("GET", "/v1/volumes", None);
    assert_eq!((status, &refused["error"]["kind"]), (503, &"unavailable".into()));
    assert!(refused["error"]["hint"].as_str().is_some_and(|hint| hint.contains("doctor")));
    let (status, _) = control.request("POST", "/v1/pools/default/rebuild", None);
    assert_eq!(status, 503, "all pools or none");

    let job = control.ok("POST", "/v1/pools/rebuild", None);
    let id = job["id"].as_str().expect("an id").to_owned();
    let ended = control.ok("GET", &format!("/v1/jobs/{id}/wait?seconds=20"), None);
    assert_eq!(ended["state"], "done", "{ended}");

    let volumes = Plugin { socket: setup.plugin_socket.clone() }.list();
    assert_eq!(volumes.len(), 1);
    assert_eq!(control.info()["state"], "ready");
    assert_eq!(control.ok("GET", &format!("/v1/jobs/{id}"), None)["state"], "done");
    assert_eq!(daemon.stop(), Some(0));
}

/// A rebuild that did not come to its end leaves a catalog without all records:
/// it is not trusted after a restart either.
#[test]
fn half_a_rebuild_is_not_trusted() {
    let stage = Stage::new("half");
    let mut daemon = Setup::new(&stage).start();
    daemon.plugin().create("vol", &Value::Null).expect("created");
    daemon.stop();
    fs::write(daemon.setup.root.join("rebuilding"), "").expect("marked");
    daemon.restart();
    assert_eq!(daemon.control().info()["state"], "untrusted");
    assert!(!daemon.setup.plugin_socket.exists(), "not served");
    let output = daemon.berth(&["pool", "rebuild"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(daemon.plugin().list().len(), 1);
}
