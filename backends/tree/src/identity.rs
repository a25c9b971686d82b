//! `pool.json`: making, checking, taking over.
//!
//! It is made last, when the folders of the pool are on stable storage: a pool
//! with an identity is a whole pool.

use std::{
    io::{self, ErrorKind as Io},
    path::Path,
    sync::PoisonError,
};

use berth_api::{Context as _, Error, HostId, Owner, PoolId, PoolIdentity, Result};
use berth_host::{beneath::Dir, durable};

use crate::{
    coherence,
    pool::{IDENTITY, OWN, TRASH, Tree, VOLUMES},
    records,
};

/// A bound on the file, which has 200 bytes.
const LIMIT: u64 = 4096;

impl Tree {
    /// Reads whose pool this is, and makes a new pool of `host` where nothing is
    /// and nothing is `expected`. See `berth_api::Backend::identify`.
    ///
    /// # Errors
    /// `Unavailable` if the place is missing, empty though known, or of another
    /// identity or host; `Invalid` if it holds something that is no pool;
    /// `Corrupt` if the identity is damaged.
    pub fn identify(&self, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        let _claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        self.identified(expected, host).inspect_err(|error| self.lost(error))
    }

    fn identified(&self, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        if expected.is_none() {
            self.make_root()?;
        }
        let root = self.root()?;
        if let Some(sharing) = self.sharing {
            coherence::check(&root, &self.path, sharing)?;
        }
        let identity = match folder_of_identity(&root) {
            Err(error) if expected.is_none() && error.kind() == Io::NotFound => {
                self.initialised(&root, host, Beside::Nothing)?
            }
            Err(error) => return Err(self.no_identity(error)),
            Ok(own) => self.read_identity(&own)?,
        };
        self.same(&identity, expected, host)?;
        let own = root.open_dir(OWN).map_err(|error| self.no_identity(error))?;
        let stamp = own.stamp(IDENTITY).map_err(|error| self.no_identity(error))?;
        self.accept(identity.clone(), stamp, host);
        Ok(identity)
    }

    /// Writes `host` into the identity of the pool; where several hosts use it,
    /// that they do. One that they use and that is no pool, nor `known` as one, becomes
    /// a pool with all that it holds beside.
    ///
    /// # Errors
    /// `Unavailable` if there is no pool; `Invalid` if something has the names that a
    /// pool needs.
    pub fn take_over(&self, host: HostId, known: bool) -> Result<PoolIdentity> {
        let _claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        let root = self.root()?;
        let absent = folder_of_identity(&root).is_err_and(|error| error.kind() == Io::NotFound);
        if absent && !known && self.sharing.is_some() {
            self.initialised(&root, host, Beside::Others)?;
        }
        let own = folder_of_identity(&root).map_err(|error| self.no_identity(error))?;
        let old = self.read_identity(&own)?;
        let identity = PoolIdentity { pool: old.pool, host: self.owner(host) };
        if self.sharing.is_some() {
            let what = || format!("share `{}`", self.path.display());
            if old.host != Owner::Shared {
                // Records of an earlier time in which it was shared say nothing now.
                for folder in records::FOLDERS {
                    remove_folder(&root, folder).context(what)?;
                }
            }
            make_folders(&root, &records::FOLDERS).and_then(|()| own.sync()).context(what)?;
        }
        if identity != old {
            durable::replace(&own, IDENTITY, &identity.to_bytes())
                .context(|| format!("take `{}` over", self.path.display()))?;
            tracing::info!(pool = self.name, from = %old.host, to = %identity.host, "taken over");
        }
        let stamp = own.stamp(IDENTITY).map_err(|error| self.no_identity(error))?;
        self.accept(identity.clone(), stamp, host);
        Ok(identity)
    }

    /// Whom a pool that `host` makes belongs to.
    fn owner(&self, host: HostId) -> Owner {
        if self.sharing.is_some() { Owner::Shared } else { Owner::Host(host) }
    }

    /// Whether the identity found is the one that must be there.
    pub(crate) fn same(
        &self,
        found: &PoolIdentity,
        expected: Option<PoolId>,
        host: HostId,
    ) -> Result<()> {
        let path = self.path.display();
        if let Some(expected) = expected
            && expected != found.pool
        {
            return Err(Error::unavailable(format!(
                "`{path}` is the pool {}, not {expected}",
                found.pool
            ))
            .with_hint("mount the disk that belongs there, or correct the pool's `path`"));
        }
        let (error, hint) = match (found.host, self.sharing) {
            (Owner::Shared, Some(_)) => return Ok(()),
            (Owner::Host(owner), None) if owner == host => return Ok(()),
            (Owner::Shared, None) => (
                format!("`{path}` is shared by several hosts"),
                "set `shared = true` for this pool".to_owned(),
            ),
            (Owner::Host(owner), None) => (
                format!("`{path}` belongs to the host {owner}, this is {host}"),
                format!(
                    "if that host no longer uses it: `berth pool rebuild --take-over {}`",
                    self.name
                ),
            ),
            (Owner::Host(owner), Some(_)) => (
                format!("`{path}` belongs to the host {owner} alone"),
                format!(
                    "to share it, stop that host's daemon, then `berth pool rebuild --take-over {}`",
                    self.name
                ),
            ),
        };
        Err(Error::unavailable(error).with_hint(hint))
    }

