//! Everything that can be told of a tree, read without the code under test.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CString, OsString},
    fmt, fs,
    fs::File,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};

/// One object.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    size: u64,
    accessed: (i64, i64),
    modified: (i64, i64),
    links: u64,
    /// The first name of the same inode.
    same_as: PathBuf,
    attributes: BTreeMap<OsString, Vec<u8>>,
    target: Option<PathBuf>,
    content: Option<Vec<u8>>,
    /// Where there is data, as `SEEK_DATA` and `SEEK_HOLE` say.
    pub(crate) extents: Vec<(i64, i64)>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content.as_ref().map(Vec::len);
        write!(f, "mode {:o} owner {:?} device {:x} ", self.mode, self.owner, self.device)?;
        write!(f, "size {} links {} as {:?} ", self.size, self.links, self.same_as)?;
        write!(f, "accessed {:?} modified {:?} ", self.accessed, self.modified)?;
        write!(f, "attributes {:?} target {:?} ", self.attributes, self.target)?;
        write!(f, "read {content:?} extents {:?}", self.extents)
    }
}

/// All that is in `top`, itself included, by relative path.
pub(crate) fn of(top: &Path) -> BTreeMap<PathBuf, Facts> {
    let (mut found, mut first) = (BTreeMap::new(), HashMap::new());
    let mut paths = vec![top.to_owned()];
    // In one order, so that the first name of an inode is always the same one.
    while let Some(path) = paths.pop() {
        let relative = path.strip_prefix(top).unwrap().to_owned();
        let meta = fs::symlink_metadata(&path).unwrap();
        let same_as = first.entry((meta.dev(), meta.ino())).or_insert_with(|| relative.clone());
        let facts = Facts { same_as: same_as.clone(), ..one(&path, &meta) };
        found.insert(relative, facts);
        if meta.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            let mut inside: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            paths.append(&mut inside);
        }
    }
    found
}

/// Asserts that two trees are the same, and says where they are not.
#[track_caller]
pub(crate) fn assert_same(left: &BTreeMap<PathBuf, Facts>, right: &BTreeMap<PathBuf, Facts>) {
    let names = |tree: &BTreeMap<PathBuf, Facts>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right));
    for (path, facts) in left {
        assert_eq!(facts, &right[path], "{}", path.display());
    }
}

fn one(path: &Path, meta: &fs::Metadata) -> Facts {
    let regular = meta.is_file();
    let special = meta.file_type();
    let device = special.is_char_device() || special.is_block_device();
    Facts {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        device: if device { meta.rdev() } else { 0 },
        size: if meta.is_dir() { 0 } else { meta.size() },
        accessed: (meta.atime(), meta.atime_nsec()),
        modified: (meta.mtime(), meta.mtime_nsec()),
        links: if meta.is_dir() { 0 } else { meta.nlink() },
        same_as: PathBuf::new(),
        attributes: attributes(path),
        target: meta.is_symlink().then(|| fs::read_link(path).unwrap()),
        content: regular.then(|| fs::read(path).unwrap()),
        extents: if regular { extents(path) } else { Vec::new() },
    }
}

pub(crate) fn extents(path: &Path) -> Vec<(i64, i64)> {
    let (file, mut at, mut found) = (File::open(path).unwrap(), 0, Vec::new());
    loop {
        match lseek(&file, at, Whence::SeekData) {
            Ok(data) => {
                at = lseek(&file, data, Whence::SeekHole).unwrap();
                found.push((data, at));
            }
            Err(Errno::ENXIO) => return found,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

fn attributes(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let place = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0_u8; 65536];
    #[expect(unsafe_code, reason = "no wrapper; a terminated string and a buffer of that length")]
    let length = unsafe { libc::llistxattr(place.as_ptr(), names.as_mut_ptr().cast(), 65536) };
    let length = usize::try_from(length).unwrap();
    let mut found = BTreeMap::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let mut value = vec![0_u8; 65536];
        #[expect(unsafe_code, reason = "no wrapper; terminated strings, a buffer of that length")]
        let length = unsafe {
            let buffer = value.as_mut_ptr().cast();
            libc::lgetxattr(place.as_ptr(), name.as_ptr().cast(), buffer, 65536)
        };
        value.truncate(usize::try_from(length).unwrap());
        found.insert(OsString::from_vec(name[..name.len() - 1].to_vec()), value);
    }
    found
}

/// Sets an attribute of an object itself, be it a symlink.
#[track_caller]
pub(crate) fn set(path: &Path, name: &str, value: &[u8]) {
    let place = CString::new(path.as_os_str().as_bytes()).unwrap();
    let text = CString::new(name).unwrap();
    #[expect(unsafe_code, reason = "no wrapper; terminated strings, a slice of that length")]
    let result = unsafe {
        let (start, length) = (value.as_ptr().cast(), value.len());
        libc::lsetxattr(place.as_ptr(), text.as_ptr(), start, length, 0)
    };
    Errno::result(result).unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()));
}
