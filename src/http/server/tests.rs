use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream as Client,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use hyper::StatusCode;
use tokio::sync::Notify;

use super::*;

/// Answers with the body it got; `/panic` panics, `/gate` waits for the gate.
#[derive(Debug, Default)]
struct Echo {
    gate: Notify,
    reached: AtomicUsize,
    ended: AtomicUsize,
}

impl Service for Echo {
    async fn answer(self: Arc<Self>, request: Request) -> Reply {
        self.reached.fetch_add(1, Ordering::SeqCst);
        match request.path.as_str() {
            "/panic" => panic!("asked to"),
            "/gate" => self.gate.notified().await,
            _ => {}
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Reply::new(StatusCode::OK, "text/plain", request.body)
    }

    fn excuse(&self, _: &str, fault: Fault) -> Reply {
        Reply::new(fault.status(), "text/plain", format!("{fault:?}"))
    }
}

/// A server in a temporary folder.
struct Stage {
    folder: tempfile::TempDir,
    echo: Arc<Echo>,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn new() -> Self {
        Self::with(Limits {
            connections: 4,
            stall: Duration::from_millis(150),
            body: Duration::from_millis(150),
            bytes: 1000,
        })
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = unix::net::UnixListener::bind(folder.path().join("s")).expect("bound");
        let echo = Arc::new(Echo::default());
        let server = {
            let _inside = runtime.enter();
            Server::start(listener, false, Arc::clone(&echo), limits).expect("started")
        };
        Self { folder, echo, server: Some(server), runtime }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn client(&self) -> Client {
        connect(&self.path())
    }

    fn stop(&mut self, grace: Duration) {
        let server = self.server.take().expect("stopped once");
        self.runtime.block_on(server.stop(grace));
    }

    fn wait(&self, what: impl Fn(&Echo) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !what(&self.echo) {
            assert!(Instant::now() < deadline, "waited in vain");
            thread::yield_now();
        }
    }
}

fn connect(path: &Path) -> Client {
    let client = Client::connect(path).expect("connected");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    client
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// One reply, head and body, as text; empty at the end of the connection.
fn reply(client: &mut Client) -> String {
    let mut bytes = Vec::new();
    let mut one = [0];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a number"));
            if bytes.len() == end + 4 + length {
                return String::from_utf8(bytes).expect("text");
            }
        }
        match client.read(&mut one) {
            Ok(0) => return String::from_utf8(bytes).expect("text"),
            Ok(_) => bytes.push(one[0]),
            Err(error) => panic!("no reply: {error}"),
        }
    }
}

fn ask(client: &mut Client, request: &str) -> String {
    client.write_all(request.as_bytes()).expect("written");
    reply(client)
}

#[test]
fn a_connection_carries_many_requests() {
    let stage = Stage::new();
    let mut client = stage.client();
    for body in ["one", "two"] {
        assert!(ask(&mut client, &post("/", body)).ends_with(body));
    }
    // Pipelined: the replies come in order.
    let both = post("/", "three") + &post("/", "four");
    assert!(ask(&mut client, &both).ends_with("three"));
    assert!(reply(&mut client).ends_with("four"));
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nve\r\n0\r\n\r\n";
    assert!(ask(&mut client, chunked).ends_with("five"));
}

#[test]
fn an_idle_connection_is_kept_and_a_stalled_head_is_not() {
    let stage = Stage::new();
    let mut idle = stage.client();
    let mut used = stage.client();
    assert!(ask(&mut used, &post("/", "a")).ends_with('a'));
    let mut stalled = stage.client();
    stalled.write_all(b"POST / HT").expect("written");
    // The end of the stalled one is the clock: the others are older by now.
    assert_eq!(reply(&mut stalled), "", "closed");
    assert!(ask(&mut idle, &post("/", "b")).ends_with('b'));
    assert!(ask(&mut used, &post("/", "c")).ends_with('c'));
}

#[test]
fn a_body_is_waited_for_and_then_no_longer() {
    let stage = Stage::new();
    let mut client = stage.client();
    let answer = ask(&mut client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("TooSlow"), "{answer}");
    assert_eq!(reply(&mut client), "", "closed");
    assert_eq!(stage.echo.reached.load(Ordering::SeqCst), 0, "no handler saw it");
}

#[test]
fn a_body_that_is_too_large_is_answered_to_whoever_writes_it_all() {
    let stage = Stage::with(Limits { bytes: 1000, ..Limits::default() });
    assert!(ask(&mut stage.client(), &post("/", &"a".repeat(1000))).ends_with('a'));
    for size in [1001, 4 << 20] {
        let answer = ask(&mut stage.client(), &post("/", &"a".repeat(size)));
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("TooLarge"), "{size}");
    }
}

