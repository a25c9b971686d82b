//! Immutable versions in a folder, made by `link(2)`.
//!
//! ```text
//! scratch/<host>.<operation> ── write, sync ──▶ link as <basis + 1> ──▶ unlink ──▶ list again
//! ```
//! - The highest version rules. It is never unlinked; only what lies below the
//!   highest two is, the lowest first.
//! - That the link was made is not enough: the number may have been free because
//!   its version had been pruned. A higher version that was not built upon ours
//!   means that the write did not happen.
//! - That it was refused is not enough either: a server whose answer was lost is
//!   asked again and finds its own work. The operation inside tells. Others may
//!   have built upon ours before we looked, so each version names those before.
//! - The scratch file goes before the listing: what is still under way to the
//!   server then has nothing to link.
//! - A folder may go only as a whole, when its highest version says that nothing
//!   can follow; so it is found by its path again after each link. Whoever has it open
//!   then is told by a file server that its handle is stale, which is no evidence of
//!   anything (the whole export may be another): it is found by its path again, too.

use std::io::{self, ErrorKind as Io};

use berth_api::{
    Error, ErrorKind, Result,
    records::{Author, Basis, OperationId, Version},
};
use berth_host::{
    beneath::{Dir, is_stale},
    durable, failpoint,
};
use serde_json::Value;

use super::{
    misplaced,
    sealed::{self, Kind},
};

/// No honest series comes so far; a number beyond it is no version.
const MAX: u64 = 1_000_000_000_000;

/// How often a reader begins anew whose version was pruned under its eyes, and a
/// writer whose folder went.
const PATIENCE: u32 = 16;

/// The versions of one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<'a> {
    parent: &'a Dir,
    scratch: &'a Dir,
    kind: Kind,
    key: &'a str,
}

impl<'a> Series<'a> {
    /// The versions of the `kind` of thing that is called `key`: in a folder of
    /// that name in `parent`, written in `scratch` before they are linked.
    pub(super) fn new(parent: &'a Dir, scratch: &'a Dir, kind: Kind, key: &'a str) -> Self {
        Self { parent, scratch, kind, key }
    }

