//! `berth policy`: known, not built yet.

use berth_api::Error;
use clap::Subcommand;

use super::unsupported;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// List policies
    Ls,
    /// Show all that is known of a policy
    Inspect {
        /// Which policy
        name: Option<String>,
    },
    /// Do now what a policy asks for
    Run {
        /// Which policy; all without
        name: Option<String>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn refuse(command: &Command) -> Error {
    let verb = match command {
        Command::Ls => "ls",
        Command::Inspect { .. } => "inspect",
        Command::Run { .. } => "run",
    };
    unsupported(&format!("policy {verb}"), "policies are")
}
