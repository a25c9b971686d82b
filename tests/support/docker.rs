//! A real Docker Engine on a little host: its own containerd, its own dockerd.
//!
//! containerd is a process of its own because dockerd's child would not survive
//! a `kill -9` of dockerd in a state that the next dockerd can use.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    host::{Door, Host},
    poll::{self, SOON},
    process::Process,
    stage::Stage,
};

/// The image that [`Engine::start`] imports: static busybox, and `/seed/hello`.
pub const IMAGE: &str = "bb:1";

/// The same with `VOLUME /data`: each container has an anonymous volume there
/// (of the driver that the Engine takes by default).
pub const IMAGE_WITH_VOLUME: &str = "bb:volume";

/// containerd without the plugins that need what is not there.
const CONTAINERD: &str = r#"version = 2
root = "STATE/root"
state = "RUN/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "RUN/containerd.sock"
"#;

/// An Engine. Dies with its host.
#[derive(Debug)]
pub struct Engine {
    folder: PathBuf,
    door: Door,
    /// Containers live on while dockerd is down.
    pub live_restore: bool,
    /// More arguments of dockerd.
    pub arguments: Vec<String>,
    dockerd: Process,
    containerd: Process,
}

impl Engine {
    /// Starts an Engine with the images above, and waits until it answers.
    #[track_caller]
    pub fn start(stage: &Stage, host: &Host) -> Self {
        Self::start_with(stage, host, false)
    }

    /// As [`Self::start`], with or without live-restore. On a stage where an
    /// Engine was before, its containers and images are there again.
    #[track_caller]
    pub fn start_with(stage: &Stage, host: &Host, live_restore: bool) -> Self {
        Self::spawn(stage, host, live_restore).ready(stage)
    }

    /// As [`Self::start`], with more arguments of dockerd.
    #[track_caller]
    pub fn start_told(stage: &Stage, host: &Host, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self::spawn_told(stage, host, false, arguments).ready(stage)
    }

    #[track_caller]
    fn ready(mut self, stage: &Stage) -> Self {
        let engine = &mut self;
        engine.wait_ready();
        if !engine.run(&["image", "inspect", IMAGE]).status.success() {
            engine.import(stage);
        }
        self
    }

    /// As [`Self::start_with`], waiting for nothing and without images.
    #[track_caller]
    pub fn spawn(stage: &Stage, host: &Host, live_restore: bool) -> Self {
        Self::spawn_told(stage, host, live_restore, Vec::new())
    }

    #[track_caller]
    fn spawn_told(stage: &Stage, host: &Host, live_restore: bool, arguments: Vec<String>) -> Self {
        let folder = stage.folder("docker");
        let containerd = containerd(stage, host);
        let dockerd = dockerd(&folder, host.door(), live_restore, &arguments);
        let door = host.door().clone();
        Self { folder, door, live_restore, arguments, dockerd, containerd }
    }

    /// Waits until dockerd answers.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        poll::holds("dockerd is ready", Duration::from_mins(1), || {
            assert!(!self.dockerd.has_exited(), "dockerd ended: {}", self.dockerd.log());
            self.run(&["version"]).status.success()
        });
    }

    /// `docker ARGUMENTS…`
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the docker command line")
    }

    /// As [`Self::run`], not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(client());
        command.arg("--host").arg(self.address()).args(arguments).stdin(Stdio::null());
        command
    }

    /// `docker ARGUMENTS…`, which must succeed; its output without the newline.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {} {stderr}", output.status);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// `docker ARGUMENTS…`, which must fail; what it says.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "docker {arguments:?} succeeded: {stdout}");
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
    }

    /// `docker … inspect --format FORMAT`
    #[track_caller]
    pub fn inspect(&self, noun: &str, name: &str, format: &str) -> String {
        self.ok(&[noun, "inspect", "--format", format, name])
    }

    /// Whether a container runs.
    #[track_caller]
    pub fn is_running(&self, container: &str) -> bool {
        self.inspect("container", container, "{{.State.Running}}") == "true"
    }

    /// `kill -9` of dockerd; containerd, shims and containers stay.
    pub fn kill(&mut self) {
        self.dockerd.kill();
    }

    /// SIGTERM of dockerd, and the end of it.
    #[track_caller]
    pub fn stop(&mut self) {
        self.dockerd.signal(Signal::SIGTERM);
        self.dockerd.wait(Duration::from_mins(1));
    }

    /// Starts dockerd again and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_ready();
    }

    /// Starts dockerd again and waits for nothing.
    #[track_caller]
    pub fn spawn_again(&mut self) {
        self.dockerd.kill();
        // A killed dockerd leaves its file, and its number may be taken again.
        let _ = fs::remove_file(self.folder.with_file_name("run/docker.pid"));
        self.dockerd = dockerd(&self.folder, &self.door, self.live_restore, &self.arguments);
    }

    /// `unix://…`, for other clients.
    pub fn address(&self) -> String {
        format!("unix://{}", self.folder.with_file_name("run/docker.sock").display())
    }

    /// All that dockerd logged, over all starts.
    pub fn log(&self) -> String {
        self.dockerd.log()
    }

    #[track_caller]
    fn import(&self, stage: &Stage) {
        let rootfs = rootfs(stage);
        for (image, change) in [(IMAGE, "CMD [\"sh\"]"), (IMAGE_WITH_VOLUME, "VOLUME /data")] {
            let mut tar = Command::new("tar")
                .arg("-C")
                .arg(&rootfs)
                .args(["-c", "."])
                .stdout(Stdio::piped())
                .spawn()
                .expect("tar");
            let output = self
                .command(&["import", "--change", change, "-", image])
                .stdin(tar.stdout.take().expect("piped"))
                .output()
                .expect("the docker command line");
            tar.wait().expect("our child");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "import {image}: {stderr}");
        }
    }
}

