//! One pack that is being filled.

use std::mem;

use berth_api::{Error, Result};

use crate::format::{BlobKind, Id, IndexBlob};

/// How many blobs a pack may have: its header stays far below what is read back.
const MOST_BLOBS: usize = 64 << 10;
/// Room past the full size, in bytes, so that the last blob seldom moves the others.
const SLACK: usize = 1 << 20;

/// A pack that is being filled, without a header yet.
#[derive(Debug)]
pub(super) struct Packer {
    /// From how many bytes on it is full.
    size: usize,
    pack: Pack,
}

/// Sealed blobs, side by side.
#[derive(Debug, Default)]
pub(super) struct Pack {
    pub(super) bytes: Vec<u8>,
    pub(super) blobs: Vec<IndexBlob>,
}

impl Packer {
    pub(super) fn new(size: usize) -> Self {
        Self { size, pack: Pack::default() }
    }

    /// Appends a sealed blob.
    pub(super) fn push(
        &mut self,
        kind: BlobKind,
        id: Id,
        sealed: &[u8],
        uncompressed_length: Option<u32>,
    ) -> Result<()> {
        let Pack { bytes, blobs } = &mut self.pack;
        if bytes.capacity() == 0 {
            // Pages that are not used cost nothing.
            bytes.reserve_exact(self.size + SLACK);
        }
        let number = |length| {
            u32::try_from(length).map_err(|_| Error::internal("a pack is larger than 4 GiB"))
        };
        blobs.push(IndexBlob {
            id,
            kind,
            offset: number(bytes.len())?,
            length: number(sealed.len())?,
            uncompressed_length,
        });
        bytes.extend_from_slice(sealed);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.pack.bytes.len() >= self.size || self.pack.blobs.len() >= MOST_BLOBS
    }

    /// The pack so far, if there is anything in it, and begins another.
    pub(super) fn take(&mut self) -> Option<Pack> {
        let pack = mem::take(&mut self.pack);
        (!pack.blobs.is_empty()).then_some(pack)
    }
}
