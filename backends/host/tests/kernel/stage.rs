//! A stage for tests that mount: a thread with a mount namespace of its own.
//!
//! Whatever a test leaves mounted goes with the thread, also on panic.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};

/// Held by tests with trees deeper than a path can say: one of them counts
/// descriptors whose path cannot be read.
pub(crate) fn deep() -> MutexGuard<'static, ()> {
    static DEEP: Mutex<()> = Mutex::new(());
    DEEP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` in a namespace where a tmpfs is mounted on the directory it gets.
/// `propagation` is that mount's: `MS_SHARED` or `MS_PRIVATE`.
pub(crate) fn in_namespace(propagation: MsFlags, test: impl FnOnce(&Path) + Send + 'static) {
    assert!(geteuid().is_root(), "this test mounts: run it as root");
    let outcome = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a namespace of its own");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let stage = tempfile::tempdir().expect("a temporary directory");
        let flags = MsFlags::empty();
        mount(Some("stage"), stage.path(), Some("tmpfs"), flags, None::<&str>).expect("a tmpfs");
        mount(None::<&str>, stage.path(), None::<&str>, propagation, None::<&str>)
            .expect("propagation is set");
        // The tmpfs hides the directory, which only the guard below removes.
        let _guard = Stage(stage.path().to_owned());
        test(stage.path());
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        // Lazily: a failed test leaves mounts inside. `tempdir` does the rest.
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// A child process that is killed at the end, with its children.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a shell script and waits until it has become `sleep`.
    pub(crate) fn sleeping(script: &str) -> Self {
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).process_group(0).spawn().expect("sh is there");
        let process = Self(child);
        let comm = PathBuf::from(format!("/proc/{}/comm", process.id()));
        until("the child sleeps", || fs::read_to_string(&comm).is_ok_and(|comm| comm == "sleep\n"));
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Polls `condition` until it is true.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(5));
    }
}
