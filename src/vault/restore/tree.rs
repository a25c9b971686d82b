//! The tree of a directory volume, put into an empty directory.
//!
//! ```text
//! trees ──▶ directories, links, devices, empty files      one thread
//!   └──files──▶ round ──▶ content, attributes of files    many threads, pack by pack
//! …and when all is there: attributes of directories, the innermost first; sync
//! ```

use std::{
    collections::HashMap,
    ffi::CStr,
    sync::{Arc, Mutex, PoisonError},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::beneath::{Dir, Special, furnish};

use super::{
    Restored,
    entry::{self, Attributes, Identity},
    file::{Content, Round},
    folder::Folders,
};
use crate::{
    backup::{Backup, DATA},
    fetch::{Fetch, Wanted},
    format::{BlobKind, Node, NodeKind, Tree},
    repository::{Index, Repository},
};

/// Trees, and bytes of them, that are read at a time.
const TREES: usize = 256;
const TREE_BYTES: u64 = 8 << 20;

/// Restores the tree of `backup` into `to`, an empty directory that nobody else
/// touches, which gets the attributes of the tree's top. Everything is on stable
/// storage on return. Whoever calls holds a shared lock on the repository.
///
/// # Errors
/// `Corrupt`, naming paths, pack and backup, for whatever is damaged or missing;
/// `Conflict` if `to` is not empty; the kernel's, naming the path. What is in `to`
/// then is not the content of the backup: remove it.
pub fn tree(repository: &Repository, op: &Op, backup: &Backup, to: &Dir) -> Result<Restored> {
    let what = || format!("restore {}", super::shown(backup));
    let index = repository.index(op).context(what)?;
    let data = super::top(repository, op, &index, &backup.file, DATA).context(what)?;
    op.set_total(backup.size);
    subtree(repository, op, &index, &data, to).context(what)
}

/// Restores the directory that `top` describes into `to`; otherwise as [`tree`].
///
/// # Errors
/// As [`tree`].
pub fn subtree(
    repository: &Repository,
    op: &Op,
    index: &Index,
    top: &Node,
    to: &Dir,
) -> Result<Restored> {
    if !to.is_empty().context(|| "read the directory")? {
        return Err(Error::conflict("the directory is not empty")
            .with_hint("a restore needs an empty directory"));
    }
    if top.kind != NodeKind::Dir {
        return Err(Error::corrupt("what should be a directory is none"));
    }
    to.make_bare().context(|| "prepare the directory")?;
    let folders = Folders::new(to, Attributes::of(top).context(|| "attributes of `/`")?)?;
    let fetch = |kind| Fetch { repository, index, op, kind };
    let mut restore = Restore {
        trees: fetch(BlobKind::Tree),
        data: fetch(BlobKind::Data),
        folders,
        pending: vec![(0, entry::subtree(index, top)?)],
        round: Round::default(),
        links: HashMap::new(),
        restored: Restored::default(),
    };
    restore.walk()?;
    restore.round.write(&restore.data, &restore.folders)?;
    restore.folders.furnish(|| op.check())?;
    to.sync_file_system().context(|| "sync the file system")?;
    Ok(restore.restored)
}

struct Restore<'a> {
    trees: Fetch<'a>,
    data: Fetch<'a>,
    folders: Folders,
    /// Directories that were made, and what is to be put into them; the next one last.
    pending: Vec<(u32, u32)>,
    round: Round,
    links: HashMap<Identity, Link>,
    restored: Restored,
}

/// An object with names that were not met yet.
struct Link {
    folder: u32,
    name: Box<CStr>,
    left: u64,
}

