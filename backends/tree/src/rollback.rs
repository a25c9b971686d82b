//! Other content in the place of a volume's, without losing what is there now: going
//! back to a snapshot, or to what somebody puts there.
//!
//! ```text
//!                     .rollback/data          the other content, being made
//! (sync, rename)      .rollback.ready/data    whole: from here on it goes forward
//! (write)             snapshots/<kept>/snapshot.json
//! (rename)  data ──▶ snapshots/<kept>/data    the volume has no content for a moment
//! (rename)  .rollback.ready/data ──▶ data
//! ```
//! Two renames and not one exchange: after an exchange nothing tells the two
//! contents apart, and a repetition would take the old one for the copy. Each
//! step can be repeated, and looks at what is there.

use std::io::{self, ErrorKind as Io};

use berth_api::{
    Change, Context as _, Error, Fill, Op, Result, SnapshotId, SnapshotSidecar, VolumeId,
};
use berth_host::{beneath::Dir, durable};

use crate::{
    content,
    pool::Tree,
    snapshot::{self, SNAPSHOTS},
    subdir::subdir_of,
    volume::{DATA, made, read_sidecar},
};

/// The other content while it is being made.
const STAGE: &str = ".rollback";
/// The other content when it is whole.
const READY: &str = ".rollback.ready";

impl Tree {
    /// Puts a copy of the snapshot `to` in the place of the content, owner and mode
    /// of its top included; what was there becomes the snapshot that `kept`
    /// describes. See `berth_api::Snapshots::roll_back`. A volume may have been
    /// removed in the middle of it: it is completed in the trash as well.
    ///
    /// # Errors
    /// `NotFound` if volume or snapshot are not there; `Exhausted` if the copy does
    /// not fit; `Busy` if something is mounted on the content.
    pub fn roll_back(&self, op: &Op, to: SnapshotId, kept: &SnapshotSidecar) -> Result<Change> {
        let id = kept.volume;
        let what = || format!("pool `{}`: roll volume {id} back", self.name);
        self.put_in_place(kept, &what, |volume| {
            let data = self.origin(id, Some(to))?;
            Self::stage(volume, |stage| {
                content::carry(op, (&data, self.method(&data)?), stage, false, |new| {
                    self.prepare_content(new)
                })
            })
            .context(what)
        })
    }

    /// Puts the content that `fill` makes in the place of the present one, which
    /// becomes the snapshot that `kept` describes. See `berth_api::Snapshots::replace`;
    /// all else is as in [`roll_back`](Self::roll_back).
    ///
    /// # Errors
    /// Those of `fill`; `NotFound` if the volume is not there; `Busy` if something is
    /// mounted on the content.
    pub fn replace(&self, op: &Op, kept: &SnapshotSidecar, fill: Fill<'_>) -> Result<Change> {
        let id = kept.volume;
        let what = || format!("pool `{}`: replace the content of volume {id}", self.name);
        self.put_in_place(kept, &what, |volume| {
            Self::stage(volume, |stage| {
                content::fill(op, stage, |new| self.prepare_content(new), fill)?;
                match self.relabelled(stage, id)? {
                    Some(data) => data.sync().context(what),
                    None => Ok(()),
                }
            })
            .context(what)
        })
    }

    /// Puts what `stage` makes whole in the place of the content. Goes on where an
    /// interrupted attempt stopped.
    fn put_in_place(
        &self,
        kept: &SnapshotSidecar,
        what: &dyn Fn() -> String,
        stage: impl FnOnce(&Dir) -> Result<()>,
    ) -> Result<Change> {
        let id = kept.volume;
        let volume = self.wherever(id)?;
        if subdir_of(&volume, id).is_some() {
            return Err(Error::unsupported("it shows a directory of others")).context(what);
        }
        let place = format!("{SNAPSHOTS}/{}", kept.id);
        if !is_exchanged(&volume, &place).context(what)? {
            if !volume.has(READY).context(what)? {
                stage(&volume)?;
            }
            exchange(&volume, &place, kept).context(what)?;
        }
        heal(&volume).context(what)?;
        let limit = read_sidecar(&volume, id).ok().and_then(|own| own.spec.options.size);
        self.adopt_content(&volume, limit).context(what)?;
        snapshot::freeze(&volume.open_dir(&place).context(what)?).context(what)?;
        clear(&volume).context(what)?;
        Ok(Change::Done)
    }

