//! What becomes of each entry of the tree.

use std::sync::{Mutex, atomic::Ordering::Relaxed};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::{
    beneath::{
        Stat,
        reading::{Held, Name, Reader, Room},
    },
    failpoint,
};

use super::{
    chunker::Chunker,
    content::Contents,
    describe,
    identity::{Identities, is_same},
    links::{Links, lock},
    parent::{Known, Parent},
    tally::{State, Tally},
};
use crate::{
    backup::DATA,
    format::{BlobKind, Id, Node, NodeKind, Tree},
    lock::Lock,
    repository::blob::LARGEST_TREE,
    writer::Writer,
};

/// How often a file is read that changes meanwhile.
const ATTEMPTS: u32 = 3;

/// Reads the entries of a tree, each into its node. Shared by all threads.
#[derive(Debug)]
pub(super) struct Collector<'a, 'p> {
    pub(super) op: &'a Op,
    pub(super) lock: &'a Lock,
    pub(super) writer: &'a Writer,
    pub(super) chunker: &'a Chunker,
    pub(super) parent: Option<&'a Parent<'p>>,
    pub(super) identities: Identities<'a>,
    /// Others write to it meanwhile.
    pub(super) live: bool,
    pub(super) links: Links,
    pub(super) tally: Tally,
    /// The node of the top directory, once everything was read.
    pub(super) top: Mutex<Option<Node>>,
}

/// A directory whose entries are being read.
#[derive(Debug)]
pub(super) struct Folder {
    /// Without its tree.
    node: Node,
    name: Box<[u8]>,
    /// The same directory in the parent.
    known: Option<Known>,
    /// Its tree there.
    before: Option<Id>,
    nodes: Mutex<Vec<(Box<[u8]>, Node)>>,
}

/// What a thread has of its own.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    room: Room,
    contents: Contents<'a>,
}

impl Folder {
    /// Adds a node. A time of access that alone differs from the parent's is left as it
    /// was there, or else each reading of a file would make all directories above anew.
    fn put(&self, name: &[u8], mut node: Node) {
        if let Some(known) = self.known(name) {
            let accessed = std::mem::replace(&mut node.atime, known.atime);
            if node != *known {
                node.atime = accessed;
            }
        }
        lock(&self.nodes).push((name.into(), node));
    }

    fn known(&self, name: &[u8]) -> Option<&Node> {
        self.known.as_ref()?.find(name)
    }

    /// How what is called so now compares with the parent's.
    fn state(&self, name: &Name<'_>, node: &Node) -> State {
        match self.known(name.bytes()) {
            None => State::New,
            Some(known) if known == node => State::Unmodified,
            Some(_) => State::Changed,
        }
    }
}

impl<'a> Reader for Collector<'a, '_> {
    type Folder = Folder;
    type Hand = Hand<'a>;

    fn hand(&self) -> Hand<'a> {
        Hand { room: Room::default(), contents: Contents::new(self.op, self.writer, self.chunker) }
    }

    fn enter(
        &self,
        hand: &mut Hand<'a>,
        above: Option<&Folder>,
        directory: &Held<'_>,
    ) -> Result<Folder> {
        let name = directory.name().unwrap_or(DATA.as_bytes());
        let mut node = describe::node(name, directory.stat());
        self.identities.add(&mut node, directory.stat());
        describe::attributes(&mut node, directory, &mut hand.room).context(|| {
            format!("read the attributes of `{}`", String::from_utf8_lossy(name).escape_debug())
        })?;
        let before = match (self.parent, above) {
            (None, _) => None,
            (Some(parent), None) => Some(parent.top),
            (Some(_), Some(above)) => above.known.as_ref().and_then(|known| known.subtree(name)),
        };
        let known = match (self.parent, before) {
            (Some(parent), Some(tree)) => parent.directory(&tree)?,
            _ => None,
        };
        Ok(Folder { node, name: name.into(), known, before, nodes: Mutex::default() })
    }

    fn entry(
        &self,
        hand: &mut Hand<'a>,
        folder: &Folder,
        name: &Name<'_>,
        stat: &Stat,
    ) -> Result<()> {
        let node = describe::node(name.bytes(), stat);
        if node.kind != NodeKind::File {
            return self.other(hand, folder, name);
        }
        if stat.links < 2 {
            let Some((node, state)) = self.file(hand, folder, name, stat, node)? else {
                return self.gone(folder, name);
            };
            self.tally.bytes.fetch_add(node.size, Relaxed);
            self.done(folder, name, node, state);
            return Ok(());
        }
        let slot = self.links.meet(stat);
        let mut first = lock(&slot);
        if let Some(first) = &*first {
            let mut node = Node { name: node.name, ..first.clone() };
            node.links = stat.links.into();
            let state = folder.state(name, &node);
            self.done(folder, name, node, state);
            return Ok(());
        }
        let Some((node, state)) = self.file(hand, folder, name, stat, node)? else {
            return self.gone(folder, name);
        };
        self.tally.bytes.fetch_add(node.size, Relaxed);
        *first = Some(node.clone());
        drop(first);
        self.done(folder, name, node, state);
        Ok(())
    }

    fn mount(&self, folder: &Folder, name: &Name<'_>, directory: bool) -> Result<()> {
        self.tally.mounts.fetch_add(1, Relaxed);
        tracing::warn!(path = name.shown(), "a mount within the volume is left out");
        if directory {
            // What it hides cannot be seen, its attributes neither.
            let mut node = Node::new(name.bytes(), NodeKind::Dir);
            node.set_mode(0o755);
            (node.mtime, node.atime) = (folder.node.mtime, folder.node.mtime);
            node.subtree = Some(self.tree(Tree::default(), || name.shown())?);
            folder.put(name.bytes(), node);
        }
        Ok(())
    }

    fn gone(&self, _: &Folder, name: &Name<'_>) -> Result<()> {
        if !self.live {
            let text = format!("read {}: it vanished while the snapshot was read", name.shown());
            return Err(Error::conflict(text).with_hint("try again"));
        }
        self.tally.moving.store(true, Relaxed);
        Ok(())
    }

    fn leave(&self, _: &mut Hand<'a>, folder: &Folder, above: Option<&Folder>) -> Result<()> {
        let mut nodes = std::mem::take(&mut *lock(&folder.nodes));
        nodes.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Of what somebody replaced meanwhile some file systems list a name twice.
        nodes.dedup_by(|(a, _), (b, _)| a == b);
        let tree = Tree { nodes: nodes.into_iter().map(|(_, node)| node).collect() };
        let shown = || format!("`{}`", String::from_utf8_lossy(&folder.name).escape_debug());
        let id = self.tree(tree, shown)?;
        self.tally.directory(folder.before, id);
        let mut node = folder.node.clone();
        node.subtree = Some(id);
        match above {
            Some(above) => above.put(&folder.name, node),
            None => *lock(&self.top) = Some(node),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.op.check()?;
        self.lock.check()
    }
}

