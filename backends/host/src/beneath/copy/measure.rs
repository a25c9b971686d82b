//! How much a copy of a tree would carry.

use std::{collections::HashSet, ffi::CStr};

use berth_api::{Context as _, Op, Result};
use nix::sys::stat::SFlag;

use super::{
    super::{
        Dir, listing,
        object::{Object, Stat, read_directory},
        place::Path,
        walk::{Names, Visitor, walk},
    },
    folder::parent,
};

/// What lies in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Apparent size of the regular files, each once, in bytes.
    pub bytes: u64,
    /// What everything in it takes on the disk, each object once, in bytes. Blocks
    /// that are shared by reflinks count for each that has them.
    pub allocated: u64,
    /// Entries that are no directories; each name of a hard-linked file counts.
    pub files: u64,
}

/// Measures the content of `dir`, mounts left out, as [`tree`](super::tree)
/// would copy it.
///
/// # Errors
/// What [`Op::check`] says; the kernel's, with the path in the tree.
pub fn measure(dir: &Dir, op: &Op) -> Result<Extent> {
    let mut measuring = Measuring { op, extent: Extent::default(), met: HashSet::new() };
    let directory = read_directory(dir).context(|| "read the directory")?;
    let stat = Stat::of(&directory).context(|| "read the directory")?;
    let top = Folder { directory, stat, path: Path::default() };
    let names = measuring.list(&top)?;
    walk(&mut measuring, top, names)?;
    Ok(measuring.extent)
}

struct Measuring<'a> {
    op: &'a Op,
    extent: Extent,
    /// Objects with several names.
    met: HashSet<((u32, u32), u64)>,
}

struct Folder {
    directory: Dir,
    stat: Stat,
    path: Path,
}

impl Measuring<'_> {
    fn count(&mut self, stat: &Stat) {
        if !stat.is_directory() {
            self.extent.files += 1;
            if stat.links > 1 && !self.met.insert(stat.identity()) {
                return;
            }
        }
        if stat.kind == SFlag::S_IFREG {
            self.extent.bytes += stat.size;
        }
        self.extent.allocated += stat.blocks * 512;
    }
}

impl Visitor for Measuring<'_> {
    type Folder = Folder;
    type Closed = (Stat, Path);

    fn enter(&mut self, above: &Folder, name: &CStr) -> Result<Option<Folder>> {
        self.op.check()?;
        let path = above.path.join(name);
        let what = || format!("read {}", path.shown());
        let Object::Here(object, stat) = Object::find(&above.directory, name).context(what)? else {
            return Ok(None);
        };
        self.count(&stat);
        if !stat.is_directory() {
            return Ok(None);
        }
        let directory = read_directory(&object).context(what)?;
        Ok(Some(Folder { directory, stat, path }))
    }

    fn list(&mut self, folder: &Folder) -> Result<Names> {
        let mut directories = Names::default();
        listing::read(&folder.directory, &folder.path, |name, directory| {
            self.op.check()?;
            if directory {
                directories.push(name);
                return Ok(());
            }
            let what = || format!("read {}", folder.path.join(name).shown());
            match Stat::at(&folder.directory, name, &folder.stat).context(what)? {
                Some(stat) if stat.is_directory() => directories.push(name),
                Some(stat) => self.count(&stat),
                None => {}
            }
            Ok(())
        })?;
        Ok(directories)
    }

    fn close(&mut self, folder: Folder) -> Result<(Stat, Path)> {
        Ok((folder.stat, folder.path))
    }

    fn reopen(&mut self, (stat, path): (Stat, Path), below: &Folder) -> Result<Folder> {
        Ok(Folder { directory: parent(&below.directory, &stat, &path)?, stat, path })
    }

    fn leave(&mut self, _: Folder) -> Result<()> {
        Ok(())
    }
}
