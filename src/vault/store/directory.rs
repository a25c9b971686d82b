//! A repository in a directory, local or on a mounted share.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind as Io, Write as _},
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::{durable, failpoint};
use bytes::Bytes;

use super::{FileInfo, Kind, Store};
use crate::format::Id;

/// What a file is called while it is being written: restic leaves such names alone.
const UNFINISHED: &str = "-tmp-";

/// The store.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The repository in `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn file(&self, kind: Kind, id: &Id) -> PathBuf {
        self.path.join(kind.path(id))
    }

    fn what(&self, verb: &str, kind: Kind, id: &Id) -> String {
        let path = self.path.display();
        match kind {
            Kind::Config => format!("repository `{path}`: {verb} config"),
            _ => format!("repository `{path}`: {verb} {} {}", kind.noun(), id.short()),
        }
    }

    fn unread(&self, kind: Kind, id: &Id, error: io::Error) -> Error {
        let what = self.what("read", kind, id);
        match error.kind() {
            Io::NotFound => Error::not_found(what).with_source(error),
            _ => Err::<(), _>(error).context(|| what).expect_err("it is one"),
        }
    }

    /// Why nothing can be written here, and what to do.
    fn unwritten(&self, what: String, error: io::Error) -> Error {
        let path = self.path.display();
        let hint = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded => {
                Some(format!("see df -h {path}; make room, such as by berth repository prune"))
            }
            Io::ReadOnlyFilesystem | Io::PermissionDenied => {
                Some(format!("let the daemon write there; see findmnt -T {path} and ls -ld {path}"))
            }
            _ => None,
        };
        let error = Err::<(), _>(error).context(|| what).expect_err("it is one");
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn try_write(&self, kind: Kind, id: &Id, bytes: &[u8]) -> io::Result<bool> {
        let target = self.file(kind, id);
        if target.try_exists()? {
            return Ok(false);
        }
        let folder = target.parent().unwrap_or(&self.path).to_owned();
        if kind == Kind::Pack && !folder.try_exists()? {
            make(&folder)?;
            sync(folder.parent().unwrap_or(&self.path))?;
        }
        let random = Id::random().map_err(|error| io::Error::other(error.chain()))?;
        let name = format!("{}{UNFINISHED}{}", kind.path(id), random.short());
        let unfinished = self.path.join(name);
        let result = fill(&unfinished, bytes).and_then(|()| {
            failpoint::hit("repository.write.rename")?;
            // A link and not a rename: of two who write one name the second must see it.
            match fs::hard_link(&unfinished, &target) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == Io::AlreadyExists => Ok(false),
                // No links here, as on some shares.
                Err(error) if matches!(error.kind(), Io::PermissionDenied | Io::Unsupported) => {
                    fs::rename(&unfinished, &target).map(|()| true)
                }
                Err(error) => Err(error),
            }
        });
        let _ = fs::remove_file(&unfinished);
        let new = result?;
        failpoint::hit("repository.write.sync")?;
        sync(&folder)?;
        Ok(new)
    }
}

impl Store for Directory {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn create(&self, _: &Op) -> Result<()> {
        let what = || format!("repository `{}`: make its folders", self.path.display());
        let folders = [Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Pack];
        make(&self.path).map_err(|error| self.unwritten(what(), error))?;
        for kind in folders {
            make(&self.path.join(kind.folder())).context(what)?;
        }
        sync(&self.path).context(what)?;
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => sync(parent).context(what),
            _ => Ok(()),
        }
    }

    fn list(&self, op: &Op, kind: Kind) -> Result<Vec<FileInfo>> {
        op.check()?;
        let what = || format!("repository `{}`: list {}", self.path.display(), kind.folder());
        let top = self.path.join(kind.folder());
        let mut found = Vec::new();
        match kind {
            Kind::Config => match fs::metadata(&top) {
                Ok(file) => found.push(FileInfo { id: Id::default(), size: file.len() }),
                Err(error) if error.kind() == Io::NotFound => {}
                Err(error) => return Err(error).context(what),
            },
            Kind::Pack => {
                for entry in fs::read_dir(&top).context(what)? {
                    op.check()?;
                    let entry = entry.context(what)?;
                    if entry.file_type().context(what)?.is_dir() {
                        collect(&entry.path(), &mut found).context(what)?;
                    }
                }
            }
            _ => collect(&top, &mut found).context(what)?,
        }
        Ok(found)
    }

    fn read(&self, op: &Op, kind: Kind, id: &Id) -> Result<Bytes> {
        op.check()?;
        fs::read(self.file(kind, id)).map(Bytes::from).map_err(|error| self.unread(kind, id, error))
    }

    fn read_range(&self, op: &Op, kind: Kind, id: &Id, range: Range<u64>) -> Result<Bytes> {
        op.check()?;
        let what = || self.what("read", kind, id);
        let length = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| Error::corrupt("a part of a file that no memory holds"))?;
        let file = File::open(self.file(kind, id)).map_err(|error| self.unread(kind, id, error))?;
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, range.start) {
            Ok(()) => Ok(bytes.into()),
            Err(error) if error.kind() == Io::UnexpectedEof => {
                Err(Error::corrupt(format!("{}: it is cut off", what())))
            }
            Err(error) => Err(error).context(what),
        }
    }

    fn write(&self, op: &Op, kind: Kind, id: &Id, bytes: Bytes) -> Result<()> {
        op.check()?;
        let new = self
            .try_write(kind, id, &bytes)
            .map_err(|error| self.unwritten(self.what("write", kind, id), error))?;
        if new || kind != Kind::Config {
            return Ok(());
        }
        Err(Error::conflict(format!("there is a repository in `{}` already", self.location())))
    }

    fn remove(&self, op: &Op, kind: Kind, id: &Id) -> Result<()> {
        op.check()?;
        match fs::remove_file(self.file(kind, id)) {
            Err(error) if error.kind() == Io::NotFound => Ok(()),
            other => other.map_err(|error| self.unwritten(self.what("remove", kind, id), error)),
        }
    }

    fn sweep(&self, op: &Op) -> Result<()> {
        let what = || format!("repository `{}`: remove unfinished files", self.path.display());
        for kind in [Kind::Snapshot, Kind::Index, Kind::Pack] {
            sweep_folder(op, &self.path.join(kind.folder()), kind == Kind::Pack).context(what)?;
        }
        Ok(())
    }
}

/// Removes unfinished files of a folder, and of those in it if `deep`.
fn sweep_folder(op: &Op, folder: &Path, deep: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if op.is_cancelled() {
            return Ok(());
        }
        if deep && entry.file_type()?.is_dir() {
            sweep_folder(op, &entry.path(), false)?;
        } else if entry.file_name().to_string_lossy().contains(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn collect(folder: &Path, found: &mut Vec<FileInfo>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match entry.metadata() {
            Ok(file) if file.is_file() => found.push(FileInfo { id, size: file.len() }),
            Ok(_) => {}
            // Removed meanwhile.
            Err(error) if error.kind() == Io::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    failpoint::hit("repository.write.fill")?;
    file.sync_all()
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    durable::sync_directory(File::open(folder)?)
}
