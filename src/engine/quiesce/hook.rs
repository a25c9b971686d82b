//! The commands of hooks: how they are run, and how they end.
//!
//! Each is the leader of a process group of its own, so that it can be ended with
//! all that it started; its environment is clean but for `PATH` and what Berth
//! tells it. What it leaves running when it ends well is left alone: a session
//! that keeps a database at rest, say.

use std::{
    collections::BTreeMap,
    fs, io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berth_api::{Context as _, Error, Op, Result, SnapshotId};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::engine::repeat::wait;

/// Where programs are looked for that are not named by a path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variable by which a later daemon knows a command that was left behind.
pub(super) const MARK: &str = "BERTH_SNAPSHOT_ID";
/// How much of the end of what a command says is kept.
const KEPT: usize = 4 << 10;
/// How long the last words of a command may take to arrive, and a killed one to
/// be gone.
const WORDS: Duration = Duration::from_millis(200);
const GONE: Duration = Duration::from_secs(5);

type Said = Arc<Mutex<Vec<u8>>>;

/// Runs a command until it ends, `limit` is over or `op` is cancelled; then its
/// whole group is killed.
///
/// # Errors
/// `Unavailable` with its status and the end of what it said; `Conflict` if
/// cancelled.
pub(super) async fn run(
    argv: &[String],
    environment: &[(String, String)],
    limit: Duration,
    op: &Op,
) -> Result<()> {
    let (mut child, said) = spawn(argv, environment)?;
    let words = tokio::spawn(listen(said.0, said.1.clone()));
    let started = tokio::time::Instant::now();
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        () = wait(limit, op) => None,
    };
    let outcome = match ended {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(Error::unavailable(how(argv, status))),
        Some(Err(source)) => {
            Err(Error::internal(format!("wait for {}", shown(argv))).with_source(source))
        }
        None => {
            end(&mut child).await;
            if started.elapsed() < limit {
                op.check().context(|| format!("{} was killed", shown(argv)))
            } else {
                let seconds = limit.as_secs();
                Err(Error::unavailable(format!(
                    "{} took over {seconds} s and was killed",
                    shown(argv)
                )))
            }
        }
    };
    let _ = timeout(WORDS, words).await;
    let said = text(&said.1);
    outcome.map_err(|error| {
        if said.is_empty() {
            error
        } else {
            Error::new(error.kind(), format!("{}: {said}", error.chain()))
        }
    })
}

fn spawn(
    argv: &[String],
    environment: &[(String, String)],
) -> Result<(Child, (pipe::Receiver, Said))> {
    let what = || format!("run {}", shown(argv));
    let (program, arguments) = argv.split_first().ok_or_else(|| Error::internal("no command"))?;
    // One pipe for both, so that what was said stays in its order.
    let (reader, writer) = io::pipe().context(what)?;
    let errors = writer.try_clone().context(what)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .process_group(0);
    let child = command.spawn().map_err(|source| Error::unavailable(what()).with_source(source))?;
    let reader = pipe::Receiver::from_owned_fd(reader.into()).context(what)?;
    Ok((child, (reader, Said::default())))
}

/// Keeps the end of what comes.
async fn listen(mut reader: pipe::Receiver, said: Said) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..length]);
        let surplus = said.len().saturating_sub(KEPT);
        said.drain(..surplus);
    }
}

/// Kills a command with all that it started.
async fn end(child: &mut Child) {
    // Not waited for yet, so that the number is still its own.
    if let Some(leader) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
    if timeout(GONE, child.wait()).await.is_err() {
        tracing::warn!("a killed command of a hook does not end");
    }
}

/// Ends the commands that an earlier daemon ran for this snapshot and did not see
/// the end of: a before part that goes on would undo what the after part does.
pub(super) async fn end_left(snapshot: SnapshotId) {
    let mark = format!("{MARK}={snapshot}");
    let look = move || leaders(mark.as_bytes());
    let left = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    for leader in left.keys() {
        tracing::warn!(process = leader, %snapshot, "ended a command of before");
        let _ = killpg(Pid::from_raw(*leader), Signal::SIGKILL);
    }
    let deadline = tokio::time::Instant::now() + GONE;
    while left.iter().any(|(leader, born)| stat(*leader).is_some_and(|(_, now)| now == *born))
        && tokio::time::Instant::now() < deadline
    {
        sleep(WORDS / 10).await;
    }
}

/// The living leaders of process groups whose environment has `mark`, and when
/// each was born.
fn leaders(mark: &[u8]) -> BTreeMap<i32, String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|process| {
            let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
            environment.split(|byte| *byte == 0).find(|variable| *variable == mark)?;
            let (group, born) = stat(process)?;
            (group == process).then_some((process, born))
        })
        .collect()
}

/// Process group and time of birth of a process that lives.
fn stat(process: i32) -> Option<(i32, String)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it may hold anything.
    let fields: Vec<_> = text.rsplit_once(") ")?.1.split(' ').collect();
    let (state, group, born) = (fields.first()?, fields.get(2)?, fields.get(19)?);
    (!["Z", "X"].contains(state)).then_some((group.parse().ok()?, (*born).to_owned()))
}

fn how(argv: &[String], status: ExitStatus) -> String {
    format!("{} ended with {status}", shown(argv))
}

/// The command, for an error.
fn shown(argv: &[String]) -> String {
    let line = argv.join(" ");
    let short: String = line.chars().take(200).collect();
    let dots = if short.len() < line.len() { "…" } else { "" };
    format!("`{}{dots}`", short.escape_debug())
}

/// What was said, in one line.
fn text(said: &Said) -> String {
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&said);
    let lines = text.lines().map(|line| line.trim().escape_debug().to_string());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
