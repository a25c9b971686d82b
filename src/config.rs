//! One typed configuration: file < environment < flag.
//!
//! Unknown keys are refused, with the nearest known name; keys and sections of
//! the contract that are not built yet are refused as `unsupported`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use berth_api::Options;

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from, if there was one.
    pub file: Option<PathBuf>,
    /// The pool of volumes that name none. Always a key of `pools`.
    pub default_pool: String,
    /// Whether Docker may make up volumes by itself (`-v typo:/data`).
    pub implicit_create: bool,
    /// All pools, by name.
    pub pools: BTreeMap<String, PoolConfig>,
}

/// One `[pools.NAME]`.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The technology: `vfs` (and `fake` in tests).
    pub backend: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How long a removed volume can be brought back.
    pub trash: Duration,
    /// Defaults of volumes made here: `uid`, `gid`, `mode`.
    pub defaults: Options,
    /// The pool is the built-in one: its folder is made at the first start.
    pub builtin: bool,
    /// Settings of a test backend, as text.
    pub extra: BTreeMap<String, String>,
}

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
