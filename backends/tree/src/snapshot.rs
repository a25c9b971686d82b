//! Snapshots: take, remove, look, list.
//!
//! ```text
//! POOL/volumes/<id>/snapshots/<sid>/snapshot.json   written last
//! POOL/volumes/<id>/snapshots/<sid>/data/           nobody can write there
//! POOL/volumes/<id>/snapshots/<sid>/origins         where copied file by file
//! POOL/.berth/purge/<sid>/                          removed, being deleted
//! ```
//! A snapshot is complete when `snapshot.json` and `data` are there. It lies in its volume's folder
//! and goes into the trash and out of it with it.

use std::io::{self, ErrorKind as Io};

use berth_api::{
    Change, Consistency, Content, Context as _, Error, Estimate, Observed, Op, Result, SnapshotId,
    SnapshotSidecar, VolumeId,
};
use berth_host::{
    beneath::{Dir, is_foreign},
    durable,
};

use crate::{
    content::{self, ORIGINS},
    pool::{PURGE, Tree},
    volume::{self, DATA, made},
};

/// The folder of a volume's snapshots.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// The self-description.
pub(crate) const SIDECAR: &str = "snapshot.json";

/// One entry of a volume's folder of snapshots.
#[derive(Debug)]
pub struct SnapshotEntry {
    /// Its name there: a snapshot's id, if it is one.
    pub name: String,
    /// What it says of itself: `NotFound` if it is unfinished, `Corrupt` if it is
    /// damaged or no snapshot.
    pub sidecar: Result<SnapshotSidecar>,
}