    pub(crate) fn read_identity(&self, own: &Dir) -> Result<PoolIdentity> {
        let name = || format!("`{}`", self.path.join(OWN).join(IDENTITY).display());
        let bytes = own.read(IDENTITY, LIMIT).map_err(|error| match error.kind() {
            Io::InvalidData => Error::corrupt(name()).with_source(error),
            _ => self.no_identity(error),
        })?;
        PoolIdentity::from_bytes(&bytes).context(name)
    }

    /// Where the identity should be and is not, or cannot be read.
    pub(crate) fn no_identity(&self, error: io::Error) -> Error {
        let path = self.path.display();
        if error.kind() == Io::NotFound {
            Error::unavailable(format!("`{path}` holds no pool: is its disk mounted?"))
                .with_hint(format!("`findmnt --target {path}` says what is there"))
        } else {
            Error::unavailable(format!("the identity of `{path}` cannot be read"))
                .with_source(error)
        }
    }

    /// Makes the path's last component, if that is all that is missing.
    fn make_root(&self) -> Result<()> {
        let (Some(parent), Some(name)) =
            (self.path.parent(), self.path.file_name().and_then(|name| name.to_str()))
        else {
            return Ok(());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // A parent that is not there is told when the path itself is opened.
        let Ok(directory) = Dir::open(parent) else { return Ok(()) };
        let made = directory.make_dir(name, 0o700);
        if made.as_ref().is_err_and(|error| error.kind() == Io::AlreadyExists) {
            return Ok(());
        }
        made.and_then(|()| directory.sync()).context(|| format!("make `{}`", self.path.display()))
    }

    /// Makes a pool; where several hosts begin at once, one of them does.
    fn initialised(&self, root: &Dir, host: HostId, beside: Beside) -> Result<PoolIdentity> {
        let made = self.initialise(root, host, beside);
        match (self.sharing, folder_of_identity(root)) {
            (Some(_), Ok(own)) => self.read_identity(&own),
            _ => made,
        }
    }

    /// Makes a pool out of an empty place, or goes on where that was interrupted.
    fn initialise(&self, root: &Dir, host: HostId, beside: Beside) -> Result<PoolIdentity> {
        let path = self.path.display();
        self.refuse_foreign(root, beside)?;
        let identity = PoolIdentity { pool: PoolId::random(), host: self.owner(host) };
        let made = || -> io::Result<()> {
            make_folders(root, &[OWN, TRASH, VOLUMES])?;
            root.sync()?;
            let own = root.open_dir(OWN)?;
            if self.sharing.is_none() {
                return durable::replace(own, IDENTITY, &identity.to_bytes());
            }
            make_folders(root, &records::FOLDERS)?;
            let temporary = format!("{}.{IDENTITY}", identity.pool);
            durable::write_new(&own, &temporary, &identity.to_bytes())?;
            // Never over that of a host which was first.
            let linked = own.link(&temporary, &own, IDENTITY);
            own.unlink(&temporary)?;
            linked?;
            own.sync()
        };
        made().context(|| format!("make a pool of `{path}`"))?;
        tracing::info!(pool = self.name, id = %identity.pool, path = %path, "pool made");
        Ok(identity)
    }

    /// Only an empty place becomes a pool, unless it was said that others may stay. A
    /// new file system's `lost+found` and what an interrupted beginning left (without
    /// any volume) do not count.
    fn refuse_foreign(&self, root: &Dir, beside: Beside) -> Result<()> {
        let path = self.path.display();
        let read = || format!("read `{path}`");
        for name in root.names().context(read)? {
            let ours = match name.to_str() {
                Some("lost+found" | OWN) => true,
                Some(VOLUMES) => {
                    root.open_dir(VOLUMES).and_then(|dir| dir.is_empty()).context(read)?
                }
                _ => beside == Beside::Others,
            };
            if !ours {
                let hint = if self.sharing.is_some() && beside == Beside::Nothing {
                    format!(
                        "give the pool a folder of its own; to have it beside what is there, \
                         which nothing touches: `berth pool rebuild --take-over {}`",
                        self.name
                    )
                } else {
                    "give the pool a folder of its own".to_owned()
                };
                return Err(Error::invalid(format!(
                    "`{path}` is no pool and not empty: it holds `{}`",
                    name.to_string_lossy()
                ))
                .with_hint(hint));
            }
        }
        Ok(())
    }
}

/// What a new pool may have beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The place must be empty.
    Nothing,
    /// Directories of others, as the operator said.
    Others,
}

/// Makes the folders that are not there yet.
fn make_folders(root: &Dir, folders: &[&str]) -> io::Result<()> {
    for folder in folders {
        match root.make_dir(folder, 0o700) {
            Err(error) if error.kind() == Io::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes a folder of the pool's own, with all that is in it.
fn remove_folder(root: &Dir, folder: &str) -> Result<()> {
    let (own, name) = folder.split_once('/').unwrap_or((".", folder));
    let own = root.open_dir(own).context(|| format!("open `{own}`"))?;
    if own.has(name).context(|| format!("look for `{folder}`"))? {
        own.remove_tree(name, &mut || Ok(()))?;
    }
    Ok(())
}

/// The folder of the identity, if that is in it.
fn folder_of_identity(root: &Dir) -> io::Result<Dir> {
    let own = root.open_dir(OWN)?;
    if own.has(IDENTITY)? { Ok(own) } else { Err(Io::NotFound.into()) }
}
