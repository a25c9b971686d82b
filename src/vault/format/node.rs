//! Trees: a directory as JSON, its nodes in the order of their names.

use berth_api::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Id, crypt::Base64, name};

/// Go's mode bits above the permissions.
mod go {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const FIFO: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
}

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// What is in it, in the order of (quoted) names.
    pub nodes: Vec<Node>,
}

/// One thing in a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, quoted; see [`name`].
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: NodeKind,
    /// Permissions and type, in Go's bits; see [`Node::set_mode`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mode: u32,
    /// When its content was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// When it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atime: Option<Timestamp>,
    /// When anything of it was last changed: that of the origin, where it was read
    /// from a clone; absent where it may have changed since without showing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime: Option<Timestamp>,
    /// Its owner.
    #[serde(default)]
    pub uid: u32,
    /// Its group.
    #[serde(default)]
    pub gid: u32,
    /// Its inode: that of the origin, where it was read from a clone.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    pub inode: u64,
    /// The device of the inode. Nodes with the same inode, device and more than one
    /// link are one file.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    pub device_id: u64,
    /// Length, in bytes.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    pub size: u64,
    /// Names that the file has.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    pub links: u64,
    /// Where a symbolic link leads, if that is UTF-8; the nearest text otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub linktarget: String,
    /// Where it leads, if that is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linktarget_raw: Option<Base64>,
    /// Extended attributes, access lists among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_attributes: Option<Vec<Attribute>>,
    /// Number of a device.
    #[serde(default, skip_serializing_if = "is_zero_wide")]
    pub device: u64,
    /// The blobs that a file's content is made of, in order.
    #[serde(default)]
    pub content: Option<Vec<Id>>,
    /// The tree of a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtree: Option<Id>,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Base64,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    Chardev,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Node {
    /// A node of that name and kind, everything else zero.
    pub fn new(name: &[u8], kind: NodeKind) -> Self {
        Self {
            name: name::quote(name),
            kind,
            mode: 0,
            mtime: None,
            atime: None,
            ctime: None,
            uid: 0,
            gid: 0,
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: String::new(),
            linktarget_raw: None,
            extended_attributes: None,
            device: 0,
            content: None,
            subtree: None,
        }
    }

    /// The name as bytes: one component of a path, and none that leads elsewhere.
    ///
    /// # Errors
    /// `Corrupt` if it is anything else.
    pub fn file_name(&self) -> Result<Vec<u8>> {
        let bytes = name::unquote(&self.name)?;
        let wrong = bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.len() > 255;
        if wrong || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Error::corrupt(format!(
                "`{}` is not the name of a file",
                self.name.escape_debug()
            )));
        }
        Ok(bytes)
    }

    /// Where a symbolic link leads.
    pub fn target(&self) -> &[u8] {
        self.linktarget_raw.as_ref().map_or(self.linktarget.as_bytes(), |raw| &raw.0)
    }

    /// Says where a symbolic link leads.
    pub fn set_target(&mut self, target: &[u8]) {
        self.linktarget = String::from_utf8_lossy(target).into_owned();
        if std::str::from_utf8(target).is_err() {
            self.linktarget_raw = Some(Base64(target.to_vec()));
        }
    }

    /// Takes the permissions (the lowest twelve bits) of `st_mode`.
    pub fn set_mode(&mut self, mode: u32) {
        self.mode = mode & 0o777
            | match self.kind {
                NodeKind::File => 0,
                NodeKind::Dir => go::DIR,
                NodeKind::Symlink => go::SYMLINK,
                NodeKind::Dev => go::DEVICE,
                NodeKind::Chardev => go::DEVICE | go::CHAR_DEVICE,
                NodeKind::Fifo => go::FIFO,
                NodeKind::Socket => go::SOCKET,
            };
        for (unix, bit) in [(0o4000, go::SETUID), (0o2000, go::SETGID), (0o1000, go::STICKY)] {
            if mode & unix != 0 {
                self.mode |= bit;
            }
        }
    }

    /// The permissions, as the lowest twelve bits of `st_mode`.
    pub fn permissions(&self) -> u32 {
        let mut mode = self.mode & 0o777;
        for (unix, bit) in [(0o4000, go::SETUID), (0o2000, go::SETGID), (0o1000, go::STICKY)] {
            if self.mode & bit != 0 {
                mode |= unix;
            }
        }
        mode
    }
}

impl Tree {
    /// The bytes of its blob, as restic writes them: with a line feed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a tree is plain JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a blob's bytes back.
    ///
    /// # Errors
    /// `Corrupt` if they are not a tree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|source| Error::corrupt("the tree has a wrong form").with_source(source))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero_wide(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_survive_gos_bits() {
        for mode in [0o644, 0o4755, 0o2750, 0o1777, 0o7777] {
            let mut node = Node::new(b"x", NodeKind::Dir);
            node.set_mode(0o040_000 | mode);
            assert_eq!(node.permissions(), mode);
            assert_eq!(node.mode >> 31, 1, "Go's bit for directories");
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["", ".", "..", "a/b", "\\x2e\\x2e", "a\\x00b", "\\x2f"] {
            let mut node = Node::new(b"x", NodeKind::File);
            name.clone_into(&mut node.name);
            assert!(node.file_name().is_err(), "{name}");
        }
    }

    #[test]
    fn what_restic_wrote_is_read() {
        let text = br#"{"nodes":[{"name":"a","type":"file","mode":420,"mtime":"2026-01-02T03:04:05.678901234+01:00","atime":"2026-01-02T03:04:05Z","ctime":"2026-01-02T03:04:05Z","uid":0,"gid":0,"user":"root","inode":5,"device_id":2049,"size":3,"links":1,"content":["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},{"name":"l","type":"symlink","mode":134218239,"uid":0,"gid":0,"links":1,"linktarget":"a","content":null}]}"#;
        let tree = Tree::from_bytes(text).expect("a tree");
        assert_eq!(tree.nodes[0].permissions(), 0o644);
        assert_eq!(tree.nodes[1].target(), b"a");
        assert_eq!(Tree::from_bytes(&tree.to_bytes()).expect("its own bytes"), tree);
    }
}