#[track_caller]
fn containerd(stage: &Stage, host: &Host) -> Process {
    let (folder, socket) = (stage.folder("containerd"), host.run().join("containerd.sock"));
    let text = CONTAINERD
        .replace("STATE", &folder.to_string_lossy())
        .replace("RUN", &host.run().to_string_lossy());
    let config = stage.file("containerd/config.toml", text);
    let argv = [program("containerd"), "--log-level=warn".into(), "--config".into(), config.into()];
    let mut process =
        Process::spawn(Some(host.door()), &argv, &[], &stage.join("logs/containerd.log"));
    poll::holds("containerd listens", SOON, || {
        assert!(!process.has_exited(), "containerd ended: {}", process.log());
        socket.exists()
    });
    process
}

#[track_caller]
fn dockerd(folder: &Path, door: &Door, live_restore: bool, more: &[String]) -> Process {
    let mut argv = vec![program("dockerd")];
    let stage = folder.parent().expect("a folder on the stage");
    for (flag, path) in [
        ("--data-root", folder.join("data")),
        ("--exec-root", stage.join("run/docker/exec")),
        ("--pidfile", stage.join("run/docker.pid")),
        ("--containerd", stage.join("run/containerd.sock")),
        // Never the machine's own configuration.
        ("--config-file", folder.join("daemon.json")),
    ] {
        argv.extend([flag.into(), path.into()]);
    }
    fs::write(folder.join("daemon.json"), "{}").expect("a file on our stage");
    argv.push(format!("--host=unix://{}", stage.join("run/docker.sock").display()).into());
    argv.extend(["--bridge=none", "--iptables=false", "--ip6tables=false"].map(Into::into));
    argv.push(format!("--live-restore={live_restore}").into());
    argv.extend(more.iter().map(Into::into));
    Process::spawn(Some(door), &argv, &[], &stage.join("logs/dockerd.log"))
}

/// A root filesystem of static busybox and its links, made once a stage.
#[track_caller]
fn rootfs(stage: &Stage) -> PathBuf {
    let rootfs = stage.folder("rootfs");
    for folder in ["bin", "tmp", "etc", "proc", "sys", "dev", "seed"] {
        stage.folder(rootfs.join(folder));
    }
    let busybox = find("busybox").expect("busybox: apt-get install busybox-static");
    fs::copy(&busybox, rootfs.join("bin/busybox")).expect("a copy on our stage");
    let list = Command::new(&busybox).arg("--list").output().expect("busybox runs").stdout;
    for applet in String::from_utf8_lossy(&list).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).expect("a link on our stage");
    }
    stage.file("rootfs/seed/hello", "seed\n");
    rootfs
}

/// The command line that came with the Engine, not another one before it on PATH.
fn client() -> OsString {
    let packaged = Path::new("/usr/bin/docker");
    if packaged.exists() { packaged.into() } else { program("docker") }
}

/// Full paths, because `sbin` is not on everybody's PATH.
fn program(name: &str) -> OsString {
    find(name).map_or_else(|| name.into(), Into::into)
}

fn find(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}
