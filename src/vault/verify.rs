//! Reading everything that backups need, and checking it: what a restore would meet.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use berth_api::{Error, ErrorKind, Op, Result};

pub use crate::survey::Damage;
use crate::{
    backup::Label,
    fetch::Fetch,
    format::{BlobKind, Id, SnapshotFile},
    repository::{Index, Repository},
    restore::{self, entry},
    store::Kind,
    survey::Survey,
};

/// Damage that is named for each backup; of more, how much.
const NAMED: usize = 100;
/// Blobs whose damage is told in full.
const TOLD: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One for each backup that was asked for, in that order.
    pub backups: Vec<Verified>,
    /// Blobs that were read, each once.
    pub blobs: u64,
    /// Bytes of their content.
    pub bytes: u64,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The backup.
    pub id: Id,
    /// What a restore would refuse; nothing if the backup is whole.
    pub damaged: Vec<Damage>,
    /// How much more there is of that.
    pub more: u64,
}

impl Verdict {
    /// Whether all of it is whole.
    pub fn is_whole(&self) -> bool {
        self.backups.iter().all(|backup| backup.damaged.is_empty() && backup.more == 0)
    }
}

/// Reads and checks all data of these backups, every blob once. Damage is part of the
/// answer. Whoever calls holds a shared lock on the repository.
///
/// # Errors
/// `NotFound` if there is no such backup; cancellation; a store that does not answer.
pub fn verify(repository: &Repository, op: &Op, ids: &[Id]) -> Result<Verdict> {
    let index = repository.index(op)?;
    let mut verdict = Verdict::default();
    let mut survey = Survey::new(repository, &index, op);
    let mut tops = Vec::new();
    for id in ids {
        op.check()?;
        let mut verified = Verified { id: *id, damaged: Vec::new(), more: 0 };
        let top = top(repository, op, &index, id, &mut verified)?;
        tops.push(top);
        verdict.backups.push(verified);
    }
    survey.read(tops.iter().copied().flatten())?;
    verdict.blobs = survey.trees().len() as u64;
    let bad = data(repository, op, &index, &survey, &mut verdict)?;
    survey.blame(&bad)?;
    let hurt = survey.hurt();
    for (verified, top) in verdict.backups.iter_mut().zip(tops) {
        if let Some(top) = top.filter(|top| hurt.contains(top)) {
            let (damaged, more) = survey.paths(top, &hurt, NAMED)?;
            // Past what is told apart, at least that there is something.
            verified.more += if damaged.is_empty() { more.max(1) } else { more };
            verified.damaged.extend(damaged);
        }
    }
    Ok(verdict)
}

/// The tree of a backup, if that can be known.
fn top(
    repository: &Repository,
    op: &Op,
    index: &Index,
    id: &Id,
    verified: &mut Verified,
) -> Result<Option<u32>> {
    let mut damage = |what: &str, error: Error| match error.kind() {
        ErrorKind::Corrupt => {
            verified.damaged.push(Damage { what: what.to_owned(), why: error.chain() });
            Ok(None)
        }
        _ => Err(error),
    };
    let file: SnapshotFile = match repository.load(op, Kind::Snapshot, id) {
        Ok(file) => file,
        Err(error) => return damage("/", error),
    };
    let top = match entry::tree(index, &file.tree) {
        Ok(top) => top,
        Err(error) => return damage("/", error),
    };
    if Label::from_tags(&file.tags, &file.hostname).is_some()
        && let Err(error) = restore::read_description(repository, op, index, &file)
    {
        damage(crate::backup::DESCRIPTION, error)?;
    }
    Ok(Some(top))
}

/// Reads all content, and says what is not whole.
fn data(
    repository: &Repository,
    op: &Op,
    index: &Index,
    survey: &Survey<'_>,
    verdict: &mut Verdict,
) -> Result<HashMap<u32, Arc<str>>> {
    let length = |number: &u32| index.place(BlobKind::Data, *number).1.content();
    op.set_total(survey.data().iter().map(length).sum());
    let bad = Mutex::new(HashMap::new());
    let bytes = AtomicU64::new(0);
    let others: Arc<str> = "it is damaged, as many others".into();
    let fetch = Fetch { repository, index, op, kind: BlobKind::Data };
    fetch.each(survey.data().iter().copied(), &|found| {
        match found.content {
            Ok(content) => {
                bytes.fetch_add(content.len() as u64, Relaxed);
                op.advance(content.len() as u64, 0);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let mut bad = bad.lock().unwrap_or_else(PoisonError::into_inner);
                let few = bad.len() < TOLD;
                let why = if few { error.chain().into() } else { others.clone() };
                bad.insert(found.blob, why);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    verdict.blobs += survey.data().len() as u64;
    verdict.bytes = bytes.into_inner();
    Ok(bad.into_inner().unwrap_or_else(PoisonError::into_inner))
}
