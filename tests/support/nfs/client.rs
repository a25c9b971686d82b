//! Mounts of an export, made as the kernel wants them: by addresses, without
//! `mount.nfs`.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    super::poll::{self, SOON},
    lan::Address,
    server::{EXPORT, Server},
};

/// A mount, taken away when dropped. Drop the server first, if it may be dead.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    /// Mounts the server's export at `point` over IPv4 with `options`, such as
    /// `vers=4.2,hard`. Panics if it is refused.
    #[track_caller]
    pub fn new(server: &Server, options: &str, point: &Path) -> Self {
        let (address, own) = (server.address().v4, server.client().v4);
        Self::by(mount_command(address.into(), own.into(), options, point), point)
    }

    /// The same over IPv6.
    #[track_caller]
    pub fn over_ipv6(server: &Server, options: &str, point: &Path) -> Self {
        let (address, own) = (server.address().v6, server.client().v6);
        Self::by(mount_command(address.into(), own.into(), options, point), point)
    }

    #[track_caller]
    fn by(mut command: Command, point: &Path) -> Self {
        let output = command.output().expect("mount of util-linux");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {errors}");
        Self { point: point.to_owned() }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// A path below.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.point.join(relative)
    }

    /// Its options, as the kernel shows them.
    pub fn options(&self) -> String {
        let table = fs::read_to_string("/proc/thread-self/mounts").expect("readable");
        let lines = table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
        let here = |fields: &Vec<&str>| Path::new(fields[1]) == self.point;
        lines.into_iter().find(here).map(|fields| fields[3].to_owned()).expect("it is mounted")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        detach(&self.point);
    }
}

/// A `mount` that goes straight to the kernel; it makes `point`, and may wait for
/// long. The server's address, the client's own, and what else is wanted.
pub fn mount_command(server: IpAddr, own: IpAddr, options: &str, point: &Path) -> Command {
    fs::create_dir_all(point).expect("a folder on our stage");
    let source = match server {
        IpAddr::V4(address) => format!("{address}:{EXPORT}"),
        IpAddr::V6(address) => format!("[{address}]:{EXPORT}"),
    };
    // NFS 3 has no callbacks, and its options no such name.
    let callback =
        if options.contains("vers=3") { String::new() } else { format!(",clientaddr={own}") };
    let options = format!("{options},addr={server}{callback}");
    let mut command = Command::new("mount");
    command.args(["-i", "-t", "nfs", "-o", &options, &source]).arg(point);
    command
}

/// Takes away every mount in this namespace that asks this server.
pub fn detach_all(server: Address) {
    let wanted = [format!("addr={}", server.v4), format!("addr={}", server.v6)];
    let table = fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
    for line in table.lines().rev() {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, point, kind, options, ..] = fields[..] else { continue };
        if kind.starts_with("nfs") && options.split(',').any(|word| wanted.contains(&word.into())) {
            detach(Path::new(point));
        }
    }
}

/// In a process of its own, which may wait for a server that does not answer.
fn detach(point: &Path) {
    let mut command = Command::new("umount");
    command.args(["-i", "-l"]).arg(point).stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        poll::within(SOON, || child.try_wait().ok().flatten());
    }
}
