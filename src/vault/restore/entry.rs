//! What stands in a tree, judged before anybody acts on it: whoever can write to a
//! repository could have written anything.

use std::ffi::{CStr, CString};

use berth_api::{Error, Result};
use berth_host::beneath;
use jiff::Timestamp;

use crate::{
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::Index,
};

/// Attributes of an object, checked.
#[derive(Debug)]
pub(crate) struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    accessed: Option<(i64, u32)>,
    modified: Option<(i64, u32)>,
    extended: Box<[beneath::Extended]>,
}

impl Attributes {
    /// Those of a node.
    ///
    /// # Errors
    /// `Corrupt` if no object can have them.
    pub(crate) fn of(node: &Node) -> Result<Self> {
        // chown(2) takes it for "leave it as it is".
        if node.uid == u32::MAX || node.gid == u32::MAX {
            return Err(Error::corrupt("its owner is none that a file can have"));
        }
        let extended = node.extended_attributes.iter().flatten();
        let extended = extended.map(|attribute| {
            let name = CString::new(attribute.name.as_str())
                .map_err(|_| Error::corrupt("the name of an attribute has a NUL"))?;
            Ok((name.into_boxed_c_str(), attribute.value.0.clone().into_boxed_slice()))
        });
        Ok(Self {
            uid: node.uid,
            gid: node.gid,
            mode: node.permissions(),
            accessed: node.atime.map(moment),
            modified: node.mtime.map(moment),
            extended: extended.collect::<Result<_>>()?,
        })
    }

    /// As the host takes them.
    pub(crate) fn lend(&self) -> beneath::Attributes<'_> {
        beneath::Attributes {
            uid: self.uid,
            gid: self.gid,
            mode: self.mode,
            accessed: self.accessed,
            modified: self.modified,
            extended: &self.extended,
        }
    }
}

/// The names in a tree, in the order of its nodes: each one component of a path, and
/// no two alike.
///
/// # Errors
/// `Corrupt` otherwise.
pub(crate) fn names(tree: &Tree) -> Result<Vec<Box<CStr>>> {
    let names: Vec<Box<CStr>> = tree
        .nodes
        .iter()
        .map(|node| {
            let name = CString::new(node.file_name()?);
            Ok(name.map_err(|_| Error::corrupt("a name has a NUL"))?.into_boxed_c_str())
        })
        .collect::<Result<_>>()?;
    let mut sorted: Vec<&CStr> = names.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::corrupt(format!(
            "two things are called `{}`",
            pair[0].to_string_lossy().escape_debug()
        ))),
        None => Ok(names),
    }
}

/// The blobs of a file's content: the number of each, and where it belongs.
///
/// # Errors
/// `Corrupt` if one is in no index, or together they are not as long as the file.
pub(crate) fn content(index: &Index, node: &Node) -> Result<Vec<(u32, u64)>> {
    let mut size = 0_u64;
    let mut blobs = Vec::with_capacity(node.content.as_ref().map_or(0, Vec::len));
    for id in node.content.iter().flatten() {
        let number = index.number(BlobKind::Data, id).ok_or_else(|| {
            Error::corrupt(format!("no index of the repository knows its data blob {}", id.short()))
        })?;
        let length = index.place(BlobKind::Data, number).1.content();
        if length > 0 {
            blobs.push((number, size));
        }
        size = size.saturating_add(length);
    }
    if size != node.size {
        return Err(Error::corrupt(format!(
            "its size is {} bytes, but its content has {size}",
            node.size
        )));
    }
    Ok(blobs)
}

/// The number of a directory's tree.
///
/// # Errors
/// `Corrupt` if it has none, or that is in no index.
pub(crate) fn subtree(index: &Index, node: &Node) -> Result<u32> {
    let id = node.subtree.ok_or_else(|| Error::corrupt("the directory has no tree"))?;
    tree(index, &id)
}

/// The number of a tree.
///
/// # Errors
/// `Corrupt` if it is in no index.
pub(crate) fn tree(index: &Index, id: &Id) -> Result<u32> {
    index.number(BlobKind::Tree, id).ok_or_else(|| {
        Error::corrupt(format!("no index of the repository knows its tree {}", id.short()))
    })
}

/// Where a symlink leads.
///
/// # Errors
/// `Corrupt` if no link can lead there.
pub(crate) fn target(node: &Node) -> Result<CString> {
    let target = node.target();
    if target.is_empty() || target.len() >= 4096 {
        return Err(Error::corrupt("the symlink's target is none that one can have"));
    }
    CString::new(target).map_err(|_| Error::corrupt("the symlink's target has a NUL"))
}

/// What makes a node the same object as others with more than one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// Two states of a file that was written to between two of its names stay two.
    content: Id,
}

/// The identity of a node that may have other names.
pub(crate) fn identity(node: &Node) -> Option<Identity> {
    if node.links < 2 || node.inode == 0 || node.kind == NodeKind::Dir {
        return None;
    }
    let mut bytes = format!("{:?} {} {}\0", node.kind, node.size, node.device).into_bytes();
    bytes.extend(node.target());
    for id in node.content.iter().flatten() {
        bytes.extend(id.0);
    }
    Some(Identity { device: node.device_id, inode: node.inode, content: Id::of(&bytes) })
}

fn moment(time: Timestamp) -> (i64, u32) {
    const SECOND: i128 = 1_000_000_000;
    let nanoseconds = time.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(SECOND));
    let rest = u32::try_from(nanoseconds.rem_euclid(SECOND));
    (seconds.expect("its range is ±377,705,116,800 seconds"), rest.expect("below 10^9"))
}
