//! Which volume has a name.
//!
//! A name belongs to the volume in its highest version only while that volume's
//! record does not let go of it: so it is free from the moment in which a removal
//! is written down, without a second file to write. A claim always writes a new
//! version, so that one that is under way elsewhere meets it. Who claims has
//! written its own record before: of two claims, the later one sees the other's.
//!
//! The folder of a name stays for good: it could not go without a moment in which
//! two hosts have the name.

use berth_api::{
    Change, Error, ErrorKind, Op, Result, SharedRecords as _, VolumeId, VolumeName,
    records::{Author, Version},
};
use serde_json::Value;

use super::{NAMES, SCRATCH, sealed::Kind, series::Series};
use crate::pool::Tree;

/// The body of a name that no volume has.
const FREE: &str = "free";

/// How often a claim begins anew because others claim the same name.
const PATIENCE: u32 = 64;

impl Tree {
    pub(super) fn resolve_name(&self, op: &Op, name: &VolumeName) -> Result<Option<VolumeId>> {
        op.check()?;
        let names = self.folder(&self.opened()?, NAMES)?;
        let version = Series::new(&names, &names, Kind::Name, name.as_str()).read();
        version
            .and_then(|version| holder(version.as_ref()))
            .map_err(|error| self.damaged_name(name, error))
    }

    pub(super) fn claim_name(
        &self,
        op: &Op,
        author: &Author,
        name: &VolumeName,
        id: VolumeId,
        lets_go: &dyn Fn(&Version) -> bool,
    ) -> Result<()> {
        self.rename(op, author, name, &id.to_string(), &|holder| match holder {
            Some(other) if other != id => match self.read(op, other)? {
                Some(record) if !lets_go(&record) => {
                    Err(Error::conflict(format!("the name `{name}` belongs to the volume {other}")))
                }
                _ => Ok(true),
            },
            _ => Ok(true),
        })
        .map(drop)
    }

    pub(super) fn release_name(
        &self,
        op: &Op,
        author: &Author,
        name: &VolumeName,
        id: VolumeId,
    ) -> Result<Change> {
        self.rename(op, author, name, FREE, &|holder| Ok(holder == Some(id)))
    }

    /// Writes `body` as the next version of the name, if `wanted` says so of its
    /// present holder.
    fn rename(
        &self,
        op: &Op,
        author: &Author,
        name: &VolumeName,
        body: &str,
        wanted: &dyn Fn(Option<VolumeId>) -> Result<bool>,
    ) -> Result<Change> {
        let opened = self.opened()?;
        let (names, scratch) = (self.folder(&opened, NAMES)?, self.folder(&opened, SCRATCH)?);
        let series = Series::new(&names, &scratch, Kind::Name, name.as_str());
        for _ in 0..PATIENCE {
            op.check()?;
            let version = series.read().map_err(|error| self.damaged_name(name, error))?;
            let holder =
                holder(version.as_ref()).map_err(|error| self.damaged_name(name, error))?;
            if !wanted(holder)? {
                return Ok(Change::Already);
            }
            let basis = version.map(|version| version.basis());
            match series.append(author, basis.as_ref(), &Value::from(body)) {
                Ok(_) => return Ok(Change::Done),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(self.named(error)),
            }
        }
        Err(self.named(Error::unavailable(format!("too many hosts want the name `{name}`"))))
    }

    fn damaged_name(&self, name: &VolumeName, error: Error) -> Error {
        let damaged = error.kind() == ErrorKind::Corrupt;
        let error = self.named(error.context(format!("the name `{name}`")));
        if damaged {
            let folder = self.path.join(NAMES).join(name.as_str());
            error.with_hint(format!(
                "if no volume of that name is left in the pool, take `{}` away",
                folder.display()
            ))
        } else {
            error
        }
    }
}

/// The volume that a version of a name names.
fn holder(version: Option<&Version>) -> Result<Option<VolumeId>> {
    match version.map(|version| version.body.as_str()) {
        None | Some(Some(FREE)) => Ok(None),
        Some(Some(id)) => {
            id.parse().map(Some).map_err(|_: Error| Error::corrupt("it names no volume"))
        }
        Some(None) => Err(Error::corrupt("it names no volume")),
    }
}
