//! What snapshots are made of: all trees below them, each read once however often it
//! is named, the content they need, and what is wrong with it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use berth_api::{ErrorKind, Op, Result};

use crate::{
    fetch::Fetch,
    format::{BlobKind, Id, NodeKind, Tree},
    repository::{Index, Repository},
    restore::entry,
};

/// Problems that are told apart; of more, only that they are there.
const TOLD: usize = 10_000;

/// Something that a restore would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What it is in: a path, a tree or a file of the repository.
    pub what: String,
    /// What is wrong.
    pub why: String,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    repository: &'a Repository,
    index: &'a Index,
    op: &'a Op,
    found: Found,
}

#[derive(Debug, Default)]
struct Found {
    /// Trees that were read, or tried, by number.
    trees: HashSet<u32>,
    /// Content that is needed, by number.
    data: HashSet<u32>,
    /// Which trees name a tree.
    above: HashMap<u32, Vec<u32>>,
    /// By tree.
    problems: HashMap<u32, Vec<Problem>>,
    told: usize,
}

#[derive(Debug)]
struct Problem {
    /// The name of an entry, as the tree has it; none for the tree itself.
    name: Option<String>,
    why: Arc<str>,
}

impl<'a> Survey<'a> {
    /// Of nothing yet.
    pub(crate) fn new(repository: &'a Repository, index: &'a Index, op: &'a Op) -> Self {
        Self { repository, index, op, found: Found::default() }
    }

    /// Reads all trees below these that were not read before.
    ///
    /// # Errors
    /// Whatever is no damage: cancellation, a store that does not answer.
    pub(crate) fn read(&mut self, tops: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut level: Vec<u32> =
            tops.into_iter().filter(|number| self.found.trees.insert(*number)).collect();
        while !level.is_empty() {
            let state = Mutex::new((&mut self.found, Vec::new()));
            let index = self.index;
            fetch(self.repository, index, self.op).each(level, &|blob| {
                let tree = match blob.content.and_then(|bytes| Tree::from_bytes(&bytes)) {
                    Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                    other => other,
                };
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let (found, next) = &mut *state;
                match tree {
                    Ok(tree) => found.take(index, blob.blob, &tree, next),
                    Err(error) => found.problem(blob.blob, None, error.chain().into()),
                }
                Ok(())
            })?;
            level = state.into_inner().unwrap_or_else(PoisonError::into_inner).1;
        }
        Ok(())
    }

    /// The content that is needed, by number.
    pub(crate) fn data(&self) -> &HashSet<u32> {
        &self.found.data
    }

    /// The trees, by number.
    pub(crate) fn trees(&self) -> &HashSet<u32> {
        &self.found.trees
    }

    /// Says which content is not whole, and so finds the files that need it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn blame(&mut self, bad: &HashMap<u32, Arc<str>>) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let trees: Vec<_> = self.found.trees.iter().copied().collect();
        let found = Mutex::new(&mut self.found);
        let index = self.index;
        fetch(self.repository, index, self.op).each(trees, &|blob| {
            let tree = match blob.content.and_then(|bytes| Tree::from_bytes(&bytes)) {
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                Err(_) => return Ok(()),
                Ok(tree) => tree,
            };
            for node in tree.nodes {
                let number = |id| index.number(BlobKind::Data, id);
                let mut needed = node.content.iter().flatten().filter_map(number);
                if let Some(why) = needed.find_map(|number| bad.get(&number)) {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.problem(blob.blob, Some(node.name), why.clone());
                }
            }
            Ok(())
        })
    }

    /// All problems: the tree, the entry in it, and what is wrong.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (Id, Option<&str>, &str)> {
        self.found.problems.iter().flat_map(|(number, problems)| {
            let (id, _) = self.index.place(BlobKind::Tree, *number);
            problems.iter().map(move |problem| (id, problem.name.as_deref(), &*problem.why))
        })
    }

    /// The trees that have a problem themselves, or name one that has.
    pub(crate) fn hurt(&self) -> HashSet<u32> {
        let mut hurt: HashSet<u32> = self.found.problems.keys().copied().collect();
        let mut next: Vec<u32> = hurt.iter().copied().collect();
        while let Some(tree) = next.pop() {
            for above in self.found.above.get(&tree).into_iter().flatten() {
                if hurt.insert(*above) {
                    next.push(*above);
                }
            }
        }
        hurt
    }

    /// The paths of the problems below `top`, at most `limit`, and how many more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn paths(
        &self,
        top: u32,
        hurt: &HashSet<u32>,
        limit: usize,
    ) -> Result<(Vec<Damage>, u64)> {
        let (mut damaged, mut more) = (Vec::new(), 0);
        let mut seen = HashSet::from([top]);
        let mut next = vec![(top, String::new())];
        while let Some((number, path)) = next.pop() {
            self.op.check()?;
            for Problem { name, why } in self.found.problems.get(&number).into_iter().flatten() {
                if damaged.len() < limit {
                    let what = match name {
                        Some(name) => join(&path, name),
                        None if path.is_empty() => "/".to_owned(),
                        None => path.clone(),
                    };
                    damaged.push(Damage { what, why: why.to_string() });
                } else {
                    more += 1;
                }
            }
            let (id, _) = self.index.place(BlobKind::Tree, number);
            let tree = match self.repository.tree(self.op, self.index, &id) {
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                other => other?,
            };
            for node in &tree.nodes {
                if let Ok(number) = entry::subtree(self.index, node)
                    && hurt.contains(&number)
                    && seen.insert(number)
                {
                    next.push((number, join(&path, &node.name)));
                }
            }
        }
        Ok((damaged, more))
    }
}

impl Found {
    fn take(&mut self, index: &Index, number: u32, tree: &Tree, next: &mut Vec<u32>) {
        if let Err(error) = entry::names(tree) {
            self.problem(number, None, error.chain().into());
        }
        for node in &tree.nodes {
            let judged = entry::Attributes::of(node).and_then(|_| match node.kind {
                NodeKind::Dir => entry::subtree(index, node).map(Some),
                NodeKind::File => {
                    let blobs = entry::content(index, node)?;
                    self.data.extend(blobs.iter().map(|(number, _)| *number));
                    Ok(None)
                }
                NodeKind::Symlink => entry::target(node).map(|_| None),
                _ => Ok(None),
            });
            match judged {
                Ok(None) => {}
                Ok(Some(below)) => {
                    self.above.entry(below).or_default().push(number);
                    if self.trees.insert(below) {
                        next.push(below);
                    }
                }
                Err(error) => self.problem(number, Some(node.name.clone()), error.chain().into()),
            }
        }
    }

    fn problem(&mut self, tree: u32, name: Option<String>, why: Arc<str>) {
        let problems = self.problems.entry(tree).or_default();
        self.told += 1;
        if self.told <= TOLD {
            problems.push(Problem { name, why });
        }
    }
}

fn fetch<'a>(repository: &'a Repository, index: &'a Index, op: &'a Op) -> Fetch<'a> {
    Fetch { repository, index, op, kind: BlobKind::Tree }
}

/// The path of an entry; its name as the format has it, in which control characters
/// are escaped.
fn join(path: &str, name: &str) -> String {
    let name = name.escape_debug();
    if path.is_empty() { name.to_string() } else { format!("{path}/{name}") }
}
