//! Running one program, and what it took.
//!
//! The program runs below a process of its own, whose only child it is: so the kernel's
//! counts of children are that program's.

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde::{Deserialize, Serialize};

/// The word by which this program runs another and prints what it took.
pub(crate) const WORD: &str = "--measure";

/// What a run took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Most resident memory, in bytes.
    pub(crate) memory: u64,
    /// What it printed.
    pub(crate) output: String,
}

/// Runs `command` to its end.
pub(crate) fn run(command: &[String], environment: &[(&str, String)]) -> Taken {
    let own = env::current_exe().expect("this program");
    let output = Command::new(own)
        .arg(WORD)
        .args(command)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::inherit())
        .output()
        .expect("this program runs");
    assert!(output.status.success(), "{command:?}");
    serde_json::from_slice(&output.stdout).expect("what it took")
}

/// The other side of [`run`].
pub(crate) fn measure(command: &[String]) {
    let begin = Instant::now();
    let output = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("the program is there");
    let wall = begin.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    let cpu = usage.user_time() + usage.system_time();
    let taken = Taken {
        wall,
        cpu: Duration::from_micros(u64::try_from(cpu.num_microseconds()).expect("positive")),
        memory: u64::try_from(usage.max_rss()).expect("positive") << 10,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    let text = serde_json::to_string(&taken).expect("plain JSON");
    #[expect(clippy::print_stdout, reason = "its only output")]
    {
        println!("{text}");
    }
}
