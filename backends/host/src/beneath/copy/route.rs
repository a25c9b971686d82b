//! The way through a tree that is being copied: directories are gone into, the
//! names of everything else are passed on in batches, or copied on the way.

use std::{ffi::CStr, sync::Arc};

use berth_api::{Context as _, Result};

use super::{
    super::{
        listing,
        pool::Pool,
        walk::{self, Names, Visitor},
    },
    Way,
    folder::{Closed, Folder},
    hand::{Hand, Met},
};

/// Names of one folder, for one hand.
#[derive(Debug)]
pub(super) struct Batch {
    folder: Arc<Folder>,
    names: Names,
}

/// Names in a batch whose content is copied. Few, since any of them may be large.
const COPIED: usize = 32;
/// Names in a batch whose content is shared: a directory of usual size, whole. Those
/// who make files in one directory take turns, and so do those who share blocks that
/// XFS counts in one place, as it does those of one directory.
const SHARED: usize = 1024;

/// Goes through the whole tree below `top`, and passes on to `pool` what is found.
pub(super) fn find<'a>(
    hand: &mut Hand<'a>,
    pool: &'a Pool<Batch>,
    top: &Arc<Folder>,
) -> Result<()> {
    hand.prepare(top)?;
    let mut route = Route { hand, pool: Some(pool) };
    top.enter();
    let names = route.list(top)?;
    walk::walk(&mut route, top.clone(), names)
}

/// Does what is found until there is no more.
pub(super) fn work(hand: &mut Hand<'_>, pool: &Pool<Batch>) {
    while let Some(Batch { folder, names }) = pool.take() {
        let done = Route { hand, pool: None }.batch(&folder, &names, None);
        if let Err(error) = done.and_then(|()| hand.leave(&folder)) {
            return pool.fail(error);
        }
    }
}

/// The way through a tree.
struct Route<'r, 'a> {
    hand: &'r mut Hand<'a>,
    /// Where others than directories go; `None`: copied on the way.
    pool: Option<&'r Pool<Batch>>,
}

impl Route<'_, '_> {
    /// Hands a batch over, or copies it.
    fn pass(&mut self, folder: &Arc<Folder>, names: Names, found: &mut Names) -> Result<()> {
        if names.count() == 0 {
            return Ok(());
        }
        match self.pool {
            Some(pool) => {
                folder.enter();
                pool.put(Batch { folder: folder.clone(), names })
            }
            None => self.batch(folder, &names, Some(found)),
        }
    }

    /// Copies what is called `names` in `folder`. What has become a directory
    /// meanwhile is added to `found`, or else copied whole.
    fn batch(
        &mut self,
        folder: &Arc<Folder>,
        names: &Names,
        mut found: Option<&mut Names>,
    ) -> Result<()> {
        for name in names.iter() {
            match (self.hand.entry(folder, name)?, &mut found) {
                (Met::Done, _) => {}
                (Met::Directory(..), Some(found)) => found.push(name),
                (Met::Directory(..), None) => {
                    folder.enter();
                    walk::walk(self, folder.clone(), Names::one(name))?;
                }
            }
        }
        Ok(())
    }
}

impl Visitor for Route<'_, '_> {
    type Folder = Arc<Folder>;
    type Closed = Closed;

    fn enter(&mut self, above: &Arc<Folder>, name: &CStr) -> Result<Option<Arc<Folder>>> {
        match self.hand.entry(above, name)? {
            Met::Done => Ok(None),
            Met::Directory(from, stat) => {
                Ok(self.hand.directory(above, name, from, stat)?.map(Arc::new))
            }
        }
    }

    fn list(&mut self, folder: &Arc<Folder>) -> Result<Names> {
        let (mut directories, mut batch) = (Names::default(), Names::default());
        let most = match self.hand.way() {
            Way::Reflink => SHARED,
            Way::Copy => COPIED,
        };
        listing::read(&folder.from, &folder.path, |name, directory| {
            if directory {
                directories.push(name);
                return Ok(());
            }
            batch.push(name);
            if batch.count() < most {
                return Ok(());
            }
            self.pass(folder, std::mem::take(&mut batch), &mut directories)
        })?;
        self.pass(folder, batch, &mut directories)?;
        Ok(directories)
    }

    fn close(&mut self, folder: Arc<Folder>) -> Result<Closed> {
        folder.close().context(|| format!("look at the copy of {}", folder.path.shown()))
    }

    fn reopen(&mut self, closed: Closed, below: &Arc<Folder>) -> Result<Arc<Folder>> {
        Ok(Arc::new(closed.reopen(below)?))
    }

    fn leave(&mut self, folder: Arc<Folder>) -> Result<()> {
        self.hand.leave(&folder)
    }
}
