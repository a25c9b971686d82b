//! The directories of a restore: known by number, opened when something is to be put
//! into them, however many and deep they are.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_api::{Context as _, Error, Result};
use berth_host::beneath::{Dir, furnish};

use super::entry::Attributes;

/// Directories that are open at a time.
const OPEN: usize = 256;
/// The longest path that is given to the kernel at once; its limit is 4095 bytes.
const PATH: usize = 4000;
/// Of the way to a directory, so many at the end are opened one by one and stay open:
/// most likely its neighbours come next.
const SINGLY: usize = 64;
/// The most directories of one backup: a tree that names another one many times could
/// be without end.
const MOST: usize = 1 << 24;
/// Of a longer path only the end is told.
const SHOWN: usize = 1024;

/// All directories. The top has number 0, and each stands behind the one it is in.
#[derive(Debug)]
pub(super) struct Folders {
    top: Arc<Dir>,
    table: Vec<Folder>,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Folder {
    above: u32,
    name: Box<CStr>,
    attributes: Attributes,
}

#[derive(Debug, Default)]
struct Open {
    directories: HashMap<u32, (Arc<Dir>, u64)>,
    clock: u64,
}

impl Folders {
    /// The top only.
    pub(super) fn new(top: &Dir, attributes: Attributes) -> Result<Self> {
        let again = top.descend(c".").context(|| "open the directory")?;
        let folder = Folder { above: 0, name: c"".into(), attributes };
        Ok(Self { top: Arc::new(again), table: vec![folder], open: Mutex::default() })
    }

    /// Makes a directory in another one, and says its number.
    pub(super) fn make(
        &mut self,
        above: u32,
        name: Box<CStr>,
        attributes: Attributes,
    ) -> Result<u32> {
        if self.table.len() >= MOST {
            return Err(Error::corrupt("it has more directories than a backup may have"));
        }
        let what = || format!("make directory {}", self.shown(above, &name));
        self.open(above).and_then(|folder| folder.new_directory(&name)).context(what)?;
        let number = u32::try_from(self.table.len()).expect("at most 2^24");
        self.table.push(Folder { above, name, attributes });
        Ok(number)
    }

    /// The open directory with that number.
    pub(super) fn open(&self, number: u32) -> io::Result<Arc<Dir>> {
        let mut way = Vec::new();
        let mut directory = self.nearest(number, &mut way);
        while let Some(next) = way.pop() {
            let mut path = self.folder(next).name.to_bytes().to_vec();
            let mut reached = next;
            while way.len() > SINGLY
                && let Some(more) = way.last()
                && let name = self.folder(*more).name.to_bytes()
                && path.len() + 1 + name.len() <= PATH
            {
                path.push(b'/');
                path.extend_from_slice(name);
                reached = *more;
                way.pop();
            }
            directory = Arc::new(directory.descend(&CString::new(path)?)?);
            self.lock().keep(reached, &directory);
        }
        Ok(directory)
    }

    /// The nearest open one above; `way` gets what lies between, the innermost first.
    fn nearest(&self, number: u32, way: &mut Vec<u32>) -> Arc<Dir> {
        let mut open = self.lock();
        let mut at = number;
        while at != 0 {
            if let Some(directory) = open.get(at) {
                return directory;
            }
            way.push(at);
            at = self.folder(at).above;
        }
        self.top.clone()
    }

    /// Gives all directories their attributes, the innermost first.
    pub(super) fn furnish(&self, mut each: impl FnMut() -> Result<()>) -> Result<()> {
        for (number, folder) in self.table.iter().enumerate().rev() {
            each()?;
            let number = u32::try_from(number).expect("at most 2^24");
            self.open(number)
                .and_then(|directory| furnish(&*directory, &folder.attributes.lend()))
                .context(|| format!("set the attributes of {}", self.shown(number, c"")))?;
        }
        Ok(())
    }

    /// The path of `name` in a directory, or with an empty name its own, for people.
    pub(super) fn shown(&self, folder: u32, name: &CStr) -> String {
        let mut parts = Vec::new();
        let (mut at, mut length) = (folder, name.count_bytes());
        if length > 0 {
            parts.push(name);
        }
        while at != 0 && length < SHOWN {
            let folder = self.folder(at);
            length += folder.name.count_bytes() + 1;
            parts.push(&folder.name);
            at = folder.above;
        }
        let more = if at == 0 { "" } else { "…/" };
        let parts: Vec<_> = parts.iter().rev().map(|part| part.to_string_lossy()).collect();
        let path = if parts.is_empty() { "/".to_owned() } else { parts.join("/") };
        format!("`{more}{}`", path.escape_debug())
    }

    fn folder(&self, number: u32) -> &Folder {
        &self.table[number as usize]
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn get(&mut self, number: u32) -> Option<Arc<Dir>> {
        self.clock += 1;
        let (directory, used) = self.directories.get_mut(&number)?;
        *used = self.clock;
        Some(directory.clone())
    }

    fn keep(&mut self, number: u32, directory: &Arc<Dir>) {
        self.clock += 1;
        if self.directories.len() >= OPEN {
            let mut times: Vec<_> = self.directories.values().map(|(_, used)| *used).collect();
            let (_, middle, _) = times.select_nth_unstable(OPEN / 2);
            let middle = *middle;
            self.directories.retain(|_, (_, used)| *used > middle);
        }
        self.directories.insert(number, (directory.clone(), self.clock));
    }
}
