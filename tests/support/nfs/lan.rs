//! The network between a server and its clients.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

use super::super::host::Door;

static NEXT: AtomicU8 = AtomicU8::new(0);

/// Who somebody is on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// On IPv4.
    pub v4: Ipv4Addr,
    /// On IPv6.
    pub v6: Ipv6Addr,
}

/// A bridge in the server's namespace, and a link to each client.
#[derive(Debug)]
pub struct Lan {
    number: u8,
    clients: u8,
}

impl Lan {
    /// A network that no other test has; nothing of it is there yet.
    pub fn new() -> Self {
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), clients: 0 }
    }

    /// Its number in this process.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The server's address.
    pub fn server(&self) -> Address {
        self.address(1)
    }

    /// The address of the client that was given this number.
    pub fn client(&self, number: u8) -> Address {
        self.address(number + 2)
    }

    /// The name of a client's end.
    pub fn link(&self) -> String {
        format!("nfs{}x{}", process::id(), self.number)
    }

    /// A link to `client`, or to this process; its number. The first one makes the
    /// network.
    #[track_caller]
    pub fn join(&mut self, server: &Door, client: Option<&Door>) -> u8 {
        let number = self.clients;
        self.clients += 1;
        let mut lines = String::new();
        if number == 0 {
            let Address { v4, v6 } = self.server();
            // With an address of its own: else it takes the lowest of its ports', and with
            // each client that comes or goes the others' caches of addresses are wrong.
            lines = format!(
                "link add lan address 02:00:00:00:00:01 type bridge\n\
                 addr add {v4}/24 dev lan\n\
                 addr add {v6}/64 dev lan nodad\n\
                 link set lan up\n"
            );
        }
        // Only the namespace of networks is entered: process ids mean what they do here.
        let name = self.link();
        let there = client.map_or_else(process::id, |door| door.init().unsigned_abs());
        write!(
            lines,
            "link add link{number} master lan type veth peer name {name} netns {there}\n\
             link set link{number} up\n"
        )
        .expect("a string takes all");
        feed(inside(server).args(["ip", "-batch", "-"]), &lines);

        let Address { v4, v6 } = self.client(number);
        let lines = format!(
            "addr add {v4}/24 dev {name}\n\
             addr add {v6}/64 dev {name} nodad\n\
             link set {name} up\n"
        );
        let mut command = match client {
            Some(door) => inside(door),
            None => Command::new("env"),
        };
        feed(command.args(["ip", "-batch", "-"]), &lines);
        number
    }

    /// Takes the end of this process away, and with it the server's.
    pub fn leave(&self) {
        let _ = Command::new("ip").args(["link", "del", "dev", &self.link()]).output();
    }

    /// Processes that run side by side have networks apart.
    fn address(&self, host: u8) -> Address {
        let process = u16::try_from(process::id() % 0xffff).expect("small enough");
        let second = u8::try_from(process % 100 + 100).expect("below 200");
        Address {
            v4: Ipv4Addr::new(10, second, self.number, host),
            v6: Ipv6Addr::new(0xfd00, process, self.number.into(), 0, 0, 0, 0, host.into()),
        }
    }
}

/// These rules of nft, for what comes in and what goes out, and no others. Fails with
/// what nft says.
pub fn filter(server: &Door, rules: &[&str]) -> Result<(), String> {
    let mut text = "table inet lan\ndelete table inet lan\n".to_owned();
    if !rules.is_empty() {
        text.push_str("table inet lan {\n");
        for hook in ["input", "output"] {
            // A rule for the other direction matches nothing.
            let fits = |rule: &&&str| match hook {
                "input" => !rule.starts_with("oif"),
                _ => !rule.starts_with("iif"),
            };
            let rules: Vec<_> = rules.iter().filter(fits).copied().collect();
            let rules = rules.join("\n");
            writeln!(text, "chain {hook} {{ type filter hook {hook} priority 0;\n{rules}\n}}")
                .expect("a string takes all");
        }
        text.push_str("}\n");
    }
    try_feed(inside(server).args(["nft", "-f", "-"]), &text)
}

/// What the server sends waits this many milliseconds; with 0 nothing waits any more, and
/// what did is lost.
#[track_caller]
pub fn delay(server: &Door, milliseconds: u32) {
    if milliseconds == 0 {
        return feed(inside(server).args(["tc", "qdisc", "del", "dev", "lan", "root"]), "");
    }
    // Without a limit of its own netem drops what is past 1,000 packets.
    let delay = format!("{milliseconds}ms");
    feed(
        inside(server)
            .args(["tc", "qdisc", "replace", "dev", "lan", "root", "netem"])
            .args(["limit", "100000", "delay", &delay]),
        "",
    );
}

/// A command in the network of a host, and otherwise here.
fn inside(host: &Door) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", host.init()));
    command
}

/// Runs it with `text` to read.
#[track_caller]
fn feed(command: &mut Command, text: &str) {
    try_feed(command, text).unwrap_or_else(|said| panic!("{said}"));
}

fn try_feed(command: &mut Command, text: &str) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut input = child.stdin.take().expect("stdin is piped");
    // One that reads nothing and ends says why.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{text}", String::from_utf8_lossy(&output.stderr)))
}
