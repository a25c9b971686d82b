//! The SELinux label of a directory: its extended attribute `security.selinux`.
//!
//! Not the mount option `context=`: that belongs to a superblock, and a bind mount
//! has the superblock of the pool; the kernel takes no other context for it.
//! Besides it would fix the label of every file, and `docker run -v …:Z` could not
//! change it. What is made in a labelled directory inherits its type.
//!
//! A kernel without SELinux keeps the attribute as any other, so that it is there
//! when one with SELinux looks at the disk.

use std::{ffi::CStr, io, os::fd::AsFd};

use nix::errno::Errno;

use crate::beneath::xattr::Holder;

const NAME: &CStr = c"security.selinux";
/// Longer than any label that is given here.
const LONGEST: usize = 4096;

/// Gives the open `directory` the label. Not synced.
///
/// # Errors
/// The kernel's: EOPNOTSUPP where the file system has no such attributes, EINVAL
/// where the policy does not know the label.
pub fn set(directory: impl AsFd, label: &str) -> io::Result<()> {
    // With its end, as setfilecon(3) writes it.
    let mut value = label.as_bytes().to_vec();
    value.push(0);
    Ok(Holder::open(&directory).set(NAME, &value)?)
}

/// The label of the open `directory`, without its end; `None` if it has none, or
/// if its file system has no such attributes.
///
/// # Errors
/// The kernel's.
pub fn get(directory: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0_u8; LONGEST];
    let value = match Holder::open(&directory).get(NAME, &mut buffer) {
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => return Ok(None),
        other => other?,
    };
    Ok(value.map(|value| value.strip_suffix(b"\0").unwrap_or(value).to_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

    #[test]
    fn a_label_can_be_read_back_and_changed() {
        let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
        let directory = File::open(stage.path()).expect("opened");
        set(&directory, LABEL).expect("a disk has attributes: run as root");
        assert_eq!(get(&directory).expect("readable").as_deref(), Some(LABEL.as_bytes()));
        set(&directory, "u:r:t:s0").expect("changed");
        assert_eq!(get(&directory).expect("readable").as_deref(), Some(&b"u:r:t:s0"[..]));
    }
}
