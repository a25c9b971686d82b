//! What must be true after a crash, given what was acknowledged.
//!
//! A [`Slot`] is the part of the world that one client changes, one operation
//! after the other: its names, their volumes, references, content and trash. An
//! operation whose answer was lost leaves two candidates, before and after it;
//! [`Slot::settle`] finds which of them the recovered daemon shows, and that it
//! shows one of them whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    content::Content,
    kept::{self, Kept},
    operation::{By, Op},
    volume::{Reference, Volume},
    world::World,
};

/// The part of the world that one client changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The names it uses; nobody else does.
    pub names: Vec<String>,
    /// Counts the daemon's starts.
    pub epoch: u64,
    /// Volumes by name.
    pub live: BTreeMap<String, Volume>,
    /// Removed volumes by id, with the name they had.
    pub trash: BTreeMap<String, (String, Volume)>,
    removals: u64,
}

impl Slot {
    /// A slot of these names; nothing exists.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().collect(),
            epoch: 1,
            live: BTreeMap::new(),
            trash: BTreeMap::new(),
            removals: 0,
        }
    }

    /// Whether the operation must succeed now; otherwise it must be refused.
    pub fn allows(&self, op: &Op) -> bool {
        match op {
            Op::Create { .. } | Op::Unmount { .. } => true,
            Op::Mount { name, .. } | Op::Write { name, .. } | Op::Set { name, .. } => {
                self.live.contains_key(name)
            }
            Op::Remove { name } => self.live.get(name).is_some_and(|v| !self.is_believed(v)),
            Op::Purge { name } => match self.live.get(name) {
                Some(volume) => !self.is_believed(volume),
                None => self.latest_removed(name).is_some(),
            },
            Op::Undelete { id } => {
                self.trash.get(id).is_some_and(|(name, _)| !self.live.contains_key(name))
            }
            Op::Snapshot { name, snapshot } => {
                self.live.get(name).is_some_and(|volume| volume.snapshot(snapshot).is_none())
            }
            Op::RemoveSnapshot { name, snapshot } => {
                self.live.get(name).is_some_and(|volume| volume.snapshot(snapshot).is_some())
            }
            Op::Clone { name, from, .. } => {
                !self.live.contains_key(name) && self.origin(from).is_some()
            }
            Op::Rollback { name, snapshot } => self.live.get(name).is_some_and(|volume| {
                volume.snapshot(snapshot).is_some() && !self.is_believed(volume)
            }),
        }
    }

    /// What `VOLUME` or `VOLUME@SNAPSHOT` holds.
    fn origin(&self, from: &str) -> Option<&Content> {
        match from.split_once('@') {
            None => self.live.get(from).map(|volume| &volume.content),
            Some((name, snapshot)) => {
                self.live.get(name)?.snapshot(snapshot).map(|snapshot| &snapshot.content)
            }
        }
    }

    /// Whether references stand in the way of a removal: unconfirmed ones that
    /// nobody holds do not.
    fn is_believed(&self, volume: &Volume) -> bool {
        let believed = |(by, epoch): (By, u64)| by == By::Command || epoch == self.epoch;
        volume.references.iter().any(|((by, _), r)| believed((*by, r.epoch)))
    }

    /// The id of the volume called `name` that was removed last.
    pub fn latest_removed(&self, name: &str) -> Option<&str> {
        let removed = self.trash.iter().filter(|(_, (removed, _))| removed == name);
        removed.max_by_key(|(_, (_, volume))| volume.removed).map(|(id, _)| id.as_str())
    }

    /// What an acknowledged operation changes.
    pub fn apply(&mut self, op: &Op) {
        let epoch = self.epoch;
        match op {
            Op::Create { name, options } => {
                self.live
                    .entry(name.clone())
                    .or_insert_with(|| Volume::new(options.clone(), Content::new(options)));
            }
            Op::Mount { name, by, id } => {
                let volume = self.live.get_mut(name).expect("mounted volumes exist");
                let reference = volume
                    .references
                    .entry((*by, id.clone()))
                    .or_insert(Reference { count: 0, epoch });
                if *by == By::Docker && reference.epoch != epoch {
                    *reference = Reference { count: 0, epoch };
                }
                reference.count += 1;
                volume.bare = false;
            }
            Op::Unmount { name, by, id } => {
                let key = (*by, id.clone());
                let Some(volume) = self.live.get_mut(name) else { return };
                if let Some(reference) = volume.references.get_mut(&key) {
                    reference.count -= 1;
                    if reference.count == 0 {
                        volume.references.remove(&key);
                    }
                }
            }
            Op::Write { name, file, text } => {
                let volume = self.live.get_mut(name).expect("written volumes exist");
                volume.content.files.insert(file.clone(), text.clone());
            }
            Op::Remove { name } => {
                let mut volume = self.live.remove(name).expect("removed volumes existed");
                volume.references.clear();
                self.removals += 1;
                volume.removed = self.removals;
                // Never written and anonymous volumes are not worth keeping, unless
                // they have snapshots.
                let disposable = volume.content.files.is_empty() || volume.is_anonymous(name);
                if !disposable || !volume.snapshots.is_empty() {
                    let id = volume.id.clone().expect("views were seen before a removal");
                    self.trash.insert(id, (name.clone(), volume));
                }
            }
            Op::Purge { name } => {
                if self.live.remove(name).is_none() {
                    let id = self.latest_removed(name).expect("there was one").to_owned();
                    self.trash.remove(&id);
                }
            }
            Op::Undelete { id } => {
                let (name, volume) = self.trash.remove(id).expect("it was in the trash");
                self.live.insert(name, volume);
            }
            Op::Set { name, key, value } => {
                let volume = self.live.get_mut(name).expect("set volumes exist");
                let old = volume.options.insert(key.clone(), value.clone());
                // What is as before is left alone: a rollback, say, gave the top
                // another mode.
                if old.as_ref() != Some(value) {
                    volume.content.adorn(&BTreeMap::from([(key.clone(), value.clone())]));
                }
            }
            Op::Snapshot { name, snapshot } => {
                let volume = self.live.get_mut(name).expect("it exists");
                let content = volume.content.clone();
                volume.snapshots.push(Kept { name: Some(snapshot.clone()), id: None, content });
            }
            Op::RemoveSnapshot { name, snapshot } => {
                let volume = self.live.get_mut(name).expect("it exists");
                volume.snapshots.retain(|kept| kept.name.as_ref() != Some(snapshot));
            }
            Op::Clone { name, from, options } => {
                let mut content = self.origin(from).expect("origins exist").clone();
                content.adorn(options);
                let mut options = options.clone();
                options.insert("from".to_owned(), from.clone());
                self.live.insert(name.clone(), Volume::new(options, content));
            }
            Op::Rollback { name, snapshot } => {
                let volume = self.live.get_mut(name).expect("it exists");
                let content = volume.snapshot(snapshot).expect("it exists").content.clone();
                let content = std::mem::replace(&mut volume.content, content);
                volume.snapshots.push(Kept { name: None, id: None, content });
                volume.bare = !volume.references.is_empty();
            }
        }
    }

    /// After a crash: takes up what the recovered daemon shows, if that is what
    /// was acknowledged, with the lost operation done wholly or not at all.
    ///
    /// # Errors
    /// How the daemon's answers differ from each candidate.
    pub fn settle(&mut self, lost: Option<&Op>, world: &World) -> Result<(), String> {
        let before = self.differences(world);
        let mut report = String::new();
        if !before.is_empty() {
            let _ = write!(report, "without {lost:?}: {}", before.join("; "));
            let Some(op) = lost.filter(|op| self.allows(op)) else { return Err(report) };
            let mut after = self.clone();
            after.apply(op);
            let differences = after.differences(world);
            if !differences.is_empty() {
                let _ = write!(report, "\nwith it: {}", differences.join("; "));
                return Err(report);
            }
            *self = after;
        } else if let Some(Op::Remove { name } | Op::Purge { name } | Op::Rollback { name, .. }) =
            lost
            && let Some(volume) = self.live.get_mut(name)
        {
            volume.bare = true;
        }
        self.learn_ids(world);
        Ok(())
    }

    /// A restart of the daemon begins an epoch.
    pub fn restarted(&mut self) {
        self.epoch += 1;
    }

    /// A boot of the machine voids all references.
    pub fn rebooted(&mut self) {
        self.epoch += 1;
        for volume in self.live.values_mut() {
            volume.references.clear();
        }
    }

    /// Takes up the ids of volumes that were created since.
    pub fn learn_ids(&mut self, world: &World) {
        for (name, volume) in &mut self.live {
            volume.id = volume.id.take().or_else(|| world.id(name));
            kept::learn(&mut volume.snapshots, world.snapshots(name));
        }
    }

    /// How the daemon's answers differ from this slot: names, ids, states,
    /// options, references, trash. Nothing of this may need time after a start.
    pub fn differences(&self, world: &World) -> Vec<String> {
        let mut found = Vec::new();
        for name in &self.names {
            match (self.live.get(name), world.live.get(name)) {
                (None, None) => {}
                (Some(_), None) => found.push(format!("`{name}` is missing")),
                (None, Some(view)) => {
                    found.push(format!("`{name}` exists ({}, {})", view["id"], view["state"]));
                }
                (Some(volume), Some(view)) => {
                    let differences = volume.differences(view, world.snapshots(name));
                    found.extend(differences.into_iter().map(|d| format!("`{name}`: {d}")));
                }
            }
        }
        let shown: BTreeSet<&str> = world
            .removed
            .iter()
            .filter(|(_, view)| self.names.iter().any(|name| view["name"] == name.as_str()))
            .map(|(id, _)| id.as_str())
            .collect();
        let expected: BTreeSet<&str> = self.trash.keys().map(String::as_str).collect();
        for id in expected.difference(&shown) {
            found.push(format!("removed `{}` ({id}) is not in the trash", self.trash[*id].0));
        }
        for id in shown.difference(&expected) {
            let view = &world.removed[*id];
            found.push(format!(
                "the trash has {} ({id}), expires {}",
                view["name"], view["expires"]
            ));
        }
        found
    }

    /// How the kernel and the disk differ from this slot. What was answered at
    /// the intent may follow a little later; poll.
    pub fn traces(&self, world: &World) -> Vec<String> {
        let mut found = Vec::new();
        for name in &self.names {
            let mounted = world.mounted(name);
            let referenced = self.live.get(name).filter(|volume| volume.count() > 0);
            let expected = usize::from(referenced.is_some());
            let tolerated = mounted == 0 && referenced.is_some_and(|volume| volume.bare);
            if mounted != expected && !tolerated {
                found.push(format!("`{name}` is mounted {mounted} times, not {expected}"));
            }
            let folder = world.mounts.join(name).symlink_metadata().is_ok();
            if folder != (mounted > 0) {
                found.push(format!("the mountpoint of `{name}` exists: {folder}"));
            }
        }
        for (name, volume) in &self.live {
            let Some(id) = volume.id.as_ref() else { continue };
            let folder = world.pool.join("volumes").join(id);
            found.extend(volume.content.differences(name, &folder.join("data")));
            found.extend(kept::traces(&volume.snapshots, name, &folder));
            if volume.count() > 0 && !volume.bare && found.is_empty() {
                found.extend(volume.content.differences(name, &world.mounts.join(name)));
            }
        }
        for (id, (name, volume)) in &self.trash {
            let folder = world.pool.join(".berth/trash").join(id);
            found.extend(volume.content.differences(name, &folder.join("data")));
            found.extend(kept::traces(&volume.snapshots, name, &folder));
        }
        found
    }
}
