//! The content of many files at a time: a round. Every blob is opened once and
//! written to all places that need it; what is zero is left a hole.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::AcqRel},
    },
};

use berth_api::{Context as _, Error, Result};
use berth_host::{
    beneath::{Dir, furnish},
    failpoint,
};

use super::{entry::Attributes, folder::Folders};
use crate::fetch::{Fetch, Found, Wanted};

/// Files, and blobs of them, of one round: what bounds the memory.
const MOST_FILES: usize = 100_000;
const MOST_PARTS: usize = 400_000;
/// What a hole is made of, in bytes: the usual block of file systems.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];
/// How many paths an error names.
const NAMED: usize = 3;

/// Files that wait for their content.
#[derive(Debug, Default)]
pub(super) struct Round {
    files: Vec<Waiting>,
    parts: Vec<Wanted<Part>>,
}

#[derive(Debug)]
struct Waiting {
    folder: u32,
    name: Box<CStr>,
    attributes: Attributes,
    size: u64,
    /// It has to be made first: it has one blob, and no other name.
    new: bool,
    /// How many blobs are still to come.
    left: AtomicU32,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    file: u32,
    offset: u64,
}

/// A file with content.
#[derive(Debug)]
pub(super) struct Content {
    /// The directory it is in.
    pub(super) folder: u32,
    /// Its name.
    pub(super) name: Box<CStr>,
    /// What it gets once it is complete.
    pub(super) attributes: Attributes,
    /// In bytes.
    pub(super) size: u64,
    /// Its blobs, and where they belong; at least one.
    pub(super) blobs: Vec<(u32, u64)>,
    /// It has to be there before its content comes, since it gets other names.
    pub(super) named: bool,
}

impl Round {
    /// Whether it should be written before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= MOST_FILES || self.parts.len() >= MOST_PARTS
    }

    /// Adds a file. One that comes in several parts is made at once.
    pub(super) fn add(&mut self, folders: &Folders, content: Content) -> Result<()> {
        let Content { folder, name, attributes, size, blobs, named } = content;
        let new = blobs.len() == 1 && !named;
        if !new {
            let make = |directory: Arc<Dir>| directory.new_file(&name)?.set_len(size);
            folders
                .open(folder)
                .and_then(make)
                .context(|| format!("make {}", folders.shown(folder, &name)))?;
        }
        let file = u32::try_from(self.files.len()).expect("at most 100,000");
        let left = u32::try_from(blobs.len())
            .map_err(|_| Error::corrupt("it has more blobs than a file may have"))?;
        let wish = |(blob, offset)| Wanted { blob, by: Part { file, offset } };
        self.parts.extend(blobs.into_iter().map(wish));
        let left = AtomicU32::new(left);
        self.files.push(Waiting { folder, name, attributes, size, new, left });
        Ok(())
    }

    /// Fetches all content and completes all files; the round is empty then.
    pub(super) fn write(&mut self, fetch: &Fetch<'_>, folders: &Folders) -> Result<()> {
        let files = std::mem::take(&mut self.files);
        let mut parts = std::mem::take(&mut self.parts);
        fetch.run(&mut parts, &|found| {
            let shown = || shown(&found, &files, folders);
            let content = match &found.content {
                Ok(content) => content,
                Err(error) => return Err(error.duplicate().context(shown())),
            };
            for wish in found.wanted {
                let file = &files[wish.by.file as usize];
                fetch.op.check()?;
                let done = put(file, folders, content, wish.by.offset)
                    .context(|| format!("write {}", folders.shown(file.folder, &file.name)))?;
                fetch.op.advance(content.len() as u64, done.into());
            }
            Ok(())
        })
    }
}

/// Writes one blob, and says whether the file is complete.
fn put(file: &Waiting, folders: &Folders, content: &[u8], offset: u64) -> io::Result<bool> {
    let directory = folders.open(file.folder)?;
    let target = if file.new {
        directory.new_file(&file.name)?
    } else {
        directory.reopen_file(&file.name)?
    };
    failpoint::hit("restore.file.write")?;
    let end = write(&target, content, offset)?;
    if file.new && end != file.size {
        target.set_len(file.size)?;
    }
    // The last one comes after all others have written.
    let done = file.left.fetch_sub(1, AcqRel) == 1;
    if done {
        failpoint::hit("restore.file.attributes")?;
        furnish(&target, &file.attributes.lend())?;
    }
    Ok(done)
}

/// Writes what is not zero into a file that is empty there, and says where the last
/// of it ends.
fn write(file: &File, content: &[u8], offset: u64) -> io::Result<u64> {
    let first = BLOCK - usize::try_from(offset % BLOCK as u64).expect("below 4096");
    let (mut at, mut start, mut end) = (0, None, 0);
    while at < content.len() {
        let next = if at == 0 { first } else { at + BLOCK }.min(content.len());
        let zero = content[at..next] == ZEROS[..next - at];
        match (zero, start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                file.write_all_at(&content[from..at], offset + from as u64)?;
                (start, end) = (None, offset + at as u64);
            }
            _ => {}
        }
        at = next;
    }
    if let Some(from) = start {
        file.write_all_at(&content[from..], offset + from as u64)?;
        end = offset + content.len() as u64;
    }
    Ok(end)
}

/// How much of a blob is written, in bytes, where it begins a block.
pub(super) fn written(content: &[u8]) -> u64 {
    let blocks = content.chunks(BLOCK).filter(|block| **block != ZEROS[..block.len()]);
    blocks.map(|block| block.len() as u64).sum()
}

/// The files that a blob is for, for people.
fn shown(found: &Found<'_, Part>, files: &[Waiting], folders: &Folders) -> String {
    let mut of: Vec<u32> = found.wanted.iter().map(|wish| wish.by.file).collect();
    of.sort_unstable();
    of.dedup();
    let path = |number: &u32| {
        let file = &files[*number as usize];
        folders.shown(file.folder, &file.name)
    };
    let paths: Vec<_> = of.iter().take(NAMED).map(path).collect();
    let more = of.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("content of {}{more}", paths.join(", "))
}
