//! `scripts/vm`: a command on a kernel of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// `scripts/vm OPTIONS -- bash -euc SCRIPT`, from the repository. Standard input
/// is empty, output is piped.
pub fn command(options: &[&str], script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/vm"));
    command
        .args(options)
        .args(["--", "bash", "-euc", script])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end; nothing may be left of the guest.
#[track_caller]
pub fn run(options: &[&str], script: &str) -> Output {
    let child = command(options, script).spawn().expect("scripts/vm starts");
    let id = child.id();
    let output = child.wait_with_output().expect("our own child");
    assert!(left_of(id).is_empty(), "left behind: {:?}", left_of(id));
    output
}

/// The exit status, and what it prints if it is not this.
#[track_caller]
pub fn ended(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}\n{}", out(output), err(output));
}

/// Standard output as text.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The folder of a run, while it lasts.
pub fn folder(id: u32) -> PathBuf {
    PathBuf::from(format!("/var/tmp/berth-test-vm-{id}-0"))
}

/// What is left of the run of `scripts/vm` with this process id: its folder, and
/// command lines that name it.
pub fn left_of(id: u32) -> Vec<String> {
    let folder = folder(id);
    let mut left = machines(id);
    left.extend(folder.exists().then(|| folder.display().to_string()));
    left
}

/// The command lines of the run's QEMU.
pub fn machines(id: u32) -> Vec<String> {
    let folder = folder(id).display().to_string();
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|words| words.contains(&folder))
        .collect()
}

/// A run that goes on while the test does; killed when dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_dir_all(folder(self.0.id()));
    }
}
