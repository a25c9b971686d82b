//! `berth cluster`: known, not built yet.

use berth_api::Error;
use clap::Subcommand;

use super::unsupported;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// Make this host a member
    Join,
    /// End this host's membership
    Leave,
    /// Show the members and what they hold
    Status,
}

pub(super) fn refuse(command: &Command) -> Error {
    let verb = match command {
        Command::Join => "join",
        Command::Leave => "leave",
        Command::Status => "status",
    };
    unsupported(&format!("cluster {verb}"), "clusters are")
}
