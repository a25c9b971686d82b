//! A child process with a log: on this machine, or inside a [`Host`].

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    host::Door,
    poll::{self, SOON},
};

/// A running program. Dropped, it is killed; while panicking it shows its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The program itself: inside a host, `child` is only its `nsenter`.
    pid: i32,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `argv` with `env` on top of this environment; output is appended
    /// to `log`.
    #[track_caller]
    pub fn spawn(
        door: Option<&Door>,
        argv: &[OsString],
        env: &[(String, String)],
        log: &Path,
    ) -> Self {
        let mut command = match door {
            Some(door) => door.command(&argv[0]),
            None => Command::new(&argv[0]),
        };
        fs::create_dir_all(log.parent().expect("a log has a folder")).expect("the log's folder");
        let out = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let child = command
            .args(&argv[1..])
            .envs(env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a descriptor"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("start {argv:?}: {error}"));
        let outer = i32::try_from(child.id()).expect("a pid");
        let name =
            Path::new(&argv[0]).file_name().expect("a program").to_string_lossy().into_owned();
        let mut process = Self { name, child, pid: outer, log: log.to_owned(), status: None };
        if door.is_some() {
            process.pid = poll::until("the program behind nsenter", SOON, || {
                first_child(outer).or_else(|| process.has_exited().then_some(outer))
            });
        }
        process
    }

    /// The program's process id, as seen from here.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has ended by itself or by a signal.
    pub fn has_exited(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our child");
        }
        self.status.is_some()
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.has_exited();
        self.status
    }

    /// Sends `signal`; one that is gone is left in peace.
    pub fn signal(&mut self, signal: Signal) {
        if !self.has_exited() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// SIGKILL, and the end of it.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait(SOON);
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        poll::until(&what, limit, || self.status())
    }

    /// All it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_exited() {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            let _ = writeln!(io::stderr(), "--- end of the log of {} ---\n{tail}", self.name);
        }
    }
}

/// The first child of `pid`.
pub fn first_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