    /// The highest version's number.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub(super) fn highest(&self) -> Result<Option<u64>> {
        Ok(self.listed()?.and_then(|(_, numbers)| numbers.last().copied()))
    }

    /// The highest version.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub(super) fn read(&self) -> Result<Option<Version>> {
        for _ in 0..PATIENCE {
            let Some((folder, numbers)) = self.listed()? else { return Ok(None) };
            let Some(&number) = numbers.last() else { return Ok(None) };
            if let Some(version) = self.version(&folder, number)? {
                return Ok(Some(version));
            }
            // Pruned since: there is a higher one.
        }
        Err(self.restless())
    }

    /// Writes the version after `basis`, or the first.
    ///
    /// # Errors
    /// `Conflict` if it did not happen because another was written; any other
    /// error may hide that it happened.
    pub(super) fn append(
        &self,
        author: &Author,
        basis: Option<&Basis>,
        body: &Value,
    ) -> Result<Version> {
        let version = Version {
            number: basis.map_or(0, |basis| basis.number) + 1,
            author: author.clone(),
            operation: OperationId::random(),
            before: basis.map(|basis| basis.operations.clone()).unwrap_or_default(),
            body: body.clone(),
        };
        if version.number > MAX {
            return Err(Error::corrupt(format!("`{}` has too many versions", self.key)));
        }
        let temporary = format!("{}.{}", author.host, version.operation);
        let bytes = sealed::version_to_bytes(self.kind, self.key, version.clone());
        durable::write_new(self.scratch, &temporary, &bytes).map_err(|error| self.failed(error))?;
        let linked = self.link(&temporary, version.number);
        let withdrawn = self.scratch.unlink(&temporary);
        self.settle(&version, linked, withdrawn)?;
        Ok(version)
    }

    /// Links the scratch file; for a first version into a folder made for it.
    fn link(&self, temporary: &str, number: u64) -> io::Result<()> {
        let name = number.to_string();
        for _ in 0..PATIENCE {
            if number == 1 {
                match self.parent.make_dir(self.key, 0o700) {
                    Err(error) if error.kind() == Io::AlreadyExists => {}
                    other => other.and_then(|()| self.parent.sync())?,
                }
            }
            let linked = self
                .parent
                .open_dir(self.key)
                .and_then(|folder| self.scratch.link(temporary, &folder, &name));
            match linked {
                // An empty folder is anybody's to take away.
                Err(error) if is_gone(&error) && number == 1 => {}
                other => return other,
            }
        }
        Err(Io::NotFound.into())
    }

    /// Finds out whether `version` was written, and makes it durable.
    fn settle(
        &self,
        version: &Version,
        linked: io::Result<()>,
        withdrawn: io::Result<()>,
    ) -> Result<()> {
        let Some((folder, numbers)) = self.settled()? else {
            return Err(match linked {
                Err(error) if !is_gone(&error) => self.failed(error),
                _ => Error::conflict(format!("`{}` is gone", self.key)),
            });
        };
        // What is refused with EEXIST, or without an answer, may be ours.
        let made =
            numbers.contains(&version.number) && (linked.is_ok() || self.is(&folder, version)?);
        let highest = numbers.last().copied().unwrap_or_default();
        let happened = if linked.is_ok() && failpoint::sabotaged("skip-record-recheck") {
            true
        } else if highest > version.number {
            self.is_built_upon(version)?
        } else {
            made && highest == version.number
        };
        if happened {
            folder.sync().map_err(|error| self.failed(error))?;
            prune(&folder, &numbers);
            return Ok(());
        }
        if made {
            // In the gap that pruning left: it counts for nothing.
            let _ = folder.unlink(&version.number.to_string());
        }
        match linked {
            Err(error) if error.kind() != Io::AlreadyExists && highest < version.number => {
                // Nothing can come of it any more, unless its file is still there.
                Err(self.failed(withdrawn.err().unwrap_or(error)))
            }
            _ => Err(Error::conflict(format!(
                "`{}` was changed meanwhile by another host",
                self.key
            ))),
        }
    }

    /// Whether what stands in the place of `version` is it.
    fn is(&self, folder: &Dir, version: &Version) -> Result<bool> {
        match self.version(folder, version.number) {
            Ok(there) => Ok(there.is_some_and(|there| there.operation == version.operation)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the highest version was built upon `version`.
    fn is_built_upon(&self, version: &Version) -> Result<bool> {
        Ok(self.read()?.is_some_and(|above| above.before.contains(&version.operation)))
    }

    /// The folder, if it is there.
    fn folder(&self) -> Result<Option<Dir>> {
        match self.parent.open_dir(self.key) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(misplaced(&format!("the folder of `{}`", self.key), error)),
        }
    }

    /// The folder, if it is there, and the versions in it.
    fn listed(&self) -> Result<Option<(Dir, Vec<u64>)>> {
        for _ in 0..PATIENCE {
            let Some(folder) = self.folder()? else { return Ok(None) };
            if let Some(numbers) = self.numbers(&folder)? {
                return Ok(Some((folder, numbers)));
            }
        }
        Err(self.restless())
    }

    /// A listing that did not change while it was made: one that others write
    /// into may miss what they add and what they prune.
    fn settled(&self) -> Result<Option<(Dir, Vec<u64>)>> {
        let mut listed = self.listed()?;
        for _ in 0..PATIENCE {
            let Some((folder, numbers)) = listed else { return Ok(None) };
            match self.numbers(&folder)? {
                Some(again) if again.last() == numbers.last() => return Ok(Some((folder, again))),
                Some(again) => listed = Some((folder, again)),
                None => listed = self.listed()?,
            }
        }
        Ok(listed)
    }

    /// All versions, the lowest first; `None` if the folder is not there any more.
    /// Other names are nobody's.
    fn numbers(&self, folder: &Dir) -> Result<Option<Vec<u64>>> {
        let names = match failpoint::hit("records.list").and_then(|()| folder.names()) {
            Err(error) if is_stale(&error) => return Ok(None),
            other => {
                other.map_err(|error| misplaced(&format!("the folder of `{}`", self.key), error))?
            }
        };
        let mut numbers: Vec<_> = names.iter().filter_map(|name| number(name.to_str()?)).collect();
        numbers.sort_unstable();
        Ok(Some(numbers))
    }

    /// One version, if it is there.
    fn version(&self, folder: &Dir, number: u64) -> Result<Option<Version>> {
        let what = || format!("version {number} of `{}`", self.key);
        let bytes = failpoint::hit("records.read")
            .and_then(|()| folder.read(&number.to_string(), sealed::LIMIT));
        match bytes {
            Ok(bytes) => sealed::version_from_bytes(&bytes, self.kind, self.key, number)
                .map(Some)
                .map_err(|error| error.context(what())),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            // Pruned while it was open, if the server is the one that it was.
            Err(error) if is_stale(&error) => self.folder().map(|_| None),
            Err(error) => Err(misplaced(&what(), error)),
        }
    }

    fn restless(&self) -> Error {
        Error::unavailable(format!("`{}` changes faster than it can be read", self.key))
    }

    fn failed(&self, error: io::Error) -> Error {
        use berth_api::Context as _;
        let failed: Result<()> = Err(error).context(|| format!("write `{}`", self.key));
        failed.expect_err("an error went in")
    }
}

/// Takes away what lies below the highest two, as far as it can.
fn prune(folder: &Dir, numbers: &[u64]) {
    let kept = numbers.len().saturating_sub(2);
    for number in &numbers[..kept] {
        match folder.unlink(&number.to_string()) {
            Err(error) if error.kind() != Io::NotFound => return,
            _ => {}
        }
    }
}

/// Whether the folder that something was to be done in is not there (any more).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == Io::NotFound || is_stale(error)
}

/// A version's number: decimal, in its one form.
fn number(name: &str) -> Option<u64> {
    let number = name.parse().ok().filter(|number| (1..=MAX).contains(number))?;
    (number.to_string() == name).then_some(number)
}