#[test]
fn a_truncated_body_is_answered() {
    let stage = Stage::with(Limits::default());
    let mut client = stage.client();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        .expect("written");
    client.shutdown(std::net::Shutdown::Write).expect("half closed");
    let answer = reply(&mut client);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Truncated"), "{answer}");
    assert_eq!(stage.echo.reached.load(Ordering::SeqCst), 0, "no handler saw it");
}

#[test]
fn a_panic_is_an_answer_and_the_connection_lives() {
    let stage = Stage::new();
    let mut client = stage.client();
    let answer = ask(&mut client, &post("/panic", ""));
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("Panicked"), "{answer}");
    assert!(ask(&mut client, &post("/", "alive")).ends_with("alive"));
}

#[test]
fn who_hangs_up_cancels_nothing() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.write_all(post("/gate", "").as_bytes()).expect("written");
    stage.wait(|echo| echo.reached.load(Ordering::SeqCst) == 1);
    drop(client);
    // Others are served meanwhile.
    assert!(ask(&mut stage.client(), &post("/", "a")).ends_with('a'));
    stage.echo.gate.notify_one();
    stage.wait(|echo| echo.ended.load(Ordering::SeqCst) == 2);
}

#[test]
fn who_comes_when_all_places_are_taken_waits() {
    let stage = Stage::new();
    let mut taken: Vec<_> = (0..4).map(|_| stage.client()).collect();
    for client in &mut taken {
        ask(client, &post("/", ""));
    }
    let mut late = stage.client();
    late.write_all(post("/", "late").as_bytes()).expect("written to the backlog");
    taken.pop();
    assert!(reply(&mut late).ends_with("late"));
}

#[test]
fn a_stop_lets_handlers_end() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.write_all(post("/gate", "last").as_bytes()).expect("written");
    stage.wait(|echo| echo.reached.load(Ordering::SeqCst) == 1);
    let (path, echo) = (stage.path(), Arc::clone(&stage.echo));
    let opener = thread::spawn(move || {
        // Refused: the server is stopping, and the handler can go on.
        let deadline = Instant::now() + Duration::from_secs(10);
        while Client::connect(&path).is_ok() && Instant::now() < deadline {
            thread::yield_now();
        }
        echo.gate.notify_one();
    });
    stage.stop(Duration::from_secs(10));
    opener.join().expect("no panic");
    assert!(reply(&mut client).ends_with("last"));
    assert_eq!(reply(&mut client), "", "closed");
}

#[test]
fn a_stop_answers_for_handlers_that_do_not_end() {
    let mut stage = Stage::new();
    let mut client = stage.client();
    client.write_all(post("/gate", "").as_bytes()).expect("written");
    stage.wait(|echo| echo.reached.load(Ordering::SeqCst) == 1);
    let begun = Instant::now();
    stage.stop(Duration::from_millis(100));
    assert!(begun.elapsed() < Duration::from_secs(5), "it waits for nobody");
    let answer = reply(&mut client);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Stopping"), "{answer}");
}

#[test]
fn a_request_that_was_sent_before_the_stop_is_answered() {
    for _ in 0..20 {
        let mut stage = Stage::new();
        let mut idle = stage.client();
        assert!(ask(&mut idle, &post("/", "a")).ends_with('a'));
        let mut client = stage.client();
        client.write_all(post("/", "in time").as_bytes()).expect("written");
        stage.stop(Duration::from_secs(5));
        assert!(reply(&mut client).ends_with("in time"));
        assert_eq!(reply(&mut idle), "", "closed");
    }
}
