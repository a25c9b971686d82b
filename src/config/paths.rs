//! Where this daemon keeps and finds things: file < environment < flag.

use std::path::PathBuf;

use berth_api::{Context, Error, Result};

/// The configuration file that is read if there is one.
pub const CONFIG: &str = "/etc/berth/berth.toml";
/// The folder of the state.
pub const ROOT: &str = "/var/lib/berth";
/// The folder of what need not survive a reboot.
pub const RUN: &str = "/run/berth";
/// The socket Docker talks to; the file's name is that of the volume driver.
pub const PLUGIN_SOCKET: &str = "/run/docker/plugins/berth.sock";
/// The socket of the command line.
pub const CONTROL_SOCKET: &str = "/run/berth/berth.sock";
/// What a managed plugin declares as `propagatedMount`.
pub const MANAGED_MOUNTS: &str = "/var/lib/berth-mounts";

/// Where this daemon keeps and finds things.
#[derive(Clone, Debug)]
pub struct Paths {
    /// State: `/var/lib/berth`.
    pub root: PathBuf,
    /// What need not survive a reboot: `/run/berth`.
    pub run: PathBuf,
    /// The socket Docker talks to.
    pub plugin_socket: PathBuf,
    /// The socket of the command line.
    pub control_socket: PathBuf,
    /// Under which volumes are mounted: `<root>/mounts`, or the managed
    /// plugin's `propagatedMount`.
    pub mounts: PathBuf,
}

/// What flags and the environment say; each wins over the file. The caller has
/// let flags win over the environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration file; must exist if given.
    pub config: Option<PathBuf>,
    /// [`Paths::root`].
    pub root: Option<PathBuf>,
    /// [`Paths::run`].
    pub run: Option<PathBuf>,
    /// [`Paths::plugin_socket`].
    pub plugin_socket: Option<PathBuf>,
    /// [`Paths::control_socket`].
    pub control_socket: Option<PathBuf>,
    /// [`Paths::mounts`].
    pub mounts: Option<PathBuf>,
    /// Installed as a managed plugin.
    pub managed: bool,
}

/// What the file says of paths.
#[derive(Debug, Default)]
pub(super) struct FilePaths {
    pub(super) root: Option<PathBuf>,
    pub(super) run: Option<PathBuf>,
    pub(super) plugin_socket: Option<PathBuf>,
    pub(super) control_socket: Option<PathBuf>,
}

impl Paths {
    pub(super) fn resolve(file: FilePaths, over: &Overrides) -> Result<Self> {
        let pick = |over: &Option<PathBuf>, file: Option<PathBuf>, otherwise: PathBuf| match over {
            // Relative to where the command was typed, as every tool takes it.
            Some(path) => {
                std::path::absolute(path).context(|| format!("make `{}` absolute", path.display()))
            }
            None => Ok(file.unwrap_or(otherwise)),
        };
        let root = pick(&over.root, file.root, ROOT.into())?;
        let run = pick(&over.run, file.run, RUN.into())?;
        let mounts = if over.managed { MANAGED_MOUNTS.into() } else { root.join("mounts") };
        let paths = Self {
            plugin_socket: pick(&over.plugin_socket, file.plugin_socket, PLUGIN_SOCKET.into())?,
            control_socket: pick(
                &over.control_socket,
                file.control_socket,
                run.join("berth.sock"),
            )?,
            mounts: pick(&over.mounts, None, mounts)?,
            root,
            run,
        };
        if paths.control_socket == paths.plugin_socket {
            return Err(Error::invalid(format!(
                "plugin socket and control socket are the same, `{}`",
                paths.control_socket.display()
            ))
            .with_hint(format!("--socket {CONTROL_SOCKET}")));
        }
        Ok(paths)
    }
}
