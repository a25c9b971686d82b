//! `berth snapshot`: known, not built yet.

use berth_api::Error;
use clap::Subcommand;

use super::unsupported;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Take a snapshot and print VOLUME@NAME
    Create {
        /// The volume
        volume: String,
        /// The snapshot's name; made up without
        name: Option<String>,
        /// Bring the application to rest meanwhile
        #[arg(long, value_name = "HOOK")]
        quiesce: Option<String>,
    },
    /// List snapshots
    Ls {
        /// Of this volume only
        volume: Option<String>,
    },
    /// Show all that is known of snapshots
    Inspect {
        /// The snapshots
        #[arg(required = true, value_name = "VOLUME@NAME")]
        snapshots: Vec<String>,
    },
    /// Remove snapshots
    Rm {
        /// The snapshots
        #[arg(required = true, value_name = "VOLUME@NAME")]
        snapshots: Vec<String>,
    },
    /// Make a new volume of a snapshot
    Restore {
        /// The snapshot
        #[arg(value_name = "VOLUME@NAME")]
        snapshot: String,
        /// The name of the new volume
        new_volume: String,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
}

pub(super) fn refuse(command: &Command) -> Error {
    let verb = match command {
        Command::Create { .. } => "create",
        Command::Ls { .. } => "ls",
        Command::Inspect { .. } => "inspect",
        Command::Rm { .. } => "rm",
        Command::Restore { .. } => "restore",
    };
    unsupported(&format!("snapshot {verb}"), "snapshots are")
}
