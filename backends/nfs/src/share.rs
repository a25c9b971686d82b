//! The export, as a [`Place`] for a tree.

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_api::{
    Carrier, Change, Context as _, Detail, Error, Health, Notice, Op, Report, Result, Source,
    VolumeId,
};
use berth_host::beneath::{Dir, Stat};
use berth_tree::{Directories, Place, Sharing, Shown, Tree};

use crate::{
    denial::Denial,
    export::{Export, Version},
    gate::Watch,
    mounting,
    mounts::Mounts,
    seen::{self, Seen},
    silence::{Silence, is_of_the_server},
    statd,
};

/// A pool on an NFS export.
pub type Nfs = Directories<Share>;

/// How long a snapshot waits for the server to take what was written here.
const FLUSH: Duration = Duration::from_secs(60);

/// What `soft` and `softerr` mean for containers.
const SOFT: &str = "`soft`: programs can lose writes while the server is away";

/// An export that this host mounts.
#[derive(Debug)]
pub struct Share {
    mounts: Mounts,
    silence: Arc<Silence>,
    watch: Arc<Watch>,
    /// Somebody sees to the mounts.
    busy: Mutex<bool>,
    /// … and has done so.
    rested: Condvar,
    seen: Mutex<Option<Seen>>,
}

impl Share {
    /// The pool `name` on `export`, mounted below `place`. No I/O.
    pub fn open(name: &str, export: Export, place: &Path) -> Nfs {
        if export.options().may_lose_writes() {
            tracing::warn!(pool = name, %export, "{SOFT}");
        }
        let silence = Arc::new(Silence::new(&export));
        let mounts = Mounts::new(export, place);
        let watch = Arc::new(Watch::new(silence.clone(), mounts.control.clone()));
        let tree =
            Tree::shared(name, &mounts.control, Sharing { coherent: false }).behind(watch.clone());
        let (busy, rested, seen) = (Mutex::default(), Condvar::new(), Mutex::default());
        Directories::at(Self { mounts, silence, watch, busy, rested, seen }, tree)
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
            let mounting =
                || Error::unavailable(format!("`{}` is being mounted", self.mounts.export));
            return Err(self.silence.error().unwrap_or_else(mounting));
        }
        *busy = true;
        Ok(Turn(self))
    }

    /// Opens the content at `below` through the mount at `root`, and makes sure that it
    /// is the directory that the tree found.
    fn through(root: &Path, below: &Path, found: &OwnedFd) -> Result<OwnedFd> {
        let what = || format!("open `{}` below `{}`", below.display(), root.display());
        let names: Option<Vec<_>> = below.iter().map(|name| name.to_str()).collect();
        let names = names.ok_or_else(|| Error::internal("a path that no volume has"))?;
        // The cache of names is told to ask the server about each folder on the way.
        let walk = || -> io::Result<OwnedFd> {
            let mut folder = Dir::open(root)?;
            let (last, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
            for name in above {
                Stat::of(&folder)?;
                folder = folder.open_dir(name)?;
            }
            Stat::of(&folder)?;
            folder.open_place(last)
        };
        let opened = walk().context(what)?;
        if Stat::of(&opened).context(what)?.inode != Stat::of(found).context(what)?.inode {
            return Err(Error::unavailable(format!(
                "the NFS client shows an older directory at `{}`",
                below.display()
            ))
            .with_hint("it is asked again with the next mount"));
        }
        Ok(opened)
    }

    /// Has the server take what programs here have written through one mount.
    fn flush(&self, path: &Path, limit: Duration) -> Result<()> {
        mounting::flush(path, limit).map_err(|error| {
            let server = self.mounts.export.server();
            let context = format!(
                "what programs here have written could not be brought to the NFS server `{server}` \
                 in {} s",
                limit.as_secs()
            );
            Error::unavailable(context)
                .with_source(error)
                .with_hint("it is written as soon as the server takes it; try again then")
        })
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

impl Place for Share {
    fn ready(&self, op: &Op, _: &Tree, _: bool) -> Result<()> {
        op.check()?;
        if self.mounts.export.needs_statd() {
            statd::check()?;
        }
        let _turn = self.turn(op)?;
        match self.mounts.ensure() {
            Ok(()) => {
                self.silence.broken();
                if self.seen().is_none() {
                    self.mounts.drop_unused()?;
                }
                Ok(())
            }
            // One that was answered with a no.
            Err(error) if Denial::of_chain(&error).is_some() => Err(error),
            Err(error) => {
                self.silence.noted(error.chain());
                Err(self.silence.error().unwrap_or(error))
            }
        }
    }

    fn accepted(&self, op: &Op, tree: &Tree) -> Result<()> {
        op.check()?;
        let version = self.mounts.shown()?.0;
        let squashed = tree.is_squashed()?;
        let copies = version == Some(Version::V4_2);
        let known = self.seen().filter(|seen| seen.copies == copies);
        // Tried once, since pools are looked at often; each copy tries it anew.
        let shares = known.map_or_else(|| tree.shares_data(), |seen| Ok(seen.shares))?;
        *self.seen() = Some(Seen { squashed, shares, copies });
        Ok(())
    }

    fn health(&self) -> Health {
        self.silence.health()
    }

    fn listen(&self, op: &Op) -> Result<()> {
        op.check()?;
        self.watch.look()
    }

    fn silence(&self) -> Option<Duration> {
        self.silence.lasting()
    }

    fn admit(&self, options: &berth_api::Options) -> Result<()> {
        match &options.mount_options {
            Some(text) => self.mounts.export.options().with(text).map(drop),
            None => Ok(()),
        }
    }

    fn show(
        &self,
        op: &Op,
        Shown { id, directory, path }: Shown,
        options: &berth_api::Options,
    ) -> Result<Source> {
        op.check()?;
        let below = path
            .strip_prefix(&self.mounts.control)
            .map_err(|_| Error::internal("content that is not on the export"))?;
        let root = match &options.mount_options {
            Some(text) => {
                let options = self.mounts.export.options().with(text)?;
                let _turn = self.turn(op)?;
                let mounted = self.mounts.ensure_own(id, &options);
                mounted.map_err(|error| self.explain(error))?
            }
            None => self.mounts.data.clone(),
        };
        let directory =
            Self::through(&root, below, &directory).map_err(|error| self.explain(error))?;
        Ok(Source::Directory { directory, path: root.join(below) })
    }

    fn hide(&self, op: &Op, id: VolumeId) -> Result<Change> {
        op.check()?;
        Ok(if self.mounts.drop_own(id)? { Change::Done } else { Change::Already })
    }

    fn settle(&self, op: &Op) -> Result<()> {
        op.check()?;
        if let Some(away) = self.silence.error() {
            return Err(away);
        }
        for path in self.mounts.written()? {
            self.flush(&path, FLUSH.min(op.remaining()))?;
        }
        Ok(())
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
            return Err(seen::no_root(&self.mounts.export));
        }
        Ok(())
    }

    fn carrier(&self) -> Carrier {
        self.seen().map_or(Carrier::Network, Seen::carrier)
    }

    fn report(&self, _: &Tree) -> Result<Report> {
        let mut report = Report::default();
        report.details.push(("export".to_owned(), Detail::Text(self.mounts.export.to_string())));
        let (version, address) = self.mounts.shown()?;
        if let Some(version) = version {
            report.details.push(("version".to_owned(), Detail::Text(version.as_str().to_owned())));
        }
        if let Some(address) = address {
            report.details.push(("address".to_owned(), Detail::Text(address.to_string())));
        }
        if let Some(seen) = *self.seen() {
            let snapshots = Detail::Text(seen.snapshots().to_owned());
            report.details.push(("snapshots".to_owned(), snapshots));
            report.notices.extend(seen.notice(&self.mounts.export));
        }
        if self.mounts.export.options().may_lose_writes() {
            report.details.push(("writes".to_owned(), Detail::Text(SOFT.to_owned())));
            report
                .notices
                .push(Notice::warning(SOFT, "take it out of `mount-options`: on `hard` they wait"));
        }
        Ok(report)
    }
}
