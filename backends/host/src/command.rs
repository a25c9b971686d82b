//! External programs: the only place that starts any.
//!
//! A program gets its arguments as a list (no shell), nothing of this process'
//! environment but a search path, no input, and a deadline at which it is killed.
//! It also ends with the thread that waits for it, so that what a killed daemon
//! had started does not go on beside the next one.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io::{self, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use berth_api::{Error, ErrorKind, Result};
use nix::sys::{prctl, signal::Signal};

use crate::failpoint;

/// Where programs are looked for: a service may have no `sbin` on its path.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what it says is kept, from the end.
const KEPT: usize = 16 << 10;
/// How much of that an error shows.
const SHOWN: usize = 400;
/// How long a killed program is waited for.
const LINGER: Duration = Duration::from_secs(1);
/// The longest wait between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Runs `program` to its end and returns what it wrote to its output (the last
/// 16 KiB).
///
/// # Errors
/// `Unsupported` if it is not installed, with `package` in the hint;
/// `Unavailable` if it was killed after `limit`; `Internal` if it ended badly. All
/// name the arguments, the latter also status and the end of what it complained.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    package: &str,
    limit: Duration,
) -> Result<String> {
    let begun = Instant::now();
    undead().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    let line = shown(program, arguments);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs([("PATH", SEARCH), ("LC_ALL", "C")])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[expect(unsafe_code, reason = "the hook makes one system call and touches no memory")]
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    let mut child = started(&mut command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::unsupported(format!("`{program}` is not installed"))
            .with_hint(format!("install the package `{package}`")),
        _ => Error::internal(format!("start `{line}`")).with_source(error),
    })?;
    let (output, complaints) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let status = ended(&mut child, begun + limit)
        .map_err(|error| Error::internal(format!("wait for `{line}`")).with_source(error))?;
    if status.is_none() {
        bury(child);
    }
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let told = status.map_or_else(|| "killed".to_owned(), |status| status.to_string());
    tracing::debug!(command = line, status = told, milliseconds);
    let complaints = tail(&complaints);
    match status {
        Some(status) if status.success() => Ok(tail(&output)),
        Some(status) => Err(Error::new(
            ErrorKind::Internal,
            format!("`{line}`: {status}: {}", end(&complaints)),
        )),
        None => Err(Error::unavailable(format!("`{line}` was ended after {} s", limit.as_secs()))),
    }
}

fn started(command: &mut Command) -> io::Result<Child> {
    failpoint::hit("command.start")?;
    command.spawn()
}

/// Its status, `None` if it had to be killed at the deadline; not waited for then.
fn ended(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LOOK);
    }
}

/// Waits for a program that was killed. One that the kernel holds (a server that is
/// away, a disk that does not answer) dies when it lets go: it is left alone, and
/// buried later.
fn bury(mut child: Child) {
    let end = Instant::now() + LINGER;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= end {
            tracing::warn!(pid = child.id(), "a killed program cannot die yet: left alone");
            undead().push(child);
            return;
        }
        thread::sleep(LOOK);
    }
}

/// How many programs were killed that the kernel does not let die yet.
pub fn left_alone() -> u64 {
    let mut undead = undead();
    undead.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    undead.len() as u64
}

/// Killed programs that the kernel still holds.
fn undead() -> MutexGuard<'static, Vec<Child>> {
    static UNDEAD: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    UNDEAD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads to the end on a thread of its own: a full pipe would stop the program.
fn drained(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let (mut kept, mut block) = (Vec::new(), [0; 4096]);
            while let Ok(length @ 1..) = pipe.read(&mut block) {
                kept.extend_from_slice(&block[..length]);
                kept.drain(..kept.len().saturating_sub(KEPT));
            }
            let _ = sender.send(kept);
        });
    }
    receiver
}

/// What was read. A grandchild may keep the pipe open for ever: not waited for.
fn tail(pipe: &mpsc::Receiver<Vec<u8>>) -> String {
    let read = pipe.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    String::from_utf8_lossy(&read).into_owned()
}

/// The end of a complaint, as part of one line.
fn end(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(SHOWN);
    line.chars().skip(skipped).collect()
}

fn shown<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let mut line = program.to_owned();
    for argument in arguments {
        let argument: OsString = argument.as_ref().to_owned();
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String> {
        run("sh", &["-c", script], "dash", limit)
    }

    #[test]
    fn the_output_comes_back_and_nothing_of_our_environment_goes_in() {
        let output = sh("pwd; env | cut -d= -f1 | sort | tr '\\n' ' '", Duration::from_secs(20));
        let output = output.expect("it ends well");
        assert!(output.starts_with("/\n"), "{output}");
        assert!(output.contains("LC_ALL") && !output.contains("CARGO"), "{output}");
    }

    #[test]
    fn a_bad_end_shows_arguments_status_and_the_end_of_the_complaint() {
        let script = "seq 100000 >&2; echo the end >&2; exit 3";
        let error = sh(script, Duration::from_secs(20)).expect_err("status 3").to_string();
        assert!(error.starts_with("`sh -c seq 100000"), "{error}");
        assert!(error.contains("exit status: 3: ") && error.ends_with("100000 the end"), "{error}");
        assert!(error.len() < 700, "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_its_deadline() {
        let begun = Instant::now();
        let error = sh("sleep 60", Duration::from_millis(100)).expect_err("killed");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_program_that_is_missing_names_its_package() {
        let error = run("berth-none", &["-V"], "none-progs", LOOK).expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.hint(), Some("install the package `none-progs`"));
    }
}
