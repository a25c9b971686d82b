//! What the writer writes, judged by stock restic.

#[path = "support/restics.rs"]
mod restics;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use berth_api::Op;
use berth_vault::{
    Password, Repository, Writer,
    format::{BlobKind, Node, NodeKind, SnapshotFile, Tree},
    repository::{Index, Who},
    store::{Kind, directory::Directory},
};
use jiff::Timestamp;

fn by(restic: &Path, repository: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut restic = Command::new(restic);
    restic.env("RESTIC_PASSWORD", "secret").args(["--no-cache", "--repo"]).arg(repository);
    let output = restic.args(arguments).output().expect("restic");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}

/// Bytes of which one half compresses.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
        bytes.extend([0; 8]);
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn restic_reads_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r");
    let op = Op::new(Duration::from_secs(600));
    let who = Who { hostname: "host".to_owned(), username: "user".to_owned() };
    let store = Arc::new(Directory::new(&path));
    let repository = Repository::init(&op, "r", store, &Password::new(b"secret"), who);
    let repository = repository.expect("a repository");

    let writer = Writer::new(&repository, Arc::new(Index::default()), &op).expect("a writer");
    let mut file = Node::new(b"file", NodeKind::File);
    let mut blobs = Vec::new();
    let mut whole = Vec::new();
    for seed in 0..90 {
        let part = content(seed, 1 << 20);
        blobs.push(writer.add(BlobKind::Data, &part).expect("added").id);
        whole.extend(part);
    }
    blobs.push(writer.add_zeros(100_000).expect("zeros").id);
    whole.extend(vec![0; 100_000]);
    file.set_mode(0o600);
    file.size = whole.len() as u64;
    file.content = Some(blobs);
    let tree = Tree { nodes: vec![file] }.to_bytes();
    let tree = writer.add(BlobKind::Tree, &tree).expect("added").id;
    let written = writer.finish().expect("written");
    assert_eq!((written.data_blobs, written.tree_blobs), (91, 1));
    assert!(written.packed < written.added * 6 / 10, "{written:?}");
    let snapshot = SnapshotFile {
        time: Timestamp::now(),
        parent: None,
        tree,
        paths: vec!["/db".to_owned()],
        hostname: "host".to_owned(),
        username: String::new(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        original: None,
        program_version: "berth".to_owned(),
        summary: None,
    };
    let id = repository.save(&op, Kind::Snapshot, &snapshot).expect("a snapshot").to_string();

    for restic in restics::all() {
        let restic = |arguments: &[&str]| by(&restic, &path, arguments);
        restic(&["check", "--read-data"]);
        assert!(restic(&["dump", &id, "/file"]) == whole, "other bytes");
        // Nothing that restic would throw away or pack anew.
        let dry = restic(&["prune", "--dry-run"]);
        let dry = String::from_utf8_lossy(&dry);
        assert!(
            dry.contains("to repack:") && dry.contains("unused size after prune: 0 B"),
            "{dry}"
        );
    }
}
