//! Remove, restore, purge.

use std::io::ErrorKind as Io;

use berth_api::{Change, Context as _, Error, Op, Result, VolumeId};
use berth_host::beneath::Dir;

use crate::{
    pool::{TRASH, Tree},
    volume::SIDECAR,
};

impl Tree {
    /// Moves the volume into the trash by one rename. Absent is `Already`.
    ///
    /// # Errors
    /// `Conflict` if the trash has one of that id; `Busy` if something is mounted
    /// on its folder.
    pub fn remove(&self, id: VolumeId) -> Result<Change> {
        let opened = self.opened()?;
        let (volumes, trash) = (opened.volumes(self)?, opened.trash(self)?);
        self.moved(id, &volumes, &trash, "move into the trash")
    }

    /// Moves the volume back out of the trash.
    ///
    /// # Errors
    /// `NotFound` if it is in neither place, or half deleted.
    pub fn restore(&self, id: VolumeId) -> Result<Change> {
        let opened = self.opened()?;
        let (volumes, trash) = (opened.volumes(self)?, opened.trash(self)?);
        let name = id.to_string();
        let there = trash.has(&name).map_err(|error| self.unreadable(TRASH, error))?;
        let whole = trash.open_dir(&name).and_then(|folder| folder.has(SIDECAR));
        if there && !whole.map_err(|error| self.unreadable(TRASH, error))? {
            return Err(
                self.named(Error::not_found(format!("volume {id} is being deleted for good")))
            );
        }
        if !there && !volumes.has(&name).map_err(|error| self.unreadable("volumes", error))? {
            return Err(self.named(Error::not_found(format!("volume {id} is not in the trash"))));
        }
        self.moved(id, &trash, &volumes, "move out of the trash")
    }

    /// Deletes the volume for good, wherever it is. Absent is `Already`.
    ///
    /// # Errors
    /// `Conflict` if cancelled, `Busy` naming a mount in it; a repetition goes on.
    pub fn purge(&self, op: &Op, id: VolumeId) -> Result<Change> {
        let opened = self.opened()?;
        let mut change = Change::Already;
        for place in [opened.trash(self)?, opened.volumes(self)?] {
            if self.deleted(op, id, &place)? {
                change = Change::Done;
            }
        }
        Ok(change)
    }

    fn moved(&self, id: VolumeId, from: &Dir, to: &Dir, what: &str) -> Result<Change> {
        let what = || format!("pool `{}`: volume {id}: {what}", self.name);
        let name = id.to_string();
        let change = match from.rename(&name, to, &name) {
            Ok(()) => Change::Done,
            // Perhaps the one who moved it was killed before that was synced.
            Err(error) if error.kind() == Io::NotFound => Change::Already,
            Err(error) if error.kind() == Io::AlreadyExists => {
                return Err(Error::conflict("one of that id is there already")).context(what);
            }
            Err(error) => return Err(error).context(what),
        };
        to.sync().and_then(|()| from.sync()).context(what)?;
        Ok(change)
    }

    fn deleted(&self, op: &Op, id: VolumeId, place: &Dir) -> Result<bool> {
        let what = || format!("pool `{}`: delete volume {id}", self.name);
        let name = id.to_string();
        if !place.has(&name).context(what)? {
            return Ok(false);
        }
        op.check().context(what)?;
        // What has no sidecar is not a volume any more, however far this gets. A
        // folder that is none goes as what it is.
        if let Ok(folder) = place.open_dir(&name) {
            match folder.unlink(SIDECAR) {
                Err(error) if error.kind() == Io::NotFound => {}
                other => other.and_then(|()| folder.sync()).context(what)?,
            }
            self.forget_limit(&folder);
        }
        let mut step = || {
            op.advance(0, 1);
            op.check()
        };
        place.remove_tree(&name, &mut step).context(what)?;
        place.sync().context(what)?;
        Ok(true)
    }
}
