//! `berth repository`: known, not built yet.

use berth_api::Error;
use clap::Subcommand;

use super::unsupported;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Make an empty repository
    Init {
        /// Which repository
        name: Option<String>,
    },
    /// List repositories
    Ls,
    /// Show all that is known of a repository
    Inspect {
        /// Which repository
        name: Option<String>,
    },
    /// Check that a repository is whole
    Check {
        /// Which repository
        name: Option<String>,
    },
    /// Free what no backup needs
    Prune {
        /// Which repository
        name: Option<String>,
    },
    /// Copy backups into a second repository
    Copy {
        /// Which repository
        name: Option<String>,
    },
    /// Manage the keys of a repository
    Key {
        /// Which repository
        name: Option<String>,
    },
}

pub(super) fn refuse(command: &Command) -> Error {
    let verb = match command {
        Command::Init { .. } => "init",
        Command::Ls => "ls",
        Command::Inspect { .. } => "inspect",
        Command::Check { .. } => "check",
        Command::Prune { .. } => "prune",
        Command::Copy { .. } => "copy",
        Command::Key { .. } => "key",
    };
    unsupported(&format!("repository {verb}"), "backups are")
}
