//! The daemon under test, as a process.

use std::{
    ffi::OsString,
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    client::{Control, Plugin},
    host::{Door, Host},
    mounts::{self, Mount},
    poll::{self, SOON},
    process::Process,
    stage::Stage,
};

/// The binary under test.
pub const BERTH: &str = env!("CARGO_BIN_EXE_berth");

/// How to start a daemon. A [`Daemon`] keeps it, to start again the same way.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `--root`
    pub root: PathBuf,
    /// `--run`, as seen from here.
    pub run: PathBuf,
    /// `--plugin-socket`, as seen from here.
    pub plugin_socket: PathBuf,
    /// `--socket`, as seen from here.
    pub control_socket: PathBuf,
    /// `--config`
    pub config: Option<PathBuf>,
    /// Set on top of this environment.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    door: Option<Door>,
}

impl Setup {
    /// On this machine; state and sockets on the stage: `root`, `run/berth`,
    /// `run/plugin.sock`, `run/berth/berth.sock`.
    pub fn new(stage: &Stage) -> Self {
        let run = stage.folder("run");
        Self {
            root: stage.join("root"),
            run: run.join("berth"),
            plugin_socket: run.join("plugin.sock"),
            control_socket: run.join("berth/berth.sock"),
            config: None,
            env: Vec::new(),
            log: stage.join("logs/berth.log"),
            door: None,
        }
    }

    /// On a little host, with the sockets of an installed Berth; state in the
    /// stage's `root`.
    pub fn on(stage: &Stage, host: &Host) -> Self {
        Self {
            plugin_socket: host.plugin_socket("berth"),
            door: Some(host.door().clone()),
            ..Self::new(stage)
        }
    }

    /// With this configuration file, kept on the stage as `berth.toml`.
    pub fn config(mut self, stage: &Stage, text: &str) -> Self {
        self.config = Some(stage.file("berth.toml", text));
        self
    }

    /// With this environment variable; the last of a name counts.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(key, _)| key != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// With another plugin socket: behind a proxy, or of another name.
    pub fn plugin_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.plugin_socket = path.into();
        self
    }

    /// Starts a daemon and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_ready();
        daemon
    }

    /// Starts a daemon and waits for nothing.
    #[track_caller]
    pub fn spawn(self) -> Daemon {
        let process = self.launch();
        Daemon { setup: self, process }
    }

    #[track_caller]
    fn launch(&self) -> Process {
        let mut argv = vec![OsString::from(BERTH), "daemon".into(), "--root".into()];
        argv.push(self.root.clone().into());
        for (flag, path) in [
            ("--run", &self.run),
            ("--plugin-socket", &self.plugin_socket),
            ("--socket", &self.control_socket),
        ] {
            argv.extend([flag.into(), path.clone().into()]);
        }
        if let Some(config) = &self.config {
            argv.extend(["--config".into(), config.clone().into()]);
        }
        Process::spawn(self.door.as_ref(), &argv, &self.env, &self.log)
    }
}

/// A daemon. Dropped, it is killed, and on this machine its mounts are taken
/// away (a little host takes them along).
#[derive(Debug)]
pub struct Daemon {
    /// How it was started, and will be again: change it between two starts.
    pub setup: Setup,
    process: Process,
}

impl Daemon {
    /// Waits until both sockets are served (the control socket alone, if the
    /// daemon says that its catalog cannot be trusted).
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let control = self.control();
        poll::holds("the daemon is ready", SOON, || {
            assert!(!self.process.has_exited(), "the daemon ended: {}", self.log());
            let Ok((200, info)) = control.attempt("GET", "/v1/info", None) else { return false };
            info["state"] == "untrusted" || UnixStream::connect(&self.setup.plugin_socket).is_ok()
        });
    }

    /// The daemon's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        !self.process.has_exited()
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGTERM, and the end of it.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(SOON)
    }

    /// Waits for the end, whatever causes it.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit)
    }

    /// Starts it again (killed first, if it lives) and waits until it is ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.respawn();
        self.wait_ready();
    }

    /// As [`Self::restart`], waiting for nothing.
    #[track_caller]
    pub fn respawn(&mut self) {
        self.process.kill();
        self.process = self.setup.launch();
    }

    /// The plugin socket.
    pub fn plugin(&self) -> Plugin {
        Plugin { socket: self.setup.plugin_socket.clone() }
    }

    /// The control socket.
    pub fn control(&self) -> Control {
        Control { socket: self.setup.control_socket.clone() }
    }

    /// Runs a command of the same binary against this daemon.
    pub fn berth(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary under test")
    }

    /// What a command that must succeed prints.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.berth(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// As [`Self::berth`], not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BERTH);
        command.args(arguments).env("BERTH_SOCKET", &self.setup.control_socket);
        command.stdin(Stdio::null());
        command
    }

    /// All it logged, over all starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The mounts of volumes, as the daemon sees them; nothing while it is dead.
    pub fn mounts(&self) -> Vec<Mount> {
        mounts::below(mounts::of(self.pid()), &self.setup.root.join("mounts"))
    }

    /// Where the default pool keeps the data of a volume.
    #[track_caller]
    pub fn data(&self, name: &str) -> PathBuf {
        let id = self.control().volume(name)["id"].as_str().expect("an id").to_owned();
        self.setup.root.join("pools/default/volumes").join(id).join("data")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill();
        if self.setup.door.is_none() {
            mounts::detach_below(&self.setup.root);
            remove_socket(&self.setup.plugin_socket);
        }
    }
}

fn remove_socket(path: &Path) {
    let _ = fs::remove_file(path);
}
