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
    count: u64,
    epoch: u64,
    /// The operation whose answer was lost; a Mount in the next epoch makes the
    /// count sure again, as it does for Docker.
    unsure: Option<Op>,
}

impl Guest {
    /// The client `number` on `name`.
    pub fn new(name: &str, number: usize) -> Self {
        Self {
            name: name.to_owned(),
            files: BTreeMap::new(),
            id: format!("guest-{number}"),
            count: 0,
            epoch: 0,
            unsure: None,
        }
    }

    /// A random operation that makes sense now.
    pub fn next(&self, epoch: u64, serial: u64, random: &mut Random) -> Op {
        let (name, id) = (self.name.clone(), self.id.clone());
        if self.unsure.is_some() || self.count == 0 {
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
                let same = self.epoch == epoch && self.unsure.is_none();
                self.count = if same { self.count + 1 } else { 1 };
                self.epoch = epoch;
                self.unsure = None;
            }
            Op::Unmount { .. } => self.count -= 1,
            Op::Write { file, text, .. } => {
                self.files.insert(file.clone(), text.clone());
            }
            other => panic!("a guest does not {other:?}"),
        }
    }

    /// The answer to `op` was lost.
    pub fn lose(&mut self, op: &Op) {
        if !matches!(op, Op::Remove { .. }) {
            self.unsure = Some(op.clone());
        }
    }

    /// How many references of this client the daemon may show.
    pub fn counts(&self, lost_in: u64) -> RangeInclusive<u64> {
        match &self.unsure {
            None => self.count..=self.count,
            Some(Op::Mount { .. }) if self.epoch != lost_in => {
                self.count.min(1)..=self.count.max(1)
            }
            Some(Op::Mount { .. }) => self.count..=self.count + 1,
            Some(_) => self.count - 1..=self.count,
        }
    }
}