impl<'a> Collector<'a, '_> {
    /// A regular file: `node` as it was looked at. `None` if it has vanished.
    fn file(
        &self,
        hand: &mut Hand<'a>,
        folder: &Folder,
        name: &Name<'_>,
        stat: &Stat,
        mut node: Node,
    ) -> Result<Option<(Node, State)>> {
        self.identities.add(&mut node, stat);
        if let (Some(parent), Some(known)) = (self.parent, folder.known(name.bytes()))
            && is_same(known, &node)
            && parent.has_content(known)
        {
            node.content.clone_from(&known.content);
            // A change of these would have changed the time of change.
            node.extended_attributes.clone_from(&known.extended_attributes);
            self.op.advance(node.size, 0);
            return Ok(Some((node, State::Unmodified)));
        }
        let Some(node) = self.read(hand, name)? else { return Ok(None) };
        let state = folder.state(name, &node);
        Ok(Some((node, state)))
    }

    /// Reads a file with all that it has.
    fn read(&self, hand: &mut Hand<'a>, name: &Name<'_>) -> Result<Option<Node>> {
        let what = || format!("read {}", name.shown());
        for attempt in 1.. {
            self.check()?;
            failpoint::hit("backup.tree.open").context(what)?;
            let Some(held) = name.hold().context(what)? else { return Ok(None) };
            let stat = *held.stat();
            let mut node = describe::node(name.bytes(), &stat);
            if node.kind != NodeKind::File {
                // Replaced by something else: that is as good as vanished.
                return Ok(None);
            }
            self.identities.add(&mut node, &stat);
            let file = held.read().context(what)?;
            let content = hand.contents.of(&file, &stat, &what)?;
            self.tally.read.fetch_add(content.read, Relaxed);
            describe::attributes(&mut node, &held, &mut hand.room).context(what)?;
            let after = Stat::of(&file).context(what)?;
            let still = |stat: &Stat| (stat.size, stat.modified, stat.changed);
            let changed = still(&after) != still(&stat) || content.size != stat.size;
            node.size = content.size;
            node.content = Some(content.blobs);
            if !changed {
                return Ok(Some(node));
            }
            if !self.live {
                let text = format!("{}: it changed while the snapshot was read", what());
                return Err(Error::conflict(text).with_hint("try again"));
            }
            self.tally.moving.store(true, Relaxed);
            if attempt >= ATTEMPTS {
                // The last one that was read; the next backup reads it again.
                node.ctime = None;
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Anything that is neither a directory nor a regular file.
    fn other(&self, hand: &mut Hand<'a>, folder: &Folder, name: &Name<'_>) -> Result<()> {
        let what = || format!("read {}", name.shown());
        let Some(held) = name.hold().context(what)? else { return self.gone(folder, name) };
        let mut node = describe::node(name.bytes(), held.stat());
        if matches!(node.kind, NodeKind::File | NodeKind::Dir) {
            return self.gone(folder, name);
        }
        self.identities.add(&mut node, held.stat());
        if node.kind == NodeKind::Symlink {
            describe::target(&mut node, &held).context(what)?;
        }
        describe::attributes(&mut node, &held, &mut hand.room).context(what)?;
        let state = folder.state(name, &node);
        self.done(folder, name, node, state);
        Ok(())
    }

    fn done(&self, folder: &Folder, name: &Name<'_>, node: Node, state: State) {
        self.tally.file(state);
        self.op.advance(0, 1);
        folder.put(name.bytes(), node);
    }

    fn tree(&self, tree: Tree, shown: impl Fn() -> String) -> Result<Id> {
        let bytes = tree.to_bytes();
        drop(tree);
        if bytes.len() > LARGEST_TREE as usize {
            return Err(Error::unsupported(format!(
                "directory {} has more in it than a backup holds of one directory: about three \
                 million names",
                shown()
            ))
            .with_hint("spread its files over several directories"));
        }
        Ok(self.writer.add(BlobKind::Tree, &bytes)?.id)
    }
}
