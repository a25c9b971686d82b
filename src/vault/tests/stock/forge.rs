//! Backups that no tool would make.

use std::collections::HashSet;

use berth_vault::{
    Backup, Id, Kind, Repository,
    format::{BlobKind, IndexBlob, IndexFile, IndexPack, Node, NodeKind, SnapshotFile, Tree, pack},
};
use bytes::Bytes;
use jiff::Timestamp;

use super::op;

/// Blobs of one pack, and the tree of one backup.
#[derive(Debug)]
pub struct Forge<'a> {
    repository: &'a Repository,
    bytes: Vec<u8>,
    blobs: Vec<IndexBlob>,
    known: HashSet<Id>,
}

impl<'a> Forge<'a> {
    /// Nothing yet.
    pub fn new(repository: &'a Repository) -> Self {
        Self { repository, bytes: Vec::new(), blobs: Vec::new(), known: HashSet::new() }
    }

    /// Adds a blob.
    pub fn add(&mut self, kind: BlobKind, content: &[u8]) -> Id {
        let id = Id::of(content);
        if self.known.insert(id) {
            self.add_as(kind, id, content);
        }
        id
    }

    /// Adds a blob under any id.
    pub fn add_as(&mut self, kind: BlobKind, id: Id, content: &[u8]) {
        let sealed = self.repository.key().seal(content).expect("seals");
        self.blobs.push(IndexBlob {
            id,
            kind,
            offset: u32::try_from(self.bytes.len()).expect("small"),
            length: u32::try_from(sealed.len()).expect("small"),
            uncompressed_length: None,
        });
        self.bytes.extend(sealed);
    }

    /// Adds a directory with these nodes.
    pub fn tree(&mut self, nodes: Vec<Node>) -> Id {
        self.add(BlobKind::Tree, &Tree { nodes }.to_bytes())
    }

    /// A file with that content, in one blob.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Node {
        let id = self.add(BlobKind::Data, content);
        let mut node = named(name, NodeKind::File);
        node.set_mode(0o644);
        node.size = content.len() as u64;
        node.content = Some(vec![id]);
        node
    }

    /// A directory with these nodes.
    pub fn directory(&mut self, name: &str, nodes: Vec<Node>) -> Node {
        let mut node = named(name, NodeKind::Dir);
        node.set_mode(0o755);
        node.subtree = Some(self.tree(nodes));
        node
    }

    /// Writes all as a backup whose `data` has these nodes.
    pub fn finish(mut self, nodes: Vec<Node>) -> Backup {
        let data = self.directory("data", nodes);
        let volume = super::description("forged");
        let description = self.file("volume.json", &volume.to_bytes());
        let tree = self.tree(vec![data, description]);
        let header = self.repository.key().seal(&pack::header(&self.blobs)).expect("seals");
        self.bytes.extend(&header);
        self.bytes.extend(u32::try_from(header.len()).expect("small").to_le_bytes());
        let id = Id::of(&self.bytes);
        let store = self.repository.store();
        store.write(&op(), Kind::Pack, &id, Bytes::from(self.bytes)).expect("writes");
        let packs = vec![IndexPack { id, blobs: self.blobs }];
        let index = IndexFile { supersedes: Vec::new(), packs };
        self.repository.save(&op(), Kind::Index, &index).expect("writes");
        let snapshot = SnapshotFile {
            time: Timestamp::now(),
            parent: None,
            tree,
            paths: vec!["/forged".to_owned()],
            hostname: "alpha".to_owned(),
            username: String::new(),
            uid: 0,
            gid: 0,
            tags: vec![
                "berth".to_owned(),
                "volume=forged".to_owned(),
                format!("volume-id={}", volume.id),
            ],
            original: None,
            program_version: String::new(),
            summary: None,
        };
        let id = self.repository.save(&op(), Kind::Snapshot, &snapshot).expect("writes");
        Backup::of(id, snapshot).expect("it has the tags")
    }
}

/// A node with that name as it is, quoted or not.
pub fn named(name: &str, kind: NodeKind) -> Node {
    let mut node = Node::new(b"x", kind);
    name.clone_into(&mut node.name);
    node
}
