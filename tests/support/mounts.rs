//! The kernel's mount tables, as tests read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, umount2};

/// One line of a `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its id.
    pub id: u64,
    /// The id of the mount it lies on.
    pub parent: u64,
    /// `major:minor`.
    pub device: String,
    /// The part of the filesystem that is mounted.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The mount options.
    pub options: String,
}

/// The mounts in the namespace of this thread.
pub fn here() -> Vec<Mount> {
    table("/proc/thread-self/mountinfo")
}

/// The mounts in the namespace of `pid`; empty once it is gone.
pub fn of(pid: i32) -> Vec<Mount> {
    table(&format!("/proc/{pid}/mountinfo"))
}

/// Those of `mounts` at or below `path`.
pub fn below(mounts: Vec<Mount>, path: &Path) -> Vec<Mount> {
    mounts.into_iter().filter(|mount| mount.point.starts_with(path)).collect()
}

/// Takes away all mounts at or below `path` in this namespace, deepest first.
pub fn detach_below(path: &Path) {
    for mount in below(here(), path).iter().rev() {
        let _ = umount2(&mount.point, MntFlags::MNT_DETACH);
    }
}

fn table(path: &str) -> Vec<Mount> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    Some(Mount {
        id: fields.next()?.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        device: fields.next()?.to_owned(),
        root: unescape(fields.next()?),
        point: unescape(fields.next()?),
        options: fields.next()?.to_owned(),
    })
}

/// The kernel writes blank, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut plain = text.to_owned();
    for (escaped, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
    {
        plain = plain.replace(escaped, character);
    }
    PathBuf::from(plain)
}
