//! The image of a block volume, put onto a file or a block device.
//!
//! ```text
//! block of data   read pack by pack, checked, written (where it differs) in parallel
//! block of zeros  never read; a hole, or made one
//! ```

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek as _},
    ops::Range,
    os::unix::fs::{FileExt as _, FileTypeExt as _},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;
use nix::fcntl::{FallocateFlags, fallocate};

use super::{Restored, entry};
use crate::{
    backup::{
        Backup, IMAGE,
        description::Content,
        image::{SEGMENT, SEGMENTS, name},
    },
    fetch::{Fetch, Found, Wanted},
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::{Index, Repository},
};

/// How many blobs are sorted by their packs at a time. Packs are read anew for each
/// time, so it is large; a wish has 16 bytes.
const ROUND: usize = 1 << 20;
/// How many bytes of zeros are written at a time.
const ZEROS: usize = 1 << 20;

/// Restores the image of `backup` onto `to`: a regular file, which gets its length, or
/// a block device that is long enough, open for reading and writing. What a longer
/// device has past the end is left. `blank` says that `to` reads as zeros now: zeros
/// are left out then. Else what is there is compared, and written only where it
/// differs. Everything is on stable storage on return. Whoever calls holds a shared
/// lock on the repository.
///
/// # Errors
/// `Exhausted` if the device is too short: nothing was written; `Corrupt`, naming pack
/// and offset, for whatever is damaged or missing; the kernel's.
pub fn image(
    repository: &Repository,
    op: &Op,
    backup: &Backup,
    to: &File,
    blank: bool,
) -> Result<Restored> {
    let what = || format!("restore {}", super::shown(backup));
    let index = repository.index(op).context(what)?;
    let size = super::read_description(repository, op, &index, &backup.file)
        .and_then(|description| match description.content {
            Content::Image { size, .. } => Ok(size),
            Content::Tree => Err(Error::invalid("it is the backup of a directory, not of a disk")),
        })
        .context(what)?;
    let source = Source { repository, op, index: &index, top: &backup.file.tree };
    let files = source.files().context(what)?;
    let target = Target::prepare(to, size, blank).context(what)?;
    op.set_total(size);
    let mut round = Round { source, target: &target, data: Vec::new(), zeros: Vec::new(), at: 0 };
    files.run(&mut round).and_then(|()| round.end()).context(what)?;
    Ok(Restored { bytes: size, files: 1 })
}

/// Where the image comes from.
#[derive(Clone, Copy)]
struct Source<'a> {
    repository: &'a Repository,
    op: &'a Op,
    index: &'a Index,
    top: &'a Id,
}

/// The files that an image is kept in.
enum Files {
    Whole(Box<Node>),
    Segments(Vec<Node>),
}

impl Source<'_> {
    fn files(&self) -> Result<Files> {
        let mut top = self.tree(self.top)?;
        if let Some(at) = top.nodes.iter().position(|node| node.name == IMAGE) {
            return Ok(Files::Whole(Box::new(top.nodes.swap_remove(at))));
        }
        let folder = top.nodes.iter().find(|node| node.name == SEGMENTS);
        let folder = folder.and_then(|node| node.subtree);
        let folder = folder.ok_or_else(|| Error::corrupt("there is no image in it"))?;
        let segments = self.tree(&folder)?.nodes;
        for (node, number) in segments.iter().zip(0..) {
            if node.kind != NodeKind::Dir || node.name != name(number) {
                return Err(Error::corrupt(format!("segment {number} of the image is missing")));
            }
        }
        Ok(Files::Segments(segments))
    }

    fn tree(&self, id: &Id) -> Result<Tree> {
        self.repository.tree(self.op, self.index, id)
    }

    /// The file in the directory of a segment.
    fn segment(&self, folder: &Node) -> Result<Node> {
        let what = || format!("segment {} of the image", folder.name);
        let none = || Error::corrupt(format!("{} is none", what()));
        let tree = self.tree(&folder.subtree.ok_or_else(none)?).context(what)?;
        tree.nodes.into_iter().find(|node| node.name == SEGMENT).ok_or_else(none)
    }
}

impl Files {
    fn run(self, round: &mut Round<'_>) -> Result<()> {
        match self {
            Self::Whole(file) => round.add(&file),
            Self::Segments(folders) => folders.iter().try_for_each(|folder| {
                round.source.op.check()?;
                round.add(&round.source.segment(folder)?)?;
                if round.data.len() >= ROUND { round.write() } else { Ok(()) }
            }),
        }
    }
}

/// Blocks that are known by now, and not written.
struct Round<'a> {
    source: Source<'a>,
    target: &'a Target<'a>,
    data: Vec<Wanted<u64>>,
    zeros: Vec<Range<u64>>,
    /// Where the next file begins in the image, in bytes.
    at: u64,
}

