use std::{sync::atomic::AtomicBool, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    format::Tree,
    repository::{Password, Who},
    store::{FileInfo, Kind, Store, directory::Directory},
};

/// A directory that refuses packs once it is told to.
#[derive(Debug)]
struct Full {
    directory: Directory,
    full: AtomicBool,
}

impl Store for Full {
    fn location(&self) -> String {
        self.directory.location()
    }
    fn create(&self, op: &Op) -> Result<()> {
        self.directory.create(op)
    }
    fn list(&self, op: &Op, kind: Kind) -> Result<Vec<FileInfo>> {
        self.directory.list(op, kind)
    }
    fn read(&self, op: &Op, kind: Kind, id: &Id) -> Result<Bytes> {
        self.directory.read(op, kind, id)
    }
    fn read_range(
        &self,
        op: &Op,
        kind: Kind,
        id: &Id,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes> {
        self.directory.read_range(op, kind, id, range)
    }
    fn write(&self, op: &Op, kind: Kind, id: &Id, bytes: Bytes) -> Result<()> {
        if kind == Kind::Pack && self.full.load(Relaxed) {
            return Err(Error::exhausted("the store is full"));
        }
        self.directory.write(op, kind, id, bytes)
    }
    fn remove(&self, op: &Op, kind: Kind, id: &Id) -> Result<()> {
        self.directory.remove(op, kind, id)
    }
    fn sweep(&self, op: &Op) -> Result<()> {
        self.directory.sweep(op)
    }
}

struct Stage {
    _folder: tempfile::TempDir,
    store: Arc<Full>,
    repository: Repository,
    op: Op,
}

fn stage() -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let op = Op::new(Duration::from_secs(600));
    let directory = Directory::new(folder.path().join("r"));
    let store = Arc::new(Full { directory, full: AtomicBool::new(false) });
    let who = Who { hostname: "host".to_owned(), username: "user".to_owned() };
    let password = Password::new(b"secret");
    let repository = Repository::init(&op, "r", store.clone(), &password, who).expect("made");
    Stage { _folder: folder, store, repository, op }
}

impl Stage {
    fn writer(&self) -> Writer {
        let index = self.repository.index(&self.op).expect("an index");
        Writer::new(&self.repository, Arc::new(index), &self.op).expect("a writer")
    }
}

/// Bytes that do not compress, another row for each `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn blobs_come_back_and_are_written_once() {
    let stage = stage();
    let writer = stage.writer();
    let contents: Vec<_> = (0..300).map(|seed| noise(seed % 200, 200_000)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(content) = contents.get(next.fetch_add(1, Relaxed)) {
                    writer.add(BlobKind::Data, content).expect("added");
                }
            });
        }
    });
    let tree = Tree::default().to_bytes();
    let added = writer.add(BlobKind::Tree, &tree).expect("added");
    assert!(added.new && writer.has(BlobKind::Tree, &added.id));
    assert!(!writer.has(BlobKind::Data, &added.id), "kinds are apart");
    assert!(writer.add_zeros(4096).expect("zeros").new);
    let zeros = writer.add_zeros(4096).expect("zeros");
    assert_eq!(zeros, Added { id: Id::of(&[0; 4096]), new: false });
    writer.add(BlobKind::Data, b"").expect("an empty blob");
    let written = writer.finish().expect("written");
    assert_eq!((written.data_blobs, written.tree_blobs), (202, 1));
    assert_eq!(written.added, 200 * 200_000 + 4096 + tree.len() as u64);

    let index = Arc::new(stage.repository.index(&stage.op).expect("an index"));
    let packs = stage.repository.store().list(&stage.op, Kind::Pack).expect("packs");
    assert_eq!((packs.len(), index.packs().len()), (3, 3), "two of data, one of trees");
    for content in contents.iter().map(Vec::as_slice).chain([b"".as_slice(), &[0; 4096]]) {
        let read = stage.repository.blob(&stage.op, &index, BlobKind::Data, &Id::of(content));
        assert_eq!(read.expect("a blob"), content);
    }

    let again = stage.writer();
    for content in &contents {
        assert!(!again.add(BlobKind::Data, content).expect("known").new);
    }
    assert!(!again.add_zeros(4096).expect("known").new);
    assert_eq!(again.finish().expect("nothing to do"), Written::default());
    assert_eq!(stage.repository.index(&stage.op).expect("an index").files(), index.files());
}

#[test]
fn sealed_blobs_move_without_being_opened() {
    let stage = stage();
    let writer = stage.writer();
    let id = writer.add(BlobKind::Data, &noise(1, 5000)).expect("added").id;
    writer.finish().expect("written");
    let index = stage.repository.index(&stage.op).expect("an index");
    let place = index.find(BlobKind::Data, &id).expect("a place");
    let store = stage.repository.store();
    let sealed = store.read_range(&stage.op, Kind::Pack, &place.pack, place.range());
    let sealed = sealed.expect("a sealed blob");

    let empty = Arc::new(Index::default());
    let writer = Writer::new(&stage.repository, empty, &stage.op).expect("a writer");
    for _ in 0..2 {
        writer.add_sealed(BlobKind::Data, &id, &sealed, place.uncompressed).expect("moved");
    }
    let written = writer.finish().expect("written");
    assert_eq!((written.data_blobs, written.added), (1, 5000));
    let index = stage.repository.index(&stage.op).expect("an index");
    assert_eq!(index.places(BlobKind::Data).count(), 2);
    for (found, place) in index.places(BlobKind::Data) {
        let sealed = store.read_range(&stage.op, Kind::Pack, &place.pack, place.range());
        let read =
            stage.repository.open_blob(BlobKind::Data, &sealed.expect("a part"), &place, &found);
        assert_eq!(read.expect("a blob"), noise(1, 5000));
    }
}

#[test]
fn the_first_error_ends_it_all() {
    let stage = stage();
    let writer = stage.writer();
    stage.store.full.store(true, Relaxed);
    let mut seed = 0;
    let error = loop {
        seed += 1;
        match writer.add(BlobKind::Data, &noise(seed, 4 << 20)) {
            Ok(_) => assert!(seed < 64, "packs are bounded"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), berth_api::ErrorKind::Exhausted);
    stage.store.full.store(false, Relaxed);
    for error in [
        writer.add(BlobKind::Data, b"x").expect_err("stopped"),
        writer.add_zeros(1).expect_err("stopped"),
        writer.finish().expect_err("stopped"),
    ] {
        assert!(error.chain().contains("the store is full"), "{}", error.chain());
        assert_eq!(error.kind(), berth_api::ErrorKind::Exhausted);
    }
    assert!(stage.repository.index(&stage.op).expect("an index").packs().is_empty());
}

#[test]
fn a_cancelled_writer_stops_and_writes_nothing() {
    let stage = stage();
    let writer = stage.writer();
    writer.add(BlobKind::Data, b"x").expect("added");
    let op = stage.op.clone();
    op.cancel();
    assert!(writer.finish().is_err());
    let fresh = Op::new(Duration::from_secs(60));
    assert!(stage.repository.store().list(&fresh, Kind::Pack).expect("packs").is_empty());
}
