//! `berth`: daemon and command line in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth::cli::run(|_, _, _| {
        Err(berth_api::Error::unsupported("`berth daemon` is not available: not built yet"))
    })
}
