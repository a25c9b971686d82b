//! What a volume takes, where only a walk tells.

use std::{collections::BTreeMap, thread, time::Duration};

use berth_api::{Bytes, Context as _, Op, Result, VolumeId};
use berth_host::beneath::Entry;

use crate::pool::Tree;

/// After so many entries the walk rests, so that it never reads more than
/// 10,000 a second: nobody waits for it.
const STRETCH: u64 = 500;
const REST: Duration = Duration::from_millis(50);

impl Tree {
    /// Counts what the content takes on the disk, as `du` does, at leisure: links
    /// are not followed, mounts not crossed.
    ///
    /// # Errors
    /// `Conflict` if cancelled; `NotFound` if the volume is not there; `Busy` if
    /// directories were moved about meanwhile; `Unavailable`.
    pub fn count(&self, op: &Op, id: VolumeId) -> Result<Bytes> {
        let what = || format!("pool `{}`: count volume {id}", self.name);
        let folder = self.live(id)?;
        let data = self.content_of(&folder, id)?;
        let mut sum = Sum::default();
        sum.add(1, data.own_space().context(what)?);
        let mut seen = 0_u64;
        let mut each = |entry: &Entry<'_>| {
            op.check()?;
            sum.add(entry.names(), entry.space());
            seen += 1;
            if seen.is_multiple_of(STRETCH) {
                thread::sleep(REST);
            }
            Ok(())
        };
        data.tour(&mut each).context(what)?;
        Ok(sum.total())
    }
}

/// Space by number of names. A file with `n` of them is met `n` times, and a
/// part is counted each time: all of it, if all its names are in the tree. So
/// nothing has to be remembered of each file.
#[derive(Debug, Default)]
struct Sum(BTreeMap<u64, u128>);

impl Sum {
    fn add(&mut self, names: u64, space: u64) {
        *self.0.entry(names).or_default() += u128::from(space);
    }

    fn total(&self) -> Bytes {
        let total: u128 = self.0.iter().map(|(names, space)| space / u128::from(*names)).sum();
        Bytes(u64::try_from(total).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_many_names_is_counted_once() {
        let mut sum = Sum::default();
        for (names, space) in [(1, 4096), (3, 512), (3, 512), (2, 512), (3, 512), (2, 512)] {
            sum.add(names, space);
        }
        assert_eq!(sum.total(), Bytes(4096 + 512 + 512));
    }
}
