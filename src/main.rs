//! `berth`: daemon and command line in one binary.

use std::process::ExitCode;

use berth::{daemon, engine::Setup};

fn main() -> ExitCode {
    berth::cli::run(|config, paths, installation| {
        daemon::run(Setup { config, paths, installation })
    })
}
