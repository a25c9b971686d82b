//! `berth NOUN VERB`: the command line.
//!
//! One file per noun. A command reads the control API and renders what it got;
//! it decides nothing that the daemon decides. stdout carries data only.
//!
//! Commands of the contract that are not built yet are known with all their
//! arguments, and refused as `unsupported`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use berth_api::{Error, ErrorKind, Result};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};

use crate::{config::CONTROL_SOCKET, engine::Setup};

mod assignment;
mod backup;
mod client;
mod cluster;
mod completions;
mod daemon;
mod doctor;
mod info;
mod job;
mod policy;
mod pool;
mod render;
mod repository;
mod restore;
mod session;
mod snapshot;
mod version;
mod volume;

use render::Output;
use session::{Session, Status};

/// What `berth daemon` runs.
pub type Daemon = fn(Setup) -> Result<()>;

/// Docker volumes on storage you own
#[derive(Debug, Parser)]
#[command(
    name = "berth",
    version,
    arg_required_else_help = true,
    subcommand_value_name = "NOUN",
    subcommand_help_heading = "Nouns",
    max_term_width = 100
)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    // The environment is not read by clap: a global argument from there would
    // show up in the usage line of every error.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        value_hint = ValueHint::FilePath,
        help = "Control socket [default: /run/berth/berth.sock] [env: BERTH_SOCKET]"
    )]
    socket: Option<OsString>,
    /// Answer in JSON, errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// What containers mount
    #[command(subcommand)]
    Volume(volume::Command),
    /// Points in time of a volume
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Copies of volumes outside the pool
    #[command(subcommand)]
    Backup(backup::Command),
    /// Places where backups are kept
    #[command(subcommand)]
    Repository(repository::Command),
    /// Places where volumes live
    #[command(subcommand)]
    Pool(pool::Command),
    /// When to snapshot and back up, and what to keep
    #[command(subcommand)]
    Policy(policy::Command),
    /// Long operations and how far they are
    #[command(subcommand)]
    Job(job::Command),
    /// Several hosts with one set of names (not built yet)
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Show what the daemon is and has
    Info,
    /// Look for what is wrong, and say what to do; exit code 1 if an error was found
    Doctor,
    /// Run the daemon
    Daemon(daemon::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Show the version of this program
    Version,
}

/// Runs the command line of this process; `daemon` is what `berth daemon` runs.
pub fn run(daemon: Daemon) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let mut output = Output::new(arguments.globals.json);
    let status = dispatch(arguments, &mut output, daemon);
    let status = status.unwrap_or_else(|error| {
        output.error(&error);
        Status::of(&error)
    });
    ExitCode::from(status.code())
}

fn dispatch(arguments: Arguments, output: &mut Output, daemon: Daemon) -> Result<Status> {
    let socket = arguments.globals.socket.or_else(|| std::env::var_os("BERTH_SOCKET"));
    let socket = given(socket);
    match arguments.noun {
        Noun::Volume(command) => volume::run(&mut open(socket, output)?, command),
        Noun::Pool(command) => pool::run(&mut open(socket, output)?, command),
        Noun::Snapshot(command) => snapshot::run(&mut open(socket, output)?, command),
        Noun::Job(command) => job::run(&mut open(socket, output)?, command),
        Noun::Info => info::run(&mut open(socket, output)?),
        Noun::Doctor => doctor::run(&mut open(socket, output)?),
        Noun::Backup(command) => backup::run(&mut open(socket, output)?, command),
        Noun::Repository(command) => repository::run(&mut open(socket, output)?, command),
        Noun::Policy(command) => policy::run(&mut open(socket, output)?, command),
        Noun::Cluster(command) => Err(cluster::refuse(&command)),
        Noun::Daemon(arguments) => daemon::run(arguments, socket, daemon),
        Noun::Completions(arguments) => completions::run(&arguments, output),
        Noun::Version => version::run(output),
    }
}

fn open(socket: Option<PathBuf>, output: &mut Output) -> Result<Session<'_>> {
    Session::new(socket.unwrap_or_else(|| CONTROL_SOCKET.into()), output)
}

/// A path from a flag or the environment, where empty means not given: that is
/// how a managed plugin's settings say it.
fn given(path: Option<OsString>) -> Option<PathBuf> {
    path.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A command of the contract that is not built yet.
fn unsupported(command: &str, what: &str) -> Error {
    Error::unsupported(format!("`berth {command}` is not available: {what} not built yet"))
}

/// Prints help, the version, or what is wrong with the words of the command.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    if error.use_stderr() && json {
        Output::new(true).error(&Error::new(ErrorKind::Invalid, summary(error)));
    } else {
        // Nobody may be reading; the exit code tells as well.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

/// The first paragraph of a usage error, in one line.
fn summary(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    paragraph.collect::<Vec<_>>().join(" ")
}

/// The grammar, for completions.
fn grammar() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grammar_is_sound() {
        super::grammar().debug_assert();
    }
}
