//! Who has a volume: a file for each host.
//!
//! An entry counts, whatever is in it: what cannot be read may be a host's that
//! writes to the volume now. Only its own host takes it away, or an operator.

use std::{io::ErrorKind as Io, thread, time::Duration};

use berth_api::{
    Change, Context as _, Error, HostId, Op, Result, SharedRecords as _, VolumeId,
    records::{Admission, Attached, Attachment, Holder, OperationId, Version},
};
use berth_host::{beneath::Dir, durable, failpoint};
use serde::{Deserialize, Serialize};

use super::{ATTACHMENTS, SCRATCH, misplaced, sealed};
use crate::pool::Tree;

/// How often the folder is made again that another host took away empty.
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
        let written = (0..PATIENCE).find_map(|_| {
            let written = made(&place, &folder).and_then(|inner| {
                scratch.replace(&temporary, &inner, &entry)?;
                inner.sync()
            });
            match written {
                Err(error) if error.kind() == Io::NotFound && op.check().is_ok() => None,
                other => Some(other),
            }
        });
        let written = written.unwrap_or_else(|| Err(Io::NotFound.into()));
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
        let Some(folder) = self.attached(&place, id)? else { return Ok(Change::Already) };
        let change = match folder.unlink(entry) {
            Ok(()) => Change::Done,
            Err(error) if error.kind() == Io::NotFound => Change::Already,
            // What is no file was made by nobody of ours, and goes as a whole.
            Err(error) if error.kind() == Io::IsADirectory => {
                folder.remove_tree(entry, &mut || op.check()).context(what)?;
                Change::Done
            }
            Err(error) => return Err(error).context(what),
        };
        folder.sync().context(what)?;
        // If somebody else has it, it stays.
        let _ = place.remove_empty(&name);
        Ok(change)
    }

    pub(super) fn holders(&self, op: &Op, id: VolumeId) -> Result<Vec<Attachment>> {
        op.check()?;
        let place = self.folder(&self.opened()?, ATTACHMENTS)?;
        let Some(folder) = self.attached(&place, id)? else { return Ok(Vec::new()) };
        let names = failpoint::hit("records.list-attachments").and_then(|()| folder.names());
        let names = names.map_err(|error| self.unreadable(ATTACHMENTS, error))?;
        // What begins with a dot is a file that NFS keeps open for somebody.
        let found = names.into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b"."));
        let found = found.map(|name| {
            let holder = name.to_str().and_then(|name| read(&folder, name, id));
            Attachment { entry: name.to_string_lossy().into_owned(), holder }
        });
        Ok(found.collect())
    }

    pub(super) fn held_by(&self, op: &Op, host: HostId) -> Result<Vec<(VolumeId, String)>> {
        let place = self.folder(&self.opened()?, ATTACHMENTS)?;
        let entry = host.to_string();
        let mut found = Vec::new();
        for id in self.ids(&place, ATTACHMENTS)? {
            op.check()?;
            // A folder that is none concerns its volume only.
            let Ok(Some(folder)) = self.attached(&place, id) else { continue };
            if folder.has(&entry).map_err(|error| self.unreadable(ATTACHMENTS, error))? {
                let boot = read(&folder, &entry, id).map(|holder| holder.boot);
                found.push((id, boot.unwrap_or_default()));
            }
        }
        Ok(found)
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

/// The folder `name`, made if it is not there.
fn made(place: &Dir, name: &str) -> std::io::Result<Dir> {
    match place.make_dir(name, 0o700) {
        Err(error) if error.kind() == Io::AlreadyExists => {}
        other => other.and_then(|()| place.sync())?,
    }
    place.open_dir(name)
}
