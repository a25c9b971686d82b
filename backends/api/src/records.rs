//! Pools that several hosts share keep their records themselves.
//!
//! A record and a name are each a series of immutable versions; the highest
//! rules. A writer says which version it builds upon, and exactly one of all who
//! build upon the same one wins. What a record says is the engine's; here it is
//! opaque.
//!
//! ```text
//! create:  record `creating` ─▶ name ─▶ data ─▶ record `ready`
//! attach:  attachment ─▶ read the record again: is it `ready`?
//! remove:  record `removing` ─▶ attachments of others? ─ none ─▶ data, record `removed`
//!                                                      └ some ─▶ record `ready`, Busy
//! ```
//! Whoever attaches writes before it reads, and whoever removes too: at least one
//! of both sees the other.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Change, Error, Handle, HostId, Op, Result, VolumeId, VolumeName, checksum, volume::random_id,
};

random_id! {
    /// One attempt to write a version: how a writer finds out that it was the
    /// one, where the answer was lost.
    OperationId, "operation"
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Author {
    /// The host, which is what counts.
    pub host: HostId,
    /// What it calls itself, for messages only.
    pub name: String,
}

/// What a writer builds upon: a version that it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The version.
    pub number: u64,
    /// The operations that made it and those before it, the latest first.
    pub operations: Vec<OperationId>,
}

/// One version of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Counted from 1.
    pub number: u64,
    /// Who wrote it.
    pub author: Author,
    /// By which attempt.
    pub operation: OperationId,
    /// The attempts that made the versions before it, the latest first; at most
    /// [`Version::REMEMBERED`].
    pub before: Vec<OperationId>,
    /// What it says.
    pub body: Value,
}

/// One record of a listing.
#[derive(Debug)]
pub struct Listed {
    /// The volume.
    pub id: VolumeId,
    /// Its highest version; `Corrupt` if something else stands in its place.
    pub highest: Result<u64>,
}

/// That a host has a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name of the entry: the host's id, unless somebody else made it.
    pub entry: String,
    /// What it says; nothing if it is damaged, which still counts.
    pub holder: Option<Holder>,
}

/// Who holds a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    /// The host.
    #[serde(flatten)]
    pub author: Author,
    /// The boot in which it attached the volume.
    pub boot: String,
}

/// What the engine thinks of a record that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The volume may be attached.
    Ready,
    /// Somebody removes it, and may take that back.
    Removing,
    /// It may not.
    Refused,
}

/// How [`SharedRecords::attach`] ended.
#[derive(Debug)]
pub enum Attached {
    /// The volume is this host's too; the record as it was read after that.
    Yes(Version),
    /// It is not, and no attachment of this host stays; the record that says so,
    /// if there is one.
    No(Option<Version>),
}

/// Records, names and attachments in the pool itself. The rules of
/// [`Backend`](crate::Backend) hold: what answers without an error is on stable
/// storage, and every call may be repeated.
///
/// A call that answers with an error other than `Conflict` and `Busy` may have
/// had its effect; reading tells.
pub trait SharedRecords: Send + Sync {
    /// All records, each with its highest version. Folders that a crash left empty
    /// go.
    ///
    /// # Errors
    /// `Unavailable` unless the listing is complete.
    fn list(&self, op: &Op) -> Result<Vec<Listed>>;

    /// The highest version of a record; nothing if there never was one or the
    /// volume is gone.
    ///
    /// # Errors
    /// `Corrupt` if what is there is damaged, another volume's or no record;
    /// `Unavailable` if that cannot be told.
    fn read(&self, op: &Op, id: VolumeId) -> Result<Option<Version>>;

    /// Whether a handle that a record has is of the volume that the record is of: whoever
    /// can write into the pool may have put another's there. No I/O.
    fn is_of(&self, id: VolumeId, handle: &Handle) -> bool;

    /// Writes the version after `basis`, or the first.
    ///
    /// # Errors
    /// `Conflict` if another host was first: nothing was written.
    fn write(
        &self,
        op: &Op,
        author: &Author,
        id: VolumeId,
        basis: Option<&Basis>,
        body: &Value,
    ) -> Result<Version>;

