//! The way through a tree that is being read: directories are gone into, the names of
//! everything else are passed on in batches, or read on the way.

use std::{ffi::CStr, sync::Arc};

use berth_api::{Context as _, Result};

use super::{
    super::{
        listing,
        object::{Descriptors, Object, read_directory},
        walk::{self, Names, Visitor},
    },
    Jobs, Reader,
    folder::{Closed, Folder},
    name::{Held, Looked, Name},
};

/// Names of one folder, for one hand. Few, since any of them may be large.
pub(super) struct Batch<F> {
    folder: Arc<Folder<F>>,
    names: Names,
}

/// Names in a batch.
const MOST: usize = 32;

/// Goes through the whole tree below `top`, and passes on to `pool` what is found.
pub(super) fn find<R: Reader>(
    reader: &R,
    hand: &mut R::Hand,
    descriptors: &Descriptors,
    pool: &Jobs<R::Folder>,
    top: Arc<Folder<R::Folder>>,
) -> Result<()> {
    let mut route = Route { reader, hand, descriptors, jobs: pool, pass: true };
    let names = route.list(&top)?;
    walk::walk(&mut route, top, names)
}

/// Does what is found until there is no more.
pub(super) fn work<R: Reader>(reader: &R, descriptors: &Descriptors, pool: &Jobs<R::Folder>) {
    let mut hand = reader.hand();
    while let Some(Batch { folder, names }) = pool.take() {
        let mut route = Route { reader, hand: &mut hand, descriptors, jobs: pool, pass: false };
        let done = route.batch(&folder, &names, None);
        if let Err(error) = done.and_then(|()| route.leave(folder)) {
            return pool.fail(error);
        }
    }
}

/// The way through a tree.
struct Route<'r, R: Reader> {
    reader: &'r R,
    hand: &'r mut R::Hand,
    descriptors: &'r Descriptors,
    jobs: &'r Jobs<R::Folder>,
    /// Others than directories go to `jobs`; else they are read on the way.
    pass: bool,
}

impl<R: Reader> Route<'_, R> {
    fn check(&self) -> Result<()> {
        self.jobs.check()?;
        self.reader.check()
    }

    /// Hands a batch over, or reads it.
    fn pass(
        &mut self,
        folder: &Arc<Folder<R::Folder>>,
        names: Names,
        found: &mut Names,
    ) -> Result<()> {
        if names.count() == 0 {
            return Ok(());
        }
        if self.pass {
            folder.book.enter();
            return self.jobs.put(Batch { folder: folder.clone(), names });
        }
        self.batch(folder, &names, Some(found))
    }

    /// Reads what is called `names` in `folder`. What has become a directory meanwhile
    /// is added to `found`, or else read whole.
    fn batch(
        &mut self,
        folder: &Arc<Folder<R::Folder>>,
        names: &Names,
        mut found: Option<&mut Names>,
    ) -> Result<()> {
        for called in names.iter() {
            self.check()?;
            let name = name(folder, called, self.descriptors);
            let what = || format!("read {}", name.shown());
            match (name.look().context(what)?, &mut found) {
                (Looked::Here(stat), Some(found)) if stat.is_directory() => found.push(called),
                (Looked::Here(stat), None) if stat.is_directory() => {
                    folder.book.enter();
                    walk::walk(self, folder.clone(), Names::one(called))?;
                }
                (Looked::Here(stat), _) => {
                    self.reader.entry(self.hand, &folder.book.own, &name, &stat)?;
                }
                (Looked::Elsewhere, _) => match name.mounted().context(what)? {
                    Some(directory) => self.reader.mount(&folder.book.own, &name, directory)?,
                    None => self.reader.gone(&folder.book.own, &name)?,
                },
            }
        }
        Ok(())
    }
}

fn name<'a, F>(folder: &'a Folder<F>, called: &'a CStr, descriptors: &'a Descriptors) -> Name<'a> {
    let Folder { directory, stat, path, .. } = folder;
    Name { directory, above: stat, path, called, descriptors }
}

impl<R: Reader> Visitor for Route<'_, R> {
    type Folder = Arc<Folder<R::Folder>>;
    type Closed = Closed<R::Folder>;

    fn enter(&mut self, above: &Self::Folder, called: &CStr) -> Result<Option<Self::Folder>> {
        self.check()?;
        let own = &above.book.own;
        let name = name(above, called, self.descriptors);
        let path = above.path.join(called);
        let what = || format!("read {}", path.shown());
        let (object, stat) = match Object::find(&above.directory, called).context(what)? {
            Object::Gone => return self.reader.gone(own, &name).map(|()| None),
            Object::Mount { directory } => {
                return self.reader.mount(own, &name, directory).map(|()| None);
            }
            Object::Here(object, stat) => (object, stat),
        };
        if !stat.is_directory() {
            return self.reader.entry(self.hand, own, &name, &stat).map(|()| None);
        }
        let directory = read_directory(&object).context(what)?;
        let held = Held::open(&directory, stat, Some(called), self.descriptors);
        let entered = self.reader.enter(self.hand, Some(own), &held)?;
        Ok(Some(Arc::new(Folder::new(directory, stat, path, entered, Some(&above.book)))))
    }

    fn list(&mut self, folder: &Self::Folder) -> Result<Names> {
        let (mut directories, mut batch) = (Names::default(), Names::default());
        listing::read(&folder.directory, &folder.path, |name, directory| {
            if directory {
                directories.push(name);
                return Ok(());
            }
            batch.push(name);
            if batch.count() < MOST {
                return Ok(());
            }
            self.pass(folder, std::mem::take(&mut batch), &mut directories)
        })?;
        self.pass(folder, batch, &mut directories)?;
        Ok(directories)
    }

    fn close(&mut self, folder: Self::Folder) -> Result<Self::Closed> {
        Ok(folder.close())
    }

    fn reopen(&mut self, closed: Self::Closed, below: &Self::Folder) -> Result<Self::Folder> {
        Ok(Arc::new(closed.reopen(below)?))
    }

    fn leave(&mut self, folder: Self::Folder) -> Result<()> {
        let book = folder.book.clone();
        drop(folder);
        book.leave(|own, above| self.reader.leave(self.hand, own, above))
    }
}
