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

/// Lets go of the mounts of other tests, says so, and stays.
const SCRIPT: &str = r#"
awk -v own="$1/" 'index($5, "/berth-test-") && index($5 "/", own) != 1 { print $5 }' \
    /proc/self/mountinfo | tac | xargs --no-run-if-empty umount --lazy
echo
exec sleep 300
"#;

impl Namespace {
    /// Like a container: its copies of our mounts receive nothing from us. Of the
    /// mounts of tests it has those below `stage` only, so that it does not hold
    /// volumes of a test that happens to run beside it.
    pub fn private(stage: &Path) -> Self {
        Self::with("private", stage)
    }

    /// Like a systemd unit with `PrivateTmp`: it receives our mounts and
    /// unmounts below shared mounts.
    pub fn slave(stage: &Path) -> Self {
        Self::with("slave", stage)
    }

    fn with(propagation: &str, stage: &Path) -> Self {
        // It ends by itself some time, should this process be killed.
        let mut process = Command::new("unshare")
            .args(["--mount", "--propagation", propagation])
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(stage)
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