impl Restore<'_> {
    fn walk(&mut self) -> Result<()> {
        while !self.pending.is_empty() {
            for (folder, tree) in self.read()? {
                self.fill(folder, &tree)
                    .context(|| format!("directory {}", self.folders.shown(folder, c"")))?;
            }
        }
        Ok(())
    }

    /// Reads the next trees.
    fn read(&mut self) -> Result<Vec<(u32, Arc<Tree>)>> {
        let mut wanted = Vec::new();
        let mut bytes = 0;
        while wanted.len() < TREES
            && let Some((folder, blob)) = self.pending.pop()
        {
            let length = self.trees.index.place(BlobKind::Tree, blob).1.content();
            if bytes + length > TREE_BYTES && !wanted.is_empty() {
                self.pending.push((folder, blob));
                break;
            }
            bytes += length;
            wanted.push(Wanted { blob, by: (wanted.len(), folder) });
        }
        let read = Mutex::new(Vec::new());
        let folders = &self.folders;
        self.trees.run(&mut wanted, &|found| {
            let what = || format!("directory {}", folders.shown(found.wanted[0].by.1, c""));
            let bytes = match &found.content {
                Ok(bytes) => bytes,
                Err(error) => return Err(error.duplicate().context(what())),
            };
            let tree = Arc::new(Tree::from_bytes(bytes).context(what)?);
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            read.extend(found.wanted.iter().map(|wish| (wish.by, tree.clone())));
            Ok(())
        })?;
        let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        read.sort_unstable_by_key(|(by, _)| *by);
        Ok(read.into_iter().map(|((_, folder), tree)| (folder, tree)).collect())
    }

    fn fill(&mut self, folder: u32, tree: &Tree) -> Result<()> {
        let names = entry::names(tree)?;
        let first = self.pending.len();
        for (name, node) in names.into_iter().zip(&tree.nodes) {
            self.data.op.check()?;
            self.place(folder, &name, node)
                .context(|| format!("`{}`", name.to_string_lossy().escape_debug()))?;
            if self.round.is_full() {
                self.round.write(&self.data, &self.folders)?;
            }
        }
        // The first one comes first.
        self.pending[first..].reverse();
        Ok(())
    }

    fn place(&mut self, folder: u32, name: &CStr, node: &Node) -> Result<()> {
        let attributes = Attributes::of(node)?;
        if node.kind == NodeKind::Dir {
            let tree = entry::subtree(self.trees.index, node)?;
            let number = self.folders.make(folder, name.into(), attributes)?;
            self.pending.push((number, tree));
            return Ok(());
        }
        self.restored.files += 1;
        let identity = entry::identity(node);
        if let Some(identity) = identity
            && self.link(&identity, folder, name)?
        {
            self.data.op.advance(0, 1);
            return Ok(());
        }
        if let Some(identity) = identity {
            let link = Link { folder, name: name.into(), left: node.links - 1 };
            self.links.insert(identity, link);
        }
        if node.kind == NodeKind::File {
            let blobs = entry::content(self.data.index, node)?;
            self.restored.bytes += node.size;
            if !blobs.is_empty() {
                let (name, size, named) = (name.into(), node.size, identity.is_some());
                let content = Content { folder, name, attributes, size, blobs, named };
                return self.round.add(&self.folders, content);
            }
        }
        self.make(folder, name, node, &attributes)?;
        self.data.op.advance(0, 1);
        Ok(())
    }

    /// Gives what was made before one more name; false if it was not.
    fn link(&mut self, identity: &Identity, folder: u32, name: &CStr) -> Result<bool> {
        let Some(link) = self.links.get_mut(identity) else { return Ok(false) };
        let from = self.folders.open(link.folder);
        let to = self.folders.open(folder);
        from.and_then(|from| from.new_name(&link.name, &*to?, name))
            .context(|| format!("link it to {}", self.folders.shown(link.folder, &link.name)))?;
        link.left -= 1;
        if link.left == 0 {
            self.links.remove(identity);
        }
        Ok(true)
    }

    /// Makes what has no content.
    fn make(&self, folder: u32, name: &CStr, node: &Node, attributes: &Attributes) -> Result<()> {
        let directory = self.folders.open(folder).context(|| "open the directory it is in")?;
        let attributes = attributes.lend();
        let special = match node.kind {
            NodeKind::Fifo => Special::Fifo,
            NodeKind::Socket => Special::Socket,
            NodeKind::Dev => Special::Block(node.device),
            NodeKind::Chardev => Special::Character(node.device),
            NodeKind::Symlink => {
                let target = entry::target(node)?;
                let made = directory.new_symlink(name, &target);
                return made
                    .and_then(|()| directory.furnish(name, true, &attributes))
                    .context(|| "make the symlink");
            }
            NodeKind::File | NodeKind::Dir => {
                let made = directory.new_file(name);
                return made
                    .and_then(|file| furnish(&file, &attributes))
                    .context(|| "make the empty file");
            }
        };
        let made = directory.new_special(name, special);
        made.and_then(|()| directory.furnish(name, false, &attributes))
            .context(|| format!("make the {}", what(special)))
    }
}

fn what(special: Special) -> &'static str {
    match special {
        Special::Fifo => "named pipe",
        Special::Socket => "socket",
        Special::Block(_) => "block device",
        Special::Character(_) => "character device",
    }
}
