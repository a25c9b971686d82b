//! New volumes with content: that of others, or what somebody puts there.

use berth_api::{Change, Context as _, Error, Fill, Op, Result, Sidecar, SnapshotId, VolumeId};
use berth_host::{beneath::Dir, durable};

use crate::{
    content,
    pool::{Opened, TRASH, Tree},
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
        self.make_with(sidecar, &what, |opened, folder| {
            let data = self.origin(from, snapshot)?;
            let limited = |_: &Dir| self.limit_new(opened, folder, sidecar.spec.options.size);
            content::carry(op, (&data, self.method(&data)?), folder, false, limited)
                .context(what)?;
            // What is deleted is moved away first. Another host may have done that, and
            // what it deleted meanwhile looks like what a container deleted.
            self.origin(from, snapshot)
                .map(drop)
                .context(|| "its origin went away while it was copied")
        })
    }

    /// Makes the volume of `sidecar` with the content that `fill` puts there. A half
    /// that an interrupted attempt left begins anew.
    ///
    /// # Errors
    /// Those of `fill`; `Exhausted` if it takes more than the limit; `Conflict` if the volume is in the trash.
    pub fn create_from(&self, op: &Op, sidecar: &Sidecar, fill: Fill<'_>) -> Result<Change> {
        let id = sidecar.spec.id;
        let what = || format!("pool `{}`: make volume {id}", self.name);
        self.make_with(sidecar, &what, |opened, folder| {
            let limited = |_: &Dir| self.limit_new(opened, folder, sidecar.spec.options.size);
            content::fill(op, folder, limited, fill).context(what)?;
            self.refuse_overfull(opened, folder).context(what)?;
            match self.relabelled(folder, id)? {
                Some(data) => data.sync().context(what),
                None => Ok(()),
            }
        })
    }

    /// Makes the volume of `sidecar`: `content` puts its content into its folder, the
    /// description comes last.
    fn make_with(
        &self,
        sidecar: &Sidecar,
        what: &dyn Fn() -> String,
        content: impl FnOnce(&Opened, &Dir) -> Result<()>,
    ) -> Result<Change> {
        let id = sidecar.spec.id;
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
        content(&opened, &folder)?;
        let made = folder.open_dir(DATA);
        let made = made.and_then(|data| adorn(&data, &sidecar.spec.options));
        made.and_then(|()| volumes.sync()).context(what)?;
        durable::replace(&folder, SIDECAR, &sidecar.to_bytes())
            .inspect_err(|_| {
                // A volume that was refused is not complete, if that can be had.
                let _ = folder.unlink(SIDECAR);
            })
            .context(what)?;
        Ok(Change::Done)
    }
}
