//! Mounts of volumes that have options of their own.
//!
//! ```text
//! PLACE/data-<id>   what the volume <id> is shown through, with its `mount-options`
//! ```
//! One for each such volume, and anew whenever it is mounted. The kernel gives what it
//! was once allowed to cache to a mount and not to the host: another mount on the same
//! host is not told of a write (the server takes both for one client). So no content is
//! ever shown through two of them, nor through one that was there before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use berth_api::{Error, Result, VolumeId};
use berth_host::mounts::{Mount, Table};

use crate::{
    mounting::{self, Look},
    mounts::{Mounts, make_folder, table},
    options::Options,
};

/// How their names begin, before the id.
const PREFIX: &str = "data-";

impl Mounts {
    /// Sees to it that the export is mounted for the volume alone, and says where. A
    /// mount that it is shown through now stays as it is.
    ///
    /// # Errors
    /// `Unavailable`: no answer, or what the kernel said last.
    pub(crate) fn ensure_own(&self, id: VolumeId, options: &Options) -> Result<PathBuf> {
        let path = self.own(id);
        if let Some(mount) = mounting::mounted(&self.export, &path)? {
            match mounting::look(&path)? {
                Look::Alive if is_shown(&table()?, &mount) => return Ok(path),
                Look::Silent if is_shown(&table()?, &mount) => {
                    return Err(Error::unavailable(mounting::no_answer()));
                }
                Look::Alive | Look::Stale | Look::Silent => mounting::detach(&path)?,
            }
        }
        let (version, address) = self.shown()?;
        let versions = version.map_or_else(|| self.export.versions().to_vec(), |one| vec![one]);
        let addresses = address.map_or_else(|| self.export.addresses(), |one| Ok(vec![one]))?;
        make_folder(&path)?;
        let mounted =
            mounting::mount(&self.export, &path, &addresses, &versions, |version, address| {
                options.own(version, address)
            });
        if mounted.is_err() {
            let _ = fs::remove_dir(&path);
        }
        mounted.map(|_| path)
    }

    /// Takes the volume's own mount away, if it has one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn drop_own(&self, id: VolumeId) -> Result<bool> {
        let path = self.own(id);
        // Most volumes have none, and the table is dear.
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Ok(false);
        }
        let there = table()?.at(&path).is_some();
        if there {
            mounting::detach(&path)?;
        }
        let _ = fs::remove_dir(&path);
        Ok(there)
    }

    /// Takes away those that no volume is shown through: what a crash left.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn drop_unused(&self) -> Result<()> {
        let table = table()?;
        for mount in self.own_mounts(&table).filter(|mount| !is_shown(&table, mount)) {
            mounting::detach(&mount.mountpoint)?;
            let _ = fs::remove_dir(&mount.mountpoint);
        }
        Ok(())
    }

    /// All that containers write through.
    ///
    /// # Errors
    /// `Internal` if the mount table cannot be read.
    pub(crate) fn written(&self) -> Result<Vec<PathBuf>> {
        let table = table()?;
        let own = self.own_mounts(&table).map(|mount| mount.mountpoint.clone());
        Ok([self.data.clone()].into_iter().chain(own).collect())
    }

    fn own(&self, id: VolumeId) -> PathBuf {
        self.place().join(format!("{PREFIX}{id}"))
    }

    fn own_mounts<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Mount> {
        table.mounts.iter().filter(|mount| {
            let name = mount.mountpoint.file_name().and_then(|name| name.to_str());
            mount.mountpoint.parent() == Some(self.place())
                && name.is_some_and(|name| name.starts_with(PREFIX))
        })
    }

    fn place(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }
}

/// Whether a directory of it is mounted somewhere else: at the volume's mountpoint.
fn is_shown(table: &Table, own: &Mount) -> bool {
    table.mounts.iter().any(|mount| {
        mount.device == own.device && mount.id != own.id && mount.mountpoint != own.mountpoint
    })
}
