//! `berth daemon`

use std::{ffi::OsString, path::PathBuf};

use berth_api::Result;
use clap::{Args, ValueHint};

use super::{Daemon, given, session::Status};
use crate::{
    config::{Config, Overrides},
    engine::{Installation, Setup},
};

#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub(super) struct Arguments {
    /// The configuration file [default: /etc/berth/berth.toml, if there is one]
    #[arg(
        long,
        value_name = "FILE",
        env = "BERTH_CONFIG",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    config: Option<OsString>,
    /// The folder of the state [default: /var/lib/berth]
    #[arg(
        long,
        value_name = "DIR",
        env = "BERTH_ROOT",
        hide_env_values = true,
        value_hint = ValueHint::DirPath
    )]
    root: Option<OsString>,
    /// The folder of what need not survive a reboot [default: /run/berth]
    #[arg(
        long,
        value_name = "DIR",
        env = "BERTH_RUN",
        hide_env_values = true,
        value_hint = ValueHint::DirPath
    )]
    run: Option<OsString>,
    /// The socket Docker talks to [default: /run/docker/plugins/berth.sock]
    #[arg(
        long,
        value_name = "PATH",
        env = "BERTH_PLUGIN_SOCKET",
        hide_env_values = true,
        value_hint = ValueHint::FilePath
    )]
    plugin_socket: Option<OsString>,
}

const ENVIRONMENT: &str = "\
A flag wins over the environment, which wins over the file. Further variables:
  BERTH_LOG      what is logged, as a tracing filter (default: info)
  BERTH_MANAGED  1: installed as a managed plugin of Docker
  BERTH_MOUNTS   under which folder volumes are mounted
                 [default: ROOT/mounts; of a managed plugin: /var/lib/berth-mounts]";

pub(super) fn run(
    arguments: Arguments,
    control_socket: Option<PathBuf>,
    daemon: Daemon,
) -> Result<Status> {
    let managed = std::env::var_os("BERTH_MANAGED").is_some_and(|value| value == "1");
    let over = Overrides {
        config: given(arguments.config),
        root: given(arguments.root),
        run: given(arguments.run),
        plugin_socket: given(arguments.plugin_socket),
        control_socket,
        mounts: given(std::env::var_os("BERTH_MOUNTS")),
        managed,
    };
    let (config, paths) = Config::load(&over)?;
    let installation = if managed { Installation::Managed } else { Installation::Host };
    daemon(Setup { config, paths, installation })?;
    Ok(Status::OK)
}
