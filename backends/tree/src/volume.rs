//! Create, describe, attach, inspect.

use std::{
    io::{self, ErrorKind as Io},
    os::fd::OwnedFd,
    path::PathBuf,
};

use berth_api::{
    Change, Context as _, Error, Label, Observed, Options, Result, Sidecar, VolumeId, options::Mode,
};
use berth_host::{
    beneath::{Dir, is_foreign},
    durable, label,
};

use crate::{
    pool::{Opened, TRASH, Tree, VOLUMES},
    rollback,
    subdir::subdir_of,
};

/// The self-description.
pub(crate) const SIDECAR: &str = "volume.json";
/// The content.
pub(crate) const DATA: &str = "data";

/// The mode of a top directory for which none was asked.
pub(crate) const MODE: u32 = 0o755;

impl Tree {
    /// Makes the volume, or completes what is there of it.
    ///
    /// Three syncs: the folder of volumes, the sidecar, the volume's folder; one
    /// more for `data` if owner or mode were asked for.
    ///
    /// # Errors
    /// `Conflict` if it is in the trash; `Exhausted`, `Unavailable`.
    pub fn create(&self, id: VolumeId, sidecar: &Sidecar) -> Result<Change> {
        let opened = self.opened()?;
        let (volumes, name) = (opened.volumes(self)?, id.to_string());
        if opened.trash(self)?.has(&name).map_err(|error| self.unreadable(TRASH, error))? {
            return Err(self.named(Error::conflict(format!("volume {id} is in the trash"))));
        }
        let what = || format!("pool `{}`: make volume {id}", self.name);
        let new = made(volumes.make_dir(&name, 0o700)).context(what)?;
        let folder = volumes.open_dir(&name).context(what)?;
        if !new && is_complete(&folder, id) {
            // Perhaps the one who made it was killed before it was synced.
            volumes.sync().and_then(|()| folder.sync()).context(what)?;
            return Ok(Change::Already);
        }
        let made = self
            .prepared(&opened, &folder, &sidecar.spec.options)
            .context(what)
            .and_then(|()| volumes.sync().context(what))
            .and_then(|()| durable::replace(&folder, SIDECAR, &sidecar.to_bytes()).context(what));
        if made.is_err() {
            // A volume that was refused is not complete, if that can be had.
            let _ = folder.unlink(SIDECAR);
        }
        made?;
        Ok(Change::Done)
    }

    /// Makes the content; that of a volume that shows a directory of others is there.
    fn prepared(&self, opened: &Opened, folder: &Dir, options: &Options) -> Result<()> {
        if let Some(subdir) = &options.subdir {
            return self.directory(opened, subdir).map(drop);
        }
        prepare(folder, options, self.label.as_ref()).context(|| "make its directory")?;
        self.limit_new(opened, folder, options.size)
    }

    /// Puts changed options in force; no sync.
    ///
    /// What is as before is left alone: a container may have given its own
    /// directory another owner since.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there.
    pub fn apply(&self, id: VolumeId, sidecar: &Sidecar) -> Result<Change> {
        let folder = self.live(id)?;
        let old = read_sidecar(&folder, id);
        let limited = self.limit_in_force(&folder, id, old.as_ref().ok(), sidecar)?;
        let changed = self.put_in_force(&folder, id, old.as_ref().ok(), sidecar)?;
        Ok(if limited || changed.is_some() { Change::Done } else { Change::Already })
    }

    /// The content's directory, if its owner or mode had to change.
    fn put_in_force(
        &self,
        folder: &Dir,
        id: VolumeId,
        old: Option<&Sidecar>,
        new: &Sidecar,
    ) -> Result<Option<Dir>> {
        let (before, after) = (old.map(|old| &old.spec.options), &new.spec.options);
        let uid = changed(before, after, |options| options.uid);
        let gid = changed(before, after, |options| options.gid);
        let mode = changed(before, after, |options| options.mode.map(Mode::bits));
        if uid.or(gid).or(mode).is_none() {
            return Ok(None);
        }
        let data = folder.open_dir(DATA).map_err(|error| self.damaged(id, error))?;
        let what = || format!("pool `{}`: change the owner of volume {id}", self.name);
        let was = data.access().context(what)?;
        data.set_access(uid, gid, mode)
            .inspect_err(|_| {
                // Half of it is not what anybody asked for.
                let _ = data.set_access(
                    uid.and(Some(was.uid)),
                    gid.and(Some(was.gid)),
                    mode.and(Some(was.mode)),
                );
            })
            .context(what)?;
        Ok(Some(data))
    }