    /// Writes `removing` (or whatever else nobody may have the volume for), and `back`
    /// again if another host has it.
    ///
    /// # Errors
    /// `Conflict` as [`write`](Self::write); `Busy`, naming the hosts: nothing
    /// but the count of versions has changed then.
    fn remove(
        &self,
        op: &Op,
        author: &Author,
        id: VolumeId,
        basis: &Basis,
        removing: &Value,
        back: &Value,
    ) -> Result<Version>;

    /// The volume is gone: so are its record and its attachments. Absent is
    /// `Already`.
    ///
    /// # Errors
    /// `Conflict` as [`write`](Self::write).
    fn forget(&self, op: &Op, author: &Author, id: VolumeId, basis: &Basis) -> Result<Change>;

    /// Which volume has a name.
    ///
    /// # Errors
    /// `Corrupt` if the name's file is damaged; `Unavailable`.
    fn resolve(&self, op: &Op, name: &VolumeName) -> Result<Option<VolumeId>>;

    /// Gives a name to a volume, whose record says already that it will have it.
    /// It is taken from a volume whose record `lets_go` of it, or that is gone.
    ///
    /// # Errors
    /// `Conflict` if another volume has it.
    fn claim(
        &self,
        op: &Op,
        author: &Author,
        name: &VolumeName,
        id: VolumeId,
        lets_go: &dyn Fn(&Version) -> bool,
    ) -> Result<()>;

    /// Takes a name from a volume; `Already` if that does not have it.
    ///
    /// # Errors
    /// `Unavailable`.
    fn release(&self, op: &Op, author: &Author, name: &VolumeName, id: VolumeId) -> Result<Change>;

    /// Writes this host's attachment, then reads the record again and asks
    /// `admit`; where that says `Removing`, once more after `patience`.
    ///
    /// # Errors
    /// As [`read`](Self::read). The attachment may stay.
    fn attach(
        &self,
        op: &Op,
        holder: &Holder,
        id: VolumeId,
        patience: Duration,
        admit: &dyn Fn(&Version) -> Admission,
    ) -> Result<Attached>;

    /// Takes the attachment `entry` away.
    ///
    /// # Errors
    /// `Unavailable`.
    fn detach(&self, op: &Op, id: VolumeId, entry: &str) -> Result<Change>;

    /// Who has a volume.
    ///
    /// # Errors
    /// `Corrupt` if something else stands in the place of its attachments;
    /// `Unavailable`.
    fn attachments(&self, op: &Op, id: VolumeId) -> Result<Vec<Attachment>>;

    /// The volumes that the host has, with the boot in which it attached them; a
    /// damaged attachment is of no boot.
    ///
    /// # Errors
    /// `Unavailable`.
    fn attached_by(&self, op: &Op, host: HostId) -> Result<Vec<(VolumeId, String)>>;

    /// Takes away what a crash of `host` may have left: temporary files, which
    /// nobody else cleans. That host writes nothing meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    fn clean(&self, op: &Op, host: HostId) -> Result<()>;
}

impl Version {
    /// How many operations a version remembers: a writer whose version so many
    /// others were written upon before it looked cannot know that it won.
    pub const REMEMBERED: usize = 8;

    /// What the version after this one builds upon.
    pub fn basis(&self) -> Basis {
        let mut operations = vec![self.operation];
        operations.extend(&self.before);
        operations.truncate(Self::REMEMBERED);
        Basis { number: self.number, operations }
    }
}

impl Basis {
    /// To build upon a version that cannot be read.
    pub fn unread(number: u64) -> Self {
        Self { number, operations: Vec::new() }
    }
}

impl Attachment {
    /// The host as a user knows it.
    pub fn who(&self) -> String {
        match &self.holder {
            Some(holder) => format!("`{}` ({})", holder.author.name.escape_debug(), self.entry),
            None => format!("`{}`", self.entry.escape_debug()),
        }
    }
}
