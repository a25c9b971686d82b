//! Unmounting what lies on a server: the last mount of a file system writes out what is
//! left, and waits for the server with that in a way that no signal ends. So a program
//! does it, which is left alone if it cannot be killed.

use std::{io, path::Path, time::Duration};

use berth_api::{Error, ErrorKind, Result};

use super::{Mount, Unmounted};
use crate::{command, failpoint};

/// How long an unmount may take before it is made lazily.
const LIMIT: Duration = Duration::from_secs(3);
/// How long a lazy one may take, which asks no server.
const LAZY: Duration = Duration::from_secs(5);

impl Mount {
    /// Whether it lies on an NFS server.
    pub fn is_remote(&self) -> bool {
        matches!(self.filesystem.as_str(), "nfs" | "nfs4")
    }

    /// Whether it shows a part of what `other`, of the same server, shows: the kernel adds
    /// the directory of a bind mount to the source of an NFS mount (and says `/` for its
    /// root).
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let rest = self.source.strip_prefix(other.source.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Unmounts `target`, which lies on a server: lazily if the server does not answer,
/// never by force.
///
/// # Errors
/// `Unsupported` if `umount` is missing; else what it says.
pub fn unmount_remote(target: &Path) -> Result<Unmounted> {
    failpoint::hit("mounts.unmount-remote").map_err(|error| failed(target, error))?;
    let error = match umount(target, false) {
        Ok(()) => return Ok(Unmounted::Done),
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
        Err(error) => error,
    };
    let said = error.to_string();
    if said.contains("not mounted") || said.contains("no mount point specified") {
        return Ok(Unmounted::Already);
    }
    if said.contains("busy") {
        return Ok(Unmounted::Busy);
    }
    tracing::debug!(target = %target.display(), error = said, "lazily");
    detach_remote(target)
}

/// Takes the mount at `target` out of sight; what uses it goes on with it.
///
/// # Errors
/// As [`unmount_remote`].
pub fn detach_remote(target: &Path) -> Result<Unmounted> {
    failpoint::hit("mounts.detach-remote").map_err(|error| failed(target, error))?;
    umount(target, true).map(|()| Unmounted::Done)
}

fn failed(target: &Path, error: io::Error) -> Error {
    Error::internal(format!("unmount `{}`", target.display())).with_source(error)
}

/// No path is resolved: that would ask the server.
fn umount(target: &Path, lazily: bool) -> Result<()> {
    let words: &[&str] = if lazily { &["-i", "-n", "-c", "-l"] } else { &["-i", "-n", "-c"] };
    let mut arguments: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    arguments.extend(["--".as_ref(), target.as_os_str()]);
    command::run("umount", &arguments, "mount", if lazily { LAZY } else { LIMIT }).map(drop)
}
