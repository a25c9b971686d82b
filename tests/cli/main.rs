//! The command line as users and scripts see it: words, tables, JSON, exit codes.
//! Runs the built binary.
//!
//! `INSTA_UPDATE=always cargo test --test cli` writes the committed snapshots anew.

mod answers;
mod live;
mod policies;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::{
    fmt::Write,
    process::{Command, Output, Stdio},
};

/// The program with an environment that says nothing.
fn berth(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    for variable in [
        "BERTH_CONFIG",
        "BERTH_MANAGED",
        "BERTH_MOUNTS",
        "BERTH_PLUGIN_SOCKET",
        "BERTH_ROOT",
        "BERTH_RUN",
        "COLUMNS",
    ] {
        command.env_remove(variable);
    }
    command.args(words).env("BERTH_SOCKET", "/nowhere/berth.sock").env("TZ", "UTC");
    command.stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    berth(words).output().expect("the program starts")
}

/// All that a run said: exit code, both streams.
fn said(output: &Output) -> String {
    let mut text = format!("exit: {}\n", output.status.code().expect("an exit code"));
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            let _ = write!(text, "--- {name}\n{}", String::from_utf8_lossy(bytes));
        }
    }
    text
}
