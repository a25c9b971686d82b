//! Mutated transcripts against the parsers and against a live daemon's sockets.
//!
//! | variable | meaning |
//! |---|---|
//! | `BERTH_FUZZ_SECONDS` | how long each test runs (default 5) |
//! | `BERTH_FUZZ_SEED` | repeats a run; the seed of each is printed |
//!
//! On the stable toolchain: no coverage guides it, the corpus does. What must
//! hold: nobody panics, what is read is valid, every connection ends with an
//! HTTP answer or is closed, and the daemon lives and knows its volumes.

mod support;

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Component, Path},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use berth::http::{
    control::route,
    docker::call::{self, Call, Verb},
};
use berth_api::{
    Bytes, Options, PoolIdentity, Sidecar, VolumeId, VolumeName,
    options::{self, Mode},
};
use serde_json::json;
use support::{
    daemon::{Daemon, Setup},
    stage::Stage,
};

/// Bodies and heads as they are sent, and files as they are written.
const BODIES: [&str; 16] = [
    r#"{"Name":"vol","Opts":{"mode":"0750","uid":"7","on-remove":"retain"}}"#,
    r#"{"Name":"vol","Opts":null}"#,
    r#"{"Name":"canary","ID":"b87d7442095999a92b65b3d9691e697b61713829cc0ffd1bb72e4ccd51aa4d6c"}"#,
    "{\"Name\":\"vol\"}\n",
    "{}\n",
    "",
    r#"{"Name":"../../evil","Opts":{"pool":"default","access":"single","size":"10G"}}"#,
    r#"{"name":"vol","options":{"mode":"1777","gid":"0"}}"#,
    r#"{"options":{"uid":"4294967294"}}"#,
    r#"{"id":"cli"}"#,
    r#"{"take-over":true}"#,
    r#"{"Name":"\u0000\ud83d\ude00é","Opts":{"a=b":"c=d,e","":"\\\"/"}}"#,
    r#"{"pool":"0123456789abcdef0123456789abcdef","host":"00000000000000000000000000000000","checksum":""}"#,
    "512MiB",
    "16E",
    "0o1777",
];

const LINES: [&str; 22] = [
    "POST /Plugin.Activate HTTP/1.1",
    "POST /VolumeDriver.Create HTTP/1.1",
    "POST /VolumeDriver.Remove HTTP/1.1",
    "POST /VolumeDriver.Mount HTTP/1.1",
    "POST /VolumeDriver.Unmount HTTP/1.1",
    "POST /VolumeDriver.Path HTTP/1.1",
    "POST /VolumeDriver.Get HTTP/1.1",
    "POST /VolumeDriver.List HTTP/1.1",
    "POST /VolumeDriver.Capabilities HTTP/1.0",
    "GET /v1/info HTTP/1.1",
    "GET /v1/doctor HTTP/1.1",
    "GET /v1/volumes?removed=true HTTP/1.1",
    "POST /v1/volumes HTTP/1.1",
    "GET /v1/volumes/vol HTTP/1.1",
    "DELETE /v1/volumes/vol?now=true HTTP/1.1",
    "PATCH /v1/volumes/sp%20ace HTTP/1.1",
    "POST /v1/volumes/vol/mount HTTP/1.1",
    "POST /v1/volumes/vol/unmount HTTP/1.1",
    "POST /v1/volumes/vol/undelete HTTP/1.1",
    "GET /v1/pools/default HTTP/1.1",
    "GET /v1/jobs/1/wait?seconds=0 HTTP/1.1",
    "GET /metrics HTTP/1.1",
];

/// A volume whose name no input has.
const CANARY: &str = "nobody-mentions-me";

/// What mutations insert: where parsers have their edges.
const TOKENS: [&[u8]; 24] = [
    b"\0",
    b"\xff\xfe",
    b"\r\n",
    b"\r\n\r\n",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"%ff",
    b"%2f..%2f",
    b"../",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"\"Name\":\"vol\",",
];

