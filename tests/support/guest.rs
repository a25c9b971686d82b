//! One client's part of a volume that all clients share: its references and its
//! files. Nobody removes such a volume, though some try.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    operation::{By, Op},
    random::Random,
};

/// One client on one shared volume.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The volume.
    pub name: String,
    /// Its files there, and their content.
    pub files: BTreeMap<String, String>,
    id: String,
    /// How many references it may have: one number, unless an answer was lost. A
    /// Mount in the next epoch makes the count sure again, as it does for Docker.
    counts: RangeInclusive<u64>,
    epoch: u64,
    unsure: bool,
}

impl Guest {
    /// The client `number` on `name`.
    pub fn new(name: &str, number: usize) -> Self {
        Self {
            name: name.to_owned(),
            files: BTreeMap::new(),
            id: format!("guest-{number}"),
            counts: 0..=0,
            epoch: 0,
            unsure: false,
        }
    }

    /// A random operation that makes sense now.
    pub fn next(&self, epoch: u64, serial: u64, random: &mut Random) -> Op {
        let (name, id) = (self.name.clone(), self.id.clone());
        if self.unsure || *self.counts.end() == 0 {
            return Op::Mount { name, by: By::Docker, id };
        }
        match random.below(100) {
            0..30 if self.files.len() < 4 => {
                let file = format!("{id}-{serial}");
                Op::Write { name, text: format!("{file}\n").repeat(20), file }
            }
            30..40 if self.epoch == epoch => Op::Remove { name },
            40..55 => Op::Mount { name, by: By::Docker, id },
            _ => Op::Unmount { name, by: By::Docker, id },
        }
    }

    /// Whether `op` must succeed: a Remove under our own mount must not.
    #[expect(clippy::unused_self, reason = "the counterpart of `Slot::allows`")]
    pub fn allows(&self, op: &Op) -> bool {
        !matches!(op, Op::Remove { .. })
    }

    /// What an acknowledged operation changes.
    pub fn apply(&mut self, op: &Op, epoch: u64) {
        match op {
            Op::Mount { .. } => {
                let count = self.mounted(epoch);
                self.counts = count..=count;
                self.epoch = epoch;
                self.unsure = false;
            }
            Op::Unmount { .. } => {
                let count = self.counts.end() - 1;
                self.counts = count..=count;
            }
            Op::Write { file, text, .. } => {
                self.files.insert(file.clone(), text.clone());
            }
            other => panic!("a guest does not {other:?}"),
        }
    }

    /// The answer to `op` was lost: it was done, or not.
    pub fn lose(&mut self, op: &Op, epoch: u64) {
        let done = match op {
            Op::Mount { .. } => self.mounted(epoch),
            Op::Unmount { .. } => self.counts.end() - 1,
            _ => return,
        };
        self.counts = done.min(*self.counts.start())..=done.max(*self.counts.end());
        self.unsure = true;
    }

    /// How many references of this client the daemon may show.
    pub fn counts(&self) -> RangeInclusive<u64> {
        self.counts.clone()
    }

    /// The count after a Mount: the first of an epoch overwrites.
    fn mounted(&self, epoch: u64) -> u64 {
        if self.epoch == epoch && !self.unsure { self.counts.end() + 1 } else { 1 }
    }
}
