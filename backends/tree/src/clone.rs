//! New volumes with the content of others.

use berth_api::{Change, Context as _, Error, Op, Result, Sidecar, SnapshotId, VolumeId};
use berth_host::{beneath::Dir, durable};

use crate::{
    content,
    pool::{TRASH, Tree},
    volume::{DATA, SIDECAR, adorn, is_complete, made},
};

impl Tree {
    /// Makes the volume of `sidecar` with the content of the volume `from`, or of
    /// its snapshot. A half that an interrupted attempt left begins anew.
    ///
    /// # Errors
    /// `NotFound` if the origin is not there, or not any more; `Exhausted` if it does not fit;
    /// `Conflict` if the volume is in the trash, or cancelled.
    pub fn clone_volume(
        &self,
        op: &Op,
        from: VolumeId,
        snapshot: Option<SnapshotId>,
        sidecar: &Sidecar,
    ) -> Result<Change> {
        let id = sidecar.spec.id;
        let what = || format!("pool `{}`: make volume {id} of {from}", self.name);
        let opened = self.opened()?;
        let (volumes, name) = (opened.volumes(self)?, id.to_string());
        if opened.trash(self)?.has(&name).map_err(|error| self.unreadable(TRASH, error))? {
            return Err(self.named(Error::conflict(format!("volume {id} is in the trash"))));
        }
        let new = made(volumes.make_dir(&name, 0o700)).context(what)?;
        let folder = volumes.open_dir(&name).context(what)?;
        if !new && is_complete(&folder, id) {
            volumes.sync().and_then(|()| folder.sync()).context(what)?;
            return Ok(Change::Already);
        }
        let data = self.origin(from, snapshot)?;
        let limit = sidecar.spec.options.size;
        let limited = |_: &Dir| self.limit_new(&opened, &folder, limit);
        content::carry(op, &data, &folder, false, limited).context(what)?;
        // What is deleted is moved away first. Another host may have done that, and
        // what it deleted meanwhile looks like what a container deleted.
        self.origin(from, snapshot).context(|| "its origin went away while it was copied")?;
        let made = folder.open_dir(DATA);
        let made = made.and_then(|data| adorn(&data, &sidecar.spec.options));
        made.and_then(|()| volumes.sync()).context(what)?;
        durable::replace(&folder, SIDECAR, &sidecar.to_bytes()).context(what)?;
        Ok(Change::Done)
    }
}
