//! Two machines on one NFS export: each a guest with a kernel of its own, of which one
//! serves the export as well. (The other tests of several hosts have them on one kernel.)

mod support;

use std::{
    env,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    daemon::{Daemon, Setup},
    nfs,
    poll::{self, SOON},
    stage::Stage,
    vm,
};

/// Where guest 1 is told what to do.
const PORT: u16 = 7000;

/// What a boot may take on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

#[test]
fn two_machines_share_a_pool_and_what_one_without_power_had_is_freed_by_hand() {
    match env::var("VM_GUEST").as_deref() {
        Err(_) => {
            let own = env::current_exe().expect("this test");
            let name = thread::current().name().expect("the test's").to_owned();
            let script = format!("exec {} --exact {name} --nocapture", own.display());
            let output =
                vm::run(&["--guests", "2", "--memory", "1536M", "--timeout", "420"], &script);
            vm::ended(&output, 0);
            assert!(vm::out(&output).contains("1 passed"), "{}", vm::out(&output));
        }
        Ok("0") => first(),
        Ok(_) => second(),
    }
}

/// An address of the network of both guests.
fn address(guest: u8, port: u16) -> SocketAddr {
    let address = env::var(format!("VM_ADDRESS_{guest}")).expect("there is a network");
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// The other guest, as guest 0 has it.
struct Other(BufReader<TcpStream>);

impl Other {
    fn tell(&mut self, words: &[&str]) {
        let line = format!("{}\n", json!(words));
        self.0.get_mut().write_all(line.as_bytes()).expect("it listens");
    }

    /// Status and output of what it was told.
    fn ask(&mut self, words: &[&str]) -> (i64, String) {
        self.tell(words);
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        let output = answer["output"].as_str().expect("text").to_owned();
        (answer["status"].as_i64().expect("a number"), output)
    }

    #[track_caller]
    fn ok(&mut self, words: &[&str]) -> String {
        let (status, output) = self.ask(words);
        assert_eq!(status, 0, "{words:?}: {output}");
        output
    }
}

/// Does what it is told until there is nobody any more.
fn second() {
    let stage = Stage::new("guests-1");
    let to = address(0, PORT);
    let stream = poll::until("guest 0", BOOT, || {
        TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()
    });
    let mut answers = stream.try_clone().expect("a descriptor");
    let mut daemon = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<String> = serde_json::from_str(&line).expect("words");
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = match words[..] {
            ["daemon", config] => {
                daemon = Some(Setup::new(&stage).config(&stage, config).start());
                Command::new("true").output()
            }
            ["berth", ..] => {
                let daemon: &Daemon = daemon.as_ref().expect("it runs");
                daemon.command(&words[1..]).output()
            }
            _ => Command::new(words[0]).args(&words[1..]).output(),
        };
        let output = output.expect("a program");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let answer = json!({"status": output.status.code(), "output": text.trim_end()});
        writeln!(answers, "{answer}").expect("guest 0 listens");
    }
}

fn first() {
    let stage = Stage::new("guests-0");
    let listener = TcpListener::bind(("0.0.0.0", PORT)).expect("a free port");
    let server = nfs::Setup::new().start(&stage);
    // This guest is the router between its little host that serves and the other guest.
    let (own, there) = (server.client().v4.to_string(), server.address().v4.to_string());
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root");
    let mut back = server.door().command("ip");
    back.args(["route", "add", "10.99.0.0/24", "via", &own]);
    assert!(back.status().expect("iproute2").success());
    let (stream, _) = listener.accept().expect("guest 1");
    let mut other = Other(BufReader::new(stream));
    let gateway = address(0, 0).ip().to_string();
    other.ok(&["ip", "route", "add", &there, "via", &gateway]);

    let config = format!(
        "[pools.default]\nbackend = \"nfs\"\nserver = \"{there}\"\nexport = \"{}\"\n",
        server.export()
    );
    let one = Setup::new(&stage).config(&stage, &config).start();
    one.ok(&["volume", "create", "db"]);
    other.ok(&["daemon", &config]);
    poll::equal("its pool", BOOT, &json!("ready"), || {
        let (_, text) = other.ask(&["berth", "pool", "inspect", "default", "--json"]);
        let pools = serde_json::from_str(&text).unwrap_or_else(|_| json!([{ "state": text }]));
        pools[0]["state"].clone()
    });

    // A volume, a snapshot, a removal: each seen by whoever asks.
    let seen: Value =
        serde_json::from_str(&other.ok(&["berth", "volume", "inspect", "db", "--json"]))
            .expect("JSON");
    assert_eq!(seen[0]["id"], one.control().volume("db")["id"]);
    other.ok(&["berth", "snapshot", "create", "db", "before"]);
    poll::holds("the snapshot is seen", SOON, || {
        let seen = one.control().ok("GET", "/v1/volumes/db/snapshots", None);
        seen[0]["name"] == "db@before"
    });
    other.ok(&["berth", "volume", "create", "gone"]);
    one.ok(&["volume", "rm", "gone"]);
    assert_eq!(other.ask(&["berth", "volume", "inspect", "gone"]).0, 3, "not found");

    // What it wrote there is read here, and is in its use.
    let at = other.ok(&["berth", "volume", "mount", "db", "--id", "w"]);
    other.ok(&["sh", "-c", &format!("echo kept >{at}/file && sync {at}/file")]);
    let info: Value = serde_json::from_str(&other.ok(&["berth", "info", "--json"])).expect("JSON");
    let dead = info["host-id"].as_str().expect("an id").to_owned();
    other.tell(&["vm-cut"]);
    let silent = address(1, 1);
    poll::holds("it has no power", SOON, || {
        // While it lives it refuses what nobody listens to.
        let refused = TcpStream::connect_timeout(&silent, Duration::from_secs(1));
        refused.is_err_and(|error| error.kind() != ErrorKind::ConnectionRefused)
    });

    let removed = one.berth(&["volume", "rm", "db"]);
    let said = String::from_utf8_lossy(&removed.stderr).into_owned();
    assert_eq!(removed.status.code(), Some(4), "{said}");
    assert!(said.contains(&dead) && said.contains("--forget-host"), "{said}");
    let at = one.ok(&["volume", "mount", "db", "--id", "r"]);
    assert_eq!(std::fs::read(format!("{at}/file")).expect("there"), b"kept\n");
    one.ok(&["volume", "unmount", "db", "--id", "r"]);
    one.ok(&["volume", "repair", "db", "--forget-host", &dead]);
    poll::holds("removed", SOON, || one.berth(&["volume", "rm", "db"]).status.success());
    one.ok(&["volume", "create", "db"]);
}
