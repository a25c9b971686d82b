//! Copying backups into another repository, with another key.
//!
//! Blobs are opened, checked against their ids, and sealed with the other key; what
//! is there already is not read. A snapshot remembers what it was copied of.

use std::{collections::HashSet, sync::Arc};

use berth_api::{Context as _, Op, Result};
use berth_host::failpoint;

use crate::{
    fetch::Fetch,
    format::{BlobKind, Id, SnapshotFile},
    lock::{Lock, Reading},
    reach::Reach,
    repository::Repository,
    store::Kind,
    writer::{Writer, Written},
};

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The snapshots that were copied: there, and here.
    pub snapshots: Vec<(Id, Id)>,
    /// Those that were in the other repository already.
    pub skipped: Vec<Id>,
    /// What was stored anew.
    pub written: Written,
}

/// Copies these snapshots and all that they need.
///
/// # Errors
/// `NotFound` for one that is not there; `Busy` while anybody removes something from
/// one of the two; `Corrupt` if something cannot be read: no snapshot is written then.
pub fn copy(from: &Repository, to: &Repository, op: &Op, ids: &[Id]) -> Result<Copied> {
    let what = || format!("copy backups of repository `{}` to `{}`", from.name(), to.name());
    let (source, target) = (Reading::begin(op, from)?, Lock::shared(op, to)?);
    let there: HashSet<_> =
        to.snapshots(op).context(what)?.into_iter().map(|(id, file)| origin(id, &file)).collect();
    let mut copied = Copied::default();
    let mut files = Vec::new();
    for id in ids {
        let file: SnapshotFile = from.load(op, Kind::Snapshot, id).context(what)?;
        if there.contains(&origin(*id, &file)) {
            copied.skipped.push(*id);
        } else {
            files.push((*id, file));
        }
    }
    let index = from.index(op).context(what)?;
    let roots = files.iter().map(|(_, file)| file.tree);
    let reach = Reach::of(from, op, &index, roots).context(what)?;
    let writer = Writer::new(to, Arc::new(to.index(op).context(what)?), op).context(what)?;
    let kinds = [BlobKind::Data, BlobKind::Tree];
    let lacks = |kind, number: &u32| {
        reach.has(kind, *number) && !writer.has(kind, &index.place(kind, *number).0)
    };
    let picks = kinds.map(|kind| {
        (0..index.count(kind)).filter(|number| lacks(kind, number)).collect::<Vec<_>>()
    });
    let length = |(kind, picks): (BlobKind, &Vec<u32>)| -> u64 {
        picks.iter().map(|number| u64::from(index.place(kind, *number).1.length)).sum()
    };
    op.set_total(kinds.into_iter().zip(&picks).map(length).sum());
    for (kind, picks) in kinds.into_iter().zip(picks) {
        let fetch = Fetch { repository: from, index: &index, op, kind };
        fetch
            .each(picks, &|blob| {
                writer.add(kind, &blob.content?)?;
                op.advance(blob.sealed.len() as u64, 0);
                Ok(())
            })
            .context(what)?;
    }
    copied.written = writer.finish().context(what)?;
    source.check()?;
    for (id, file) in files {
        op.check()?;
        target.check()?;
        failpoint::hit("copy.snapshot.write").context(what)?;
        // The parent has another id there, if it is there at all.
        let original = Some(file.original.unwrap_or(id));
        let file = SnapshotFile { parent: None, original, ..file };
        copied.snapshots.push((id, to.save(op, Kind::Snapshot, &file).context(what)?));
    }
    target.release()?;
    source.end(Ok(copied))
}

/// What a snapshot is, in whichever repository: the first of its kind, and what it
/// shows; `restic tag` makes another of the same.
fn origin(id: Id, file: &SnapshotFile) -> (Id, Id, jiff::Timestamp) {
    (file.original.unwrap_or(id), file.tree, file.time)
}
