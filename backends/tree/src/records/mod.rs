//! The pool's own records, where several hosts share it.
//!
//! | module | noun |
//! |---|---|
//! | `series` | immutable versions in a folder, made by `link(2)` |
//! | `sealed` | one version as a file |
//! | `name` | which volume has a name |
//! | `attachment` | who has a volume |
//!
//! Damage, links, FIFOs and directories in the place of a file concern the one
//! volume or name that they stand for: every file is looked at before it is
//! opened, is read up to a bound, and must name what it is of.

mod attachment;
mod name;
mod sealed;
mod series;

use std::{io::ErrorKind as Io, time::Duration};

use berth_api::{
    Change, Context as _, Error, ErrorKind, Handle, HostId, Op, Result, SharedRecords, VolumeId,
    VolumeName,
    records::{
        Admission, Attached, Attachment, Author, Basis, Holder, Listed, OperationId, Version,
    },
};
use berth_host::beneath::{Dir, is_foreign};
use serde_json::Value;

use self::{sealed::Kind, series::Series};
use crate::{
    handle,
    pool::{Opened, Tree},
};

const RECORDS: &str = ".berth/records";
const NAMES: &str = ".berth/names";
const ATTACHMENTS: &str = ".berth/attachments";
/// Files that are being written, each named after its host.
pub(crate) const SCRATCH: &str = ".berth/scratch";

/// What a shared pool has beside an unshared one.
pub(crate) const FOLDERS: [&str; 4] = [RECORDS, NAMES, ATTACHMENTS, SCRATCH];

impl SharedRecords for Tree {
    fn list(&self, op: &Op) -> Result<Vec<Listed>> {
        let records = self.folder(&self.opened()?, RECORDS)?;
        let mut found = Vec::new();
        for id in self.ids(&records, RECORDS)? {
            op.check()?;
            let highest =
                match Series::new(&records, &records, Kind::Record, &id.to_string()).highest() {
                    Ok(Some(number)) => Ok(number),
                    // Nobody's: who is about to write into it makes it again.
                    Ok(None) => {
                        let _ = records.remove_empty(&id.to_string());
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
                    Err(error) => return Err(self.named(error)),
                };
            found.push(Listed { id, highest });
        }
        Ok(found)
    }

    fn read(&self, op: &Op, id: VolumeId) -> Result<Option<Version>> {
        op.check()?;
        let records = self.folder(&self.opened()?, RECORDS)?;
        let version = Series::new(&records, &records, Kind::Record, &id.to_string()).read();
        Ok(version.map_err(|error| self.named(error))?.filter(|version| !version.body.is_null()))
    }

    fn is_of(&self, id: VolumeId, handle: &Handle) -> bool {
        handle::id(handle).is_ok_and(|of| of == id)
    }

    fn write(
        &self,
        op: &Op,
        author: &Author,
        id: VolumeId,
        basis: Option<&Basis>,
        body: &Value,
    ) -> Result<Version> {
        op.check()?;
        let opened = self.opened()?;
        let (records, scratch) = (self.folder(&opened, RECORDS)?, self.folder(&opened, SCRATCH)?);
        let key = id.to_string();
        let series = Series::new(&records, &scratch, Kind::Record, &key);
        series.append(author, basis, body).map_err(|error| self.named(error))
    }

    fn remove(
        &self,
        op: &Op,
        author: &Author,
        id: VolumeId,
        basis: &Basis,
        removing: &Value,
        back: &Value,
    ) -> Result<Version> {
        let version = self.write(op, author, id, Some(basis), removing)?;
        let others = self.attachments(op, id).map(|mut attachments| {
            attachments.retain(|attachment| attachment.entry != author.host.to_string());
            attachments
        });
        if others.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(version);
        }
        self.write(op, author, id, Some(&version.basis()), back)?;
        let others = others?;
        let hosts: Vec<_> = others.iter().map(Attachment::who).collect();
        Err(Error::busy(format!("in use on the host {}", hosts.join(", "))))
    }

