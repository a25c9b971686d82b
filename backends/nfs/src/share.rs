//! The export, as a [`Place`] for a tree.

use std::{
    fs::DirBuilder,
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_api::{
    Context as _, Detail, Error, Health, Notice, Op, Report, Result, Source, VolumeId,
};
use berth_host::{
    beneath::{Dir, Stat},
    mounts::Table,
};
use berth_tree::{Directories, Gate as _, Place, Sharing, Tree};

use crate::{
    export::{Export, Version},
    mounting::{self, Look},
    silence::{Silence, is_of_the_server},
};

/// A pool on an NFS export.
pub type Nfs = Directories<Share>;

/// What Berth itself works on.
const CONTROL: &str = "control";
/// What containers see.
const DATA: &str = "data";
/// How long a snapshot waits for the server to take what was written here.
const FLUSH: Duration = Duration::from_secs(60);

/// An export that this host mounts.
#[derive(Debug)]
pub struct Share {
    export: Export,
    control: PathBuf,
    data: PathBuf,
    silence: Arc<Silence>,
    /// Somebody sees to the mounts.
    busy: Mutex<bool>,
    /// … and has done so.
    rested: Condvar,
    seen: Mutex<Option<Seen>>,
}

/// What was found when it was last used.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// What root writes belongs to somebody else.
    squashed: bool,
}

impl Share {
    /// The pool `name` on `export`, mounted below `place`. No I/O.
    pub fn open(name: &str, export: Export, place: &Path) -> Nfs {
        let (control, data) = (place.join(CONTROL), place.join(DATA));
        let silence = Arc::new(Silence::new(&export));
        let tree =
            Tree::shared(name, &control, Sharing { coherent: false }).behind(silence.clone());
        let (busy, rested, seen) = (Mutex::default(), Condvar::new(), Mutex::default());
        Directories::at(Self { export, control, data, silence, busy, rested, seen }, tree)
    }

    /// Waits for whoever sees to the mounts already, as long as the call may take: they
    /// may wait for a server without end.
    fn turn(&self, op: &Op) -> Result<Turn<'_>> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut busy, waited) = self
            .rested
            .wait_timeout_while(busy, op.remaining(), |busy| *busy)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && *busy {
            let mounting = || Error::unavailable(format!("`{}` is being mounted", self.export));
            return Err(self.silence.error().unwrap_or_else(mounting));
        }
        *busy = true;
        Ok(Turn(self))
    }

    /// Sees to it that both are mounted and answer.
    fn mounted(&self) -> Result<()> {
        let mut state = Mounted::default();
        for path in [&self.control, &self.data] {
            let Some(mount) = mounting::mounted(&self.export, path)? else {
                self.clear(path)?;
                continue;
            };
            match mounting::look(path)? {
                Look::Alive => state.note(&mount.super_options),
                Look::Stale => {
                    tracing::warn!(path = %path.display(), export = %self.export, "stale: mounted anew");
                    mounting::detach(path)?;
                    continue;
                }
                Look::Silent if self.moved(&mount.super_options) => {
                    tracing::warn!(path = %path.display(), export = %self.export, "the server has another address: mounted anew");
                    mounting::detach(path)?;
                    continue;
                }
                Look::Silent => {
                    return Err(Error::unavailable(format!(
                        "no answer in {} s",
                        mounting::LOOK.as_secs()
                    )));
                }
            }
            state.there.push(path.clone());
        }
        if state.there.len() < 2 {
            self.mount(&state)?;
        }
        Ok(())
    }

    fn mount(&self, state: &Mounted) -> Result<()> {
        let addresses = self.export.addresses()?;
        // Both by one version: a clone on the server is made through the control mount.
        let mut versions =
            state.version.map_or_else(|| self.export.versions().to_vec(), |one| vec![one]);
        let options = self.export.options();
        for path in [&self.control, &self.data] {
            if state.there.contains(path) {
                continue;
            }
            make_folder(path)?;
            let (version, address) =
                mounting::mount(&self.export, path, &addresses, &versions, |version, address| {
                    if *path == self.control {
                        options.control(version, address)
                    } else {
                        options.data(version, address)
                    }
                })?;
            tracing::info!(export = %self.export, %address, version = version.as_str(), path = %path.display(), "mounted");
            versions = vec![version];
        }
        Ok(())
    }

    /// Takes away a mount of ours that is of another export than is configured now.
    fn clear(&self, path: &Path) -> Result<()> {
        let other = Table::read().context(|| "read the mount table")?.at(path).cloned();
        let Some(other) = other else { return Ok(()) };
        tracing::warn!(path = %path.display(), was = other.source, is = %self.export, "another export is configured now");
        mounting::detach(path)
    }

    /// Whether a silent mount is of an address that the server does not have any more.
    fn moved(&self, super_options: &str) -> bool {
        let used = super_options.split(',').find_map(|option| option.strip_prefix("addr="));
        let Some(used) = used.and_then(|address| address.parse().ok()) else { return false };
        self.export.addresses().is_ok_and(|known| !known.contains(&used))
    }

    /// Opens the content of a volume through the data mount, and makes sure that it is
    /// the directory that the tree found.
    fn through_data(&self, id: VolumeId, found: &OwnedFd) -> Result<OwnedFd> {
        let what = || format!("open volume {id} below `{}`", self.data.display());
        // The cache of names is told to ask the server about each folder on the way.
        let walk = || -> io::Result<OwnedFd> {
            let root = Dir::open(&self.data)?;
            Stat::anew(&root)?;
            let volumes = root.open_dir("volumes")?;
            Stat::anew(&volumes)?;
            let folder = volumes.open_dir(&id.to_string())?;
            Stat::anew(&folder)?;
            folder.open_place("data")
        };
        let opened = walk().context(what)?;
        if Stat::of(&opened).context(what)?.inode != Stat::of(found).context(what)?.inode {
            return Err(Error::unavailable(format!(
                "the NFS client shows an older directory for volume {id}"
            ))
            .with_hint("it is asked again with the next mount"));
        }
        Ok(opened)
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of one call to see to the mounts.
struct Turn<'a>(&'a Share);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.rested.notify_one();
    }
}

