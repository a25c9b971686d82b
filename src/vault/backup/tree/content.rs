//! The content of one file, as blobs.
//!
//! ```text
//! hole ──▶ blobs of zeros, never read      data ──▶ chunks ──▶ blobs
//! ```

use std::{fs::File, io, os::unix::fs::FileExt as _};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::{
    beneath::{Stat, copy::extent},
    failpoint,
};

use super::chunker::{Chunker, MAX, MIN, Scan};
use crate::{
    format::{BlobKind, Id},
    writer::Writer,
};

/// Bytes that are read at a time. A file that is smaller than a chunk comes with one.
const STEP: usize = MIN;
/// The length of a blob of zeros, in bytes.
const ZEROS: u64 = MAX as u64;
/// The smallest hole that is left out, in bytes; smaller ones are read.
const HOLE: u64 = 64 << 10;
/// A hole is also at least this part of its file: each cuts the content once more, and
/// the list of all pieces of a file is in memory.
const HOLES: u64 = 1 << 16;
/// Blobs that one file may have: the directory that lists them is one blob.
const MOST: usize = 1_500_000;

/// What a file is made of.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) blobs: Vec<Id>,
    /// Its length, in bytes: less than before if the file was cut short meanwhile.
    pub(super) size: u64,
    /// Bytes that were read.
    pub(super) read: u64,
}

/// Reads files, one after the other.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    op: &'a Op,
    writer: &'a Writer,
    chunker: &'a Chunker,
    buffer: Vec<u8>,
}

impl<'a> Contents<'a> {
    pub(super) fn new(op: &'a Op, writer: &'a Writer, chunker: &'a Chunker) -> Self {
        Self { op, writer, chunker, buffer: Vec::new() }
    }

    /// Reads a file that has the length that was `found`, or less by now. `what` is
    /// said of an error.
    pub(super) fn of(
        &mut self,
        file: &File,
        found: &Stat,
        what: &dyn Fn() -> String,
    ) -> Result<Content> {
        let size = found.size;
        let mut content = Content::default();
        let sparse = size >= MIN as u64 && found.blocks.saturating_mul(512) < size;
        if !sparse {
            self.run(file, 0, size, &mut content, what)?;
            return Ok(content);
        }
        let least = HOLE.max(size / HOLES);
        let mut at = 0;
        while at < size {
            self.op.check()?;
            let Some((start, end)) = run_of_data(file, at, size, least).context(what)? else {
                // A hole, or where it was cut off.
                let end = size.min(file.metadata().context(what)?.len());
                self.zeros(end.saturating_sub(at), &mut content, what)?;
                break;
            };
            self.zeros(start - at, &mut content, what)?;
            if !self.run(file, start, end, &mut content, what)? {
                break;
            }
            at = end;
        }
        Ok(content)
    }

    /// Reads from `start` to `end`; whether all of it was there.
    fn run(
        &mut self,
        file: &File,
        start: u64,
        end: u64,
        content: &mut Content,
        what: &dyn Fn() -> String,
    ) -> Result<bool> {
        let (mut at, mut filled, mut scan) = (start, 0, Scan::default());
        let mut whole = true;
        loop {
            if at < end {
                let step = usize::try_from(end - at).map_or(STEP, |left| left.min(STEP));
                if self.buffer.len() < filled + step {
                    self.buffer.resize(filled + step, 0);
                }
                let room = &mut self.buffer[filled..filled + step];
                let read = read(file, room, at).context(what)?;
                (at, filled) = (at + read as u64, filled + read);
                content.read += read as u64;
                if read < step {
                    whole = false;
                }
            }
            let mut begun = 0;
            while let Some(length) = self.chunker.cut(&mut scan, &self.buffer[begun..filled]) {
                self.add(begun..begun + length, content, what)?;
                (begun, scan) = (begun + length, Scan::default());
            }
            if at >= end || !whole {
                if begun < filled {
                    self.add(begun..filled, content, what)?;
                }
                return Ok(whole);
            }
            self.buffer.copy_within(begun..filled, 0);
            filled -= begun;
        }
    }

    fn add(
        &self,
        range: std::ops::Range<usize>,
        content: &mut Content,
        what: &dyn Fn() -> String,
    ) -> Result<()> {
        self.op.check()?;
        let bytes = &self.buffer[range];
        let added = self.writer.add(BlobKind::Data, bytes)?;
        content.push(added.id, bytes.len() as u64, what)?;
        self.op.advance(bytes.len() as u64, 0);
        Ok(())
    }

    fn zeros(&self, length: u64, content: &mut Content, what: &dyn Fn() -> String) -> Result<()> {
        let mut left = length;
        while left > 0 {
            let piece = left.min(ZEROS);
            let count = usize::try_from(piece).expect("a piece fits into memory");
            let added = self.writer.add_zeros(count)?;
            content.push(added.id, piece, what)?;
            left -= piece;
        }
        self.op.advance(length, 0);
        Ok(())
    }
}

impl Content {
    fn push(&mut self, id: Id, length: u64, what: &dyn Fn() -> String) -> Result<()> {
        if self.blobs.len() >= MOST {
            return Err(Error::unsupported(format!(
                "{}: a file of more than {MOST} pieces does not fit into the repository's format",
                what()
            )));
        }
        self.blobs.push(id);
        self.size += length;
        Ok(())
    }
}

/// The next piece from `at` on that is to be read, small holes included; `None` if the
/// rest is a hole.
fn run_of_data(file: &File, at: u64, size: u64, least: u64) -> io::Result<Option<(u64, u64)>> {
    let Some((mut start, mut end)) = extent(file, at, size)? else {
        return Ok((size - at < least).then_some((at, size)));
    };
    if start - at < least {
        start = at;
    }
    while end < size {
        match extent(file, end, size)? {
            Some((next, after)) if next - end < least && after > end => end = after,
            None if size - end < least => end = size,
            _ => break,
        }
    }
    Ok(Some((start, end)))
}

/// Fills `room`, unless the file ends before.
fn read(file: &File, room: &mut [u8], at: u64) -> io::Result<usize> {
    failpoint::hit("backup.tree.read")?;
    let mut filled = 0;
    while filled < room.len() {
        match file.read_at(&mut room[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
