//! `berth backup`: known, not built yet.

use berth_api::Error;
use clap::Subcommand;

use super::{assignment::Assignment, unsupported};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Back up a volume and print the backup's id
    Create {
        /// What to back up; a snapshot is taken if none is named
        #[arg(value_name = "VOLUME[@SNAPSHOT]")]
        source: String,
        /// Into this repository
        #[arg(long)]
        repository: Option<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// List backups
    Ls {
        /// Of this volume only
        volume: Option<String>,
    },
    /// Show all that is known of backups
    Inspect {
        /// The backups
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Remove backups
    Rm {
        /// The backups
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Read backups back and compare
    Verify {
        /// Which backups; all without
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
    /// Restore a backup into a new volume, into its own, or all of a host
    Restore {
        /// The backup
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// The name of the new volume
        #[arg(required_unless_present_any = ["all", "in_place"], conflicts_with_all = ["all", "in_place"])]
        new_volume: Option<String>,
        /// An option of the new volume
        #[arg(short, long = "option", value_name = "KEY=VALUE")]
        options: Vec<Assignment>,
        /// Into the volume that was backed up
        #[arg(long)]
        in_place: bool,
        /// Everything that was backed up on a host
        #[arg(long, requires = "host")]
        all: bool,
        /// That host, by name or id
        #[arg(long, requires = "all")]
        host: Option<String>,
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
        Command::Verify { .. } => "verify",
        Command::Restore { .. } => "restore",
    };
    unsupported(&format!("backup {verb}"), "backups are")
}
