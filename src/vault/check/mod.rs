//! The whole repository: is everything there that its snapshots need, and whole?
//!
//! Snapshots of stock restic are checked as Berth's own. Damage is never an error of
//! the check itself, but part of its answer.
//!
//! | module | noun |
//! |---|---|
//! | `packs` | which packs are there, as long as the index says, and whole |

mod packs;

use std::collections::{HashMap, HashSet};

use berth_api::{ErrorKind, Op, Result, VolumeName};
use serde::de::DeserializeOwned;

use self::packs::{Expected, Wrong};
use crate::{
    backup::Label,
    format::{BlobKind, Id, IndexFile, KeyFile, SnapshotFile},
    repository::{Index, Repository},
    restore::entry,
    store::Kind,
    survey::Survey,
};

/// Findings that are kept; of more, how many.
const NAMED: usize = 200;

/// What helps where the index and the packs do not agree.
const REPAIR: &str = "`restic repair index` (before 0.16: `restic rebuild-index`) makes the index \
    anew from the packs that are there; then back up again, which stores what is missing anew";
/// What helps where snapshots are hurt.
const FORGET: &str = "`berth backup verify ID` names the paths that are hurt; the rest of such a \
    backup can be had by `restic restore`, and `berth backup rm ID` removes it";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong.
    pub errors: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
    /// Snapshots that cannot be restored whole.
    pub hurt: Vec<Hurt>,
    /// Snapshots in all.
    pub snapshots: u64,
    /// Packs in all, and their bytes.
    pub packs: u64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// Packs in no index: of backups that were cut off, or run just now.
    pub unknown_packs: u64,
    /// Their bytes.
    pub unknown_bytes: u64,
    /// Packs of which no snapshot needs anything.
    pub unused_packs: u64,
    /// Bytes of blobs that no snapshot needs, in whatever pack.
    pub unused_bytes: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// What helps.
    pub hint: String,
}

/// A snapshot that cannot be restored whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hurt {
    /// Its id.
    pub id: Id,
    /// The volume it is of; none if Berth did not make it, or it cannot be read.
    pub volume: Option<VolumeName>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.errors.is_empty() && self.more == 0 && self.hurt.is_empty()
    }

    fn add(&mut self, what: impl Into<String>, hint: &str) {
        if self.errors.len() < NAMED {
            self.errors.push(Finding { what: what.into(), hint: hint.to_owned() });
        } else {
            self.more += 1;
        }
    }
}

/// Checks the whole repository; with `read_data` it reads every byte of it. Whoever
/// calls holds a shared lock.
///
/// # Errors
/// Cancellation; a store that does not answer or refuses us. Damage is no error.
pub fn check(repository: &Repository, op: &Op, read_data: bool) -> Result<Findings> {
    let mut findings = Findings::default();
    keys(repository, op, &mut findings)?;
    let index = read::<IndexFile>(repository, op, Kind::Index, &mut findings)?;
    let index = Index::of(index.whole);
    let Files { whole: mut snapshots, damaged } =
        read::<SnapshotFile>(repository, op, Kind::Snapshot, &mut findings)?;
    snapshots.sort_by_key(|(id, file)| (file.time, *id));
    findings.snapshots = (snapshots.len() + damaged.len()) as u64;

    let expected = packs::expected(&index);
    let mut wrong = Wrong::default();
    let there = list(repository, op, &expected, &mut wrong, &mut findings)?;
    if read_data {
        let whole = there.iter().filter(|id| !wrong.packs.contains_key(id));
        let packs: Vec<_> = whole.map(|id| (*id, &expected[id])).collect();
        findings.bytes_read = packs::read(repository, op, &packs, &mut wrong)?;
    }
    let mut lost: Vec<_> = wrong.packs.iter().collect();
    lost.sort_unstable();
    for (id, why) in lost {
        findings.add(format!("pack {}: {why}", id.short()), REPAIR);
    }

    let mut survey = Survey::new(repository, &index, op);
    let top = |file: &SnapshotFile| entry::tree(&index, &file.tree).ok();
    survey.read(snapshots.iter().filter_map(|(_, file)| top(file)))?;
    blame(&mut survey, &index, &wrong)?;
    for (tree, name, why) in survey.problems() {
        let name = name.map(|name| format!(", `{}`", name.escape_debug())).unwrap_or_default();
        findings.add(format!("tree {}{name}: {why}", tree.short()), FORGET);
    }
    let hurt = survey.hurt();
    for (id, file) in &snapshots {
        let number = top(file);
        if number.is_none() {
            findings.add(format!("snapshot {}: its tree is in no index", id.short()), REPAIR);
        }
        if number.is_none_or(|number| hurt.contains(&number)) {
            let label = Label::from_tags(&file.tags, &file.hostname);
            findings.hurt.push(Hurt { id: *id, volume: label.map(|label| label.volume) });
        }
    }
    findings.hurt.extend(damaged.into_iter().map(|id| Hurt { id, volume: None }));
    unused(&index, &survey, &expected, &mut findings);
    Ok(findings)
}

