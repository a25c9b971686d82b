//! The daemon that is measured.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::load::{Answer, Client};

/// What its syncs cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// What this machine's disk takes.
    AsItIs,
    /// At least 2 ms each, by the shim.
    Slow,
}

impl Disk {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "as it is",
            Self::Slow => "padded",
        }
    }
}

/// How to start one.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    folder: PathBuf,
    disk: Disk,
}

/// A running one; killed, and its mounts taken away, when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    setup: Setup,
    child: Child,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
}

impl Daemon {
    pub(crate) fn setup(stage: &Path, name: &str, disk: Disk) -> Setup {
        let folder =
            stage.join(format!("{name}-{}", if disk == Disk::Slow { "slow" } else { "real" }));
        fs::create_dir_all(&folder).expect("the stage is writable");
        Setup { folder, disk }
    }

    /// The shim that `scripts/bench` builds.
    pub(crate) fn shim() -> Option<OsString> {
        env::var_os("BERTH_SLOW_SYNC")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        self.setup.client()
    }

    /// The default pool.
    pub(crate) fn pool(&self) -> PathBuf {
        self.setup.folder.join("root/pools/default")
    }

    /// Where the default pool keeps the volume of this id.
    pub(crate) fn data(&self, id: &str) -> PathBuf {
        self.pool().join("volumes").join(id).join("data")
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes = line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
        kilobytes.expect("a number of kB") << 10
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Setup {
    fn client(&self) -> Client {
        Client::new(&self.folder.join("plugin.sock"), &self.folder.join("run/berth.sock"))
    }

    /// Starts it and waits for the first answer to a Get.
    pub(crate) fn start(&self) -> Daemon {
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command
            .arg("daemon")
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--run")
            .arg(self.folder.join("run"))
            .arg("--plugin-socket")
            .arg(self.folder.join("plugin.sock"))
            .arg("--socket")
            .arg(self.folder.join("run/berth.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the stage is writable"));
        if self.disk == Disk::Slow {
            command.env("LD_PRELOAD", Daemon::shim().expect("asked before"));
        }
        let begin = Instant::now();
        let mut child = command.spawn().expect("the binary that cargo built");
        let mut client = self.client();
        // Unknown is an answer too, and the first that a fresh daemon has.
        while matches!(client.get("v0"), Answer::Unsent | Answer::Lost) {
            let exited = child.try_wait().expect("our child");
            assert!(exited.is_none(), "the daemon ended: {}/log", self.folder.display());
            assert!(begin.elapsed() < Duration::from_mins(1), "the daemon does not answer");
            thread::sleep(Duration::from_micros(200));
        }
        Daemon { setup: self.clone(), child, ready: begin.elapsed() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mounts = self.setup.folder.join("root/mounts");
        for entry in fs::read_dir(mounts).into_iter().flatten().flatten() {
            let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
        }
    }
}