    /// Makes the other content whole, which counts for itself.
    fn stage(volume: &Dir, content: impl FnOnce(&Dir) -> Result<()>) -> Result<()> {
        let what = || "make the other content";
        made(volume.make_dir(STAGE, 0o700)).context(what)?;
        let stage = volume.open_dir(STAGE).context(what)?;
        content(&stage)?;
        stage.sync().context(what)?;
        volume.rename(STAGE, volume, READY).and_then(|()| volume.sync()).context(what)
    }

    /// Takes an unfinished rollback back: `false` if the content was exchanged
    /// already. The copy, however large it is, is moved away as if it were the
    /// removed snapshot `kept`, for [`purge_snapshot`](Self::purge_snapshot).
    ///
    /// # Errors
    /// The kernel's.
    pub fn undo_roll_back(&self, op: &Op, id: VolumeId, kept: SnapshotId) -> Result<bool> {
        let what = || format!("pool `{}`: undo a rollback of volume {id}", self.name);
        let volume = self.wherever(id)?;
        let place = format!("{SNAPSHOTS}/{kept}");
        if is_exchanged(&volume, &place).context(what)? {
            return Ok(false);
        }
        let purge = self.opened()?.purge(self)?;
        for name in [STAGE, READY] {
            match volume.rename(name, &purge, &kept.to_string()) {
                Ok(()) => purge.sync().and_then(|()| volume.sync()).context(what)?,
                Err(error) if error.kind() == Io::NotFound => {}
                // Of an attempt before.
                Err(error) if error.kind() == Io::AlreadyExists => {
                    volume.remove_tree(name, &mut || op.check()).context(what)?;
                    volume.sync().context(what)?;
                }
                other => other.context(what)?,
            }
        }
        // Nothing but a description can be in it.
        if let Some((folder, name)) = parent(&volume, &place).context(what)? {
            folder.remove_tree(name, &mut || op.check()).context(what)?;
            folder.sync().context(what)?;
        }
        Ok(true)
    }
}

/// The old content becomes the kept snapshot's.
fn exchange(volume: &Dir, place: &str, kept: &SnapshotSidecar) -> Result<()> {
    let what = || "keep the present content";
    let keep = || -> io::Result<()> {
        made(volume.make_dir(SNAPSHOTS, 0o700))?;
        made(volume.make_dir(place, 0o700))?;
        volume.open_dir(SNAPSHOTS)?.sync()?;
        let folder = volume.open_dir(place)?;
        durable::replace(&folder, snapshot::SIDECAR, &kept.to_bytes())?;
        volume.rename(DATA, &folder, DATA)?;
        folder.sync()?;
        volume.sync()
    };
    keep().context(what)
}

/// Puts a whole copy in the place of content that was moved away: the middle of a
/// rollback, met by itself or by whoever needs the volume.
pub(crate) fn heal(volume: &Dir) -> io::Result<()> {
    if volume.has(DATA)? || !volume.has(READY)? {
        return Ok(());
    }
    let ready = volume.open_dir(READY)?;
    ready.rename(DATA, volume, DATA)?;
    volume.sync()?;
    ready.sync()
}

/// Whether the old content was moved away already.
fn is_exchanged(volume: &Dir, place: &str) -> io::Result<bool> {
    match volume.open_dir(place) {
        Ok(folder) => folder.has(DATA),
        Err(error) if error.kind() == Io::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the copy came in goes, and copies of a rollback that nobody remembers.
pub(crate) fn clear(volume: &Dir) -> Result<()> {
    let mut cleared = false;
    for name in [STAGE, READY] {
        if volume.has(name).context(|| "look for a copy")? {
            volume.remove_tree(name, &mut || Ok(()))?;
            cleared = true;
        }
    }
    if cleared { volume.sync().context(|| "clear up") } else { Ok(()) }
}

/// The folder that `path` lies in and its last component; `None` if that folder is
/// not there.
fn parent<'a>(volume: &Dir, path: &'a str) -> io::Result<Option<(Dir, &'a str)>> {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    match volume.open_dir(folder) {
        Ok(folder) => Ok(Some((folder, name))),
        Err(error) if error.kind() == Io::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
