//! `berth completions`

use berth_api::Result;
use clap::{Args, ValueEnum};
use clap_complete::Shell as Generator;

use super::{grammar, render::Output, session::Status};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose completions
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// For `/etc/bash_completion.d/berth`
    Bash,
    /// To be named `_berth`, in a folder of `fpath`
    Zsh,
    /// For `/etc/fish/completions/berth.fish`
    Fish,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Status> {
    let generator = match arguments.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    // Into memory first: the generator gives up on a reader that goes away.
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut grammar(), "berth", &mut script);
    output.data(&String::from_utf8_lossy(&script))?;
    Ok(Status::OK)
}
