//! A backup's content on its way into a directory: on a thread of the pool, which
//! asks the repository.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result, Target};
use berth_host::{beneath::Dir, failpoint};
use berth_vault::{
    Backup, Id, Kind, Reading, Repository as Opened, backup::description::Content, restore,
};

use crate::engine::vault::Repository;

/// How long somebody else may hold the repository for himself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be put into a directory.
#[derive(Debug)]
pub(super) struct Filling {
    repository: Arc<Repository>,
    backup: Id,
    away: AtomicBool,
}

impl Filling {
    pub(super) fn new(repository: Arc<Repository>, backup: Id) -> Self {
        Self { repository, backup, away: AtomicBool::new(false) }
    }

    /// Whether it failed because the repository cannot be used now.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Puts the content there; a [`berth_api::Fill`]. Blocks.
    ///
    /// # Errors
    /// `Corrupt` if the backup is damaged; `NotFound` if it is gone; `Unavailable` or
    /// `Busy` if the repository cannot be used now.
    pub(super) fn fill(&self, op: &Op, target: Target<'_>) -> Result<()> {
        op.begin_again();
        let put = || -> Result<()> {
            failpoint::hit("engine.restore.fill").context(|| "restore")?;
            self.repository.here(op, |open, op| put(open, op, &self.backup, target))
        };
        let result = put();
        if let Err(error) = &result {
            // A share that is not mounted is an empty folder: whatever seems to be
            // damaged or gone there is away.
            let away = !op.is_cancelled()
                && (matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Busy)
                    || !self.repository.is_there(op));
            self.away.store(away, Relaxed);
        }
        berth_host::memory::give_back();
        result
    }
}

fn put(open: &Opened, op: &Op, id: &Id, target: Target<'_>) -> Result<()> {
    let reading = Reading::begin_within(op, open, PATIENCE)?;
    let result = restored(open, op, id, target);
    reading.end(result)
}

fn restored(open: &Opened, op: &Op, id: &Id, target: Target<'_>) -> Result<()> {
    let backup = find(open, op, id)?;
    let index = open.index(op)?;
    let description = restore::description(open, op, &index, &backup)?;
    let Target::Directory { top, aside } = target else {
        return Err(Error::unsupported("a backup is restored into a directory only"));
    };
    let opened = |place: BorrowedFd<'_>| place.try_clone_to_owned().and_then(Dir::from_fd);
    let what = || "open the directory to restore into";
    let directory = opened(top).context(what)?;
    match description.content {
        Content::Tree => restore::tree(open, op, &backup, &directory).map(drop),
        Content::Image { published, .. } => {
            let aside = opened(aside).context(what)?;
            super::image::unpacked(open, op, &backup, published.as_deref(), &aside, &directory)
        }
    }
}

/// The backup with this id.
///
/// # Errors
/// `NotFound` if it was removed; `Corrupt` if Berth did not make it.
pub(super) fn find(open: &Opened, op: &Op, id: &Id) -> Result<Backup> {
    let what = || format!("read backup `{}`", id.short());
    let file = open.load(op, Kind::Snapshot, id).context(what)?;
    Backup::of(*id, file).ok_or_else(|| {
        Error::corrupt(format!("snapshot `{}` is no backup of a volume", id.short()))
    })
}
