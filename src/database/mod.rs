//! One SQLite file, `<root>/berth.db`: how it is opened, trusted, and written.
//!
//! This module owns the connection and the durability; what the rows mean is
//! the business of [`catalog`](crate::catalog) and [`journal`](crate::journal).
//! WAL, `synchronous=FULL`, one writer thread with group commit: a committed
//! step is on stable storage, and steps that wait together share one sync.
//!
//! ```text
//! verb ── commit(step) ──▶ writer ── BEGIN · step · step · later steps · COMMIT ──▶ all answered
//! verb ── later(step) ───▶   (rides on the next commit, at latest after a second)
//! ```

mod error;
mod schema;
mod trust;
mod writer;

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, HostId, Result};
use berth_host::failpoint;
use rusqlite::Connection;

pub use error::from_sqlite;
pub(crate) use trust::untrusted;
pub use writer::Writer;

/// A step's view of the open transaction.
#[derive(Debug)]
pub struct Transaction<'a>(pub &'a Connection);

/// An opened and trusted database, before its writer is started.
#[derive(Debug)]
pub struct Database {
    /// For reading everything once, at start.
    pub connection: Connection,
    /// The host that the database belongs to.
    pub host: HostId,
    /// The root is read-only: this is a copy, and what is written to it is lost
    /// with the run folder.
    pub frozen: bool,
}

/// Where a root keeps its state.
#[derive(Clone, Debug)]
pub struct Files {
    /// `berth.db`
    pub database: PathBuf,
    /// `host.json`
    pub host: PathBuf,
}

impl Files {
    /// The files of `root`.
    pub fn of(root: &Path) -> Self {
        Self { database: root.join("berth.db"), host: root.join("host.json") }
    }
}

impl Database {
    /// Opens the database of `root`, making it at the very first start. On a
    /// read-only root a copy in `run` is opened instead.
    ///
    /// # Errors
    /// `Corrupt` if what is there cannot be trusted: the plugin socket must not
    /// be served then. Other kinds for a disk that is full or unreadable.
    pub fn open(root: &Path, run: &Path) -> Result<Self> {
        let files = Files::of(root);
        let frozen = is_read_only(root);
        let host = trust::host_of(&files)?;
        if !files.database.exists() {
            if host.is_some() {
                return Err(trust::untrusted("`berth.db` is missing though this root was in use"));
            }
            if frozen {
                return Err(Error::unavailable(format!(
                    "root `{}` is on a read-only file system and holds no state",
                    root.display()
                )));
            }
        }
        let path = if frozen { copy_of(&files.database, run)? } else { files.database.clone() };
        let connection = connect(&path, frozen)?;
        schema::prepare(&connection, &path)?;
        trust::check_integrity(&connection)?;
        let host = trust::settle_host(&connection, &files, host, frozen)?;
        Ok(Self { connection, host, frozen })
    }

    /// Moves an untrusted database out of the way and makes an empty one in its
    /// place, to be filled from the sidecars. Nothing is deleted.
    ///
    /// # Errors
    /// The file system's.
    pub fn set_aside(root: &Path) -> Result<()> {
        let files = Files::of(root);
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
        for suffix in ["", "-wal", "-shm"] {
            let from = with_suffix(&files.database, suffix);
            let to = with_suffix(&files.database, &format!(".untrusted-{stamp}{suffix}"));
            if from.exists() {
                failpoint::hit("database.set_aside").context(|| "set aside")?;
                fs::rename(&from, &to).context(|| format!("set `{}` aside", from.display()))?;
            }
        }
        // A host.json that belongs to the database that went, or is damaged.
        if trust::host_of(&files).is_err() {
            failpoint::hit("database.set_aside_host").context(|| "set aside")?;
            fs::rename(&files.host, with_suffix(&files.host, &format!(".untrusted-{stamp}")))
                .context(|| format!("set `{}` aside", files.host.display()))?;
        }
        let connection = connect(&files.database, false)?;
        schema::prepare(&connection, &files.database)?;
        let host = trust::host_of(&files)?.unwrap_or_else(HostId::random);
        trust::write_host(&connection, host)
    }
}

fn connect(path: &Path, frozen: bool) -> Result<Connection> {
    // SQLite gives its log the mode of the database.
    let made = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    if let Err(error) = made
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).context(|| format!("make `{}`", path.display()));
    }
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let unsynced = frozen || failpoint::sabotaged("skip-catalog-sync");
        connection.pragma_update(None, "synchronous", if unsynced { "OFF" } else { "FULL" })?;
        // What is kept in memory is kept once, by the engine.
        connection.pragma_update(None, "cache_size", -1024)?;
        Ok(connection)
    };
    open().map_err(|source| from_sqlite(source, &format!("open `{}`", path.display())))
}

fn is_read_only(root: &Path) -> bool {
    nix::unistd::access(root, nix::unistd::AccessFlags::W_OK) == Err(nix::errno::Errno::EROFS)
}

/// Copies the database and its log: together they are one state.
fn copy_of(database: &Path, run: &Path) -> Result<PathBuf> {
    let folder = run.join("read-only");
    let copy = folder.join("berth.db");
    failpoint::hit("database.copy")
        .and_then(|()| fs::create_dir_all(&folder))
        .context(|| format!("make `{}`", folder.display()))?;
    for suffix in ["", "-wal"] {
        let (from, to) = (with_suffix(database, suffix), with_suffix(&copy, suffix));
        let _ = failpoint::hit("database.copy_clear").and_then(|()| fs::remove_file(&to));
        if from.exists() {
            fs::copy(&from, &to).context(|| format!("copy `{}`", from.display()))?;
        }
    }
    let shared = with_suffix(&copy, "-shm");
    let _ = failpoint::hit("database.copy_clear_shared").and_then(|()| fs::remove_file(shared));
    Ok(copy)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
