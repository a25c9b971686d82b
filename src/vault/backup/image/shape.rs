//! How an image is cut: blocks, and past a limit files of one segment each.

use std::ops::Range;

use berth_api::{Error, Result};

/// The smallest and the largest block, in bytes.
const BLOCKS: (u32, u32) = (64 << 10, 8 << 20);

/// From when on an image is kept in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Up to this length an image is one file, in bytes.
    pub whole: u64,
    /// The length of a segment, in bytes: a multiple of the largest block.
    pub length: u64,
}

impl Default for Segments {
    fn default() -> Self {
        Self { whole: 128 << 30, length: 1 << 30 }
    }
}

/// How one image is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Its length, in bytes.
    pub(super) size: u64,
    /// The length of a block, in bytes.
    pub(super) block: u64,
    /// Blocks in a segment, if it is kept in such.
    pub(super) segment: Option<u64>,
}

impl Shape {
    pub(super) fn new(size: u64, block_size: u32, segments: &Segments) -> Result<Self> {
        if !block_size.is_power_of_two() || !(BLOCKS.0..=BLOCKS.1).contains(&block_size) {
            return Err(Error::invalid(format!(
                "blocks of {block_size} bytes: it must be a power of two from 64 KiB to 8 MiB"
            )));
        }
        let block = u64::from(block_size);
        let segment = (size > segments.whole).then(|| (segments.length / block).max(1));
        Ok(Self { size, block, segment })
    }

    /// How many blocks there are; the last may be shorter.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Where these blocks are, in bytes.
    pub(super) fn bytes(&self, blocks: &Range<u64>) -> Range<u64> {
        let at = |block: u64| block.saturating_mul(self.block).min(self.size);
        at(blocks.start)..at(blocks.end)
    }

    /// How long these blocks are, in bytes.
    pub(super) fn length(&self, blocks: &Range<u64>) -> u64 {
        let bytes = self.bytes(blocks);
        bytes.end - bytes.start
    }

    /// The blocks of each file.
    pub(super) fn files(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let all = self.blocks();
        let each = self.segment.unwrap_or(all).max(1);
        // An empty image is an empty file.
        let files = if self.segment.is_some() { all.div_ceil(each) } else { 1 };
        (0..files).map(move |file| file * each..((file + 1) * each).min(all))
    }
}