    /// [`apply`](Self::apply), durably, and the sidecar written anew.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there.
    pub fn describe(&self, id: VolumeId, sidecar: &Sidecar) -> Result<Change> {
        let folder = self.live(id)?;
        let what = || format!("pool `{}`: describe volume {id}", self.name);
        rollback::heal(&folder).context(what)?;
        rollback::clear(&folder).context(what)?;
        let old = read_sidecar(&folder, id);
        self.limit_in_force(&folder, id, old.as_ref().ok(), sidecar)?;
        let changed = self.put_in_force(&folder, id, old.as_ref().ok(), sidecar)?;
        if let Some(data) = self.relabelled(&folder, id)?.or(changed) {
            data.sync().context(what)?;
        }
        if old.is_ok_and(|old| old == *sidecar) {
            folder.sync().context(what)?;
            return Ok(Change::Already);
        }
        durable::replace(&folder, SIDECAR, &sidecar.to_bytes()).context(what)?;
        Ok(Change::Done)
    }

    /// The content's directory, if it has another label than the pool gives. One of
    /// others keeps its own.
    pub(crate) fn relabelled(&self, folder: &Dir, id: VolumeId) -> Result<Option<Dir>> {
        let Some(wanted) = self.label.as_ref() else { return Ok(None) };
        let data = match folder.open_dir(DATA) {
            Err(error) if error.kind() == Io::NotFound && subdir_of(folder, id).is_some() => {
                return Ok(None);
            }
            other => other.map_err(|error| self.damaged(id, error))?,
        };
        let what = || format!("pool `{}`: label volume {id}", self.name);
        if label::get(&data).context(what)?.as_deref() == Some(wanted.as_str().as_bytes()) {
            return Ok(None);
        }
        labelled(&data, wanted).context(what)?;
        Ok(Some(data))
    }

    /// Opens the content as a place to mount, and says where it is.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there; `Corrupt` if something else is in
    /// the place of its content.
    pub fn attach(&self, id: VolumeId) -> Result<(OwnedFd, PathBuf)> {
        self.place_of(&self.live(id)?, id)
    }

    /// What is really there.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told; `Corrupt` if something else is in
    /// the volume's place.
    pub fn inspect(&self, id: VolumeId) -> Result<Observed> {
        let (opened, name) = (self.opened()?, id.to_string());
        if let Some(folder) = self.found(&opened.volumes(self)?, &name)? {
            let data = match folder.open_dir(DATA) {
                // Whether a directory of others is there says nothing of the volume.
                Err(error) if error.kind() == Io::NotFound => {
                    return Ok(match subdir_of(&folder, id) {
                        Some(_) => Observed::Present { empty: false },
                        None => Observed::Incomplete,
                    });
                }
                other => other.map_err(|error| self.damaged(id, error))?,
            };
            return match read_sidecar(&folder, id) {
                Ok(_) => {
                    let empty = data.is_empty().map_err(|error| self.unreadable(VOLUMES, error))?;
                    Ok(Observed::Present { empty })
                }
                Err(error) if error.kind() == berth_api::ErrorKind::Unavailable => {
                    Err(self.named(error))
                }
                Err(_) => Ok(Observed::Incomplete),
            };
        }
        let Some(folder) = self.found(&opened.trash(self)?, &name)? else {
            return Ok(Observed::Absent);
        };
        // A purge begins with the sidecar. A damaged one does not count: nothing
        // may be deleted for good only because of that.
        let own = || match read_sidecar(&folder, id) {
            Ok(sidecar) if sidecar.spec.options.subdir.is_none() => folder.has(DATA),
            _ => Ok(true),
        };
        let whole = folder.has(SIDECAR).and_then(|sidecar| Ok(sidecar && own()?));
        let whole = whole.map_err(|error| self.unreadable(TRASH, error))?;
        Ok(if whole { Observed::Trashed } else { Observed::Incomplete })
    }

    /// The folder of a live volume.
    pub(crate) fn live(&self, id: VolumeId) -> Result<Dir> {
        let volumes = self.opened()?.volumes(self)?;
        self.found(&volumes, &id.to_string())?.ok_or_else(|| {
            self.named(Error::not_found(format!("volume {id} is not in `{}`", self.path.display())))
        })
    }

