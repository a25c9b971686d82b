//! What is in a directory, entry by entry.

use std::{ffi::CStr, io};

use berth_api::{Context as _, Result};
use nix::{
    dir::{Entry, Type},
    errno::Errno,
    fcntl::AtFlags,
    sys::stat::{SFlag, fstatat},
};

use super::{Dir, is_self_or_parent, object::read_directory, place::Path};

/// Calls `each` with the name of every entry, and whether it is a directory: by
/// the listing, so it may be something else by now.
pub(super) fn read(
    directory: &Dir,
    path: &Path,
    mut each: impl FnMut(&CStr, bool) -> Result<()>,
) -> Result<()> {
    let what = || format!("read {}", path.shown());
    // Opened anew: the position is not shared.
    let again = read_directory(directory).context(what)?;
    let listing = nix::dir::Dir::from_fd(again.descriptor).map_err(io::Error::from);
    for entry in listing.context(what)? {
        let entry = entry.map_err(io::Error::from).context(what)?;
        if !is_self_or_parent(entry.file_name().to_bytes()) {
            each(entry.file_name(), is_directory(directory, &entry).context(what)?)?;
        }
    }
    Ok(())
}

/// File systems without types in their listings are asked entry by entry.
pub(super) fn is_directory(parent: &Dir, entry: &Entry) -> io::Result<bool> {
    if let Some(kind) = entry.file_type() {
        return Ok(kind == Type::Directory);
    }
    match fstatat(parent, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
