//! Everything in the pool, in the trash and out of it.

use std::{ffi::OsStr, io::ErrorKind as Io};

use berth_api::{Error, Op, Result, Sidecar, VolumeId};
use berth_host::beneath::{Dir, is_foreign};

use crate::{
    pool::{TRASH, Tree, VOLUMES},
    volume::read_sidecar,
};

/// One entry of the pool.
#[derive(Debug)]
pub struct Entry {
    /// Its name in the pool: a volume's id, if it is one.
    pub name: String,
    /// What it says of itself, or why that cannot be read: `NotFound` if it is
    /// unfinished, `Corrupt` if it is damaged or no volume.
    pub sidecar: Result<Sidecar>,
    /// It is in the trash.
    pub trashed: bool,
}

impl Tree {
    /// Everything in the pool.
    ///
    /// # Errors
    /// `Unavailable` unless the listing is complete.
    pub fn list(&self, op: &Op) -> Result<Vec<Entry>> {
        let opened = self.opened()?;
        let mut entries = Vec::new();
        let places = [(opened.volumes(self)?, VOLUMES, false), (opened.trash(self)?, TRASH, true)];
        for (folder, place, trashed) in places {
            let names = folder.names().map_err(|error| self.unreadable(place, error))?;
            for name in names {
                op.check()?;
                if let Some(sidecar) = self.described(&folder, place, &name)? {
                    let name = name.to_string_lossy().into_owned();
                    entries.push(Entry { name, sidecar, trashed });
                }
            }
        }
        Ok(entries)
    }

    /// What one entry says of itself; `None` if it went away meanwhile.
    fn described(
        &self,
        folder: &Dir,
        place: &str,
        name: &OsStr,
    ) -> Result<Option<Result<Sidecar>>> {
        let Some((id, name)) =
            name.to_str().and_then(|name| Some((name.parse::<VolumeId>().ok()?, name)))
        else {
            return Ok(Some(Err(Error::corrupt("not the name of a volume"))));
        };
        let volume = match folder.open_dir(name) {
            Ok(volume) => volume,
            Err(error) if error.kind() == Io::NotFound => return Ok(None),
            Err(error) if is_foreign(&error) => {
                let error = Error::corrupt("no directory of this pool").with_source(error);
                return Ok(Some(Err(error)));
            }
            Err(error) => return Err(self.unreadable(place, error)),
        };
        Ok(Some(read_sidecar(&volume, id)))
    }
}