impl Tree {
    /// What copying the volume's content, or that of its snapshot, would take.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub fn estimate(
        &self,
        op: &Op,
        id: VolumeId,
        snapshot: Option<SnapshotId>,
        measure: bool,
    ) -> Result<Estimate> {
        let data = self.origin(id, snapshot)?;
        content::estimate(&data, self.method(&data)?, op, measure)
            .map_err(|error| self.named(error))
    }

    /// Takes a snapshot of the volume `id`; see `berth_api::Snapshots::create`. One
    /// that is whole is confirmed also in the trash, where its volume may have gone
    /// before that was recorded.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there; `Exhausted` if it does not fit.
    pub fn create_snapshot(
        &self,
        op: &Op,
        id: VolumeId,
        sidecar: &SnapshotSidecar,
        quiet: &dyn Fn() -> bool,
    ) -> Result<SnapshotSidecar> {
        let snapshot = sidecar.id;
        let what = || format!("pool `{}`: snapshot {snapshot} of volume {id}", self.name);
        let (volume, name) = (self.wherever(id)?, snapshot.to_string());
        // On a full disk it could not be made, and no snapshot be removed.
        self.opened()?.purge(self)?;
        made(volume.make_dir(SNAPSHOTS, 0o700)).context(what)?;
        let all = volume.open_dir(SNAPSHOTS).context(what)?;
        made(all.make_dir(&name, 0o700)).context(what)?;
        let folder = all.open_dir(&name).context(what)?;
        if let Ok(there) = read_sidecar(&folder, snapshot, id) {
            // Perhaps the one who made it was killed before it was synced.
            all.sync().and_then(|()| folder.sync()).context(what)?;
            return Ok(there);
        }
        let data = self.content_of(&volume, id)?;
        // The folders above need no sync of their own: it makes them durable too.
        let method = self.method(&data).context(what)?;
        content::carry(op, (&data, method), &folder, true, |_| Ok(())).context(what)?;
        freeze(&folder).context(what)?;
        let consistency = if quiet() { Consistency::Quiesced } else { method.consistency() };
        let sidecar = SnapshotSidecar { consistency, ..sidecar.clone() };
        durable::replace(&folder, SIDECAR, &sidecar.to_bytes()).context(what)?;
        Ok(sidecar)
    }

    /// Takes the snapshot out of its volume by one rename; what is left of it
    /// waits for [`purge_snapshot`](Self::purge_snapshot). Absent is `Already`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_snapshot(&self, id: VolumeId, snapshot: SnapshotId) -> Result<Change> {
        let what = || format!("pool `{}`: remove snapshot {snapshot}", self.name);
        let (opened, name) = (self.opened()?, snapshot.to_string());
        let Some(all) = self.snapshots_of(id)? else { return Ok(Change::Already) };
        let purge = opened.purge(self)?;
        let change = match all.rename(&name, &purge, &name) {
            Ok(()) => Change::Done,
            Err(error) if error.kind() == Io::NotFound => Change::Already,
            other => return other.map(|()| Change::Done).context(what),
        };
        purge.sync().and_then(|()| all.sync()).context(what)?;
        Ok(change)
    }

    /// Deletes a removed snapshot for good. Absent is `Already`.
    ///
    /// # Errors
    /// `Conflict` if cancelled, `Busy` naming a mount in it; a repetition goes on.
    pub fn purge_snapshot(&self, op: &Op, snapshot: SnapshotId) -> Result<Change> {
        let what = || format!("pool `{}`: delete snapshot {snapshot}", self.name);
        let (purge, name) = (self.opened()?.purge(self)?, snapshot.to_string());
        if !purge.has(&name).context(what)? {
            return Ok(Change::Already);
        }
        let mut step = || {
            op.advance(0, 1);
            op.check()
        };
        purge.remove_tree(&name, &mut step).context(what)?;
        purge.sync().context(what)?;
        Ok(Change::Done)
    }

    /// Deletes all that was removed and waits for that.
    ///
    /// # Errors
    /// As [`purge_snapshot`](Self::purge_snapshot).
    pub fn sweep(&self, op: &Op) -> Result<()> {
        let purge = self.opened()?.purge(self)?;
        for name in purge.names().map_err(|error| self.unreadable(PURGE, error))? {
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                self.purge_snapshot(op, id)?;
            }
        }
        Ok(())
    }

    /// What is really there.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told.
    pub fn inspect_snapshot(&self, id: VolumeId, snapshot: SnapshotId) -> Result<Observed> {
        let name = snapshot.to_string();
        if let Some(all) = self.snapshots_of(id)?
            && let Some(folder) = self.found(&all, &name)?
        {
            return match read_sidecar(&folder, snapshot, id) {
                Ok(_) if folder.open_place(DATA).is_ok() => Ok(Observed::Present { empty: false }),
                Err(error) if error.kind() == berth_api::ErrorKind::Unavailable => {
                    Err(self.named(error))
                }
                _ => Ok(Observed::Incomplete),
            };
        }
        let purge = self.found(&self.opened()?.root, PURGE)?;
        let there = purge.map_or(Ok(false), |purge| purge.has(&name));
        let there = there.map_err(|error| self.unreadable(PURGE, error))?;
        Ok(if there { Observed::Trashed } else { Observed::Absent })
    }

    /// All snapshots of the volume, live or in the trash, unfinished ones too.
    ///
    /// # Errors
    /// `Unavailable` unless the listing is complete.
    pub fn list_snapshots(&self, op: &Op, id: VolumeId) -> Result<Vec<SnapshotEntry>> {
        let mut entries = Vec::new();
        let Some(all) = self.snapshots_of(id)? else { return Ok(entries) };
        for name in all.names().map_err(|error| self.unreadable(SNAPSHOTS, error))? {
            op.check()?;
            let shown = name.to_string_lossy().into_owned();
            let sidecar = match shown.parse::<SnapshotId>() {
                Err(_) => Err(Error::corrupt("not the name of a snapshot")),
                Ok(snapshot) => match all.open_dir(&shown) {
                    Ok(folder) => read_sidecar(&folder, snapshot, id),
                    Err(error) if error.kind() == Io::NotFound => continue,
                    Err(error) if is_foreign(&error) => {
                        Err(Error::corrupt("no directory of this pool").with_source(error))
                    }
                    Err(error) => return Err(self.unreadable(SNAPSHOTS, error)),
                },
            };
            entries.push(SnapshotEntry { name: shown, sidecar });
        }
        Ok(entries)
    }

    /// The content of a volume or of its snapshot, which must be whole.
    pub(crate) fn origin(&self, id: VolumeId, snapshot: Option<SnapshotId>) -> Result<Dir> {
        let volume = self.live(id)?;
        match snapshot {
            Some(snapshot) => self.whole(&volume, id, snapshot).map(|(_, data)| data),
            None => self.content_of(&volume, id),
        }
    }

    /// The folder and the content of a snapshot, which must be whole.
    fn whole(&self, volume: &Dir, id: VolumeId, snapshot: SnapshotId) -> Result<(Dir, Dir)> {
        let gone = || self.named(Error::not_found(format!("snapshot {snapshot} is not there")));
        let folder = match volume.open_dir(&format!("{SNAPSHOTS}/{snapshot}")) {
            Err(error) if error.kind() == Io::NotFound => return Err(gone()),
            other => other.map_err(|error| self.unreadable(SNAPSHOTS, error))?,
        };
        read_sidecar(&folder, snapshot, id).map_err(|error| self.named(error))?;
        let data = folder.open_dir(DATA).map_err(|error| match error.kind() {
            Io::NotFound => gone(),
            _ => self.unreadable(SNAPSHOTS, error),
        })?;
        Ok((folder, data))
    }

    /// Opens the content of a volume, or of its snapshot, for reading: its top, and
    /// what stands beside a copy that was made file by file.
    ///
    /// # Errors
    /// `NotFound` if it is not there or not whole; `Corrupt`, `Unavailable`.
    pub fn content(&self, id: VolumeId, snapshot: Option<SnapshotId>) -> Result<Content> {
        let volume = self.live(id)?;
        let Some(snapshot) = snapshot else {
            volume::read_sidecar(&volume, id).map_err(|error| self.named(error))?;
            let data = self.content_of(&volume, id)?;
            // What may lie beside it is of the time when it was made as a clone.
            return Ok(Content::Directory { data: data.into(), origins: None });
        };
        let (folder, data) = self.whole(&volume, id, snapshot)?;
        let origins = match folder.open_file(ORIGINS) {
            Ok(file) => Some(file.into()),
            Err(error) if error.kind() == Io::NotFound => None,
            Err(error) => return Err(self.unreadable(SNAPSHOTS, error)),
        };
        Ok(Content::Directory { data: data.into(), origins })
    }

    /// The folder of a volume's snapshots, live or in the trash.
    fn snapshots_of(&self, id: VolumeId) -> Result<Option<Dir>> {
        let (opened, name) = (self.opened()?, id.to_string());
        for place in [opened.volumes(self)?, opened.trash(self)?] {
            if let Some(volume) = self.found(&place, &name)? {
                return self.found(&volume, SNAPSHOTS);
            }
        }
        Ok(None)
    }
}

