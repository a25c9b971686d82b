//! Content of volumes as blocks, for those who read it all or what changed: backups
//! of disks.

use std::{fmt::Debug, io};

use crate::{Handle, Op, Result};

/// A piece of a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Reads blocks of one volume, in many threads at a time.
pub trait BlockReader: Debug + Send + Sync {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// The kernel's or the server's; `UnexpectedEof` past the end.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Pools whose volumes can be read as blocks. `snapshot` is one of `volume`, or none
/// for its content now.
pub trait Extents: Send + Sync {
    /// The length of the content, in bytes.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    fn size(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>) -> Result<u64>;

    /// In blocks of how many bytes it is best read and kept: a power of two.
    fn block_size(&self) -> u32 {
        256 << 10
    }

    /// What holds data, in order and apart from each other. All else reads as zeros.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    fn allocated(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>)
    -> Result<Vec<Extent>>;

    /// What may differ between two snapshots, in order and apart from each other;
    /// none if that cannot be told. What lies past the end of `base` need not be
    /// named.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    fn changed(
        &self,
        op: &Op,
        volume: &Handle,
        base: &Handle,
        snapshot: &Handle,
    ) -> Result<Option<Vec<Extent>>>;

    /// Opens the content. What was opened stays readable until it is dropped.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    fn open(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: Option<&Handle>,
    ) -> Result<Box<dyn BlockReader>>;
}
