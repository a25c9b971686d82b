//! What a volume shows: its own `data`, or a directory of others (`subdir`).
//!
//! ```text
//! POOL/volumes/<id>/volume.json     options: subdir = "projects/web"
//! POOL/volumes/<id>/snapshots/      its own, as those of every volume
//! POOL/projects/web/                what it shows; never made, moved or removed here
//! ```
//! Such a volume has no `data`, so that all that takes a volume's folder away (removal,
//! purge) cannot reach what others own.

use std::{
    io::{self, ErrorKind as Io},
    os::fd::OwnedFd,
    path::PathBuf,
};

use berth_api::{Context as _, Error, Result, Subdir, VolumeId};
use berth_host::beneath::{Dir, Stat, is_foreign};

use crate::{
    pool::{OWN, Opened, Tree, VOLUMES},
    volume::{DATA, read_sidecar},
};

impl Tree {
    /// Makes sure that there is a directory to show.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` if something else is there, or a link or
    /// a mount on the way; `Unavailable`.
    pub fn shows(&self, subdir: &Subdir) -> Result<()> {
        self.directory(&self.opened()?, subdir).map(drop)
    }

    /// Opens a directory of others.
    ///
    /// # Errors
    /// As [`shows`](Self::shows).
    pub(crate) fn directory(&self, opened: &Opened, subdir: &Subdir) -> Result<Dir> {
        let found = opened.root.open_dir(subdir.as_str());
        let found = found.map_err(|error| self.not_shown(subdir, error))?;
        // A server that takes `VOLUMES` for `volumes` would let it in by another name.
        let first = subdir.as_str().split('/').next().unwrap_or_default();
        let inode = |name: &str| Stat::of(&opened.root.open_dir(name)?).map(|stat| stat.inode);
        let what = || self.path.display().to_string();
        for own in [OWN, VOLUMES] {
            if inode(own).context(what)? == inode(first).context(what)? {
                return Err(self.named(Error::invalid(format!(
                    "`{subdir}` is in what the pool keeps for itself"
                ))));
            }
        }
        Ok(found)
    }

    /// The content of the volume in `folder`.
    ///
    /// # Errors
    /// `NotFound` if it is not there; `Corrupt` if something else is; `Unavailable`.
    pub(crate) fn content_of(&self, folder: &Dir, id: VolumeId) -> Result<Dir> {
        match folder.open_dir(DATA) {
            Err(error) if error.kind() == Io::NotFound => match subdir_of(folder, id) {
                Some(subdir) => self.directory(&self.opened()?, &subdir),
                None => Err(self.damaged(id, error)),
            },
            other => other.map_err(|error| self.damaged(id, error)),
        }
    }

    /// The same as a place to mount, and where it is.
    ///
    /// # Errors
    /// As [`content_of`](Self::content_of).
    pub(crate) fn place_of(&self, folder: &Dir, id: VolumeId) -> Result<(OwnedFd, PathBuf)> {
        match folder.open_place(DATA) {
            Err(error) if error.kind() == Io::NotFound => match subdir_of(folder, id) {
                Some(subdir) => {
                    let opened = self.opened()?;
                    self.directory(&opened, &subdir)?;
                    let place = opened.root.open_place(subdir.as_str());
                    let place = place.map_err(|error| self.not_shown(&subdir, error))?;
                    Ok((place, self.path.join(subdir.as_str())))
                }
                None => Err(self.damaged(id, error)),
            },
            other => {
                let place = other.map_err(|error| self.damaged(id, error))?;
                Ok((place, self.path.join(VOLUMES).join(id.to_string()).join(DATA)))
            }
        }
    }

    fn not_shown(&self, subdir: &Subdir, error: io::Error) -> Error {
        let path = self.path.display();
        self.named(match error.kind() {
            Io::NotFound => {
                Error::not_found(format!("there is no directory `{subdir}` in `{path}`"))
                    .with_hint("`subdir` shows a directory that is there; make it first")
            }
            _ if is_foreign(&error) => Error::invalid(format!(
                "`{subdir}` in `{path}` is no directory, or a link or a mount leads to it"
            ))
            .with_source(error),
            _ => Error::unavailable(format!("`{subdir}` in `{path}` cannot be opened"))
                .with_source(error),
        })
    }
}

/// The directory of others that the volume in `folder` shows, as far as it says so.
pub(crate) fn subdir_of(folder: &Dir, id: VolumeId) -> Option<Subdir> {
    read_sidecar(folder, id).ok()?.spec.options.subdir
}