/// Key files: each must be what its id says, and have the form of one.
fn keys(repository: &Repository, op: &Op, findings: &mut Findings) -> Result<()> {
    for found in repository.store().list(op, Kind::Key)? {
        let bytes = match repository.store().read(op, Kind::Key, &found.id) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other?,
        };
        let right = Id::of(&bytes) == found.id && serde_json::from_slice::<KeyFile>(&bytes).is_ok();
        if !right {
            let hint = "make a new key with another password, and remove this one by its id";
            findings.add(format!("key {}: it is damaged", found.id.short()), hint);
        }
    }
    Ok(())
}

/// The small files of one kind.
struct Files<T> {
    whole: Vec<(Id, T)>,
    damaged: Vec<Id>,
}

fn read<T: DeserializeOwned>(
    repository: &Repository,
    op: &Op,
    kind: Kind,
    findings: &mut Findings,
) -> Result<Files<T>> {
    let mut files = Files { whole: Vec::new(), damaged: Vec::new() };
    for found in repository.store().list(op, kind)? {
        op.check()?;
        match repository.load(op, kind, &found.id) {
            Ok(file) => files.whole.push((found.id, file)),
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let hint = if kind == Kind::Index { REPAIR } else { FORGET };
                findings.add(error.chain(), hint);
                files.damaged.push(found.id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Compares the listing with the index; says which packs of it are there.
fn list(
    repository: &Repository,
    op: &Op,
    expected: &HashMap<Id, Expected>,
    wrong: &mut Wrong,
    findings: &mut Findings,
) -> Result<Vec<Id>> {
    let listed = repository.store().list(op, Kind::Pack)?;
    let sizes: HashMap<Id, u64> = listed.iter().map(|file| (file.id, file.size)).collect();
    for (id, size) in &sizes {
        findings.packs += 1;
        findings.bytes += size;
        if !expected.contains_key(id) {
            findings.unknown_packs += 1;
            findings.unknown_bytes += size;
        }
    }
    let mut there = Vec::new();
    for (id, expected) in expected {
        match sizes.get(id) {
            None => wrong.lose(*id, expected, "it is missing".to_owned()),
            Some(size) if *size != expected.size => wrong.cut(*id, expected, *size),
            Some(_) => there.push(*id),
        }
    }
    there.sort_unstable();
    Ok(there)
}

/// Finds the files whose content is in packs that are not whole.
fn blame(survey: &mut Survey<'_>, index: &Index, wrong: &Wrong) -> Result<()> {
    let mut bad = HashMap::new();
    if !wrong.places.is_empty() {
        for number in survey.data() {
            let (id, at) = index.place(BlobKind::Data, *number);
            if wrong.loses(index, BlobKind::Data, &id) {
                let why = format!("data blob {} in pack {}", id.short(), at.pack.short());
                bad.insert(*number, format!("{why} is damaged or missing").into());
            }
        }
    }
    survey.blame(&bad)
}

/// Counts what no snapshot needs.
fn unused(
    index: &Index,
    survey: &Survey<'_>,
    expected: &HashMap<Id, Expected>,
    findings: &mut Findings,
) {
    let mut used = HashSet::new();
    for (kind, needed) in [(BlobKind::Data, survey.data()), (BlobKind::Tree, survey.trees())] {
        for (number, (_, at)) in (0..).zip(index.places(kind)) {
            if needed.contains(&number) {
                used.insert(at.pack);
            } else {
                findings.unused_bytes += u64::from(at.length);
            }
        }
    }
    findings.unused_packs = (expected.len() - used.len()) as u64;
}
