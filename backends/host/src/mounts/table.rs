//! `/proc/PID/mountinfo`, line by line.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// One line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`), unescaped.
///
/// The kernel writes `//deleted` behind a `root` that was removed; it is left
/// there, so that such a root equals nothing that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount id, unique within its namespace's view.
    pub id: u64,
    /// Id of the mount it stands on.
    pub parent: u64,
    /// `major:minor` of the file system.
    pub device: (u32, u32),
    /// The directory of the file system that is the root of this mount. NFS shows `/` for
    /// each, and the directory in the source: there it is the path on the server.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Mount options of this mount (`ro`, `nosuid` …).
    pub options: String,
    /// Peer group, if shared.
    pub shared: Option<u64>,
    /// Peer group it receives from, if a slave.
    pub master: Option<u64>,
    /// File system type.
    pub filesystem: String,
    /// What was mounted.
    pub source: String,
    /// Options of the file system (`rw,prjquota` …).
    pub super_options: String,
}

/// The mounts of one namespace, in the kernel's order: later ones lie on top.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// All mounts.
    pub mounts: Vec<Mount>,
}

impl Table {
    /// This process' mounts; more exactly, this thread's, which only differ where
    /// a test gives a thread a namespace of its own.
    ///
    /// # Errors
    /// If `/proc` is not there, or a line cannot be understood.
    pub fn read() -> io::Result<Self> {
        Self::read_from(Path::new("/proc/thread-self/mountinfo"))
    }

    /// The mounts that the file `path` lists.
    pub(crate) fn read_from(path: &Path) -> io::Result<Self> {
        let text = fs::read(path)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mounts = lines.map(|line| {
            Mount::parse(line).ok_or_else(|| {
                let line = String::from_utf8_lossy(line);
                io::Error::new(io::ErrorKind::InvalidData, format!("mount table line `{line}`"))
            })
        });
        Ok(Self { mounts: mounts.collect::<io::Result<_>>()? })
    }

    /// The topmost mount at exactly `path` (compared as text, nothing is
    /// resolved, no substring counts).
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.mountpoint == path)
    }

    /// The mount with this id.
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }
}

impl Mount {
    /// One line without its end; `None` if it is not of the documented form.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = number(fields.next()?)?;
        let parent = number(fields.next()?)?;
        let device = text(fields.next()?);
        let (major, minor) = device.split_once(':')?;
        let root = path(fields.next()?);
        let mountpoint = path(fields.next()?);
        let options = text(fields.next()?);
        let (mut shared, mut master) = (None, None);
        // Optional fields, any number and order, up to a lone hyphen.
        loop {
            let field = fields.next()?;
            if field == b"-" {
                break;
            } else if let Some(group) = field.strip_prefix(b"shared:") {
                shared = Some(number(group)?);
            } else if let Some(group) = field.strip_prefix(b"master:") {
                master = Some(number(group)?);
            }
        }
        let filesystem = text(fields.next()?);
        let source = text(fields.next()?);
        let on_server = match filesystem.as_str() {
            "nfs" | "nfs4" => source.find(":/").map(|at| PathBuf::from(&source[at + 1..])),
            _ => None,
        };
        Some(Self {
            id,
            parent,
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: on_server.unwrap_or(root),
            mountpoint,
            options,
            shared,
            master,
            filesystem,
            source,
            // Absent from some kernels' lines where the file system has none.
            super_options: fields.next().map(text).unwrap_or_default(),
        })
    }
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Space, tab, line feed, backslash (and `#` in sources) come as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).filter(|byte| matches!(byte, b'0'..=b'7'));
        let octal = match (byte, digit(0), digit(1), digit(2)) {
            (b'\\', Some(a @ b'0'..=b'3'), Some(b), Some(c)) => {
                Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] =
        b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";

    #[test]
    fn the_manual_pages_example_parses() {
        let mount = Mount::parse(PLAIN).expect("a valid line");
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
        assert_eq!(mount.root, Path::new("/mnt1"));
        assert_eq!(mount.mountpoint, Path::new("/mnt2"));
        assert_eq!(mount.options, "rw,noatime");
        assert_eq!((mount.shared, mount.master), (None, Some(1)));
        assert_eq!((mount.filesystem.as_str(), mount.source.as_str()), ("ext3", "/dev/root"));
        assert_eq!(mount.super_options, "rw,errors=continue");
    }

    #[test]
    fn escapes_and_optional_fields_in_any_number() {
        let line = br"1 2 0:5 /a\040b\134//deleted /m\011\012\303\244 ro shared:7 master:8 propagate_from:9 unbindable new:x - tmpfs a\040b rw";
        let mount = Mount::parse(line).expect("a valid line");
        assert_eq!(mount.root.as_os_str(), "/a b\\//deleted");
        assert_eq!(mount.mountpoint.as_os_str(), "/m\t\n\u{e4}");
        assert_eq!((mount.shared, mount.master), (Some(7), Some(8)));
        assert_eq!(mount.source, "a b");
        let line = b"1 2 0:5 / /m rw - tmpfs none rw";
        assert_eq!(Mount::parse(line).expect("no optional field").shared, None);
    }

    /// As the kernel shows two directories of one export; with `/` for both each would
    /// look as if it were held by whoever holds the other.
    #[test]
    fn a_directory_on_a_server_is_told_by_its_source() {
        for (kind, server) in [("nfs4", "10.0.0.5"), ("nfs", "[fd00::5]")] {
            let line = format!("7 1 0:52 / /m rw - {kind} {server}:/x/volumes/a\\040b/data rw");
            let mount = Mount::parse(line.as_bytes()).expect("a valid line");
            assert_eq!(mount.root, Path::new("/x/volumes/a b/data"));
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape(br"a\b\04\777\400\"), br"a\b\04\777\400\");
        assert_eq!(unescape(br"\\040"), br"\ ");
    }

    #[test]
    fn torn_lines_are_not_understood() {
        // Up to the source every field is needed.
        let needed = PLAIN.len() - " rw,errors=continue".len() - "/dev/root".len();
        for length in 0..needed {
            assert!(Mount::parse(&PLAIN[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn the_topmost_mount_at_exactly_the_path_is_found() {
        let line = |id: u64, at: &str| {
            let line = format!("{id} 1 0:5 / {at} rw - tmpfs none rw");
            Mount::parse(line.as_bytes()).expect("a valid line")
        };
        let table =
            Table { mounts: vec![line(2, "/m/vol1"), line(3, "/m/vol1"), line(4, "/m/vol10")] };
        assert_eq!(table.at(Path::new("/m/vol1")).map(|mount| mount.id), Some(3));
        assert!(table.at(Path::new("/m/vol")).is_none());
        assert_eq!(table.by_id(4).expect("listed").mountpoint, Path::new("/m/vol10"));
    }

    #[test]
    fn this_process_has_a_root() {
        let table = Table::read().expect("readable");
        assert!(table.at(Path::new("/")).is_some());
    }
}