    /// The folder of a volume, live or in the trash.
    pub(crate) fn wherever(&self, id: VolumeId) -> Result<Dir> {
        match self.live(id) {
            Err(error) if error.kind() == berth_api::ErrorKind::NotFound => {
                let trash = self.opened()?.trash(self)?;
                self.found(&trash, &id.to_string())?.ok_or(error)
            }
            other => other,
        }
    }

    /// The folder `name`, `None` if there is nothing.
    pub(crate) fn found(&self, folder: &Dir, name: &str) -> Result<Option<Dir>> {
        match folder.open_dir(name) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) if is_foreign(&error) => Err(self.named(
                Error::corrupt(format!("`{name}` is no directory of this pool")).with_source(error),
            )),
            Err(error) => Err(self.unreadable(VOLUMES, error)),
        }
    }

    /// What is said where `data` cannot be opened.
    pub(crate) fn damaged(&self, id: VolumeId, error: io::Error) -> Error {
        let what = format!("`{DATA}` of volume {id}");
        self.named(match error.kind() {
            Io::NotFound => Error::not_found(format!("{what} is missing")),
            _ if is_foreign(&error) => {
                Error::corrupt(format!("{what} is no directory of this pool")).with_source(error)
            }
            _ => Error::unavailable(format!("{what} cannot be opened")).with_source(error),
        })
    }
}

/// Reads the sidecar of the volume `id`.
///
/// # Errors
/// `NotFound` if there is none, `Corrupt` if it is damaged or another volume's,
/// `Unavailable` if that cannot be told.
pub(crate) fn read_sidecar(folder: &Dir, id: VolumeId) -> Result<Sidecar> {
    let bytes = folder.read(SIDECAR, Sidecar::MAX).map_err(|error| match error.kind() {
        Io::NotFound => Error::not_found("it has no `volume.json`"),
        _ if is_foreign(&error) => Error::corrupt("`volume.json`").with_source(error),
        _ => Error::unavailable("`volume.json` cannot be read").with_source(error),
    })?;
    let sidecar = Sidecar::from_bytes(&bytes)?;
    if sidecar.spec.id != id {
        return Err(Error::corrupt(format!("`volume.json` is of the volume {}", sidecar.spec.id)));
    }
    Ok(sidecar)
}

/// Complete: a valid sidecar, and `data` unless it shows a directory of others.
pub(crate) fn is_complete(folder: &Dir, id: VolumeId) -> bool {
    read_sidecar(folder, id).is_ok_and(|sidecar| {
        sidecar.spec.options.subdir.is_some() || folder.open_place(DATA).is_ok()
    })
}

/// Whether a directory is new; one that was there is as good.
pub(crate) fn made(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Io::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the content's directory; owner, mode and label before anybody can see it.
fn prepare(folder: &Dir, options: &Options, label: Option<&Label>) -> io::Result<()> {
    made(folder.make_volume(DATA, MODE))?;
    let data = folder.open_dir(DATA)?;
    let mode = options.mode.map(Mode::bits);
    // Always: the umask may have taken bits away.
    data.set_access(options.uid, options.gid, Some(mode.unwrap_or(MODE)))?;
    if let Some(label) = label {
        labelled(&data, label)?;
    }
    if options.uid.or(options.gid).or(mode).is_some() || label.is_some() {
        data.sync()?;
    }
    Ok(())
}

/// Gives copied content the owner and mode that were asked for; others stay as
/// they were copied.
pub(crate) fn adorn(data: &Dir, options: &Options) -> io::Result<()> {
    let mode = options.mode.map(Mode::bits);
    if options.uid.or(options.gid).or(mode).is_none() {
        return Ok(());
    }
    data.set_access(options.uid, options.gid, mode)?;
    data.sync()
}

/// Labels the content's directory, and says which key of the pool asked for it.
fn labelled(data: &Dir, label: &Label) -> io::Result<()> {
    label::set(data, label.as_str()).map_err(|error| {
        let text = match error.kind() {
            Io::Unsupported => "the pool's file system keeps no labels (`selinux-context`)",
            Io::InvalidInput => "the policy of this host does not know the `selinux-context`",
            _ => return error,
        };
        io::Error::new(error.kind(), text)
    })
}

/// The option's value if it differs from before; where that is not known, if it
/// is given.
fn changed(
    before: Option<&Options>,
    after: &Options,
    value: impl Fn(&Options) -> Option<u32>,
) -> Option<u32> {
    let new = value(after);
    if before.is_some_and(|before| value(before) == new) { None } else { new }
}
