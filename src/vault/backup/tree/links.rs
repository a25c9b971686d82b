//! Files with several names: read once, whichever name comes first.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_host::beneath::{Stat, Time};

use crate::format::Node;

/// An inode number alone may be used again while the tree is read.
type Key = ((u32, u32), u64, Time);

/// What was read of a file under its first name; `None` until that is done.
pub(super) type Slot = Arc<Mutex<Option<Node>>>;

/// What is remembered is only files whose names have not all been met.
#[derive(Debug, Default)]
pub(super) struct Links {
    left: Mutex<HashMap<Key, (u32, Slot)>>,
}

impl Links {
    /// Where one name of the file `stat` puts what it finds for the others. Whoever
    /// locks it first reads the file, and all others wait.
    pub(super) fn meet(&self, stat: &Stat) -> Slot {
        let (device, inode) = stat.identity();
        let mut left = lock(&self.left);
        match left.entry((device, inode, stat.born)) {
            Entry::Vacant(place) => {
                let slot = Slot::default();
                place.insert((stat.links.saturating_sub(1), slot.clone()));
                slot
            }
            Entry::Occupied(mut place) => {
                let (names, slot) = place.get_mut();
                *names = names.saturating_sub(1);
                if *names == 0 { place.remove().1 } else { slot.clone() }
            }
        }
    }
}

/// What a panic elsewhere left is whole here: every change is one call.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
