//! All volumes, by id and by name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use berth_api::{Error, Result, VolumeId, VolumeName};

use super::volume::Volume;

/// All volumes this host knows.
#[derive(Debug, Default)]
pub(super) struct Index {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    volumes: HashMap<VolumeId, Arc<Volume>>,
    live: BTreeMap<VolumeName, Arc<Volume>>,
    reserved: HashSet<VolumeName>,
}

/// A name that somebody is about to give to a volume.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    index: &'a Index,
    name: VolumeName,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.index.write(|inner| {
            inner.reserved.remove(&self.name);
        });
    }
}

impl Index {
    /// The live volume of this name. What is no valid name is no volume.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Volume>> {
        let name: VolumeName = name.parse()?;
        self.live(&name).ok_or_else(|| Error::not_found(format!("no such volume: `{name}`")))
    }

    /// The live volume of this name, if there is one.
    pub(super) fn live(&self, name: &VolumeName) -> Option<Arc<Volume>> {
        self.read(|inner| inner.live.get(name).cloned())
    }

    /// The volume of this id, live or not.
    pub(super) fn by_id(&self, id: VolumeId) -> Option<Arc<Volume>> {
        self.read(|inner| inner.volumes.get(&id).cloned())
    }

    /// Keeps a free name for the caller until the reservation is dropped.
    ///
    /// # Errors
    /// `Conflict` if a volume has the name, or another caller is about to.
    pub(super) fn reserve(&self, name: &VolumeName) -> Result<Reservation<'_>> {
        let mut free = false;
        self.write(|inner| {
            free = !inner.live.contains_key(name) && inner.reserved.insert(name.clone());
        });
        if free {
            Ok(Reservation { index: self, name: name.clone() })
        } else {
            Err(Error::conflict(format!("a volume `{name}` exists or is being made"))
                .with_hint("choose another name, or remove that volume first"))
        }
    }

    /// All live volumes, by name.
    pub(super) fn all_live(&self) -> Vec<Arc<Volume>> {
        self.read(|inner| inner.live.values().cloned().collect())
    }

    /// All volumes, live or not, in no order.
    pub(super) fn all(&self) -> Vec<Arc<Volume>> {
        self.read(|inner| inner.volumes.values().cloned().collect())
    }

    /// Looks at every live volume without copying the list.
    pub(super) fn for_each_live(&self, mut look: impl FnMut(&VolumeName, &Volume)) {
        self.read(|inner| inner.live.iter().for_each(|(name, volume)| look(name, volume)));
    }

    /// Adds a volume or files it anew after its state changed: its name is its
    /// own while it is live.
    pub(super) fn file(&self, volume: &Arc<Volume>) {
        let (name, live) = volume.read(|life| (life.record.name.clone(), life.is_live()));
        self.write(|inner| {
            inner.volumes.insert(volume.id, volume.clone());
            if live {
                inner.live.insert(name, volume.clone());
            } else if inner.live.get(&name).is_some_and(|other| other.id == volume.id) {
                inner.live.remove(&name);
            }
        });
    }

    /// [`file`](Self::file) of a volume that another host made: a name that is
    /// taken here stays where it is.
    pub(super) fn file_unless_taken(&self, volume: &Arc<Volume>) {
        let (name, live) = volume.read(|life| (life.record.name.clone(), life.is_live()));
        let other = self.live(&name).filter(|other| live && other.id != volume.id);
        match other {
            Some(other) => {
                tracing::warn!(%name, id = %volume.id, other = %other.id, "two volumes of one name");
                self.write(|inner| drop(inner.volumes.insert(volume.id, volume.clone())));
            }
            None => self.file(volume),
        }
    }

    /// Gives live volumes their names whose names were another's when they were
    /// filed, and are free by now.
    pub(super) fn file_nameless(&self) {
        let nameless: Vec<_> = self.read(|inner| {
            let is_nameless = |volume: &&Arc<Volume>| {
                volume.read(|life| life.is_live() && !inner.live.contains_key(&life.record.name))
            };
            inner.volumes.values().filter(is_nameless).cloned().collect()
        });
        for volume in &nameless {
            self.file_unless_taken(volume);
        }
    }

    /// Forgets a volume.
    pub(super) fn forget(&self, volume: &Volume) {
        let name = volume.read(|life| life.record.name.clone());
        self.write(|inner| {
            inner.volumes.remove(&volume.id);
            if inner.live.get(&name).is_some_and(|other| other.id == volume.id) {
                inner.live.remove(&name);
            }
        });
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner));
    }
}
