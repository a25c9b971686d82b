//! The root of a pool: opening it, health, capacity.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_api::{Bytes, Capacity, Error, Health, HostId, Label, PoolIdentity, Result};
use berth_host::beneath::{Dir, Stamp};

use crate::{place::Gate, volume::made};

/// What Berth keeps for itself.
pub(crate) const OWN: &str = ".berth";
/// The identity, in [`OWN`].
pub(crate) const IDENTITY: &str = "pool.json";
/// Removed volumes.
pub(crate) const TRASH: &str = ".berth/trash";
/// Removed snapshots, which nobody brings back; made with the first snapshot.
pub(crate) const PURGE: &str = ".berth/purge";
/// Live volumes.
pub(crate) const VOLUMES: &str = "volumes";

/// A pool of directory volumes. All calls may run concurrently; those on one
/// volume take turns, which is the caller's part.
#[derive(Debug)]
pub struct Tree {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// What the top directory of a volume is labelled with; never our own folders.
    pub(crate) label: Option<Label>,
    /// Several hosts use the pool.
    pub(crate) sharing: Option<Sharing>,
    /// Asked before anything is touched, where that may wait for ever.
    gate: Option<Arc<dyn Gate>>,
    seen: Mutex<Seen>,
    /// Held while an identity is made or changed.
    pub(crate) claim: Mutex<()>,
}

/// How several hosts use one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// The operator says that the file system shows every host the same at once.
    pub coherent: bool,
}

/// What was last seen. Never locked over I/O.
#[derive(Debug)]
struct Seen {
    accepted: Option<Accepted>,
    health: Health,
}

/// The identity that all later calls must find.
#[derive(Clone, Debug)]
struct Accepted {
    identity: PoolIdentity,
    stamp: Stamp,
    /// The host that was told that it may use it.
    host: HostId,
}

/// The root, opened and found to be the pool's.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) root: Dir,
}

impl Tree {
    /// The pool `name` at `path`. No I/O.
    pub fn new(name: &str, path: &Path) -> Self {
        Self::with(name, path, None)
    }

    /// The pool `name` at `path`, which several hosts use. No I/O.
    pub fn shared(name: &str, path: &Path, sharing: Sharing) -> Self {
        Self::with(name, path, Some(sharing))
    }

    fn with(name: &str, path: &Path, sharing: Option<Sharing>) -> Self {
        let health = Health::Unavailable("it was not looked at yet".to_owned());
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            label: None,
            sharing,
            gate: None,
            seen: Mutex::new(Seen { accepted: None, health }),
            claim: Mutex::default(),
        }
    }

    /// The same pool with an SELinux label for the volumes that are made in it.
    pub fn labelled(self, label: Option<Label>) -> Self {
        Self { label, ..self }
    }

    /// The same pool behind a gate.
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the pool can be used, from what was last seen; does not block.
    pub fn health(&self) -> Health {
        self.seen().health.clone()
    }

    /// Whether the pool is there and is the accepted one.
    ///
    /// # Errors
    /// `Unavailable`, naming the pool.
    pub fn check(&self) -> Result<()> {
        self.opened().map(drop)
    }

    /// How full the file system is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn capacity(&self) -> Result<Capacity> {
        let space = self.opened()?.root.space().map_err(|error| self.unreadable("", error))?;
        Ok(Capacity { total: Bytes(space.total), free: Bytes(space.free) })
    }

    /// Whether it lies on ext4 (or what was before it).
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn lies_on_ext4(&self) -> Result<bool> {
        self.opened()?.root.is_ext4().map_err(|error| self.unreadable("", error))
    }

    /// Opens the root and compares the identity with the accepted one; read only
    /// if its file is another than last time.
    ///
    /// # Errors
    /// `Unavailable`, naming the pool.
    pub(crate) fn opened(&self) -> Result<Opened> {
        let Some(accepted) = self.seen().accepted.clone() else {
            return Err(self.named(Error::unavailable("its identity was not checked yet")));
        };
        if let Some(gate) = &self.gate {
            gate.pass().map_err(|error| self.named(error))?;
        }
        let lost = |error: &Error| {
            self.lost(error);
            if let Some(gate) = &self.gate {
                gate.failed(error);
            }
        };
        let opened = self.compared(&accepted).inspect_err(lost);
        if let (Ok(_), Some(gate)) = (&opened, &self.gate) {
            gate.answered();
        }
        opened.map_err(|error| self.named(error))
    }

    fn compared(&self, accepted: &Accepted) -> Result<Opened> {
        let root = self.root()?;
        let own = root.open_dir(OWN).map_err(|error| self.no_identity(error))?;
        let stamp = own.stamp(IDENTITY).map_err(|error| self.no_identity(error))?;
        if stamp != accepted.stamp {
            let identity = self.read_identity(&own)?;
            self.same(&identity, Some(accepted.identity.pool), accepted.host)?;
            self.accept(identity, stamp, accepted.host);
        }
        Ok(Opened { root })
    }

    /// Opens the pool's path, whatever lies there.
    pub(crate) fn root(&self) -> Result<Dir> {
        Dir::open(&self.path).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "does not exist",
                io::ErrorKind::NotADirectory => "is not a directory",
                _ => "cannot be opened",
            };
            Error::unavailable(format!("`{}` {why}", self.path.display())).with_source(error)
        })
    }

    /// From now on the pool must be this one, and `host` may use it.
    pub(crate) fn accept(&self, identity: PoolIdentity, stamp: Stamp, host: HostId) {
        let mut seen = self.seen();
        seen.accepted = Some(Accepted { identity, stamp, host });
        seen.health = Health::Ready;
    }

    /// The host that was told that it may use the pool.
    pub(crate) fn host(&self) -> Option<HostId> {
        self.seen().accepted.as_ref().map(|accepted| accepted.host)
    }

    /// Remembers why the pool cannot be used.
    pub fn lost(&self, error: &Error) {
        self.seen().health = Health::Unavailable(error.chain());
    }

    pub(crate) fn named(&self, error: Error) -> Error {
        error.context(format!("pool `{}`", self.name))
    }

    /// What is there cannot be told: no evidence is not absence.
    pub(crate) fn unreadable(&self, below: &str, error: io::Error) -> Error {
        let path = self.path.join(below);
        self.named(
            Error::unavailable(format!("`{}` cannot be read", path.display())).with_source(error),
        )
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change is one assignment: a panic elsewhere leaves it whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// The folder of live volumes.
    pub(crate) fn volumes(&self, tree: &Tree) -> Result<Dir> {
        self.root.open_dir(VOLUMES).map_err(|error| tree.unreadable(VOLUMES, error))
    }

    /// The folder of removed volumes.
    pub(crate) fn trash(&self, tree: &Tree) -> Result<Dir> {
        self.root.open_dir(TRASH).map_err(|error| tree.unreadable(TRASH, error))
    }

    /// The folder of what is being deleted for good.
    pub(crate) fn purge(&self, tree: &Tree) -> Result<Dir> {
        let made = || -> io::Result<Dir> {
            let own = self.root.open_dir(OWN)?;
            if made(self.root.make_dir(PURGE, 0o700))? {
                own.sync()?;
            }
            self.root.open_dir(PURGE)
        };
        made().map_err(|error| tree.unreadable(PURGE, error))
    }
}