/// Nobody writes into a snapshot: where the file system can hold that, it does.
pub(crate) fn freeze(folder: &Dir) -> io::Result<()> {
    let data = folder.open_dir(DATA)?;
    if data.is_subvolume()? { data.set_read_only(true) } else { Ok(()) }
}

/// Reads the description of the snapshot `id` of `volume`.
///
/// # Errors
/// `NotFound` if there is none, `Corrupt` if it is damaged or another's,
/// `Unavailable` if that cannot be told.
pub(crate) fn read_sidecar(
    folder: &Dir,
    id: SnapshotId,
    volume: VolumeId,
) -> Result<SnapshotSidecar> {
    let bytes = folder.read(SIDECAR, SnapshotSidecar::MAX).map_err(|error| match error.kind() {
        Io::NotFound => Error::not_found("it has no `snapshot.json`"),
        _ if is_foreign(&error) => Error::corrupt("`snapshot.json`").with_source(error),
        _ => Error::unavailable("`snapshot.json` cannot be read").with_source(error),
    })?;
    let sidecar = SnapshotSidecar::from_bytes(&bytes)?;
    if sidecar.id != id || sidecar.volume != volume {
        let (other, of) = (sidecar.id, sidecar.volume);
        return Err(Error::corrupt(format!("`snapshot.json` is of {other}, of volume {of}")));
    }
    Ok(sidecar)
}