/// xorshift64*: small, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `limit`; 0 if there is nothing below.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// Some mutations, often none.
    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len() + 1);
            let length = self.below(bytes.len() - at + 1);
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).expect("a byte"),
                2 => drop(bytes.drain(at..at + length)),
                3 => bytes.truncate(at),
                4 => {
                    let piece = bytes[at..at + length].to_vec();
                    let to = self.below(bytes.len() + 1);
                    for _ in 0..=self.below(20) {
                        bytes.splice(to..to, piece.iter().copied());
                    }
                }
                5 => {
                    let other = self.pick(&BODIES).as_bytes();
                    let from = self.below(other.len() + 1);
                    bytes.splice(at..at, other[from..].iter().copied());
                }
                _ => drop(bytes.splice(at..at, self.pick(&TOKENS).iter().copied())),
            }
            bytes.truncate(2 << 20);
        }
        bytes
    }

    fn body(&mut self) -> Vec<u8> {
        let body = self.pick(&BODIES).as_bytes().to_vec();
        self.mutate(body)
    }

    /// One to three requests, most of them well framed.
    fn stream(&mut self, lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..=self.below(3) {
            let body = self.body();
            let line = if self.below(10) == 0 { self.pick(&LINES) } else { self.pick(lines) };
            let length = if self.below(10) == 0 { self.below(5000) } else { body.len() };
            let head = format!(
                "{line}\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {length}\r\n\
                 Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n"
            );
            bytes.extend(head.into_bytes());
            bytes.extend(body);
        }
        if self.below(2) == 0 { bytes } else { self.mutate(bytes) }
    }
}

