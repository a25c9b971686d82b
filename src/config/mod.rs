//! One typed configuration: file < environment < flag.
//!
//! Unknown keys are refused, with the nearest known name; keys and sections of
//! the contract that are not built yet are refused as `unsupported`. Reads one
//! file and nothing else: whether a pool is really there is its backend's word.
//!
//! | module | noun |
//! |---|---|
//! | `section` | one table of the file, and how its errors name the place |
//! | `pool` | `[pools.NAME]` |
//! | `hooks` | `[hooks.NAME]` |
//! | `repository` | `[repositories.NAME]` |
//! | `policy` | `[policies.NAME]` |
//! | `image` | its `file` and `size` |
//! | `nfs` | its `server`, `export`, `version` and `mount-options` |
//! | `paths` | folders and sockets |
//! | `duration` | `24h` |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{Context, Error, ErrorKind, Label, Options, PolicyName, Result, options::nearest};
use toml::de::DeTable;

mod duration;
mod hooks;
mod image;
mod nfs;
mod paths;
mod policy;
mod pool;
mod repository;
mod section;
#[cfg(test)]
mod tests;

pub use hooks::{HookConfig, PAUSE};
pub use image::ImageConfig;
use paths::FilePaths;
pub use paths::{
    CONFIG, CONTROL_SOCKET, MANAGED_MOUNTS, Overrides, PLUGIN_SOCKET, Paths, ROOT, RUN,
};
pub use policy::PolicyConfig;
pub use repository::{Place, RepositoryConfig, S3Config};
use section::{Key, Section, Source};

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
    /// Where backups go, by name.
    pub repositories: BTreeMap<String, RepositoryConfig>,
    /// When to snapshot and back up, by name.
    pub policies: BTreeMap<PolicyName, PolicyConfig>,
    /// How applications are brought to rest, by name. Never has [`PAUSE`].
    pub hooks: BTreeMap<String, HookConfig>,
    /// Where Docker serves its API, if the file says so.
    pub docker_socket: Option<PathBuf>,
}

/// One `[pools.NAME]`.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The technology: `vfs`, `nfs` (and `fake` in tests).
    pub backend: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What is mounted there by Berth itself.
    pub image: Option<ImageConfig>,
    /// What is mounted below it from a server.
    pub nfs: Option<berth_nfs::Export>,
    /// How long a removed volume can be brought back.
    pub trash: Duration,
    /// Defaults of volumes made here: `size`, `uid`, `gid`, `mode`, `policy`.
    pub defaults: Options,
    /// The SELinux label of volumes made here.
    pub label: Option<Label>,
    /// The pool is the built-in one: its folder is made at the first start.
    pub builtin: bool,
    /// Several hosts use it: its records lie with the data.
    pub shared: bool,
    /// Its file system shows all hosts the same at once, the operator says.
    pub coherent: bool,
    /// The options that Docker may give besides those that everybody may.
    pub docker_options: BTreeSet<String>,
    /// Settings of a test backend, as text.
    pub extra: BTreeMap<String, String>,
}

const KEYS: [(&str, Key); 13] = [
    ("default-pool", Key::Known),
    ("implicit-create", Key::Known),
    ("pools", Key::Known),
    ("root", Key::Known),
    ("run", Key::Known),
    ("plugin-socket", Key::Known),
    ("socket", Key::Known),
    ("metrics-listen", Key::Missing("metrics are on the control socket only, at `GET /metrics`")),
    ("repositories", Key::Known),
    ("policies", Key::Known),
    ("cluster", Key::Missing("clusters are not built yet")),
    ("hooks", Key::Known),
    ("docker-socket", Key::Known),
];

/// The name of the pool, and of the repository, that there is without a file.
const DEFAULT: &str = "default";

