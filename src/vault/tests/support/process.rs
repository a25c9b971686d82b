//! A server process on a port of its own, that ends with its guard.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Python takes its time to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// One that accepts connections.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Process {
    /// Starts what `command` makes for an address. With a port of nobody's, several
    /// are tried: somebody may take it in between.
    pub(super) fn start(command: impl Fn(SocketAddr) -> Command) -> Self {
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            if let Some(process) = Self::start_at(address, &command) {
                return process;
            }
        }
        panic!("the server does not start");
    }

    /// The same at an address that is known. None if it ended at once.
    pub(super) fn start_at(
        address: SocketAddr,
        command: impl Fn(SocketAddr) -> Command,
    ) -> Option<Self> {
        let mut command = command(address);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Self { child: quiet.spawn().unwrap(), address };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if process.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "the server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        // It could be somebody else's answer.
        process.child.try_wait().unwrap().is_none().then_some(process)
    }

    /// How long it computed so far, all its threads together.
    pub(super) fn computed(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After its name, which may have spaces: user and system time, in hundredths.
        let (_, rest) = text.rsplit_once(')').unwrap();
        let numbers = rest.split_whitespace().skip(11).take(2);
        Duration::from_millis(numbers.map(|number| 10 * number.parse::<u64>().unwrap()).sum())
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program that this variable names.
pub(super) fn program(variable: &str) -> OsString {
    env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} names no server: run scripts/test vault"))
}
