//! Who has a volume: a file for each host.
//!
//! An entry counts, whatever is in it: what cannot be read may be a host's that
//! writes to the volume now. Only its own host takes it away, or an operator.

use std::{
    io::{self, ErrorKind as Io},
    thread,
    time::Duration,
};

use berth_api::{
    Change, Context as _, Error, HostId, Op, Result, SharedRecords as _, VolumeId,
    records::{Admission, Attached, Attachment, Holder, OperationId, Version},
};
use berth_host::{
    beneath::{Dir, is_stale},
    durable, failpoint,
};
use serde::{Deserialize, Serialize};

use super::{ATTACHMENTS, SCRATCH, misplaced, sealed};
use crate::pool::Tree;

/// How often the folder is found or made again that another host took away.
const PATIENCE: u32 = 16;

/// The file's content: it names its volume, so that a copy elsewhere is noticed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Content {
    volume: VolumeId,
    #[serde(flatten)]
    holder: Holder,
}

impl Tree {
    pub(super) fn hold(
        &self,
        op: &Op,
        holder: &Holder,
        id: VolumeId,
        patience: Duration,
        admit: &dyn Fn(&Version) -> Admission,
    ) -> Result<Attached> {
        let sabotaged = failpoint::sabotaged("skip-attach-recheck");
        let early = if sabotaged { self.read(op, id)? } else { None };
        self.write_attachment(op, holder, id)?;
        if let Some(version) = early.filter(|early| admit(early) == Admission::Ready) {
            return Ok(Attached::Yes(version));
        }
        let mut record = self.read(op, id)?;
        if record.as_ref().is_some_and(|record| admit(record) == Admission::Removing) {
            // The one who removes sees the attachment, and takes it back.
            thread::sleep(patience.min(op.remaining()));
            record = self.read(op, id)?;
        }
        match record {
            Some(version) if admit(&version) == Admission::Ready => Ok(Attached::Yes(version)),
            other => {
                self.let_go(op, id, &holder.author.host.to_string())?;
                Ok(Attached::No(other))
            }
        }
    }

    fn write_attachment(&self, op: &Op, holder: &Holder, id: VolumeId) -> Result<()> {
        let opened = self.opened()?;
        let (place, scratch) = (self.folder(&opened, ATTACHMENTS)?, self.folder(&opened, SCRATCH)?);
        let (folder, entry) = (id.to_string(), holder.author.host.to_string());
        let what = || format!("pool `{}`: attach volume {id}", self.name);
        let temporary = format!("{entry}.{}", OperationId::random());
        let bytes = sealed::to_bytes(&Content { volume: id, holder: holder.clone() });
        durable::write_new(&scratch, &temporary, &bytes).context(what)?;
        let mut written = Err(Io::NotFound.into());
        for _ in 0..PATIENCE {
            written = made(&place, &folder).and_then(|inner| {
                moved(&scratch, &temporary, &inner, &entry, &bytes)?;
                inner.sync()
            });
            let again = |error: &io::Error| error.kind() == Io::NotFound || is_stale(error);
            if !written.as_ref().is_err_and(again) || op.check().is_err() {
                break;
            }
        }
        if written.is_err() {
            let _ = scratch.unlink(&temporary);
        }
        written.map_err(|error| {
            self.named(misplaced(&format!("the attachment of volume {id}"), error))
        })
    }

    pub(super) fn let_go(&self, op: &Op, id: VolumeId, entry: &str) -> Result<Change> {
        op.check()?;
        let what = || format!("pool `{}`: detach volume {id}", self.name);
        if matches!(entry, "" | "." | "..") || entry.contains(['/', '\0']) {
            return Err(Error::invalid("not the name of an attachment")).context(what);
        }
        let place = self.folder(&self.opened()?, ATTACHMENTS)?;
        let name = id.to_string();
        let unlinked = self.inside(&place, id, |folder| {
            let change = match folder.unlink(entry) {
                Err(error) if error.kind() == Io::NotFound => Change::Already,
                other => other.map(|()| Change::Done)?,
            };
            folder.sync()?;
            Ok(change)
        });
        let change = match unlinked? {
            None => return Ok(Change::Already),
            // What is no file was made by nobody of ours, and goes as a whole.
            Some(Err(error)) if error.kind() == Io::IsADirectory => {
                if let Some(folder) = self.attached(&place, id)? {
                    folder.remove_tree(entry, &mut || op.check()).context(what)?;
                    folder.sync().context(what)?;
                }
                Change::Done
            }
            Some(change) => change.context(what)?,
        };
        // If somebody else has it, it stays.
        let _ = place.remove_empty(&name);
        Ok(change)
    }

