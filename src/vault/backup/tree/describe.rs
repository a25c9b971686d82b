//! From what the kernel says of an object to its node.

use std::{io, os::unix::ffi::OsStrExt as _};

use berth_host::beneath::{
    Stat, Time,
    reading::{Held, Room},
};
use jiff::Timestamp;
use nix::sys::stat::{SFlag, makedev};

use crate::format::{Node, NodeKind, crypt::Base64, node::Attribute};

/// The node of an object, without inode and time of change (see `identity`), extended
/// attributes and content.
pub(super) fn node(name: &[u8], stat: &Stat) -> Node {
    let kind = match stat.kind {
        SFlag::S_IFDIR => NodeKind::Dir,
        SFlag::S_IFLNK => NodeKind::Symlink,
        SFlag::S_IFBLK => NodeKind::Dev,
        SFlag::S_IFCHR => NodeKind::Chardev,
        SFlag::S_IFIFO => NodeKind::Fifo,
        SFlag::S_IFSOCK => NodeKind::Socket,
        _ => NodeKind::File,
    };
    let mut node = Node::new(name, kind);
    node.set_mode(stat.mode);
    (node.uid, node.gid) = (stat.uid, stat.gid);
    node.mtime = Some(timestamp(stat.modified));
    node.atime = Some(timestamp(stat.accessed));
    match kind {
        NodeKind::Dir => {}
        NodeKind::Dev | NodeKind::Chardev => {
            let (major, minor) = stat.stands_for;
            node.device = makedev(major.into(), minor.into());
            node.links = stat.links.into();
        }
        NodeKind::File => {
            node.size = stat.size;
            node.links = stat.links.into();
        }
        _ => node.links = stat.links.into(),
    }
    node
}

/// Adds the extended attributes.
pub(super) fn attributes(node: &mut Node, held: &Held<'_>, room: &mut Room) -> io::Result<()> {
    let found = held.attributes(room)?;
    if found.is_empty() {
        return Ok(());
    }
    let attributes = found.into_iter().map(|(name, value)| {
        if std::str::from_utf8(&name).is_err() {
            tracing::warn!(
                name = %String::from_utf8_lossy(&name),
                "the name of an attribute is not UTF-8, and is kept as the nearest text"
            );
        }
        Attribute { name: String::from_utf8_lossy(&name).into_owned(), value: Base64(value) }
    });
    node.extended_attributes = Some(attributes.collect());
    Ok(())
}

/// Adds where a symbolic link leads.
pub(super) fn target(node: &mut Node, held: &Held<'_>) -> io::Result<()> {
    node.set_target(held.target()?.as_bytes());
    Ok(())
}

/// The nearest moment that the format can write: of years with four digits.
pub(super) fn timestamp((seconds, nanoseconds): Time) -> Timestamp {
    if seconds < EARLIEST.as_second() {
        return EARLIEST;
    }
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or(0);
    Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::MAX)
}

/// The year 0 begins.
const EARLIEST: Timestamp = Timestamp::constant(-62_167_219_200, 0);
