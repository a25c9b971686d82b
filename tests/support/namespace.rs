//! Mount namespaces: one for a test, and processes in others, as containers are.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use super::mounts::{self, Mount};

/// Gives this thread, and all that it starts from now on, mounts of their own.
/// A namespace that somebody else makes meanwhile then holds none of ours, and
/// nothing stays mounted when the test is killed.
pub fn apart() {
    unshare(CloneFlags::CLONE_NEWNS).expect("tests that mount run as root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("our own namespace");
    // Copies of volumes that other tests have mounted would hold them.
    for mount in mounts::here().iter().rev() {
        if mount.point.to_string_lossy().contains("/berth-test-") {
            let _ = umount2(&mount.point, MntFlags::MNT_DETACH);
        }
    }
}

/// A process that does nothing but have mounts. Dropped, it is killed.
#[derive(Debug)]
pub struct Namespace {
    process: Child,
}

impl Namespace {
    /// Like a container: its copies of our mounts receive nothing from us. Be
    /// [`apart`] first, or it holds the volumes of tests that run beside this one.
    pub fn private() -> Self {
        Self::with("private")
    }

    /// Like a systemd unit with `PrivateTmp`: it receives our mounts and
    /// unmounts below shared mounts.
    pub fn slave() -> Self {
        Self::with("slave")
    }

    fn with(propagation: &str) -> Self {
        // It ends by itself some time, should this process be killed.
        let mut process = Command::new("unshare")
            .args(["--mount", "--propagation", propagation])
            .args(["sh", "-c", "echo; exec sleep 300"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut byte = [0];
        let output = process.stdout.as_mut().expect("stdout is piped");
        output.read_exact(&mut byte).expect("the namespace was made");
        Self { process }
    }

    /// Its mounts at or below `path`.
    pub fn mounts(&self, path: &Path) -> Vec<Mount> {
        let pid = i32::try_from(self.process.id()).expect("a pid");
        mounts::below(mounts::of(pid), path)
    }

    /// Ends it, and with it its mounts.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