impl Round<'_> {
    fn add(&mut self, file: &Node) -> Result<()> {
        let end = self.at.checked_add(file.size).filter(|end| *end <= self.target.size);
        let end = end.ok_or_else(|| {
            Error::corrupt(format!(
                "the image should have {} bytes, and has more",
                self.target.size
            ))
        })?;
        // Files have blocks of one length, and one that is shorter.
        let mut known: HashMap<u64, Id> = HashMap::with_capacity(2);
        for (blob, offset) in entry::content(self.source.index, file)? {
            let (id, location) = self.source.index.place(BlobKind::Data, blob);
            let (start, length) = (self.at + offset, location.content());
            let zero = match known.get(&length) {
                Some(zero) => *zero == id,
                None if known.len() < 2 && length <= 8 << 20 => {
                    let zeros = vec![0; usize::try_from(length).unwrap_or_default()];
                    *known.entry(length).or_insert_with(|| Id::of(&zeros)) == id
                }
                None => false,
            };
            match self.zeros.last_mut() {
                Some(last) if zero && last.end == start => last.end += length,
                _ if zero => self.zeros.push(start..start + length),
                _ => self.data.push(Wanted { blob, by: start }),
            }
        }
        self.at = end;
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let Source { repository, op, index, .. } = self.source;
        for range in self.zeros.drain(..) {
            op.check()?;
            self.target.clear(op, &range)?;
        }
        let fetch = Fetch { repository, index, op, kind: BlobKind::Data };
        fetch.run(&mut self.data, &|found: Found<'_, u64>| {
            let first = found.wanted.first().map_or(0, |wish| wish.by);
            let content = found.content.context(|| format!("block at offset {first}"))?;
            for wish in found.wanted {
                self.target
                    .put(&content, wish.by)
                    .context(|| format!("write the image at offset {}", wish.by))?;
                op.advance(content.len() as u64, 0);
            }
            Ok(())
        })?;
        self.data.clear();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.write()?;
        let Target { size, .. } = *self.target;
        if self.at != size {
            return Err(Error::corrupt(format!(
                "the image should have {size} bytes, and has {}",
                self.at
            )));
        }
        self.target.sync()
    }
}

/// Where the image is put.
struct Target<'a> {
    file: &'a File,
    /// The length of the image, in bytes.
    size: u64,
    blank: bool,
}

impl<'a> Target<'a> {
    fn prepare(file: &'a File, size: u64, blank: bool) -> Result<Self> {
        let what = || "look at the target";
        let kind = file.metadata().context(what)?.file_type();
        if kind.is_block_device() {
            let mut end = file;
            let there = end.seek(io::SeekFrom::End(0)).context(what)?;
            if there < size {
                return Err(Error::exhausted(format!(
                    "the device has {there} bytes, and the image {size}"
                ))
                .with_hint("make it larger, or restore to another"));
            }
        } else if kind.is_file() {
            failpoint::hit("restore.image.resize").context(what)?;
            file.set_len(size).context(|| "give the image its length")?;
        } else {
            return Err(Error::invalid("the target is neither a file nor a block device"));
        }
        Ok(Self { file, size, blank })
    }

    fn put(&self, content: &[u8], offset: u64) -> io::Result<()> {
        if !self.blank {
            let mut there = vec![0; content.len()];
            self.file.read_exact_at(&mut there, offset)?;
            if there == content {
                return Ok(());
            }
        }
        self.file.write_all_at(content, offset)
    }

    /// Makes a range zeros.
    fn clear(&self, op: &Op, range: &Range<u64>) -> Result<()> {
        op.advance(range.end - range.start, 0);
        // Saboteur `skip-zeros`: what was there stays where the image has zeros.
        if self.blank || failpoint::sabotaged("skip-zeros") {
            return Ok(());
        }
        let number = |byte| i64::try_from(byte).unwrap_or(i64::MAX);
        let (offset, length) = (number(range.start), number(range.end - range.start));
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // The first frees space; not all file systems and devices can do either.
        let ways = [FallocateFlags::FALLOC_FL_PUNCH_HOLE, FallocateFlags::FALLOC_FL_ZERO_RANGE];
        if ways.into_iter().any(|way| fallocate(self.file, way | keep, offset, length).is_ok()) {
            return Ok(());
        }
        let zeros = vec![0; ZEROS];
        for at in range.clone().step_by(ZEROS) {
            op.check()?;
            let left = usize::try_from(range.end - at).unwrap_or(ZEROS).min(ZEROS);
            self.put(&zeros[..left], at).context(|| format!("clear the image at offset {at}"))?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let what = || "sync the image";
        failpoint::hit("restore.image.sync").context(what)?;
        self.file.sync_all().context(what)
    }
}
