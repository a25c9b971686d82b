//! The index in memory: where each blob is. 56 bytes a blob.

use std::collections::HashMap;

use berth_api::{Op, Result};

use super::Repository;
use crate::{
    format::{BlobKind, Id, IndexBlob, IndexFile},
    store::Kind,
};

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Id,
    /// Where it begins there, in bytes.
    pub offset: u32,
    /// How long it is there, sealed, in bytes.
    pub length: u32,
    /// How long its content is, if that is compressed.
    pub uncompressed: Option<u32>,
}

/// Where each blob is.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Id>,
    /// By id; a blob that is in several packs stands here once for each.
    data: Vec<Entry>,
    trees: Vec<Entry>,
    /// The files it was read from.
    files: Vec<Id>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    /// 0 if it is not compressed.
    uncompressed: u32,
}

impl Index {
    /// The index of these files.
    pub fn of(files: impl IntoIterator<Item = (Id, IndexFile)>) -> Self {
        let mut index = Self::default();
        let mut numbers: HashMap<Id, u32> = HashMap::new();
        for (id, file) in files {
            index.files.push(id);
            for pack in file.packs {
                let next = u32::try_from(index.packs.len()).expect("fewer than 2^32 packs");
                let number = *numbers.entry(pack.id).or_insert(next);
                if number == next {
                    index.packs.push(pack.id);
                }
                for blob in pack.blobs {
                    index.add(number, &blob);
                }
            }
        }
        for side in [&mut index.data, &mut index.trees] {
            side.sort_unstable_by_key(|entry| (entry.id, entry.pack, entry.offset));
            side.dedup_by_key(|entry| (entry.id, entry.pack, entry.offset));
            side.shrink_to_fit();
        }
        index
    }

    fn add(&mut self, pack: u32, blob: &IndexBlob) {
        let entry = Entry {
            id: blob.id,
            pack,
            offset: blob.offset,
            length: blob.length,
            uncompressed: blob.uncompressed_length.unwrap_or(0),
        };
        match blob.kind {
            BlobKind::Data => self.data.push(entry),
            BlobKind::Tree => self.trees.push(entry),
        }
    }

    /// Where a blob is; the first place, if there are several.
    pub fn find(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        self.number(kind, id).map(|number| self.place(kind, number).1)
    }

    /// The number of a blob's first place: four bytes that stand for its id.
    pub fn number(&self, kind: BlobKind, id: &Id) -> Option<u32> {
        let side = self.side(kind);
        let at = side.partition_point(|entry| entry.id < *id);
        side.get(at).filter(|entry| entry.id == *id)?;
        u32::try_from(at).ok()
    }

    /// The place with that number.
    pub fn place(&self, kind: BlobKind, number: u32) -> (Id, Location) {
        let entry = &self.side(kind)[number as usize];
        (entry.id, self.location(entry))
    }

    /// In which order places are read best: the pack's number, where it begins there.
    pub fn order(&self, kind: BlobKind, number: u32) -> (u32, u32) {
        let entry = &self.side(kind)[number as usize];
        (entry.pack, entry.offset)
    }

    /// Every place of one blob.
    pub fn places_of(&self, kind: BlobKind, id: &Id) -> impl Iterator<Item = Location> + '_ {
        let (side, id) = (self.side(kind), *id);
        let at = side.partition_point(|entry| entry.id < id);
        side[at..].iter().take_while(move |entry| entry.id == id).map(|entry| self.location(entry))
    }

    /// How long a blob's content is, in bytes.
    pub fn length(&self, kind: BlobKind, id: &Id) -> Option<u64> {
        self.find(kind, id).map(|location| location.content())
    }

    /// Every place of every blob of that kind.
    pub fn places(&self, kind: BlobKind) -> impl Iterator<Item = (Id, Location)> + '_ {
        self.side(kind).iter().map(|entry| (entry.id, self.location(entry)))
    }

    /// How many places of blobs of that kind there are. They are numbered from 0, and
    /// those of one blob follow each other.
    pub fn count(&self, kind: BlobKind) -> u32 {
        u32::try_from(self.side(kind).len()).unwrap_or(u32::MAX)
    }

    /// All packs that it knows.
    pub fn packs(&self) -> &[Id] {
        &self.packs
    }

    /// The files it was read from.
    pub fn files(&self) -> &[Id] {
        &self.files
    }

    fn side(&self, kind: BlobKind) -> &[Entry] {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    fn location(&self, entry: &Entry) -> Location {
        Location {
            pack: self.packs[entry.pack as usize],
            offset: entry.offset,
            length: entry.length,
            uncompressed: Some(entry.uncompressed).filter(|length| *length != 0),
        }
    }
}

impl Location {
    /// How long the content is, in bytes.
    pub fn content(&self) -> u64 {
        match self.uncompressed {
            Some(length) => length.into(),
            None => u64::from(self.length).saturating_sub(crate::format::crypt::OVERHEAD as u64),
        }
    }

    /// Where the sealed blob is in its pack.
    pub fn range(&self) -> std::ops::Range<u64> {
        u64::from(self.offset)..u64::from(self.offset) + u64::from(self.length)
    }
}

impl Repository {
    /// Reads the index.
    ///
    /// # Errors
    /// `Corrupt` if a file of it cannot be read.
    pub fn index(&self, op: &Op) -> Result<Index> {
        // One that vanishes was merged into another by a prune, which lists later.
        for _ in 0..5 {
            let files = self.store.list(op, Kind::Index)?;
            let ids: Vec<_> = files.iter().map(|file| file.id).collect();
            let read = self.read_all::<IndexFile>(op, Kind::Index, &ids)?;
            if read.iter().all(|(_, file)| file.is_some()) {
                return Ok(Index::of(read.into_iter().filter_map(|(id, file)| Some((id, file?)))));
            }
        }
        Err(berth_api::Error::busy(format!(
            "repository `{}`: its index is being rewritten",
            self.name
        ))
        .with_hint("try again"))
    }
}