/// Which of the two is mounted.
#[derive(Debug, Default)]
struct Mounted {
    there: Vec<PathBuf>,
    version: Option<Version>,
}

impl Mounted {
    fn note(&mut self, super_options: &str) {
        self.version = version(super_options);
    }
}

fn version(super_options: &str) -> Option<Version> {
    super_options.split(',').find_map(|option| option.strip_prefix("vers="))?.parse().ok()
}

impl Place for Share {
    fn ready(&self, op: &Op, _: &Tree, _: bool) -> Result<()> {
        op.check()?;
        let _turn = self.turn(op)?;
        match self.mounted() {
            Ok(()) => {
                self.silence.broken();
                Ok(())
            }
            Err(error) => {
                self.silence.noted(error.chain());
                Err(self.silence.error().unwrap_or(error))
            }
        }
    }

    fn accepted(&self, op: &Op, tree: &Tree) -> Result<()> {
        op.check()?;
        let squashed = tree.is_squashed()?;
        *self.seen() = Some(Seen { squashed });
        Ok(())
    }

    fn health(&self) -> Health {
        self.silence.health()
    }

    fn show(&self, op: &Op, id: VolumeId, directory: OwnedFd, path: PathBuf) -> Result<Source> {
        op.check()?;
        let shown = self.through_data(id, &directory).map_err(|error| self.explain(error))?;
        let path = path
            .strip_prefix(&self.control)
            .map_or_else(|_| path.clone(), |below| self.data.join(below));
        Ok(Source::Directory { directory: shown, path })
    }

    fn settle(&self, op: &Op) -> Result<()> {
        op.check()?;
        mounting::flush(&self.data, FLUSH.min(op.remaining()))
    }

    fn explain(&self, error: Error) -> Error {
        self.silence.failed(&error);
        if is_of_the_server(&error).is_none() {
            return error;
        }
        self.silence.error().unwrap_or(error)
    }

    fn privileges(&self) -> Result<()> {
        if self.seen().is_some_and(|seen| seen.squashed) {
            return Err(Error::unsupported(format!(
                "the server of `{}` takes root for nobody (root_squash): what others own cannot be read, and \
                 nothing can be given to them",
                self.export
            ))
            .with_hint("export it with `no_root_squash` to the hosts that run Berth"));
        }
        Ok(())
    }

    fn report(&self, _: &Tree) -> Result<Report> {
        let mut report = Report::default();
        let table = Table::read().context(|| "read the mount table")?;
        let mount = table.at(&self.data);
        let version = mount.and_then(|mount| version(&mount.super_options));
        report.details.push(("export".to_owned(), Detail::Text(self.export.to_string())));
        if let Some(version) = version {
            report.details.push(("version".to_owned(), Detail::Text(version.as_str().to_owned())));
        }
        if self.export.options().may_lose_writes() {
            report.notices.push(Notice::warning(
                "`soft`: programs can lose writes while the server is away",
                "take it out of `mount-options`: on `hard` they wait",
            ));
        }
        Ok(report)
    }
}

/// Makes a mountpoint, with what is above it below the daemon's root.
fn make_folder(path: &Path) -> Result<()> {
    let what = || format!("make `{}`", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).context(what)
}
