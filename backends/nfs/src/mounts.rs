//! The two mounts of an export.

use std::{
    fs::DirBuilder,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use berth_api::{Context as _, Error, Result};
use berth_host::mounts::{Mount, Table};

use crate::{
    export::{Export, Version},
    mounting::{self, Look},
};

/// What Berth itself works on.
const CONTROL: &str = "control";
/// What containers see.
const DATA: &str = "data";

/// Where an export is mounted.
#[derive(Debug)]
pub(crate) struct Mounts {
    pub(crate) export: Export,
    pub(crate) control: PathBuf,
    pub(crate) data: PathBuf,
    /// The id of the data mount that this daemon made, while it is not known to be gone.
    /// Its source may name another address of the server: the kernel gives mounts of one
    /// file system one superblock, and shows the first one's.
    made: Mutex<Option<u64>>,
}

impl Mounts {
    /// Of `export`, below `place`. No I/O.
    pub(crate) fn new(export: Export, place: &Path) -> Self {
        Self {
            export,
            control: place.join(CONTROL),
            data: place.join(DATA),
            made: Mutex::default(),
        }
    }

    /// Sees to it that both are mounted and answer.
    ///
    /// # Errors
    /// `Unavailable`: no answer, or what the kernel said last.
    pub(crate) fn ensure(&self) -> Result<()> {
        let mut found = Found::default();
        for path in [&self.control, &self.data] {
            let Some(mount) = self.standing(path)? else {
                self.clear(path)?;
                continue;
            };
            match mounting::look(path)? {
                Look::Alive => found.version = version(&mount.super_options),
                Look::Stale => {
                    tracing::warn!(path = %path.display(), export = %self.export, "stale: mounted anew");
                    mounting::detach(path)?;
                    continue;
                }
                Look::Silent if self.moved(&mount.super_options) => {
                    tracing::warn!(path = %path.display(), export = %self.export, "the server has another address: mounted anew");
                    mounting::detach(path)?;
                    continue;
                }
                Look::Silent => {
                    return Err(Error::unavailable(mounting::no_answer()));
                }
            }
            found.there.push(path);
        }
        self.complete(&found)
    }

    /// The mount at `path`, if it is of the export.
    fn standing(&self, path: &Path) -> Result<Option<Mount>> {
        if let Some(mount) = mounting::mounted(&self.export, path)? {
            return Ok(Some(mount));
        }
        let made = *self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(table()?.at(path).filter(|mount| made == Some(mount.id)).cloned())
    }

    /// Mounts what is not there.
    fn complete(&self, found: &Found<'_>) -> Result<()> {
        let missing = [&self.control, &self.data].into_iter().filter(|path| !found.has(path));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let addresses = self.export.addresses()?;
        let options = self.export.options();
        // Both by one version: a clone on the server is made through the control mount.
        let mut versions =
            found.version.map_or_else(|| self.export.versions().to_vec(), |one| vec![one]);
        for path in missing {
            make_folder(path)?;
            let (version, address) =
                mounting::mount(&self.export, path, &addresses, &versions, |version, address| {
                    if *path == self.control {
                        options.control(version, address)
                    } else {
                        options.data(version, address)
                    }
                })?;
            tracing::info!(export = %self.export, %address, version = version.as_str(), path = %path.display(), "mounted");
            versions = vec![version];
            if *path == self.data {
                let made = table()?.at(path).map(|mount| mount.id);
                *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
            }
        }
        Ok(())
    }

    /// By which version and of which address it is mounted, as far as the mount table
    /// says.
    ///
    /// # Errors
    /// `Internal` if it cannot be read.
    pub(crate) fn shown(&self) -> Result<(Option<Version>, Option<IpAddr>)> {
        let table = table()?;
        let options = table.at(&self.data).map_or("", |mount| &mount.super_options);
        Ok((version(options), address(options)))
    }

    /// Takes away a mount of ours that is of another export than is configured now.
    fn clear(&self, path: &Path) -> Result<()> {
        let other = table()?.at(path).cloned();
        let Some(other) = other else { return Ok(()) };
        tracing::warn!(path = %path.display(), was = other.source, is = %self.export, "another export is configured now");
        mounting::detach(path)
    }

    /// Whether a silent mount is of an address that the server does not have any more.
    fn moved(&self, super_options: &str) -> bool {
        let Some(used) = address(super_options) else { return false };
        self.export.addresses().is_ok_and(|known| !known.contains(&used))
    }
}

/// Which of them are mounted, and answer.
#[derive(Debug, Default)]
struct Found<'a> {
    there: Vec<&'a Path>,
    version: Option<Version>,
}

impl Found<'_> {
    fn has(&self, path: &Path) -> bool {
        self.there.contains(&path)
    }
}

fn version(super_options: &str) -> Option<Version> {
    super_options.split(',').find_map(|option| option.strip_prefix("vers="))?.parse().ok()
}

fn address(super_options: &str) -> Option<IpAddr> {
    super_options.split(',').find_map(|option| option.strip_prefix("addr="))?.parse().ok()
}

pub(crate) fn table() -> Result<Table> {
    Table::read().context(|| "read the mount table")
}

/// Makes a mountpoint, with what is above it below the daemon's root.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let what = || format!("make `{}`", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).context(what)
}