/// This run's seed, printed; each test derives its own generators from it.
fn seed() -> u64 {
    let given = env::var("BERTH_FUZZ_SEED").ok().map(|text| text.parse().expect("a number"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = given.unwrap_or_else(|| u64::from(now().subsec_nanos()) + now().as_secs());
    say(&format!("BERTH_FUZZ_SEED={seed}"));
    seed
}

/// To the log of the run, also where it passes.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn generator(seed: u64, number: u64) -> Random {
    let mut random = Random((seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
    for _ in 0..8 {
        random.next();
    }
    random
}

fn end() -> Instant {
    let seconds = env::var("BERTH_FUZZ_SECONDS").ok();
    let seconds = seconds.map_or(5, |text| text.parse().expect("a number of seconds"));
    Instant::now() + Duration::from_secs(seconds)
}

#[test]
fn parsers_survive_everything() {
    let (seed, end) = (seed(), end());
    let mut random = generator(seed, 0);
    let sidecar = sidecar();
    let mut runs = 0_u64;
    while Instant::now() < end {
        let input = match random.below(8) {
            0 => random.stream(&LINES),
            1 => random.mutate(sidecar.clone()),
            _ => random.body(),
        };
        let survived = catch_unwind(AssertUnwindSafe(|| parse(&input)));
        assert!(survived.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&input));
        runs += 1;
    }
    say(&format!("{runs} inputs"));
}

fn sidecar() -> Vec<u8> {
    let value = json!({
        "id": "0123456789abcdef0123456789abcdef", "name": "vol", "created": "2026-01-02T03:04:05Z",
        "given": {"mode": "0750"}, "options": {"mode": "0750"}, "layout": "subdirectory",
    });
    serde_json::from_value::<Sidecar>(value).expect("a sidecar").to_bytes()
}

/// Everything that reads what others wrote, and what it promises.
fn parse(input: &[u8]) {
    for verb in Verb::ALL {
        let call = call::decode(verb, input);
        if let Ok(call) = &call {
            assert!(call.verb() == verb && call.volume().is_none_or(|name| !name.is_empty()));
        }
        if let Ok(Call::Create { name, options }) = call {
            options_agree(&options);
            safe_name(&name);
        }
    }
    let _ = Sidecar::from_bytes(input);
    let _ = PoolIdentity::from_bytes(input);
    let text = String::from_utf8_lossy(input);
    safe_name(&text);
    let _ = text.parse::<VolumeId>();
    if let Ok(size) = text.parse::<Bytes>() {
        assert_eq!(size.0.to_string().parse::<Bytes>().expect("a number"), size);
    }
    if let Ok(mode) = text.parse::<Mode>() {
        assert_eq!(mode.to_string().parse::<Mode>().expect("its own text"), mode);
    }
    let line = text.lines().next().unwrap_or_default();
    let (path, query) = line.split_once('?').map_or((line, None), |(p, q)| (p, Some(q)));
    for method in [hyper::Method::GET, hyper::Method::POST, hyper::Method::DELETE] {
        let _ = route::route(&method, path, query);
    }
}

/// A name that is accepted is one component of a path, and no special one.
fn safe_name(text: &str) {
    let Ok(name) = text.parse::<VolumeName>() else { return };
    let path = Path::new(name.as_str());
    let mut components = path.components();
    assert!(matches!(components.next(), Some(Component::Normal(_))), "{name}");
    assert!(components.next().is_none() && !name.as_str().starts_with(['.', '-']), "{name}");
}

/// One spelling per meaning, and one meaning per spelling.
fn options_agree(given: &BTreeMap<String, String>) {
    let Ok(normal) = options::normalise(given) else {
        assert!(Options::parse(given).is_err(), "{given:?}");
        return;
    };
    assert_eq!(options::normalise(&normal).expect("normal"), normal);
    let (given, normal) = (Options::parse(given), Options::parse(&normal));
    assert_eq!(given.expect("valid"), normal.expect("valid"));
}

#[test]
fn sockets_survive_everything() {
    let (seed, end) = (seed(), end());
    let stage = Stage::new("fuzz");
    let mut daemon = Setup::new(&stage).start();
    let plugin = daemon.plugin();
    plugin.create(CANARY, &json!({"mode": "0711"})).expect("created");
    let canary = plugin.get(CANARY).expect("there");
    let sockets = [daemon.setup.plugin_socket.clone(), daemon.setup.control_socket.clone()];

    let clients: Vec<_> = (1..=4)
        .map(|number| {
            let (socket, lines) =
                (sockets[number % 2].clone(), [&LINES[..9], &LINES[9..]][number % 2]);
            thread::spawn(move || client(&socket, lines, generator(seed, number as u64), end))
        })
        .collect();
    let runs: u64 = clients
        .into_iter()
        .map(|client| client.join().unwrap_or_else(|_| panic!("a client failed, seed {seed}")))
        .sum();
    say(&format!("{runs} connections"));

    assert!(daemon.is_alive(), "seed {seed}: the daemon ended");
    for volume in plugin.list() {
        let name = volume["Name"].as_str().expect("a name");
        name.parse::<VolumeName>().unwrap_or_else(|error| panic!("seed {seed}: {name}: {error}"));
    }
    // What it takes is measured anew meanwhile, and is not compared.
    let unmeasured = |mut volume: serde_json::Value| {
        let status = volume["Status"].as_object_mut().expect("an object");
        status.retain(|key, _| !key.starts_with("used"));
        volume
    };
    let now = plugin.get(CANARY).expect("still there");
    assert_eq!(unmeasured(now), unmeasured(canary), "seed {seed}");
    plugin.create("after", &json!(null)).expect("still at work");

    // What was answered is what is kept: a new daemon knows the same volumes.
    let known = |daemon: &Daemon| -> Vec<_> {
        let volumes = daemon.control().volumes();
        volumes.iter().map(|volume| [&volume["name"], &volume["id"]].map(Clone::clone)).collect()
    };
    let before = known(&daemon);
    assert_eq!(daemon.stop().code(), Some(0), "seed {seed}");
    daemon.restart();
    assert_eq!(known(&daemon), before, "seed {seed}");
    assert_eq!(daemon.stop().code(), Some(0), "seed {seed}");

    // Nothing that a client sends is a matter for the operator.
    let log = daemon.log();
    let bad: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(bad.is_empty(), "seed {seed}: {bad:?}");
}

/// Sends streams until `end`; how many.
fn client(socket: &Path, lines: &[&str], mut random: Random, end: Instant) -> u64 {
    let mut runs = 0;
    while Instant::now() < end {
        let bytes = random.stream(lines);
        let pieces = 1 + random.below(4);
        if let Err(why) = converse(socket, &bytes, pieces) {
            panic!("{why}: {:?}", String::from_utf8_lossy(&bytes));
        }
        runs += 1;
    }
    runs
}

/// Sends `bytes` in pieces and reads to the end; complains of what is neither an
/// answer nor a close.
fn converse(socket: &Path, bytes: &[u8], pieces: usize) -> Result<(), String> {
    let mut stream = UnixStream::connect(socket).map_err(|error| format!("connect: {error}"))?;
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).and(stream.set_write_timeout(limit)).expect("a socket");
    for piece in bytes.chunks(bytes.len() / pieces + 1) {
        match stream.write_all(piece) {
            Ok(()) => {}
            // It has heard enough and closed.
            Err(error) if is_close(&error) => break,
            Err(error) => return Err(format!("write: {error}")),
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) if is_close(&error) => {}
        Err(error) => return Err(format!("read: {error}")),
    }
    if reply.is_empty() || reply.starts_with(b"HTTP/1.") {
        Ok(())
    } else {
        Err(format!("no HTTP: {:?}", String::from_utf8_lossy(&reply)))
    }
}

fn is_close(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
