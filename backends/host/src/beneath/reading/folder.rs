//! A directory that is being read, and when all in it was.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::AcqRel},
};

use berth_api::Result;

use super::super::{Dir, copy::parent, object::Stat, place::Path};

/// A directory, open.
pub(super) struct Folder<F> {
    pub(super) directory: Dir,
    /// Before anything in it was read.
    pub(super) stat: Stat,
    pub(super) path: Path,
    pub(super) book: Arc<Book<F>>,
}

/// What all openings of a directory share.
pub(super) struct Book<F> {
    pub(super) own: F,
    /// Who still reads something in it: the walk, each batch, each directory.
    users: AtomicU64,
    above: Option<Arc<Book<F>>>,
}

/// What is kept of a folder while it is closed. The walk is still a user.
pub(super) struct Closed<F> {
    stat: Stat,
    path: Path,
    book: Arc<Book<F>>,
}

impl<F> Folder<F> {
    /// With one user.
    pub(super) fn new(
        directory: Dir,
        stat: Stat,
        path: Path,
        own: F,
        above: Option<&Arc<Book<F>>>,
    ) -> Self {
        if let Some(above) = above {
            above.enter();
        }
        let book = Book { own, users: AtomicU64::new(1), above: above.cloned() };
        Self { directory, stat, path, book: Arc::new(book) }
    }

    pub(super) fn close(&self) -> Closed<F> {
        Closed { stat: self.stat, path: self.path.clone(), book: self.book.clone() }
    }
}

impl<F> Closed<F> {
    /// Opens it again: the parent of `below`, if that is still what it was.
    ///
    /// # Errors
    /// `Conflict` if somebody has moved or removed `below` meanwhile.
    pub(super) fn reopen(self, below: &Folder<F>) -> Result<Folder<F>> {
        let Self { stat, path, book } = self;
        Ok(Folder { directory: parent(&below.directory, &stat, &path)?, stat, path, book })
    }
}

impl<F> Book<F> {
    pub(super) fn enter(&self) {
        self.users.fetch_add(1, AcqRel);
    }

    /// One user less. Calls `done` for the directory if that was the last one, and
    /// then for each above that had no other.
    pub(super) fn leave(
        self: Arc<Self>,
        mut done: impl FnMut(&F, Option<&F>) -> Result<()>,
    ) -> Result<()> {
        let mut book = self;
        while book.users.fetch_sub(1, AcqRel) == 1 {
            done(&book.own, book.above.as_ref().map(|above| &above.own))?;
            let Some(above) = book.above.clone() else { break };
            book = above;
        }
        Ok(())
    }
}

/// Not by recursion: a tree may be deeper than the stack.
impl<F> Drop for Book<F> {
    fn drop(&mut self) {
        let mut next = self.above.take();
        while let Some(mut book) = next.and_then(Arc::into_inner) {
            next = book.above.take();
        }
    }
}
