//! A little host: its own mounts, processes, network, name and `/run`.
//!
//! Docker finds plugins in `/run/docker/plugins` only, and `docker volume ls`
//! calls every socket there. So each engine under test gets a `/run` of its own
//! (`STAGE/run`, so that its sockets are seen from outside too), and all that an
//! engine leaves behind (shims, containers, overlays, bridges) dies with the
//! host's first process. Ending a host is what a power switch does; a new one on
//! the same stage is the machine after a boot.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    mounts::{self, Mount},
    poll::{self, SOON},
    process::first_child,
    stage::Stage,
};

/// Bash, because a first process must reap what others leave to it.
const INIT: &str = r#"
set -e
# Volumes that other tests have mounted just now are not this host's. Some of them
# may be gone by the time they are taken away.
awk -v own="${1%/run}/" 'index($5, "/berth-test-") && index($5, own) != 1 { print $5 }' \
    /proc/self/mountinfo | tac | xargs --no-run-if-empty umount --lazy 2>/dev/null || true
mount --bind "$1" /run
mount --make-rshared /
ip link set lo up
: >"$1/host.ready"
while :; do sleep infinity & wait; done
"#;

/// A running host. Everything on it is killed when this is dropped.
#[derive(Debug)]
pub struct Host {
    unshare: Child,
    door: Door,
    run: PathBuf,
}

/// The way into a host.
#[derive(Clone, Debug)]
pub struct Door {
    init: i32,
}

impl Host {
    /// Boots a host with an empty `/run`, which is `STAGE/run`.
    ///
    /// It ends with the thread that booted it: no killed test leaves it behind.
    #[track_caller]
    pub fn boot(stage: &Stage) -> Self {
        let run = stage.join("run");
        match fs::remove_dir_all(&run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                panic!("empty {}: {error}", run.display())
            }
            _ => {}
        }
        stage.folder("run/docker/plugins");
        Self::start(run, &["bash", "-c", INIT], &[])
    }

    /// Starts a host whose first process is `init`. Its words are `run`, which must
    /// be there and be a folder of this host alone, and `words`; it makes the file
    /// `host.ready` in `run` when the host may be used.
    #[track_caller]
    pub fn start(run: PathBuf, init: &[&str], words: &[&Path]) -> Self {
        let unshare = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--pid",
                "--net",
                "--uts",
                "--fork",
            ])
            .args(["--kill-child", "--mount-proc", "--propagation", "private"])
            .args(init)
            .arg("init")
            .arg(&run)
            .args(words)
            .stdin(Stdio::null())
            .spawn()
            .expect("setpriv and unshare of util-linux");
        let pid = i32::try_from(unshare.id()).expect("a pid");
        let mut host = Self { unshare, door: Door { init: 0 }, run };
        host.door.init = poll::until("the first process of a host", SOON, || {
            assert!(host.unshare.try_wait().expect("our child").is_none(), "unshare failed");
            host.run.join("host.ready").exists().then(|| first_child(pid)).flatten()
        });
        host
    }

    /// How processes get in.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Runs a shell script on the host; panics if it fails. Its output.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let output = self.door.command("sh").args(["-c", script]).output().expect("nsenter");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{script}`: {} {stdout}{stderr}", output.status);
        stdout
    }

    /// Gives the host a name; until then it has the machine's.
    #[track_caller]
    pub fn name(&self, name: &str) {
        self.sh(&format!("echo {name} >/proc/sys/kernel/hostname"));
    }

    /// The host's own mount table.
    pub fn mounts(&self) -> Vec<Mount> {
        mounts::of(self.door.init)
    }

    /// The host's `/run`, as seen from here.
    pub fn run(&self) -> &PathBuf {
        &self.run
    }

    /// Where Docker on this host looks for the plugin `name`, as seen from here.
    pub fn plugin_socket(&self, name: &str) -> PathBuf {
        self.run.join(format!("docker/plugins/{name}.sock"))
    }
}

impl Door {
    /// The host's first process, as its id is here.
    pub fn init(&self) -> i32 {
        self.init
    }

    /// A command that will run on the host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--mount", "--pid", "--net", "--uts", "--"])
            .arg(program);
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // `--kill-child` takes the first process along, and the kernel the rest.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        // It passes to this machine's first process, which may leave it a zombie
        // for long; by then its namespaces are gone.
        let stat = format!("/proc/{}/stat", self.door.init);
        poll::within(SOON, || match fs::read_to_string(&stat) {
            Ok(text) => text.rsplit(')').next()?.trim_start().starts_with(['Z', 'X']).then_some(()),
            Err(_) => Some(()),
        });
    }
}