impl Config {
    /// Reads the file that `over` names, or the usual one if there is one, and
    /// says what is in force.
    ///
    /// # Errors
    /// `NotFound` if the named file is missing; `Invalid` and `Unsupported` with
    /// the line of what is wrong.
    pub fn load(over: &Overrides) -> Result<(Self, Paths)> {
        let file = over.config.as_deref().unwrap_or(Path::new(CONFIG));
        let text = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && over.config.is_none() => {
                let paths = Paths::resolve(FilePaths::default(), over)?;
                return Ok((Self::builtin(&paths.root), paths));
            }
            Err(error) => return Err(unreadable(file, error)),
        };
        let text = String::from_utf8(text).map_err(|_| {
            Error::invalid(format!("configuration file `{}` is not UTF-8", file.display()))
        })?;
        Self::parse(file, &text, over)
    }

    /// What is in force without a file: one pool and one repository below `root`.
    pub fn builtin(root: &Path) -> Self {
        let pool = pool::builtin(root.join("pools").join(DEFAULT));
        Self {
            file: None,
            default_pool: DEFAULT.to_owned(),
            implicit_create: true,
            pools: BTreeMap::from([(DEFAULT.to_owned(), pool)]),
            repositories: BTreeMap::from([(
                DEFAULT.to_owned(),
                repository::builtin(DEFAULT, root),
            )]),
            policies: BTreeMap::new(),
            hooks: BTreeMap::new(),
            docker_socket: None,
        }
    }

    /// Reads `text`, which came from `file`.
    fn parse(file: &Path, text: &str, over: &Overrides) -> Result<(Self, Paths)> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The parser quotes as we do; its first letter may not be ours.
            source.error(ErrorKind::Invalid, at, error.message())
        })?;
        let top = source.top(&table);
        top.check(&KEYS)?;
        let paths = Paths::resolve(
            FilePaths {
                root: top.path("root")?,
                run: top.path("run")?,
                plugin_socket: top.path("plugin-socket")?,
                control_socket: top.path("socket")?,
            },
            over,
        )?;
        let mut config = Self::builtin(&paths.root);
        let pools = read_pools(&top, &paths.root)?;
        if !pools.is_empty() {
            config.pools = pools;
        }
        let repositories = repository::read(&top, &paths.root)?;
        if !repositories.is_empty() {
            config.repositories = repositories;
        }
        config.policies = policy::read(&top, &config.repositories)?;
        policy::check_pools(&top, &config.pools, &config.policies)?;
        config.hooks = hooks::read(&top)?;
        config.docker_socket = top.path("docker-socket")?;
        config.file = Some(file.to_owned());
        config.implicit_create = top.boolean("implicit-create")?.unwrap_or(true);
        if let Some(name) = top.string("default-pool")? {
            name.clone_into(&mut config.default_pool);
        }
        config.check_default(&top)?;
        Ok((config, paths))
    }

    fn check_default(&self, top: &Section<'_>) -> Result<()> {
        let name = &self.default_pool;
        if self.pools.contains_key(name) {
            return Ok(());
        }
        let text = format!("the default pool `{}` is not configured", name.escape_debug());
        let error = top.error_at("default-pool", ErrorKind::Invalid, &text);
        Err(match nearest(name, self.pools.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(format!(
                "add [pools.{}], or set `default-pool` to one of: {}",
                name.escape_debug(),
                self.pools.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
            )),
        })
    }
}

fn read_pools(top: &Section<'_>, root: &Path) -> Result<BTreeMap<String, PoolConfig>> {
    let mut pools = BTreeMap::<String, PoolConfig>::new();
    for (name, section) in top.children("pools")? {
        let pool = pool::read(name, &section, root)?;
        if let Some((other, _)) = pools.iter().find(|(_, other)| other.path == pool.path) {
            let text = format!(
                "pools `{other}` and `{name}` have the same path `{}`",
                pool.path.display()
            );
            return Err(section.error_at("path", ErrorKind::Invalid, &text));
        }
        image::check_places(&pools, name, &pool, &section)?;
        pools.insert(name.to_owned(), pool);
    }
    Ok(pools)
}

fn unreadable(file: &Path, error: io::Error) -> Error {
    let what = format!("configuration file `{}`", file.display());
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("{what} does not exist")),
        io::ErrorKind::IsADirectory => Error::invalid(format!("{what} is a directory")),
        _ => Err::<(), _>(error).context(|| format!("read {what}")).expect_err("an error went in"),
    }
}
