//! `berth`: daemon and command line in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth::cli::run(berth::daemon::run)
}
