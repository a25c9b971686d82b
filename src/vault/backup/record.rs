//! The end of a backup: its top directory, and the snapshot that makes it one.

use berth_api::{Context as _, Op, Result};
use berth_host::failpoint;
use jiff::Timestamp;

use super::{Backup, DESCRIPTION, Request};
use crate::{
    Lock, Writer,
    format::{BlobKind, Id, Node, NodeKind, SnapshotFile, Summary, Tree},
    repository::Repository,
    store::Kind,
};

/// As which program backups are written.
const PROGRAM: &str = concat!("berth ", env!("CARGO_PKG_VERSION"));

/// A backup whose content is with the writer, and nothing else of it is there yet.
pub(crate) struct Record<'a> {
    /// What it is of, with how much was read.
    pub(crate) request: &'a Request,
    /// The content, at the top of the snapshot.
    pub(crate) content: Node,
    /// The backup that unchanged content was taken over from.
    pub(crate) parent: Option<Id>,
    /// What was counted so far; the writer's part is filled in.
    pub(crate) summary: Summary,
}

impl Record<'_> {
    /// Writes the rest, and the snapshot last: when all that it needs is on stable
    /// storage, and the lock is still held.
    ///
    /// # Errors
    /// The writer's, the lock's, the store's: there is no snapshot then.
    pub(crate) fn write(
        self,
        repository: &Repository,
        op: &Op,
        writer: Writer,
        lock: &Lock,
    ) -> Result<Backup> {
        let Self { request, content, parent, mut summary } = self;
        let description = request.description.to_bytes();
        let mut file = Node::new(DESCRIPTION.as_bytes(), NodeKind::File);
        file.set_mode(0o600);
        file.mtime = Some(request.created);
        file.links = 1;
        file.size = description.len() as u64;
        file.content = Some(vec![writer.add(BlobKind::Data, &description)?.id]);
        let mut top = Tree { nodes: vec![content, file] };
        top.nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let tree = writer.add(BlobKind::Tree, &top.to_bytes())?.id;

        let written = writer.finish()?;
        summary.data_blobs = written.data_blobs;
        summary.tree_blobs = written.tree_blobs;
        summary.data_added = written.added;
        summary.data_added_packed = written.packed;
        summary.backup_end = Timestamp::now();
        let file = SnapshotFile {
            time: request.created,
            parent,
            tree,
            paths: vec![format!("/{}", request.label.volume)],
            hostname: request.label.host.clone(),
            username: repository.who().username.clone(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            tags: request.label.to_tags(),
            original: None,
            program_version: PROGRAM.to_owned(),
            summary: Some(summary),
        };
        // Without the lock a prune may have removed what was taken over.
        lock.check()?;
        op.check()?;
        failpoint::hit("backup.snapshot.write").context(|| "write the snapshot")?;
        let id = repository.save(op, Kind::Snapshot, &file).context(|| "write the snapshot")?;
        Backup::of(id, file)
            .ok_or_else(|| berth_api::Error::internal("a backup does not know itself"))
    }
}

/// A summary in which nothing is counted yet.
pub(crate) fn summary(started: Timestamp) -> Summary {
    Summary {
        backup_start: started,
        backup_end: started,
        files_new: 0,
        files_changed: 0,
        files_unmodified: 0,
        dirs_new: 0,
        dirs_changed: 0,
        dirs_unmodified: 0,
        data_blobs: 0,
        tree_blobs: 0,
        data_added: 0,
        data_added_packed: 0,
        total_files_processed: 0,
        total_bytes_processed: 0,
    }
}