    fn forget(&self, op: &Op, author: &Author, id: VolumeId, basis: &Basis) -> Result<Change> {
        let opened = self.opened()?;
        let (records, scratch) = (self.folder(&opened, RECORDS)?, self.folder(&opened, SCRATCH)?);
        let name = id.to_string();
        let series = Series::new(&records, &scratch, Kind::Record, &name);
        let what = || format!("pool `{}`: forget volume {id}", self.name);
        let change = match series.read() {
            Ok(None) => Change::Already,
            Ok(Some(version)) if version.body.is_null() => Change::Already,
            _ => {
                // From now on nobody can build upon what is there.
                series.append(author, Some(basis), &Value::Null).context(what)?;
                Change::Done
            }
        };
        let attachments = self.folder(&opened, ATTACHMENTS)?;
        for place in [&attachments, &records] {
            let aside = format!("{}.{}", author.host, OperationId::random());
            match place.rename(&name, &scratch, &aside) {
                Ok(()) => {
                    place.sync().context(what)?;
                    scratch.remove_tree(&aside, &mut || op.check()).context(what)?;
                }
                Err(error) if error.kind() == Io::NotFound => {}
                Err(error) => return Err(error).context(what),
            }
        }
        Ok(change)
    }

    fn resolve(&self, op: &Op, name: &VolumeName) -> Result<Option<VolumeId>> {
        self.resolve_name(op, name)
    }

    fn claim(
        &self,
        op: &Op,
        author: &Author,
        name: &VolumeName,
        id: VolumeId,
        lets_go: &dyn Fn(&Version) -> bool,
    ) -> Result<()> {
        self.claim_name(op, author, name, id, lets_go)
    }

    fn release(&self, op: &Op, author: &Author, name: &VolumeName, id: VolumeId) -> Result<Change> {
        self.release_name(op, author, name, id)
    }

    fn attach(
        &self,
        op: &Op,
        holder: &Holder,
        id: VolumeId,
        patience: Duration,
        admit: &dyn Fn(&Version) -> Admission,
    ) -> Result<Attached> {
        self.hold(op, holder, id, patience, admit)
    }

    fn detach(&self, op: &Op, id: VolumeId, entry: &str) -> Result<Change> {
        self.let_go(op, id, entry)
    }

    fn attachments(&self, op: &Op, id: VolumeId) -> Result<Vec<Attachment>> {
        self.holders(op, id)
    }

    fn attached_by(&self, op: &Op, host: HostId) -> Result<Vec<(VolumeId, String)>> {
        self.held_by(op, host)
    }

    fn clean(&self, op: &Op, host: HostId) -> Result<()> {
        let opened = self.opened()?;
        let scratch = self.folder(&opened, SCRATCH)?;
        let own = format!("{host}.");
        let names = scratch.names().map_err(|error| self.unreadable(SCRATCH, error))?;
        for name in names.iter().filter_map(|name| name.to_str()) {
            op.check()?;
            if name.starts_with(&own) {
                let what = || format!("pool `{}`: clean `{SCRATCH}`", self.name);
                scratch.remove_tree(name, &mut || op.check()).context(what)?;
            }
        }
        Ok(())
    }
}

impl Tree {
    /// The pool's own records, where several hosts share it.
    pub fn records(&self) -> Option<&dyn SharedRecords> {
        self.sharing.map(|_| self as &dyn SharedRecords)
    }

    /// One of [`FOLDERS`].
    fn folder(&self, opened: &Opened, name: &str) -> Result<Dir> {
        opened.root.open_dir(name).map_err(|error| self.unreadable(name, error))
    }

    /// The entries of a folder that are named like volumes; others are nobody's.
    fn ids(&self, folder: &Dir, place: &str) -> Result<Vec<VolumeId>> {
        let names = folder.names().map_err(|error| self.unreadable(place, error))?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }
}

/// An error of what stands in the place of something of ours.
fn misplaced(what: &str, error: std::io::Error) -> Error {
    if is_foreign(&error) {
        Error::corrupt(format!("{what} is not what it should be")).with_source(error)
    } else {
        Error::unavailable(format!("{what} cannot be read")).with_source(error)
    }
}
