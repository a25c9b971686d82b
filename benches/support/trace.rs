//! strace, counting syncs.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::daemon::Daemon;

/// A strace at work.
#[derive(Debug)]
pub(crate) struct Trace {
    strace: Child,
    file: PathBuf,
}

impl Trace {
    /// Follows all threads of the daemon; `None` where that is not possible.
    pub(crate) fn attach(daemon: &Daemon) -> Option<Self> {
        let file = env::temp_dir().join(format!("berth-bench-strace-{}", daemon.pid()));
        let _ = fs::remove_file(&file);
        let mut strace = Command::new("strace")
            .args([
                "-f",
                "-ttt",
                "-e",
                "trace=fsync,fdatasync,sync_file_range,syncfs,sync,msync",
                "-o",
            ])
            .arg(&file)
            .args(["-p", &daemon.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let tasks = format!("/proc/{}/task", daemon.pid());
        let traced = || {
            fs::read_dir(&tasks).into_iter().flatten().flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !traced() {
            if strace.try_wait().ok()?.is_some() || Instant::now() > deadline {
                let _ = strace.kill();
                let _ = strace.wait();
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Some(Self { strace, file })
    }

    /// When each sync began.
    pub(crate) fn end(mut self) -> Vec<f64> {
        let pid = i32::try_from(self.strace.id()).expect("a pid");
        let pid = Pid::from_raw(pid);
        let _ = kill(pid, Signal::SIGINT);
        let _ = self.strace.wait();
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let _ = fs::remove_file(&self.file);
        // `PID SECONDS fsync(5) = 0`, perhaps in two lines, the second `resumed`.
        let began = |line: &&str| {
            let sync = ["sync(", "syncfs(", "sync_file_range("];
            sync.iter().any(|call| line.contains(call)) && !line.contains("resumed>")
        };
        text.lines()
            .filter(began)
            .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
            .collect()
    }
}

/// Seconds, on the clock that strace prints.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// How many of `syncs` fell into a call, in the middle one of `calls`: what follows
/// an answer may begin before the client has read it.
pub(crate) fn within(syncs: &[f64], calls: &[(f64, f64)]) -> usize {
    let count =
        |(start, end): &(f64, f64)| syncs.iter().filter(|at| (*start..=*end).contains(*at)).count();
    let mut counts: Vec<_> = calls.iter().map(count).collect();
    counts.sort_unstable();
    counts[counts.len() / 2]
}
