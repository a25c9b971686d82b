//! Which processes keep a mount from going away.
//!
//! *Held* means: a process in another mount namespace has a mount of the same
//! `major:minor` and root that did not arrive by propagation from ours. A
//! propagated copy (its parent is a peer or a slave of our mountpoint's parent
//! mount: every systemd unit with `PrivateTmp` has one) goes with our unmount
//! and does not count.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    failpoint,
    mounts::{Mount, Table},
};

/// A process that has the mount in its own mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, in our view.
    pub pid: u32,
    /// Its command name (`/proc/PID/comm`), for messages.
    pub command: String,
}

/// For each of `mounts`, in their order, a process of each other namespace that
/// holds it. `ours` is this namespace's table, which they come from.
/// Each namespace is read once for each root directory its processes have.
///
/// Saboteur `skip-kernel-evidence` finds nobody.
///
/// # Errors
/// If `/proc` cannot be read as a whole. Processes that end meanwhile, and those
/// that may not be looked at, are passed over.
pub fn find(ours: &Table, mounts: &[&Mount]) -> io::Result<Vec<Vec<Holder>>> {
    if failpoint::sabotaged("skip-kernel-evidence") || mounts.is_empty() {
        return Ok(vec![Vec::new(); mounts.len()]);
    }
    let wanted = Wanted::new(ours, mounts);
    let mut groups = Groups::default();
    let mut copies = Vec::new();
    for Namespace { pid, table } in Namespaces::new()? {
        groups.learn(&table);
        wanted.collect(pid, &table, &mut copies);
    }
    // A namespace that is a slave of a slave shows only the nearer group, so
    // that nothing can be judged before all tables are read.
    let mut found = vec![Vec::new(); mounts.len()];
    for copy in copies {
        let arrived = copy.at_our_place
            && wanted.parent_group[copy.mount].is_some_and(|ours| groups.receives(&copy, ours));
        let holders: &mut Vec<Holder> = &mut found[copy.mount];
        if !arrived && holders.last().is_none_or(|holder| holder.pid != copy.pid) {
            holders.push(Holder { pid: copy.pid, command: command(copy.pid) });
        }
    }
    Ok(found)
}

/// A mount's identity across namespaces. The root is compared byte by byte: as
/// paths, `/a//deleted` would equal `/a/deleted`.
type Content = ((u32, u32), OsString);

fn content(mount: &Mount) -> Content {
    (mount.device, mount.root.as_os_str().to_owned())
}

/// What is looked for.
struct Wanted {
    by_content: HashMap<Content, Vec<usize>>,
    /// Where each mount stands: its mountpoint, as a path of the parent's file
    /// system. That is the same in every namespace.
    place: Vec<Option<PathBuf>>,
    /// The peer group of the mount it stands on: who gets copies.
    parent_group: Vec<Option<u64>>,
}

/// A mount elsewhere that shows the same content as one of ours.
struct Copy {
    mount: usize,
    pid: u32,
    at_our_place: bool,
    parent_shared: Option<u64>,
    parent_master: Option<u64>,
}

impl Wanted {
    fn new(ours: &Table, mounts: &[&Mount]) -> Self {
        let mut by_content: HashMap<_, Vec<_>> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            by_content.entry(content(mount)).or_default().push(index);
        }
        let parents = index(ours);
        let parent = |mount: &&Mount| parents.get(&mount.parent).copied();
        Self {
            by_content,
            place: mounts.iter().map(|mount| place(mount, parent(mount)?)).collect(),
            parent_group: mounts.iter().map(|mount| parent(mount)?.shared).collect(),
        }
    }

    fn collect(&self, pid: u32, table: &Table, copies: &mut Vec<Copy>) {
        let matching: Vec<_> = table
            .mounts
            .iter()
            .filter_map(|mount| Some((mount, self.by_content.get(&content(mount))?)))
            .collect();
        if matching.is_empty() {
            return;
        }
        let parents = index(table);
        for (mount, indexes) in matching {
            let parent = parents.get(&mount.parent).copied();
            let place = parent.and_then(|parent| place(mount, parent));
            copies.extend(indexes.iter().map(|&index| Copy {
                mount: index,
                pid,
                at_our_place: place.is_some() && place == self.place[index],
                parent_shared: parent.and_then(|parent| parent.shared),
                parent_master: parent.and_then(|parent| parent.master),
            }));
        }
    }
}

fn index(table: &Table) -> HashMap<u64, &Mount> {
    table.mounts.iter().map(|mount| (mount.id, mount)).collect()
}

fn place(mount: &Mount, parent: &Mount) -> Option<PathBuf> {
    mount.mountpoint.strip_prefix(&parent.mountpoint).ok().map(|below| parent.root.join(below))
}

/// Which peer group receives from which.
#[derive(Default)]
struct Groups {
    masters: HashMap<u64, u64>,
}

impl Groups {
    fn learn(&mut self, table: &Table) {
        let pairs = table.mounts.iter().filter_map(|mount| Some((mount.shared?, mount.master?)));
        self.masters.extend(pairs);
    }

    /// Whether what happens in group `ours` reaches the copy's parent.
    fn receives(&self, copy: &Copy, ours: u64) -> bool {
        if copy.parent_shared == Some(ours) {
            return true;
        }
        let mut next = copy.parent_master;
        // The tables were read one after the other: a chain that was changed
        // meanwhile may look like a ring.
        for _ in 0..=self.masters.len() {
            match next {
                None => return false,
                Some(group) if group == ours => return true,
                Some(group) => next = self.masters.get(&group).copied(),
            }
        }
        false
    }
}

/// A mount namespace other than ours, as one of its processes sees it.
struct Namespace {
    pid: u32,
    table: Table,
}

/// All of them. A process with another root directory sees another part of its
/// namespace's table, so that each pair of both is one.
struct Namespaces {
    ours: PathBuf,
    pids: std::vec::IntoIter<u32>,
    seen: HashSet<(PathBuf, PathBuf)>,
}

impl Namespaces {
    fn new() -> io::Result<Self> {
        let ours = fs::read_link("/proc/thread-self/ns/mnt")?;
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(Self { ours, pids: pids.into_iter(), seen: HashSet::new() })
    }

    /// `None` if it is ours, known, ended, or not to be looked at.
    fn read(&mut self, pid: u32) -> Option<Namespace> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let namespace = fs::read_link(process.join("ns/mnt")).ok()?;
        if namespace == self.ours {
            return None;
        }
        let view = (namespace, fs::read_link(process.join("root")).ok()?);
        if self.seen.contains(&view) {
            return None;
        }
        let table = Table::read_from(&process.join("mountinfo")).ok()?;
        // Only now: if this process has ended, the next of its namespace is read.
        self.seen.insert(view);
        Some(Namespace { pid, table })
    }
}

impl Iterator for Namespaces {
    type Item = Namespace;

    fn next(&mut self) -> Option<Namespace> {
        while let Some(pid) = self.pids.next() {
            if let Some(namespace) = self.read(pid) {
                return Some(namespace);
            }
        }
        None
    }
}

fn command(pid: u32) -> String {
    let name = fs::read(Path::new("/proc").join(pid.to_string()).join("comm")).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
}
