//! The programs that mount, look, flush and unmount: each of these can block in the
//! kernel for as long as a server is away, so none of them is a call of the daemon's
//! own threads.
//!
//! `mount -i` asks the kernel itself: nothing of NFS needs to be installed.

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, ErrorKind, Result};
use berth_host::{
    command,
    mounts::{Mount, Table},
};

use crate::{
    denial::Denial,
    export::{Export, Version},
};

/// How long one attempt to mount may take; whoever needs the pool waits less, and the
/// attempt goes on.
const MOUNT: Duration = Duration::from_secs(15);
/// How long all attempts for one mount may take, whatever addresses a name has.
const ATTEMPTS: Duration = Duration::from_secs(20);
/// How long a look at a mount may take before the server counts as silent: long enough
/// for one under load, and short beside the 24 s in which a Mount is answered.
const LOOK: Duration = Duration::from_secs(4);
/// What a server says that does not know our handles.
pub(crate) const STALE: &str = "stale file handle";
/// How long detaching may take; it asks no server.
const DETACH: Duration = Duration::from_secs(5);

/// What a look at a mount found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The server answers.
    Alive,
    /// It knows the directory no more: it is another, or its disk is.
    Stale,
    /// It does not answer.
    Silent,
}

/// The mount at `path`, if it is of `export`.
///
/// # Errors
/// `Internal` if the mount table cannot be read; `Unavailable` if something else is
/// mounted there.
pub(crate) fn mounted(export: &Export, path: &Path) -> Result<Option<Mount>> {
    let table = Table::read().context(|| "read the mount table")?;
    let Some(mount) = table.at(path) else { return Ok(None) };
    if matches!(mount.filesystem.as_str(), "nfs" | "nfs4") && mount.source == export.source() {
        return Ok(Some(mount.clone()));
    }
    if matches!(mount.filesystem.as_str(), "nfs" | "nfs4") {
        return Ok(None);
    }
    Err(Error::unavailable(format!(
        "something else (`{}`) is mounted at `{}`",
        mount.source,
        path.display()
    ))
    .with_hint("unmount it by hand; Berth takes down only what it mounted"))
}

/// Mounts the export at `path` with `options` for the version that is asked for, or
/// the newest that the server has; says which.
///
/// # Errors
/// `Unavailable`, with what the kernel said last; `Unsupported` if `mount` is missing.
pub(crate) fn mount(
    export: &Export,
    path: &Path,
    addresses: &[IpAddr],
    versions: &[Version],
    options: impl Fn(Version, IpAddr) -> String,
) -> Result<(Version, IpAddr)> {
    let mut last =
        Error::unavailable(format!("no address is known of the NFS server {}", export.server()));
    let end = Instant::now() + ATTEMPTS;
    for address in addresses {
        for version in versions {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            let options = options(*version, *address);
            match mount_once(export, path, *version, &options, MOUNT.min(left)) {
                Ok(()) => return Ok((*version, *address)),
                Err(error) => {
                    let older = is_about_the_version(&error);
                    last = error;
                    if !older {
                        // Silence is no reason for an older protocol.
                        break;
                    }
                }
            }
        }
    }
    Err(last)
}

fn mount_once(
    export: &Export,
    path: &Path,
    version: Version,
    options: &str,
    limit: Duration,
) -> Result<()> {
    let source = export.source();
    let arguments = [
        "-i".as_ref(),
        "-n".as_ref(),
        "-t".as_ref(),
        version.kind().as_ref(),
        "-o".as_ref(),
        options.as_ref(),
        "--".as_ref(),
        source.as_ref(),
        path.as_os_str(),
    ];
    command::run("mount", &arguments, "mount", limit).map(drop).map_err(|error| {
        if let Some(denial) = Denial::of(&error) {
            return denial.told(export, error);
        }
        match error.kind() {
            ErrorKind::Internal => {
                Error::unavailable(format!("mount `{source}`")).with_source(error)
            }
            _ => error,
        }
    })
}

/// Whether the server said that it does not have this version.
fn is_about_the_version(error: &Error) -> bool {
    let said = error.chain();
    ["Protocol not supported", "requested NFS version", "Invalid argument", "bad option"]
        .iter()
        .any(|text| said.contains(text))
}

/// Why a server counts as silent.
pub(crate) fn no_answer() -> String {
    format!("no answer in {} s", LOOK.as_secs())
}

/// Looks at the top of a mount.
///
/// # Errors
/// `Unsupported` if `stat` is missing.
pub(crate) fn look(path: &Path) -> Result<Look> {
    let begun = Instant::now();
    // Of the file system, not of the directory: of that the kernel tells an inode, and on
    // the data mount everything else, without asking the server.
    let arguments =
        ["--file-system".as_ref(), "--format=%s".as_ref(), "--".as_ref(), path.as_os_str()];
    match command::run("stat", &arguments, "coreutils", LOOK) {
        Ok(_) => Ok(Look::Alive),
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error),
        Err(error) if error.chain().contains("Stale file handle") => Ok(Look::Stale),
        Err(error) => {
            tracing::debug!(path = %path.display(), took = ?begun.elapsed(), error = %error.chain(), "look");
            Ok(Look::Silent)
        }
    }
}

/// Writes out what programs of this host have written through the mount at `path`.
///
/// # Errors
/// `Unavailable` if the server does not take it in time; `Internal` with what `sync` said.
pub(crate) fn flush(path: &Path, limit: Duration) -> Result<()> {
    let arguments = ["--file-system".as_ref(), "--".as_ref(), path.as_os_str()];
    command::run("sync", &arguments, "coreutils", limit).map(drop)
}

/// Takes the mount at `path` out of sight. What uses it goes on with it.
///
/// # Errors
/// `Unavailable`.
pub(crate) fn detach(path: &Path) -> Result<()> {
    let arguments = ["-i".as_ref(), "-n".as_ref(), "-l".as_ref(), "--".as_ref(), path.as_os_str()];
    command::run("umount", &arguments, "mount", DETACH).map(drop).map_err(|error| {
        Error::unavailable(format!("`{}` cannot be unmounted", path.display())).with_source(error)
    })
}