    pub(super) fn holders(&self, op: &Op, id: VolumeId) -> Result<Vec<Attachment>> {
        op.check()?;
        let place = self.folder(&self.opened()?, ATTACHMENTS)?;
        let found = self.inside(&place, id, |folder| {
            let names = failpoint::hit("records.list-attachments").and_then(|()| folder.names())?;
            // What begins with a dot is a file that NFS keeps open for somebody.
            let found = names.into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b"."));
            let found = found.map(|name| {
                let holder = name.to_str().and_then(|name| read(folder, name, id));
                Attachment { entry: name.to_string_lossy().into_owned(), holder }
            });
            Ok(found.collect())
        });
        let Some(found) = found? else { return Ok(Vec::new()) };
        found.map_err(|error| self.unreadable(ATTACHMENTS, error))
    }

    pub(super) fn held_by(&self, op: &Op, host: HostId) -> Result<Vec<(VolumeId, String)>> {
        let place = self.folder(&self.opened()?, ATTACHMENTS)?;
        let entry = host.to_string();
        let mut found = Vec::new();
        for id in self.ids(&place, ATTACHMENTS)? {
            op.check()?;
            // A folder that is none concerns its volume only.
            let own = self.inside(&place, id, |folder| {
                let there = folder.has(&entry)?;
                Ok(there.then(|| read(folder, &entry, id).map(|holder| holder.boot)))
            });
            let Ok(Some(own)) = own else { continue };
            if let Some(boot) = own.map_err(|error| self.unreadable(ATTACHMENTS, error))? {
                found.push((id, boot.unwrap_or_default()));
            }
        }
        Ok(found)
    }

    /// Does something with the folder of a volume's attachments, if there is one; again
    /// with the one that is there now, if it was taken away meanwhile.
    fn inside<T>(
        &self,
        place: &Dir,
        id: VolumeId,
        act: impl Fn(&Dir) -> io::Result<T>,
    ) -> Result<Option<io::Result<T>>> {
        let mut stale = None;
        for _ in 0..PATIENCE {
            let Some(folder) = self.attached(place, id)? else { return Ok(None) };
            match act(&folder) {
                Err(error) if is_stale(&error) => stale = Some(Err(error)),
                other => return Ok(Some(other)),
            }
        }
        Ok(stale)
    }

    /// The folder of a volume's attachments, if there is one.
    fn attached(&self, place: &Dir, id: VolumeId) -> Result<Option<Dir>> {
        match place.open_dir(&id.to_string()) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => {
                Err(self.named(misplaced(&format!("the folder of attachments of {id}"), error)))
            }
        }
    }
}

/// What an attachment says, if it is a sound one of this volume and host.
fn read(folder: &Dir, entry: &str, id: VolumeId) -> Option<Holder> {
    let bytes = folder.read(entry, sealed::LIMIT).ok()?;
    let Content { volume, holder } = sealed::from_bytes(&bytes).ok()?;
    (volume == id && holder.author.host.to_string() == entry).then_some(holder)
}

/// Moves a written file into its place. A server that has done so and whose answer was
/// lost is asked again, and no longer finds the file.
fn moved(scratch: &Dir, from: &str, folder: &Dir, to: &str, bytes: &[u8]) -> io::Result<()> {
    match scratch.replace(from, folder, to) {
        Err(error) if error.kind() == Io::NotFound => {
            let there = folder.read(to, sealed::LIMIT)?;
            if there == bytes && !scratch.has(from)? { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

/// The folder `name`, made if it is not there.
fn made(place: &Dir, name: &str) -> io::Result<Dir> {
    match place.make_dir(name, 0o700) {
        Err(error) if error.kind() == Io::AlreadyExists => {}
        other => other.and_then(|()| place.sync())?,
    }
    place.open_dir(name)
}
