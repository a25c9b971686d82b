//! A process in a mount namespace of its own, as a container is.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::mounts::{self, Mount};

/// A process that does nothing but have mounts. Dropped, it is killed.
#[derive(Debug)]
pub struct Namespace {
    process: Child,
}

impl Namespace {
    /// Like a container: its copies of our mounts receive nothing from us.
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
