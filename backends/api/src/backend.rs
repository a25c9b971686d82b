//! The trait every storage technology implements, and what its calls return.
//!
//! Rules for implementors:
//! - A call may block for a moment (a disk), never for a state of the world (a
//!   server that is away, an attachment): that is [`Progress::Pending`].
//! - Every call may be repeated with the same handle, also after a crash in the
//!   middle of the first; repeating a completed one answers [`Change::Already`].
//! - When a call answers [`Progress::Ready`], its effects are on stable storage.
//! - Nothing outside the pool's own root is touched, whatever is found in it.

use std::{fmt::Debug, os::fd::OwnedFd, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Content, Extents, Fill, Growth, HostId, Op, Options, PoolId, PoolIdentity, Report,
    Resize, Result, SharedRecords, Sidecar, Snapshots, VolumeSpec,
};

/// One storage technology, opened on one pool.
pub trait Backend: Debug + Send + Sync + 'static {
    /// Reads who the pool belongs to, and makes its identity where there is none.
    ///
    /// `expected` is what the catalog knows of this pool. Without it an empty
    /// place becomes a new pool of `host`; with it a place without identity is
    /// `Unavailable` (an unmounted disk looks like an empty folder).
    ///
    /// # Errors
    /// `Unavailable` if the place is missing, empty though known, or of another
    /// identity or host; `Invalid` if it holds something that is no pool.
    fn identify(&self, op: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity>;

    /// Writes `host` into the identity of the pool, or that several hosts share
    /// it: `pool rebuild --take-over`. Where several hosts share a place that is no pool
    /// and the catalog has never seen one there (not `known`), a pool is made beside what
    /// it holds, which stays as it is.
    ///
    /// # Errors
    /// `Unavailable` if there is no pool.
    fn take_over(&self, op: &Op, host: HostId, known: bool) -> Result<PoolIdentity>;

    /// Chooses everything that identifies the volume to this backend, and
    /// refuses what cannot work. No effects.
    ///
    /// # Errors
    /// `Unsupported` for what this pool cannot do; `Unavailable`, `Exhausted`.
    fn plan(&self, op: &Op, spec: &VolumeSpec) -> Result<Handle>;

    /// Makes the volume: content first, sidecar last.
    ///
    /// # Errors
    /// Leaves at most what [`inspect`](Self::inspect) calls
    /// [`Observed::Incomplete`].
    fn create(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>>;

    /// [`create`](Self::create) with the content that `fill` puts there. Owner and
    /// mode of its top are those that were asked for; others as `fill` left them. A
    /// half that an interrupted attempt left begins anew.
    ///
    /// # Errors
    /// As that, and those of `fill`.
    fn create_from(
        &self,
        op: &Op,
        volume: &Handle,
        sidecar: &Sidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>>;

    /// Opens the content of a volume, or of its snapshot, for reading. That of a
    /// volume may change meanwhile.
    ///
    /// # Errors
    /// `NotFound` if the volume or the snapshot is not there, or unfinished;
    /// `Corrupt`, `Unavailable`.
    fn content(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>) -> Result<Content>;

    /// Puts changed options in force, at once but not durably: that is
    /// [`describe`](Self::describe), which follows.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there.
    fn apply(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>>;

    /// [`apply`](Self::apply), durably, and the sidecar written anew.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there.
    fn describe(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>>;

    /// Moves the volume into the trash, whole and at once. Absent is `Already`.
    ///
    /// # Errors
    /// `Busy` if the kernel holds it.
    fn remove(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>>;

    /// Brings the volume back out of the trash.
    ///
    /// # Errors
    /// `NotFound` if it is in neither place.
    fn restore(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>>;

    /// Deletes what is in the trash, or what an unfinished create left, for
    /// good. Absent is `Already`.
    ///
    /// # Errors
    /// `Conflict` if cancelled in the middle; a repetition goes on.
    fn purge(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>>;

    /// Makes the content reachable on this host, in the way that `options`, those in
    /// force, say.
    ///
    /// # Errors
    /// `NotFound` if the volume is not there; `Unavailable`.
    fn attach(&self, op: &Op, volume: &Handle, options: &Options) -> Result<Progress<Source>>;

    /// Ends [`attach`](Self::attach). Not attached is `Already`.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    fn detach(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>>;

    /// What is really there.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told: no evidence is not absence.
    fn inspect(&self, op: &Op, volume: &Handle) -> Result<Observed>;

    /// Everything in the pool, in the trash and out of it.
    ///
    /// # Errors
    /// `Unavailable` unless the listing is complete.
    fn list(&self, op: &Op) -> Result<Vec<Found>>;

    /// Whether the pool can be used now, from what this backend last saw; does
    /// not block.
    fn health(&self) -> Health;

    /// Looks whether the server that the pool lies on answers, if it lies on one: for
    /// whoever sees other calls wait. Takes a few seconds at most.
    ///
    /// # Errors
    /// `Unavailable` if it does not; [`health`](Self::health) then says so too.
    fn listen(&self, op: &Op) -> Result<()> {
        op.check()
    }

    /// How long the server that the pool lies on has not answered, if that is so, from
    /// what this backend last saw; does not block. [`health`](Self::health) then says
    /// which server.
    fn silence(&self) -> Option<Duration> {
        None
    }

    /// How full the pool is; may block for a moment.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told.
    fn capacity(&self, op: &Op) -> Result<Capacity>;

    /// What is worth knowing of the pool beyond that; may block for a moment.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told.
    fn report(&self, op: &Op) -> Result<Report> {
        op.check().map(|()| Report::default())
    }

    /// Snapshots, clones and rollback, where this pool has them.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }

    /// Limits of volumes, where this pool knows them.
    fn resize(&self) -> Option<&dyn Resize> {
        None
    }

    /// Reading volumes as blocks, where this pool has disks.
    fn extents(&self) -> Option<&dyn Extents> {
        None
    }

    /// Growing, where this pool can.
    fn growth(&self) -> Option<&dyn Growth> {
        None
    }

    /// The pool's own records, where several hosts share it.
    fn records(&self) -> Option<&dyn SharedRecords> {
        None
    }
}

/// A backend's own name for a volume: its serde type, opaque outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub serde_json::Value);

/// The answer of a call that may have to wait for a state of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// Done.
    Ready(T),
    /// Not yet: ask again.
    Pending {
        /// When asking again makes sense.
        after: Duration,
        /// What it waits for, as a user would say it.
        because: String,
    },
}

/// Whether a call did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The effect is new.
    Done,
    /// It was so before.
    Already,
}

/// What the engine mounts.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A directory, to be bind-mounted. Opened beneath the pool's root without
    /// following links, so that what is mounted is what was checked.
    Directory {
        /// The open directory (`O_PATH`).
        directory: OwnedFd,
        /// Where it was, for messages.
        path: PathBuf,
    },
}

/// What [`Backend::inspect`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing, and the place where it would be was read.
    Absent,
    /// An unfinished create or purge.
    Incomplete,
    /// The whole volume.
    Present {
        /// The top directory is empty: nobody wrote it.
        empty: bool,
    },
    /// The whole volume, in the trash.
    Trashed,
}

/// One entry of [`Backend::list`].
#[derive(Debug)]
pub struct Found {
    /// The handle by which all calls reach it.
    pub handle: Handle,
    /// Its name in the pool, for messages where the sidecar is damaged.
    pub entry: String,
    /// What it says of itself, or why that cannot be read.
    pub sidecar: Result<Sidecar>,
    /// It is in the trash.
    pub trashed: bool,
}

/// Whether a pool can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It cannot; the text says why.
    Unavailable(String),
}

/// How full a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Capacity {
    /// All space of the file system or device.
    pub total: Bytes,
    /// What unprivileged writers can still use.
    pub free: Bytes,
}

impl<T> Progress<T> {
    /// The answer, if it is there.
    pub fn ready(self) -> Option<T> {
        match self {
            Self::Ready(value) => Some(value),
            Self::Pending { .. } => None,
        }
    }
}
