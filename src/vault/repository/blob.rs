//! Reading blobs, each checked against its id.

use std::fmt;

use berth_api::{Context as _, Error, Op, Result};

use super::{Index, Location, Repository};
use crate::{
    format::{BlobKind, Id, MasterKey, Tree},
    store::Kind,
};

/// The largest content of a blob of data, in bytes; more is damage. Nobody cuts files
/// into such pieces.
pub const LARGEST_DATA: u32 = 128 << 20;
/// The same of a tree: three million names, 300 to 350 bytes each. A directory is one
/// blob, and is in memory whole when it is written and read, here as in restic. What
/// restic itself can hold is 4 GiB, since lengths have 32 bits.
pub const LARGEST_TREE: u32 = 1 << 30;

/// The largest content of a blob of that kind, in bytes.
pub fn largest(kind: BlobKind) -> u32 {
    match kind {
        BlobKind::Data => LARGEST_DATA,
        BlobKind::Tree => LARGEST_TREE,
    }
}

impl Repository {
    /// The content of one blob.
    ///
    /// # Errors
    /// `Corrupt` if the index does not know it, its pack is missing or too short, or
    /// its content is not that of its id.
    pub fn blob(&self, op: &Op, index: &Index, kind: BlobKind, id: &Id) -> Result<Vec<u8>> {
        let what = || format!("{} blob {}", kind.as_str(), id.short());
        let location = index.find(kind, id).ok_or_else(|| {
            Error::corrupt(format!("{}: no index of the repository knows it", what()))
        })?;
        let sealed = self.store.read_range(op, Kind::Pack, &location.pack, location.range());
        let sealed = sealed.map_err(|error| match error.kind() {
            berth_api::ErrorKind::NotFound => {
                Error::corrupt(format!("{}: its pack {} is missing", what(), location.pack.short()))
                    .with_source(error)
            }
            _ => error.context(what()),
        })?;
        self.open_blob(kind, &sealed, &location, id)
            .context(|| format!("{} in pack {}", what(), location.pack.short()))
    }

    /// The content of a sealed blob that was read from `location`.
    ///
    /// # Errors
    /// `Corrupt` if it is not that of its id.
    pub fn open_blob(
        &self,
        kind: BlobKind,
        sealed: &[u8],
        location: &Location,
        id: &Id,
    ) -> Result<Vec<u8>> {
        Opener::new(self)?.open(kind, sealed, location, id)
    }

    /// A directory.
    ///
    /// # Errors
    /// As [`blob`](Self::blob).
    pub fn tree(&self, op: &Op, index: &Index, id: &Id) -> Result<Tree> {
        let bytes = self.blob(op, index, BlobKind::Tree, id)?;
        Tree::from_bytes(&bytes).context(|| format!("tree {}", id.short()))
    }
}

/// Opens many blobs, one after the other: what decompresses is made only once.
pub struct Opener<'a> {
    key: &'a MasterKey,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl<'a> Opener<'a> {
    /// One for blobs of `repository`.
    ///
    /// # Errors
    /// `Internal` if there is no memory for it.
    pub fn new(repository: &'a Repository) -> Result<Self> {
        let decompressor = zstd::bulk::Decompressor::new()
            .map_err(|source| Error::internal("decompress").with_source(source))?;
        Ok(Self { key: &repository.key, decompressor })
    }

    /// The content of a sealed blob that was read from `location`.
    ///
    /// # Errors
    /// `Corrupt` if it is not that of its id.
    pub fn open(
        &mut self,
        kind: BlobKind,
        sealed: &[u8],
        location: &Location,
        id: &Id,
    ) -> Result<Vec<u8>> {
        let mut content = self.key.open(sealed)?;
        if let Some(length) = location.uncompressed {
            if length > largest(kind) {
                return Err(Error::corrupt("it is larger than a blob may be"));
            }
            content = self
                .decompressor
                .decompress(&content, length as usize)
                .map_err(|source| Error::corrupt("it does not decompress").with_source(source))?;
            if content.len() != length as usize {
                return Err(Error::corrupt("its length is not what the index says"));
            }
        }
        // Saboteur `skip-blob-check`: what is read is believed.
        if Id::of(&content) != *id && !berth_host::failpoint::sabotaged("skip-blob-check") {
            return Err(Error::corrupt("its content is not that of its id"));
        }
        Ok(content)
    }
}

impl fmt::Debug for Opener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}
