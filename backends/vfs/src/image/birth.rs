//! Making the file: under a temporary name, renamed when it is whole and durable.

use std::{
    ffi::OsString,
    io::ErrorKind as Io,
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{Bytes, Context as _, Error, PoolId, Result};
use berth_host::{backing::Backing, beneath::Dir, command};

use super::superblock::LABEL;

/// `mkfs.xfs` writes a log of 64 MiB: seconds, even on a slow disk.
const LIMIT: Duration = Duration::from_secs(60);
/// What `mkfs.xfs` since 5.19 asks for at least.
const LEAST: Bytes = Bytes(300 << 20);

/// Makes the image `file` of `size` bytes, and removes what an interrupted
/// beginning left.
///
/// # Errors
/// `Invalid` without a size, or with one that is too small; `Unavailable` if its
/// folder is not there; `Conflict` if something appeared in its place meanwhile.
pub(super) fn make(file: &Path, size: Option<Bytes>) -> Result<Backing> {
    let size = size.ok_or_else(|| {
        Error::invalid(format!(
            "the image `{}` is not there, and no `size` says how large to make it",
            file.display()
        ))
        .with_hint("size = \"100G\"; it takes only the space that is used")
    })?;
    if size < LEAST {
        return Err(Error::invalid(format!("an image of {size} is too small: XFS needs {LEAST}")));
    }
    let what = || format!("make the image `{}`", file.display());
    let (Some(parent), Some(name)) =
        (file.parent(), file.file_name().and_then(|name| name.to_str()))
    else {
        return Err(Error::invalid(format!("`{}` is no name of a file", file.display())));
    };
    let folder = Dir::open(parent).map_err(|error| {
        Error::unavailable(format!("the folder `{}` cannot be opened", parent.display()))
            .with_source(error)
            .with_hint("is its disk mounted? Berth makes the image, and no folder for it")
    })?;
    sweep(&folder, name);
    let temporary = temporary(name);
    let made = filled(&folder, &parent.join(&temporary), &temporary, size).and_then(|image| {
        match folder.rename(&temporary, &folder, name) {
            Err(error) if error.kind() == Io::AlreadyExists => {
                Err(Error::conflict("something else is there now").with_source(error))
            }
            other => other.and_then(|()| folder.sync()).context(|| "put it into its place"),
        }?;
        Ok(image)
    });
    let made = made.inspect_err(|_| {
        // The first error is the one to tell; the next start finds the rest.
        let _ = folder.unlink(&temporary);
    });
    let image = made.context(what)?;
    tracing::info!(file = %file.display(), %size, "image made");
    Ok(image)
}

/// A file with a file system in it, synced.
///
/// Options of `mkfs.xfs`:
/// - `reflink` and `crc` are why it is XFS; `ftype` is what overlay file systems
///   need of what lies below. All are defaults today, and asked for in case they
///   are not.
/// - Sectors of 4096 bytes: the image can be moved onto a disk that has no smaller
///   ones, where direct I/O would not work otherwise.
/// - The label says whose it is.
///
/// No `-K`: a file is not discarded, and what it does not write stays a hole. No
/// `-f`: what is not empty is not ours.
fn filled(folder: &Dir, path: &Path, name: &str, size: Bytes) -> Result<Backing> {
    let image = Backing::make(folder, name, size.0).context(|| "make the file")?;
    let options =
        ["-q", "-L", LABEL, "-m", "crc=1,reflink=1", "-n", "ftype=1", "-s", "size=4096", "--"];
    let mut arguments: Vec<OsString> = options.map(OsString::from).to_vec();
    arguments.push(PathBuf::from(path).into());
    command::run("mkfs.xfs", &arguments, "xfsprogs", LIMIT)?;
    image.sync().context(|| "sync it")?;
    Ok(image)
}

/// A name that no other process uses: what one renames is what it made.
fn temporary(name: &str) -> String {
    format!(".{name}.{}.new", PoolId::random())
}

fn is_temporary(entry: &str, name: &str) -> bool {
    let id = entry
        .strip_prefix('.')
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(".new"));
    id.is_some_and(|id| id.parse::<PoolId>().is_ok())
}

/// Removes what interrupted beginnings left.
fn sweep(folder: &Dir, name: &str) {
    for entry in folder.names().unwrap_or_default() {
        if let Some(entry) = entry.to_str()
            && is_temporary(entry, name)
        {
            match folder.unlink(entry) {
                Ok(()) => tracing::info!(file = entry, "unfinished image removed"),
                Err(error) => tracing::warn!(file = entry, %error, "unfinished image stays"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_name_is_swept() {
        let name = "berth.img";
        assert!(is_temporary(&temporary(name), name));
        for other in [
            "berth.img",
            ".berth.img.new",
            ".berth.img.1234.new",
            "berth.img.00000000000000000000000000000000.new",
            ".other.img.00000000000000000000000000000000.new",
            ".berth.img.00000000000000000000000000000000.old",
        ] {
            assert!(!is_temporary(other, name), "{other}");
        }
    }
}
